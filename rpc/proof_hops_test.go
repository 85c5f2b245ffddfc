package rpc_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// onward has c hold what b holds of a, through b, and makes clerks at c.
func onward(t *testing.T, b, c *station) {
	t.Helper()
	for i := range ledgerBooks {
		name := fmt.Sprint("book ", i)
		s, _, err := b.w.Save(t.Context(), b.stored(name), caps.Terms{For: "c"})
		must(t, err)
		r, err := c.w.Restore(t.Context(), s)
		must(t, err)
		must(t, c.w.Root().Put(t.Context(), name, r))
	}
	for i := range int64(ledgerClerks) {
		_, err := c.w.Root().Ensure(t.Context(), fmt.Sprint("clerk ", i), func(t *sturdy.WriteTurn) caps.Ref {
			return clerkKind.New(t, clerk{Number: i, Sent: make([]int64, ledgerBooks)})
		})
		must(t, err)
	}
	must(t, b.w.Sync(t.Context()))
	must(t, c.w.Sync(t.Context()))
}

// TestSendsThroughASecondHostHoldTheLedger is the ledger proof over two hops. The host in the middle
// goes more often than the others: it takes letters and outcomes of both, and has to bring them on,
// each once and in the order in which it took them.
func TestSendsThroughASecondHostHoldTheLedger(t *testing.T) {
	seed := seedOf(t)
	a, b, c := newStation(t, seed), newStation(t, seed+1), newStation(t, seed+2)
	know(a, b)
	know(b, a)
	know(b, c)
	know(c, b)
	foundLedger(t, a, b)
	onward(t, b, c)
	ends := []func(){a.crash, c.crash, b.crash, b.crash, b.reopen, b.reopen, func() {}, func() {}}
	chance := rand.New(rand.NewPCG(seed, 3))
	for range 8 {
		if chance.IntN(2) == 0 {
			a.way.blocks.Store(true) // a hears b, and its answers are lost
		} else {
			for _, s := range []*station{a, b, c} {
				s.way.stir(storm)
			}
		}
		work(t, c, chance)
		for _, s := range []*station{a, b, c} {
			s.way.calm()
		}
		ends[chance.IntN(len(ends))]()
	}
	quietNow(t, a, b, c)
	auditLedger(t, a, c)
	if dead := deadAt(t, b); len(dead) != 0 {
		t.Error("dead at who only passed them on:", dead)
	}
}

// TestAHostInTheMiddleIsRestartedWhileLettersPass has it hold letters that it cannot bring on, and
// outcomes that it cannot bring back.
func TestAHostInTheMiddleIsRestartedWhileLettersPass(t *testing.T) {
	a, b, c, _, _, viaB := three(t)
	a.stop()
	var ps []caps.Promise[int64]
	for range 100 {
		ps = append(ps, deskAdd.Send(c.ctx(), viaB, 1))
	}
	until(t, "all are at b", func() bool { return b.health(a.name).Waiting == 100 })
	b.restart()
	a.start()
	until(t, "all have run", func() bool { return tallyOf(t, a.desk) == 100 })
	b.restart()
	for range 100 { // b has been told nothing of what it passes these on to
		ps = append(ps, deskAdd.Send(c.ctx(), viaB, 1))
	}
	for i, p := range ps {
		if n, err := p.Await(within(t, 30*time.Second)); n != int64(i+1) || err != nil {
			t.Fatal(i, n, err)
		}
	}
	adds(t, a.desk, 0, 200)
	b.restart()
	must(t, deskPut.Call(c.ctx(), viaB, viaB))
	if home := a.held(); !home.Same(a.desk) {
		t.Error("by way of a host that has just been started, it comes home as", home)
	}
	nothingWaits(t, a, b, c)
}
