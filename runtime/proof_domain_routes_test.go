package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// A vault is what a thread may only read. Everything else that can be done to it counts.
type strongroom struct{ N int64 }

// A helper is a plain object that does what it is asked, with what it is given.
type helper struct{ N int64 }

// marking asks a helper to leave a mark.
type marking struct {
	Room caps.Ref
	Mark int64
}

// A mole is what the threads run on.
type mole struct{ Log []string }

const (
	roomN      caps.Query[int64]                    = "n"
	roomAdd    caps.Method[int64, int64]            = "add"
	roomMark   caps.Command[int64]                  = "mark"
	helperMark caps.Command[marking]                = "mark"
	roomHeard  caps.Command[caps.Outcome[caps.Ref]] = "heard"
	roomOut    caps.Action                          = "out"
	roomThread caps.Action                          = "thread"

	helperSame  caps.Method[caps.Ref, caps.Ref] = "same"
	helperCall  caps.Command[caps.Ref]          = "call"
	helperSend  caps.Command[caps.Ref]          = "send"
	helperTimer caps.Command[caps.Ref]          = "timer"
	helperSpawn caps.Command[caps.Ref]          = "spawn"

	moleMain  caps.Action          = "main"
	moleChild caps.Action          = "child"
	moleStep  caps.Action          = "child's step"
	moleLog   caps.Query[[]string] = "log"
)

func (v *strongroom) n(*sturdy.ReadTurn) (int64, error)                { return v.N, nil }
func (v *strongroom) add(_ *sturdy.WriteTurn, by int64) (int64, error) { v.N += by; return v.N, nil }

func (v *strongroom) heard(*sturdy.WriteTurn, caps.Outcome[caps.Ref]) error {
	v.N++
	return nil
}

func (v *strongroom) empty(*sturdy.WriteTurn, sturdy.MeterInfo) error {
	v.N++
	return nil
}

func roomKind() *sturdy.KindOf[strongroom] {
	return sturdy.Define("proof/vault",
		sturdy.Query(roomN, (*strongroom).n),
		sturdy.Method(roomAdd, (*strongroom).add),
		sturdy.Command(roomMark, func(v *strongroom, _ *sturdy.WriteTurn, m int64) error { v.N |= m; return nil }),
		sturdy.Command(roomHeard, (*strongroom).heard),
		sturdy.Command(sturdy.MeterEmpty, (*strongroom).empty),
		sturdy.Outside(caps.Method[caps.Done, caps.Done](roomOut), func(context.Context, strongroom, caps.Done) (caps.Done, error) {
			return caps.Done{}, errReached
		}),
		sturdy.Runs(roomThread, func(th *sturdy.Thread[strongroom]) error {
			return th.Turn("add", func(_ *sturdy.WriteTurn, v *strongroom) error { v.N++; return nil })
		}),
	)
}

var errReached = errors.New("the body ran")

var helperKind = sturdy.Define("proof/helper",
	sturdy.Method(helperSame, func(_ *helper, _ *sturdy.WriteTurn, r caps.Ref) (caps.Ref, error) { return r, nil }),
	sturdy.Command(helperMark, func(_ *helper, t *sturdy.WriteTurn, m marking) error { return roomMark.Call(t, m.Room, m.Mark) }),
	sturdy.Command(helperCall, func(_ *helper, t *sturdy.WriteTurn, r caps.Ref) error {
		_, err := roomAdd.Call(t, r, 1)
		return err
	}),
	sturdy.Command(helperSend, func(_ *helper, t *sturdy.WriteTurn, r caps.Ref) error {
		roomAdd.Send(t, r, 1)
		return nil
	}),
	sturdy.Command(helperTimer, func(_ *helper, t *sturdy.WriteTurn, r caps.Ref) error {
		t.After(time.Second, roomAdd.To(r, 1))
		return nil
	}),
	sturdy.Command(helperSpawn, func(_ *helper, t *sturdy.WriteTurn, r caps.Ref) error {
		t.Spawn(roomThread.To(r), sturdy.Domain{})
		return nil
	}),
)

// assault is what one route needs.
type assault struct {
	th        *sturdy.Thread[mole]
	rt        *sturdy.Runtime
	name      string
	v, helper caps.Ref
}

func (a *assault) turn(fn func(t *sturdy.WriteTurn) error) error {
	return a.th.Turn(a.name, func(t *sturdy.WriteTurn, _ *mole) error { return fn(t) })
}

