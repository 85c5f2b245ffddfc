package sturdy

import (
	"context"
	"errors"
	"log/slog"
	goruntime "runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// A group that finds the disk full takes back what it had, and the mailroom is read from disk
// again. Here that happens while letters are on their way to another host. Their couriers are
// driven by hand, so that it happens where it should.

// narrow is two worlds on disks that can be full. Neither does anything by itself.
type narrow struct {
	*pen
	disks map[*Runtime]*objstore.MemoryFiles
}

func narrows(t *testing.T) *narrow {
	n := &narrow{pen: &pen{T: t}, disks: map[*Runtime]*objstore.MemoryFiles{}}
	n.a, n.b = n.on(objstore.NewMemory()), n.on(objstore.NewMemory())
	n.there, n.own = n.diary(n.a), n.diary(n.b)
	text, err := n.a.Export(t.Context(), n.there, n.b.Host())
	n.must(err)
	n.ours, err = n.b.Import(text, n.a.Host(), "")
	n.must(err)
	t.Cleanup(n.close)
	return n
}

// on opens a world that hires no couriers.
func (n *narrow) on(files *objstore.MemoryFiles) *Runtime {
	n.Helper()
	rt, err := Options{Files: files, Kinds: []Kind{diaryKind}, Log: slog.New(slog.DiscardHandler)}.Open()
	n.must(err)
	cs, v := &rt.couriers, rt.vat
	cs.mu.Lock()
	cs.open = false
	cs.mu.Unlock()
	cs.stop()
	cs.running.Wait()
	cs.by = map[string]*courier{}
	cs.ctx, cs.stop = context.WithCancel(context.Background())
	v.w.lockInternal() // and what one may have taken out of a route is there again
	n.must(v.loadMail())
	v.w.unlock()
	n.disks[rt] = files
	return rt
}

// full has a group of rt find no room, and then there is some again.
func (n *narrow) full(rt *Runtime) {
	n.Helper()
	was := rt.vat.mail.losses
	taking := map[string]bool{}
	n.disks[rt].Hook(func(op, name string, _ int) (int, error) {
		switch {
		case op == "sync":
			taking[name] = false
		case op == "create", op == "write" && !taking[name]:
			taking[name] = true
			return 0, syscall.ENOSPC
		}
		return 0, nil
	})
	err := rt.Update(context.Background(), func(t *WriteTurn) error { diaryKind.New(t, diary{}); return nil })
	if !errors.Is(err, ErrDiskFull) {
		n.Fatal("the disk is full, and a turn is told", err)
	}
	n.disks[rt].Hook(nil)
	for err = rt.Sync(context.Background()); err != nil; err = rt.Sync(context.Background()) { // one more may be failing just now
		if !errors.Is(err, ErrDiskFull) {
			n.Fatal(err)
		}
	}
	if rt.vat.mail.losses == was {
		n.Fatal("nothing was lost")
	}
}

// by is a courier of rt for the other host.
func (n *narrow) by(rt *Runtime) *courier {
	to := n.a.Host()
	if rt == n.a {
		to = n.b.Host()
	}
	c := &courier{rt: rt, host: to, most: maxParcels, news: make(chan struct{}, 1), call: make(chan struct{}, 1), back: make(chan *load, maxUnderWay)}
	c.timer = time.NewTimer(time.Hour)
	n.Cleanup(func() { c.timer.Stop() })
	return c
}

// leaves has the next batch of c on its way.
func (n *narrow) leaves(c *courier) (b *load, letters []byte) {
	n.Helper()
	n.must(c.rt.Sync(context.Background()))
	b, _, waits := c.collect()
	if b == nil {
		n.Fatal("nothing leaves, and letters that wait:", waits)
	}
	n.must(b.read(c.rt.vat))
	for _, p := range b.ps {
		n.must(p.failed)
	}
	if b.theirs = c.theirs; len(c.under) > 0 {
		b.after = c.last
	}
	letters, err := c.pack(context.Background(), b)
	n.must(err)
	if last := b.ps[len(b.ps)-1]; !last.answer {
		c.last = last.seq
	}
	c.under = append(c.under, b)
	return b, letters
}

// comes has a batch taken at the other host, and its answer told.
func (n *narrow) comes(c *courier, b *load, letters []byte) {
	n.Helper()
	to, from := n.a, n.b
	if c.rt == n.a {
		to, from = n.b, n.a
	}
	b.answer, b.err = to.Accept(context.Background(), from.Host(), "", letters)
	n.must(b.err)
	c.ended(b)
}

// lost has the answer to a batch, or the batch, lost.
func (n *narrow) lost(c *courier, b *load, why caps.Code) {
	b.err = why
	c.ended(b)
	c.resting = false
}

// quiet waits until rt has delivered what it can.
func (n *narrow) quiet(rt *Runtime) {
	n.Helper()
	_, err := rt.Settle(context.Background())
	n.must(err)
	n.must(rt.Sync(context.Background()))
}

// owes has b's letters taken and run at a, which has been opened again since and has their
// outcomes. a is then one that has read them from disk.
func (n *narrow) owes(letters int) (ps []caps.Promise[int64]) {
	n.Helper()
	for i := range letters {
		ps = append(ps, diaryWrite.Send(context.Background(), n.ours, int64(i)))
	}
	c := n.by(n.b)
	b, text := n.leaves(c)
	n.comes(c, b, text)
	n.quiet(n.a)
	n.must(n.a.Close())
	n.a = n.on(n.disks[n.a])
	n.there = n.diary(n.a)
	if got := n.a.vat.mail.routes[n.b.Host()]; got == nil || got.letters != letters {
		n.Fatalf("%d outcomes should wait: %+v", letters, got)
	}
	return ps
}

// kept fails unless every outcome is brought by c, once, and nobody is charged for any after that.
func (n *narrow) kept(c *courier, ps []caps.Promise[int64]) {
	n.Helper()
	b, text := n.leaves(c)
	seen := map[uint64]bool{}
	for _, p := range b.ps {
		if seen[p.seq] {
			n.Errorf("outcome %d is brought twice in one batch", p.seq)
		}
		seen[p.seq] = true
	}
	if len(seen) != len(ps) {
		n.Errorf("%d outcomes are brought, of %d", len(seen), len(ps))
	}
	n.comes(c, b, text)
	for i, p := range ps {
		if got, err := p.Await(within(n.T)); got != int64(i) || err != nil {
			n.Error(got, err)
		}
	}
	n.quiet(n.a)
	for _, rt := range []*Runtime{n.a, n.b} {
		if m := &rt.vat.mail; len(m.accounts)+len(m.boxes)+len(m.routes) != 0 {
			n.Errorf("left: %v %v %v", m.accounts, m.boxes, m.routes)
		}
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A batch of outcomes is lost, and meanwhile the mailroom was read again: what is in it now waits
// already.
func TestABatchThatIsLostAfterARollbackIsNotGivenBackToo(t *testing.T) {
	n := narrows(t)
	ps := n.owes(3)
	c := n.by(n.a)
	b, _ := n.leaves(c)
	n.full(n.a)
	n.lost(c, b, caps.ErrNotDelivered)
	n.kept(c, ps)
}

// The mailroom is read again after a batch has come back and before its letters are dropped.
func TestWhatWasTakenBeforeARollbackIsNotDroppedFromTheMailroomOfAfter(t *testing.T) {
	n := narrows(t)
	ps := n.owes(3)
	c := n.by(n.a)
	b, _ := n.leaves(c)
	for i := range b.ps {
		b.ps[i].taken, b.ps[i].over = true, true
	}
	n.full(n.a)
	c.drop(b)
	c.under = nil
	n.kept(c, ps)
}

// The same, and they cannot be dropped.
func TestWhatCannotBeDroppedAfterARollbackIsNotGivenBack(t *testing.T) {
	n := narrows(t)
	ps := n.owes(3)
	c := n.by(n.a)
	b, _ := n.leaves(c)
	for i := range b.ps {
		b.ps[i].taken, b.ps[i].over = true, true
	}
	n.full(n.a)
	was := n.a.couriers.ctx
	ended, stop := context.WithCancel(was)
	stop()
	n.a.couriers.ctx = ended // the turn that would drop them is not begun
	c.drop(b)
	n.a.couriers.ctx = was
	c.under, c.resting = nil, false
	n.kept(c, ps)
}

// What is brought after the mailroom was read again begins at the first letter. It would be said to
// belong behind the batch that is still under way, which has the same letters.
func TestAfterARollbackNothingLeavesBeforeWhatIsUnderWayIsBack(t *testing.T) {
	n := narrows(t)
	var ps []caps.Promise[int64]
	for i := range int64(fewParcels) {
		ps = append(ps, diaryWrite.Send(Relaxed(t.Context()), n.ours, i))
	}
	c := n.by(n.b)
	c.theirs = n.a.lineages.Load().Current
	first, letters := n.leaves(c)
	n.full(n.b)
	for i := range int64(fewParcels) {
		ps = append(ps, diaryWrite.Send(Relaxed(t.Context()), n.ours, fewParcels+i))
	}
	n.must(n.b.Sync(t.Context()))
	if b, _, _ := c.collect(); b != nil {
		t.Errorf("letters %d to %d leave, and %d to %d are under way", b.ps[0].seq, b.ps[len(b.ps)-1].seq, first.ps[0].seq, first.ps[len(first.ps)-1].seq)
	}
	n.comes(c, first, letters)
	next, letters := n.leaves(c)
	n.comes(c, next, letters)
	n.quiet(n.a)
	lines, err := diaryRead.Call(t.Context(), n.there)
	n.must(err)
	if len(lines) != len(ps) || !slices.IsSorted(lines) {
		t.Errorf("%d of %d letters were delivered, in order: %v", len(lines), len(ps), slices.IsSorted(lines))
	}
	back := n.by(n.a)
	b, letters := n.leaves(back)
	n.comes(back, b, letters)
	for i, p := range ps {
		if got, err := p.Await(within(t)); got != int64(i) || err != nil {
			t.Fatal(got, err)
		}
	}
}

// through is a grant of b's of a's diary.
func (n *narrow) through() (r caps.Ref, g Grant) {
	n.must(n.b.Update(context.Background(), func(t *WriteTurn) error {
		r, g = t.Grant(n.ours, caps.Terms{For: "x"})
		return nil
	}))
	return r, g
}

// ran fails unless a has written that, and b says of p what can be true.
func (n *narrow) ran(p caps.Promise[int64]) {
	n.Helper()
	if lines, err := diaryRead.Call(context.Background(), n.there); len(lines) != 1 || err != nil {
		n.Error("it should have run:", lines, err)
	}
	if got, err := p.Await(within(n.T)); err != nil && !errors.Is(err, caps.ErrMaybeExecuted) {
		n.Errorf("it ran, and its sender is told %d, %v", got, err)
	}
}

func TestALetterThatWasUnderWayAtARollbackHasPerhapsRun(t *testing.T) {
	for name, ends := range map[string]func(n *narrow, c *courier, g Grant){
		"and its grant is revoked, while its host is gone": func(n *narrow, c *courier, g Grant) {
			n.must(g.Revoke(context.Background()))
			c.rest = carryAtLeast
			c.endSome()
		},
		"and it is discarded": func(n *narrow, _ *courier, _ Grant) {
			n.must(n.b.Activity().Discard(context.Background(), n.waiting()[0].ID))
		},
		"and is discarded before the batch is back": nil,
	} {
		t.Run(name, func(t *testing.T) {
			n := narrows(t)
			r, g := n.through()
			p := diaryWrite.Send(t.Context(), r, 1)
			c := n.by(n.b)
			b, letters := n.leaves(c)
			_, err := n.a.Accept(t.Context(), n.b.Host(), "", letters)
			n.must(err)
			n.quiet(n.a)
			n.full(n.b)
			if ends == nil {
				n.must(n.b.Activity().Discard(t.Context(), n.waiting()[0].ID))
			}
			n.lost(c, b, caps.ErrMaybeExecuted)
			if ends != nil {
				ends(n, c, g)
			}
			n.ran(p)
		})
	}
}

// The other host says of a place that it has come that far. That is not to say that a letter which
// was revoked on the way has come: there may only have been word that it does not.
func TestALetterThatWasGivenUpIsNotWaitedForForEver(t *testing.T) {
	n := narrows(t)
	r, g := n.through()
	p := diaryWrite.Send(t.Context(), r, 1)
	c := n.by(n.b)
	b, _ := n.leaves(c)
	n.lost(c, b, caps.ErrMaybeExecuted) // before it came
	n.must(g.Revoke(t.Context()))
	b, letters := n.leaves(c)
	_, err := n.a.Accept(t.Context(), n.b.Host(), "", letters) // it is given up
	n.must(err)
	n.lost(c, b, caps.ErrMaybeExecuted) // and nobody hears that this was noted
	b, letters = n.leaves(c)
	n.comes(c, b, letters)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := p.Await(ctx); ctx.Err() != nil || !errors.Is(err, caps.ErrRevoked) && !errors.Is(err, caps.ErrMaybeExecuted) {
		t.Error(err, n.waiting())
	}
}

// The answer to a batch says that its letters will not be lost: whoever gets it brings them no more.
// That holds for one that comes twice, too, and has nothing to write.
func TestABatchIsAnsweredWhenItIsOnDisk(t *testing.T) {
	n := narrows(t)
	p := diaryWrite.Send(t.Context(), n.ours, 1)
	_, letters := n.leaves(n.by(n.b))
	reached, open := make(chan struct{}), make(chan struct{})
	arrive := sync.OnceFunc(func() { close(reached) })
	n.disks[n.a].Hook(func(op, _ string, _ int) (int, error) {
		if op == "sync" {
			arrive()
			<-open
		}
		return 0, nil
	})
	answered := make(chan error, 2)
	accept := func() { _, err := n.a.Accept(t.Context(), n.b.Host(), "", letters); answered <- err }
	go accept()
	<-reached
	go accept()
	for range 1000 {
		goruntime.Gosched()
	}
	if len(answered) > 0 {
		t.Error("answered before it was on disk")
	}
	close(open)
	n.must(<-answered)
	n.must(<-answered)
	n.disks[n.a].Hook(nil)
	n.quiet(n.a)
	back := n.by(n.a)
	b, letters := n.leaves(back)
	n.comes(back, b, letters)
	if got, err := p.Await(within(t)); got != 1 || err != nil {
		t.Error(got, err)
	}
	n.quiet(n.a)
}

// A world may be closed when a courier is just about to ask the other host for a sign of life.
func TestACourierThatCarriesNothingMoreEnds(t *testing.T) {
	n := narrows(t)
	diaryWrite.Send(t.Context(), n.ours, 1)
	c := n.by(n.b)
	b, text := n.leaves(c)
	n.comes(c, b, text)
	c.ping = true
	n.b.couriers.stop()
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.fill()
	}()
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on trying")
	}
}

// A letter that is written into a batch may be read again from disk just then. The race detector
// looks on.
func TestABatchIsPackedWhileTheMailroomIsReadAgain(t *testing.T) {
	n := narrows(t)
	diaryWrite.Send(t.Context(), n.ours, 1)
	c := n.by(n.b)
	b, _ := n.leaves(c)
	over, packed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(packed)
		for {
			select {
			case <-over:
				return
			default:
			}
			if err := b.read(n.b.vat); err != nil {
				t.Error(err)
			}
			if _, err := c.pack(context.Background(), b); err != nil && !errors.Is(err, ErrDiskFull) {
				t.Error(err)
			}
		}
	}()
	for range 10 {
		n.full(n.b)
	}
	close(over)
	<-packed
}
