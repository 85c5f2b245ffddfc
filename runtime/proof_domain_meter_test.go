package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// hireMole has main run on a thread with the meter that budget says, which stands under "meter".
func hireMole(t *testing.T, main func(*sturdy.Thread[mole]) error, budget sturdy.Budget) (*runtimetest.World, sturdy.ThreadRef) {
	t.Helper()
	mk := moleKind(main)
	w := runtimetest.Open(t, roomKind(), helperKind, mk)
	var th sturdy.ThreadRef
	if err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		m := tn.NewMeter(budget, caps.Ref{})
		h, other := helperKind.New(tn, helper{}), tn.NewMeter(sturdy.Budget{}, caps.Ref{})
		th = tn.Spawn(moleMain.To(mk.New(tn, mole{})), sturdy.Domain{Meter: m, Holds: map[string]caps.Ref{"helper": h, "meter": m.Ref, "other": other.Ref}})
		return errors.Join(w.Root().Put(tn, "meter", m.Ref), w.Root().Put(tn, "thread", th.Ref))
	}); err != nil {
		t.Fatal(err)
	}
	return w, th
}

func meterAt(t *testing.T, w *runtimetest.World, name string) (sturdy.Meter, sturdy.MeterInfo) {
	t.Helper()
	ref, err := w.Root().Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	m := sturdy.Meter{Ref: ref}
	info, err := m.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m, info
}

