package rpc_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A desk keeps one thing, and can be asked to call back.
const (
	deskPut  caps.Command[caps.Ref]          = "put"
	deskGet  caps.Query[caps.Ref]            = "get"
	deskAdd  caps.Method[int64, int64]       = "add"
	deskFail caps.Action                     = "fail"
	deskAsk  caps.Method[caps.Ref, int64]    = "ask"
	deskMake caps.Method[int64, caps.Ref]    = "make"
	deskWait caps.Method[caps.Ref, caps.Ref] = "wait"
)

const errCross caps.Code = "test.example/cross"

type desk struct {
	N    int64
	Held caps.Ref
}

func (d *desk) put(_ *sturdy.WriteTurn, r caps.Ref) error       { d.Held = r; return nil }
func (d *desk) get(*sturdy.ReadTurn) (caps.Ref, error)          { return d.Held, nil }
func (d *desk) add(_ *sturdy.WriteTurn, n int64) (int64, error) { d.N += n; return d.N, nil }
func (d *desk) fail(*sturdy.WriteTurn) error                    { return &caps.Error{Code: errCross, Text: "very cross"} }

func (d *desk) make(t *sturdy.WriteTurn, n int64) (caps.Ref, error) {
	return drawerKind.New(t, drawer{n}), nil
}

func askDesk(ctx context.Context, _ desk, r caps.Ref) (int64, error) { return deskAdd.Call(ctx, r, 1) }

func waitDesk(ctx context.Context, _ desk, _ caps.Ref) (caps.Ref, error) {
	<-ctx.Done()
	return caps.Ref{}, ctx.Err()
}

// drawer is what a desk makes.
type drawer struct{ N int64 }

func (d *drawer) add(_ *sturdy.WriteTurn, n int64) (int64, error) { d.N += n; return d.N, nil }

var drawerKind = sturdy.Define("test.example/drawer", sturdy.Method(deskAdd, (*drawer).add))

var deskKind = sturdy.Define("test.example/desk",
	sturdy.Command(deskPut, (*desk).put), sturdy.Query(deskGet, (*desk).get), sturdy.Method(deskAdd, (*desk).add),
	sturdy.Action(deskFail, (*desk).fail), sturdy.Method(deskMake, (*desk).make),
	sturdy.Outside(deskAsk, askDesk), sturdy.Outside(deskWait, waitDesk))

// host is a world with its Node, and a desk in its root.
type host struct {
	t    testing.TB
	dir  string
	o    rpc.Options
	rt   *sturdy.Runtime
	node *rpc.Node
	desk caps.Ref
	name string // of the host
}

func newHost(t testing.TB, o rpc.Options) *host {
	h := &host{t: t, dir: filepath.Join(t.TempDir(), "w"), o: o}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *host) start() {
	h.t.Helper()
	rt, err := sturdy.Open(h.dir, deskKind, drawerKind, spamKind)
	must(h.t, err)
	h.rt, h.name = rt, rt.Host()
	h.node, err = rpc.Attach(rt, h.o)
	must(h.t, err)
	if h.o.Listen == "127.0.0.1:0" {
		h.o.Listen = h.node.Address() // the same when it is started again
	}
	h.desk, err = rt.Root().Ensure(context.Background(), "desk", func(t *sturdy.WriteTurn) caps.Ref { return deskKind.New(t, desk{}) })
	must(h.t, err)
}

func (h *host) stop() {
	h.t.Helper()
	if h.rt != nil {
		must(h.t, errors.Join(h.node.Close(), h.rt.Close()))
	}
	h.rt = nil
}

func (h *host) restart() { h.stop(); h.start() }

// save is a sturdy ref of the desk.
func (h *host) save(terms caps.Terms) caps.SturdyRef {
	h.t.Helper()
	s, _, err := h.rt.Save(context.Background(), h.desk, terms)
	must(h.t, err)
	return s
}

// opens restores s.
func (h *host) opens(s caps.SturdyRef) caps.Ref {
	h.t.Helper()
	r, err := h.rt.Restore(h.ctx(), s)
	must(h.t, err)
	return r
}

