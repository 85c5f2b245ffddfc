package sturdy

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
)

// Outside binds the body of what does I/O: a request to another service, a file. Its callers
// need x. What takes or returns nothing is bound as a [caps.Method] of [caps.Done].
//
// The body runs in no turn. It gets the context of the call and a copy of the state, with
// which it shares nothing: what it writes to the copy is lost, so what is to be kept it
// writes through a Ref, in a turn of its own. It holds up no turn while it runs; the object
// goes on changing, several calls may run at once, and Close does not wait for them. The
// state is on disk when the body gets it, unless the call is [Relaxed].
//
// It can be called outside of turns only, and fails with [caps.ErrWouldBlock] in one. What it
// has done outside no error takes back: not that it panicked, nor that its result cannot be
// encoded (ErrBadResult), nor ErrRevoked because a grant was taken back while it ran. An
// ErrNotDelivered that it got from a call of its own is told as ErrMaybeExecuted, as it may
// have acted before; a body that has not says so by returning the code itself. Calls from other
// hosts share goroutines: what locks its thread (runtime.LockOSThread) unlocks it before it returns.
func Outside[S, A, R any](m caps.Method[A, R], body func(context.Context, S, A) (R, error)) Part[S] {
	return part[S]{func(d *definition) {
		t, ok := newTyped[A, R](d, m.Name(), caps.Run)
		if !ok {
			return
		}
		b := &outsideBody[S, A, R]{t, body}
		t.method.outside = true
		t.method.entry = b.enter
		t.method.deliver = t.deliverThrough(b.enter)
	}}
}

// outsideBody is a bound body that runs in no turn. Invariant: join lets none of its calls in,
// so the context of a frame is never a turn.
type outsideBody[S, A, R any] struct {
	*typed[A, R]
	body func(context.Context, S, A) (R, error)
}

func (b *outsideBody[S, A, R]) enter(f caps.Frame, a A) (none R, err error) {
	ctx, h, via := f.Turn, f.Object.(*handle), f.Via
	s, a, err := b.look(ctx, h, via, a)
	if err == nil {
		err = via.Gate.Alive(nil) // the object may have had to be waited for
	}
	if err != nil {
		return none, h.vat.told(ctx, b.method.op, outcome(b.method.op, h, err))
	}
	hasBegun(ctx) // it may take as long as it likes, and call whoever called it
	r, err := b.run(ctx, h, s, a)
	if err == nil {
		if err = b.give(&r, via); err != nil {
			err = &caps.Error{Code: caps.ErrBadResult, Text: fmt.Sprintf("executed, but its result cannot be handed over: %v", err)}
		}
	}
	if revoked := via.Gate.Alive(nil); revoked != nil {
		err = whileItRan(revoked) // what it came to is nobody's business any more
	}
	if err != nil {
		return none, b.ran(ctx, h, err)
	}
	return r, nil
}

// look takes the argument and copies the state, in a read turn of its own.
func (b *outsideBody[S, A, R]) look(ctx context.Context, h *handle, via caps.Authority, a A) (s S, own A, err error) {
	for {
		t, err := h.vat.beginRead(ctx, b.method.op)
		if err != nil {
			return s, own, err
		}
		s, own, err = b.once(t, h, via, a)
		again, err := h.vat.endRead(t, b.method.op, err)
		if !again {
			return s, own, err
		}
	}
}

// once counts the call and returns a state and an argument that are the body's own.
func (b *outsideBody[S, A, R]) once(t *ReadTurn, h *handle, via caps.Authority, a A) (s S, own A, err error) {
	returned := false
	defer t.rescue(b.method.op, &err, &returned)
	v, err := t.state(h)
	if err == nil {
		t.use(via.Gate)
		t.calls++
		err = b.take(&a, via)
	}
	if err == nil {
		s = *(*S)(v.state)
		if codec := v.kind.def.codec; !codec.Flat() {
			err = codec.Own(unsafe.Pointer(&s), caps.Full())
		}
	}
	returned = true
	return s, a, err
}

// run runs the body. There is nothing to end if it ends its goroutine.
func (b *outsideBody[S, A, R]) run(ctx context.Context, h *handle, s S, a A) (r R, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case unwind: // of a turn that is over
			err = p.err
		default:
			h.vat.rt.reportPanic(b.method.op, p)
			err = &caps.Error{Code: caps.ErrPanicked, Text: fmt.Sprintf("the method panicked, and what it did outside until then stays done: %v", p)}
		}
	}()
	return b.body(ctx, s, a)
}

// ran is what is told of a body that ran and came to err. That its answer is lost, or that a
// call which it made was not delivered, must not read as if nothing had happened: whoever is
// told so calls again, and pays twice. It is always an *Error, which cannot hold a Ref.
func (b *outsideBody[S, A, R]) ran(ctx context.Context, h *handle, err error) error {
	failed := outcome(b.method.op, h, err)
	told := h.vat.told(ctx, b.method.op, failed)
	var inner *caps.Error
	if told == failed && (!errors.As(err, &inner) || inner.Code != caps.ErrNotDelivered) {
		return told
	}
	return &caps.Error{
		Op: b.method.op, Object: h.name(), Code: caps.ErrMaybeExecuted, Cause: caps.CauseOf(told),
		Text: fmt.Sprintf("maybe executed: the method ran, and what it did outside stays done: %v", told),
	}
}

// whileItRan says that a refusal came too late to keep the body from running.
func whileItRan(refusal error) error {
	var e *caps.Error
	if !errors.As(refusal, &e) {
		return refusal
	}
	late := *e
	late.Text = fmt.Sprintf("%v, while the method ran; what it did outside stays done", e)
	return &late
}

// outsideInTurn is for who calls one from within a turn, which could be run again.
func outsideInTurn(m *method, h *handle) error {
	return &caps.Error{Op: m.op, Object: h.name(), Code: caps.ErrWouldBlock, Text: "a turn cannot wait for what is done outside; call it in a thread's Step, or outside of turns"}
}
