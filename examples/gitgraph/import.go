package gitgraph

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Options of an Import. The zero value will do.
type Options struct {
	// Progress is called before the first batch and after each with the commits imported so
	// far and those to import, of this run. It must return soon. nil: nobody asks.
	Progress func(done, total int)
	// Batch is how many commits and files of commits one turn imports, about; 0: 1000.
	Batch int
}

// Report is what an Import has done.
type Report struct {
	Imported int // commits
	Total    int // commits in the graph now
	Refs     int // that stand for commits
}

// defaultBatch keeps a turn below 50 ms: measured on two slow cores, half of the turns take
// less than 10 ms and one in a hundred more than 50. At 4000 the half is 40 ms, and the import
// is hardly faster: it waits for git. A commit is never divided, so that it is in the graph
// with all its files or not at all: one that makes ten thousand files takes 150 ms.
const defaultBatch = 1000

// ErrDeepened is returned by Import when a shallow clone has been given history that lies
// below commits already imported.
const ErrDeepened caps.Code = "gitgraph.example/deepened"

// Import brings the graph of rt's world up to date with the repository that dir is in. It
// can be ended at any time: when ctx ends it finishes the batch at hand and returns the
// cause, and a machine that dies loses at most the newest batches. Another Import goes on
// where it stopped: that a commit is in the graph is the record of its import, and is
// written in the same turn.
func Import(ctx context.Context, rt *sturdy.Runtime, dir string, o Options) (Report, error) {
	if o.Batch <= 0 {
		o.Batch = defaultBatch
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	repo, err := openRepository(ctx, dir)
	if err != nil {
		return Report{}, err
	}
	ref, err := rt.Root().Ensure(ctx, name, newGraph)
	if err != nil {
		return Report{}, err
	}
	im := &importer{rt: rt, repo: repo, graph: Graph{ref}, o: o}
	err = im.run(ctx)
	// Batches go to the disk behind the import's back, in order; here it waits for them.
	err = errors.Join(err, rt.Sync(context.WithoutCancel(ctx)))
	return im.report, err
}

// importer is one run of Import.
type importer struct {
	rt     *sturdy.Runtime
	repo   *repository
	graph  Graph
	o      Options
	report Report
	total  int
}

func (im *importer) run(ctx context.Context) error {
	// The refs are read once and first: what they reach now is what is imported, whatever
	// moves meanwhile.
	refs, err := im.repo.refs(ctx)
	if err != nil {
		return err
	}
	tips, err := im.repo.commits(ctx, refs)
	if err != nil {
		return err
	}
	if err := im.shallow(ctx, tips); err != nil {
		return err
	}
	todo, err := im.todo(ctx, tips)
	if err != nil {
		return err
	}
	im.total = len(todo)
	im.o.Progress(0, im.total)
	if err := im.batches(ctx, todo); err != nil {
		return err
	}
	return im.rt.Update(ctx, func(t *sturdy.WriteTurn) error { return im.moveRefs(t, refs) })
}

// todo lists the commits that the graph lacks, parents before children. Refs are recorded
// when everything that they reach is in the graph, so git need not list that again; what an
// import that was stopped has done is looked up commit by commit.
func (im *importer) todo(ctx context.Context, tips []string) (todo []string, err error) {
	known, err := im.known(ctx)
	if err != nil {
		return nil, err
	}
	all, err := im.repo.reachable(ctx, tips, known)
	if err != nil {
		return nil, err
	}
	for page := range slices.Chunk(all, 10_000) { // a turn for each page: snapshots do not last for ever
		var absent []string
		err := im.rt.View(ctx, func(t *sturdy.ReadTurn) error {
			absent = absent[:0]
			p, err := im.graph.Contents(t)
			if err != nil {
				return err
			}
			for _, hash := range page {
				if _, ok := p.Commits.Get(t, hash); !ok {
					absent = append(absent, hash)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		todo = append(todo, absent...)
	}
	return todo, nil
}

// known lists the hashes that the graph's refs stand for.
func (im *importer) known(ctx context.Context) (known []string, err error) {
	err = im.rt.View(ctx, func(t *sturdy.ReadTurn) error {
		known = known[:0]
		p, err := im.graph.Contents(t)
		if err != nil {
			return err
		}
		for _, ref := range p.Refs.All(t) {
			hash, err := Commit{ref}.Hash(t)
			if err != nil {
				return err
			}
			known = append(known, hash)
		}
		return nil
	})
	slices.Sort(known)
	return slices.Compact(known), err
}

// shallow records the boundary of a shallow clone: the commits that the graph has, or will
// have, as roots although they are none. It refuses a clone in which one of them has parents
// by now. That a commit is out of git's list is not enough: it may be out of reach.
func (im *importer) shallow(ctx context.Context, tips []string) error {
	now, err := im.repo.boundary(ctx)
	if err != nil {
		return err
	}
	var missing []string
	err = im.rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		p, err := contents.Call(t, im.graph.Ref)
		if err != nil {
			return err
		}
		missing = missing[:0]
		all := p.Boundary
		for _, hash := range p.Boundary {
			if _, ok := p.Commits.Get(t, hash); ok && !slices.Contains(now, hash) {
				missing = append(missing, hash)
			}
		}
		for _, hash := range now {
			if _, ok := p.Commits.Get(t, hash); !ok && !slices.Contains(all, hash) {
				all = append(all, hash)
			}
		}
		return bound.Call(t, im.graph.Ref, all)
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	reached, err := im.repo.reachable(ctx, tips, nil)
	if i := slices.IndexFunc(missing, func(hash string) bool { return slices.Contains(reached, hash) }); err == nil && i >= 0 {
		return fmt.Errorf("%w: the repository has now what lies below commit %s, which the graph has as a root; import into a new world", ErrDeepened, missing[i])
	}
	return err
}

// batches imports todo. Git runs beside the turns: it is the slower of the two.
func (im *importer) batches(outer context.Context, todo []string) error {
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	ready, ended := make(chan []*entry, 4), make(chan error, 1)
	go func() {
		ended <- im.read(ctx, todo, ready)
		close(ready)
	}()
	for b := range ready {
		if outer.Err() != nil {
			break
		}
		if err := im.write(outer, b); err != nil {
			cancel()
			<-ended
			return err
		}
		im.report.Imported += len(b)
		im.o.Progress(im.report.Imported, im.total)
	}
	cancel()
	return cmp.Or(context.Cause(outer), <-ended)
}

// read has git print todo, and sends it on in batches.
func (im *importer) read(ctx context.Context, todo []string, ready chan<- []*entry) error {
	var b []*entry
	weight := 0
	send := func() error {
		select {
		case ready <- b:
			b, weight = nil, 0
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := im.repo.each(ctx, todo, func(e *entry) error {
		b = append(b, e)
		if weight += 2 + len(e.changes); weight < im.o.Batch {
			return nil
		}
		return send()
	})
	if err != nil || len(b) == 0 {
		return err
	}
	return send()
}

// write imports a batch as one turn: all of it is in the graph, or nothing. It is not
// interrupted, and does not wait for the disk.
func (im *importer) write(ctx context.Context, batch []*entry) error {
	ctx = sturdy.Relaxed(context.WithoutCancel(ctx))
	return im.rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		p, err := contents.Call(t, im.graph.Ref)
		for i := 0; err == nil && i < len(batch); i++ {
			err = p.add(t, batch[i])
		}
		return err
	})
}

// moveRefs makes the graph's refs the given ones, as far as they stand for commits.
func (im *importer) moveRefs(t *sturdy.WriteTurn, refs map[string]string) error {
	p, err := contents.Call(t, im.graph.Ref)
	if err != nil {
		return err
	}
	was := maps.Collect(p.Refs.All(t))
	im.report.Refs, im.report.Total = 0, p.Log.Len(t)
	for _, ref := range slices.Sorted(maps.Keys(refs)) { // the same order each time the turn is run
		c, ok := p.Commits.Get(t, refs[ref])
		if !ok {
			continue // a tag of a file or a tree
		}
		im.report.Refs++
		if !was[ref].Same(c.Ref) {
			err = errors.Join(err, p.Refs.Put(t, ref, c.Ref))
		}
		delete(was, ref)
	}
	for _, ref := range slices.Sorted(maps.Keys(was)) {
		err = errors.Join(err, p.Refs.Delete(t, ref))
	}
	return err
}

// add puts a commit into the graph and links it. A commit that is there already stays as it
// is, so nothing is ever counted twice.
func (p Parts) add(t *sturdy.WriteTurn, e *entry) error {
	if _, ok := p.Commits.Get(t, e.hash); ok {
		return nil
	}
	parents := make([]Commit, len(e.parents))
	for i, hash := range e.parents {
		parent, ok := p.Commits.Get(t, hash)
		if !ok {
			return fmt.Errorf("%w: commit %s has the parent %s, which the graph lacks", ErrUnknown, e.hash, hash)
		}
		parents[i] = parent
	}
	by := p.author(t, e.author)
	changes := make([]Change, len(e.changes))
	for i, l := range e.changes {
		changes[i] = Change{p.file(t, l.path), l.added, l.removed}
	}
	c := newCommit(t, commit{
		Hash: e.hash, Seq: int64(p.Log.Len(t)), Author: by, When: e.when, Message: e.message, Parents: parents,
	}, changes)
	p.Commits.Put(t, e.hash, c)
	p.Log.Append(t, c)
	for _, ch := range changes {
		if err := touch.Call(t, ch.File.Ref, Touch{c, by, ch.Added, ch.Removed}); err != nil {
			return err
		}
	}
	return wrote.Call(t, by.Ref, c)
}

func newCommit(t *sturdy.WriteTurn, c commit, changes []Change) Commit {
	if len(changes) <= few {
		c.Few = changes
		return Commit{commitKind.New(t, c)}
	}
	c.Many = sturdy.NewList[Change](t)
	for _, ch := range changes {
		c.Many.Append(t, ch)
	}
	return Commit{commitKind.New(t, c)}
}

// author returns the author of that name, and makes him if need be.
func (p Parts) author(t *sturdy.WriteTurn, ident string) Author {
	a, ok := p.Authors.Get(t, key(ident))
	if !ok {
		a = Author{authorKind.New(t, author{ident, sturdy.NewList[Commit](t)})}
		p.Authors.Put(t, key(ident), a)
	}
	return a
}

// file returns the file at path, and makes it if need be.
func (p Parts) file(t *sturdy.WriteTurn, path string) File {
	f, ok := p.Files.Get(t, key(path))
	if !ok {
		f = File{fileKind.New(t, file{path, sturdy.NewList[Touch](t)})}
		p.Files.Put(t, key(path), f)
	}
	return f
}

// key is what s is found by. Keys are bounded and what git allows is not.
func key(s string) string {
	const most = 2 << 10
	if len(s) <= most {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return s[:most] + "..." + hex.EncodeToString(sum[:])
}
