package sturdy

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// memo is what is recorded of a step.
type memo struct {
	State stepState
	At    int64 // when it came to State, in nanoseconds since 1970
	Tries int64
	Until int64  // when a wait is over; 0: it is not, by itself
	Body  []byte // of the result
	Slots []caps.Ref
	Err   *caps.Error
	// Promise is what an Ask waits for.
	Promise caps.Ref
}

type stepState string

const (
	stepBegun   stepState = "begun"
	stepWaits   stepState = "waits"
	stepDone    stepState = "done"
	stepFailed  stepState = "failed"
	stepDropped stepState = "" // as if it had never been
)

// over reports whether the step is not done again.
func (m memo) over() bool { return m.State == stepDone || m.State == stepFailed }

// recall reads what the thread has done.
func (s *strand) recall(t *ReadTurn) error {
	clear(s.memos)
	clear(s.rounds)
	et := elemTypeOf[memo](s.rt)
	t.scan(s.h, "l", "t", func(elem string, rec objstore.Record) bool {
		if elem[0] == 's' {
			s.memos[elem[1:]] = decodeElement[memo](s.rt, et, rec, caps.Full())
		} else {
			s.rounds[elem[1:]] = bigEndian(string(rec.Body))
		}
		return true
	})
	return nil
}

// record writes what came of a step. Only when the turn has committed is it also in memos.
func (t *WriteTurn) record(s *strand, path string, m memo) {
	rt := t.r.vat.rt
	m.At = t.Now().UnixNano()
	t.change(&element{
		key: objstore.ElementKey(s.h.oid, "s"+path), kind: rt.bound(rt.threads.def).no,
		rec: encodeElement(t, elemTypeOf[memo](rt), m, caps.Full()),
	})
}

// begin is how every step begins: its path, and what is recorded of it. The n-th use of a
// name in one scope is a step of its own.
func (s *strand) begin(name string) (path string, m memo) {
	if s.leaving {
		s.leave()
	}
	path = s.scope + escapeStep(name)
	s.used[path]++
	if n := s.used[path]; n > 1 {
		path += "#" + strconv.Itoa(n)
	}
	s.follow(path)
	return path, s.memos[path]
}

// follow keeps the trail.
func (s *strand) follow(path string) {
	switch s.memos[path].State {
	case stepDone:
		s.trail = s.trail[:0]
	case stepFailed:
		if len(s.trail) < maxTrail {
			s.trail = append(s.trail, path)
		}
	}
}

// maxTrail is how many steps that failed are tried again when a thread is resumed.
const maxTrail = 100

// failedUndoing reports whether a step failed after the last that did not, for another reason
// than that the thread was canceled.
func (s *strand) failedUndoing() bool {
	return slices.ContainsFunc(s.trail, func(path string) bool { return !errors.Is(s.memos[path].failure(), ErrCanceled) })
}

// escapeStep keeps names apart from the signs that paths are made with.
func escapeStep(name string) string {
	if !strings.ContainsAny(name, "%/#") {
		return name
	}
	return strings.NewReplacer("%", "%25", "/", "%2f", "#", "%23").Replace(name)
}

// attempt is one turn of a step that is not over: fn, unless the thread is to be canceled;
// then the step fails with that, once.
func (s *strand) attempt(path string, fn func(t *WriteTurn, m memo) (memo, error)) (m memo, err error) {
	err = s.update(path, func(t *WriteTurn, was *thread) (err error) {
		m = s.memos[path]
		if was.Cancel != "" && !was.Noticed {
			st, err := t.threadAt(s.h)
			if err != nil {
				return err
			}
			st.Noticed = true
			s.resumed(t, m)
			m = memo{State: stepFailed, Tries: m.Tries, Err: &caps.Error{Op: s.op, Object: s.h.name(), Code: ErrCanceled, Text: "canceled: " + st.Cancel}}
			t.record(s, path, m)
			return nil
		}
		if m, err = fn(t, m); err == nil && m.State != stepDropped {
			t.record(s, path, m)
		}
		return err
	})
	if err == nil && m.State != stepDropped {
		s.memos[path] = m
		s.follow(path)
		if m.Err != nil && m.Err.Code == ErrCanceled {
			s.noticed()
		}
	}
	return m, err
}

// failed records that a step came to err.
func (s *strand) failed(path string, failure error) error {
	e := plain(failure)
	if e.Op == "" {
		e.Op, e.Object = s.op, s.h.name()
	}
	m, err := s.attempt(path, func(t *WriteTurn, m memo) (memo, error) {
		s.resumed(t, m)
		return memo{State: stepFailed, Tries: m.Tries, Err: e}, nil
	})
	if err != nil {
		return err
	}
	return m.Err
}

// turn is a step that is a turn.
func (s *strand) turn(name string, fn func(*WriteTurn) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	path, m := s.begin(name)
	if m.over() {
		return m.failure()
	}
	var failure error
	m, err := s.attempt(path, func(t *WriteTurn, m memo) (memo, error) {
		defer s.keepStack()
		defer s.within()()
		if failure = fn(t); failure != nil {
			return m, errStep
		}
		return memo{State: stepDone, Tries: m.Tries + 1}, nil
	})
	switch {
	case errors.Is(err, errStep):
		return s.failed(path, failure)
	case err != nil:
		return s.failed(path, err)
	}
	return m.failure()
}

