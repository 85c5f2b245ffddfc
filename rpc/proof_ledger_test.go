package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// The ledger proof, between hosts. Clerks at one host note what they send in the turn that
// sends it; books at the other note what they get in the turn that gets it.

// entry is the seq-th that a clerk has sent to a book.
type entry struct{ Clerk, Seq int64 }

// errTorn is what a book that fails says to every odd entry.
const errTorn caps.Code = "test.example/torn"

const (
	bookTake  caps.Command[entry]                   = "take"
	bookNone  caps.Command[entry]                   = "none" // no book has it
	bookLook  caps.Query[book]                      = "look"
	clerkSend caps.Command[errand]                  = "send"
	clerkTold caps.Command[caps.Outcome[caps.Done]] = "told"
	clerkLook caps.Query[clerk]                     = "look"
)

// book is a receiver. Last is the newest of each clerk, Wrong how many came twice or in
// another order than they were sent in.
type book struct {
	Fails bool
	Got   int64
	Last  []int64
	Wrong int64
}

func (b *book) take(_ *sturdy.WriteTurn, e entry) error {
	if !b.Fails && e.Seq != b.Last[e.Clerk]+1 || e.Seq <= b.Last[e.Clerk] {
		b.Wrong++
	}
	b.Last[e.Clerk] = e.Seq
	b.Got++
	if b.Fails && e.Seq%2 == 1 {
		return &caps.Error{Code: errTorn}
	}
	return nil
}

func (b *book) look(*sturdy.ReadTurn) (book, error) { return *b, nil }

// clerk is a sender: how many it has sent to each book, how many of its promises it has asked
// about, and what they came to.
type clerk struct {
	Number       int64
	Sent         []int64
	Asked        int64
	Kept, Broken int64
}

// errand is what a clerk is told to send: N to each of Books, of which the last has no such
// method.
type errand struct {
	N     int64
	Books []caps.Ref
}

func (c *clerk) send(t *sturdy.WriteTurn, e errand) error {
	for range e.N {
		for i, b := range e.Books {
			c.Sent[i]++
			m := bookTake
			if i == len(e.Books)-1 {
				m = bookNone
			}
			p := m.Send(t, b, entry{c.Number, c.Sent[i]})
			if c.Sent[i]%3 == 0 && i < len(e.Books)-1 {
				c.Asked++
				if err := p.Then(t, t.Self(), clerkTold); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *clerk) told(_ *sturdy.WriteTurn, o caps.Outcome[caps.Done]) error {
	if o.Err != nil {
		c.Broken++
	} else {
		c.Kept++
	}
	return nil
}

func (c *clerk) look(*sturdy.ReadTurn) (clerk, error) { return *c, nil }

var (
	bookKind  = sturdy.Define("test.example/book", sturdy.Command(bookTake, (*book).take), sturdy.Query(bookLook, (*book).look))
	clerkKind = sturdy.Define("test.example/clerk", sturdy.Command(clerkSend, (*clerk).send), sturdy.Command(clerkTold, (*clerk).told), sturdy.Query(clerkLook, (*clerk).look))
)

const (
	ledgerClerks = 3
	ledgerBooks  = 5 // two good ones, two that fail, and one that has no such method
)

// station is a world on a simulated disk with its Node, behind a proxy.
type station struct {
	t    testing.TB
	w    *runtimetest.World
	node *rpc.Node
	o    rpc.Options
	way  *proxy
}

func newStation(t testing.TB, seed uint64) *station {
	port := freePort(t)
	s := &station{t: t, w: runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{bookKind, clerkKind, deskKind, drawerKind}})}
	s.way = newProxy(t, seed, port)
	s.o = rpc.Options{Listen: port, Public: s.way.address(), Peers: map[string]string{}, Limits: rpc.Limits{Idle: 400 * time.Millisecond, Handshake: time.Second}}
	t.Cleanup(func() { must(t, s.node.Close()) })
	s.attach()
	return s
}

func (s *station) attach() {
	var err error
	s.node, err = rpc.Attach(s.w.Runtime, s.o)
	must(s.t, err)
}

// know tells s where other is, behind its proxy.
func know(s, other *station) {
	s.o.Peers[other.w.Host()] = other.way.address()
	s.reopen()
}

// crash loses what is not on disk, and comes back.
func (s *station) crash() {
	s.w.Crash()
	must(s.t, s.node.Close())
	s.attach()
}

// reopen closes in good order, and comes back.
func (s *station) reopen() {
	must(s.t, s.node.Close())
	s.w.Reopen()
	s.attach()
}

// stored is what stands in the root under a name.
func (s *station) stored(name string) caps.Ref {
	s.t.Helper()
	r, err := s.w.Root().Get(within(s.t, 10*time.Second), name)
	must(s.t, err)
	return r
}

// foundLedger makes the books at a and the clerks at b, who have Refs to them.
func foundLedger(t *testing.T, a, b *station) {
	for i := range ledgerBooks {
		made, err := a.w.Root().Ensure(t.Context(), fmt.Sprint("book ", i), func(t *sturdy.WriteTurn) caps.Ref {
			return bookKind.New(t, book{Fails: i == 2 || i == 3, Last: make([]int64, ledgerClerks)})
		})
		must(t, err)
		s, _, err := a.w.Save(t.Context(), made, caps.Terms{For: "b"})
		must(t, err)
		r, err := b.w.Restore(t.Context(), s)
		must(t, err)
		must(t, b.w.Root().Put(t.Context(), fmt.Sprint("book ", i), r))
	}
	for i := range int64(ledgerClerks) {
		_, err := b.w.Root().Ensure(t.Context(), fmt.Sprint("clerk ", i), func(t *sturdy.WriteTurn) caps.Ref {
			return clerkKind.New(t, clerk{Number: i, Sent: make([]int64, ledgerBooks)})
		})
		must(t, err)
	}
	must(t, a.w.Sync(t.Context()))
	must(t, b.w.Sync(t.Context()))
}

// work has every clerk run some errands.
func work(t *testing.T, b *station, chance *rand.Rand) {
	t.Helper()
	var books []caps.Ref
	for i := range ledgerBooks {
		books = append(books, b.stored(fmt.Sprint("book ", i)))
	}
	for range 4 {
		for i := range ledgerClerks {
			ctx := within(t, 10*time.Second)
			if chance.IntN(2) == 0 {
				ctx = sturdy.Relaxed(ctx)
			}
			must(t, clerkSend.Call(ctx, b.stored(fmt.Sprint("clerk ", i)), errand{1 + chance.Int64N(20), books}))
		}
	}
}

func TestSendsHoldTheLedgerInAStormWithCrashes(t *testing.T) {
	seed := seedOf(t)
	a, b := newStation(t, seed), newStation(t, seed+1)
	know(a, b)
	know(b, a)
	foundLedger(t, a, b)
	chance := rand.New(rand.NewPCG(seed, 2))
	for range 10 {
		_, _ = bookLook.Call(within(t, time.Second), b.stored("book 0")) // so that they are connected, if they can be
		lost := chance.IntN(2) == 0                                      // a hears, and is not heard, whoever has made the connection
		a.way.blocks.Store(lost)
		b.way.deaf.Store(lost)
		if !lost {
			a.way.stir(storm)
			b.way.stir(storm)
		}
		work(t, b, chance)
		promise(t, b, chance)
		a.way.calm()
		b.way.calm()
		switch chance.IntN(5) {
		case 0:
			a.crash()
		case 1:
			b.crash()
		case 2:
			a.reopen()
		case 3:
			b.reopen()
		}
	}
	t.Logf("faults: %d in front of a, %d in front of b", a.way.faults.Load(), b.way.faults.Load())
	a.way.calm()
	b.way.calm()
	auditLedger(t, a, b)
}

// promise sends from Go code, and compares what the promise comes to with what can be true.
func promise(t *testing.T, b *station, chance *rand.Rand) {
	t.Helper()
	to := chance.IntN(ledgerBooks - 1)
	c := b.stored("clerk 0")
	// The clerk notes it, so that the audit is right: one errand to one book, then its state.
	p := clerkSend.Send(within(t, 10*time.Second), c, errand{0, nil})
	if _, err := p.Await(within(t, 10*time.Second)); err != nil {
		t.Error("a send at home:", err)
	}
	_, err := bookLook.Send(within(t, 10*time.Second), b.stored(fmt.Sprint("book ", to))).Await(within(t, 300*time.Millisecond))
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, caps.ErrMaybeExecuted) && !errors.Is(err, sturdy.ErrClosed) {
		t.Errorf("a promise came to %v", err)
	}
}