func (h *host) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	h.t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func adds(t testing.TB, r caps.Ref, n, want int64) {
	t.Helper()
	if got, err := deskAdd.Call(context.Background(), r, n); err != nil || got != want {
		t.Errorf("%d, %v; want %d", got, err, want)
	}
}

// two are hosts that listen, and the desk of the first as the second holds it.
func two(t testing.TB) (a, b *host, r caps.Ref) {
	a, b = newHost(t, rpc.Options{Listen: "127.0.0.1:0"}), newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	return a, b, b.opens(a.save(caps.Terms{For: "b"}))
}

func TestACallGoesToAnotherHost(t *testing.T) {
	a, b, r := two(t)
	adds(t, r, 2, 2)
	adds(t, a.desk, 1, 3)
	var e *caps.Error
	if err := deskFail.Call(b.ctx(), r); !errors.Is(err, errCross) || !errors.As(err, &e) || e.Text != "very cross" {
		t.Errorf("%v", err)
	}
	if err := caps.Action("none").Call(b.ctx(), r); !errors.Is(err, caps.ErrNoMethod) {
		t.Error(err)
	}
	if _, err := deskAdd.Call(b.ctx(), r.Attenuate(caps.Read), 1); !errors.Is(err, caps.ErrNoRight) {
		t.Error(err)
	}
	made, err := deskMake.Call(b.ctx(), r, 40)
	must(t, err)
	adds(t, made, 2, 42)
}

func TestAnObjectThatComesHomeIsTheLocalOne(t *testing.T) {
	a, b, r := two(t)
	must(t, deskPut.Call(b.ctx(), b.desk, r)) // b stores a Ref to a's desk
	must(t, deskPut.Call(b.ctx(), r, r))      // and sends it home
	home, err := deskGet.Call(a.ctx(), a.desk)
	must(t, err)
	if !home.Same(a.desk) {
		t.Errorf("%v is not %v", home, a.desk)
	}
	must(t, deskPut.Call(b.ctx(), r, r.Attenuate(caps.Read|caps.Shallow)))
	home, err = deskGet.Call(a.ctx(), a.desk)
	must(t, err)
	if home.Rights() != caps.Read|caps.Shallow {
		t.Error("gained on the way home:", home.Rights())
	}
	must(t, deskPut.Call(b.ctx(), r, b.desk)) // b's own
	back, err := deskGet.Call(b.ctx(), r)
	must(t, err)
	if !back.Same(b.desk) {
		t.Errorf("%v is not %v", back, b.desk)
	}
}

func TestACallbackRunsAtWhoGaveIt(t *testing.T) {
	_, b, r := two(t)
	if n, err := deskAsk.Call(b.ctx(), r, b.desk); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	adds(t, b.desk, 1, 2)
}

func TestAStoredRefOpensAfterARestartOfBoth(t *testing.T) {
	a, b, r := two(t)
	must(t, deskPut.Call(b.ctx(), b.desk, r))
	adds(t, r, 1, 1)
	a.restart()
	adds(t, r, 1, 2)
	b.restart()
	held, err := deskGet.Call(b.ctx(), b.desk)
	must(t, err)
	adds(t, held, 1, 3)
	var given caps.Ref
	must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
		given, _ = t.Grant(held, caps.Terms{Only: []caps.Named{deskAdd}})
		return nil
	}))
	adds(t, given, 1, 4)
	again := b.opens(a.save(caps.Terms{For: "b again"}))
	if !again.Same(held) {
		t.Errorf("%v and %v are not the same", again, held)
	}
	if again.Same(b.desk) || b.desk.Same(again) || again.Same(caps.Ref{}) {
		t.Error("the same as what is none")
	}
}

