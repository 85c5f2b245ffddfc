package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

func TestARelaxedSnapshotHoldsWhileAGroupSettles(t *testing.T) {
	w, ctx := unchecked(t, accountKind), sturdy.Relaxed(t.Context())
	refs := accounts(t, w, 4000, 0)
	var stop atomic.Bool
	var busy sync.WaitGroup
	busy.Go(func() {
		for n := 0; !stop.Load(); n++ {
			must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
				for i := range refs {
					if _, err := acAdd.Call(tn, refs[i], int64(1-2*(i%2))); err != nil {
						return err
					}
				}
				return nil
			}))
			go w.Sync(ctx)
		}
	})
	for end := time.Now().Add(time.Second); time.Now().Before(end) && !t.Failed(); {
		sum := int64(0)
		must(t, w.View(ctx, func(tn *sturdy.ReadTurn) error {
			for i := range refs {
				n, err := acGet.Call(tn, refs[i])
				if err != nil {
					return err
				}
				sum += n
			}
			return nil
		}))
		if sum != 0 {
			t.Errorf("a snapshot shows a sum of %d; every turn leaves 0", sum)
		}
	}
	stop.Store(true)
	busy.Wait()
}

func TestARelaxedViewNeverSeesHalfOfATurnThatIsRolledBack(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	refs := accounts(t, w, 2, 0)
	fails(w, syscall.EIO, "write", "sync")
	var a, b int64
	err := w.Update(sturdy.Relaxed(ctx), func(tn *sturdy.WriteTurn) error {
		_, err := acAdd.Call(tn, refs[0], 1)
		if err == nil {
			_, err = acAdd.Call(tn, refs[1], 1)
		}
		return err
	})
	must(t, err)
	err = w.View(sturdy.Relaxed(ctx), func(tn *sturdy.ReadTurn) (err error) {
		if a, err = acGet.Call(tn, refs[0]); err != nil {
			return err
		}
		if err := w.Sync(ctx); err == nil {
			t.Error("a broken disk syncs")
		}
		b, err = acGet.Call(tn, refs[1])
		return err
	})
	if err == nil && a != b {
		t.Errorf("one View saw %d and %d; every turn leaves them equal", a, b)
	}
}

func TestCheckedModeTakesNoOtherWriterForImpurity(t *testing.T) {
	w := runtimetest.Open(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	var busy sync.WaitGroup
	for range 4 {
		busy.Go(func() {
			for range 100 {
				if _, err := acAdd.Call(t.Context(), ref, 1); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	busy.Wait()
}

func TestGoexitInATurnLetsTheNextWriterIn(t *testing.T) {
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{accountKind}}.Open()
	must(t, err)
	var gone sync.WaitGroup
	gone.Go(func() {
		_ = rt.Update(context.Background(), func(*sturdy.WriteTurn) error { goruntime.Goexit(); return nil })
	})
	gone.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := rt.Update(ctx, func(*sturdy.WriteTurn) error { return nil }); err != nil {
		t.Fatalf("after a turn left by Goexit, as t.FailNow does: %v", err)
	}
	must(t, rt.Close())
}

// aborted returns a Ref to an object that was never committed.
func aborted(t *testing.T, w *runtimetest.World) (ref caps.Ref) {
	err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		ref = accountKind.New(tn, account{})
		return errMess
	})
	wants(t, err, errMess)
	return ref
}

func TestAWriteTurnCanHandleThatAnObjectIsGone(t *testing.T) {
	w := unchecked(t, accountKind)
	gone := aborted(t, w)
	err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		if _, err := acGet.Call(tn, gone); !errors.Is(err, caps.ErrGone) {
			t.Errorf("inside: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Errorf("the turn had handled the error, and failed with it: %v", err)
	}
}

func TestACallWithAnEndedContextIsNotExecuted(t *testing.T) {
	w := unchecked(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := acAdd.Call(ctx, ref, 1)
	wants(t, err, caps.ErrNotDelivered)
	wants(t, err, context.Canceled)
	must(t, w.Sync(t.Context()))
	holds(t, t.Context(), ref, 0)
}

func TestAnUntypedReadOfAnObjectOfTheSameTurn(t *testing.T) {
	w := unchecked(t, accountKind)
	const untyped caps.Query[caps.Value] = "get"
	must(t, w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		v, err := untyped.Call(tn, accountKind.New(tn, account{N: 7}))
		if v.Any() != int64(7) || err != nil {
			t.Errorf("%v, %v", v, err)
		}
		return nil
	}))
}

func TestUntypedCallsFromOutsideLeaveTheWritersCopyAlone(t *testing.T) {
	w := unchecked(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	const untyped caps.Method[int64, caps.Value] = "add"
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			for range 200 {
				_, err := untyped.Call(sturdy.Relaxed(t.Context()), ref, 1)
				must(t, err)
			}
		})
	}
	busy.Wait()
}

