package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestWhatIsRefusedAtTheDoorIsADeadLetterAndWhatFailedInsideIsNot(t *testing.T) {
	o := newPost(t)
	ctx, a := t.Context(), o.at("0")
	var shared caps.Ref
	var g sturdy.Grant
	o.turn(func(tn *sturdy.WriteTurn) error { shared, g = tn.Grant(a, caps.Terms{For: "x"}); return nil })
	must(t, g.Revoke(ctx))
	_, err := awaits(t, caps.Command[int64]("nothing").Send(ctx, a, 1))
	wants(t, err, caps.ErrNoMethod)
	_, err = awaits(t, acAdd.Send(ctx, shared, 1))
	wants(t, err, caps.ErrRevoked)
	_, err = awaits(t, caps.Command[string](acAdd).Send(ctx, a, "one"))
	wants(t, err, caps.ErrBadArgument)
	o.count(0, 3)
	_, err = awaits(t, acMess.Send(ctx, a, 1))
	wants(t, err, errMess)
	_, err = awaits(t, acBoom.Send(ctx, a, 1))
	wants(t, err, caps.ErrPanicked)
	o.count(0, 3)
	holds(t, ctx, a, 0)
	must(t, o.Activity().Discard(ctx, o.dead()[0].ID))
	must(t, o.Activity().Resend(ctx, o.dead()[0].ID))
	o.settles()
	o.count(0, 2)
	wants(t, o.Activity().Discard(ctx, "1"), sturdy.ErrNoName)
	o.Crash()
	o.count(0, 2)
}

func TestNothingIsSentThroughADeepRefAReadTurnOrAnotherWorld(t *testing.T) {
	o, other := newPost(t), newPost(t)
	a, foreign := o.at("a"), other.at("a")
	for name, to := range map[string]caps.Ref{"deep": a.Attenuate(caps.Read), "null": {}, "foreign": foreign} {
		if _, err := awaits(t, agNote.Send(t.Context(), to, name)); name != "foreign" && err == nil {
			t.Errorf("%s: sent from outside", name)
		}
		if err := o.Update(t.Context(), func(tn *sturdy.WriteTurn) error { agNote.Send(tn, to, name); return nil }); err == nil {
			t.Errorf("%s: sent in a turn", name)
		}
	}
	if err := o.View(t.Context(), func(tn *sturdy.ReadTurn) error { agNote.Send(tn, a, "read"); return nil }); err == nil {
		t.Error("sent in a read turn")
	}
	p := agGive.Send(t.Context(), foreign)
	if err := o.Root().Put(t.Context(), "p", p.Ref()); err == nil {
		t.Error("a promise of another world was stored")
	}
	if err := o.Update(t.Context(), func(tn *sturdy.WriteTurn) error { return p.Then(tn, a, agShown) }); err == nil {
		t.Error("an outcome of another world is told")
	}
	o.settles()
	o.reads("a")
	o.count(0, 0)
}

// TestWhatAPromiseBringsIsNarrowedAsItsOwnRefIs: through a membrane nobody gets more than it
// lets through, whether he awaits, calls, sends or is told; and nothing once it is revoked.
func TestWhatAPromiseBringsIsNarrowedAsItsOwnRefIs(t *testing.T) {
	o := newPost(t)
	ctx := t.Context()
	must(t, agKeep.Call(ctx, o.at("a"), o.at("b")))
	var inside caps.Ref
	var g sturdy.Grant
	o.turn(func(tn *sturdy.WriteTurn) error {
		inside, g = tn.Grant(o.find(tn, "a"), caps.Terms{For: "x", Deep: true})
		return nil
	})
	o.turn(func(tn *sturdy.WriteTurn) error {
		p := agGive.Send(tn, inside)
		if err := p.Then(tn, o.find(tn, "told"), agShown); err != nil {
			return err
		}
		return o.Root().Put(tn, "p", p.Ref())
	})
	got, err := awaits(t, agGive.Send(ctx, inside))
	must(t, err)
	o.settles()
	told, err := agGive.Call(ctx, o.at("told"))
	must(t, err)
	for _, ref := range []caps.Ref{got, told, o.get("p")} {
		must(t, agNote.Call(ctx, ref, "through"))
	}
	must(t, g.Revoke(ctx))
	for i, ref := range []caps.Ref{got, told, o.get("p")} {
		wants(t, agNote.Call(ctx, ref, fmt.Sprint("late ", i)), caps.ErrRevoked)
		_, err := awaits(t, agNote.Send(ctx, ref, "later"))
		wants(t, err, caps.ErrRevoked)
	}
	o.reads("b", "through", "through", "through")
}

