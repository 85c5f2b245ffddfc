package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const (
	wallBig  caps.Query[string]                 = "big"
	wallTold caps.Command[caps.Outcome[string]] = "told"
	wallSize caps.Method[int64, string]         = "size"
)

type wall struct{ N int64 }

var wallKind = sturdy.Define("test.example/wall",
	sturdy.Method(wallSize, func(_ *wall, t *sturdy.WriteTurn, n int64) (string, error) { return strings.Repeat("x", int(n)), nil }),
	sturdy.Command(wallTold, func(_ *wall, t *sturdy.WriteTurn, o caps.Outcome[string]) error { return nil }))

func walled(t *testing.T, o rpc.Options) *host {
	h := &host{t: t, dir: t.TempDir() + "/w", o: o}
	rt, err := sturdy.Open(h.dir, deskKind, drawerKind, wallKind)
	must(t, err)
	h.rt = rt
	h.node, err = rpc.Attach(rt, h.o)
	must(t, err)
	h.desk, err = rt.Root().Ensure(context.Background(), "wall", func(t *sturdy.WriteTurn) caps.Ref { return wallKind.New(t, wall{}) })
	must(t, err)
	t.Cleanup(h.stop)
	return h
}

// A result that no frame has room for.
func TestAResultThatIsTooLargeHoldsUpNobody(t *testing.T) {
	a, b := walled(t, rpc.Options{Listen: "127.0.0.1:0"}), walled(t, rpc.Options{})
	r := b.opens(a.save(caps.Terms{For: "b"}))
	_ = wallSize.Send(b.ctx(), r, 5<<20)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := wallSize.Send(ctx, r, 1).Await(ctx)
	t.Log("the letter behind it:", got, err)
	if err != nil {
		t.Error("one large answer blocks every letter and answer from a to b, for ever")
	}
}

// A result that an Outcome has no room for.
func TestALargeResultWithAThenHoldsUpNobody(t *testing.T) {
	a, b := walled(t, rpc.Options{Listen: "127.0.0.1:0"}), walled(t, rpc.Options{})
	r := b.opens(a.save(caps.Terms{For: "b"}))
	must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
		return wallSize.Send(t, r, 1<<20).Then(t, b.desk, wallTold)
	}))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := wallSize.Send(ctx, r, 1).Await(ctx)
	t.Log("the letter behind it:", got, err)
	if err != nil {
		t.Error("one answer that cannot be told blocks every letter and answer from a to b, for ever")
	}
}

// A host's letters to one target that cannot run fill what that host may have waiting; an answer stands behind them.
func TestAnswersPassLettersThatWaitForRoom(t *testing.T) {
	a, b, r := two(t)
	// at a: a promise that is kept when b answers
	back, err := a.rt.Import(func() []byte { x, err := b.rt.Export(b.ctx(), b.desk, a.rt.Host()); must(t, err); return x }(), b.rt.Host(), "")
	must(t, err)
	b.node.Close() // nothing travels for now
	p := deskMake.Send(a.ctx(), back, 1)
	must(t, deskPut.Call(a.ctx(), a.desk, p.Ref()))
	at, err := a.rt.Export(a.ctx(), p.Ref(), b.rt.Host())
	must(t, err)
	pr, err := b.rt.Import(at, a.rt.Host(), a.node.Address())
	must(t, err)
	_ = r
	for range 12 {
		must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
			for range 800 {
				deskAdd.Send(t, pr, 1)
			}
			return nil
		}))
	}
	must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
		for range 399 {
			deskAdd.Send(t, pr, 1)
		}
		return nil
	}))
	// some more of another sender
	sender, err := b.rt.Root().Ensure(b.ctx(), "s", func(t *sturdy.WriteTurn) caps.Ref { return spamKind.New(t, spam{}) })
	must(t, err)
	must(t, spamGo.Call(b.ctx(), sender, pr))
	b.node, err = rpc.Attach(b.rt, b.o)
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = p.Await(ctx)
	t.Log("a's promise, which b keeps:", err)
	if err != nil {
		t.Error("deadlock")
	}
}

type spam struct{ N int64 }