// failure is the error that a step came to. It is an untyped nil if it did not fail.
func (m memo) failure() error {
	switch {
	case m.State != stepFailed:
		return nil
	case m.Err == nil:
		return &caps.Error{Code: caps.ErrDamaged, Text: "damaged: the step failed, and it is not recorded why"}
	}
	return m.Err
}

// Step is the step name, done outside of turns: a request to another service, a file. fn runs
// until it has returned once and that is recorded, so a crash may run it twice; Key(ctx) is
// the same each time, for the other side to know it by. Its error is recorded like a result:
// to try again, wait and use another step. What the thread did before is on disk when fn
// runs. When the host closes or the thread is canceled, ctx ends.
func Step[S, R any](th *Thread[S], name string, fn func(ctx context.Context) (R, error)) (R, error) {
	var r R
	codec, err := caps.CodecFor(reflect.TypeFor[R]())
	if err != nil {
		return r, err
	}
	reply, err := th.s.step(name, func(ctx context.Context) (caps.Reply, error) {
		r, err := fn(ctx)
		if err != nil {
			return caps.Reply{}, err
		}
		p := unsafe.Pointer(&r)
		if _, err := codec.Seal(p); err != nil {
			return caps.Reply{}, err
		}
		body, slots := codec.Append(nil, nil, p)
		return caps.Reply{Body: body, Slots: slots}, nil
	})
	if err == nil {
		err = codec.Load(unsafe.Pointer(&r), reply.Body, reply.Slots)
	}
	return r, err
}

// step is Step without types.
func (s *strand) step(name string, fn func(context.Context) (caps.Reply, error)) (reply caps.Reply, err error) {
	if err := s.usable(); err != nil {
		return reply, err
	}
	path, m := s.begin(name)
	if m.over() {
		return caps.Reply{Body: m.Body, Slots: m.Slots}, m.failure()
	}
	m, err = s.attempt(path, func(_ *WriteTurn, m memo) (memo, error) {
		return memo{State: stepBegun, Tries: m.Tries + 1}, nil
	})
	if err == nil {
		err = m.failure()
	}
	if err != nil {
		return reply, err
	}
	s.settle()
	s.empty.Store(nil)
	reply, err = s.outsideTurns(path, fn)
	for e := s.empty.Load(); e != nil && errors.Is(err, ErrMeter); {
		s.broke(e) // it ends the goroutine, unless there is enough again
		s.empty.Store(nil)
		reply, err = s.outsideTurns(path, fn)
		e = s.empty.Load()
	}
	s.acted = true
	defer func() { s.acted = false }()
	if err != nil {
		return reply, s.failed(path, err)
	}
	m, err = s.attempt(path, func(_ *WriteTurn, m memo) (memo, error) {
		return memo{State: stepDone, Tries: m.Tries, Body: reply.Body, Slots: reply.Slots}, nil
	})
	if err != nil {
		return caps.Reply{}, s.failed(path, err)
	}
	return reply, m.failure()
}

// settle waits until what the thread has done is on disk. If it was lost, the thread must not
// act on it, and begins anew.
func (s *strand) settle() {
	v := s.rt.vat
	v.w.lockInternal()
	g := v.pending()
	v.w.unlock()
	if g != nil {
		v.wake(v.kick)
	}
	if err := g.wait(context.Background()); err != nil || s.epoch != s.rt.strands.epoch.Load() {
		s.leave()
	}
}

// outsideTurns runs fn with a context that ends when the thread must.
func (s *strand) outsideTurns(path string, fn func(context.Context) (caps.Reply, error)) (caps.Reply, error) {
	key := fmt.Sprintf("%s/%x/%s", s.rt.worldID, s.h.oid.N, path)
	ctx, cancel := context.WithCancel(stepContext{context.Background(), key, s})
	defer cancel()
	m := &s.rt.strands
	m.mu.Lock()
	closing := m.closing
	s.cancel, s.outside = cancel, !closing
	if s.doomed {
		cancel()
	}
	m.mu.Unlock()
	if closing {
		s.leave()
	}
	defer func() {
		m.mu.Lock()
		s.cancel, s.outside = nil, false
		closing := m.closing
		m.mu.Unlock()
		if closing {
			s.leave()
		}
	}()
	return fn(ctx)
}

// stepContext is the context of a Step.
type stepContext struct {
	context.Context
	key string
	of  *strand
}

// stepKey finds the key of a step in its context.
type stepKey struct{}

// Value finds the key of the step, and its thread.
func (c stepContext) Value(key any) any {
	switch key.(type) {
	case stepKey:
		return c.key
	case mayKey:
		return c.of
	}
	return c.Context.Value(key)
}

// Key is the idempotency key of the step that ctx belongs to: the same for each attempt, and
// no other step's, in this world or another. Empty outside of steps.
func Key(ctx context.Context) string {
	key, _ := ctx.Value(stepKey{}).(string)
	return key
}
