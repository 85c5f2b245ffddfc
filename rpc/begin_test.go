package rpc_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A rung leads to the next one.
const (
	rungNext  caps.Method[int64, caps.Ref]    = "next" // fails at the depth given
	rungDepth caps.Query[int64]               = "depth"
	rungNote  caps.Method[int64, int64]       = "note"
	rungNotes caps.Query[[]int64]             = "notes"
	rungTake  caps.Method[caps.Ref, caps.Ref] = "take"
	rungHold  caps.Query[caps.Ref]            = "hold" // until it is let go
	rungKeep  caps.Command[caps.Ref]          = "keep"
	rungKept  caps.Query[caps.Ref]            = "kept"
	rungTyped caps.Query[rungRef]             = "kept"
)

type rungRef struct{ caps.Ref }

type rung struct {
	Depth int64
	Notes []int64
	Kept  caps.Ref
}

// ladder is the kind of a host's rungs. Hold waits for let.
func ladder(let <-chan struct{}) (kind *sturdy.KindOf[rung]) {
	kind = sturdy.Define("test.example/rung",
		sturdy.Method(rungNext, func(r *rung, t *sturdy.WriteTurn, fails int64) (caps.Ref, error) {
			if r.Depth == fails {
				return caps.Ref{}, &caps.Error{Code: errCross, Text: "no further"}
			}
			return kind.New(t, rung{Depth: r.Depth + 1}), nil
		}),
		sturdy.Query(rungDepth, func(r *rung, _ *sturdy.ReadTurn) (int64, error) { return r.Depth, nil }),
		sturdy.Method(rungNote, func(r *rung, _ *sturdy.WriteTurn, n int64) (int64, error) {
			r.Notes = append(r.Notes, n)
			return int64(len(r.Notes)), nil
		}),
		sturdy.Query(rungNotes, func(r *rung, _ *sturdy.ReadTurn) ([]int64, error) { return r.Notes, nil }),
		sturdy.Method(rungTake, func(_ *rung, _ *sturdy.WriteTurn, r caps.Ref) (caps.Ref, error) { return r, nil }),
		sturdy.Command(rungKeep, func(r *rung, _ *sturdy.WriteTurn, k caps.Ref) error { r.Kept = k; return nil }),
		sturdy.Query(rungKept, func(r *rung, _ *sturdy.ReadTurn) (caps.Ref, error) { return r.Kept, nil }),
		sturdy.Outside(caps.Method[caps.Done, caps.Ref](rungHold), func(ctx context.Context, r rung, _ caps.Done) (caps.Ref, error) {
			select {
			case <-let:
				return r.Kept, nil
			case <-ctx.Done():
				return caps.Ref{}, ctx.Err()
			}
		}))
	return kind
}

// foothold is a host with a rung at its root.
type foothold struct {
	t    testing.TB
	rt   *sturdy.Runtime
	node *rpc.Node
	top  caps.Ref
	let  chan struct{}
}

func newFoothold(t testing.TB, o rpc.Options) *foothold {
	s := &foothold{t: t, let: make(chan struct{})}
	kind := ladder(s.let)
	var err error
	s.rt, err = sturdy.Open(t.TempDir()+"/w", kind)
	must(t, err)
	s.node, err = rpc.Attach(s.rt, o)
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(s.node.Close(), s.rt.Close())) })
	s.top, err = s.rt.Root().Ensure(t.Context(), "top", func(t *sturdy.WriteTurn) caps.Ref { return kind.New(t, rung{}) })
	must(t, err)
	return s
}

func listening() rpc.Options { return rpc.Options{Listen: "127.0.0.1:0"} }

// gives is r of s as it is held at to.
func (s *foothold) gives(to *foothold, r caps.Ref) caps.Ref {
	saved, _, err := s.rt.Save(s.t.Context(), r, caps.Terms{For: "other"})
	must(s.t, err)
	got, err := to.rt.Restore(s.t.Context(), saved)
	must(s.t, err)
	return got
}

// climb begins n calls, each of the result of the one before.
func climb(ctx context.Context, from caps.Ref, n int, fails int64) (ps []caps.Promise[caps.Ref]) {
	for range n {
		p := rungNext.Begin(ctx, from, fails)
		ps = append(ps, p)
		from = p.Ref()
	}
	return ps
}

// climbs are the places from which the ladder is climbed: at home, and so many hosts away.
func climbs(t testing.TB) (from map[string]caps.Ref, at map[string]*foothold, home *foothold) {
	a, b, c := newFoothold(t, listening()), newFoothold(t, listening()), newFoothold(t, listening())
	one := a.gives(b, a.top)
	return map[string]caps.Ref{"at home": a.top, "one hop": one, "two hops": b.gives(c, one)},
		map[string]*foothold{"at home": a, "one hop": b, "two hops": c}, a
}