const spamGo caps.Command[caps.Ref] = "go"

var spamKind = sturdy.Define("test.example/spam", sturdy.Command(spamGo, func(_ *spam, t *sturdy.WriteTurn, r caps.Ref) error {
	for range 700 {
		deskAdd.Send(t, r, 1)
	}
	return nil
}))

// Mailboxes whose letters are abroad, and whose courier has gone home, are no strays.
func TestNoLetterIsOvertakenAndLost(t *testing.T) {
	dir := t.TempDir()
	a, b := copyOf(t, dir+"/a"), copyOf(t, dir+"/b")
	defer a.rt.Close()
	defer b.rt.Close()
	hb := b.rt.Host()
	const many = 300
	var there, here []caps.Ref
	for range many {
		d, err := deskMake.Call(a.ctx(), a.desk, 0)
		must(t, err)
		there = append(there, d)
		tok, err := a.rt.Export(a.ctx(), d, hb)
		must(t, err)
		r, err := b.rt.Import(tok, a.rt.Host(), "")
		must(t, err)
		here = append(here, r)
	}
	x := give(t, a, b)
	err := connect(b.rt, copyWire{func(ctx context.Context, host string, x []byte) ([]byte, error) { return a.rt.Accept(ctx, hb, "", x) }})
	must(t, err)
	want := int64(0)
	for range 20 {
		must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
			deskAdd.Send(t, x, 1)
			for _, r := range here {
				deskAdd.Send(t, r, 1)
			}
			deskAdd.Send(t, x, 1)
			return nil
		}))
		want++
		for try := 0; try < 200; try++ {
			if n, _ := deskAdd.Call(a.ctx(), a.desk, 0); n == 2*want {
				break
			}
			<-time.After(5 * time.Millisecond)
		}
		<-time.After(100 * time.Millisecond) // the courier has nothing more to do
	}
	lost := int64(0)
	for _, d := range there {
		n, err := deskAdd.Call(a.ctx(), d, 0)
		must(t, err)
		lost += want - n
	}
	n, _ := deskAdd.Call(a.ctx(), a.desk, 0)
	t.Log("x:", n, "of", 2*want)
	if lost > 0 {
		t.Errorf("%d of %d letters were overtaken, and are lost", lost, want*many)
	}
}

func connect(rt *sturdy.Runtime, w sturdy.Wire) error { _, err := rt.Connect(w); return err }

func rpcAttach(b *host) (*rpc.Node, error) { return rpc.Attach(b.rt, b.o) }

// Both hosts have more letters for the other than may wait there.
func TestTwoHostsWithFullMailboxesGoOn(t *testing.T) {
	for _, n := range []int{6, 8} {
		a, b, r := two(t)
		back := a.opens(b.save(caps.Terms{For: "a"}))
		must(t, a.node.Close())
		must(t, b.node.Close())
		for _, x := range []struct {
			h *host
			r caps.Ref
		}{{a, back}, {b, r}} {
			for i := range 2 {
				s, err := x.h.rt.Root().Ensure(x.h.ctx(), fmt.Sprint("s", i), func(t *sturdy.WriteTurn) caps.Ref { return spamKind.New(t, spam{}) })
				must(t, err)
				for range n {
					must(t, spamGo.Call(x.h.ctx(), s, x.r))
				}
			}
		}
		var err error
		a.node, err = rpcAttach(a)
		must(t, err)
		b.node, err = rpcAttach(b)
		must(t, err)
		left := func(h *host) (k int) {
			for range h.rt.Activity().Letters(h.ctx()) {
				k++
			}
			return k
		}
		end := time.Now().Add(25 * time.Second)
		for time.Now().Before(end) && left(a)+left(b) > 0 {
			<-time.After(time.Second)
		}
		na, _ := deskAdd.Call(a.ctx(), a.desk, 0)
		nb, _ := deskAdd.Call(b.ctx(), b.desk, 0)
		t.Logf("%d letters each way: done at a %d, at b %d; left %d and %d", n*1400, na, nb, left(a), left(b))
		if left(a)+left(b) > 0 {
			t.Error("stuck")
		}
	}
}
