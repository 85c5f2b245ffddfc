package gitgraph

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Commit is a capability to a commit: the same calls, as methods.
type Commit struct{ caps.Ref }

// Hash is the commit's hash, hexadecimal.
func (c Commit) Hash(ctx context.Context) (string, error) { return Hash.Call(ctx, c.Ref) }

// Parents are the commits it builds on; none for a root.
func (c Commit) Parents(ctx context.Context) ([]Commit, error) { return Parents.Call(ctx, c.Ref) }

// Author is who wrote it.
func (c Commit) Author(ctx context.Context) (Author, error) { return Writer.Call(ctx, c.Ref) }

// When is the time at which it was written, by the author's clock.
func (c Commit) When(ctx context.Context) (time.Time, error) { return When.Call(ctx, c.Ref) }

// Message is the whole message.
func (c Commit) Message(ctx context.Context) (string, error) { return Message.Call(ctx, c.Ref) }

// Files are the files it touched; none for a merge.
func (c Commit) Files(ctx context.Context) ([]Change, error) { return Changes.Call(ctx, c.Ref) }

// Author is a capability to an author.
type Author struct{ caps.Ref }

// Ident is name and address, "Ann <ann@example.org>".
func (a Author) Ident(ctx context.Context) (string, error) { return Ident.Call(ctx, a.Ref) }

// Commits are those written, parents before children.
func (a Author) Commits(ctx context.Context) (sturdy.List[Commit], error) {
	return Written.Call(ctx, a.Ref)
}

// File is a capability to a file.
type File struct{ caps.Ref }

// Path is the file's path from the top of the repository, with slashes.
func (f File) Path(ctx context.Context) (string, error) { return Path.Call(ctx, f.Ref) }

// Authors is who touched the file, the most frequent first.
func (f File) Authors(ctx context.Context) ([]Share, error) { return Who.Call(ctx, f.Ref) }

// Commits are those that touched the file, parents before children.
func (f File) Commits(ctx context.Context) (sturdy.List[Touch], error) {
	return Touches.Call(ctx, f.Ref)
}

// Graph is a capability to the history of a repository.
type Graph struct{ caps.Ref }

// name is what the graph stands under in the root.
const name = "git"

// Of returns the graph of the world that rt has open, which Import has made. An error that
// is sturdy.ErrNoName says that there is none.
func Of(ctx context.Context, rt *sturdy.Runtime) (Graph, error) {
	ref, err := rt.Root().Get(ctx, name)
	return Graph{ref}, err
}

// Contents returns the parts of the graph, for reading.
func (g Graph) Contents(ctx context.Context) (Parts, error) { return Contents.Call(ctx, g.Ref) }

// newGraph makes an empty graph.
func newGraph(t *sturdy.WriteTurn) caps.Ref {
	return graphKind.New(t, graph{Parts{
		Commits: sturdy.NewMap[string, Commit](t),
		Authors: sturdy.NewMap[string, Author](t),
		Files:   sturdy.NewMap[string, File](t),
		Refs:    sturdy.NewDirectory(t),
		Log:     sturdy.NewList[Commit](t),
	}})
}

// ErrUnknown is returned for what is not in the graph, or matches more than one thing in it.
const ErrUnknown caps.Code = "gitgraph.example/unknown"

// Commit finds a commit by the name of a ref, in full or without refs/heads/, refs/tags/ or
// refs/remotes/, or by the beginning of its hash, at least four digits.
func (p Parts) Commit(t sturdy.Turn, rev string) (Commit, error) {
	for _, prefix := range []string{"", "refs/heads/", "refs/tags/", "refs/remotes/", "refs/"} {
		ref, err := p.Refs.Get(t, prefix+rev)
		if !errors.Is(err, sturdy.ErrNoName) {
			return Commit{ref}, err
		}
	}
	return p.byPrefix(t, rev)
}

func (p Parts) byPrefix(t sturdy.Turn, prefix string) (found Commit, err error) {
	if len(prefix) < 4 {
		return found, fmt.Errorf("%w: no ref named %q", ErrUnknown, prefix)
	}
	for _, c := range p.Commits.Range(t, prefix, prefix+"g") {
		if !found.IsNull() {
			return Commit{}, fmt.Errorf("%w: more than one commit begins with %s", ErrUnknown, prefix)
		}
		found = c
	}
	if found.IsNull() {
		return found, fmt.Errorf("%w: no ref and no commit named %q", ErrUnknown, prefix)
	}
	return found, nil
}

// File finds a file by its path.
func (p Parts) File(t sturdy.Turn, path string) (File, error) {
	f, ok := p.Files.Get(t, key(path))
	if !ok {
		return f, fmt.Errorf("%w: no commit touched %q; paths count from the top of the repository", ErrUnknown, path)
	}
	return f, nil
}
