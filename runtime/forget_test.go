package sturdy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

const tallyAdd caps.Method[int64, int64] = "add"

type tally struct{ N int64 }

func (c *tally) add(_ *WriteTurn, n int64) (int64, error) { c.N += n; return c.N, nil }

var tallyKind = Define("test.example/tally", Method(tallyAdd, (*tally).add))

// cables connects worlds of one process, as long as nobody cuts it, and has one clock for them.
type cables struct {
	t    *testing.T
	mu   sync.Mutex
	by   map[string]*Runtime
	cut  map[string]bool // hosts that cannot be reached
	late atomic.Int64    // how far the clock is ahead
	runs sync.RWMutex    // held by what is being brought
}

type cable struct {
	Wire
	of   *cables
	from string
}

func (c cable) Address() string { return "" }

func (c cable) Send(ctx context.Context, host, _ string, letters []byte) ([]byte, error) {
	c.of.runs.RLock()
	defer c.of.runs.RUnlock()
	c.of.mu.Lock()
	to, cut := c.of.by[host], c.of.cut[host] || c.of.cut[c.from]
	c.of.mu.Unlock()
	if to == nil || cut {
		return nil, caps.ErrNotDelivered
	}
	return to.Accept(ctx, c.from, "", letters)
}

func newCables(t *testing.T) *cables {
	return &cables{t: t, by: map[string]*Runtime{}, cut: map[string]bool{}}
}

func (c *cables) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cables) clock() time.Time { return time.Now().Add(time.Duration(c.late.Load())) }

func (c *cables) pass(d time.Duration) { c.late.Add(int64(d)) }

// open opens a world, in memory if dir is empty, and a tally in it.
func (c *cables) open(dir string) (*Runtime, caps.Ref) {
	c.t.Helper()
	rt, err := Options{Dir: dir, Kinds: []Kind{tallyKind}, Clock: c.clock, Checked: true}.Open()
	c.must(err)
	_, err = rt.Connect(cable{of: c, from: rt.Host()})
	c.must(err)
	c.mu.Lock()
	c.by[rt.Host()] = rt
	c.mu.Unlock()
	c.t.Cleanup(func() { c.must(errors.Join(rt.Close())) })
	r, err := rt.Root().Ensure(c.t.Context(), "tally", func(t *WriteTurn) caps.Ref { return tallyKind.New(t, tally{}) })
	c.must(err)
	return rt, r
}

// reach cuts host off, or ends that. What is being brought has come by then: the clock may pass.
func (c *cables) reach(rt *Runtime, is bool) {
	c.runs.Lock()
	c.mu.Lock()
	c.cut[rt.Host()] = !is
	c.runs.Unlock()
	worlds := []*Runtime{}
	for _, w := range c.by {
		worlds = append(worlds, w)
	}
	c.mu.Unlock()
	for _, w := range worlds {
		w.Reached(rt.Host())
		rt.Reached(w.Host())
	}
}

// give is ref of from as to holds it.
func (c *cables) give(from *Runtime, ref caps.Ref, to *Runtime) caps.Ref {
	c.t.Helper()
	token, err := from.Export(c.t.Context(), ref, to.Host())
	c.must(err)
	r, err := to.Import(token, from.Host(), "")
	c.must(err)
	return r
}

// peers is how many hosts rt remembers, on its disk.
func (c *cables) peers(rt *Runtime) (n int64) {
	c.t.Helper()
	c.must(rt.Sync(c.t.Context()))
	ks, err := rt.Kinds(c.t.Context())
	c.must(err)
	for _, k := range ks {
		if k.Name == "sturdy/peer" {
			n += k.Objects
		}
	}
	rows := int64(0)
	c.must(rt.View(c.t.Context(), func(t *ReadTurn) error {
		rows = 0
		for range t.elems("h", "i") {
			rows++
		}
		return nil
	}))
	if rows != n {
		c.t.Errorf("%d peers, and %d rows for them", n, rows)
	}
	return n
}

// elems is the elements of the activity from lo on and below hi.
func (t *ReadTurn) elems(lo, hi string) (all []string) {
	t.scan(t.vat.rt.activity, lo, hi, func(elem string, _ objstore.Record) bool { all = append(all, elem); return true })
	return all
}

// forgets fails unless want peers are removed.
func (c *cables) forgets(rt *Runtime, want int) {
	c.t.Helper()
	n, err := rt.forget(c.t.Context())
	c.must(err)
	if n != want {
		c.t.Errorf("%d hosts were forgotten, want %d", n, want)
	}
	c.must(rt.Check(c.t.Context()))
}