func TestAChainOfBegunCallsIsTheSameHereAndElsewhere(t *testing.T) {
	from, at, _ := climbs(t)
	for where, top := range from {
		t.Run(where, func(t *testing.T) {
			ctx := within(t, 20*time.Second)
			ps := climb(ctx, top, 10, -1)
			last := rungDepth.Begin(ctx, ps[9].Ref())
			if n, err := rungDepth.Call(ctx, ps[9].Ref()); n != 10 || err != nil {
				t.Error("called:", n, err)
			}
			if n, err := last.Await(ctx); n != 10 || err != nil {
				t.Error("begun:", n, err)
			}
			for i, p := range ps {
				r, err := p.Await(ctx)
				must(t, err)
				if n, err := rungDepth.Call(ctx, r); n != int64(i+1) || err != nil {
					t.Error("awaited:", n, err)
				}
			}
			if n, err := rungNote.Begin(ctx, ps[3].Ref().Attenuate(caps.Read|caps.Shallow), 1).Await(ctx); !errors.Is(err, caps.ErrNoRight) {
				t.Error("with fewer rights:", n, err)
			}
			// What is known can be stored, also by way of the promise.
			must(t, at[where].rt.Update(ctx, func(turn *sturdy.WriteTurn) error {
				return at[where].rt.Root().Put(turn, "kept", ps[9].Ref())
			}))
		})
	}
}

func TestWhatDependsOnAFailureIsNotMade(t *testing.T) {
	from, _, _ := climbs(t)
	for where, top := range from {
		t.Run(where, func(t *testing.T) {
			ctx := within(t, 20*time.Second)
			ps := climb(ctx, top, 10, 5)
			note := rungNote.Begin(ctx, ps[5].Ref(), 1)
			for i, p := range ps {
				_, err := p.Await(ctx)
				switch {
				case i < 5 && err != nil, i == 5 && codeOf(err) != string(errCross):
					t.Error(i, err)
				case i > 5 && (codeOf(err) != string(caps.ErrNotDelivered) || i == 6 && !errors.Is(err, errCross)):
					t.Error(i, err)
				case i > 5 && !strings.Contains(err.Error(), "what it was to be called on failed"):
					t.Error(i, err)
				}
			}
			if _, err := note.Await(ctx); codeOf(err) != string(caps.ErrNotDelivered) || !errors.Is(err, errCross) {
				t.Error(err)
			}
		})
	}
}

func TestWhatIsNoObjectCannotBeCalled(t *testing.T) {
	from, at, _ := climbs(t)
	for where, top := range from {
		t.Run(where, func(t *testing.T) {
			ctx := within(t, 20*time.Second)
			if _, err := rungDepth.Call(ctx, rungDepth.Begin(ctx, top).Ref()); !errors.Is(err, caps.ErrNoMethod) {
				t.Error("a number:", err)
			}
			if _, err := rungDepth.Call(ctx, rungKept.Begin(ctx, top).Ref()); !errors.Is(err, caps.ErrNull) {
				t.Error("null:", err)
			}
			must(t, rungKeep.Call(ctx, top, top))
			if n, err := rungDepth.Call(ctx, rungTyped.Begin(ctx, top).Ref()); n != 0 || err != nil {
				t.Error("a typed one:", n, err)
			}
			must(t, rungKeep.Call(ctx, top, caps.Ref{}))
			err := at[where].rt.Update(ctx, func(turn *sturdy.WriteTurn) error {
				_, err := rungNext.Begin(turn, top, -1).Await(ctx)
				return err
			})
			if !errors.Is(err, caps.ErrWouldBlock) {
				t.Error("in a turn:", err)
			}
			if _, err := rungDepth.Call(ctx, rungNext.Begin(ctx, caps.Ref{}, 1).Ref()); !errors.Is(err, caps.ErrNull) {
				t.Error("of null:", err)
			}
			if err := rungNext.Begin(ctx, top, -1).Then(ctx, at[where].top, "x"); !errors.Is(err, caps.ErrNotDelivered) || !strings.Contains(err.Error(), "Send it") {
				t.Error("then:", err)
			}
		})
	}
}

