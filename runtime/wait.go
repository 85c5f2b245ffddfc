package sturdy

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"reflect"
	goruntime "runtime"
	"strings"
	"time"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
)

// Receive is a step: the next message m that was sent to the thread. It is taken in the commit
// that records it, so none is lost and none is seen twice, and its promise is kept then. within
// 0 waits for ever, otherwise ErrTimeout comes when that time has passed since the first call.
func Receive[S, A any](th *Thread[S], name string, m caps.Command[A], within time.Duration) (A, error) {
	var a A
	codec, err := caps.CodecFor(reflect.TypeFor[A]())
	if err != nil {
		return a, err
	}
	if within < 0 {
		within = 0 // it is over: what is there already may be taken
	} else if within == 0 {
		within = forEver
	}
	reply, err := th.s.wait(name, want{
		what: "message " + m.Name(), method: m.Name(), within: within,
		fits: func(body []byte, slots []caps.Ref) error {
			var a A
			return codec.Decode(unsafe.Pointer(&a), body, slots)
		},
	})
	if err == nil {
		err = codec.Decode(unsafe.Pointer(&a), reply.Body, reply.Slots)
	}
	return a, err
}

// Sleep is a step that takes d, counted from its first call, through restarts.
func (th *Thread[S]) Sleep(name string, d time.Duration) error {
	_, err := th.s.wait(name, want{what: "time", within: max(d, 0)})
	return err
}

const forEver = time.Duration(math.MaxInt64)

// want is what a thread waits for.
type want struct {
	what   string
	method string        // of a message that the thread receives
	ask    *caps.Message // whose answer it waits for; neither: it waits for time only
	within time.Duration
	fits   func(body []byte, slots []caps.Ref) error
}

// wait is a step that is over when what is wanted has come.
func (s *strand) wait(name string, w want) (caps.Reply, error) {
	if err := s.usable(); err != nil {
		return caps.Reply{}, err
	}
	path, m := s.begin(name)
	if !m.over() && s.rt.threads.def.method(w.method) != nil {
		return caps.Reply{}, s.failed(path, &caps.Error{Code: caps.ErrBadArgument, Text: w.method + " is a method of threads, so no message of that name is ever received"})
	}
	for !m.over() {
		var err error
		if m, err = s.attempt(path, func(t *WriteTurn, m memo) (memo, error) { return s.look(t, path, m, w) }); err != nil {
			return caps.Reply{}, s.failed(path, err)
		}
		if !m.over() {
			if w.ask != nil {
				s.warnOfRing()
			}
			s.sleep()
			s.metered = s.rt.clock() // that it waited costs nothing
		}
	}
	return caps.Reply{Body: m.Body, Slots: m.Slots}, m.failure()
}

// look is one look at whether what is wanted is there. If it is not, the thread waits from
// here on.
func (s *strand) look(t *WriteTurn, path string, m memo, w want) (memo, error) {
	if w.method != "" {
		reply, ok, err := t.take(s.h, w)
		if err != nil {
			return m, err
		}
		if ok {
			s.resumed(t, m)
			return memo{State: stepDone, Tries: 1, Body: reply.Body, Slots: reply.Slots}, nil
		}
	}
	if m.State == stepWaits && w.ask != nil {
		o, ok, err := t.answered(m.Promise)
		if err != nil {
			return m, err
		}
		if ok {
			s.resumed(t, m)
			if o.err != nil {
				return memo{State: stepFailed, Tries: 1, Err: plain(o.err)}, nil
			}
			return memo{State: stepDone, Tries: 1, Body: o.reply.Body, Slots: o.reply.Slots}, nil
		}
	}
	now := t.Now().UnixNano()
	if m.State != stepWaits {
		m = memo{State: stepWaits, Tries: 1}
		if w.ask != nil {
			var err error
			if m.Promise, err = t.ask(s, *w.ask); err != nil {
				return m, err
			}
		}
		if now < math.MaxInt64-int64(w.within) {
			m.Until = now + int64(w.within)
		}
	}
	if m.Until > 0 && now >= m.Until {
		s.resumed(t, m)
		if w.method == "" && w.ask == nil {
			return memo{State: stepDone, Tries: 1}, nil
		}
		return memo{State: stepFailed, Tries: 1, Err: &caps.Error{
			Op: s.op, Object: s.h.name(), Code: ErrTimeout, Text: fmt.Sprintf("no %s came within %s", w.what, w.within),
		}}, nil
	}
	if m.Until > 0 {
		t.setWake(s.h, m.Until) // again: the clock may have been set back since it went off
	}
	st, err := t.threadAt(s.h)
	if err != nil {
		return m, err
	}
	if st.State != ThreadWaiting || st.Step != path {
		st.set(ThreadWaiting, t.Now())
		st.Step, st.Waits, st.For, st.Place = path, w.what, w.method, callerOutside()
		if w.ask != nil {
			st.On = w.ask.To
		}
	}
	t.runnable(s.h.oid.N, false)
	return m, nil
}

// warnOfRing logs that the thread waits for itself in the end.
func (s *strand) warnOfRing() {
	_ = s.view(func(t *ReadTurn) error {
		if ring := t.ring(s.h); ring != nil {
			s.rt.log.Warn("threads wait for each other, and none of them will go on; cancel one, or make one answer before it asks",
				"threads", len(ring), "ring", strings.Join(ring, " -> "))
		}
		return nil
	})
}

