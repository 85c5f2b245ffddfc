package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

func TestATurnThatWasKeptIsOverForEver(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	var wt *sturdy.WriteTurn
	var rt *sturdy.ReadTurn
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error { wt = tn; return nil }))
	must(t, w.View(ctx, func(tn *sturdy.ReadTurn) error { rt = tn; return nil }))
	later := 1_000_000
	if raceEnabled {
		later = 100_000
	}
	for range later {
		must(t, w.View(ctx, func(tn *sturdy.ReadTurn) error { return nil }))
	}
	must(t, w.Update(ctx, func(running *sturdy.WriteTurn) error {
		derived, cancel := context.WithCancel(wt)
		defer cancel()
		for _, kept := range []context.Context{wt, rt, derived, sturdy.Relaxed(wt)} {
			_, err := acGet.Call(kept, ref)
			wants(t, err, sturdy.ErrTurnOver)
			_, err = acAdd.Call(kept, ref, 1)
			wants(t, err, sturdy.ErrTurnOver)
			wants(t, w.Update(kept, func(*sturdy.WriteTurn) error { return nil }), sturdy.ErrTurnOver)
			wants(t, w.View(kept, func(*sturdy.ReadTurn) error { return nil }), sturdy.ErrTurnOver)
		}
		wants(t, wt.Err(), sturdy.ErrTurnOver)
		wants(t, rt.Err(), sturdy.ErrTurnOver)
		return nil
	}))
	if err := panicOf(func() { accountKind.New(wt, account{}) }); !strings.Contains(fmt.Sprint(err), "has ended") {
		t.Errorf("New in a turn that is over: %v", err)
	}
	holds(t, sturdy.Relaxed(ctx), ref, 0)
}

func panicOf(fn func()) (p any) {
	defer func() { p = recover() }()
	fn()
	return nil
}

func TestATurnUsedByAnotherGoroutineFails(t *testing.T) {
	w := runtimetest.Open(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	elsewhere := func(fn func() error) (err error) {
		done := make(chan bool)
		go func() { err = fn(); close(done) }()
		<-done
		return err
	}
	err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		wants(t, elsewhere(func() error { _, err := acAdd.Call(tn, ref, 1); return err }), sturdy.ErrTurnShared)
		return nil
	})
	wants(t, err, sturdy.ErrTurnShared)
	err = w.View(t.Context(), func(tn *sturdy.ReadTurn) error {
		wants(t, elsewhere(func() error { _, err := acGet.Call(tn, ref); return err }), sturdy.ErrTurnShared)
		return nil
	})
	wants(t, err, sturdy.ErrTurnShared)
	holds(t, t.Context(), ref, 0)
}

const waits caps.Action = "waits"

type waiting struct{ N int64 }

func TestATurnThatEndsWhileAnotherGoroutineIsInsideFails(t *testing.T) {
	inside, leave := make(chan bool), make(chan bool)
	kind := sturdy.Define("proof/waiting",
		sturdy.Action(waits, func(s *waiting, _ *sturdy.WriteTurn) error { s.N++; close(inside); <-leave; return nil }),
		sturdy.Query(acGet, func(s *waiting, _ *sturdy.ReadTurn) (int64, error) { return s.N, nil }))
	w := unchecked(t, kind)
	ref, err := w.Root().Ensure(t.Context(), "w", func(tn *sturdy.WriteTurn) caps.Ref { return kind.New(tn, waiting{}) })
	must(t, err)
	gone := make(chan error)
	err = w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		go func() { gone <- waits.Call(tn, ref) }()
		<-inside
		return nil
	})
	wants(t, err, sturdy.ErrTurnShared)
	close(leave)
	<-gone
	holds(t, sturdy.Relaxed(t.Context()), ref, 0)
}

func TestANestedPanicThatIsSwallowedFailsTheTurn(t *testing.T) {
	for _, w := range []*runtimetest.World{unchecked(t, accountKind), runtimetest.Open(t, accountKind)} {
		ref := accounts(t, w, 1, 0)[0]
		err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
			if panicOf(func() { _ = acBoom.Call(tn, ref, 1) }) == nil {
				t.Error("no panic")
			}
			_, err := acAdd.Call(tn, ref, 1)
			return err
		})
		wants(t, err, sturdy.ErrTurnShared)
		holds(t, sturdy.Relaxed(t.Context()), ref, 0)
	}
}

func TestOnlyTheWholeTurnIsUndone(t *testing.T) {
	w, ctx := runtimetest.Open(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		wants(t, acMess.Call(tn, ref, 5), errMess)
		holds(t, tn, ref, 5)
		return nil
	}))
	holds(t, ctx, ref, 5)
	wants(t, acMess.Call(ctx, ref, 5), errMess)
	wants(t, acBoom.Call(ctx, ref, 5), caps.ErrPanicked)
	holds(t, sturdy.Relaxed(ctx), ref, 5)
}

