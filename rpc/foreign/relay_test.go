package foreign

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/exc"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// An exchange is where one program leaves a capability and another finds it. It keeps them in
// memory, as those of programs cannot be stored.
const (
	exchangeLeave caps.Method[left, bool]       = "leave"
	exchangeTake  caps.Method[string, caps.Ref] = "take"
)

type exchange struct{ N int64 }

type left struct {
	Name string
	What caps.Ref
}

func exchangeKind() sturdy.Kind {
	var mu sync.Mutex
	has := map[string]caps.Ref{}
	return sturdy.Define("test.example/exchange",
		sturdy.Outside(exchangeLeave, func(_ context.Context, _ exchange, l left) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			has[l.Name] = l.What
			return true, nil
		}),
		sturdy.Outside(exchangeTake, func(_ context.Context, _ exchange, name string) (caps.Ref, error) {
			mu.Lock()
			defer mu.Unlock()
			return has[name], nil
		}))
}

// leave has p leave a capability at the exchange.
func (p *program) leave(name string, what caps.Ref) {
	p.t.Helper()
	p.call(p.restored(p.w.exchange), "exchange.leave", struct1(p.t, "Name", name, "What", what)).must()
}

// leave is that of its capability id, by question 902.
func (v *villain) leave(name string, id uint32) {
	v.t.Helper()
	v.call(902, v.restored(v.w.exchange), "exchange.leave", nil, with(1, hosted(id)), func(c rpccp.Call) error {
		p, err := c.Params()
		if err != nil {
			return err
		}
		content, err := p.Content() // the capability is the second field
		if err != nil {
			return err
		}
		return errors.Join(content.Struct().SetText(0, name), content.Struct().SetPtr(1, capnp.NewInterface(p.Segment(), 0).ToPtr()))
	})
	if _, fault := v.answer(902); fault != "" {
		v.t.Fatal(fault)
	}
	v.finish(902, true)
}

func (p *program) take(name string) capnp.Client {
	p.t.Helper()
	return p.client(p.call(p.restored(p.w.exchange), "exchange.take", name).must())
}

// The two programs talk about what this host knows nothing of.
var (
	parley = capnp.Method{InterfaceID: 0xfeed_0000_0000_0001, MethodID: 3}
	hasten = capnp.Method{InterfaceID: 0xfeed_0000_0000_0001, MethodID: 4}
)

// envoy is an object of a program: act makes the results, which are of some size, of the arguments.
type envoy struct {
	gone chan struct{}
	act  func(ctx context.Context, m capnp.Method, args capnp.Struct, results func() capnp.Struct) error
}

func newEnvoy(act func(context.Context, capnp.Method, capnp.Struct, func() capnp.Struct) error) *envoy {
	return &envoy{make(chan struct{}), act}
}

func (e *envoy) Send(_ context.Context, s capnp.Send) (*capnp.Answer, capnp.ReleaseFunc) {
	return capnp.ErrorAnswer(s.Method, errors.New("called from inside")), func() {}
}

