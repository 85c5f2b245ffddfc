package foreign

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/rpc"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A desk keeps one thing, counts, and asks back.
const (
	deskPut   caps.Command[caps.Ref]       = "put"
	deskGet   caps.Query[caps.Ref]         = "get"
	deskAdd   caps.Method[int64, int64]    = "add"
	deskTotal caps.Query[int64]            = "total"
	deskLog   caps.Query[[]int64]          = "log"
	deskFail  caps.Action                  = "fail"
	deskBoom  caps.Action                  = "boom"
	deskMake  caps.Method[order1, receipt] = "make"
	deskPair  caps.Query[pair]             = "pair"
	deskAsk   caps.Method[caps.Ref, int64] = "ask"
	deskWait  caps.Method[caps.Ref, int64] = "wait"
	deskEcho  caps.Method[string, string]  = "echo"
	deskSame  caps.Method[pair, bool]      = "alike"
	deskBig   caps.Method[int64, []byte]   = "big"
	drawAdd   caps.Method[int64, int64]    = "add"
	bellRing  caps.Method[ring, rung]      = "ring"
	errCross  caps.Code                    = "test.example/cross"
)

type order1 struct {
	N  int64
	By string
}

type receipt struct {
	Drawer caps.Ref
	Note   string
}

type pair struct{ A, B caps.Ref }

type ring struct {
	Times int64
	Who   caps.Ref
}

type rung struct {
	Sum int64
	Who caps.Ref
}

type desk struct {
	N    int64
	Log  []int64
	Held caps.Ref
}

func (d *desk) put(_ *sturdy.WriteTurn, r caps.Ref) error { d.Held = r; return nil }
func (d *desk) get(*sturdy.ReadTurn) (caps.Ref, error)    { return d.Held, nil }
func (d *desk) add(_ *sturdy.WriteTurn, n int64) (int64, error) {
	d.N += n
	d.Log = append(d.Log, n)
	return d.N, nil
}
func (d *desk) total(*sturdy.ReadTurn) (int64, error) { return d.N, nil }
func (d *desk) log(*sturdy.ReadTurn) ([]int64, error) { return d.Log, nil }
func (d *desk) fail(*sturdy.WriteTurn) error          { return &caps.Error{Code: errCross, Text: "very cross"} }
func (d *desk) boom(*sturdy.WriteTurn) error          { panic("boom") }
func (d *desk) make(t *sturdy.WriteTurn, o order1) (receipt, error) {
	if o.N < 0 {
		return receipt{}, &caps.Error{Code: errCross, Text: "less than nothing"}
	}
	if o.N == 0 {
		return receipt{Note: "none"}, nil
	}
	return receipt{drawerKind.New(t, drawer{o.N}), "for " + o.By}, nil
}

func (d *desk) pair(t *sturdy.ReadTurn) (pair, error)             { return pair{t.Self(), d.Held}, nil }
func (d *desk) echo(_ *sturdy.ReadTurn, s string) (string, error) { return s, nil }
func (d *desk) alike(_ *sturdy.ReadTurn, p pair) (bool, error)    { return p.A.Same(p.B), nil }
func (d *desk) big(_ *sturdy.ReadTurn, n int64) ([]byte, error)   { return make([]byte, n), nil }

func askDesk(ctx context.Context, _ desk, r caps.Ref) (int64, error) {
	v, err := bellRing.Call(ctx, r, ring{Times: 2})
	return v.Sum, err
}