func (a *assault) step(fn func(ctx context.Context) error) error {
	_, err := sturdy.Step(a.th, a.name, func(ctx context.Context) (bool, error) { return true, fn(ctx) })
	return err
}

// route is one way to the vault. Stepping ones need no turn of the thread.
type route struct {
	name  string
	steps bool
	run   func(a *assault) error
}

func inTurn(name string, fn func(a *assault, t *sturdy.WriteTurn) error) route {
	return route{name, false, func(a *assault) error { return a.turn(func(t *sturdy.WriteTurn) error { return fn(a, t) }) }}
}

func inStep(name string, fn func(a *assault, ctx context.Context) error) route {
	return route{name, true, func(a *assault) error { return a.step(func(ctx context.Context) error { return fn(a, ctx) }) }}
}

func add(ctx context.Context, r caps.Ref) error {
	_, err := roomAdd.Call(ctx, r, 1)
	return err
}

var assaults = append([]route{
	inTurn("call", func(a *assault, t *sturdy.WriteTurn) error { return add(t, a.v) }),
	inTurn("call with a context derived from the turn", func(a *assault, t *sturdy.WriteTurn) error {
		return add(context.WithValue(t, routeKey{}, 1), a.v)
	}),
	inTurn("nested call", func(a *assault, t *sturdy.WriteTurn) error { return helperCall.Call(t, a.helper, a.v) }),
	inTurn("facet", func(a *assault, t *sturdy.WriteTurn) error { return add(t, a.v.Attenuate(caps.Read|caps.Write)) }),
	inTurn("grant", func(a *assault, t *sturdy.WriteTurn) error {
		shared, _ := t.Grant(a.v, caps.Terms{For: "a friend"})
		return add(t, shared)
	}),
	inTurn("membrane", func(a *assault, t *sturdy.WriteTurn) error {
		shared, _ := t.Grant(a.v, caps.Terms{For: "a friend", Deep: true})
		return add(t, shared)
	}),
	inTurn("untyped", func(a *assault, t *sturdy.WriteTurn) error {
		_, err := a.v.Deliver(t, roomAdd.To(a.v, 1))
		return err
	}),
	inTurn("send", func(a *assault, t *sturdy.WriteTurn) error { roomAdd.Send(t, a.v, 1); return nil }),
	inTurn("timer", func(a *assault, t *sturdy.WriteTurn) error {
		t.After(time.Second, roomAdd.To(a.v, 1))
		return nil
	}),
	inTurn("timer again and again", func(a *assault, t *sturdy.WriteTurn) error {
		t.Every(time.Hour, roomAdd.To(a.v, 1))
		return nil
	}),
	inTurn("then", func(a *assault, t *sturdy.WriteTurn) error {
		return helperSame.Send(t, a.helper, a.helper).Then(t, a.v, roomHeard)
	}),
	inTurn("pipelined", func(a *assault, t *sturdy.WriteTurn) error {
		roomAdd.Send(t, helperSame.Send(t, a.helper, a.v).Ref(), 1)
		return nil
	}),
	inTurn("pipelined behind a promise of a promise", func(a *assault, t *sturdy.WriteTurn) error {
		first := helperSame.Send(t, a.helper, a.v)
		roomAdd.Send(t, helperSame.Send(t, a.helper, first.Ref()).Ref(), 1)
		return nil
	}),
	inTurn("send to one that calls", func(a *assault, t *sturdy.WriteTurn) error { helperCall.Send(t, a.helper, a.v); return nil }),
	inTurn("send to one that sends", func(a *assault, t *sturdy.WriteTurn) error { helperSend.Send(t, a.helper, a.v); return nil }),
	inTurn("send to one that sets a timer", func(a *assault, t *sturdy.WriteTurn) error { helperTimer.Send(t, a.helper, a.v); return nil }),
	inTurn("send to one that spawns", func(a *assault, t *sturdy.WriteTurn) error { helperSpawn.Send(t, a.helper, a.v); return nil }),
	inTurn("spawn on it", func(a *assault, t *sturdy.WriteTurn) error {
		t.Spawn(roomThread.To(a.v), sturdy.Domain{})
		return nil
	}),
	inTurn("call its program", func(a *assault, t *sturdy.WriteTurn) error { return roomThread.Call(t, a.v) }),
	inTurn("child", func(a *assault, t *sturdy.WriteTurn) error {
		t.Spawn(moleChild.To(t.Self()), sturdy.Domain{Holds: map[string]caps.Ref{"vault": a.v}})
		return nil
	}),
	inTurn("child in its step", func(a *assault, t *sturdy.WriteTurn) error {
		t.Spawn(moleStep.To(t.Self()), sturdy.Domain{Holds: map[string]caps.Ref{"vault": a.v}, Ceiling: caps.Read | caps.Write | caps.Run})
		return nil
	}),
	inTurn("child with a limit of its own", func(a *assault, t *sturdy.WriteTurn) error {
		t.Spawn(moleStep.To(t.Self()), sturdy.Domain{
			Holds: map[string]caps.Ref{"vault": a.v}, Limits: map[caps.Ref]caps.Rights{a.v: caps.Read | caps.Write | caps.Run},
		})
		return nil
	}),
	inTurn("be told of an empty meter", func(a *assault, t *sturdy.WriteTurn) error {
		m := t.NewMeter(sturdy.Budget{Turns: 1}, a.v)
		t.Spawn(moleChild.To(t.Self()), sturdy.Domain{Holds: map[string]caps.Ref{"vault": a.helper}, Meter: m})
		return nil
	}),
	{"shed in a step, and call with its context", true, func(a *assault) error {
		return a.step(func(ctx context.Context) error {
			if err := a.th.ShedOn(a.v, a.keep()); err != nil {
				return err
			}
			return add(ctx, a.v)
		})
	}},
}, stepAssaults...)

