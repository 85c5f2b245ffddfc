package gitgraph_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/examples/gitgraph"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// node is a commit as the graph has it.
type node struct {
	ref     gitgraph.Commit
	place   gitgraph.Place
	parents []string
	author  string
	when    int64
	changes map[string][2]int64
}

// sample is how many files, and pairs of commits, are compared with a run of git each.
func sample() int {
	if *extern != "" {
		return 60
	}
	return 8
}

// verify compares the graph with what git says of the repository at dir, by other commands
// than the import uses.
func verify(t *testing.T, rt *sturdy.Runtime, dir string) {
	t.Helper()
	nodes := read(t, rt)
	sameCommits(t, dir, nodes)
	sameChanges(t, dir, nodes)
	sameRefs(t, rt, dir)
	sameAuthors(t, rt, dir, nodes)
	samePairs(t, rt, dir)
	sameDifferences(t, rt, dir)
	if err := rt.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// view runs fn as a read turn over the graph.
func view(t *testing.T, rt *sturdy.Runtime, fn func(*sturdy.ReadTurn, gitgraph.Parts) error) {
	t.Helper()
	g, err := gitgraph.Of(t.Context(), rt)
	if err != nil {
		t.Fatal(err)
	}
	err = rt.View(t.Context(), func(turn *sturdy.ReadTurn) error {
		p, err := g.Contents(turn)
		if err != nil {
			return err
		}
		return fn(turn, p)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// must is for what cannot fail in a turn that goes on.
func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

func read(t *testing.T, rt *sturdy.Runtime) map[string]*node {
	nodes, paths := map[string]*node{}, map[gitgraph.File]string{}
	view(t, rt, func(turn *sturdy.ReadTurn, p gitgraph.Parts) error {
		for hash, c := range p.Commits.All(turn) {
			n := &node{ref: c, place: must(gitgraph.Where.Call(turn, c.Ref)), changes: map[string][2]int64{}}
			for _, parent := range n.place.Parents {
				n.parents = append(n.parents, must(parent.Hash(turn)))
				if up := must(gitgraph.Where.Call(turn, parent.Ref)); up.Seq >= n.place.Seq {
					t.Errorf("%s stands at %d, its parent at %d", hash, n.place.Seq, up.Seq)
				}
			}
			n.author = must(must(c.Author(turn)).Ident(turn))
			n.when = must(c.When(turn)).Unix()
			for _, ch := range must(c.Files(turn)) {
				if paths[ch.File] == "" {
					paths[ch.File] = must(ch.File.Path(turn))
				}
				n.changes[paths[ch.File]] = [2]int64{ch.Added, ch.Removed}
			}
			if at, ok := p.Log.At(turn, int(n.place.Seq)); !ok || !at.Same(c.Ref) || hash != must(c.Hash(turn)) {
				t.Errorf("%s is not at position %d of the log", hash, n.place.Seq)
			}
			nodes[hash] = n
		}
		if len(nodes) != p.Log.Len(turn) || len(nodes) != p.Commits.Len(turn) {
			t.Errorf("%d commits, %d in the log, %d counted", len(nodes), p.Log.Len(turn), p.Commits.Len(turn))
		}
		return nil
	})
	return nodes
}

// sameCommits compares who the commits are, their parents and their authors.
func sameCommits(t *testing.T, dir string, nodes map[string]*node) {
	t.Helper()
	out := git(t, dir, "log", "--all", "-z", "--format=%H%n%P%n%at%n%an <%ae>")
	seen := 0
	for rec := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		f := strings.SplitN(rec, "\n", 4)
		if len(f) < 4 {
			continue // an empty repository
		}
		seen++
		n := nodes[f[0]]
		if n == nil {
			t.Errorf("the graph lacks %s", f[0])
			continue
		}
		if strings.Join(n.parents, " ") != f[1] || n.author != f[3] || n.when < 1e11 && n.when > 0 && fmt.Sprint(n.when) != f[2] {
			t.Errorf("commit %s: %q %q %d instead of %q", f[0], n.parents, n.author, n.when, f)
		}
	}
	if seen != len(nodes) {
		t.Errorf("%d commits instead of %d", len(nodes), seen)
	}
}

// sameChanges compares which files the commits touch. It reads no blobs, so it works where
// some are missing.
func sameChanges(t *testing.T, dir string, nodes map[string]*node) {
	t.Helper()
	want := map[string][]string{}
	var hash string
	for tok := range strings.SplitSeq(git(t, dir, "-c", "log.showRoot=true", "log", "--all", "-z", "--no-renames", "--name-only", "--no-merges", "--format=commit %H"), "\x00") {
		if h, ok := strings.CutPrefix(strings.TrimPrefix(tok, "\n"), "commit "); ok && len(h) == 40 {
			hash = h
		} else if tok = strings.TrimPrefix(tok, "\n"); tok != "" || hash == "" {
			want[hash] = append(want[hash], tok)
		}
	}
	for hash, n := range nodes {
		got := slices.Sorted(maps.Keys(n.changes))
		// The first path after a header begins with a newline, as a path itself may.
		if slices.Sort(want[hash]); len(n.parents) < 2 && !slices.Equal(got, want[hash]) {
			t.Errorf("commit %s touches %d files instead of %d: %.200q", hash, len(got), len(want[hash]), got)
		}
	}
}

func sameRefs(t *testing.T, rt *sturdy.Runtime, dir string) {
	t.Helper()
	want := map[string]string{}
	refs := strings.Fields(git(t, dir, "for-each-ref", "--format=%(refname)"))
	ask := strings.Join(refs, "^{}\n") + "^{}\n"
	if len(refs) == 0 {
		ask = ""
	}
	for i, line := range slices.Collect(strings.Lines(gitWith(t, dir, ask, "cat-file", "--batch-check=%(objecttype) %(objectname)"))) {
		if hash, ok := strings.CutPrefix(strings.TrimSpace(line), "commit "); ok {
			want[refs[i]] = hash
		}
	}
	view(t, rt, func(turn *sturdy.ReadTurn, p gitgraph.Parts) error {
		got := map[string]string{}
		for ref, c := range p.Refs.All(turn) {
			if ref != "HEAD" {
				got[ref] = must(gitgraph.Commit{Ref: c}.Hash(turn))
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("refs are %v\ninstead of %v", got, want)
		}
		return nil
	})
}

// sameAuthors compares who touched a file with what git log says.
func sameAuthors(t *testing.T, rt *sturdy.Runtime, dir string, nodes map[string]*node) {
	t.Helper()
	touches := map[string]map[string]int64{}
	for _, n := range nodes {
		for path := range n.changes {
			if touches[path] == nil {
				touches[path] = map[string]int64{}
			}
			touches[path][n.author]++
		}
	}
	view(t, rt, func(turn *sturdy.ReadTurn, p gitgraph.Parts) error {
		if p.Files.Len(turn) != len(touches) {
			t.Errorf("%d files instead of %d", p.Files.Len(turn), len(touches))
		}
		for path, want := range touches {
			got := map[string]int64{}
			for _, s := range must(must(p.File(turn, path)).Authors(turn)) {
				got[s.Ident] = s.Commits
			}
			if !maps.Equal(got, want) {
				t.Errorf("%q was touched by %v instead of %v", path, got, want)
			}
		}
		return nil
	})
	r := rand.New(rand.NewPCG(*seed, 1))
	paths := slices.Sorted(maps.Keys(touches))
	for range min(len(paths), sample()) {
		path := paths[r.IntN(len(paths))]
		want := map[string]int64{}
		for line := range strings.SplitSeq(git(t, dir, "-c", "log.showRoot=true", "log", "--all", "-z", "--full-history", "--no-merges", "--no-renames", "--format=%an <%ae>", "--", ":(literal)"+path), "\x00") {
			if line != "" {
				want[line]++
			}
		}
		// A path that is a folder at another time matches what is in there: git has no way to
		// ask for the file alone.
		if folder := slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, path+"/") }); !folder && !maps.Equal(touches[path], want) {
			t.Errorf("%q was touched by %v; git says %v", path, touches[path], want)
		}
	}
}

// samePairs compares with a plain count over what git prints.
func samePairs(t *testing.T, rt *sturdy.Runtime, dir string) {
	t.Helper()
	g := must(gitgraph.Of(t.Context(), rt))
	got, err := gitgraph.Together(t.Context(), rt, g, 25)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[[2]string]int{}
	for _, n := range read(t, rt) {
		paths := slices.Sorted(maps.Keys(n.changes))
		if len(paths) > gitgraph.Wide {
			continue
		}
		for i, a := range paths {
			for _, b := range paths[i+1:] {
				counts[[2]string{a, b}]++
			}
		}
	}
	var want []gitgraph.Pair
	for k, n := range counts {
		want = append(want, gitgraph.Pair{A: k[0], B: k[1], Commits: n})
	}
	slices.SortFunc(want, func(a, b gitgraph.Pair) int {
		return cmp.Or(b.Commits-a.Commits, cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
	})
	if want = want[:min(25, len(want))]; !slices.Equal(got, want) {
		t.Errorf("together: %v\ninstead of %v", got, want)
	}
}

// sameDifferences compares Reachable with git rev-list on pairs of commits.
func sameDifferences(t *testing.T, rt *sturdy.Runtime, dir string) {
	t.Helper()
	all := strings.Fields(git(t, dir, "rev-list", "--all"))
	r := rand.New(rand.NewPCG(*seed, 2))
	for range min(len(all), sample()) {
		a, b := all[r.IntN(len(all))], all[r.IntN(len(all))]
		want := strings.Fields(git(t, dir, "rev-list", a, "^"+b))
		var got []string
		view(t, rt, func(turn *sturdy.ReadTurn, p gitgraph.Parts) error {
			got = got[:0]
			for c, err := range gitgraph.Reachable(turn, []gitgraph.Commit{must(p.Commit(turn, a))}, []gitgraph.Commit{must(p.Commit(turn, b))}) {
				got = append(got, must(must(c, err).Hash(turn)))
			}
			return nil
		})
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s without %s: %d commits instead of %d", a, b, len(got), len(want))
		}
	}
}