func (c *cables) holds(r caps.Ref, want int64) {
	c.t.Helper()
	if n, err := tallyAdd.Call(c.t.Context(), r, 0); n != want || err != nil {
		c.t.Errorf("it holds %d, %v; want %d", n, err, want)
	}
}

// settled waits until nothing waits at rt for another host.
func (c *cables) settled(rt *Runtime) {
	c.t.Helper()
	for late := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
		waiting, err := rt.Waiting(c.t.Context())
		c.must(err)
		if len(waiting) == 0 {
			return
		}
		if time.Now().After(late) {
			c.t.Fatal("still waiting:", waiting)
		}
	}
}

func TestHostsThatHaveNothingHereAreForgotten(t *testing.T) {
	c, dir := newCables(t), t.TempDir()+"/w"
	a, r := c.open(dir)
	const guests = 300 // more than a page
	var last *Runtime
	var seat caps.Ref
	for range guests {
		b, _ := c.open("")
		at := c.give(a, r, b)
		if _, err := tallyAdd.Send(t.Context(), at, 1).Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		if last != nil {
			c.must(last.Close())
		}
		last, seat = b, at
	}
	c.settled(a)
	if n := c.peers(a); n != guests {
		t.Fatalf("%d hosts are remembered", n)
	}
	c.forgets(a, 0) // they have just been here
	c.pass(forgetAfter + time.Minute)
	c.forgets(a, guests)
	if n := c.peers(a); n != 0 {
		t.Errorf("%d hosts are remembered", n)
	}
	if a.Knows(last.Host()) {
		t.Error("known, and forgotten")
	}
	// One of them comes back, and is a new one.
	if _, err := tallyAdd.Send(t.Context(), seat, 1).Await(t.Context()); err != nil {
		t.Error(err)
	}
	c.holds(r, guests+1)
	c.settled(a)
	if n := c.peers(a); n != 1 || !a.Knows(last.Host()) {
		t.Errorf("%d hosts are remembered", n)
	}
	c.must(a.Close())
	again, r := c.open(dir)
	c.holds(r, guests+1)
	if n := c.peers(again); n != 1 {
		t.Errorf("%d hosts are remembered after a restart", n)
	}
}

// owed is a host b whose letter a has run, and whose outcome a cannot bring.
func owed(t *testing.T) (c *cables, a, b *Runtime, r, at caps.Ref, p caps.Promise[int64]) {
	c = newCables(t)
	a, r = c.open("")
	b, _ = c.open("")
	at = c.give(a, r, b)
	c.mu.Lock()
	delete(c.by, b.Host()) // nobody finds it
	c.mu.Unlock()
	p = tallyAdd.Send(t.Context(), at, 1)
	for late := time.Now().Add(30 * time.Second); len(waitingAt(c, a)) == 0; <-time.After(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("nothing came")
		}
	}
	c.reach(b, false)
	c.must(a.Sync(t.Context())) // else the first day may not see the host
	return c, a, b, r, at, p
}

func waitingAt(c *cables, rt *Runtime) map[string]int {
	waiting, err := rt.Waiting(c.t.Context())
	c.must(err)
	return waiting
}

// back has b come back.
func (c *cables) back(b *Runtime) {
	c.mu.Lock()
	c.by[b.Host()] = b
	c.mu.Unlock()
	c.reach(b, true)
}