// TestAPendingResultStandsForNothingHere has one that is held up.
func TestAPendingResultStandsForNothingHere(t *testing.T) {
	a, b := newFoothold(t, listening()), newFoothold(t, listening())
	for where, top := range map[string]caps.Ref{"at home": b.top, "one hop": a.gives(b, a.top)} {
		ctx := within(t, 20*time.Second)
		must(t, rungKeep.Call(ctx, top, top))
		p := rungHold.Begin(ctx, top)
		err := b.rt.Update(ctx, func(t *sturdy.WriteTurn) error { return b.rt.Root().Put(t, "held", p.Ref()) })
		if !errors.Is(err, caps.ErrBadArgument) || !strings.Contains(err.Error(), "not known yet") {
			t.Error(where, "stored:", err)
		}
		must(t, b.rt.Update(ctx, func(turn *sturdy.WriteTurn) error {
			if _, err := rungNote.Call(turn, p.Ref(), 1); !errors.Is(err, caps.ErrWouldBlock) {
				t.Error(where, "called in a turn:", err)
			}
			return nil
		}))
		passed := rungTake.Begin(ctx, top, p.Ref()) // as an argument
		sent := make(chan caps.Promise[int64])      // and by a Send, which waits
		go func() { sent <- rungNote.Send(ctx, p.Ref(), 7) }()
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		if _, err := p.Await(short); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, sturdy.ErrTimeout) {
			t.Error(where, err)
		}
		cancel()
		if where == "at home" {
			b.let <- struct{}{}
		} else {
			a.let <- struct{}{}
		}
		r, err := passed.Await(ctx)
		must(t, err)
		if want, err := p.Await(ctx); err != nil || !r.Same(want) || !r.Same(top) {
			t.Error(where, r, want, err)
		}
		if n, err := (<-sent).Await(ctx); n == 0 || err != nil {
			t.Error(where, n, err)
		}
		must(t, b.rt.Update(ctx, func(t *sturdy.WriteTurn) error { return b.rt.Root().Put(t, "held", p.Ref()) }))
	}
}

// TestAResultElsewhereIsCalledThere has results of a third host, and of the caller's own.
func TestAResultElsewhereIsCalledThere(t *testing.T) {
	a, b, c := newFoothold(t, listening()), newFoothold(t, listening()), newFoothold(t, listening())
	ctx := within(t, 20*time.Second)
	top := a.gives(b, a.top)
	for name, r := range map[string]caps.Ref{"the caller's": b.top, "a third's": c.gives(b, c.top)} {
		must(t, rungKeep.Call(ctx, top, r))
		p := rungKept.Begin(ctx, top)
		next := rungNext.Begin(ctx, p.Ref(), -1)
		if n, err := rungDepth.Call(ctx, next.Ref()); n != 1 || err != nil {
			t.Error(name, n, err)
		}
		weak := p.Ref().Attenuate(caps.Read | caps.Shallow)
		if _, err := rungNote.Call(ctx, weak, 1); !errors.Is(err, caps.ErrNoRight) {
			t.Error(name, err)
		}
	}
}

// TestBegunCallsOfOneResultKeepTheirOrder has many writes wait for what they are called on.
func TestBegunCallsOfOneResultKeepTheirOrder(t *testing.T) {
	from, at, home := climbs(t)
	for where, top := range from {
		t.Run(where, func(t *testing.T) {
			ctx := within(t, 20*time.Second)
			fresh, err := rungNext.Call(ctx, top, -1)
			must(t, err)
			must(t, rungKeep.Call(ctx, top, fresh))
			p := rungHold.Begin(ctx, top)
			var ps []caps.Promise[int64]
			var want []int64
			for i := range int64(200) {
				ps, want = append(ps, rungNote.Begin(ctx, p.Ref(), i)), append(want, i)
			}
			home.let <- struct{}{}
			for i, p := range ps {
				if n, err := p.Await(ctx); n != int64(i+1) || err != nil {
					t.Fatal(i, n, err)
				}
			}
			if got, err := rungNotes.Call(ctx, fresh); !slices.Equal(got, want) || err != nil {
				t.Error(got, err)
			}
			_ = at
		})
	}
}

