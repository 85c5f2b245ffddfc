package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// TestNoCrashTakesBackWhatWasAcknowledged runs a short life of a world once for each
// operation on the disk, and crashes there. The checkpoint at the end of that life is part
// of it.
func TestNoCrashTakesBackWhatWasAcknowledged(t *testing.T) {
	type ack struct{ accounts, paid int64 }
	var acked ack
	pay := func(w *runtimetest.World, ctx context.Context, n int64) error {
		return w.Update(ctx, func(tn *sturdy.WriteTurn) error {
			a, err := w.Root().Get(tn, "0")
			if err != nil {
				return err
			}
			b, err := w.Root().Get(tn, "1")
			if err != nil {
				return err
			}
			m, err := w.Root().Get(tn, "m")
			if err != nil {
				return err
			}
			sturdy.Map[int64, int64]{Ref: m}.Put(tn, n, n)
			if n > 2 {
				sturdy.Map[int64, int64]{Ref: m}.Delete(tn, n-2)
			}
			return acPay.Call(tn, a, payment{b, 1})
		})
	}
	scenario := func(w *runtimetest.World) error {
		ctx := context.Background()
		err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
			return errors.Join(
				w.Root().Put(tn, "0", accountKind.New(tn, account{N: 10})),
				w.Root().Put(tn, "1", accountKind.New(tn, account{})),
				w.Root().Put(tn, "m", sturdy.NewMap[int64, int64](tn).Ref))
		})
		if err != nil {
			return err
		}
		acked.accounts = 2
		for n := range int64(4) {
			if n == 1 {
				ctx := sturdy.Relaxed(ctx)
				if err := pay(w, ctx, n+1); err != nil {
					return err
				}
				continue
			}
			if err := pay(w, ctx, n+1); err != nil {
				return err
			}
			acked.paid = n + 1
		}
		return w.Close()
	}
	runtimetest.EachCrash(t, accountKind, scenario, func(t *testing.T, w *runtimetest.World) {
		defer func() { acked = ack{} }() // the world of the next run may not even open
		m, err := w.Root().Get(t.Context(), "m")
		if err != nil {
			if acked.accounts != 0 {
				t.Errorf("acknowledged, and gone: %v", err)
			}
			return
		}
		refs := named(t, w, 2)
		must(t, w.View(t.Context(), func(tn *sturdy.ReadTurn) error {
			paid, err := acGet.Call(tn, refs[1])
			must(t, err)
			holds(t, tn, refs[0], 10-paid)
			if paid < acked.paid {
				t.Errorf("%d payments were acknowledged, %d are there", acked.paid, paid)
			}
			rows := sturdy.Map[int64, int64]{Ref: m}
			if n, ok := rows.Get(tn, paid); ok != (paid > 0) || n != paid || int64(rows.Len(tn)) != min(paid, 2) {
				t.Errorf("after payment %d the map has %d rows, and %d", paid, rows.Len(tn), n)
			}
			return nil
		}))
		must(t, pay(w, t.Context(), 9)) // and it goes on
	})
}

const (
	shGive caps.Command[map[string][]int64] = "give"
	shBack caps.Query[map[string][]int64]   = "back"
	shGrow caps.Query[map[string][]int64]   = "grow"
)

type sharing struct{ M map[string][]int64 }

func TestArgumentsResultsAndStatesShareNothing(t *testing.T) {
	kind := sturdy.Define("proof/sharing",
		sturdy.Command(shGive, func(s *sharing, _ *sturdy.WriteTurn, m map[string][]int64) error { s.M = m; return nil }),
		sturdy.Query(shBack, func(s *sharing, _ *sturdy.ReadTurn) (map[string][]int64, error) { return s.M, nil }),
		sturdy.Query(shGrow, func(s *sharing, _ *sturdy.WriteTurn) (map[string][]int64, error) {
			s.M["a"][0]++
			s.M["b"] = nil
			return s.M, nil
		}))
	w, ctx := unchecked(t, kind), t.Context()
	mine := map[string][]int64{"a": {1}}
	var first, second caps.Ref
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		first, second = kind.New(tn, sharing{mine}), kind.New(tn, sharing{})
		mine["a"][0] = 99
		got, err := shBack.Call(tn, first)
		must(t, err)
		must(t, shGive.Call(tn, second, got))
		got["a"][0], got["c"] = 98, nil
		return nil
	}))
	is := func(ref caps.Ref, ctx context.Context, want string) {
		t.Helper()
		if got, err := shBack.Call(ctx, ref); fmt.Sprint(got) != want || err != nil {
			t.Errorf("%v, %v; want %s", got, err, want)
		}
	}
	is(first, ctx, "map[a:[1]]")
	is(second, ctx, "map[a:[1]]")
	got, err := shGrow.Call(ctx, first)
	must(t, err)
	got["a"][0] = 97
	is(first, ctx, "map[a:[2] b:[]]")
	is(second, ctx, "map[a:[1]]")
	must(t, w.View(ctx, func(tn *sturdy.ReadTurn) error { // a version is not changed by the next
		_, err := shGrow.Call(ctx, first)
		must(t, err)
		is(first, tn, "map[a:[2] b:[]]")
		return nil
	}))
	wants(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error { // nor by one that fails
		_, err := shGrow.Call(tn, first)
		must(t, err)
		return errMess
	}), errMess)
	is(first, ctx, "map[a:[3] b:[]]")
}

func TestOfManyThatEnsureANameOneMakesIt(t *testing.T) {
	w := unchecked(t, accountKind)
	var busy sync.WaitGroup
	refs := make([]caps.Ref, 8)
	for i := range refs {
		busy.Go(func() {
			ref, err := w.Root().Ensure(t.Context(), "one", func(tn *sturdy.WriteTurn) caps.Ref { return accountKind.New(tn, account{N: int64(i)}) })
			if err != nil {
				t.Error(err)
			}
			refs[i] = ref
		})
	}
	busy.Wait()
	for _, ref := range refs {
		if ref != refs[0] {
			t.Errorf("%v and %v", ref, refs[0])
		}
	}
	if n := counted(t, w, "proof/account"); n != 1 {
		t.Errorf("%d were made", n)
	}
}

func TestRefsToOneObjectAreTheSame(t *testing.T) {
	w, ctx := tiny(t), t.Context()
	ref := accounts(t, w, 2, 0)[0]
	reader := ref.Attenuate(caps.Read)
	must(t, w.Root().Put(ctx, "reader", reader))
	w.Evict()
	back, err := w.Root().Get(ctx, "reader")
	must(t, err)
	if back != reader || back == ref || !back.Same(ref) {
		t.Errorf("%v, %v, %v", ref, reader, back)
	}
	if other, err := w.Root().Get(ctx, "1"); err != nil || other.Same(ref) {
		t.Errorf("%v, %v", other, err)
	}
}
