package rpc_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// drawers are objects that the desk r has made.
func (h *host) drawers(r caps.Ref, n int) (ds []caps.Ref) {
	h.t.Helper()
	for range n {
		d, err := deskMake.Call(h.ctx(), r, 0)
		must(h.t, err)
		ds = append(ds, d)
	}
	return ds
}

func TestLettersToSeveralObjectsOfAHostAllArrive(t *testing.T) {
	_, b, r := two(t)
	ds := b.drawers(r, 8)
	var all sync.WaitGroup
	for i, d := range ds {
		all.Go(func() {
			for n := range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				got, err := deskAdd.Send(ctx, d, 1).Await(ctx)
				cancel()
				if err != nil || got != int64(n+1) {
					t.Errorf("desk %d, send %d: %d %v", i, n, got, err)
					return
				}
			}
		})
	}
	all.Wait()
	for l, err := range b.rt.Activity().Letters(b.ctx()) {
		t.Errorf("left: %+v %v", l, err)
	}
}

func TestASecondAttachLeavesTheFirst(t *testing.T) {
	_, b, r := two(t)
	if n, err := rpc.Attach(b.rt, rpc.Options{}); err == nil {
		t.Error("attached twice", n.Close())
	}
	adds(t, r, 1, 1)
	c := newHost(t, rpc.Options{})
	if _, err := c.node.Root(c.ctx(), rpc.SocketOf(b.dir)); err != nil {
		t.Error("socket:", err)
	}
}

func TestAResentLetterArrives(t *testing.T) {
	a, b, r := two(t)
	a.stop()
	p := deskMake.Send(b.ctx(), r, 7) // stays under way, so that what is sent to its promise is readdressed
	must(t, deskPut.Call(b.ctx(), b.desk, p.Ref()))
	q := caps.Action("none").Send(b.ctx(), p.Ref())
	a.start()
	_, err := q.Await(b.ctx())
	t.Log(err)
	ids := []string{}
	for l, err := range b.rt.Activity().DeadLetters(b.ctx()) {
		must(t, err)
		ids = append(ids, l.ID)
	}
	t.Log(ids)
	for _, id := range ids {
		must(t, b.rt.Activity().Resend(b.ctx(), id))
	}
	for late := time.Now().Add(3 * time.Second); ; {
		n := 0
		for range b.rt.Activity().DeadLetters(b.ctx()) {
			n++
		}
		if n > 0 {
			break
		}
		if time.Now().After(late) {
			for l := range b.rt.Activity().Letters(b.ctx()) {
				t.Errorf("swallowed: %+v", l)
			}
			break
		}
	}
}

func TestATimerGoesOffForAnotherHost(t *testing.T) {
	_, b, r := two(t)
	must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
		t.After(200*time.Millisecond, deskAdd.To(r, 1))
		t.Every(100*time.Millisecond, deskAdd.To(r, 1))
		return nil
	}))
	for range 10 {
		_, err := deskAdd.Send(b.ctx(), r, 0).Await(b.ctx())
		must(t, err)
	}
	for late := time.Now().Add(3 * time.Second); ; {
		n, err := deskAdd.Call(b.ctx(), r, 0)
		must(t, err)
		if n >= 5 {
			break
		}
		if time.Now().After(late) {
			t.Fatal(n)
		}
	}
}

func TestOneTurnSendsToSeveralObjectsOfAHost(t *testing.T) {
	_, b, r := two(t)
	ds := b.drawers(r, 50)
	for round := range 20 {
		var ps []caps.Promise[int64]
		must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
			ps = nil
			for range 3 {
				for _, d := range ds {
					ps = append(ps, deskAdd.Send(t, d, 1))
				}
			}
			return nil
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		lost := 0
		for _, p := range ps {
			if _, err := p.Await(ctx); err != nil {
				lost++
			}
		}
		cancel()
		if lost > 0 {
			t.Fatalf("round %d: %d of %d letters are lost", round, lost, len(ps))
		}
	}
}

func TestLettersToSeveralObjectsArriveAfterARestart(t *testing.T) {
	a, b, r := two(t)
	ds := b.drawers(r, 50)
	a.stop()
	for range 3 {
		for _, d := range ds {
			deskAdd.Send(b.ctx(), d, 1)
		}
	}
	must(t, b.rt.Sync(b.ctx()))
	b.stop()
	a.start()
	b.start()
	late := time.Now().Add(5 * time.Second)
	for {
		n, ab := 0, 0
		for l, err := range b.rt.Activity().Letters(b.ctx()) {
			must(t, err)
			_ = l
			n++
		}
		if n == 0 {
			break
		}
		if time.Now().After(late) {
			t.Fatal("left", n, ab)
		}
	}
}
