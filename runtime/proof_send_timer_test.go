package sturdy_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestTimersGoOffInTheirOrderAlsoAfterARestart(t *testing.T) {
	o := newPost(t)
	o.turn(func(tn *sturdy.WriteTurn) error {
		a := o.find(tn, "a")
		tn.After(3*time.Hour, agNote.To(a, "after 3"))
		tn.After(time.Hour, agNote.To(a, "after 1"))
		tn.At(tn.Now().Add(2*time.Hour), agNote.To(a, "at 2"))
		tn.At(tn.Now().Add(-time.Hour), agNote.To(a, "past"))
		return nil
	})
	o.settles()
	o.reads("a", "past")
	o.Advance(time.Hour)
	o.reads("a", "past", "after 1")
	o.Crash()
	o.Pass(5 * time.Hour)
	o.settles()
	o.reads("a", "past", "after 1", "at 2", "after 3")
	o.Advance(24 * time.Hour)
	o.reads("a", "past", "after 1", "at 2", "after 3")
}

func TestMissedPeriodsCountAsOneAndAClockSetBackIsWaitedFor(t *testing.T) {
	o := newPost(t)
	began := o.Now()
	o.turn(func(tn *sturdy.WriteTurn) error {
		return o.Root().Put(tn, "timer", tn.Every(time.Hour, acAdd.To(o.find2(tn, "0"), 1)).Ref)
	})
	o.Advance(3*time.Hour + time.Minute)
	holds(t, t.Context(), o.at("0"), 3)
	o.Pass(100 * time.Hour)
	o.Reopen()
	o.settles()
	holds(t, t.Context(), o.at("0"), 4)
	info, err := sturdy.Timer{Ref: o.get("timer")}.Info(t.Context())
	if want := began.Add(104 * time.Hour); err != nil || !info.Due.Equal(want) {
		t.Errorf("due %v, %v; want %v", info.Due, err, want)
	}
	o.Pass(-50 * time.Hour)
	o.Advance(40 * time.Hour)
	holds(t, t.Context(), o.at("0"), 4)
	o.Advance(11 * time.Hour)
	holds(t, t.Context(), o.at("0"), 5)
	for i, want := range []bool{true, false} {
		if ok, err := (sturdy.Timer{Ref: o.get("timer")}).Stop(t.Context()); ok != want || err != nil {
			t.Error(i, ok, err)
		}
	}
	o.Crash()
	o.Advance(100 * time.Hour)
	holds(t, t.Context(), o.at("0"), 5)
	_, err = sturdy.Timer{Ref: o.get("timer")}.Info(t.Context())
	wants(t, err, caps.ErrGone)
}

// find2 is an account, for a turn.
func (o *post) find2(t *sturdy.WriteTurn, name string) caps.Ref {
	ref, err := o.Root().Ensure(t, name, func(t *sturdy.WriteTurn) caps.Ref { return accountKind.New(t, account{}) })
	if err != nil {
		panic(err)
	}
	return ref
}

// TestATimerStoppedInEveryState: in its turn, before it is stored, after, when it is due, when
// it has gone off, after a restart, and by a turn that fails.
func TestATimerStoppedInEveryState(t *testing.T) {
	for name, want := range map[string]bool{"same turn": true, "latent": true, "stored": true, "restarted": true, "undone": true, "gone off": false, "never set": false} {
		t.Run(name, func(t *testing.T) {
			o := newPost(t)
			o.at("0")
			var tm sturdy.Timer
			stopped := false
			err := o.Update(t.Context(), func(tn *sturdy.WriteTurn) (err error) {
				tm = tn.After(time.Hour, acAdd.To(o.find2(tn, "0"), 1))
				switch name {
				case "same turn":
					stopped, err = tm.Stop(tn)
				case "stored", "restarted", "gone off", "undone":
					err = o.Root().Put(tn, "timer", tm.Ref)
				case "never set":
					err = errUndone
				}
				return err
			})
			if name != "never set" {
				must(t, err)
			}
			switch name {
			case "restarted":
				o.Reopen()
				tm = sturdy.Timer{Ref: o.get("timer")}
			case "gone off":
				o.Advance(2 * time.Hour)
			case "undone":
				_ = o.Update(t.Context(), func(tn *sturdy.WriteTurn) error { _, _ = tm.Stop(tn); return errUndone })
			}
			if name != "same turn" {
				stopped, err = tm.Stop(t.Context())
				must(t, err)
			}
			if stopped != want {
				t.Errorf("stopped: %v", stopped)
			}
			o.Crash()
			o.Advance(3 * time.Hour)
			holds(t, t.Context(), o.at("0"), map[bool]int64{true: 1}[name == "gone off"])
			for info, err := range o.Activity().Timers(t.Context()) {
				t.Errorf("left: %+v, %v", info, err)
			}
		})
	}
}

// TestTimersByTheRealClock runs in a bubble of synctest, with the clock that worlds have.
func TestTimersByTheRealClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, err := sturdy.Options{Files: objstore.NewMemory(), Kinds: []sturdy.Kind{accountKind}}.Open()
		must(t, err)
		defer rt.Close()
		ctx, began := context.Background(), time.Now()
		var a caps.Ref
		must(t, rt.Update(ctx, func(tn *sturdy.WriteTurn) error {
			a = accountKind.New(tn, account{})
			tn.After(90*time.Second, acAdd.To(a, 100))
			tn.Every(time.Minute, acAdd.To(a, 1))
			return rt.Root().Put(tn, "a", a)
		}))
		for _, want := range []struct {
			at time.Duration
			n  int64
		}{{59 * time.Second, 0}, {61 * time.Second, 1}, {91 * time.Second, 101}, {601 * time.Second, 110}} {
			<-time.After(want.at - time.Since(began))
			synctest.Wait()
			holds(t, sturdy.Relaxed(ctx), a, want.n)
		}
	})
}

func BenchmarkTimersDueAtOnce(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				dueAtOnce(b, n)
			}
		})
	}
}

// dueAtOnce sets n timers for n/10 objects and lets all go off.
func dueAtOnce(b *testing.B, n int) {
	w := unchecked(b, accountKind)
	as := accounts(b, w, n/10, 0)
	for from := 0; from < n; from += 1000 {
		must(b, w.Update(b.Context(), func(tn *sturdy.WriteTurn) error {
			for i := range 1000 {
				tn.After(time.Hour, acAdd.To(as[(from+i)%len(as)], 1))
			}
			return nil
		}))
	}
	b.StartTimer()
	w.Pass(time.Hour)
	w.Settle()
	b.StopTimer()
	holds(b, b.Context(), as[0], 10)
	must(b, w.Close())
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "timers/s")
}