func TestAFailedTurnLeavesNothing(t *testing.T) {
	w, ctx := runtimetest.Open(t, accountKind), t.Context()
	refs := accounts(t, w, 2, 0)
	var m sturdy.Map[string, int64]
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		m = sturdy.NewMap[string, int64](tn)
		m.Put(tn, "kept", 1)
		return w.Root().Put(tn, "m", m.Ref)
	}))
	before := dumpWorld(t, w)
	for _, end := range []func() error{func() error { return errMess }, func() error { panic("boom") }} {
		err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
			for _, ref := range refs {
				_, err := acAdd.Call(tn, ref, 1)
				must(t, err)
			}
			m.Put(tn, "kept", 2)
			m.Put(tn, "new", 2)
			m.Delete(tn, "kept")
			must(t, w.Root().Put(tn, "x", accountKind.New(tn, account{})))
			must(t, w.Root().Delete(tn, "0"))
			return end()
		})
		if err == nil {
			t.Error("no error")
		}
		if after := dumpWorld(t, w); after != before {
			t.Errorf("something is left:\n%s\nwas\n%s", after, before)
		}
	}
	w.Crash()
	if after := dumpWorld(t, w); after != before {
		t.Errorf("after a crash:\n%s\nwas\n%s", after, before)
	}
}

const dive caps.Method[int64, int64] = "dive"

type diver struct{ N int64 }

func (d *diver) dive(t *sturdy.WriteTurn, left int64) (int64, error) {
	if d.N++; left == 0 {
		return d.N, nil
	}
	return dive.Call(t, t.Self(), left-1)
}

func TestFramesOfOneObjectShareItsStateToADepthOfAThousand(t *testing.T) {
	kind := sturdy.Define("proof/diver", sturdy.Method(dive, (*diver).dive))
	w, ctx := unchecked(t, kind), t.Context()
	ref, err := w.Root().Ensure(ctx, "d", func(tn *sturdy.WriteTurn) caps.Ref { return kind.New(tn, diver{}) })
	must(t, err)
	if n, err := dive.Call(ctx, ref, 999); n != 1000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	_, err = dive.Call(ctx, ref, 1000)
	wants(t, err, sturdy.ErrTooLarge)
	if n, err := dive.Call(ctx, ref, 0); n != 1001 || err != nil {
		t.Errorf("%d, %v: a turn that went too deep has left something", n, err)
	}
}

func TestWhatIsTooLargeIsRefusedAndNothingHappened(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	line := strings.Repeat("x", 1<<20)
	wants(t, acNote.Call(ctx, ref, line), sturdy.ErrTooLarge)
	must(t, acNote.Call(ctx, ref, line[:1<<20-200]))
	wants(t, acNote.Call(ctx, ref, line[:300]), sturdy.ErrTooLarge)
	if lines, err := acText.Call(ctx, ref); len(lines) != 1 || err != nil {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	for name, write := range map[string]func(*sturdy.WriteTurn, sturdy.Map[string, string]){
		"key":   func(tn *sturdy.WriteTurn, m sturdy.Map[string, string]) { m.Put(tn, line[:5000], "") },
		"value": func(tn *sturdy.WriteTurn, m sturdy.Map[string, string]) { m.Put(tn, "a", line) },
		"turn": func(tn *sturdy.WriteTurn, m sturdy.Map[string, string]) {
			for i := range 100 {
				m.Put(tn, fmt.Sprint(i), line[:1<<20-100])
			}
		},
	} {
		err := w.Update(ctx, func(tn *sturdy.WriteTurn) error { write(tn, sturdy.NewMap[string, string](tn)); return nil })
		if !errors.Is(err, sturdy.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.Crash()
	if n := counted(t, w, "sturdy/map"); n != 0 {
		t.Errorf("%d maps are left", n)
	}
}

func TestCheckedModeNamesWhoLied(t *testing.T) {
	impure := int64(0)
	const liesGet caps.Query[int64] = "peek"
	kind := sturdy.Define("proof/liar",
		sturdy.Method(acAdd, func(a *account, _ *sturdy.WriteTurn, n int64) (int64, error) {
			impure++
			a.N = impure
			return a.N, nil
		}),
		sturdy.Query(acGet, (*account).get),
		sturdy.Query(liesGet, func(a *account, _ *sturdy.ReadTurn) (int64, error) { a.N++; return a.N, nil }),
		sturdy.Command(acNote, func(a *account, t *sturdy.WriteTurn, s string) error {
			var b [8]byte
			t.Random(b[:])
			a.Lines = append(a.Lines, s, fmt.Sprint(b, t.Now()))
			return nil
		}))
	w, ctx := runtimetest.Open(t, kind), t.Context()
	ref, err := w.Root().Ensure(ctx, "liar", func(tn *sturdy.WriteTurn) caps.Ref { return kind.New(tn, account{}) })
	must(t, err)
	_, err = acAdd.Call(ctx, ref, 1)
	named := func(err error, method string) {
		t.Helper()
		wants(t, err, sturdy.ErrImpure)
		if !strings.HasPrefix(fmt.Sprint(err), "proof/liar."+method+": ") {
			t.Errorf("%v does not name %s", err, method)
		}
	}
	named(err, "add")
	_, err = liesGet.Call(ctx, ref)
	named(err, "peek")
	wants(t, w.View(ctx, func(tn *sturdy.ReadTurn) error { _, err := liesGet.Call(tn, ref); return err }), sturdy.ErrImpure)
	must(t, acNote.Call(ctx, ref, "time and chance of a turn are fixed"))
	holds(t, ctx, ref, 0)
	var seen []int
	err = w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		seen = append(seen, 1)
		sturdy.NewList[int64](tn).Append(tn, int64(len(seen)))
		return nil
	})
	wants(t, err, sturdy.ErrImpure)
}