// Three meters above each other, while the power fails: what each has counted is what its
// threads, and those below, have done, to the turn.
func TestWhatIsUsedIsCountedOnceUpTheChainThroughCrashes(t *testing.T) {
	var work func(th *sturdy.Thread[mole], below int) error
	var mk *sturdy.KindOf[mole]
	work = func(th *sturdy.Thread[mole], below int) error {
		if below > 0 {
			if err := th.Turn("hire", func(tn *sturdy.WriteTurn, _ *mole) error {
				m := tn.NewMeter(sturdy.Budget{Turns: 1000}, caps.Ref{})
				tn.Spawn(moleMain.To(mk.New(tn, mole{Log: make([]string, below-1)})), sturdy.Domain{Meter: m, Holds: map[string]caps.Ref{"helper": th.Held("helper"), "root": th.Held("root")}})
				return sturdy.Directory{Ref: th.Held("root")}.Put(tn, fmt.Sprint(below-1), m.Ref)
			}); err != nil {
				return err
			}
		}
		for i := range 6 {
			if err := th.Turn(fmt.Sprint(i), func(tn *sturdy.WriteTurn, _ *mole) error {
				helperSame.Send(tn, th.Held("helper"), th.Held("helper"))
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}
	mk = moleKind(func(th *sturdy.Thread[mole]) error {
		below := 0
		if err := th.View(func(_ *sturdy.ReadTurn, m *mole) error { below = len(m.Log); return nil }); err != nil {
			return err
		}
		return work(th, below)
	})
	w := runtimetest.Open(t, helperKind, mk)
	if err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		m := tn.NewMeter(sturdy.Budget{Turns: 1000}, caps.Ref{})
		tn.Spawn(moleMain.To(mk.New(tn, mole{Log: make([]string, 2)})), sturdy.Domain{
			Meter: m, Holds: map[string]caps.Ref{"helper": helperKind.New(tn, helper{}), "root": w.Root().Ref},
		})
		return w.Root().Put(tn, "2", m.Ref)
	}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.Crash()
	}
	w.Settle()
	w.Crash() // the meters are not in memory, and count on
	w.Settle()
	for i, hires := range []int64{0, 1, 2} {
		_, info := meterAt(t, w, fmt.Sprint(i))
		threads := int64(i) + 1
		want := sturdy.Budget{Turns: threads*6*2 + hires, Messages: threads * 6, Bytes: info.Used.Bytes, Time: info.Used.Time}
		if info.Used != want || info.Used.Bytes == 0 || info.Left.Turns != 1000-want.Turns {
			t.Errorf("meter %d: %+v, want %+v", i, info, want)
		}
		if i > 0 {
			if _, below := meterAt(t, w, fmt.Sprint(i-1)); info.Used.Bytes <= below.Used.Bytes {
				t.Errorf("meter %d has counted %d bytes, the one below %d", i, info.Used.Bytes, below.Used.Bytes)
			}
		}
	}
}

const spinnerSpin caps.Action = "spin"

var spinnerKind = sturdy.Define("proof/spinner", sturdy.Action(spinnerSpin, func(h *helper, t *sturdy.WriteTurn) error {
	h.N++
	spinnerSpin.Send(t, t.Self())
	return nil
}))

func TestAnEndlessSelfSenderIsStoppedByItsMeterAndToldOnce(t *testing.T) {
	watcher := sturdy.Define("proof/watcher", sturdy.Command(sturdy.MeterEmpty, func(h *helper, _ *sturdy.WriteTurn, _ sturdy.MeterInfo) error {
		h.N++
		return nil
	}), sturdy.Query(roomN, func(h *helper, _ *sturdy.ReadTurn) (int64, error) { return h.N, nil }))
	mk := moleKind(func(th *sturdy.Thread[mole]) error {
		return th.Turn("spin", func(t *sturdy.WriteTurn, _ *mole) error {
			for range 3 {
				spinnerSpin.Send(t, spinnerKind.New(t, helper{}))
			}
			return nil
		})
	})
	w, ctx := runtimetest.Open(t, spinnerKind, watcher, mk), t.Context()
	var m sturdy.Meter
	var wt caps.Ref
	if err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		wt = watcher.New(tn, helper{})
		m = tn.NewMeter(sturdy.Budget{Turns: 30, Messages: 1000}, wt)
		tn.Spawn(moleMain.To(mk.New(tn, mole{})), sturdy.Domain{Meter: m})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	dead := 0
	for l, err := range w.Activity().DeadLetters(ctx) {
		if dead++; err != nil || l.Method != spinnerSpin.Name() {
			t.Fatal(l, err)
		}
	}
	info, err := m.Info(ctx)
	if err != nil || info.Used.Turns != 30 || info.Left.Turns != 0 || dead != 3 {
		t.Errorf("%+v, %v, %d dead letters", info, err, dead)
	}
	if n, err := roomN.Call(ctx, wt); n != 1 || err != nil {
		t.Errorf("told %d times, %v", n, err)
	}
}

func TestTimersAndOutcomesArePaidByWhoAskedForThem(t *testing.T) {
	w, th := hireMole(t, func(th *sturdy.Thread[mole]) error {
		return th.Turn("ask", func(tn *sturdy.WriteTurn, _ *mole) error {
			tn.Every(time.Minute, helperSame.To(th.Held("helper"), th.Held("helper")))
			return nil
		})
	}, sturdy.Budget{Messages: 5})
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Advance(20 * time.Minute)
	dead := 0
	for range w.Activity().DeadLetters(t.Context()) {
		dead++
	}
	if _, info := meterAt(t, w, "meter"); info.Used.Messages != 5 || info.Used.Turns != 6 || dead != 15 {
		t.Errorf("%+v, %d dead letters", info, dead)
	}
}

func TestWaitingCostsNoTime(t *testing.T) {
	w, th := hireMole(t, func(th *sturdy.Thread[mole]) error {
		if err := th.Sleep("night", 8*time.Hour); err != nil {
			return err
		}
		return th.Turn("work", func(*sturdy.WriteTurn, *mole) error { return nil })
	}, sturdy.Budget{Time: time.Minute})
	w.Settle()
	w.Advance(9 * time.Hour)
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, info := meterAt(t, w, "meter"); info.Used.Time != 0 {
		t.Errorf("%+v", info)
	}
}

func TestAStepThatCannotBePaidParksTheThreadUntilARefill(t *testing.T) {
	var w *runtimetest.World
	main := func(th *sturdy.Thread[mole]) error {
		_, err := sturdy.Step(th, "write", func(ctx context.Context) (bool, error) {
			return true, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
				sturdy.NewList[string](tn).Append(tn, strings.Repeat("x", 50_000))
				return nil
			})
		})
		return err
	}
	var th sturdy.ThreadRef
	w, th = hireMole(t, func(th *sturdy.Thread[mole]) error {
		if _, err := sturdy.Receive(th, "begin", moleGo, 0); err != nil {
			return err
		}
		return main(th)
	}, sturdy.Budget{Bytes: 20_000})
	moleGo.Send(t.Context(), th.Ref, true)
	if err := th.Wait(t.Context()); !errors.Is(err, sturdy.ErrMeter) {
		t.Fatal(err)
	}
	m, info := meterAt(t, w, "meter")
	if info.Parked != 1 || info.Left.Bytes == 0 {
		t.Errorf("%+v", info)
	}
	if err := m.Refill(t.Context(), sturdy.Budget{Bytes: 100_000}); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	if err := th.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestARefillRaisesOnlyWhatIsCountedAndNeverOverflows(t *testing.T) {
	w, th := hireMole(t, func(th *sturdy.Thread[mole]) error {
		for i := range 5 {
			if err := th.Turn(fmt.Sprint(i), func(*sturdy.WriteTurn, *mole) error { return nil }); err != nil {
				return err
			}
		}
		return nil
	}, sturdy.Budget{Turns: 2})
	w.Settle()
	m, _ := meterAt(t, w, "meter")
	if err := m.Refill(t.Context(), sturdy.Budget{Turns: math.MaxInt64, Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	if err := th.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if _, info := meterAt(t, w, "meter"); info.Limited != (sturdy.Budget{Turns: math.MaxInt64}) {
		t.Errorf("%+v", info)
	}
}

// A thread cannot spend what who spawns it does not have, nor draw on what is no meter.
func TestAChildDrawsOnNothingButAMeterBelowThatOfItsParent(t *testing.T) {
	var verdicts []error
	w, th := hireMole(t, func(th *sturdy.Thread[mole]) error {
		for i, m := range []caps.Ref{th.Held("other"), th.Held("helper"), th.Held("meter")} {
			verdicts = append(verdicts, th.Turn(fmt.Sprint(i), func(tn *sturdy.WriteTurn, _ *mole) error {
				tn.Spawn(moleStep.To(tn.Self()), sturdy.Domain{Meter: sturdy.Meter{Ref: m}, Holds: map[string]caps.Ref{"vault": m}})
				return nil
			}))
		}
		return nil
	}, sturdy.Budget{Turns: 1000})
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	if len(verdicts) != 3 || !errors.Is(verdicts[0], caps.ErrNoRight) || !errors.Is(verdicts[1], caps.ErrBadArgument) || verdicts[2] != nil {
		t.Error(verdicts)
	}
}
