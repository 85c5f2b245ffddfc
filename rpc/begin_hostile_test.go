package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// keeper is a handler that keeps results as the real one does: "wait" ends with its context,
// "fail" fails, "panic" panics, and what is called on something comes to what that has come to.
func keeper(ctx context.Context, _ *link, q request) (response, error) {
	if q.of != nil {
		<-q.of.done
		if _, err := (caps.Message{Method: q.method}).On(caps.Reply{Body: []byte{1}}, q.of.err); errors.Is(err, caps.ErrNotDelivered) {
			return response{}, err
		}
	}
	switch q.method {
	case "wait":
		<-ctx.Done()
		return response{}, ctx.Err()
	case "fail":
		return response{}, caps.ErrGone
	case "panic":
		panic("hostile")
	case "exit":
		runtime.Goexit()
	}
	q.is.settle(caps.Reply{}, nil)
	return response{body: []byte(q.method)}, nil
}

// begins is a frame.
func begins(id, on uint64, keep bool, method string) []byte {
	return appendRequest(nil, id, &request{op: opBegin, on: on, has: 7, keep: keep, method: method}, 0)
}

func cancels(id uint64) []byte  { return appendHeader(nil, kindCancel, id, 0) }
func releases(id uint64) []byte { return appendHeader(nil, kindRelease, id, 0) }

// TestWhatIsCalledOnNothingIsAnswered has a peer that names whatever it likes. Every request is
// answered once, and nothing is left when they are released.
func TestWhatIsCalledOnNothingIsAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		say  [][]byte
		want string // the answers in order, by id: the body, or the code
	}{
		"as it should be":         {[][]byte{begins(1, 0, true, "a"), begins(2, 1, true, "b"), begins(3, 2, false, "c")}, "1 a, 2 b, 3 c"},
		"on what was never made":  {[][]byte{begins(1, 9, false, "a")}, "1 not delivered"},
		"on itself":               {[][]byte{begins(1, 1, true, "a"), begins(2, 1, false, "b")}, "1 not delivered, 2 not delivered"},
		"on what comes later":     {[][]byte{begins(1, 2, false, "a"), begins(2, 0, true, "b")}, "1 not delivered, 2 b"},
		"on what is not kept":     {[][]byte{begins(1, 0, false, "a"), begins(2, 1, false, "b")}, "1 a, 2 not delivered"},
		"on a plain call":         {[][]byte{appendRequest(nil, 1, &request{op: opCall, method: "a"}, 0), begins(2, 1, false, "b")}, "1 a, 2 not delivered"},
		"on what is released":     {[][]byte{begins(1, 0, true, "a"), releases(1), begins(2, 1, false, "b")}, "1 a, 2 not delivered"},
		"released before it is":   {[][]byte{begins(1, 0, true, "a"), begins(2, 1, false, "b"), releases(1), releases(1)}, "1 a, 2 b"},
		"on what fails":           {[][]byte{begins(1, 0, true, "fail"), begins(2, 1, true, "b"), begins(3, 2, true, "c")}, "1 object is gone, 2 not delivered, 3 not delivered"},
		"on what panics":          {[][]byte{begins(1, 0, true, "panic"), begins(2, 1, true, "b")}, "1 the method panicked, 2 not delivered"},
		"on what ends":            {[][]byte{begins(1, 0, true, "exit"), begins(2, 1, true, "b")}, "1 the method panicked, 2 not delivered"},
		"on what is canceled":     {[][]byte{begins(1, 0, true, "wait"), begins(2, 1, true, "b"), begins(3, 2, false, "c"), cancels(1)}, "1 maybe executed, 2 not delivered, 3 not delivered"},
		"canceled while it waits": {[][]byte{begins(1, 0, true, "wait"), begins(2, 1, true, "b"), begins(3, 2, false, "c"), begins(4, 1, false, "d"), cancels(2), cancels(1)}, "2 not delivered, 3 not delivered, 1 maybe executed, 4 not delivered"},
		"too many":                {[][]byte{begins(1, 0, true, "a"), begins(2, 0, true, "a"), begins(3, 0, true, "a"), begins(4, 0, true, "a"), begins(5, 0, true, "b"), begins(6, 5, true, "c"), begins(7, 4, false, "d")}, "1 a, 2 a, 3 a, 4 a, 5 overloaded, 6 overloaded, 7 d"},
		"too many that wait":      {[][]byte{begins(1, 0, true, "wait"), begins(2, 1, false, "b"), begins(3, 1, false, "c"), begins(4, 1, false, "d"), begins(5, 1, false, "e"), cancels(1)}, "5 overloaded, 1 maybe executed, 2 not delivered, 3 not delivered, 4 not delivered"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, keeper, Limits{Calls: 4})
				p.greet()
				var got []string
				last := uint64(0)
				for _, b := range c.say {
					p.send(b)
					synctest.Wait()
					for more := true; more; {
						select {
						case f := <-p.frames:
							if f.kind == kindResponse {
								got = append(got, fmt.Sprintf("%d %s", f.id, f.body))
							} else if f.kind == kindError {
								got = append(got, fmt.Sprintf("%d %s", f.id, f.err().Code))
							}
						default:
							more = false
						}
					}
					if b[1] == byte(kindRequest) {
						last++
					}
				}
				if said := strings.Join(got, ", "); said != c.want {
					t.Errorf("%s; want %s", said, c.want)
				}
				for id := uint64(1); id <= last; id++ {
					p.send(releases(id))
				}
				synctest.Wait()
				p.l.mu.Lock()
				defer p.l.mu.Unlock()
				if l := &p.l.load; p.l.ended != nil || len(l.kept)+l.running+l.held+len(l.serving) > 0 {
					t.Errorf("%v: left are %d kept, %d running, %d bytes, %d serving", p.l.ended, len(l.kept), l.running, l.held, len(l.serving))
				}
			})
		})
	}
}

