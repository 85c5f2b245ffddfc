package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// quiet is a log that nobody reads.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// pair is two links that talk to each other over a pipe without buffers; both are closed
// when the test ends.
func pair(t *testing.T, near, far handler, lim Limits) (a, z *link) {
	t.Helper()
	one, two := net.Pipe()
	a, z = newLink(one, "z", near, lim, quiet()), newLink(two, "a", far, lim, quiet())
	t.Cleanup(func() {
		a.close(nil)
		<-a.done()
		<-z.done()
	})
	return a, z
}

func call(t *testing.T, l *link, method string, body string) string {
	t.Helper()
	r, err := l.call(t.Context(), request{op: opCall, method: method, body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return string(r.body)
}

// is fails unless err is an *Error with that code and each of the words in its text.
func is(t *testing.T, err error, code caps.Code, words ...string) {
	t.Helper()
	var e *caps.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v (%T), want %q", err, err, code)
	}
	for _, w := range words {
		if !strings.Contains(e.Text, w) {
			t.Errorf("%q does not say %q", e.Text, w)
		}
	}
}

func TestEitherSideAsksTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		say := func(who string) handler {
			return func(_ context.Context, l *link, q request) (response, error) {
				return response{body: fmt.Appendf(nil, "%s told %s %s", who, l.peer(), q.body), slots: q.slots}, nil
			}
		}
		a, z := pair(t, say("a"), say("z"), Limits{})
		if got := call(t, a, "m", "x"); got != "z told a x" {
			t.Error(got)
		}
		if got := call(t, z, "m", "y"); got != "a told z y" {
			t.Error(got)
		}
		slots := [][]byte{[]byte("one"), {}, []byte("two")}
		r, err := a.call(t.Context(), request{op: opCall, slots: slots})
		if err != nil || !slices.EqualFunc(r.slots, slots, bytes.Equal) {
			t.Error(r, err)
		}
	})
}

// TestAHandlerMayCallBack has each side's handler ask the other, to a depth.
func TestAHandlerMayCallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down handler = func(ctx context.Context, l *link, q request) (response, error) {
			if len(q.body) == 0 {
				return response{body: []byte("bottom")}, nil
			}
			return l.call(ctx, request{op: opCall, body: q.body[1:]})
		}
		a, _ := pair(t, down, down, Limits{})
		if got := call(t, a, "m", strings.Repeat("x", 50)); got != "bottom" {
			t.Error(got)
		}
	})
}

func TestManyCallersGetTheirOwnAnswers(t *testing.T) {
	for _, road := range []string{"tcp", "tls", "unix"} {
		t.Run(road, func(t *testing.T) {
			before := runtime.NumGoroutine()
			near, far := ends(t, road)
			a, z := newLink(near, "z", echo, Limits{}, quiet()), newLink(far, "a", echo, Limits{}, quiet())
			var all sync.WaitGroup
			for i := range 64 {
				all.Go(func() {
					l := []*link{a, z}[i%2]
					for j := range 30 {
						body := bytes.Repeat([]byte{byte(i), byte(j)}, 1+j*j*i)
						r, err := l.call(context.Background(), request{op: opCall, body: body, slots: [][]byte{{byte(i)}}})
						if err != nil || !bytes.Equal(r.body, body) || !bytes.Equal(r.slots[0], []byte{byte(i)}) {
							t.Errorf("caller %d, call %d: %d bytes for %d, %v", i, j, len(r.body), len(body), err)
							return
						}
					}
				})
			}
			all.Wait()
			a.close(errors.New("enough"))
			<-a.done()
			<-z.done()
			if err := z.err(); err == nil || !strings.Contains(err.Error(), "enough") {
				t.Errorf("the other side was told %v", err)
			}
			settle(t, before)
		})
	}
}

