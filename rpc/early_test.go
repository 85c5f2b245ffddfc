package rpc

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"github.com/sturdyrt/sturdy/caps"
)

// TestWhatChangesNothingDoesNotWaitForTheGreeting asks a peer that has not greeted yet: what every
// peer takes is there before it has, and the rest when it is known what it takes.
func TestWhatChangesNothingDoesNotWaitForTheGreeting(t *testing.T) {
	for _, c := range []struct {
		name  string
		q     request
		early bool
	}{
		{"restore", request{op: opRestore, body: []byte("sturdy://")}, true},
		{"describe", request{op: opDescribe, target: []byte("a token")}, true},
		{"call", request{op: opCall, method: "add"}, false},
		{"letters", request{op: opSend, body: []byte("letters")}, false},
		{"begun", request{op: opBegin, method: "add"}, false},
		{"long", request{op: opRestore, body: make([]byte, leastMessage)}, false},
		{"with capabilities", request{op: opRestore, slots: [][]byte{{1}}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, echo, Limits{})
				over := make(chan error, 1)
				go func() {
					_, err := p.l.call(t.Context(), c.q)
					over <- err
				}()
				synctest.Wait()
				p.l.mu.Lock()
				asked := len(p.l.asked.calls)
				p.l.mu.Unlock()
				if (asked == 1) != c.early {
					t.Errorf("before the greeting, %d are asked", asked)
				}
				if c.early {
					p.expect(kindRequest)
				}
				p.greet()
				if !c.early {
					p.expect(kindRequest)
				}
				p.send(appendResponse(nil, 1, &response{}))
				if err := <-over; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestWhatChangesNothingIsAskedAgain has a host go when it is asked, and come back: a sturdy ref is
// opened all the same, and a call says that it may have run.
func TestWhatChangesNothingIsAskedAgain(t *testing.T) {
	rt, n, _ := besieged(t, Options{})
	id := newIdentity(t, 7)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tok := append([]byte{1, 5, 1, 15, 0, 0}, make([]byte, 20)...)
	asked := make(chan op, 8)
	go func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			conn, _, err := secure(context.Background(), raw, id, true, "", Limits{})
			if err != nil {
				return
			}
			newLink(conn, "v", func(_ context.Context, _ *link, q request) (response, error) {
				if asked <- q.op; len(asked) == 1 {
					raw.Close()
				}
				return response{slots: [][]byte{tok}}, nil
			}, Limits{}, quiet())
		}
	}()
	r, err := rt.Import(tok, id.host, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want caps.Code
		asks int
		op   op
		do   func() error
	}{
		{"", 2, opRestore, func() error {
			_, _, err := n.call(t.Context(), id.host, []string{ln.Addr().String()}, request{op: opRestore})
			return err
		}},
		{caps.ErrMaybeExecuted, 1, opCall, func() error { _, err := mugAdd.Call(t.Context(), r, 1); return err }},
	} {
		err := c.do()
		if c.want == "" && err != nil {
			t.Error(err)
		} else if c.want != "" {
			is(t, err, c.want)
		}
		if len(asked) != c.asks {
			t.Errorf("the host was asked %d times", len(asked))
		}
		for len(asked) > 0 {
			if got := <-asked; got != c.op {
				t.Error("it was asked for", got)
			}
		}
	}
}
