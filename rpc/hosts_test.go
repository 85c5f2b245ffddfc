package rpc_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
)

// health is what h says of the host of.
func (h *host) health(of string) rpc.HostInfo {
	h.t.Helper()
	all, err := h.node.Hosts(h.ctx())
	must(h.t, err)
	for _, info := range all {
		if info.Host == of {
			return info
		}
	}
	return rpc.HostInfo{}
}

// until waits until is says so.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); !is(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("not within half a minute:", what)
		}
	}
}

func TestWhereAnObjectIs(t *testing.T) {
	a, b, r := two(t)
	c := newHost(t, rpc.Options{})
	must(t, deskPut.Call(b.ctx(), b.desk, r))
	viaB, err := deskGet.Call(c.ctx(), c.opens(b.save(caps.Terms{For: "c"})))
	must(t, err)
	ah, bh, ch := a.rt.Host(), b.rt.Host(), c.rt.Host()
	for _, x := range []struct {
		h    *host
		r    caps.Ref
		want string
	}{{a, a.desk, ah}, {b, r, ah}, {b, b.desk, bh}, {b, r.Attenuate(caps.Read), ah}, {c, viaB, bh}, {c, c.desk, ch}} {
		if got, err := x.h.rt.Where(x.h.ctx(), x.r); got != x.want || err != nil {
			t.Errorf("%v is at %s, %v; want %s", x.r, got, err, x.want)
		}
	}
	a.stop()
	b.restart() // what is stored is asked, too, and no host need be there
	held, err := deskGet.Call(b.ctx(), b.desk)
	must(t, err)
	if got, err := b.rt.Where(b.ctx(), held); got != ah || err != nil {
		t.Error(got, err)
	}
	p := deskAdd.Send(b.ctx(), held, 1)
	if got, err := b.rt.Where(b.ctx(), p.Ref()); got != bh || err != nil {
		t.Error("a promise:", got, err)
	}
	for _, bad := range []caps.Ref{{}, c.desk} {
		if got, err := b.rt.Where(b.ctx(), bad); err == nil {
			t.Error("what is not here is at", got)
		}
	}
}

func TestTheHealthOfAHost(t *testing.T) {
	begin := time.Now()
	a, b, r := two(t)
	of := b.health(a.rt.Host())
	if !of.Connected || of.Address != a.node.Address() || of.RoundTrip <= 0 || of.Since.Before(begin) || of.Error != "" || of.Waiting != 0 {
		t.Errorf("%+v", of)
	}
	until(t, "who came is listed", func() bool {
		of := a.health(b.rt.Host())
		return of.Connected && of.Address == "" && of.RoundTrip > 0
	})
	a.stop()
	until(t, "the host is lost", func() bool { return !b.health(a.name).Connected })
	_ = deskAdd.Send(b.ctx(), r, 1)
	_, err := deskAdd.Call(b.ctx(), r, 1)
	if !errors.Is(err, caps.ErrNotDelivered) || !strings.Contains(err.Error(), "Options.Peers") {
		t.Error(err)
	}
	if of := b.health(a.name); of.Connected || of.Error == "" || of.Waiting != 1 || of.RoundTrip != 0 {
		t.Errorf("%+v", of)
	}
	b.restart() // what waits is known, and nothing else
	if of := b.health(a.name); of.Connected || of.Waiting != 1 {
		t.Errorf("after a restart: %+v", of)
	}
	until(t, "it was tried", func() bool { return b.health(a.name).Error != "" })
	a.start()
	until(t, "the letter is answered", func() bool {
		of := b.health(a.name)
		return of.Connected && of.Waiting == 0
	})
	adds(t, a.desk, 0, 1)
}

func TestAPeerThatIsNamedIsListedBeforeItIsCalled(t *testing.T) {
	b := newHost(t, rpc.Options{Peers: map[string]string{"abc": "localhost:1"}})
	if of := b.health("abc"); of.Host != "abc" || of.Connected || of.Address != "localhost:1" || !of.Since.IsZero() {
		t.Errorf("%+v", of)
	}
}

func TestEventsTellWhenAHostIsLostAndWhenItComesBack(t *testing.T) {
	a, b, r := two(t)
	ctx, cancel := context.WithCancel(b.ctx())
	pull, stop := iter.Pull(b.node.Events(ctx))
	defer stop()
	next := func(connected bool) rpc.HostInfo {
		t.Helper()
		of, ok := pull()
		if !ok || of.Connected != connected || of.Host != a.name {
			t.Fatalf("%+v %v", of, ok)
		}
		return of
	}
	next(true) // as it is now
	a.stop()
	if of := next(false); of.Error == "" {
		t.Errorf("%+v", of)
	}
	a.start()
	adds(t, r, 1, 1)
	next(true)
	for range 5 { // who does not look gets how it ended, once
		a.restart()
		until(t, "it is there again", func() bool { _, err := deskAdd.Call(b.ctx(), r, 0); return err == nil })
	}
	a.stop()
	until(t, "it is lost", func() bool { return !b.health(a.name).Connected })
	next(false)
	a.start()
	adds(t, r, 0, 1)
	next(true)
	cancel()
	if of, ok := pull(); ok {
		t.Errorf("after the end: %+v", of)
	}
	pull, stop = iter.Pull(b.node.Events(b.ctx()))
	defer stop()
	next(true)
	must(t, b.node.Close())
	for of, ok := pull(); ok; of, ok = pull() {
		t.Logf("on the way out: %+v", of)
	}
}

func TestBrokenWaitsUntilTheHostIsLost(t *testing.T) {
	a, b, r := two(t)
	broken := make(chan error, 1)
	go func() { broken <- b.node.Broken(b.ctx(), r) }()
	adds(t, r, 1, 1)
	select {
	case err := <-broken:
		t.Fatal("while it is connected:", err)
	default:
	}
	a.stop()
	if err := <-broken; !errors.Is(err, caps.ErrNotDelivered) {
		t.Error(err)
	}
	if err := b.node.Broken(b.ctx(), r); !errors.Is(err, caps.ErrNotDelivered) || !strings.Contains(err.Error(), a.name) {
		t.Error("at once:", err)
	}
	ctx, cancel := context.WithCancel(b.ctx())
	cancel()
	if err := b.node.Broken(ctx, b.desk); !errors.Is(err, context.Canceled) {
		t.Error("one of this host:", err)
	}
	a.start()
	adds(t, r, 1, 2)
	if err := b.node.Broken(ctx, r); !errors.Is(err, context.Canceled) {
		t.Error("connected again:", err)
	}
}

func TestTheRootIsAskedForOverOneLink(t *testing.T) {
	a, b := newHost(t, rpc.Options{}), newHost(t, rpc.Options{})
	for range 20 {
		_, err := b.node.Root(b.ctx(), rpc.SocketOf(a.dir))
		must(t, err)
	}
	if n := b.node.Links(); n != 1 {
		t.Error("links that stay:", n)
	}
	listed := func() (n int) {
		all, err := a.node.Hosts(a.ctx())
		must(t, err)
		return len(all)
	}
	if n := listed(); n != 1 {
		t.Error("hosts that came to look:", n)
	}
	must(t, b.node.Close())
	until(t, "who only looked is not remembered", func() bool { return listed() == 0 })
}