// resumed ends a wait: the alarm goes, and the thread can run.
func (s *strand) resumed(t *WriteTurn, m memo) {
	if m.State != stepWaits {
		return
	}
	if m.Until > 0 {
		t.dropAlarm(m.Until, s.h.oid.N)
	}
	if st, err := t.threadAt(s.h); err == nil {
		st.set(ThreadRunning, t.Now())
	}
	t.runnable(s.h.oid.N, true)
}

// setWake sets an alarm without a method, which lets the thread h run again. It waits for one
// thing at a time, so its number is that of the thread.
func (t *WriteTurn) setWake(h *handle, due int64) {
	rt := t.r.vat.rt
	l := letter{number: h.oid.N, sender: h.oid.N, opening: rt.incarnation, at: t.Now().UnixNano()}
	l.slots = append(l.slots, rt.slot(rt.ref(h, caps.Full())))
	t.putAlarm(due, &l)
}

// ringThread is what such an alarm does.
func (t *WriteTurn) ringThread(h *handle) error {
	switch st, err := t.r.threadState(h); {
	case errors.Is(err, caps.ErrDamaged), errors.Is(err, caps.ErrGone):
		t.r.vat.rt.logAside(slog.LevelError, "what would wake a thread names none, or one that cannot be read; it was dropped", "thread", h.name(), "err", err)
	case err != nil:
		return err
	case st.State == ThreadWaiting:
		t.startThread(h.oid.N)
	}
	return nil
}

// take takes the first message that is wanted out of the mailbox of h. One whose argument is
// not what is wanted is a dead letter.
func (t *WriteTurn) take(h *handle, w want) (reply caps.Reply, ok bool, err error) {
	v := t.r.vat
	b := v.mail.boxes[h.oid.N]
	if b == nil {
		return reply, false, nil
	}
	for _, ml := range b.mails {
		if ml.method != w.method {
			continue
		}
		rec, err := t.rowOf(ml)
		if err != nil {
			return reply, false, err
		}
		l, err := parseLetter(ml.number, ml.method, rec)
		if err != nil {
			return reply, false, err
		}
		refs := v.rt.refs(l.slots)
		_, a, _ := v.rt.open(refs[0])
		t.dropLetter(b.target, ml)
		args := refs[1:]
		if a.Narrows() {
			args = narrowed(args, a.Inward())
		}
		if err = t.mayReach(h, a, &l); err == nil {
			err = w.fits(l.body, args)
		}
		if err != nil {
			if err := t.refuse(&l, ml, err); err != nil {
				return reply, false, err
			}
			continue
		}
		return caps.Reply{Body: l.body, Slots: args}, true, t.conclude(&l, ml, settled{reply: doneReply(v.rt)})
	}
	return reply, false, nil
}

// mayReach reports why a message for method, sent with authority a, may not be received by h.
// A thread takes what anybody sends who may send at all; a port, what could write.
func (t *WriteTurn) mayReach(h *handle, a caps.Authority, l *letter) error {
	if a.Gate != nil {
		if err := t.r.granted(h, a.Gate, l.method); err != nil {
			return err
		}
	}
	v, err := t.r.state(h)
	switch {
	case err != nil || v.kind.def != t.r.vat.rt.portKind.def:
		return err
	case !a.Allows(caps.Write):
		return noRight(&method{op: l.method, need: caps.Write}, h, a)
	case l.ceiling == 0:
		return nil
	}
	m, err := t.r.mayAt(t.r.vat.handleOf(l.ceiling))
	if err != nil {
		return err
	}
	return m.refuses(h, l.method, caps.Write)
}

// refuse makes a dead letter of one that a thread would have received.
func (t *WriteTurn) refuse(l *letter, ml *mail, failure error) error {
	failure = outcome(l.method, t.r.vat.handleOf(ml.target), failure)
	if l.from == 0 { // else it is for who sent it to keep it
		if err := t.bury(*l, failure); err != nil {
			return err
		}
	}
	return t.conclude(l, ml, settled{err: failure})
}

// doneReply is the result of what returns nothing.
func doneReply(rt *Runtime) caps.Reply {
	var d caps.Done
	body, _ := elemTypeOf[caps.Done](rt).codec.Append(nil, nil, unsafe.Pointer(&d))
	return caps.Reply{Body: body}
}

// sleep waits until somebody wakes the thread. After a while its goroutine ends; whoever
// wakes it then starts another.
func (s *strand) sleep() {
	m := &s.rt.strands
	m.mu.Lock()
	select {
	case <-s.wake: // somebody has since the last look
		s.again = false
		m.mu.Unlock()
		return
	default:
	}
	s.idle, s.again = true, false
	m.busy--
	closing := m.closing
	m.mu.Unlock()
	s.rt.vat.wake(s.rt.vat.mail.kick)
	if closing {
		s.leave()
	}
	timer := time.NewTimer(residence)
	defer timer.Stop()
	select {
	case <-s.wake:
	case <-timer.C:
	}
	m.mu.Lock()
	over := s.idle || m.closing // nobody has woken it to go on
	if !over {
		s.again = false
	}
	m.mu.Unlock()
	if over {
		s.leave()
	}
}

// callerOutside is the file and line of the program that waits.
func callerOutside() string {
	var pcs [32]uintptr
	frames := goruntime.CallersFrames(pcs[:goruntime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.Contains(f.Function, "sturdyrt/sturdy/runtime.") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return ""
		}
	}
}
