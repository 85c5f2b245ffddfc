package rpc_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// tally is what callers of one counter were told.
type tally struct{ sure, maybe, not int64 }

// TestCallsAreMadeAtMostOnceInAStorm has 16 callers, each with a counter of its own. A
// counter has counted every call that was acknowledged, none that was not delivered, and of
// the others each at most once.
func TestCallsAreMadeAtMostOnceInAStorm(t *testing.T) {
	seed := seedOf(t)
	a, b := newStation(t, seed), newStation(t, seed+1)
	far := make([]caps.Ref, 16)
	for i := range far {
		name := string(rune('a' + i))
		made, err := a.w.Root().Ensure(t.Context(), name, func(t *sturdy.WriteTurn) caps.Ref { return drawerKind.New(t, drawer{}) })
		must(t, err)
		s, _, err := a.w.Save(t.Context(), made, caps.Terms{For: "b"})
		must(t, err)
		far[i], err = b.w.Restore(t.Context(), s)
		must(t, err)
	}
	a.way.stir(faultOdds{cut: 20, reset: 20, half: 10, hole: 5, delay: 50})
	tallies := callInStorm(t, seed, far, func() { a.crash() })
	a.way.calm()
	var sum tally
	for i := range far {
		n, err := deskAdd.Call(t.Context(), a.stored(string(rune('a'+i))), 0)
		must(t, err)
		if c := tallies[i]; n < c.sure || n > c.sure+c.maybe {
			t.Errorf("counter %d: %d, where %d calls were acknowledged, %d maybe executed, %d not delivered", i, n, c.sure, c.maybe, c.not)
		}
		sum.sure, sum.maybe, sum.not = sum.sure+tallies[i].sure, sum.maybe+tallies[i].maybe, sum.not+tallies[i].not
	}
	t.Logf("%+v, %d faults", sum, a.way.faults.Load())
	if sum.sure == 0 || sum.maybe == 0 {
		t.Error("the storm was none, or too much")
	}
	for late := time.Now().Add(10 * time.Second); ; { // and the Ref has survived it, once what was just cut, a link or an attempt at one, is known to be
		n, err := deskAdd.Call(within(t, 10*time.Second), far[0], 0)
		if (errors.Is(err, caps.ErrMaybeExecuted) || errors.Is(err, caps.ErrNotDelivered)) && time.Now().Before(late) {
			continue
		}
		if want := tallyOf(t, a.stored("a")); n != want || err != nil {
			t.Errorf("%d, %v; want %d", n, err, want)
		}
		return
	}
}

func tallyOf(t *testing.T, r caps.Ref) int64 {
	n, err := deskAdd.Call(t.Context(), r, 0)
	must(t, err)
	return n
}

// callInStorm calls until each has made its calls, and crashes the host now and then.
func callInStorm(t *testing.T, seed uint64, far []caps.Ref, crash func()) []tally {
	const calls = 150
	tallies := make([]tally, len(far))
	var all sync.WaitGroup
	var mu sync.Mutex
	made, crashed := 0, 0
	for i, r := range far {
		all.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(i)))
			for range calls {
				// The peers of one host look after its silence; some callers have less patience.
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+chance.IntN(1000))*time.Millisecond)
				_, err := deskAdd.Call(ctx, r, 1)
				cancel()
				tallies[i].note(t, err)
				mu.Lock()
				made++
				mine := made/(len(far)*calls/5) > crashed
				if mine {
					crashed++
				}
				mu.Unlock()
				if mine && i%2 == 0 {
					mu.Lock()
					crash()
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return tallies
}

func (c *tally) note(t *testing.T, err error) {
	switch {
	case err == nil:
		c.sure++
	case errors.Is(err, caps.ErrNotDelivered), errors.Is(err, caps.ErrOverloaded):
		c.not++
	case errors.Is(err, caps.ErrMaybeExecuted):
		c.maybe++
	case errors.Is(err, sturdy.ErrStopped), errors.Is(err, sturdy.ErrClosed):
		c.not++ // what a host says whose power is failing
	default:
		t.Errorf("an outcome that says nothing: %v", err)
	}
}
