package foreign

import (
	"context"
	"net"
	"testing"
	"time"

	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// session is one that is being served, and who is at the other end.
func (w *world) session(near, far net.Conn) (*Session, *villain) {
	s := w.h.Accept(context.Background(), near, Visitor{Owner: true})
	end := make(chan error, 1)
	go func() { end <- s.Serve() }()
	return s, w.villainOver(far, end)
}

func TestASessionIsBusyWhileSomethingIsUnderWay(t *testing.T) {
	w := newWorld(t, Limits{})
	s, v := w.session(pipe(t))
	d := v.desk()
	echo := func(id uint32) { // after which what was said before is known
		v.call(id, d, "desk.echo", "hi")
		v.answer(id)
		v.finish(id, true)
	}
	rests := func() {
		for late := time.Now().Add(20 * time.Second); s.Busy(); <-time.After(time.Millisecond) {
			if time.Now().After(late) {
				t.Fatal("it never rests")
			}
		}
	}
	before := s.LastHeard()
	echo(1)
	if !s.LastHeard().After(before) {
		t.Error("it was not heard")
	}
	rests()
	v.call(2, d, "desk.wait", nil)
	echo(3)
	if !s.Busy() {
		t.Error("a call of the program is under way")
	}
	v.finish(2, true)
	rests()
	v.leave("own", 7)
	if !s.Busy() {
		t.Error("this host has a capability of the program")
	}
	go s.Close(&caps.Error{Code: caps.ErrOverloaded, Text: "no room"})
	for {
		m := v.next()
		if m.Which() != rpccp.Message_Which_abort {
			continue
		}
		e, err := m.Abort()
		must(t, err)
		if reason, _ := e.Reason(); reason != "overloaded: no room" || e.Type() != rpccp.Exception_Type_overloaded {
			t.Error(reason)
		}
		break
	}
	must(t, <-v.end)
}

// TestWhoDoesNotListenIsSentAwayAllTheSame.
func TestWhoDoesNotListenIsSentAwayAllTheSame(t *testing.T) {
	w := newWorld(t, Limits{})
	s, v := w.session(net.Pipe())
	v.bootstrap(1) // whose answer nobody reads
	start := time.Now()
	s.Close(caps.ErrOverloaded)
	if took := time.Since(start); took > 10*lastWord {
		t.Error(took)
	}
	must(t, <-v.end)
}
