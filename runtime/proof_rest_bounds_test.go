package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// TestASenderIsFullAtSixteenMiB: the bytes of what waits count, and not only how many there
// are; also after a crash, and until they are delivered.
func TestASenderIsFullAtSixteenMiB(t *testing.T) {
	o := fastPost(t)
	o.at("late")
	o.at("sender")
	o.without()
	send := func() error {
		return agSend.Call(t.Context(), o.get("sender"), errand{o.get("late"), []string{strings.Repeat("x", 500_000)}})
	}
	n, err := 0, send()
	for ; err == nil && n < 100; err = send() {
		n++
	}
	wants(t, err, caps.ErrOverloaded)
	if want := 16<<20/500_000 + 1; n != want {
		t.Errorf("%d messages of half a megabyte were sent; the bound is passed by number %d", n, want)
	}
	o.Crash()
	wants(t, send(), caps.ErrOverloaded)
	must(t, agSend.Call(t.Context(), o.at("other"), errand{o.get("late"), lines("m", 1, 3)}))
	o.count(n+3, 0)
	o.Restart(agentKind, accountKind, shortKind)
	o.settles()
	o.count(0, 0)
	must(t, send())
	o.settles()
}

// shortKind is a lateKind that keeps how many lines it got, and not the lines.
var shortKind = sturdy.Define("proof/late",
	sturdy.Command(agNote, func(a *agent, _ *sturdy.WriteTurn, line string) error {
		a.Lines = []string{fmt.Sprint(len(line))}
		return nil
	}),
	sturdy.Query(agLines, (*agent).lines))

// stuck has as many messages of the program wait, for a thread that is paused, as may. Resumed
// it takes one, and then none any more.
func stuck(t *testing.T) (*stage, sturdy.ThreadRef) {
	t.Helper()
	s, th := program(t, func(th *sturdy.Thread[probe]) error {
		if _, err := sturdy.Receive(th, "one", probeNext, 0); err != nil {
			return err
		}
		_, err := sturdy.Receive(th, "none", caps.Command[string]("other"), 0)
		return err
	})
	s.is(0, sturdy.ThreadWaiting)
	must(t, th.Pause(t.Context()))
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		for range 10_000 {
			probeNext.Send(tn, th.Ref, numbered{})
		}
		return nil
	}))
	return s, th
}

func TestGoCodeThatMayNotSendIsToldSoWhenItsContextEnds(t *testing.T) {
	s, th := stuck(t)
	err := error(caps.ErrNotDelivered)
	for errors.Is(err, caps.ErrNotDelivered) { // it had to wait for the writer before
		ctx := &impatient{Context: t.Context(), done: make(chan struct{})}
		_, err = awaits(t, probeNext.Send(ctx, th.Ref, numbered{}))
	}
	wants(t, err, caps.ErrOverloaded)
	wants(t, err, context.DeadlineExceeded)
	err = s.Update(t.Context(), func(tn *sturdy.WriteTurn) error { probeNext.Send(tn, th.Ref, numbered{}); return nil })
	wants(t, err, caps.ErrOverloaded)
	if n := s.info(0).Mail; n != 10_000 {
		t.Errorf("%d messages wait", n)
	}
}

func TestGoCodeThatMayNotSendGoesOnWhenSomethingIsDelivered(t *testing.T) {
	s, th := stuck(t)
	const many = 3 // and there is room for one
	sent := make(chan error, many)
	for range many {
		queue := &queueing{Context: t.Context(), waits: make(chan bool)}
		go func() {
			probeNext.Send(queue, th.Ref, numbered{})
			sent <- nil
		}()
		<-queue.waits
	}
	if len(sent) > 0 {
		t.Error("sent, with as many waiting as may")
	}
	must(t, th.Resume(t.Context()))
	<-sent
	s.Settle()
	if n := s.info(0).Mail; n != 10_000 || len(sent) > 0 {
		t.Errorf("%d messages wait, and %d more were sent", n, len(sent))
	}
	must(t, s.Close()) // the others are told so
	for range many - 1 {
		<-sent
	}
}

// TestTimersOfASenderThatIsFullAddNothing: one that goes off again and again misses its times,
// another is late; both go on when there is room.
func TestTimersOfASenderThatIsFullAddNothing(t *testing.T) {
	o := fastPost(t)
	o.at("late")
	o.at("a")
	o.without()
	o.turn(func(tn *sturdy.WriteTurn) error {
		late := o.find(tn, "late")
		for range 9_995 {
			agNote.Send(tn, late, "")
		}
		tn.After(time.Minute+time.Second/2, agNote.To(o.find(tn, "a"), "once"))
		return o.Root().Put(tn, "timer", tn.Every(time.Second, agNote.To(late, "tick")).Ref)
	})
	o.Advance(10 * time.Second)
	o.count(10_000, 0)
	o.Advance(2 * time.Minute)
	o.count(10_000, 0)
	o.reads("a")
	info, err := sturdy.Timer{Ref: o.get("timer")}.Info(t.Context())
	must(t, err)
	if late := info.Due.Sub(o.Now()); late <= 0 || late > time.Second {
		t.Errorf("it is due in %v", late)
	}
	o.with()
	o.Advance(3 * time.Second)
	o.count(0, 0)
	o.reads("a", "once")
	o.reads("late", "tick", "tick", "tick", "tick", "tick", "tick", "tick", "tick")
}

// TestABrokenPromiseThatNobodyLooksAtIsLogged after ten seconds, once; or when the world is
// closed before.
func TestABrokenPromiseThatNobodyLooksAtIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log safeBuffer
		rt, err := sturdy.Options{Files: objstore.NewMemory(), Kinds: []sturdy.Kind{accountKind, agentKind}, Log: slog.New(slog.NewTextHandler(&log, nil))}.Open()
		must(t, err)
		ctx := t.Context()
		a, err := rt.Root().Ensure(ctx, "a", func(tn *sturdy.WriteTurn) caps.Ref { return accountKind.New(tn, account{}) })
		must(t, err)
		b, err := rt.Root().Ensure(ctx, "b", func(tn *sturdy.WriteTurn) caps.Ref { return agentKind.New(tn, agent{}) })
		must(t, err)
		logged := func(want int) {
			t.Helper()
			if n := strings.Count(log.String(), "nobody looks at its promise"); n != want {
				t.Errorf("%d are logged; want %d\n%s", n, want, log.String())
			}
		}
		late := acMess.Send(ctx, a, 1)
		_, err = awaits(t, acMess.Send(ctx, a, 1))
		wants(t, err, errMess)
		must(t, acMess.Send(ctx, a, 1).Then(ctx, b, agDone))
		acAdd.Send(ctx, a, 1) // it is kept
		time.Sleep(9 * time.Second)
		logged(0)
		acMess.Send(ctx, a, 1)
		time.Sleep(3 * time.Second)
		logged(1)
		for _, part := range []string{"level=WARN", "method=mess", "to=\"account ", "from=\"the program\"", string(errMess)} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("it does not say %s:\n%s", part, log.String())
			}
		}
		_, err = awaits(t, late) // it can still be looked at
		wants(t, err, errMess)
		time.Sleep(20 * time.Second)
		logged(2)
		for range 1010 { // more than are remembered: the first are logged at once
			acMess.Send(sturdy.Relaxed(ctx), a, 1)
		}
		time.Sleep(3 * time.Second)
		logged(12)
		must(t, rt.Close())
		logged(1012)
	})
}
