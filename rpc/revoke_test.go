package rpc_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// refused fails unless no way of using r is left.
func refused(t *testing.T, h *host, what string, r caps.Ref) {
	t.Helper()
	if n, err := deskAdd.Call(h.ctx(), r, 1); !errors.Is(err, caps.ErrRevoked) {
		t.Errorf("%s, called: %d, %v", what, n, err)
	}
	if n, err := deskAdd.Send(h.ctx(), r, 1).Await(h.ctx()); !errors.Is(err, caps.ErrRevoked) {
		t.Errorf("%s, sent to: %d, %v", what, n, err)
	}
}

// What is revoked at its host is refused to all who hold it elsewhere: to those who are connected
// at once, to those who are not when they return, and to those who have it from them.
func TestWhatIsRevokedIsRefusedToWhoeverHoldsIt(t *testing.T) {
	a := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	b, far := newHost(t, rpc.Options{Listen: "127.0.0.1:0"}), newHost(t, rpc.Options{})
	c := newHost(t, rpc.Options{})
	s, grant, err := a.rt.Save(a.ctx(), a.desk, caps.Terms{For: "b and far"})
	must(t, err)
	live := b.opens(s)
	must(t, deskPut.Call(b.ctx(), b.desk, live))
	passed, err := deskGet.Call(c.ctx(), c.opens(b.save(caps.Terms{For: "c"})))
	must(t, err)
	must(t, deskPut.Call(far.ctx(), far.desk, far.opens(s)))
	for i, r := range []caps.Ref{live, passed, far.opens(s)} {
		adds(t, r, 1, int64(i+1))
	}
	// far is cut off, and sends what will wait. b has a call under way.
	must(t, far.node.Close())
	kept, err := deskGet.Call(far.ctx(), far.desk)
	must(t, err)
	waits := deskAdd.Send(far.ctx(), kept, 100)
	ctx, cancel := context.WithCancel(b.ctx())
	under := make(chan error, 1)
	go func() {
		_, err := deskWait.Call(ctx, live, caps.Ref{})
		under <- err
	}()

	must(t, grant.Revoke(a.ctx()))
	refused(t, b, "held where it is connected", live)
	refused(t, c, "passed on", passed)
	if _, err := b.rt.Restore(b.ctx(), s); !errors.Is(err, caps.ErrRevoked) {
		t.Error("restored again:", err)
	}
	cancel()
	if err := <-under; err == nil {
		t.Error("a call that was under way had a result")
	}
	b.restart()
	stored, err := deskGet.Call(b.ctx(), b.desk)
	must(t, err)
	refused(t, b, "stored", stored)

	far.restart()
	if n, err := waits.Await(far.ctx()); err == nil {
		t.Error("sent before, and brought after:", n)
	}
	kept, err = deskGet.Call(far.ctx(), far.desk)
	must(t, err)
	refused(t, far, "held by one who was cut off", kept)
	a.restart() // and it stays so
	refused(t, far, "after a restart", kept)
	adds(t, a.desk, 0, 3)
}

// What a host is handed over two hops allows no more than each of them let through.
func TestTwoHopsNeverAddARight(t *testing.T) {
	a, b, r := two(t)
	c := newHost(t, rpc.Options{})
	hop := func(of caps.Ref) caps.Ref {
		t.Helper()
		must(t, deskPut.Call(b.ctx(), b.desk, of))
		got, err := deskGet.Call(c.ctx(), c.opens(b.save(caps.Terms{For: "c"})))
		must(t, err)
		return got
	}
	full, weak := hop(r), hop(r.Attenuate(caps.Read))
	adds(t, full, 1, 1)
	if _, err := deskGet.Call(c.ctx(), weak); err != nil {
		t.Error("reading:", err)
	}
	for what, r := range map[string]caps.Ref{"weakened at the second": weak, "weakened at the third": full.Attenuate(caps.Read)} {
		if n, err := deskAdd.Call(c.ctx(), r, 1); !errors.Is(err, caps.ErrNoRight) {
			t.Error(what, "called:", n, err)
		}
		if n, err := deskAdd.Send(c.ctx(), r, 1).Await(c.ctx()); !errors.Is(err, caps.ErrNoRight) {
			t.Error(what, "sent to:", n, err)
		}
		// On the way home, it has no more either.
		must(t, deskPut.Call(c.ctx(), full, r))
		home, err := deskGet.Call(a.ctx(), a.desk)
		must(t, err)
		if n, err := deskAdd.Call(a.ctx(), home, 1); !errors.Is(err, caps.ErrNoRight) {
			t.Error(what, "at home:", n, err)
		}
	}
	adds(t, a.desk, 0, 1)
	// A grant of the host in the middle is judged there, for both hops.
	var given caps.Ref
	var grant sturdy.Grant
	must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
		given, grant = t.Grant(r, caps.Terms{For: "c", Only: []caps.Named{deskAdd}})
		return nil
	}))
	part := hop(given)
	adds(t, part, 1, 2)
	if _, err := deskGet.Call(c.ctx(), part); !errors.Is(err, caps.ErrNoMethod) {
		t.Error("what the middle has not granted:", err)
	}
	must(t, grant.Revoke(b.ctx()))
	refused(t, c, "revoked in the middle", part)
	adds(t, full, 1, 3)
}
