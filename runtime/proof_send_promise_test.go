package sturdy_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

var errUndone = errors.New("undone")

func TestThePromiseOfAnAbortedTurnIsBroken(t *testing.T) {
	o := fastPost(t)
	a := o.at("a")
	var p caps.Promise[caps.Done]
	err := o.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		p = agNote.Send(tn, a, "never")
		return errUndone
	})
	wants(t, err, errUndone)
	if _, err := awaits(t, p); err == nil {
		t.Error("it was kept")
	}
}

func TestStoringThePromiseOfAnAbortedTurnSendsNothing(t *testing.T) {
	for _, how := range []string{"stored", "then", "sent to"} {
		t.Run(how, func(t *testing.T) {
			o := fastPost(t)
			a := o.at("a")
			var p caps.Promise[caps.Done]
			_ = o.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
				p = agNote.Send(tn, a, "never")
				return errUndone
			})
			switch how {
			case "stored":
				_ = o.Root().Put(t.Context(), "p", p.Ref())
			case "then":
				_ = p.Then(t.Context(), o.at("b"), agDone)
			default:
				agNote.Send(t.Context(), p.Ref(), "never, too")
			}
			o.settles()
			o.Crash()
			o.settles()
			o.reads("a")
			if len(o.letters()) > 0 {
				t.Errorf("letters wait: %q", o.held())
			}
		})
	}
}

// TestAPromiseStoredWhereItWasSentIsKeptAfterItsLetterWasForwarded: a letter is sent to a
// promise and its own promise stored, in one turn; then it is sent on to an object that
// cannot be reached, and the world crashes.
func TestAPromiseStoredWhereItWasSentIsKeptAfterItsLetterWasForwarded(t *testing.T) {
	o := newPost(t)
	must(t, agKeep.Call(t.Context(), o.at("late"), o.at("late")))
	must(t, agKeep.Call(t.Context(), o.at("late2"), o.at("told")))
	must(t, agKeep.Call(t.Context(), o.at("a"), o.at("late2")))
	o.Restart(accountKind, lateKind) // agents are not known: the letter for a waits
	o.turn(func(tn *sturdy.WriteTurn) error {
		a, err := o.Root().Get(tn, "a")
		if err != nil {
			return err
		}
		q := agGive.Send(tn, a)
		p := agGive.Send(tn, q.Ref())
		if err := o.Root().Put(tn, "q", q.Ref()); err != nil {
			return err
		}
		return o.Root().Put(tn, "p", p.Ref())
	})
	o.Restart(accountKind, agentKind) // q comes to late2, which is not known
	o.settles()
	o.count(1, 0)
	o.Crash()
	o.with()
	o.settles()
	if err := agNote.Call(t.Context(), o.get("p"), "kept"); err != nil {
		t.Error(err)
	}
	o.reads("told", "kept")
}

func TestAFullDiskTakesBackASendAndItsPromiseSaysSo(t *testing.T) {
	o := fastPost(t)
	a := o.at("a")
	fillUp(o.World)
	var p caps.Promise[caps.Done]
	err := o.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		p = agNote.Send(tn, a, "never")
		return nil
	})
	wants(t, err, sturdy.ErrDiskFull)
	makeRoom(t, o.World)
	if _, err := awaits(t, p); err == nil {
		t.Error("kept")
	}
	_ = o.Root().Put(t.Context(), "p", p.Ref())
	o.settles()
	o.reads("a")
	o.Crash()
	o.settles()
	o.reads("a")
	o.count(0, 0)
}

// TestAFullDiskTakesBackADelivery: a promise that was kept in a turn which never reached the
// disk is pending again, and comes to what the next delivery comes to.
func TestAFullDiskTakesBackADelivery(t *testing.T) {
	for _, how := range []string{"awaited before", "awaited", "stored", "stored before"} {
		t.Run(how, func(t *testing.T) {
			busy := new(atomic.Bool)
			kind := sturdy.Define("proof/busy", sturdy.Method(acAdd, func(c *counter, _ *sturdy.WriteTurn, n int64) (int64, error) {
				if busy.Load() {
					return 0, caps.ErrOverloaded
				}
				c.N += n
				return c.N, nil
			}), sturdy.Query(acGet, (*counter).get))
			o := &post{unchecked(t, agentKind, accountKind, kind), t}
			c, err := o.Root().Ensure(t.Context(), "c", func(tn *sturdy.WriteTurn) caps.Ref { return kind.New(tn, counter{}) })
			must(t, err)
			o.at("told")
			busy.Store(true)
			p := acAdd.Send(t.Context(), c, 1)
			awaited := make(chan int64, 1)
			if how == "stored before" {
				o.put("p", p.Ref())
			}
			open := fillUpLater(t, o.World)
			if how == "awaited before" {
				go func() { n, _ := awaits(t, p); awaited <- n }()
			}
			busy.Store(false)
			for n := int64(0); n == 0; { // it is tried again soon
				n, err = acGet.Call(sturdy.Relaxed(t.Context()), c)
				must(t, err)
			}
			open()
			wants(t, o.Sync(t.Context()), sturdy.ErrDiskFull)
			makeRoom(t, o.World)
			switch how {
			case "awaited before":
				if n := <-awaited; n != 1 {
					t.Errorf("it came to %d", n)
				}
			case "awaited":
				if n, err := awaits(t, p); n != 1 || err != nil {
					t.Error(n, err)
				}
			default:
				o.put("p", p.Ref())
				must(t, p.Then(t.Context(), o.at("told"), agTold))
			}
			o.settles()
			holds(t, t.Context(), c, 1)
			o.Crash()
			o.settles()
			holds(t, t.Context(), o.get("c"), 1)
			if strings.HasPrefix(how, "stored") {
				o.reads("told", "1")
			}
		})
	}
}

