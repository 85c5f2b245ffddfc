package rpc_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestAHintNamesNoSocketOfOurs(t *testing.T) {
	a, b := newHost(t, rpc.Options{}), newHost(t, rpc.Options{})
	path := t.TempDir() + "/other.sock"
	door, err := net.Listen("unix", path)
	must(t, err)
	got := make(chan int, 1)
	go func() {
		c, err := door.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 100)
		n, _ := c.Read(b)
		got <- n
		c.Close()
	}()
	ctx, cancel := context.WithTimeout(b.ctx(), 5*time.Second)
	defer cancel()
	_, err = b.rt.Restore(ctx, a.save(caps.Terms{For: "b"}).At("unix:"+path))
	t.Log(err)
	select {
	case n := <-got:
		t.Error("a text from a stranger had us write to a socket of this machine:", n, "bytes")
	default:
	}
}

// a revoked grant still describes an object on another host
func TestWhatIsRevokedIsNotDescribed(t *testing.T) {
	_, b, r := two(t)
	grant := func(r caps.Ref) (s caps.Ref, g sturdy.Grant) {
		must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error { s, g = t.Grant(r, caps.Terms{For: "x"}); return nil }))
		return s, g
	}
	s, g := grant(r)
	_, err := b.rt.Describe(b.ctx(), s)
	must(t, err)
	must(t, g.Revoke(b.ctx()))
	_, err = deskGet.Call(b.ctx(), s)
	t.Log("call:", err)
	i, err := b.rt.Describe(b.ctx(), s)
	if err == nil {
		t.Error("described although revoked:", i.Kind.Name, i.Rights, i.Allows, len(i.Kind.Methods))
	}
	s, g = grant(b.desk)
	must(t, g.Revoke(b.ctx()))
	l, err := b.rt.Describe(b.ctx(), s)
	t.Log("a local one:", l.Kind.Name, l.Allows, l.Rights, err)
}

// the address that worked is not the one that is kept
func TestAWrongHintIsNotKept(t *testing.T) {
	a, b := newHost(t, rpc.Options{Listen: "127.0.0.1:0"}), newHost(t, rpc.Options{})
	s := a.save(caps.Terms{For: "b"}).At("127.0.0.1:1")
	r := b.opens(s)
	adds(t, r, 1, 1)
	must(t, deskPut.Call(b.ctx(), b.desk, r))
	b.restart()
	r, err := deskGet.Call(b.ctx(), b.desk)
	must(t, err)
	adds(t, r, 1, 2)
}

var _ = errors.Is