func TestAReleaseOfWhatWasNotMadeEndsTheLink(t *testing.T) {
	for words, say := range map[string][]byte{
		"not made":  releases(1),
		"cut short": raw(byte(kindRequest), 1, byte(opBegin), 0, 0, 7, 2, 0, 0, 0),
	} {
		synctest.Test(t, func(t *testing.T) {
			p := play(t, keeper, Limits{})
			p.greet()
			p.send(say)
			if why := string(p.expect(kindBye).reason); !strings.Contains(why, words) {
				t.Errorf("told %q, not %q", why, words)
			}
		})
	}
}

// under is a request that was begun.
type under struct {
	id  uint64
	err chan error
}

// puts begins a request over l.
func puts(ctx context.Context, t *testing.T, l *link, on uint64, keep bool, method string) under {
	t.Helper()
	q := request{op: opBegin, on: on, keep: keep, method: method, body: make([]byte, 10)}
	id, p, err := l.put(ctx, &q)
	if err != nil {
		t.Fatal(method, err)
	}
	u := under{id, make(chan error, 1)}
	go func() { _, err := l.await(ctx, id, p); u.err <- err }()
	return u
}

// TestAResultIsReleasedWhenNothingIsCalledOnIt has a peer that answers in any order.
func TestAResultIsReleasedWhenNothingIsCalledOnIt(t *testing.T) {
	answer := func(u under) []byte { return appendResponse(nil, u.id, &response{}) }
	for name, order := range map[string][]int{"in order": {0, 1, 2}, "the other way round": {2, 1, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, echo, Limits{})
				p.greet()
				first := puts(t.Context(), t, p.l, 0, true, "first")
				all := []under{first, puts(t.Context(), t, p.l, first.id, false, "second"), puts(t.Context(), t, p.l, first.id, false, "third")}
				for range all {
					p.expect(kindRequest)
				}
				for _, i := range order {
					if !p.l.keepsStill(first.id) {
						t.Error("released before all was answered")
					}
					p.send(answer(all[i]))
					if err := <-all[i].err; err != nil {
						t.Error(err)
					}
				}
				if f := p.expect(kindRelease); f.id != first.id {
					t.Error(f.id)
				}
				if _, _, err := p.l.put(t.Context(), &request{op: opBegin, on: first.id}); err != errKnown {
					t.Error("called after it was released:", err)
				}
			})
		})
	}
}

