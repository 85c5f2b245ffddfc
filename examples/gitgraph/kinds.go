package gitgraph

import (
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// What a holder of a commit may ask.
const (
	Hash    caps.Query[string]    = "hash"    // hexadecimal
	Parents caps.Query[[]Commit]  = "parents" // the first one is what the commit was made on
	Writer  caps.Query[Author]    = "author"
	When    caps.Query[time.Time] = "when" // it was written, by the author's clock
	Message caps.Query[string]    = "message"
	Changes caps.Query[[]Change]  = "files" // what it touched
	Where   caps.Query[Place]     = "place"
)

// What a holder of an author may ask.
const (
	Ident   caps.Query[string]              = "ident"   // name and address
	Written caps.Query[sturdy.List[Commit]] = "commits" // parents before children
)

// What a holder of a file may ask.
const (
	Path    caps.Query[string]             = "path"
	Touches caps.Query[sturdy.List[Touch]] = "commits" // parents before children
	Who     caps.Query[[]Share]            = "authors" // who touched it, the most frequent first
)

// What a holder of a graph may ask, and what only the import may, as it needs w.
const (
	Contents caps.Query[Parts]      = "contents"
	contents caps.Query[Parts]      = "parts"
	wrote    caps.Command[Commit]   = "wrote"
	touch    caps.Command[Touch]    = "touch"
	bound    caps.Command[[]string] = "bound"
)

// Change is what a commit did to a file; see the package doc for lines that are -1.
type Change struct {
	File           File
	Added, Removed int64
}

// Touch is a Change as seen from the file. The author stands in it so that Who touches no
// commit.
type Touch struct {
	Commit         Commit
	Author         Author
	Added, Removed int64
}

// Share is what one author did to a file.
type Share struct {
	Author         Author
	Ident          string
	Commits        int64
	Added, Removed int64 // in files whose lines git counts
}

// Place is where a commit stands in the graph. Every parent has a lower Seq than its
// children; no two commits have the same.
type Place struct {
	Seq     int64
	Parents []Commit
}

// Parts is what a graph consists of.
type Parts struct {
	Commits  sturdy.Map[string, Commit] // by hash
	Authors  sturdy.Map[string, Author] // by name and address
	Files    sturdy.Map[string, File]   // by path
	Refs     sturdy.Directory           // commits by name: HEAD, refs/heads/main
	Log      sturdy.List[Commit]        // at position Seq
	Boundary []string                   // hashes of commits whose parents a shallow clone lacked
}

// commit never changes. Few holds what most commits touch; one that touches thousands of
// files has them in Many, as a state is copied whole and bounded.
type commit struct {
	Hash    string
	Seq     int64
	Author  Author
	When    time.Time
	Message string
	Parents []Commit
	Few     []Change
	Many    sturdy.List[Change]
}

// few is how many changes stand in a commit's own state.
const few = 64

func (c *commit) hash(*sturdy.ReadTurn) (string, error)      { return c.Hash, nil }
func (c *commit) parents(*sturdy.ReadTurn) ([]Commit, error) { return c.Parents, nil }
func (c *commit) author(*sturdy.ReadTurn) (Author, error)    { return c.Author, nil }
func (c *commit) when(*sturdy.ReadTurn) (time.Time, error)   { return c.When, nil }
func (c *commit) message(*sturdy.ReadTurn) (string, error)   { return c.Message, nil }

func (c *commit) place(*sturdy.ReadTurn) (Place, error) { return Place{c.Seq, c.Parents}, nil }

func (c *commit) files(t *sturdy.ReadTurn) ([]Change, error) {
	if c.Many.IsNull() {
		return c.Few, nil
	}
	all := make([]Change, 0, c.Many.Len(t))
	for _, ch := range c.Many.Range(t, 0, c.Many.Len(t)) {
		all = append(all, ch)
	}
	return all, nil
}

type author struct {
	Ident   string
	Commits sturdy.List[Commit]
}

func (a *author) ident(*sturdy.ReadTurn) (string, error) { return a.Ident, nil }

func (a *author) commits(*sturdy.ReadTurn) (sturdy.List[Commit], error) {
	return readable(a.Commits), nil
}

func (a *author) wrote(t *sturdy.WriteTurn, c Commit) error {
	a.Commits.Append(t, c)
	return nil
}

type file struct {
	Path    string
	Touches sturdy.List[Touch]
}

func (f *file) path(*sturdy.ReadTurn) (string, error) { return f.Path, nil }

func (f *file) commits(*sturdy.ReadTurn) (sturdy.List[Touch], error) { return readable(f.Touches), nil }

func (f *file) touch(t *sturdy.WriteTurn, by Touch) error {
	f.Touches.Append(t, by)
	return nil
}

type graph struct{ Parts Parts }

// contents hands out what can be read; whoever may write to the graph has parts.
func (g *graph) contents(*sturdy.ReadTurn) (Parts, error) {
	p := g.Parts
	p.Commits.Ref = p.Commits.Attenuate(caps.Read)
	p.Authors.Ref = p.Authors.Attenuate(caps.Read)
	p.Files.Ref = p.Files.Attenuate(caps.Read)
	p.Refs.Ref = p.Refs.Attenuate(caps.Read)
	p.Log.Ref = p.Log.Attenuate(caps.Read)
	return p, nil
}

func (g *graph) parts(*sturdy.WriteTurn) (Parts, error) { return g.Parts, nil }

func (g *graph) bound(_ *sturdy.WriteTurn, hashes []string) error {
	g.Parts.Boundary = hashes
	return nil
}

// readable is l for reading only: a method that hands out a part of its state would
// otherwise hand out the right to change it.
func readable[V any](l sturdy.List[V]) sturdy.List[V] {
	l.Ref = l.Attenuate(caps.Read)
	return l
}

var commitKind = sturdy.Define("gitgraph.example/commit",
	sturdy.Query(Hash, (*commit).hash),
	sturdy.Query(Parents, (*commit).parents),
	sturdy.Query(Writer, (*commit).author),
	sturdy.Query(When, (*commit).when),
	sturdy.Query(Message, (*commit).message),
	sturdy.Query(Changes, (*commit).files),
	sturdy.Query(Where, (*commit).place),
)

var authorKind = sturdy.Define("gitgraph.example/author",
	sturdy.Query(Ident, (*author).ident),
	sturdy.Query(Written, (*author).commits),
	sturdy.Command(wrote, (*author).wrote),
)

var fileKind = sturdy.Define("gitgraph.example/file",
	sturdy.Query(Path, (*file).path),
	sturdy.Query(Touches, (*file).commits),
	sturdy.Query(Who, (*file).authors),
	sturdy.Command(touch, (*file).touch),
)

var graphKind = sturdy.Define("gitgraph.example/graph",
	sturdy.Query(Contents, (*graph).contents),
	sturdy.Query(contents, (*graph).parts),
	sturdy.Command(bound, (*graph).bound),
)

// Kinds is what a program passes to sturdy.Open to work with graphs.
var Kinds = sturdy.Kinds(commitKind, authorKind, fileKind, graphKind)
