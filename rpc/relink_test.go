package rpc

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAGuestIsServedWhenItsLinkIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, served := make(chan struct{}), false
		serve := onceKept(kept, func(context.Context, *link, request) (response, error) {
			served = true
			return response{}, nil
		})
		a, _ := pair(t, echo, serve, Limits{})
		ended := make(chan error, 1)
		go func() {
			_, err := a.call(t.Context(), request{op: opCall, method: "m"})
			ended <- err
		}()
		synctest.Wait()
		if served {
			t.Error("served before the link was known")
		}
		close(kept)
		if err := <-ended; err != nil || !served {
			t.Error(served, err)
		}
	})
}

// TestALinkInDoubtEndsUnlessThePeerAnswers has a peer that has greeted and then fallen silent,
// as one does whose network has gone, beside one that lives.
func TestALinkInDoubtEndsUnlessThePeerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t, echo, echo, Limits{})
		call(t, a, "m", "x")
		if a.doubt(); a.err() != nil {
			t.Error("the peer lives:", a.err())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		one, two := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, two) }()
		l := newLink(one, "z", echo, Limits{}, quiet())
		lim := Limits{}.withDefaults()
		_, err := two.Write(appendHello([]byte(preface), &lim))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		l.doubt()
		if l.err() == nil || !strings.Contains(l.err().Error(), "another link") {
			t.Error("the peer is silent:", l.err())
		}
		if d := time.Since(began); d != doubted {
			t.Errorf("it took %v", d)
		}
		<-l.done()
		_ = two.Close() // ends who discards
	})
}

func TestWhereAHostMayBeIsKeptInOrderAndBounded(t *testing.T) {
	for want, of := range map[string][]string{
		"":           {"", ""},
		"a":          {"a", "a", ""},
		"a\nb\nc\nd": {"a", "b", "a", "c", "d", "e"},
		"b\nc":       {"", "b", "c", "b"},
	} {
		if got := places(of[0], of[1:]); got != want {
			t.Errorf("%q makes %q, want %q", of, got, want)
		}
	}
}
