package sturdy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// steward is a thread that tries to add to a counter by every route there is.
type steward struct {
	Errors map[string]string
	Target caps.Ref
}

const (
	stewardTry   caps.Action                   = "try"
	stewardShed  caps.Action                   = "shed"
	stewardTurns caps.Action                   = "turns"
	stewardErrs  caps.Query[map[string]string] = "errors"
	stewardOn    caps.Command[bool]            = "on"
)

func (c *steward) errs(*sturdy.ReadTurn) (map[string]string, error) { return c.Errors, nil }

func try(th *sturdy.Thread[steward]) error {
	target := th.Held("target")
	verdicts := map[string]string{}
	verdict := func(route string, err error) {
		switch {
		case err == nil:
			verdicts[route] = "done"
		case errors.Is(err, caps.ErrNoRight):
			verdicts[route] = "refused"
		default:
			verdicts[route] = err.Error()
		}
	}
	verdict("call", th.Turn("call", func(t *sturdy.WriteTurn, _ *steward) error {
		_, err := counterAdd.Call(t, target, 1)
		return err
	}))
	_, err := sturdy.Step(th, "step", func(ctx context.Context) (int64, error) { return counterAdd.Call(ctx, target, 1) })
	verdict("step", err)
	verdict("read", th.View(func(t *sturdy.ReadTurn, _ *steward) error {
		_, err := counterGet.Call(t, target)
		return err
	}))
	verdict("collection", th.Turn("collection", func(t *sturdy.WriteTurn, _ *steward) error {
		sturdy.NewList[int64](t).Append(t, 1)
		return nil
	}))
	_, err = sturdy.Step(th, "send", func(ctx context.Context) (int64, error) {
		return counterAdd.Send(ctx, target, 1).Await(ctx)
	})
	verdict("send", err)
	_, err = sturdy.Step(th, "child", func(ctx context.Context) (bool, error) {
		return true, nil
	})
	verdict("child", errors.Join(err, th.Turn("spawn", func(t *sturdy.WriteTurn, c *steward) error {
		t.Spawn(stewardTurns.To(t.Self()), sturdy.Domain{Ceiling: caps.Read | caps.Write | caps.Run})
		return nil
	})))
	return th.Turn("tell", func(t *sturdy.WriteTurn, c *steward) error {
		c.Errors = verdicts
		return nil
	})
}

var stewardKind = sturdy.Define("example.org/steward",
	sturdy.Query(stewardErrs, (*steward).errs),
	sturdy.Runs(stewardTry, try),
	sturdy.Runs(stewardShed, func(th *sturdy.Thread[steward]) error {
		if err := th.ShedOn(th.Held("target"), caps.Read); err != nil {
			return err
		}
		if _, err := sturdy.Receive(th, "go", stewardOn, 0); err != nil {
			return err
		}
		return try(th)
	}),
	sturdy.Runs(stewardTurns, func(th *sturdy.Thread[steward]) error {
		return th.Loop("work", func(uint64) (bool, error) {
			more := false
			err := th.Turn("turn", func(_ *sturdy.WriteTurn, c *steward) error {
				if c.Errors == nil {
					c.Errors = map[string]string{}
				}
				c.Errors["n"] += "."
				more = len(c.Errors["n"]) < 20
				return nil
			})
			return more, err
		})
	}),
)

func hire(t *testing.T, w *runtimetest.World, program caps.Action, d sturdy.Domain) (c caps.Ref, th sturdy.ThreadRef) {
	t.Helper()
	target := counterAt(t, w, "target")
	if err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		c = stewardKind.New(tn, steward{})
		d := d
		d.Holds = map[string]caps.Ref{"target": target}
		if d.Limits == nil && d.Ceiling == 0 && program == stewardTry {
			d.Limits = map[caps.Ref]caps.Rights{target: caps.Read}
		}
		th = tn.Spawn(program.To(c), d)
		return errors.Join(w.Root().Put(tn, "steward", c), w.Root().Put(tn, "thread", th.Ref))
	}); err != nil {
		t.Fatal(err)
	}
	return c, th
}

func wantVerdicts(t *testing.T, c caps.Ref, want map[string]string) {
	t.Helper()
	got, err := stewardErrs.Call(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for route, v := range want {
		if got[route] != v {
			t.Errorf("%s: %q, want %q", route, got[route], v)
		}
	}
}

func TestALimitOnOneObjectHoldsByEveryRoute(t *testing.T) {
	w := runtimetest.Open(t, counterKind, stewardKind)
	c, th := hire(t, w, stewardTry, sturdy.Domain{})
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantVerdicts(t, c, map[string]string{"call": "refused", "step": "refused", "send": "refused", "read": "done", "collection": "done"})
	if n, err := counterGet.Call(t.Context(), counterAt(t, w, "target")); n != 0 || err != nil {
		t.Error(n, err)
	}
}

func TestAChildCannotBeGivenMore(t *testing.T) {
	w := runtimetest.Open(t, counterKind, stewardKind)
	c, th := hire(t, w, stewardTry, sturdy.Domain{Ceiling: caps.Read | caps.Write})
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantVerdicts(t, c, map[string]string{"call": "done", "step": "done", "send": "done", "child": "refused"})
}

func TestWhatWasShedStaysShedAcrossRestarts(t *testing.T) {
	w := runtimetest.Open(t, counterKind, stewardKind)
	hire(t, w, stewardShed, sturdy.Domain{})
	w.Settle()
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Crash()
	c, err := w.Root().Get(t.Context(), "steward")
	if err != nil {
		t.Fatal(err)
	}
	th, err := w.Root().Get(t.Context(), "thread")
	if err != nil {
		t.Fatal(err)
	}
	stewardOn.Send(t.Context(), th, true)
	if err := (sturdy.ThreadRef{Ref: th}).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantVerdicts(t, c, map[string]string{"call": "refused", "step": "refused", "send": "refused", "read": "done"})
}

func TestAnEmptyMeterParksAndARefillLetsGoOn(t *testing.T) {
	w := runtimetest.Open(t, counterKind, stewardKind)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told, empty := sturdy.Port(ctx, w.Runtime, sturdy.MeterEmpty)
	var m sturdy.Meter
	if err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		m = tn.NewMeter(sturdy.Budget{Turns: 10}, told)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c, th := hire(t, w, stewardTurns, sturdy.Domain{Meter: m})
	if err := th.Wait(ctx); !errors.Is(err, sturdy.ErrMeter) {
		t.Fatal(err)
	}
	for info := range empty {
		if info.Left.Turns != 0 || info.Parked != 1 {
			t.Errorf("%+v", info)
		}
		break
	}
	if err := m.Refill(ctx, sturdy.Budget{Turns: 100}); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	if err := th.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	wantVerdicts(t, c, map[string]string{"n": "...................."})
	if info, err := m.Info(ctx); err != nil || info.Used.Turns < 40 || info.Used.Turns > 60 || info.Used.Bytes == 0 {
		t.Errorf("%+v, %v", info, err)
	}
}
