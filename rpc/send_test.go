package rpc_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestASendArrivesOnceAndInOrder(t *testing.T) {
	a, b, r := two(t)
	var last caps.Promise[int64]
	for range 1000 {
		last = deskAdd.Send(b.ctx(), r, 1)
	}
	if n, err := last.Await(b.ctx()); n != 1000 || err != nil {
		t.Error(n, err)
	}
	nothingWaits(t, a, b)
}

// nothingWaits checks that no letter is left anywhere, once all is quiet.
func nothingWaits(t *testing.T, hs ...*host) {
	t.Helper()
	for _, h := range hs {
		for range 20_000 { // a promise is kept before the answer that kept it is put away
			waits := 0
			for _, err := range h.rt.Activity().Letters(h.ctx()) {
				must(t, err)
				waits++
			}
			if waits == 0 {
				break
			}
			<-time.After(time.Millisecond)
		}
		for l, err := range h.rt.Activity().Letters(h.ctx()) {
			t.Errorf("left: %+v %v", l, err)
		}
		for l, err := range h.rt.Activity().DeadLetters(h.ctx()) {
			t.Errorf("dead: %+v %v", l, err)
		}
	}
}

func TestAnErrorOfTheMethodBreaksThePromiseHere(t *testing.T) {
	a, b, r := two(t)
	if _, err := deskFail.Send(b.ctx(), r).Await(b.ctx()); !errors.Is(err, errCross) {
		t.Error(err)
	}
	nothingWaits(t, a, b)
	if _, err := caps.Action("none").Send(b.ctx(), r).Await(b.ctx()); !errors.Is(err, caps.ErrNoMethod) {
		t.Error(err)
	}
	dead := 0
	for l, err := range b.rt.Activity().DeadLetters(b.ctx()) {
		must(t, err)
		t.Log(l)
		dead++
	}
	for l, err := range a.rt.Activity().DeadLetters(b.ctx()) {
		t.Errorf("dead at who got it: %v %v", l, err)
	}
	if dead != 1 {
		t.Error("dead letters:", dead)
	}
}

func TestAStoredPromiseIsKeptAfterARestart(t *testing.T) {
	a, b, r := two(t)
	a.stop()
	p := deskMake.Send(b.ctx(), r, 7)
	must(t, deskPut.Call(b.ctx(), b.desk, p.Ref()))
	b.restart()
	a.start()
	held, err := deskGet.Call(b.ctx(), b.desk)
	must(t, err)
	adds(t, held, 1, 8) // a call of a promise waits for what it comes to
	nothingWaits(t, a, b)
}

func TestASendFromATurnBringsItsReferences(t *testing.T) {
	a, b, r := two(t)
	must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
		deskPut.Send(t, r, b.desk)
		return nil
	}))
	for {
		got, err := deskGet.Call(a.ctx(), a.desk)
		must(t, err)
		if got.IsNull() {
			continue
		}
		adds(t, got, 3, 3) // b's desk, called from a
		must(t, a.rt.Update(a.ctx(), func(t *sturdy.WriteTurn) error {
			deskAdd.Send(t, got, 4)
			return nil
		}))
		break
	}
	for n := int64(0); n != 7; {
		var err error
		n, err = deskAdd.Call(b.ctx(), b.desk, 0)
		must(t, err)
	}
	nothingWaits(t, a, b)
}

func TestASendThroughTwoHosts(t *testing.T) {
	a, b, r := two(t)
	c := newHost(t, rpc.Options{})
	must(t, deskPut.Call(b.ctx(), b.desk, r))
	viaB, err := deskGet.Call(c.ctx(), c.opens(b.save(caps.Terms{For: "c"})))
	must(t, err)
	if n, err := deskAdd.Send(c.ctx(), viaB, 5).Await(c.ctx()); n != 5 || err != nil {
		t.Error(n, err)
	}
	nothingWaits(t, a, b, c)
}
