package runtimetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/counter"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

func TestACrashLosesWhatIsNotOnDiskAndNothingElse(t *testing.T) {
	w, ctx := runtimetest.Open(t, counter.Kind), t.Context()
	hits, err := w.Root().Ensure(ctx, "hits", counter.New)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := counter.Add.Call(ctx, hits, 3); err != nil {
		t.Fatal(err)
	}
	w.Disk().Hook(func(op, _ string, _ int) (int, error) { return 0, errors.New("the cable is out") })
	if n, err := counter.Add.Call(sturdy.Relaxed(ctx), hits, 4); n != 7 || err != nil {
		t.Fatalf("relaxed add: %d, %v", n, err)
	}
	w.Crash()
	hits, err = w.Root().Get(ctx, "hits")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := counter.Get.Call(ctx, hits); n != 3 || err != nil {
		t.Fatalf("after the crash: %d, %v; want 3", n, err)
	}
}

func TestTheClockStandsStillUntilItIsMoved(t *testing.T) {
	w := runtimetest.Open(t)
	now := func() (now time.Time) {
		if err := w.View(t.Context(), func(tn *sturdy.ReadTurn) error { now = tn.Now(); return nil }); err != nil {
			t.Fatal(err)
		}
		return now
	}
	before := now()
	w.Pass(72 * time.Hour)
	if d := now().Sub(before); d != 72*time.Hour {
		t.Fatalf("the clock moved by %v", d)
	}
}

// set puts two names that belong together, in one turn or, wrongly, in two.
func set(w *runtimetest.World, atomic bool) error {
	put := func(ctx context.Context, names ...string) error {
		return w.Update(ctx, func(t *sturdy.WriteTurn) error {
			for _, name := range names {
				if err := w.Root().Put(t, name, counter.New(t)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	ctx := context.Background()
	if atomic {
		return put(ctx, "a", "b")
	}
	return errors.Join(put(ctx, "a"), put(ctx, "b"))
}

// half reports whether one of the two names is there without the other.
func half(t *testing.T, w *runtimetest.World) bool {
	_, a := w.Root().Get(t.Context(), "a")
	_, b := w.Root().Get(t.Context(), "b")
	return errors.Is(a, sturdy.ErrNoName) != errors.Is(b, sturdy.ErrNoName)
}

func TestEachCrashReachesEveryOperation(t *testing.T) {
	points := 0
	runtimetest.EachCrash(t, counter.Kind,
		func(w *runtimetest.World) error { return set(w, true) },
		func(t *testing.T, w *runtimetest.World) {
			points++
			if half(t, w) {
				t.Error("half of a turn is there")
			}
		})
	if points < 5 {
		t.Errorf("only %d points", points)
	}
}

func TestEachCrashFindsWhatIsNotAtomic(t *testing.T) {
	found := false
	runtimetest.EachCrash(t, counter.Kind,
		func(w *runtimetest.World) error { return set(w, false) },
		func(t *testing.T, w *runtimetest.World) { found = found || half(t, w) })
	if !found {
		t.Error("two turns looked like one at every point")
	}
}

func TestRestartRunsTheNextVersionOfAProgram(t *testing.T) {
	w, ctx := runtimetest.Open(t, counter.Kind), t.Context()
	if _, err := w.Root().Ensure(ctx, "hits", counter.New); err != nil {
		t.Fatal(err)
	}
	w.Restart()
	hits, err := w.Root().Get(ctx, "hits")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := counter.Get.Call(ctx, hits); !errors.Is(err, caps.ErrUnknownKind) {
		t.Fatalf("a program without the kind: %v", err)
	}
	w.Restart(counter.Kind)
	if hits, err = w.Root().Get(ctx, "hits"); err != nil {
		t.Fatal(err)
	}
	if _, err := counter.Get.Call(ctx, hits); err != nil {
		t.Fatal(err)
	}
}