// TestAPromiseThatIsHeldThroughAMembraneBringsNoMore: the promise was made without one, and
// somebody gets its Ref through one. What he calls, sends or is told stays inside, whether the
// promise was kept before or after he got it.
func TestAPromiseThatIsHeldThroughAMembraneBringsNoMore(t *testing.T) {
	for _, when := range []string{"kept before", "kept after"} {
		t.Run(when, func(t *testing.T) {
			o, ctx := newPost(t), t.Context()
			must(t, agKeep.Call(ctx, o.at("late"), o.at("b")))
			o.at("told")
			if when == "kept after" {
				o.without()
			}
			var g sturdy.Grant
			o.turn(func(tn *sturdy.WriteTurn) error {
				late, err := o.Root().Get(tn, "late")
				if err != nil {
					return err
				}
				box := o.find(tn, "box")
				if err := agKeep.Call(tn, box, agGive.Send(tn, late).Ref()); err != nil {
					return err
				}
				var inside caps.Ref
				inside, g = tn.Grant(box, caps.Terms{For: "x", Deep: true})
				held, err := agGive.Call(tn, inside)
				if err != nil {
					return err
				}
				q := agGive.Send(tn, o.find(tn, "relay")) // comes to the promise, as it is held
				return errors.Join(agKeep.Call(tn, o.find(tn, "relay"), held), q.Then(tn, o.find(tn, "told"), agShown),
					o.Root().Put(tn, "held", held), o.Root().Put(tn, "g", g.Ref))
			})
			o.settles()
			if when == "kept after" {
				o.with()
				o.settles()
			}
			told, err := agGive.Call(ctx, o.at("told"))
			must(t, err)
			for _, ref := range []caps.Ref{told, o.get("held")} {
				must(t, agNote.Call(ctx, ref, "called"))
				_, err := awaits(t, agNote.Send(ctx, ref, "sent"))
				must(t, err)
			}
			must(t, sturdy.Grant{Ref: o.get("g")}.Revoke(ctx))
			for _, ref := range []caps.Ref{told, o.get("held")} {
				wants(t, agNote.Call(ctx, ref, "late"), caps.ErrRevoked)
				_, err := awaits(t, agNote.Send(ctx, ref, "late"))
				wants(t, err, caps.ErrRevoked)
			}
			o.reads("b", "called", "sent", "called", "sent")
		})
	}
}

// TestALetterUnderAGrantIsJudgedWhenItIsDelivered also when it has waited in between.
func TestALetterUnderAGrantIsJudgedWhenItIsDelivered(t *testing.T) {
	o := newPost(t)
	late := o.at("late")
	o.turn(func(tn *sturdy.WriteTurn) error {
		ref, g := tn.Grant(late, caps.Terms{For: "x"})
		if err := o.Root().Put(tn, "ref", ref); err != nil {
			return err
		}
		return o.Root().Put(tn, "g", g.Ref)
	})
	o.without()
	agNote.Send(t.Context(), o.get("ref"), "under a grant")
	agNote.Send(t.Context(), o.get("late"), "bare")
	o.settles()
	must(t, sturdy.Grant{Ref: o.get("g")}.Revoke(t.Context()))
	o.with()
	o.settles()
	o.reads("late", "bare")
	o.count(0, 1)
}

func TestAnUnknownKindDelaysNobodyElse(t *testing.T) {
	o := fastPost(t)
	o.at("late")
	o.at("a")
	o.without()
	must(t, agSend.Call(t.Context(), o.at("b"), errand{o.get("late"), lines("m", 1, 50)}))
	must(t, agSend.Call(t.Context(), o.at("b"), errand{o.at("a"), lines("n", 1, 50)}))
	o.settles()
	o.reads("a", lines("n", 1, 50)...)
	o.count(50, 0)
	o.Crash()
	o.with()
	o.settles()
	o.reads("late", lines("m", 1, 50)...)
}

// TestASenderThatIsFullFailsItsTurnsAndHoldsUpNobody: it has as many letters waiting as may;
// what it is asked to send waits, and what others send to others does not.
func TestASenderThatIsFullFailsItsTurnsAndHoldsUpNobody(t *testing.T) {
	o := fastPost(t)
	o.at("late")
	o.without()
	ctx := sturdy.Relaxed(t.Context())
	full, late := o.at("full"), o.get("late")
	for range 10 {
		must(t, agSend.Call(ctx, full, errand{late, make([]string, 1000)}))
	}
	wants(t, agSend.Call(ctx, full, errand{late, make([]string, 1)}), caps.ErrOverloaded)
	agSend.Send(ctx, full, errand{late, make([]string, 1)})
	end := time.Now().Add(patience)
	must(t, agSend.Call(ctx, o.at("b"), errand{o.at("a"), lines("n", 1, 1000)}))
	for n := 0; n < 1000; {
		got, err := agLines.Call(ctx, o.at("a"))
		must(t, err)
		if n = len(got); time.Now().After(end) {
			t.Fatalf("%d of 1000 messages of another are there after %v", n, patience)
		}
	}
	o.settles()
	o.count(10_001, 0)
	o.with()
	o.settles()
	o.count(0, 0)
}

// TestGoCodeThatSendsTooMuchWaits, with many goroutines at the limit at once.
func TestGoCodeThatSendsTooMuchWaits(t *testing.T) {
	o := fastPost(t)
	a := o.at("0")
	late := o.at("late")
	o.without()
	a, late = o.get("0"), o.get("late")
	o.turn(func(tn *sturdy.WriteTurn) error {
		for range 9_990 {
			agNote.Send(tn, late, "")
		}
		return nil
	})
	const each = 100
	var busy sync.WaitGroup
	for range 64 {
		busy.Go(func() {
			for range each {
				if _, err := awaits(t, acAdd.Send(sturdy.Relaxed(t.Context()), a, 1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	busy.Wait()
	holds(t, sturdy.Relaxed(t.Context()), a, 64*each)
	ctx, cancel := context.WithCancel(t.Context())
	o.turn(func(tn *sturdy.WriteTurn) error {
		for range 10 {
			agNote.Send(tn, late, "")
		}
		return nil
	})
	cancel()
	_, err := awaits(t, acAdd.Send(ctx, a, 1))
	if err == nil {
		t.Error("sent, with as many waiting as may")
	}
}

func TestAWorldThatHasStoppedSettles(t *testing.T) {
	o := fastPost(t)
	a := o.at("0")
	fails(o.World, errUndone, "sync", "write")
	for range 10 {
		acAdd.Send(sturdy.Relaxed(t.Context()), a, 1)
	}
	_ = o.Sync(t.Context())
	o.World.Settle()
	o.Crash()
}