// TestNothingIsLeftOfAStorm begins more than may be under way, from many goroutines, of which
// some stop waiting.
func TestNothingIsLeftOfAStorm(t *testing.T) {
	a, b := newFoothold(t, listening()), newFoothold(t, listening())
	top := a.gives(b, a.top)
	must(t, rungKeep.Call(t.Context(), top, top))
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 100 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+(i*j)%50)*100*time.Microsecond)
				from := top
				for range 10 {
					p := rungKept.Begin(ctx, from)
					from = p.Ref()
				}
				_, err := rungDepth.Call(ctx, from)
				var e *caps.Error
				if err != nil && !errors.As(err, &e) {
					t.Errorf("%T: %v", err, err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if n := goroutines(before); n > before {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, and %d before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
	}
	if n, err := rungDepth.Call(t.Context(), rungKept.Begin(t.Context(), top).Ref()); n != 0 || err != nil {
		t.Error(n, err)
	}
	left := func() int { return rpc.KeptResults(a.node) + rpc.KeptResults(b.node) }
	for ctx := within(t, 5*time.Second); left() > 0 && ctx.Err() == nil; runtime.Gosched() {
	}
	if n := left(); n != 0 {
		t.Errorf("%d results are kept, or requests under way", n)
	}
}

// TestWhoBeginsTooManyWaits has nothing answered.
func TestWhoBeginsTooManyWaits(t *testing.T) {
	a, b := newFoothold(t, listening()), newFoothold(t, listening())
	for where, top := range map[string]caps.Ref{"at home": b.top, "one hop": a.gives(b, a.top)} {
		ctx, cancel := context.WithCancel(within(t, 30*time.Second))
		first := rungHold.Begin(ctx, top)
		for range 511 {
			_ = rungHold.Begin(ctx, first.Ref())
		}
		short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
		_, err := rungHold.Begin(short, first.Ref()).Await(ctx)
		if !errors.Is(err, caps.ErrOverloaded) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(where, err)
		}
		stop()
		cancel()
		if n, err := rungDepth.Begin(t.Context(), top).Await(t.Context()); n != 0 || err != nil { // there is room again
			t.Error(where, n, err)
		}
	}
}

// TestAResultIsKnownWithoutAnybodyWhoWaits begins more calls than may be under way at once, and
// stores what the last has come to.
func TestAResultIsKnownWithoutAnybodyWhoWaits(t *testing.T) {
	a, b := newFoothold(t, listening()), newFoothold(t, listening())
	for where, top := range map[string]caps.Ref{"at home": b.top, "one hop": a.gives(b, a.top)} {
		ctx := within(t, 30*time.Second)
		var next caps.Ref
		for range 1500 {
			next = rungNext.Begin(ctx, top, 99).Ref()
		}
		for next.Settled().Same(next) && ctx.Err() == nil {
			runtime.Gosched()
		}
		must(t, b.rt.Root().Put(ctx, "next", next))
		if n, err := rungDepth.Call(ctx, next); n != 1 || err != nil {
			t.Error(where, n, err)
		}
	}
}

// TestBegunCallsAreMadeAtMostOnceInAStorm is TestCallsAreMadeAtMostOnceInAStorm with two calls
// each, of which the second is of the first's result. What is told of the second is true of it.
func TestBegunCallsAreMadeAtMostOnceInAStorm(t *testing.T) {
	seed := seedOf(t)
	a, b := newStation(t, seed), newStation(t, seed+1)
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	far := make([]caps.Ref, len(names))
	for i, name := range names {
		_, err := a.w.Root().Ensure(t.Context(), name, func(t *sturdy.WriteTurn) caps.Ref { return drawerKind.New(t, drawer{}) })
		must(t, err)
		_, err = a.w.Root().Ensure(t.Context(), "desk "+name, func(t *sturdy.WriteTurn) caps.Ref { return deskKind.New(t, desk{}) })
		must(t, err)
		must(t, deskPut.Call(t.Context(), a.stored("desk "+name), a.stored(name)))
		s, _, err := a.w.Save(t.Context(), a.stored("desk "+name), caps.Terms{For: "b"})
		must(t, err)
		far[i], err = b.w.Restore(t.Context(), s)
		must(t, err)
	}
	a.way.stir(faultOdds{cut: 20, reset: 20, half: 10, hole: 5, delay: 50})
	tallies := make([]tally, len(far))
	var all sync.WaitGroup
	for i, r := range far {
		all.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 100 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+chance.IntN(500))*time.Millisecond)
				got := deskGet.Begin(ctx, r)
				_, err := deskAdd.Begin(ctx, got.Ref(), 1).Await(context.Background())
				tallies[i].note(t, err)
				if _, first := got.Await(context.Background()); first != nil && err == nil && !errors.Is(first, caps.ErrMaybeExecuted) {
					t.Errorf("the second succeeded, and the first did not: %v", first)
				}
				cancel()
			}
		})
	}
	all.Wait()
	a.way.calm()
	var sum tally
	for i, name := range names {
		c := tallies[i]
		if n := tallyOf(t, a.stored(name)); n < c.sure || n > c.sure+c.maybe {
			t.Errorf("counter %d: %d, where %d calls were acknowledged, %d maybe executed, %d not delivered", i, n, c.sure, c.maybe, c.not)
		}
		sum.sure, sum.maybe, sum.not = sum.sure+c.sure, sum.maybe+c.maybe, sum.not+c.not
	}
	t.Logf("%+v, %d faults", sum, a.way.faults.Load())
	if sum.sure == 0 || sum.maybe+sum.not == 0 {
		t.Error("the storm was none, or too much")
	}
}