func (e *envoy) Recv(ctx context.Context, r capnp.Recv) capnp.PipelineCaller {
	q := capnp.NewAnswerQueue(r.Method)
	go func() {
		err := e.act(ctx, r.Method, r.Args, func() capnp.Struct {
			s, err := r.AllocResults(capnp.ObjectSize{DataSize: 8, PointerCount: 4})
			if err != nil {
				panic(err)
			}
			return s
		})
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

func (e *envoy) Brand() capnp.Brand { return capnp.Brand{} }
func (e *envoy) Shutdown()          { close(e.gone) }
func (e *envoy) String() string     { return "envoy" }

// asks calls an envoy; fill makes the arguments.
func asks(ctx context.Context, to capnp.Client, m capnp.Method, fill func(capnp.Struct) error) (*capnp.Answer, func()) {
	return to.SendCall(ctx, capnp.Send{Method: m, ArgsSize: capnp.ObjectSize{DataSize: 8, PointerCount: 4}, PlaceArgs: fill})
}

// putCap sets a pointer to a capability.
func putCap(s capnp.Struct, at uint16, c capnp.Client) error {
	id := s.Message().CapTable().Add(c.AddRef())
	return s.SetPtr(at, capnp.NewInterface(s.Segment(), id).ToPtr())
}

func capAt(s capnp.Struct, at uint16) capnp.Client {
	p, _ := s.Ptr(at)
	return p.Interface().Client().AddRef()
}

func minute(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestAProgramCallsWhatIsAnothers: this host knows nothing of the interface. Text, structs in
// lists and capabilities of all three arrive, both ways.
func TestAProgramCallsWhatIsAnothers(t *testing.T) {
	w := newWorld(t, Limits{})
	a, b := w.program(false), w.program(false)
	deskOfB := b.desk()
	var own capnp.Client // a's
	own = capnp.NewClient(newEnvoy(func(ctx context.Context, m capnp.Method, args capnp.Struct, results func() capnp.Struct) error {
		if m.MethodID == hasten.MethodID {
			results().SetUint64(0, args.Uint64(0)+1)
			return nil
		}
		p, _ := args.Ptr(0)
		text, _ := p.List().Struct(1).Ptr(0)
		if m != parley || args.Uint64(0) != 7 || text.Text() != "two" {
			return fmt.Errorf("the arguments are %v, %q", args.Uint64(0), text.Text())
		}
		if !capAt(args, 1).IsSame(own) {
			return errors.New("what is its own came as another's")
		}
		ofB := capAt(args, 2)
		ans, release := asks(ctx, ofB, hasten, func(s capnp.Struct) error { s.SetUint64(0, 40); return nil })
		defer release()
		s, err := ans.Struct()
		if err != nil {
			return err
		}
		if got := a.call(capAt(args, 3), "desk.add", 5).must(); got != int64(5) {
			return fmt.Errorf("the desk returned %v", got)
		}
		out := results()
		out.SetUint64(0, s.Uint64(0))
		return errors.Join(out.SetText(0, "well"), putCap(out, 1, own), putCap(out, 2, ofB), putCap(out, 3, capAt(args, 3)))
	}))
	a.leave("own", a.ref(own))
	theirs := b.take("own")
	ofB := capnp.NewClient(newEnvoy(func(_ context.Context, _ capnp.Method, args capnp.Struct, results func() capnp.Struct) error {
		results().SetUint64(0, args.Uint64(0)+2)
		return nil
	}))
	ctx := minute(t)
	ans, release := asks(ctx, theirs, parley, func(s capnp.Struct) error {
		s.SetUint64(0, 7)
		l, err := capnp.NewCompositeList(s.Segment(), capnp.ObjectSize{PointerCount: 1}, 2)
		if err != nil {
			return err
		}
		return errors.Join(l.Struct(1).SetText(0, "two"), s.SetPtr(0, l.ToPtr()), putCap(s, 1, theirs), putCap(s, 2, ofB), putCap(s, 3, deskOfB))
	})
	defer release()
	early, release := ans.PipelineSend(ctx, []capnp.PipelineOp{{Field: 1}}, capnp.Send{Method: hasten, ArgsSize: capnp.ObjectSize{DataSize: 8}, PlaceArgs: func(s capnp.Struct) error { s.SetUint64(0, 1); return nil }})
	defer release()
	s, err := ans.Struct()
	must(t, err)
	p, _ := s.Ptr(0)
	if s.Uint64(0) != 42 || p.Text() != "well" {
		t.Errorf("%d, %q", s.Uint64(0), p.Text())
	}
	if !capAt(s, 1).IsSame(theirs) || !capAt(s, 2).IsSame(ofB) || !capAt(s, 3).IsSame(deskOfB) {
		t.Error("capabilities came back as others")
	}
	if s, err = early.Struct(); err != nil || s.Uint64(0) != 2 {
		t.Error("what was promised:", err)
	}
}

// TestAnArgumentThatIsAnothersIsCalledByAServer: this host is the one that hands it over.
func TestAnArgumentThatIsAnothersIsCalledByAServer(t *testing.T) {
	w := newWorld(t, Limits{})
	a := w.program(false)
	called := make(chan uint64, 1)
	a.leave("own", a.ref(capnp.NewClient(ordered{called})))
	own, err := exchangeTake.Call(t.Context(), w.exchange, "own")
	must(t, err)
	v, bell := w.dialed("test.example/bell")
	rung := make(chan error, 1)
	go func() {
		_, err := bellRing.Call(minute(t), bell, ring{Times: 3, Who: own})
		rung <- err
	}()
	m := v.next()
	for m.Which() != rpccp.Message_Which_call {
		m = v.next()
	}
	c, err := m.Call()
	must(t, err)
	params, err := c.Params()
	must(t, err)
	table, err := params.CapTable()
	must(t, err)
	v.call(1, table.At(0).SenderHosted(), "desk.total", nil, func(c rpccp.Call) error {
		c.SetInterfaceId(parley.InterfaceID)
		return nil
	})
	if _, fault := v.answer(1); fault != "" {
		t.Error(fault)
	}
	<-called
	v.returns(c.QuestionId(), 1)
	<-rung // whose result is no rung
}

// TestWhatAProgramFailsWithReachesTheOtherAsItIs.
func TestWhatAProgramFailsWithReachesTheOtherAsItIs(t *testing.T) {
	w := newWorld(t, Limits{})
	a, b := w.program(false), w.program(false)
	kinds := []exc.Type{exc.Failed, exc.Overloaded, exc.Disconnected, exc.Unimplemented}
	a.leave("own", a.ref(capnp.NewClient(newEnvoy(func(_ context.Context, _ capnp.Method, args capnp.Struct, _ func() capnp.Struct) error {
		return exc.New(kinds[args.Uint64(0)], "", "who knows: it has no code")
	}))))
	theirs := b.take("own")
	for i, want := range kinds {
		ans, release := asks(minute(t), theirs, parley, func(s capnp.Struct) error { s.SetUint64(0, uint64(i)); return nil })
		_, err := ans.Struct()
		if exc.TypeOf(err) != want || !strings.HasSuffix(err.Error(), "who knows: it has no code") || strings.Contains(err.Error(), "failed: who") {
			t.Errorf("%v became %v: %v", want, exc.TypeOf(err), err)
		}
		release()
	}
	d := b.desk()
	b.call(d, "desk.ask", b.ref(theirs)).fails("who knows") // from here it is what it means here
}

// TestCallsThatArePassedOnStayInOrder.
func TestCallsThatArePassedOnStayInOrder(t *testing.T) {
	w := newWorld(t, Limits{})
	a, b := w.program(false), w.program(false)
	const n = 200
	came := make(chan uint64, n)
	a.leave("own", a.ref(capnp.NewClient(ordered{came})))
	theirs := b.take("own")
	var all []*capnp.Answer
	for i := range n {
		ans, release := asks(minute(t), theirs, parley, func(s capnp.Struct) error { s.SetUint64(0, uint64(i)); return nil })
		defer release()
		all = append(all, ans)
	}
	for i, ans := range all {
		_, err := ans.Struct()
		must(t, err)
		if got := <-came; got != uint64(i) {
			t.Fatalf("call %d came as number %d", got, i)
		}
	}
}

// ordered notes what it is called with before the next call comes.
type ordered struct{ came chan uint64 }

func (o ordered) Send(_ context.Context, s capnp.Send) (*capnp.Answer, capnp.ReleaseFunc) {
	return capnp.ErrorAnswer(s.Method, errors.New("called from inside")), func() {}
}

func (o ordered) Recv(_ context.Context, r capnp.Recv) capnp.PipelineCaller {
	o.came <- r.Args.Uint64(0)
	r.ReleaseArgs()
	if _, err := r.AllocResults(capnp.ObjectSize{}); err != nil {
		r.Reject(err)
		return nil
	}
	r.Returner.PrepareReturn(nil)
	r.Returner.Return()
	r.Returner.ReleaseResults()
	return nil
}

func (o ordered) Brand() capnp.Brand { return capnp.Brand{} }
func (o ordered) Shutdown()          {}
func (o ordered) String() string     { return "ordered" }

// TestACallThatIsPassedOnEndsWithEitherProgram, and with the caller's interest in it.
func TestACallThatIsPassedOnEndsWithEitherProgram(t *testing.T) {
	for name, do := range map[string]func(a, b *program, cancel func()){
		"it_is_canceled":   func(_, _ *program, cancel func()) { cancel() },
		"the_caller_goes":  func(_, b *program, _ func()) { b.close() },
		"the_other_goes":   func(a, _ *program, _ func()) { _ = a.raw.Close() }, // go-capnp's Close can send an empty result of what it interrupts
		"the_other_breaks": func(a, _ *program, _ func()) { _, _ = a.raw.Write([]byte{0xff, 0xff, 0xff, 0xff}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Limits{})
			a, b := w.program(false), w.program(false)
			began, ended := make(chan struct{}), make(chan struct{})
			e := newEnvoy(func(ctx context.Context, _ capnp.Method, _ capnp.Struct, _ func() capnp.Struct) error {
				close(began)
				<-ctx.Done()
				close(ended)
				return ctx.Err()
			})
			a.leave("own", a.ref(capnp.NewClient(e)))
			theirs := b.take("own")
			ctx, cancel := context.WithCancel(minute(t))
			ans, release := asks(ctx, theirs, parley, nil)
			defer release()
			select {
			case <-began:
			case <-ctx.Done():
				t.Fatal("it does not arrive")
			}
			do(a, b, cancel)
			<-ended
			_, err := ans.Struct()
			if err == nil {
				t.Error("it returned")
			}
			if strings.HasPrefix(name, "the_other") {
				if !strings.Contains(err.Error(), string(caps.ErrMaybeExecuted)) {
					t.Error(err)
				}
				ans, release := asks(minute(t), theirs, parley, nil)
				defer release()
				if _, err := ans.Struct(); exc.TypeOf(err) != exc.Disconnected || !strings.Contains(err.Error(), string(caps.ErrNotDelivered)) {
					t.Error(err)
				}
			}
			w.honest()
		})
	}
}

// TestWhatIsNotAllOfACapabilityIsNotPassedOnUntyped: what it allows is for the interface to say.
func TestWhatIsNotAllOfACapabilityIsNotPassedOnUntyped(t *testing.T) {
	w := newWorld(t, Limits{})
	a, b := w.program(false), w.program(false)
	bell, _ := a.bell(func(_ context.Context, times int64, _ any) (int64, any, error) { return 10 * times, nil, nil })
	a.leave("bell", bell)
	plain, err := exchangeTake.Call(t.Context(), w.exchange, "bell")
	must(t, err)
	leave := func(name string, r caps.Ref) {
		_, err := exchangeLeave.Call(t.Context(), w.exchange, left{name, r})
		must(t, err)
	}
	x := b.restored(w.exchange)
	leave("weak", plain.Attenuate(caps.Read))
	b.call(x, "exchange.take", "weak").fails("name it with As")
	typed, err := w.h.AsKind(t.Context(), plain, "test.example/bell")
	must(t, err)
	leave("typed", typed.Attenuate(caps.Read))
	b.call(b.take("typed"), "bell.ring", struct1(t, "Times", 3)).fails("no right: ")
	leave("typed", typed.Attenuate(caps.Read|caps.Write))
	if got := b.call(b.take("typed"), "bell.ring", struct1(t, "Times", 3)).get("Sum"); got != int64(30) {
		t.Error(got)
	}
	ans, release := asks(minute(t), b.take("typed"), parley, nil)
	defer release()
	if _, err := ans.Struct(); exc.TypeOf(err) != exc.Unimplemented {
		t.Error("a method of an interface that nobody has named:", err)
	}
	whole := b.client(b.call(x, "exchange.take", "bell").must())
	if got := b.call(whole, "bell.ring", struct1(t, "Times", 3)).get("Sum"); got != int64(30) {
		t.Error(got)
	}
	weak := b.call(whole, "Ref.attenuate", struct1(t, "rights", "r"))
	weak.fails("name it with As")
	// The capability goes back to its own program as its own, and is refused to hosts.
	if !a.client(a.call(a.restored(w.exchange), "exchange.take", "bell").must()).IsSame(a.client(bell)) {
		t.Error("its own capability came back as another's")
	}
	if _, err := w.rt.Export(t.Context(), plain, "another host"); !errors.Is(err, caps.ErrBadArgument) || !strings.Contains(err.Error(), "foreign program") {
		t.Error(err)
	}
}

// TestWhatIsPromisedAndTurnsOutToBeOnesOwn: a program that calls what it was promised, which is
// its own, gets those calls back, and the echo of its disembargo after them.
func TestWhatIsPromisedAndTurnsOutToBeOnesOwn(t *testing.T) {
	w := newWorld(t, Limits{})
	v := w.villain()
	x, d := v.restored(w.exchange), v.restored(w.desk)
	v.leave("own", 5)
	v.call(2, d, "desk.ask", nil, with(1, hosted(6))) // which calls 6, and has no answer yet
	held := v.asked()
	raw := func(c rpccp.Call) error {
		c.SetInterfaceId(parley.InterfaceID)
		return nil
	}
	v.call(3, x, "exchange.take", "own")
	v.call(4, 0, "desk.total", nil, raw, promise(3, 0), with(1, func(_ int, c rpccp.CapDescriptor) error {
		pa, err := c.NewReceiverAnswer()
		pa.SetQuestionId(2)
		return err
	}))
	v.call(5, 0, "desk.total", nil, raw, promise(3, 0))
	v.call(6, 0, "desk.total", nil, raw, promise(3, 0))
	ret, fault := v.answer(3)
	if fault != "" {
		t.Fatal(fault)
	}
	p, err := ret.Results()
	must(t, err)
	table, err := p.CapTable()
	must(t, err)
	if own := table.At(0); own.Which() != rpccp.CapDescriptor_Which_receiverHosted || own.ReceiverHosted() != 5 {
		t.Fatal("its own came back as another's")
	}
	v.disembargo(77, 3)
	v.throws(held) // so call 4 fails, and those behind it go on
	var said []string
	for len(said) < 3 {
		switch m := v.next(); m.Which() {
		case rpccp.Message_Which_call:
			c, err := m.Call()
			must(t, err)
			target, err := c.Target()
			must(t, err)
			said = append(said, fmt.Sprint("call ", target.ImportedCap()))
		case rpccp.Message_Which_disembargo:
			e, err := m.Disembargo()
			must(t, err)
			said = append(said, fmt.Sprint("echo ", e.Context().ReceiverLoopback()))
		}
	}
	if want := "[call 5 call 5 echo 77]"; fmt.Sprint(said) != want {
		t.Errorf("%v; %s is wanted", said, want)
	}
	// Those that wait are counted.
	v.call(7, d, "desk.wait", nil)
	v.call(8, x, "exchange.take", "own")
	v.call(9, 0, "desk.total", nil, raw, promise(8, 0), with(1, func(_ int, c rpccp.CapDescriptor) error {
		pa, err := c.NewReceiverAnswer()
		pa.SetQuestionId(7)
		return err
	}))
	v.answer(8)
	for range w.h.lim.Calls + 1 {
		v.disembargo(1, 8)
	}
	v.ends("Limits.Calls")
	w.honest()
}

// disembargo says that calls of the first pointer of an answer are held back.
func (v *villain) disembargo(id, question uint32) {
	v.t.Helper()
	v.send(func(m rpccp.Message) error {
		d, err := m.NewDisembargo()
		if err != nil {
			return err
		}
		d.Context().SetSenderLoopback(id)
		target, err := d.NewTarget()
		if err != nil {
			return err
		}
		pa, err := target.NewPromisedAnswer()
		if err != nil {
			return err
		}
		pa.SetQuestionId(question)
		ops, err := pa.NewTransform(1)
		if err == nil {
			ops.At(0).SetGetPointerField(0)
		}
		return err
	})
}

// throws answers question id with an exception.
func (v *villain) throws(id uint32) {
	v.t.Helper()
	v.send(func(m rpccp.Message) error {
		ret, err := m.NewReturn()
		if err != nil {
			return err
		}
		ret.SetAnswerId(id)
		e, err := ret.NewException()
		if err != nil {
			return err
		}
		return e.SetReason("no")
	})
}