const nanMap caps.Query[map[float64]int64] = "nan"

type nanState struct{ N int64 }

func (s *nanState) nan(*sturdy.WriteTurn) (map[float64]int64, error) {
	s.N++
	return map[float64]int64{math.NaN(): 1}, nil
}

func (s *nanState) get(*sturdy.ReadTurn) (int64, error) { return s.N, nil }

var nanKind = sturdy.Define("proof/nan", sturdy.Query(nanMap, (*nanState).nan), sturdy.Query(acGet, (*nanState).get))

func TestAResultThatCannotBeEncodedFailsItsTurn(t *testing.T) {
	w, ctx := unchecked(t, nanKind), t.Context()
	ref, err := w.Root().Ensure(ctx, "nan", func(tn *sturdy.WriteTurn) caps.Ref { return nanKind.New(tn, nanState{}) })
	must(t, err)
	const untyped caps.Query[caps.Value] = "nan"
	if _, err := untyped.Call(ctx, ref); err != nil {
		holds(t, ctx, ref, 0)
	}
}

func TestAShortViewInAnIdleWorldIsNeverTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, err := sturdy.Options{Kinds: []sturdy.Kind{accountKind}}.Open()
		must(t, err)
		defer rt.Close()
		ctx := t.Context()
		var m sturdy.Map[int64, int64]
		must(t, rt.Update(ctx, func(tn *sturdy.WriteTurn) error {
			m = sturdy.NewMap[int64, int64](tn)
			m.Put(tn, 1, 1)
			return rt.Root().Put(tn, "m", m.Ref)
		}))
		time.Sleep(59 * time.Second)
		err = rt.View(ctx, func(tn *sturdy.ReadTurn) error {
			m.Get(tn, 1)
			must(t, rt.Update(ctx, func(tn *sturdy.WriteTurn) error { m.Put(tn, 2, 2); return nil }))
			time.Sleep(2 * time.Second)
			m.Get(tn, 1)
			return nil
		})
		if err != nil {
			t.Errorf("a View of two seconds: %v", err)
		}
	})
}

func TestAPanicOfAJoinedTurnCannotBeSwallowed(t *testing.T) {
	w := unchecked(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	swallowed := map[string]func(tn *sturdy.WriteTurn){
		"update": func(tn *sturdy.WriteTurn) { _ = w.Update(tn, func(*sturdy.WriteTurn) error { panic("boom") }) },
		"view":   func(tn *sturdy.WriteTurn) { _ = w.View(tn, func(*sturdy.ReadTurn) error { panic("boom") }) },
		"unwind": func(tn *sturdy.WriteTurn) { sturdy.Map[string, int64]{Ref: ref}.Put(tn, "x", 1) },
	}
	for name, panics := range swallowed {
		err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
			if _, err := acAdd.Call(tn, ref, 1); err != nil {
				return err
			}
			func() {
				defer func() { _ = recover() }()
				panics(tn)
			}()
			return nil
		})
		if err == nil {
			t.Errorf("%s: a panic was swallowed, and the turn took effect", name)
		}
	}
}

func TestAViewThatOutlivesItsWorldIsToldSo(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	err := w.View(ctx, func(tn *sturdy.ReadTurn) error {
		w.Evict()
		must(t, w.Close())
		_, err := acGet.Call(tn, ref)
		return err
	})
	wants(t, err, sturdy.ErrClosed)
	_, err = acGet.Call(ctx, ref)
	wants(t, err, sturdy.ErrClosed)
}

func TestWaitingForTheWriterInsideItsTurnIsRefused(t *testing.T) {
	w := runtimetest.Open(t, accountKind)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		wants(t, w.Sync(tn), caps.ErrWouldBlock)
		return nil
	}))
	must(t, w.Update(t.Context(), func(*sturdy.WriteTurn) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err := w.View(sturdy.Relaxed(ctx), func(*sturdy.ReadTurn) error { return nil })
		wants(t, err, caps.ErrWouldBlock)
		return nil
	}))
}