// TestWhatIsCutSaysWhatIsTrue cuts at each step of two calls, of which the second is of the
// first's result.
func TestWhatIsCutSaysWhatIsTrue(t *testing.T) {
	for _, ending := range []string{"canceled", "deadline", "link broken"} {
		t.Run(ending, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, echo, Limits{})
				p.greet()
				synctest.Wait()
				p.deaf <- struct{}{}
				ctx, cancel := context.WithCancel(t.Context())
				if ending == "deadline" {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
				}
				defer cancel()
				var all []under
				on := uint64(0)
				for _, name := range []string{"read", "written", "kept back", "behind it"} {
					u := puts(ctx, t, p.l, on, true, name)
					all, on = append(all, u), u.id
					time.Sleep(2 * lateness)
					synctest.Wait()
				}
				switch ending {
				case "canceled":
					cancel()
				case "link broken":
					p.conn.Close()
				}
				for i, code := range []caps.Code{caps.ErrMaybeExecuted, caps.ErrMaybeExecuted, caps.ErrNotDelivered, caps.ErrNotDelivered} {
					is(t, <-all[i].err, code)
				}
				p.l.mu.Lock()
				if n := len(p.l.asked.keeps); n > 0 && ending != "link broken" {
					t.Errorf("%d results are kept", n)
				}
				p.l.mu.Unlock()
				<-p.deaf
				if ending == "link broken" {
					return
				}
				p.send(appendHeader(nil, kindPing, 7, 0))
				released := 0
				for f := range p.frames {
					if f.kind == kindPong {
						break
					}
					if name := string(f.method); f.kind == kindRequest && name != "read" && name != "written" {
						t.Errorf("%s was not delivered, and went out", name)
					}
					if f.kind == kindRelease {
						released++
					}
				}
				if released != 2 {
					t.Errorf("%d were released, of the two that were sent", released)
				}
			})
		})
	}
}

const (
	jugSelf caps.Query[caps.Ref]       = "self" // of which one can only read
	jugPour caps.Method[int64, int64]  = "pour"
	jugBack caps.Query[caps.Ref]       = "back"
	jugTake caps.Command[caps.Ref]     = "take"
	jugBig  caps.Method[int64, []byte] = "big"
)

type jug struct {
	N    int64
	Held caps.Ref
}

var jugKind = sturdy.Define("test.example/jug",
	sturdy.Query(jugSelf, func(j *jug, t *sturdy.ReadTurn) (caps.Ref, error) {
		return t.Self().Attenuate(caps.Read | caps.Shallow), nil
	}),
	sturdy.Query(jugBack, func(j *jug, _ *sturdy.ReadTurn) (caps.Ref, error) { return j.Held, nil }),
	sturdy.Command(jugTake, func(j *jug, _ *sturdy.WriteTurn, r caps.Ref) error { j.Held = r; return nil }),
	sturdy.Method(jugBig, func(_ *jug, _ *sturdy.ReadTurn, n int64) ([]byte, error) { return make([]byte, n), nil }),
	sturdy.Method(jugPour, func(j *jug, _ *sturdy.WriteTurn, n int64) (int64, error) { j.N += n; return j.N, nil }))

// newJug is a victim whose cup is a jug.
func newJug(t *testing.T) *victim {
	v := &victim{t: t}
	var err error
	v.rt, err = sturdy.Options{Kinds: []sturdy.Kind{jugKind}, Log: quiet()}.Open()
	v.must(err)
	v.node, err = Attach(v.rt, Options{Listen: "127.0.0.1:0"})
	v.must(err)
	t.Cleanup(func() { v.must(errors.Join(v.node.Close(), v.rt.Close())) })
	v.cup, err = v.rt.Root().Ensure(context.Background(), "jug", func(t *sturdy.WriteTurn) caps.Ref { return jugKind.New(t, jug{}) })
	v.must(err)
	return v
}