// settle waits until there are no more goroutines than there were.
func settle(t *testing.T, before int) {
	t.Helper()
	for late := time.Now().Add(10 * time.Second); time.Now().Before(late); runtime.Gosched() {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	t.Errorf("%d goroutines, and %d before", runtime.NumGoroutine(), before)
}

func TestErrorsKeepTheirIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const own caps.Code = "too poor"
		long := strings.Repeat("ä", 10_000)
		table := map[string]error{
			"error":   &caps.Error{Op: "o", Object: "obj 1", Code: own, Text: "text", Cause: caps.ErrRevoked},
			"code":    own,
			"wrapped": fmt.Errorf("around: %w", own),
			"plain":   errors.New("plain"),
			"late":    context.DeadlineExceeded,
			"long":    &caps.Error{Op: long, Object: long, Code: caps.ErrGone, Text: long},
			"steers":  errors.New("red \x1b[31m"),
		}
		a, _ := pair(t, echo, func(_ context.Context, _ *link, q request) (response, error) {
			if q.method == "panic" {
				panic("secret")
			}
			if q.method == "exit" {
				runtime.Goexit()
			}
			return response{}, table[q.method]
		}, Limits{})
		told := func(method string) error {
			_, err := a.call(t.Context(), request{op: opCall, method: method})
			return err
		}
		e := told("error").(*caps.Error)
		if *e != *table["error"].(*caps.Error) {
			t.Errorf("%+v", e)
		}
		is(t, told("code"), own)
		is(t, told("wrapped"), own, "around")
		is(t, told("plain"), caps.ErrFailed, "plain")
		if err := told("late"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if e := told("long").(*caps.Error); len(e.Text) > maxText || len(e.Op) > maxName || strings.Trim(e.Text, "ä") != "" {
			t.Errorf("%d bytes of text, %d of op", len(e.Text), len(e.Op))
		}
		if text := told("steers").Error(); strings.Contains(text, "\x1b") {
			t.Errorf("%q", text)
		}
		for _, method := range []string{"panic", "exit"} {
			err := told(method)
			is(t, err, caps.ErrPanicked)
			if strings.Contains(err.Error(), "secret") {
				t.Error(err)
			}
		}
	})
}

// TestASendDoesNotWaitForTheOneBefore has a batch of letters handled while another is, and one
// whose handler ends its goroutine harms nobody.
func TestASendDoesNotWaitForTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		a, _ := pair(t, echo, func(_ context.Context, _ *link, q request) (response, error) {
			switch q.method {
			case "0":
				<-release
			case "1":
				runtime.Goexit()
			}
			return response{}, nil
		}, Limits{})
		var first sync.WaitGroup
		first.Go(func() { _, _ = a.call(t.Context(), request{op: opSend, method: "0"}) })
		synctest.Wait()
		_, err := a.call(t.Context(), request{op: opSend, method: "1"})
		if err == nil {
			t.Error("no error")
		}
		_, err = a.call(t.Context(), request{op: opSend, method: "2"})
		if err != nil {
			t.Error(err)
		}
		close(release)
		first.Wait()
	})
}

func TestCancelAndDeadlineReachTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why, release := make(chan error, 1), make(chan struct{})
		defer close(release)
		a, _ := pair(t, echo, func(ctx context.Context, _ *link, q request) (response, error) {
			if q.method == "deaf" {
				<-release
				return response{}, nil
			}
			if due, ok := ctx.Deadline(); ok != (q.method == "due") || ok && time.Until(due) > time.Second {
				t.Error(due, ok)
			}
			inner, stop := context.WithCancel(ctx)
			defer stop()
			<-inner.Done()
			why <- ctx.Err()
			return response{}, ctx.Err()
		}, Limits{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		_, err := a.call(ctx, request{op: opCall})
		is(t, err, caps.ErrMaybeExecuted, "canceled", "repeated")
		if err := <-why; err != context.Canceled {
			t.Error(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = a.call(ctx, request{op: opCall, method: "due"})
		if !errors.Is(err, context.DeadlineExceeded) { // of this side, or of the handler, which is as fast
			t.Error(err)
		}
		if err := <-why; err == nil {
			t.Error("the handler's context did not end")
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err = a.call(ctx, request{op: opDescribe, method: "deaf"})
		if is(t, err, caps.ErrNotDelivered, "changes nothing"); time.Since(began) > time.Second {
			t.Error("call waited for a handler that heeds no context")
		}
		synctest.Wait()
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.asked.canceled) != 0 {
			t.Errorf("%d canceled requests are still kept", len(a.asked.canceled))
		}
	})
}

// TestADeadlineEndsTheHandlerByItself has a peer that never cancels.
func TestADeadlineEndsTheHandlerByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, func(ctx context.Context, _ *link, q request) (response, error) {
			if q.method == "wait" {
				<-ctx.Done()
			} else {
				time.Sleep(2 * time.Second)
			}
			return response{}, ctx.Err()
		}, Limits{})
		p.greet()
		for id, method := range []string{"wait", "look"} {
			p.send(appendRequest(nil, uint64(id+1), &request{op: opCall, method: method}, 1000))
			f := p.expect(kindError)
			if e := f.err(); !errors.Is(e, context.DeadlineExceeded) {
				t.Error(method, e)
			}
		}
	})
}

