package sturdy_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// ranged ranges over messages until that ends, and says what it got.
func ranged(messages func(func(string) bool)) <-chan []string {
	got := make(chan []string, 1)
	go func() { got <- slices.Collect(messages) }()
	return got
}

func TestAPortWhoseContextEndsTellsThoseWhoWaitForIt(t *testing.T) {
	for _, ranges := range []bool{false, true} {
		o := fastPost(t)
		ctx, cancel := context.WithCancel(t.Context())
		port, messages := sturdy.Port(ctx, o.Runtime, portShow)
		var got <-chan []string
		if ranges {
			got = ranged(messages)
			must(t, portShow.Call(t.Context(), port, "before"))
		}
		o.put("port", port)
		cancel()
		if ranges {
			if all := <-got; !equal(all, []string{"before"}) {
				t.Errorf("%q", all)
			}
		}
		for range 3 {
			_, err := awaits(t, portShow.Send(t.Context(), port, "behind"))
			wants(t, err, caps.ErrGone)
		}
		if all := slices.Collect(messages); len(all) > 0 {
			t.Errorf("it yields %q when it is over", all)
		}
		o.settles()
		o.count(0, len(o.dead()))
		o.Reopen()
		_, err := awaits(t, portShow.Send(t.Context(), o.get("port"), "later"))
		wants(t, err, caps.ErrGone)
	}
}

func TestWhatWaitsWhenTheContextOfAPortEndsIsToldSo(t *testing.T) {
	o := fastPost(t)
	ctx, cancel := context.WithCancel(t.Context())
	port, _ := sturdy.Port(ctx, o.Runtime, portShow)
	var ps []caps.Promise[caps.Done]
	for _, line := range lines("m", 1, 3) {
		ps = append(ps, portShow.Send(t.Context(), port, line))
	}
	o.settles()
	o.count(3, 0)
	cancel()
	for _, p := range ps {
		_, err := awaits(t, p)
		wants(t, err, caps.ErrGone)
	}
}

// TestAMessageThatAPortHasTakenIsYieldedThoughItsContextEnds while the taking becomes durable:
// who sent it is told that it was.
func TestAMessageThatAPortHasTakenIsYieldedThoughItsContextEnds(t *testing.T) {
	o := fastPost(t)
	ctx, cancel := context.WithCancel(t.Context())
	port, messages := sturdy.Port(ctx, o.Runtime, portShow)
	p := portShow.Send(t.Context(), port, "taken")
	o.settles()
	reached, open := gate(t, o.World)
	got := ranged(messages)
	<-reached
	cancel()
	open()
	_, err := awaits(t, p)
	must(t, err)
	if all := <-got; !equal(all, []string{"taken"}) {
		t.Errorf("the promise was kept, and %q were yielded", all)
	}
}

// TestCloseDoesNotWaitForWhoWaits: for a thread, for a promise, or in a program for a promise.
func TestCloseDoesNotWaitForWhoWaits(t *testing.T) {
	inside := make(chan bool, 1)
	var p caps.Promise[caps.Done]
	s, th := program(t, func(th *sturdy.Thread[probe]) error {
		if _, err := sturdy.Receive(th, "begin", probeNext, 0); err != nil {
			return err
		}
		inside <- true
		_, err := p.Await(context.Background())
		return err
	})
	port, _ := sturdy.Port(t.Context(), s.Runtime, portShow)
	p = portShow.Send(t.Context(), port, "nobody takes it")
	probeNext.Send(t.Context(), th.Ref, numbered{})
	<-inside
	told := make(chan error, 2)
	for _, wait := range []func(context.Context) error{
		th.Wait,
		func(ctx context.Context) error { _, err := p.Await(ctx); return err },
	} {
		queue := &queueing{Context: t.Context(), waits: make(chan bool)}
		go func() { told <- wait(queue) }()
		<-queue.waits
	}
	must(t, s.Close())
	for range 2 {
		wants(t, <-told, sturdy.ErrClosed)
	}
	s.Restart() // by a program that does not know it, and lets it be
	if info := s.info(0); info.State != sturdy.ThreadRunning {
		t.Errorf("it is %s: %v", info.State, info.Error)
	}
}

// lostTake has a message taken by what take begins, in a group that a full disk does not take
// and in which its promise is stored.
func lostTake(t *testing.T, w *post, p caps.Promise[caps.Done], take func(ctx context.Context) error) {
	t.Helper()
	open := fillUpLater(t, w.World)
	relaxed := sturdy.Relaxed(t.Context())
	must(t, w.Update(relaxed, func(tn *sturdy.WriteTurn) error {
		return errors.Join(w.Root().Put(tn, "p", p.Ref()), take(tn))
	}))
	for waits := 1; waits > 0; { // it is taken soon
		waits = 0
		for _, err := range w.Activity().Letters(relaxed) {
			must(t, err)
			waits++
		}
	}
	open()
	wants(t, w.Sync(t.Context()), sturdy.ErrDiskFull)
	makeRoom(t, w.World)
}

// heardOnce fails the test if other than one message was heard, now and after p was stored and
// the world opened again.
func (o *post) heardOnce(p caps.Promise[caps.Done], heard func() int) {
	o.t.Helper()
	o.settles()
	_, err := awaits(o.t, p)
	must(o.t, err)
	for _, what := range []func(){func() { o.put("p", p.Ref()) }, o.Reopen, o.Crash} {
		what()
		o.settles()
		if n := heard(); n != 1 {
			o.t.Errorf("it was heard %d times", n)
		}
		o.count(0, 0)
	}
}

func TestAThreadHearsAMessageOnceThoughAFullDiskTookThatBack(t *testing.T) {
	s, th := program(t, func(th *sturdy.Thread[probe]) error {
		return th.Loop("hear", func(uint64) (bool, error) {
			if _, err := sturdy.Receive(th, "next", probeNext, 0); err != nil {
				return false, err
			}
			return true, line(th, "heard")
		})
	})
	o := &post{s.World, t}
	s.is(0, sturdy.ThreadWaiting)
	must(t, th.Pause(t.Context()))
	p := probeNext.Send(t.Context(), th.Ref, numbered{})
	o.settles()
	lostTake(t, o, p, func(ctx context.Context) error { return th.Resume(ctx) })
	must(t, th.Resume(t.Context()))
	o.heardOnce(p, func() int {
		state, err := probeState.Call(t.Context(), s.at("p0"))
		must(t, err)
		return len(state.Log)
	})
}

func TestAPortYieldsAMessageOnceThoughAFullDiskTookThatBack(t *testing.T) {
	o := fastPost(t)
	port, messages := sturdy.Port(t.Context(), o.Runtime, portShow)
	p := portShow.Send(t.Context(), port, "m")
	o.settles()
	heard := make(chan string, 100)
	lostTake(t, o, p, func(context.Context) error {
		go func() {
			for m := range messages {
				heard <- m
			}
		}()
		return nil
	})
	first := <-heard // its promise is kept before the loop has it
	heard <- first
	o.heardOnce(p, func() int { return len(heard) })
}
