package sturdy

import (
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
)

// Ask is a step: it sends m, and waits for what its promise comes to. m is sent exactly once,
// in the commit that records that the thread waits, whatever happens afterwards. The method's
// error is the step's. within 0 waits for ever; ErrTimeout comes when that time has passed
// since the first call, and what was asked may be done all the same. A thread that is asked
// has answered when it receives the message.
//
// Threads that ask each other in a ring wait for ever. That is found when the last begins to
// wait, logged with the names of all, and shown by ThreadInfo.Ring.
func Ask[R, S any](th *Thread[S], name string, m caps.Message, within time.Duration) (R, error) {
	var r R
	codec, err := caps.CodecFor(reflect.TypeFor[R]())
	if err != nil {
		return r, err
	}
	if within <= 0 {
		within = forEver
	}
	reply, err := th.s.wait(name, want{what: "answer to " + m.Method, within: within, ask: &m})
	if err == nil {
		err = codec.Decode(unsafe.Pointer(&r), reply.Body, reply.Slots)
	}
	return r, err
}

// ask sends what is asked, and has the thread woken by the answer.
func (t *WriteTurn) ask(s *strand, m caps.Message) (ref caps.Ref, err error) {
	sent, err := t.post(m)
	if err != nil {
		return ref, sendError(m, err)
	}
	ref = s.rt.ref(&sent.h, caps.Full())
	p, err := t.promiseAt(&sent.h)
	if err != nil {
		return ref, err
	}
	p.Thens = append(p.Thens, then{To: s.rt.ref(s.h, caps.Full()), As: ref, Sender: s.rt.ref(s.h, caps.Full())})
	return ref, nil
}

// answered is what a promise that was asked for has come to; ok is false while it is pending.
func (t *WriteTurn) answered(ref caps.Ref) (o settled, ok bool, err error) {
	h, a, _ := t.r.vat.rt.open(ref)
	p, err := t.r.stateOf(h, t.r.vat.rt.promises.def)
	if err != nil {
		return o, false, err
	}
	o, ok = (*promise)(p).outcome(a)
	return o, ok, nil
}

// maxRing is how many threads that wait for each other are followed.
const maxRing = 1000

// ring is the threads that the waiting thread h waits for, and that wait for it in the end:
// h first. It is nil if there is no such ring.
func (t *ReadTurn) ring(h *handle) (names []string) {
	for at := h; len(names) < maxRing; {
		st, on := t.waitsOn(at)
		if on == nil {
			return nil
		}
		of, _, _ := t.vat.rt.open(st.Of)
		names = append(names, fmt.Sprintf("%s (%s.%s)", at.name(), of.name(), st.Method))
		if on == h {
			return names
		}
		at = on
	}
	return nil
}

// waitsOn is the thread that the thread h waits for; nil if it waits for none.
func (t *ReadTurn) waitsOn(h *handle) (st *thread, on *handle) {
	v, err := t.state(h)
	if err != nil || v.kind.def != t.vat.rt.threads.def {
		return nil, nil
	}
	st = (*thread)(v.state)
	if st.State != ThreadWaiting || st.On.IsNull() {
		return nil, nil
	}
	on, _, _ = t.vat.rt.open(st.On)
	if v, err = t.state(on); err != nil || v.kind.def != t.vat.rt.threads.def {
		return nil, nil
	}
	return st, on
}