type routeKey struct{}

var stepAssaults = []route{
	inStep("step calls", func(a *assault, ctx context.Context) error { return add(ctx, a.v) }),
	inStep("step calls relaxed", func(a *assault, ctx context.Context) error { return add(sturdy.Relaxed(ctx), a.v) }),
	inStep("step calls with a context derived from its own", func(a *assault, ctx context.Context) error {
		ctx, cancel := context.WithCancel(context.WithValue(ctx, routeKey{}, 1))
		defer cancel()
		return add(context.WithoutCancel(ctx), a.v)
	}),
	inStep("step delivers untyped", func(a *assault, ctx context.Context) error {
		_, err := a.v.Deliver(ctx, roomAdd.To(a.v, 1))
		return err
	}),
	inStep("step has a turn", func(a *assault, ctx context.Context) error {
		return a.rt.Update(ctx, func(t *sturdy.WriteTurn) error { return add(t, a.v) })
	}),
	inStep("step has a turn that sends", func(a *assault, ctx context.Context) error {
		return a.rt.Update(ctx, func(t *sturdy.WriteTurn) error { roomAdd.Send(t, a.v, 1); return nil })
	}),
	inStep("step has a turn that spawns", func(a *assault, ctx context.Context) error {
		return a.rt.Update(ctx, func(t *sturdy.WriteTurn) error {
			t.Spawn(roomThread.To(a.v), sturdy.Domain{})
			return nil
		})
	}),
	inStep("step sends", func(a *assault, ctx context.Context) error {
		_, err := roomAdd.Send(ctx, a.v, 1).Await(ctx)
		return err
	}),
	inStep("step sends to one that calls", func(a *assault, ctx context.Context) error {
		_, err := helperCall.Send(ctx, a.helper, a.v).Await(ctx)
		return err
	}),
	inStep("step asks for an outcome", func(a *assault, ctx context.Context) error {
		return helperSame.Send(ctx, a.helper, a.helper).Then(ctx, a.v, roomHeard)
	}),
	inStep("step calls through a promise", func(a *assault, ctx context.Context) error {
		return add(ctx, helperSame.Send(ctx, a.helper, a.v).Ref())
	}),
	inStep("step calls its program", func(a *assault, ctx context.Context) error { return roomThread.Call(ctx, a.v) }),
	inStep("step calls what is done outside", func(a *assault, ctx context.Context) error {
		if err := roomOut.Call(ctx, a.v); errors.Is(err, caps.ErrNoRight) {
			return err
		}
		return add(context.Background(), a.v) // the body has run: it shows in the count
	}),
}

// keep is what the route that sheds keeps.
func (a *assault) keep() caps.Rights {
	if a.th.Held("free").IsNull() {
		return caps.Read
	}
	return caps.Read | caps.Write | caps.Run
}