// TestWhatNeverLeftIsNotDelivered has a peer that greets and then stops reading: one call
// has come through, one is on its way, others wait behind it, and the last finds no room.
func TestWhatNeverLeftIsNotDelivered(t *testing.T) {
	for _, ending := range []string{"canceled", "link broken"} {
		t.Run(ending, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, echo, Limits{BytesInFlight: leastMessage, MessageBytes: leastMessage})
				p.greet()
				synctest.Wait()
				p.deaf <- struct{}{}
				ctx, cancel := context.WithCancel(t.Context())
				errs := map[string]chan error{}
				for _, name := range []string{"read", "written", "second", "describe", "third"} {
					q := request{op: opCall, method: name, body: make([]byte, 10)}
					if name == "third" {
						q.body = make([]byte, leastMessage)
					}
					if name == "describe" {
						q.op = opDescribe
					}
					errs[name] = make(chan error, 1)
					go func() { _, err := p.l.call(ctx, q); errs[name] <- err }()
					synctest.Wait()
				}
				if ending == "canceled" {
					cancel()
				} else {
					p.conn.Close()
				}
				is(t, <-errs["read"], caps.ErrMaybeExecuted)
				is(t, <-errs["written"], caps.ErrMaybeExecuted)
				is(t, <-errs["second"], caps.ErrNotDelivered, "Nothing happened")
				is(t, <-errs["describe"], caps.ErrNotDelivered)
				if err := <-errs["third"]; ending == "canceled" {
					is(t, err, caps.ErrOverloaded, "not delivered")
				} else {
					is(t, err, caps.ErrNotDelivered)
				}
				cancel()
				<-p.deaf
				if ending == "canceled" {
					p.send(appendHeader(nil, kindPing, 7, 0))
					for f := range p.frames {
						if f.kind == kindPong {
							break
						}
						if name := string(f.method); f.kind == kindRequest && name != "read" && name != "written" {
							t.Errorf("%s was not delivered, and went out", f.method)
						}
					}
				}
			})
		})
	}
}

func TestABrokenLinkFailsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		a, z := pair(t, echo, func(ctx context.Context, _ *link, q request) (response, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return response{}, nil
		}, Limits{})
		errs := make(chan error, 2)
		go func() { _, err := a.call(t.Context(), request{op: opCall}); errs <- err }()
		synctest.Wait()
		z.close(errors.New("time to go"))
		is(t, <-errs, caps.ErrMaybeExecuted, "time to go")
		<-ended
		<-a.done()
		_, err := a.call(t.Context(), request{op: opCall})
		is(t, err, caps.ErrNotDelivered, "time to go")
		if a.err() == nil || z.err() == nil {
			t.Error("an ended link has no reason")
		}
	})
}

func TestTooMuchAtOnceIsRefusedAndNotQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var most, now int
		var mu sync.Mutex
		a, _ := pair(t, echo, func(_ context.Context, _ *link, q request) (response, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-release
			mu.Lock()
			now--
			mu.Unlock()
			return response{}, nil
		}, Limits{Calls: 10})
		errs := make(chan error, 30)
		for range 30 {
			go func() { _, err := a.call(t.Context(), request{op: opCall}); errs <- err }()
		}
		for range 20 {
			is(t, <-errs, caps.ErrOverloaded, "later")
		}
		synctest.Wait() // the others may not have begun
		close(release)
		for range 10 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if most != 10 {
			t.Errorf("%d at once", most)
		}
	})
}

// TestWhoKeepsToTheLimitIsNeverRefused has exactly as many callers as may be served.
func TestWhoKeepsToTheLimitIsNeverRefused(t *testing.T) {
	near, far := ends(t, "tcp")
	a, z := newLink(near, "z", echo, Limits{}, quiet()), newLink(far, "a", echo, Limits{Calls: 8}, quiet())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				if _, err := a.call(t.Context(), request{op: opCall}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	a.close(nil)
	<-a.done()
	<-z.done()
}

func TestWhatThePeerDoesNotTakeIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := net.Pipe()
		big := response{body: make([]byte, leastMessage)}
		a := newLink(one, "z", echo, Limits{}, quiet())
		z := newLink(two, "a", func(context.Context, *link, request) (response, error) { return big, nil }, Limits{MessageBytes: leastMessage, Slots: 3}, quiet())
		for _, q := range []request{
			{op: opCall, body: make([]byte, leastMessage)},
			{op: opCall, slots: make([][]byte, 4)},
			{op: opCall, slots: [][]byte{make([]byte, maxToken+1)}},
			{op: opCall, target: make([]byte, maxToken+1)},
			{op: opCall, method: strings.Repeat("m", maxMethod+1)},
		} {
			_, err := a.call(t.Context(), q)
			is(t, err, caps.ErrNotDelivered)
		}
		if _, err := a.call(t.Context(), request{op: opCall}); err != nil {
			t.Error("after that:", err)
		}
		big.body = make([]byte, 5<<20)
		_, err := a.call(t.Context(), request{op: opCall})
		is(t, err, caps.ErrBadResult, "it happened")
		z.close(nil)
		<-a.done()
		<-z.done()
	})
}

func TestASilentPeerIsAskedAndThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t, echo, echo, Limits{Idle: time.Minute})
		time.Sleep(24 * time.Hour)
		if err := a.err(); err != nil {
			t.Fatal("two hosts with nothing to say: ", err)
		}
		p := play(t, echo, Limits{Idle: time.Minute})
		p.greet()
		began := time.Now()
		p.expect(kindPing)
		if d := time.Since(began); d != 30*time.Second {
			t.Error("asked after", d)
		}
		if why := string(p.expect(kindBye).reason); !strings.Contains(why, "silent") || time.Since(began) != time.Minute {
			t.Error(why, time.Since(began))
		}
	})
}

// TestAPeerThatDoesNotReadIsGivenUp has one that sends all the while.
func TestAPeerThatDoesNotReadIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, echo, Limits{Idle: time.Minute})
		p.greet()
		synctest.Wait()
		p.deaf <- struct{}{}
		began := time.Now()
		go func() {
			for p.l.err() == nil {
				_, _ = p.conn.Write(appendHeader(nil, kindPing, 1, 0)) // fails at the end
				time.Sleep(time.Second)
			}
		}()
		<-p.l.done()
		if d := time.Since(began); d < time.Minute || d > time.Minute+5*time.Second {
			t.Error("given up after", d, p.l.err())
		}
		<-p.deaf
	})
}

// TestNothingIsAllocatedBesideTheMessage holds the hot path to three allocations on each side.
func TestNothingIsAllocatedBesideTheMessage(t *testing.T) {
	near, far := ends(t, "unix")
	a, z := newLink(near, "z", echo, Limits{}, quiet()), newLink(far, "a", echo, Limits{}, quiet())
	q := request{op: opCall, target: make([]byte, 24), method: "m", body: make([]byte, 100)}
	if n := testing.AllocsPerRun(500, func() {
		if _, err := a.call(context.Background(), q); err != nil {
			t.Error(err)
		}
	}); n > 6 {
		t.Errorf("%v allocations", n)
	}
	a.close(nil)
	<-a.done()
	<-z.done()
}

// puppet is a peer that does what the test says: l is the link that has to bear it.
type puppet struct {
	t      *testing.T
	l      *link
	conn   net.Conn
	frames chan frame    // what l sent, until it closed
	deaf   chan struct{} // while it is full, nothing is read
}

// play makes a link to a puppet over a pipe. Both end with the test.
func play(t *testing.T, serve handler, lim Limits) *puppet {
	t.Helper()
	one, two := net.Pipe()
	return perform(t, newLink(one, "puppet", serve, lim, quiet()), two)
}

func perform(t *testing.T, l *link, conn net.Conn) *puppet {
	p := &puppet{t: t, l: l, conn: conn, frames: make(chan frame, 10_000), deaf: make(chan struct{}, 1)}
	ended := make(chan struct{})
	go func() { defer close(ended); p.listen() }()
	t.Cleanup(func() {
		conn.Close()
		<-l.done()
		for range p.frames { // nobody else reads them any more
		}
		<-ended
	})
	return p
}

func (p *puppet) listen() {
	defer close(p.frames)
	lim := Limits{}.withDefaults()
	r := frameReader{from: p.conn, most: lim.MessageBytes, buf: make([]byte, readBuffer)}
	if err := readPreface(&r, preface); err != nil {
		return
	}
	for {
		p.deaf <- struct{}{}
		<-p.deaf
		b, _, err := r.next()
		if err != nil {
			return
		}
		var f frame
		if err := f.parse(bytes.Clone(b), &lim); err != nil {
			p.t.Errorf("the link sent %x: %v", b, err)
			return
		}
		p.frames <- f
	}
}

// send writes bytes; a link that has enough does not take them.
func (p *puppet) send(b []byte) { _, _ = p.conn.Write(b) }

func (p *puppet) greet() {
	lim := Limits{}.withDefaults()
	p.send(appendHello([]byte(preface), &lim))
}

// expect waits for a frame of a kind, past all others.
func (p *puppet) expect(k kind) frame {
	p.t.Helper()
	for f := range p.frames {
		if f.kind == k {
			return f
		}
	}
	p.t.Fatalf("closed without a frame of kind %d: %v", k, p.l.err())
	return frame{}
}

// raw is a frame made of whatever stands in it.
func raw(payload ...byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(payload))), payload...)
}