func TestObjectsAreListedInsideAWriteTurn(t *testing.T) {
	w := unchecked(t, accountKind)
	must(t, w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		for _, err := range w.Objects(tn) {
			if err != nil {
				t.Error(err)
			}
		}
		return nil
	}))
}

type older struct{ Cents int64 }

var olderKind = sturdy.Define("proof/account", sturdy.Query(acGet, func(o *older, _ *sturdy.ReadTurn) (int64, error) { return o.Cents, nil }))

func TestALoaderThatPanicsIsAnError(t *testing.T) {
	panics := sturdy.Define("proof/account",
		sturdy.Query(acGet, (*account).get),
		sturdy.From(1, func(older) (account, error) { panic("boom") }),
	)
	w, ctx := unchecked(t, olderKind), t.Context()
	_, err := w.Root().Ensure(ctx, "old", func(tn *sturdy.WriteTurn) caps.Ref { return olderKind.New(tn, older{}) })
	must(t, err)
	w.Restart(panics)
	ref, err := w.Root().Get(ctx, "old")
	must(t, err)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("the panic of a loader has left Call: %v", p)
		}
	}()
	if _, err := acGet.Call(ctx, ref); err == nil {
		t.Error("loaded")
	}
}

func TestAnErrorThatNamesANewObjectIsNoImpurity(t *testing.T) {
	w := runtimetest.Open(t, accountKind)
	err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		sturdy.Map[string, int64]{Ref: accountKind.New(tn, account{})}.Put(tn, "x", 1)
		return nil
	})
	wants(t, err, caps.ErrNoMethod)
	err = w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		return fmt.Errorf("no use for %v", accountKind.New(tn, account{}))
	})
	if errors.Is(err, sturdy.ErrImpure) {
		t.Error(err)
	}
}

func TestACustomCauseDoesNotHideThatTheContextEnded(t *testing.T) {
	w := unchecked(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err := acGet.Call(ctx, ref)
	wants(t, err, caps.ErrNotDelivered)
	wants(t, err, context.Canceled)
}

func TestNoErrorTellsOfStateThatWasNeverDurable(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	fails(w, syscall.EIO, "write", "sync")
	_, err := acAdd.Call(sturdy.Relaxed(ctx), ref, 5)
	must(t, err)
	err = w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		n, err := acGet.Call(tn, ref)
		return errors.Join(err, fmt.Errorf("it holds %d", n))
	})
	if err == nil || strings.Contains(err.Error(), "it holds 5") {
		t.Errorf("%v: told of what a crash takes back", err)
	}
}

func TestAVeryLargeTurnIsRefused(t *testing.T) {
	w := unchecked(t, accountKind)
	line := strings.Repeat("x", 1000_000)
	err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		for range 1100 {
			accountKind.New(tn, account{Lines: []string{line}})
		}
		return nil
	})
	wants(t, err, sturdy.ErrTooLarge)
	must(t, w.Update(t.Context(), func(tn *sturdy.WriteTurn) error { accountKind.New(tn, account{}); return nil }))
}

func TestNoResultIsToldBesideMaybeExecuted(t *testing.T) {
	w := unchecked(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	fails(w, syscall.EIO, "write", "sync")
	n, err := acAdd.Call(t.Context(), ref, 7)
	wants(t, err, caps.ErrMaybeExecuted)
	if n != 0 {
		t.Errorf("%d was told, which never became durable", n)
	}
}

func TestATurnOfAnotherWorldIsNotJoined(t *testing.T) {
	one, two := unchecked(t, accountKind), unchecked(t, accountKind)
	ref := accounts(t, two, 1, 0)[0]
	must(t, one.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		if err := two.Update(tn, func(*sturdy.WriteTurn) error { return nil }); err == nil {
			t.Error("an Update of one world joined a turn of another")
		}
		if err := two.View(tn, func(*sturdy.ReadTurn) error { return nil }); err == nil {
			t.Error("a View of one world joined a turn of another")
		}
		if _, err := two.Describe(tn, ref); err == nil {
			t.Error("Describe looked into one world with a turn of another")
		}
		return nil
	}))
}
