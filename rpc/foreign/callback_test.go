package foreign

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// chime is a bell that a program implements.
type chime struct {
	p    *program
	gone chan struct{} // closed when nobody has it any more
	ring func(ctx context.Context, times int64, who any) (sum int64, back any, err error)
}

func (b *chime) Send(_ context.Context, s capnp.Send) (*capnp.Answer, capnp.ReleaseFunc) {
	return capnp.ErrorAnswer(s.Method, errors.New("called from inside")), func() {}
}

func (b *chime) Recv(ctx context.Context, r capnp.Recv) capnp.PipelineCaller {
	q := capnp.NewAnswerQueue(r.Method)
	go func() {
		err := b.answer(ctx, r)
		r.ReleaseArgs()
		r.Returner.PrepareReturn(err)
		if err != nil {
			q.Reject(err)
		} else {
			q.Fulfill(capnp.Ptr{})
		}
		r.Returner.Return()
		r.Returner.ReleaseResults()
	}()
	return q
}

func (b *chime) answer(ctx context.Context, r capnp.Recv) error {
	f := b.p.face("bell")
	if r.Method.InterfaceID != f.id || r.Method.MethodID != 0 {
		return errors.New("not a method of a bell")
	}
	v, err := b.p.reader().record(r.Args, f.methods[0].params)
	if err != nil {
		return err
	}
	e := entriesOf(v)
	times, _ := e["Times"].(int64)
	sum, back, err := b.ring(ctx, times, e["Who"])
	if err != nil {
		return err
	}
	s, err := r.AllocResults(f.methods[0].results.size)
	if err != nil {
		return err
	}
	return b.p.writer().record(s, f.methods[0].results, fieldsOf(b.p.t, "Sum", sum, "Who", back))
}

func (b *chime) Brand() capnp.Brand { return capnp.Brand{} }
func (b *chime) Shutdown()          { close(b.gone) }
func (b *chime) String() string     { return "chime" }

func (p *program) bell(ring func(ctx context.Context, times int64, who any) (int64, any, error)) (caps.Ref, *chime) {
	b := &chime{p, make(chan struct{}), ring}
	return p.ref(capnp.NewClient(b)), b
}

func TestAForeignProgramIsCalledBack(t *testing.T) {
	w := newWorld(t, Limits{})
	p := w.program(false)
	d := p.desk()
	bell, _ := p.bell(func(_ context.Context, times int64, who any) (int64, any, error) { return 10 * times, who, nil })
	if got := p.call(d, "desk.ask", bell).must(); got != int64(20) {
		t.Fatalf("ask returned %v", got)
	}
	p.call(d, "desk.put", bell).fails("bad argument: ")
	p.call(d, "desk.put", bell).fails("cannot be stored")
	cross, _ := p.bell(func(context.Context, int64, any) (int64, any, error) {
		return 0, nil, errors.New("test.example/cross: no")
	})
	p.call(d, "desk.ask", cross).fails("test.example/cross: ")
	if got := p.call(d, "desk.alike", struct1(t, "A", bell, "B", bell)).must(); got != true {
		t.Error("a capability of a program is not the same as itself")
	}
	pair := p.call(d, "Ref.same", struct1(t, "other", bell)).get("same")
	if pair != false {
		t.Error("a bell is a desk")
	}
}