func waitDesk(ctx context.Context, _ desk, _ caps.Ref) (int64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// drawer is what a desk makes.
type drawer struct{ N int64 }

func (d *drawer) add(_ *sturdy.WriteTurn, n int64) (int64, error) { d.N += n; return d.N, nil }

// bell is implemented by programs in other languages.
type bell struct{ N int64 }

func (b *bell) ring(t *sturdy.WriteTurn, r ring) (rung, error) {
	b.N += r.Times
	return rung{b.N, r.Who}, nil
}

func deskKinds() []sturdy.Kind {
	return []sturdy.Kind{
		sturdy.Define("test.example/desk",
			sturdy.Command(deskPut, (*desk).put), sturdy.Query(deskGet, (*desk).get), sturdy.Method(deskAdd, (*desk).add),
			sturdy.Query(deskTotal, (*desk).total), sturdy.Query(deskLog, (*desk).log), sturdy.Action(deskFail, (*desk).fail), sturdy.Action(deskBoom, (*desk).boom),
			sturdy.Method(deskMake, (*desk).make), sturdy.Query(deskPair, (*desk).pair), sturdy.Method(deskEcho, (*desk).echo),
			sturdy.Method(deskSame, (*desk).alike), sturdy.Method(deskBig, (*desk).big),
			sturdy.Outside(deskAsk, askDesk), sturdy.Outside(deskWait, waitDesk)),
		drawerKind,
		sturdy.Define("test.example/bell", sturdy.Method(bellRing, (*bell).ring)),
		exchangeKind(),
	}
}

var drawerKind = sturdy.Define("test.example/drawer", sturdy.Method(drawAdd, (*drawer).add))

// world is a world with a desk in its root, and its Host.
type world struct {
	t    testing.TB
	rt   *sturdy.Runtime
	h    *Host
	desk caps.Ref
	// exchange is where programs leave capabilities for each other.
	exchange caps.Ref
}

func newWorld(t testing.TB, lim Limits) *world {
	t.Helper()
	kinds := deskKinds()
	rt, err := sturdy.Open(filepath.Join(t.TempDir(), "w"), kinds...)
	must(t, err)
	t.Cleanup(func() {
		if err := errors.Join(rt.Check(context.Background()), rt.Close()); err != nil {
			t.Error(err)
		}
	})
	d, err := rt.Root().Ensure(t.Context(), "desk", func(t *sturdy.WriteTurn) caps.Ref { return kinds[0].(*sturdy.KindOf[desk]).New(t, desk{}) })
	must(t, err)
	ex, err := rt.Root().Ensure(t.Context(), "exchange", func(t *sturdy.WriteTurn) caps.Ref {
		return kinds[len(kinds)-1].(*sturdy.KindOf[exchange]).New(t, exchange{})
	})
	must(t, err)
	return &world{t, rt, New(rt, lim), d, ex}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// program is a foreign program: one made with go-capnp.
type program struct {
	t    testing.TB
	w    *world
	conn *rpc.Conn
	host capnp.Client
	mine *caps.Maker
	end  chan error // what Serve returned
	raw  net.Conn   // its side
}

// pipe is a connection in the kernel: what is written waits there.
func pipe(t testing.TB) (near, far net.Conn) {
	t.Helper()
	door, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	must(t, err)
	defer door.Close()
	far, err = net.Dial("unix", door.Addr().String())
	must(t, err)
	near, err = door.Accept()
	must(t, err)
	return near, far
}

func (w *world) serve(v Visitor) (net.Conn, chan error) {
	w.t.Helper()
	near, far := pipe(w.t)
	end := make(chan error, 1)
	go func() { end <- w.h.Accept(context.Background(), near, v).Serve() }()
	return far, end
}

func (w *world) program(owner bool) *program {
	w.t.Helper()
	return w.visits(Visitor{Owner: owner})
}

func (w *world) visits(v Visitor) *program {
	w.t.Helper()
	far, end := w.serve(v)
	return w.programOver(far, end)
}

func (w *world) programOver(far net.Conn, end chan error) *program {
	p := &program{t: w.t, w: w, mine: caps.NewMaker(), end: end, raw: far}
	p.conn = rpc.NewConn(rpc.NewStreamTransport(far), nil)
	p.host = p.conn.Bootstrap(context.Background())
	w.t.Cleanup(p.close)
	return p
}

func (p *program) close() {
	p.host.Release()
	_ = p.conn.Close() // it may be closed already
	select {
	case err := <-p.end:
		p.end <- err
	case <-time.After(20 * time.Second):
		p.t.Error("Serve did not end")
	}
}

// theirs is a capability as a program has it.
type theirs struct{ capnp.Client }

func (theirs) Deliver(context.Context, caps.Ref, caps.Message) (caps.Reply, error) {
	return caps.Reply{}, errors.New("of a program")
}

func (p *program) ref(c capnp.Client) caps.Ref { return p.mine.Make(theirs{c}, caps.Full()) }

func (p *program) client(v any) capnp.Client {
	p.t.Helper()
	r, _ := v.(caps.Ref)
	t, _, ok := p.mine.Open(r)
	if !ok {
		p.t.Fatalf("%v is no capability", v)
	}
	return t.(theirs).Client
}

func (p *program) writer() *writer {
	return &writer{limit: 64 << 20, refs: func(r caps.Ref) (capnp.Client, error) { return p.client(r).AddRef(), nil }}
}

func (p *program) reader() *reader {
	return &reader{elements: 1 << 20, bytes: 64 << 20, refs: func(c capnp.Client) (caps.Ref, error) { return p.ref(c.AddRef()), nil }}
}

// pending is a call under way.
type pending struct {
	p       *program
	m       *method
	ans     *capnp.Answer
	release func()
	once    sync.Once
	value   caps.Value
	err     error
}

func (p *program) face(kind string) *iface {
	p.t.Helper()
	must(p.t, p.w.h.kinds.open(context.Background()))
	b := &p.w.h.kinds
	f := map[string]*iface{"Host": b.base.host, "Ref": b.base.ref, "Grant": b.base.grant}[kind]
	if f == nil {
		f = b.kind("test.example/" + kind)
	}
	if f == nil {
		p.t.Fatalf("no interface %s", kind)
	}
	return f
}

// send calls a method, "desk.add", with an argument.
func (p *program) send(ctx context.Context, to capnp.Client, what string, arg any) *pending {
	p.t.Helper()
	m, s := p.prepare(what, arg)
	ans, release := to.SendCall(ctx, s)
	return &pending{p: p, m: m, ans: ans, release: release}
}

func (p *program) prepare(what string, arg any) (*method, capnp.Send) {
	p.t.Helper()
	kind, name, _ := strings.Cut(what, ".")
	f := p.face(kind)
	var m *method
	for _, x := range f.methods {
		if x.name == name {
			m = x
		}
	}
	if m == nil {
		p.t.Fatalf("no method %s", what)
	}
	return m, capnp.Send{
		Method:   capnp.Method{InterfaceID: f.id, MethodID: m.ordinal},
		ArgsSize: m.params.size,
		PlaceArgs: func(s capnp.Struct) error {
			return p.writer().record(s, m.params, val(p.t, arg))
		},
	}
}

// then calls what the pointer field of a result will be.
func (c *pending) then(ctx context.Context, field uint16, what string, arg any) *pending {
	c.p.t.Helper()
	m, s := c.p.prepare(what, arg)
	ans, release := c.ans.PipelineSend(ctx, []capnp.PipelineOp{{Field: field}}, s)
	return &pending{p: c.p, m: m, ans: ans, release: release}
}

// field is a capability of a result that is not there yet. It is asked for once.
func (c *pending) field(i uint16) caps.Ref { return c.p.ref(c.ans.Field(i, nil).Client().AddRef()) }

func (c *pending) result() (any, error) {
	c.once.Do(func() {
		s, err := c.ans.Struct()
		if err != nil {
			c.err = err
			return
		}
		c.value, c.err = c.p.reader().record(s, c.m.results)
		c.release()
	})
	return c.value.Any(), c.err
}

func (c *pending) must() any {
	c.p.t.Helper()
	v, err := c.result()
	must(c.p.t, err)
	return v
}

// get is a field of the result.
func (c *pending) get(name string) any {
	c.p.t.Helper()
	v := c.must()
	list, ok := v.([]caps.Entry)
	if !ok {
		c.p.t.Fatalf("%v has no fields", v)
	}
	for _, e := range list {
		if e.Key.Any() == name {
			return e.Val.Any()
		}
	}
	c.p.t.Fatalf("no field %s in %v", name, v)
	return nil
}

func (c *pending) fails(with string) {
	c.p.t.Helper()
	v, err := c.result()
	if err == nil {
		c.p.t.Fatalf("%s returned %v", c.m.name, v)
	}
	if !strings.Contains(err.Error(), with) {
		c.p.t.Fatalf("%s failed with %q, which has no %q", c.m.name, err, with)
	}
}

// call is send, and the result.
func (p *program) call(to capnp.Client, what string, arg any) *pending {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	p.t.Cleanup(cancel)
	return p.send(ctx, to, what, arg)
}

// desk is the desk, by a sturdy ref.
func (p *program) desk() capnp.Client { return p.restored(p.w.desk) }

// restored is what r leads to, by a sturdy ref.
func (p *program) restored(r caps.Ref) capnp.Client {
	p.t.Helper()
	s, _, err := p.w.rt.Save(context.Background(), r, caps.Terms{})
	must(p.t, err)
	return p.client(p.call(p.host, "Host.restore", struct1(p.t, "sturdyRef", s.Reveal())).get("ref"))
}

func struct1(t testing.TB, parts ...any) []caps.Entry {
	list, _ := fieldsOf(t, parts...).Any().([]caps.Entry)
	return list
}

func TestAForeignProgramRestoresAndCalls(t *testing.T) {
	w := newWorld(t, Limits{})
	p := w.program(false)
	d := p.desk()
	if got := p.call(d, "desk.add", 3).must(); got != int64(3) {
		t.Fatalf("add returned %v", got)
	}
	if got := p.call(d, "desk.total", nil).must(); got != int64(3) {
		t.Fatalf("total returned %v", got)
	}
	if got := p.call(d, "desk.echo", "hé").must(); got != "hé" {
		t.Fatalf("echo returned %v", got)
	}
	r := p.call(d, "desk.make", struct1(t, "N", 5, "By", "me"))
	if got := r.get("Note"); got != "for me" {
		t.Fatalf("make noted %v", got)
	}
	drawer := p.client(p.call(d, "desk.make", struct1(t, "N", 5, "By", "me")).get("Drawer"))
	if got := p.call(drawer, "drawer.add", 2).must(); got != int64(7) {
		t.Fatalf("add returned %v", got)
	}
	p.call(d, "drawer.add", 2).fails("no such method: ")
	p.call(d, "desk.put", p.ref(drawer)).must()
	back := p.call(d, "desk.get", nil).must()
	if got := p.call(p.client(back), "drawer.add", 2).must(); got != int64(9) {
		t.Fatalf("add returned %v", got)
	}
	if !p.client(back).IsSame(drawer) {
		t.Error("one object came twice, and as two capabilities")
	}
	if got := p.call(d, "desk.alike", struct1(t, "A", p.ref(drawer), "B", back)).must(); got != true {
		t.Error("what came back is not the same object")
	}
	p.call(d, "desk.fail", nil).fails("test.example/cross: ")
	p.call(d, "desk.boom", nil).fails("the method panicked: ")
	if got := p.call(d, "desk.total", nil).must(); got != int64(3) {
		t.Fatalf("after a panic, total returned %v", got)
	}
}

func TestOnlyTheOwnerIsHandedTheRoot(t *testing.T) {
	w := newWorld(t, Limits{})
	w.program(false).call(w.program(false).host, "Host.root", nil).fails("no right: ")
	p := w.program(true)
	root := p.client(p.call(p.host, "Host.root", nil).get("ref"))
	d := p.client(p.call(root, "Ref.call", struct1(t, "method", "get", "argument", "desk")).get("ref"))
	if got := p.call(d, "desk.add", 1).must(); got != int64(1) {
		t.Fatalf("add returned %v", got)
	}
}

func TestWhatIsPromisedIsCalledBeforeItIsThere(t *testing.T) {
	w := newWorld(t, Limits{})
	p := w.program(false)
	s, _, err := w.rt.Save(t.Context(), w.desk, caps.Terms{})
	must(t, err)
	made := p.call(p.host, "Host.restore", struct1(t, "sturdyRef", s.Reveal())).then(t.Context(), 0, "desk.make", struct1(t, "N", 5, "By", "me"))
	sums := []*pending{}
	for range 10 {
		sums = append(sums, made.then(t.Context(), 0, "drawer.add", 1))
	}
	for i, sum := range sums {
		if got := sum.must(); got != int64(6+i) {
			t.Errorf("sum %d is %v", i, got)
		}
	}
	d := p.desk()
	p.call(d, "desk.make", struct1(t, "N", -1, "By", "me")).then(t.Context(), 0, "drawer.add", 1).fails("test.example/cross: ")
	p.call(d, "desk.make", struct1(t, "N", 0, "By", "me")).then(t.Context(), 0, "drawer.add", 1).fails("null")
	p.call(d, "desk.make", struct1(t, "N", 1, "By", "me")).then(t.Context(), 1, "drawer.add", 1).fails("no capability")
	p.call(d, "desk.total", nil).then(t.Context(), 7, "drawer.add", 1).fails("null")

	m := p.call(d, "desk.make", struct1(t, "N", 5, "By", "me"))
	promise := m.field(0)
	if got := p.call(d, "desk.alike", struct1(t, "A", promise, "B", promise)).must(); got != true {
		t.Error("a promise is not the same as itself")
	}
}
