package gitgraph

import (
	"cmp"
	"container/heap"
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// authors sums up the touches of a file. A query is a loop.
func (f *file) authors(t *sturdy.ReadTurn) ([]Share, error) {
	shares := map[caps.Ref]*Share{}
	for _, by := range f.Touches.Range(t, 0, f.Touches.Len(t)) {
		s := shares[by.Author.Ref]
		if s == nil {
			s = &Share{Author: by.Author}
			shares[by.Author.Ref] = s
		}
		s.Commits++
		s.Added += max(by.Added, 0)
		s.Removed += max(by.Removed, 0)
	}
	all := make([]Share, 0, len(shares))
	for _, s := range shares {
		ident, err := s.Author.Ident(t)
		if err != nil {
			return nil, err
		}
		s.Ident = ident
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Commits, a.Commits), cmp.Compare(a.Ident, b.Ident))
	})
	return all, nil
}

// Reachable yields the commits that can be reached from any of those in from and from none in
// without, children before parents, the newest in the graph first. An error ends it.
//
// It looks at no more of the graph than it has to: every parent has a lower Seq than its
// children, so once the commit with the highest Seq is taken up, all ways to it are known.
func Reachable(t sturdy.Turn, from, without []Commit) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		w := walk{t: t, seen: map[int64]*step{}}
		err := w.add(from, false)
		if err == nil {
			err = w.add(without, true)
		}
		for err == nil && w.wanted > 0 {
			s := heap.Pop(&w).(*step)
			delete(w.seen, s.place.Seq)
			if !s.without {
				w.wanted--
				if !yield(s.commit, nil) {
					return
				}
			}
			err = w.add(s.place.Parents, s.without)
		}
		if err != nil {
			yield(Commit{}, err)
		}
	}
}

// walk is the edge of what has been looked at: a heap of commits, the highest Seq on top.
type walk struct {
	t      sturdy.Turn
	edge   []*step
	seen   map[int64]*step // what is in edge
	wanted int             // how many in edge are not without
}

type step struct {
	commit  Commit
	place   Place
	without bool // it is reached from what is to be left out
}

func (w *walk) add(list []Commit, without bool) error {
	for _, c := range list {
		place, err := Where.Call(w.t, c.Ref)
		if err != nil {
			return err
		}
		s := w.seen[place.Seq]
		switch {
		case s == nil:
			s = &step{c, place, without}
			w.seen[place.Seq] = s
			heap.Push(w, s)
			if !without {
				w.wanted++
			}
		case without && !s.without:
			s.without = true
			w.wanted--
		}
	}
	return nil
}

func (w *walk) Len() int           { return len(w.edge) }
func (w *walk) Less(i, j int) bool { return w.edge[i].place.Seq > w.edge[j].place.Seq }
func (w *walk) Swap(i, j int)      { w.edge[i], w.edge[j] = w.edge[j], w.edge[i] }

// Push is for package heap.
func (w *walk) Push(s any) { w.edge = append(w.edge, s.(*step)) }

// Pop is for package heap.
func (w *walk) Pop() any {
	last := w.edge[len(w.edge)-1]
	w.edge = w.edge[:len(w.edge)-1]
	return last
}

// Pair is two files and the number of commits that touched both; A's path is the lesser.
type Pair struct {
	A, B    string
	Commits int
}

// Wide is how many files a commit may touch for Together to look at it: one that touches a
// great many says little of any two, and makes pairs by the square.
const Wide = 50

// Together returns the n pairs of files that changed together most often. It reads the log
// in many turns, as no snapshot lasts as long as that may take; commits never change, so the
// result is that of one turn all the same.
func Together(ctx context.Context, rt *sturdy.Runtime, g Graph, n int) ([]Pair, error) {
	const page = 5000
	counts := map[[2]caps.Ref]int{}
	for from, end := 0, 1; from < end; from += page {
		var seen [][]Change // what the turn has read: a turn changes nothing outside, as it may run again
		err := rt.View(ctx, func(t *sturdy.ReadTurn) (err error) {
			p, err := g.Contents(t)
			if err != nil {
				return err
			}
			end = p.Log.Len(t)
			seen, err = p.changes(t, from, from+page)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, changes := range seen {
			count(counts, changes)
		}
	}
	return top(ctx, rt, counts, n)
}

// changes returns what the commits at positions from, up to and without to, have touched, if
// it is more than one file and not more than Wide.
func (p Parts) changes(t sturdy.Turn, from, to int) (seen [][]Change, err error) {
	for _, c := range p.Log.Range(t, from, to) {
		changes, err := c.Files(t)
		if err != nil {
			return nil, err
		}
		if len(changes) > 1 && len(changes) <= Wide {
			seen = append(seen, changes)
		}
	}
	return seen, nil
}

// count counts the pairs in a commit's changes, which are in order of path.
func count(counts map[[2]caps.Ref]int, changes []Change) {
	for i, a := range changes {
		for _, b := range changes[i+1:] {
			counts[[2]caps.Ref{a.File.Ref, b.File.Ref}]++
		}
	}
}

// top returns the n most frequent pairs, those of the same number in order of path.
func top(ctx context.Context, rt *sturdy.Runtime, counts map[[2]caps.Ref]int, n int) ([]Pair, error) {
	most := slices.Sorted(maps.Values(counts))
	if n = min(n, len(most)); n <= 0 {
		return nil, nil
	}
	least := most[len(most)-n] // every pair of that number is a candidate
	var pairs []Pair
	err := rt.View(ctx, func(t *sturdy.ReadTurn) error {
		pairs = pairs[:0]
		for files, commits := range counts {
			if commits < least {
				continue
			}
			a, err := File{files[0]}.Path(t)
			if err != nil {
				return err
			}
			b, err := File{files[1]}.Path(t)
			if err != nil {
				return err
			}
			pairs = append(pairs, Pair{a, b, commits})
		}
		return nil
	})
	slices.SortFunc(pairs, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(b.Commits, a.Commits), cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
	})
	return pairs[:min(n, len(pairs))], err
}