func moleKind(main func(*sturdy.Thread[mole]) error) *sturdy.KindOf[mole] {
	return sturdy.Define("proof/mole",
		sturdy.Query(moleLog, func(m *mole, _ *sturdy.ReadTurn) ([]string, error) { return m.Log, nil }),
		sturdy.Runs(moleMain, main),
		sturdy.Runs(moleChild, func(th *sturdy.Thread[mole]) error {
			for i := range 3 {
				_ = th.Turn(fmt.Sprint(i), func(t *sturdy.WriteTurn, _ *mole) error { return add(t, th.Held("vault")) })
			}
			return nil
		}),
		sturdy.Runs(moleStep, func(th *sturdy.Thread[mole]) error {
			_, _ = sturdy.Step(th, "step", func(ctx context.Context) (bool, error) { return true, add(ctx, th.Held("vault")) })
			return nil
		}),
	)
}

// assail has a thread try each route at a vault of its own, and returns what is in each then.
func assail(t *testing.T, rs []route, settle func(d *sturdy.Domain, vaults []caps.Ref), first func(*sturdy.Thread[mole], []caps.Ref) error) map[string]int64 {
	t.Helper()
	var w *runtimetest.World
	vaults, vk := make([]caps.Ref, len(rs)), roomKind()
	mk := moleKind(func(th *sturdy.Thread[mole]) error {
		if err := first(th, vaults); err != nil {
			return err
		}
		for i, r := range rs {
			_ = r.run(&assault{th, w.Runtime, r.name, vaults[i], th.Held("helper")})
		}
		return nil
	})
	w = runtimetest.Open(t, vk, helperKind, mk)
	ctx := t.Context()
	for i := range vaults {
		var err error
		if vaults[i], err = w.Root().Ensure(ctx, fmt.Sprint(i), func(tn *sturdy.WriteTurn) caps.Ref { return vk.New(tn, strongroom{}) }); err != nil {
			t.Fatal(err)
		}
	}
	var th sturdy.ThreadRef
	if err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		d := sturdy.Domain{Holds: map[string]caps.Ref{"helper": helperKind.New(tn, helper{})}}
		settle(&d, vaults)
		th = tn.Spawn(moleMain.To(mk.New(tn, mole{})), d)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := th.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	w.Advance(10 * time.Minute)
	w.Advance(time.Hour)
	got := map[string]int64{}
	for i, r := range rs {
		n, err := roomN.Call(ctx, vaults[i])
		if err != nil {
			t.Fatal(err)
		}
		got[r.name] = n
	}
	return got
}

func nothingFirst(*sturdy.Thread[mole], []caps.Ref) error { return nil }

func limitAll(to caps.Rights) func(d *sturdy.Domain, vaults []caps.Ref) {
	return func(d *sturdy.Domain, vaults []caps.Ref) {
		d.Limits = map[caps.Ref]caps.Rights{}
		for _, v := range vaults {
			d.Limits[v] = to
		}
	}
}

func wantUntouched(t *testing.T, got map[string]int64) {
	t.Helper()
	for name, n := range got {
		if n != 0 {
			t.Errorf("%s: the vault was used %d times above the ceiling", name, n)
		}
	}
}

// Without a ceiling every route leads to the vault: else the tests below would prove nothing.
func TestEveryRouteLeadsThereWithoutACeiling(t *testing.T) {
	got := assail(t, assaults, func(d *sturdy.Domain, vaults []caps.Ref) { d.Holds["free"] = vaults[0] }, nothingFirst)
	for name, n := range got {
		if n == 0 {
			t.Errorf("%s: the vault was not reached", name)
		}
	}
}

func TestNoRouteLeadsAboveALimit(t *testing.T) {
	wantUntouched(t, assail(t, assaults, limitAll(caps.Read), nothingFirst))
}

func TestNoRouteLeadsAboveALimitOfNothing(t *testing.T) {
	wantUntouched(t, assail(t, assaults, limitAll(0), nothingFirst))
}

func TestNoRouteLeadsAboveWhatWasShed(t *testing.T) {
	wantUntouched(t, assail(t, assaults, func(*sturdy.Domain, []caps.Ref) {}, func(th *sturdy.Thread[mole], vaults []caps.Ref) error {
		var errs error
		for _, v := range vaults {
			errs = errors.Join(errs, th.ShedOn(v, caps.Read))
		}
		return errs
	}))
}

func TestNoStepLeadsAboveACeilingForAllObjects(t *testing.T) {
	got := assail(t, stepAssaults, func(d *sturdy.Domain, _ []caps.Ref) { d.Ceiling = caps.Read }, nothingFirst)
	wantUntouched(t, got)
	got = assail(t, stepAssaults, func(*sturdy.Domain, []caps.Ref) {}, func(th *sturdy.Thread[mole], _ []caps.Ref) error {
		return th.Shed(caps.Read)
	})
	wantUntouched(t, got)
}