// TestAKeptResultIsWorthWhatItIs has a stranger who claims more of a result than it carries.
func TestAKeptResultIsWorthWhatItIs(t *testing.T) {
	v := newJug(t)
	s := intrude(v, 7, takes)
	home := homeOf(allRights, s.opens(v.save()))
	ctx := within(t)
	begin := func(q request) (uint64, func() (response, error)) {
		q.op = opBegin
		id, p, err := s.l.put(ctx, &q)
		if err != nil {
			return 0, func() (response, error) { return response{}, err }
		}
		return id, func() (response, error) { return s.l.await(ctx, id, p) }
	}
	for has := 0; has < 256; {
		id, self := begin(request{target: home, method: "self", keep: true})
		_, pour := begin(request{on: id, has: uint8(has), target: home, method: "pour", body: []byte{1}}) // its own target is none
		_, look := begin(request{on: id, has: uint8(has), method: "self"})
		if _, err := self(); err != nil {
			t.Error(err)
		}
		_, poured := pour()
		_, looked := look()
		if poured == errKnown || looked == errKnown { // the result was here first
			continue
		}
		if !errors.Is(poured, caps.ErrNoRight) || (looked == nil) != (has&1 == 1) {
			t.Fatalf("with %d: %v, %v", has, poured, looked)
		}
		has++
	}
	// What is no Ref keeps nothing of the megabyte that it is.
	id, big := begin(request{target: home, method: "big", body: []byte{0xd2, 0, 16, 0, 0}, keep: true})
	_, of := begin(request{on: id, has: allRights, method: "self"})
	if _, err := of(); err != errKnown && !errors.Is(err, caps.ErrNoMethod) {
		t.Error(err)
	}
	if r, err := big(); err != nil || len(r.body) < 1<<20 {
		t.Error(len(r.body), err)
	}
	k := &kept{l: s.l, done: make(chan struct{})}
	k.settle(caps.Reply{Body: make([]byte, 1<<20)}, nil)
	if k.reply.Body != nil || !k.known {
		t.Error("what cannot be called is kept")
	}
	if n, err := jugPour.Call(ctx, v.cup, 0); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// TestAHostThatLiesAboutResultsFoolsNobody answers calls with what is none of its business.
func TestAHostThatLiesAboutResultsFoolsNobody(t *testing.T) {
	v := newJug(t)
	release := make(chan struct{})
	s := intrude(v, 7, func(q request) (response, error) {
		switch q.method {
		case "self": // a Ref of the victim's own that it never gave away
			q.is.settle(caps.Reply{}, nil)
			q.is.l.mu.Lock()
			q.is.advance() // before it is answered
			<-release
			return response{body: []byte{0xc7, 0, 1}, slots: [][]byte{homeOf(allRights, []byte("forged"))}}, nil
		case "back":
			return response{}, &caps.Error{Code: caps.ErrNotDelivered, Text: "nothing there"}
		}
		return response{body: []byte{7}}, nil
	})
	ctx := within(t)
	s.opens(v.save()) // it is known to be there
	far := s.far(5)
	self := jugSelf.Begin(ctx, far)
	sum := jugPour.Begin(ctx, self.Ref(), 1)
	if n, err := sum.Await(ctx); n != 7 || err != nil {
		t.Error("answered before what it is called on:", n, err)
	}
	close(release)
	if _, err := self.Await(ctx); !errors.Is(err, caps.ErrBadResult) {
		t.Error("a forged result:", err)
	}
	if _, err := jugPour.Begin(ctx, self.Ref(), 1).Await(ctx); !errors.Is(err, caps.ErrNotDelivered) || !errors.Is(err, caps.ErrBadResult) {
		t.Error("called on it:", err)
	}
	back := jugBack.Begin(ctx, far)
	if _, err := jugPour.Begin(ctx, back.Ref(), 1).Await(ctx); err != nil && !errors.Is(err, caps.ErrNotDelivered) {
		t.Error(err)
	}
	if n, err := jugPour.Call(ctx, v.cup, 0); n != 0 || err != nil {
		t.Error(n, err)
	}
}