func TestLettersForAPromiseKeepTheirOrderBeforeAndAfterItIsKept(t *testing.T) {
	o := newPost(t)
	must(t, agKeep.Call(t.Context(), o.at("late"), o.at("l")))
	o.at("sender")
	o.without()
	p := agGive.Send(t.Context(), o.get("late"))
	o.put("p", p.Ref())
	must(t, agSend.Call(t.Context(), o.at("sender"), errand{o.get("p"), lines("m", 1, 10)}))
	o.settles()
	o.with()
	o.settles()
	must(t, agSend.Call(t.Context(), o.at("sender"), errand{o.get("p"), lines("m", 11, 12)}))
	o.settles()
	o.reads("l", lines("m", 1, 12)...)
	o.count(0, 0)
}

// TestALetterForAKeptPromiseDoesNotOvertake: what waits for the object stays in front of what
// was sent through the promise after it was kept.
func TestALetterForAKeptPromiseDoesNotOvertake(t *testing.T) {
	o := fastPost(t)
	must(t, agKeep.Call(t.Context(), o.at("a"), o.at("b")))
	o.at("sender")
	o.put("p", agGive.Send(t.Context(), o.at("a")).Ref())
	o.settles()
	o.turn(func(tn *sturdy.WriteTurn) error {
		to := o.find(tn, "b")
		for _, line := range lines("m", 1, 20) {
			agNote.Send(tn, to, line)
		}
		return agSend.Call(tn, o.find(tn, "sender"), errand{o.find(tn, "p"), lines("n", 1, 2)})
	})
	o.settles()
	o.reads("b", append(lines("m", 1, 20), lines("n", 1, 2)...)...)
}

func TestALetterForAKeptPromiseOfAnUnknownKindWaitsToo(t *testing.T) {
	o := newPost(t)
	must(t, agKeep.Call(t.Context(), o.at("a"), o.at("l")))
	o.put("p", agGive.Send(t.Context(), o.at("a")).Ref())
	o.settles()
	o.without()
	agNote.Send(t.Context(), o.get("p"), "m 1")
	o.settles()
	o.count(1, 0)
	o.with()
	o.settles()
	o.reads("l", "m 1")
}

// TestAPromiseThatWaitsForALetterToItselfIsBroken: p comes to q, and q is the promise of a
// letter to p.
func TestAPromiseThatWaitsForALetterToItselfIsBroken(t *testing.T) {
	o := newPost(t)
	o.turn(func(tn *sturdy.WriteTurn) error {
		a := agentKind.New(tn, agent{})
		p := agAhead.Send(tn, a, caps.Done{})
		o.Root().Put(tn, "a", a)
		if err := p.Then(tn, o.find(tn, "told"), agShown); err != nil {
			return err
		}
		return agKeep.Call(tn, a, p.Ref())
	})
	o.settles()
	o.count(0, 1) // there is nothing that it could ever be delivered to
	o.reads("told", "error "+string(sturdy.ErrCycle))
}

func TestAResultTooLargeToBeToldBreaksThePromise(t *testing.T) {
	o := newPost(t)
	for _, n := range []int64{100, 1<<20 - 20, 1 << 20, 5 << 20} {
		o.turn(func(tn *sturdy.WriteTurn) error {
			return agLarge.Send(tn, o.find(tn, "a"), n).Then(tn, o.find(tn, "told"), agBytes)
		})
	}
	o.settles()
	o.count(0, 0)
	t.Log(agLines.Call(t.Context(), o.at("told")))
}

// find is at for a turn.
func (o *post) find(t *sturdy.WriteTurn, name string) caps.Ref {
	ref, err := o.Root().Ensure(t, name, func(t *sturdy.WriteTurn) caps.Ref { return agentKind.New(t, agent{}) })
	if err != nil {
		panic(err)
	}
	return ref
}