func TestWhatIsRevokedIsRefusedThere(t *testing.T) {
	a, b := newHost(t, rpc.Options{Listen: "127.0.0.1:0"}), newHost(t, rpc.Options{})
	s, g, err := a.rt.Save(a.ctx(), a.desk, caps.Terms{For: "b"})
	must(t, err)
	r := b.opens(s)
	adds(t, r, 1, 1)
	// b passes it on to somebody of its own, and takes that back.
	given, grant := caps.Ref{}, sturdy.Grant{}
	must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
		given, grant = t.Grant(r, caps.Terms{For: "c", Only: []caps.Named{deskAdd}})
		return nil
	}))
	adds(t, given, 1, 2)
	if err := deskFail.Call(b.ctx(), given); !errors.Is(err, caps.ErrNoMethod) {
		t.Error(err)
	}
	must(t, grant.Revoke(b.ctx()))
	if _, err := deskAdd.Call(b.ctx(), given, 1); !errors.Is(err, caps.ErrRevoked) {
		t.Error(err)
	}
	adds(t, r, 1, 3)
	must(t, g.Revoke(a.ctx()))
	if _, err := deskAdd.Call(b.ctx(), r, 1); !errors.Is(err, caps.ErrRevoked) {
		t.Error(err)
	}
	if _, err := b.rt.Restore(b.ctx(), s); !errors.Is(err, caps.ErrRevoked) {
		t.Error(err)
	}
}

func TestAThirdHostReachesItThroughTheSecond(t *testing.T) {
	a, b, r := two(t)
	c := newHost(t, rpc.Options{})
	must(t, deskPut.Call(b.ctx(), b.desk, r))
	viaB, err := deskGet.Call(c.ctx(), c.opens(b.save(caps.Terms{For: "c"})))
	must(t, err)
	adds(t, viaB, 5, 5)
	adds(t, a.desk, 0, 5)
}

func TestATokenIsOfUseToOneHostOnly(t *testing.T) {
	a, b, r := two(t)
	c := newHost(t, rpc.Options{})
	token, err := b.rt.Export(b.ctx(), r, a.rt.Host()) // as b would send it home
	must(t, err)
	if got, err := a.rt.Import(token, b.rt.Host(), ""); err != nil || !got.Same(a.desk) {
		t.Error(got, err)
	}
	if _, err := a.rt.Import(token, c.rt.Host(), ""); !errors.Is(err, caps.ErrNoRight) {
		t.Error("taken from another host:", err)
	}
	for i := range token {
		for bit := range 8 {
			bad := append([]byte{}, token...)
			bad[i] ^= 1 << bit
			if got, err := a.rt.Import(bad, b.rt.Host(), ""); err == nil && got.Same(a.desk) && got.Rights()&^r.Rights() != 0 {
				t.Errorf("byte %d, bit %d: %v", i, bit, got)
			}
		}
	}
}

func TestTheSocketHandsOutTheRoot(t *testing.T) {
	a := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	rt, err := sturdy.Options{}.Open()
	must(t, err)
	defer func() { must(t, rt.Close()) }()
	node, err := rpc.Attach(rt, rpc.Options{})
	must(t, err)
	defer func() { must(t, node.Close()) }()
	root, err := node.Root(t.Context(), rpc.SocketOf(a.dir))
	must(t, err)
	d, err := caps.Query[[]string]("list").Call(t.Context(), root)
	t.Log(d, err)
	info, err := rt.Describe(t.Context(), root)
	must(t, err)
	if info.Kind.Name != "sturdy/directory" || len(info.Kind.Methods) == 0 {
		t.Errorf("%+v", info)
	}
	if _, err := node.Root(t.Context(), a.node.Address()); !errors.Is(err, caps.ErrNoRight) {
		t.Error("over the network:", err)
	}
}

func TestWhatCannotBeReachedSaysSo(t *testing.T) {
	a, b, r := two(t)
	a.stop()
	var e *caps.Error
	_, err := deskAdd.Call(b.ctx(), r, 1)
	if !errors.Is(err, caps.ErrNotDelivered) || !errors.As(err, &e) {
		t.Error(err)
	}
	t.Log(err)
	must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error {
		if _, err := deskAdd.Call(t, r, 1); !errors.Is(err, caps.ErrWouldBlock) {
			return err
		}
		return nil
	}))
	p := deskAdd.Send(b.ctx(), r, 1)
	a.start()
	if n, err := p.Await(b.ctx()); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func TestADeadlineTravels(t *testing.T) {
	_, b, r := two(t)
	ctx, cancel := context.WithTimeout(b.ctx(), 50*time.Millisecond)
	defer cancel()
	// It is answered by the method, which sees the deadline pass, unless that comes too late.
	if _, err := deskWait.Call(ctx, r, caps.Ref{}); !errors.Is(err, caps.ErrMaybeExecuted) && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