func TestACapabilityOfAProgramIsReleasedWhenNobodyHasIt(t *testing.T) {
	w := newWorld(t, Limits{})
	p := w.program(false)
	d := p.desk()
	bell, b := p.bell(func(_ context.Context, times int64, _ any) (int64, any, error) { return times, nil, nil })
	p.call(d, "desk.ask", bell).must()
	p.client(bell).Release()
	for late := time.Now().Add(20 * time.Second); time.Now().Before(late); {
		runtime.GC()
		select {
		case <-b.gone:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Error("the program was not told that nobody has its bell any more")
}

// server is a Cap'n Proto server of others: a bell for whoever comes.
func (w *world) server(ring func(ctx context.Context, times int64, who any) (int64, any, error)) (caps.Ref, *rpc.Conn, <-chan struct{}) {
	w.t.Helper()
	near, far := pipe(w.t)
	p := &program{t: w.t, w: w, mine: caps.NewMaker()}
	bell, _ := p.bell(ring)
	conn := rpc.NewConn(rpc.NewStreamTransport(far), &rpc.Options{BootstrapClient: p.client(bell)})
	w.t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	ref, gone, err := w.h.Connect(ctx, near, Visitor{})
	must(w.t, err)
	w.t.Cleanup(func() {
		cancel()
		<-gone
	})
	return ref, conn, gone
}

func TestAServerOfOthersIsCalled(t *testing.T) {
	w := newWorld(t, Limits{})
	plain, conn, gone := w.server(func(ctx context.Context, times int64, who any) (int64, any, error) {
		switch times {
		case 0:
			return 0, nil, errors.New("test.example/cross: none")
		case 1:
			return 0, nil, errors.New("who knows")
		case 2:
			<-ctx.Done()
			return 0, nil, ctx.Err()
		}
		return times, who, nil
	})
	if _, err := w.h.AsKind(t.Context(), plain, "test.example/none"); !errors.Is(err, caps.ErrUnknownKind) {
		t.Error(err)
	}
	bell, err := w.h.AsKind(t.Context(), plain, "test.example/bell")
	must(t, err)
	if again, _ := w.h.AsKind(t.Context(), plain, "test.example/bell"); again != bell {
		t.Error("named twice, it is two Refs")
	}
	if !bell.Same(plain) {
		t.Error("named, it is another object")
	}
	got, err := bellRing.Call(t.Context(), bell, ring{Times: 3, Who: bell})
	if err != nil || got.Sum != 3 || !got.Who.Same(bell) {
		t.Fatal(got, err)
	}
	if got, err = bellRing.Call(t.Context(), bell, ring{Times: 3, Who: w.desk}); err != nil || got.Who != w.desk {
		t.Fatal(got, err)
	}
	for times, want := range map[int64]caps.Code{0: errCross, 1: caps.ErrFailed} {
		if _, err = bellRing.Call(t.Context(), bell, ring{Times: times}); !errors.Is(err, want) {
			t.Errorf("%d: %v", times, err)
		}
	}
	if _, err := drawAdd.Call(t.Context(), bell, 1); !errors.Is(err, caps.ErrNoMethod) {
		t.Error(err)
	}
	if _, err := drawAdd.Call(t.Context(), plain, 1); !errors.Is(err, caps.ErrNoMethod) || !strings.Contains(err.Error(), "AsKind") {
		t.Error(err)
	}
	if _, err := bellRing.Call(t.Context(), bell.Attenuate(caps.Read), ring{Times: 3}); !errors.Is(err, caps.ErrNoRight) {
		t.Error(err)
	}
	under := w.h.rt.Under(t.Context(), caps.Read) // a thread that may only read
	if _, err := bellRing.Call(under, bell, ring{Times: 3}); !errors.Is(err, caps.ErrNoRight) || !strings.Contains(err.Error(), "ceiling") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := bellRing.Call(ctx, bell, ring{Times: 2}); !errors.Is(err, caps.ErrMaybeExecuted) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	asked := func() int {
		is, _ := w.h.target(plain)
		is.c.mu.Lock()
		defer is.c.mu.Unlock()
		return len(is.c.questions)
	}
	for asked() > 0 { // what was given up before is one
		runtime.Gosched()
	}
	waits := make(chan error, 1)
	go func() {
		_, err := bellRing.Call(context.Background(), bell, ring{Times: 2})
		waits <- err
	}()
	for asked() == 0 {
		runtime.Gosched()
	}
	_ = conn.Close()
	<-gone
	if err := <-waits; !errors.Is(err, caps.ErrMaybeExecuted) {
		t.Error(err)
	}
	if _, err := bellRing.Call(t.Context(), bell, ring{Times: 3}); !errors.Is(err, caps.ErrNotDelivered) {
		t.Error(err)
	}
}

func TestAServerThatGivesNothing(t *testing.T) {
	w := newWorld(t, Limits{})
	near, far := pipe(t)
	conn := rpc.NewConn(rpc.NewStreamTransport(far), nil)
	defer conn.Close()
	ref, gone, err := w.h.Connect(t.Context(), near, Visitor{})
	if err == nil {
		t.Error(ref)
	}
	<-gone
	near, far = net.Pipe()
	go func() { _, _ = far.Write([]byte("GET / HTTP/1.1\r\n\r\n")); far.Close() }()
	if ref, gone, err = w.h.Connect(t.Context(), near, Visitor{}); err == nil {
		t.Error(ref)
	}
	<-gone
}