func TestWhatAHostIsOwedWaitsForTheLease(t *testing.T) {
	c, a, b, r, _, p := owed(t)
	for range leaseDays - 1 {
		c.pass(oneDay)
		c.forgets(a, 0)
		c.forgets(a, 0) // once a day
	}
	c.back(b)
	if n, err := p.Await(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
	c.holds(r, 1)
}

func TestALetterOfAForgottenHostDoesNotRunTwice(t *testing.T) {
	c, a, b, r, at, p := owed(t)
	for day := range leaseDays {
		c.pass(oneDay)
		c.forgets(a, day/(leaseDays-1))
	}
	if n := c.peers(a); n != 0 || len(waitingAt(c, a)) != 0 {
		t.Errorf("%d hosts are remembered, %v waits", n, waitingAt(c, a))
	}
	c.back(b)
	if _, err := p.Await(t.Context()); !errors.Is(err, caps.ErrMaybeExecuted) {
		t.Error("what had run, and was forgotten:", err)
	}
	c.holds(r, 1)
	if n, err := tallyAdd.Send(t.Context(), at, 1).Await(t.Context()); n != 2 || err != nil {
		t.Error("a new one:", n, err)
	}
}

func TestContactRenewsTheLease(t *testing.T) {
	c, a, b, r, at, p := owed(t)
	for range 3 {
		for range leaseDays - 1 {
			c.pass(oneDay)
			c.forgets(a, 0)
		}
		c.mu.Lock()
		c.cut[b.Host()] = false // it reaches a, and a does not reach it
		c.mu.Unlock()
		b.Reached(a.Host())
		before := waitingAt(c, a)[b.Host()]
		_ = tallyAdd.Send(t.Context(), at, 1)
		for late := time.Now().Add(30 * time.Second); waitingAt(c, a)[b.Host()] == before; <-time.After(time.Millisecond) {
			if time.Now().After(late) {
				t.Fatal("nothing came")
			}
		}
		c.reach(b, false)
	}
	c.back(b)
	if n, err := p.Await(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
	c.settled(b)
	c.holds(r, 4)
}

func TestAClockThatJumpsEndsNoLease(t *testing.T) {
	c, a, b, r, _, p := owed(t)
	for range leaseDays / 2 {
		c.pass(400 * oneDay)
		c.forgets(a, 0)
		c.pass(-200 * oneDay)
		c.forgets(a, 0)
	}
	c.back(b)
	if n, err := p.Await(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
	c.holds(r, 1)
}

func TestAnOldLetterRunsWhereItsHostIsRemembered(t *testing.T) {
	c, _, b, r, at, p := owed(t)
	var more []caps.Promise[int64]
	for range 3 { // never brought
		more = append(more, tallyAdd.Send(t.Context(), at, 1))
	}
	c.pass(100 * oneDay)
	c.back(b)
	for i, p := range append([]caps.Promise[int64]{p}, more...) {
		if n, err := p.Await(t.Context()); n != int64(i+1) || err != nil {
			t.Error(i, n, err)
		}
	}
	c.holds(r, 4)
}

func TestForgettingGoesOnByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCables(t)
		a, r := c.open("")
		b, _ := c.open("")
		if _, err := tallyAdd.Send(t.Context(), c.give(a, r, b), 1).Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(forgetAfter / 2)
		if n := c.peers(a); n != 1 {
			t.Errorf("%d hosts are remembered", n)
		}
		time.Sleep(forgetAfter)
		if n := c.peers(a); n != 0 {
			t.Errorf("%d hosts are remembered", n)
		}
		c.must(errors.Join(a.Close(), b.Close()))
	})
}

// What a host sends while too many others are remembered waits, and is not refused.
func TestAnIntakeThatMayRememberNobodyTakesNothing(t *testing.T) {
	c := newCables(t)
	a, r := c.open("")
	b, _ := c.open("")
	at := c.give(a, r, b)
	no := a.bound(a.peers.def).no
	count := func(n int64) {
		a.vat.w.lockInternal()
		a.vat.counts[no] += n
		a.vat.w.unlock()
	}
	count(maxPeers)
	p := tallyAdd.Send(t.Context(), at, 1)
	<-time.After(200 * time.Millisecond)
	c.holds(r, 0)
	count(-maxPeers)
	if n, err := p.Await(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// A Ref to an object of another host is one object here, however often it comes, and whenever.
func TestAStoredStandInIsFoundAgain(t *testing.T) {
	c, dir := newCables(t), t.TempDir()+"/w"
	a, r := c.open("")
	b, _ := c.open(dir)
	held := c.give(a, r, b)
	c.must(b.Root().Put(t.Context(), "held", held))
	if !c.same(b, held, c.give(a, r, b)) {
		t.Error("another one while it is held")
	}
	weaker := c.give(a, r.Attenuate(caps.Read), b)
	if c.same(b, held, weaker) {
		t.Error("one for two tokens")
	}
	for range 3 {
		c.must(b.Close())
		b, _ = c.open(dir)
		came := c.give(a, r, b) // before what is stored is read
		held, err := b.Root().Get(t.Context(), "held")
		c.must(err)
		if !c.same(b, held, came) {
			t.Error("another one after a restart")
		}
		c.must(b.Root().Put(t.Context(), "again", came))
		b.Evict()
		if !c.same(b, held, c.give(a, r, b)) {
			t.Error("another one when it comes again")
		}
	}
	n := 0
	c.must(b.Sync(t.Context()))
	ks, err := b.Kinds(t.Context())
	c.must(err)
	for _, k := range ks {
		if k.Name == "sturdy/remote" {
			n += int(k.Objects)
		}
	}
	if n != 1 {
		t.Errorf("%d objects stand for one", n)
	}
	c.must(b.Check(t.Context()))
}

// same reports whether both designate one object of rt.
func (c *cables) same(rt *Runtime, a, b caps.Ref) bool {
	x, _, _ := rt.open(a)
	y, _, _ := rt.open(b)
	return x == y
}