// auditLedger waits until nothing is under way, and compares both sides.
func auditLedger(t *testing.T, a, b *station) {
	t.Helper()
	quietNow(t, a, b)
	sent, asked, kept, broken := make([]int64, ledgerBooks), int64(0), int64(0), int64(0)
	var clerks []clerk
	for i := range ledgerClerks {
		c, err := clerkLook.Call(t.Context(), b.stored(fmt.Sprint("clerk ", i)))
		must(t, err)
		for j, n := range c.Sent {
			sent[j] += n
		}
		clerks = append(clerks, c)
		asked, kept, broken = asked+c.Asked, kept+c.Kept, broken+c.Broken
	}
	if kept+broken != asked {
		t.Errorf("%d promises were kept and %d broken, of %d", kept, broken, asked)
	}
	for i := range ledgerBooks - 1 {
		bk, err := bookLook.Call(t.Context(), a.stored(fmt.Sprint("book ", i)))
		must(t, err)
		want := int64(0)
		for n, c := range clerks {
			last := c.Sent[i]
			if want += last; bk.Fails {
				want -= (last + 1) / 2 // the odd ones had no effect
				last -= last % 2
			}
			if bk.Last[n] != last {
				t.Errorf("book %d: the last of clerk %d is %d, and %d were sent", i, n, bk.Last[n], c.Sent[i])
			}
		}
		if bk.Got != want || bk.Wrong != 0 {
			t.Errorf("book %d: %d of %d, %d wrong", i, bk.Got, want, bk.Wrong)
		}
	}
	if dead := len(deadAt(t, b)); int64(dead) != sent[ledgerBooks-1] {
		t.Errorf("%d dead letters, of %d to what has no such method", dead, sent[ledgerBooks-1])
	}
	if dead := deadAt(t, a); len(dead) != 0 {
		t.Errorf("dead at who got it: %v", dead)
	}
	t.Logf("sent %v, promises %d kept and %d broken", sent, kept, broken)
}

func deadAt(t *testing.T, s *station) (all []sturdy.LetterInfo) {
	for l, err := range s.w.Activity().DeadLetters(t.Context()) {
		must(t, err)
		all = append(all, l)
	}
	return all
}

// quietNow waits until no letter waits anywhere.
func quietNow(t *testing.T, ss ...*station) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); ; {
		waits := 0
		var one sturdy.LetterInfo
		for _, s := range ss {
			for l, err := range s.w.Activity().Letters(t.Context()) {
				must(t, err)
				one = l
				waits++
			}
			s.w.Settle()
		}
		if waits == 0 {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%d letters are left, one is %+v", waits, one)
		}
	}
}
