package sturdy

import (
	"context"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
)

// ReadTurnOrWriteTurn is what a method's body may take. Which of them decides the right that
// a caller needs: with a ReadTurn r, with a WriteTurn w.
type ReadTurnOrWriteTurn interface{ *ReadTurn | *WriteTurn }

// Method binds the body of what takes an argument and returns a result.
//
// Arguments, results and state share nothing: they are copied where their types can share.
func Method[S any, T ReadTurnOrWriteTurn, A, R any](m caps.Method[A, R], body func(*S, T, A) (R, error)) Part[S] {
	switch body := any(body).(type) {
	case func(*S, *ReadTurn, A) (R, error):
		return bindRead(m.Name(), body)
	case func(*S, *WriteTurn, A) (R, error):
		return bindWrite(m.Name(), body)
	}
	panic("unreachable: T is one of the two")
}

// Query binds the body of what takes nothing and returns a result.
func Query[S any, T ReadTurnOrWriteTurn, R any](m caps.Query[R], body func(*S, T) (R, error)) Part[S] {
	return Method(caps.Method[caps.Done, R](m), func(s *S, t T, _ caps.Done) (R, error) { return body(s, t) })
}

// Command binds the body of what takes an argument and returns nothing.
func Command[S any, T ReadTurnOrWriteTurn, A any](m caps.Command[A], body func(*S, T, A) error) Part[S] {
	return Method(caps.Method[A, caps.Done](m), func(s *S, t T, a A) (caps.Done, error) { return caps.Done{}, body(s, t, a) })
}

// Action binds the body of what takes nothing and returns nothing.
func Action[S any, T ReadTurnOrWriteTurn](m caps.Action, body func(*S, T) error) Part[S] {
	return Method(caps.Method[caps.Done, caps.Done](m), func(s *S, t T, _ caps.Done) (caps.Done, error) { return caps.Done{}, body(s, t) })
}

// typed is what a bound body knows of its argument and result.
type typed[A, R any] struct {
	method      *method
	arg, result *caps.Codec
	// copies: A or R can share memory, so they have to be copied on their way.
	copies bool
}

func newTyped[A, R any](d *definition, name string, need caps.Rights) (*typed[A, R], bool) {
	arg, aerr := caps.CodecFor(reflect.TypeFor[A]())
	if aerr != nil {
		d.fault("method %s: its argument: %v", name, aerr)
	}
	result, rerr := caps.CodecFor(reflect.TypeFor[R]())
	if rerr != nil {
		d.fault("method %s: its result: %v", name, rerr)
	}
	if aerr != nil || rerr != nil {
		return nil, false
	}
	m := &method{name: name, need: need, arg: arg, result: result}
	d.add(m)
	return &typed[A, R]{m, arg, result, !arg.Flat() || !result.Flat()}, true
}

// take makes an argument the callee's own.
func (b *typed[A, R]) take(a *A, via caps.Authority) error {
	if err := b.arg.Own(unsafe.Pointer(a), via.Inward()); err != nil {
		return argumentError(b.method, err)
	}
	return nil
}

// give makes a result the caller's own. It is sealed within the turn: a turn whose result
// cannot leave must not take effect, here or on another host.
func (b *typed[A, R]) give(r *R, via caps.Authority) error {
	p := unsafe.Pointer(r)
	if err := b.result.Own(p, via); err != nil {
		return err
	}
	_, err := b.result.Seal(p)
	return err
}

// readBody is a bound body that takes a ReadTurn.
type readBody[S, A, R any] struct {
	*typed[A, R]
	body func(*S, *ReadTurn, A) (R, error)
}

func bindRead[S, A, R any](name string, body func(*S, *ReadTurn, A) (R, error)) Part[S] {
	return part[S]{func(d *definition) {
		t, ok := newTyped[A, R](d, name, caps.Read)
		if !ok {
			return
		}
		b := &readBody[S, A, R]{t, body}
		t.method.entry = b.enter
		t.method.deliver = t.deliverThrough(b.enter)
	}}
}

func (b *readBody[S, A, R]) enter(f caps.Frame, a A) (r R, err error) {
	h := f.Object.(*handle)
	if f.Own {
		return b.outside(f.Turn, h, f.Via, a)
	}
	return b.inside(f.Turn.(*ReadTurn), h, f.State, f.Via, a)
}

// inside runs the method as part of t.
func (b *readBody[S, A, R]) inside(t *ReadTurn, h *handle, state unsafe.Pointer, via caps.Authority, a A) (r R, err error) {
	if via.Gate != t.through {
		t.use(via.Gate)
	}
	t.calls++
	if b.copies || t.gid != 0 || via.Narrows() {
		return b.copying(t, h, state, via, a)
	}
	defer t.restore(t.enter(h))
	r, err = b.body((*S)(state), t, a)
	t.depth--
	return r, err
}

// copying is inside for types that can share memory, or carry authority through a Ref that
// narrows it, and for Checked mode.
func (b *readBody[S, A, R]) copying(t *ReadTurn, h *handle, state unsafe.Pointer, via caps.Authority, a A) (none R, err error) {
	if err := b.take(&a, via); err != nil {
		return none, err
	}
	var r R
	if via.Narrows() {
		defer t.muffle(b.method.op, h)
	}
	defer t.restore(t.enter(h))
	if t.gid == 0 {
		r, err = b.body((*S)(state), t, a)
	} else {
		err = t.checkRead(b.method, h, state, func(s unsafe.Pointer) (err error) {
			r, err = b.body((*S)(s), t, a)
			return err
		})
	}
	t.depth--
	return b.come(h, r, err, via)
}

// come is what comes out of a method that returned r and err: one of them.
func (b *typed[A, R]) come(h *handle, r R, err error, via caps.Authority) (none R, _ error) {
	switch {
	case err == nil:
		if err = b.give(&r, via); err == nil {
			return r, nil
		}
	case via.Narrows():
		err = outcome(b.method.op, h, err) // an error of the method's own could hold a Ref
	}
	return none, err
}

// outside runs the method as a read turn of its own.
func (b *readBody[S, A, R]) outside(ctx context.Context, h *handle, via caps.Authority, a A) (none R, err error) {
	op := b.method.op
	for {
		t, err := h.vat.beginRead(ctx, op)
		if err != nil {
			return none, err
		}
		r, err := b.once(t, h, via, a)
		again, err := h.vat.endRead(t, op, err)
		if again {
			continue
		}
		if revoked := via.Gate.Alive(nil); revoked != nil {
			err = revoked // while the method ran; what it failed with is nobody's business either
		}
		if err != nil {
			return none, h.vat.told(ctx, op, outcome(op, h, err))
		}
		return r, nil
	}
}

func (b *readBody[S, A, R]) once(t *ReadTurn, h *handle, via caps.Authority, a A) (r R, err error) {
	returned := false
	defer t.rescue(b.method.op, &err, &returned)
	v, err := t.state(h)
	if err == nil && t.may != nil {
		err = t.may.refuses(h, b.method.op, b.method.need)
	}
	if err == nil {
		r, err = b.inside(t, h, v.state, via, a)
	}
	returned = true
	return r, err
}

// writeBody is a bound body that takes a WriteTurn.
type writeBody[S, A, R any] struct {
	*typed[A, R]
	body func(*S, *WriteTurn, A) (R, error)
}

func bindWrite[S, A, R any](name string, body func(*S, *WriteTurn, A) (R, error)) Part[S] {
	return part[S]{func(d *definition) {
		t, ok := newTyped[A, R](d, name, caps.Write)
		if !ok {
			return
		}
		b := &writeBody[S, A, R]{t, body}
		t.method.entry = b.enter
		t.method.deliver = t.deliverThrough(b.enter)
	}}
}

func (b *writeBody[S, A, R]) enter(f caps.Frame, a A) (r R, err error) {
	h := f.Object.(*handle)
	if f.Own {
		return b.outside(f.Turn, h, f.Via, a)
	}
	return b.inside(f.Turn.(*WriteTurn), h, f.Via, a)
}

// inside runs the method as part of t.
func (b *writeBody[S, A, R]) inside(t *WriteTurn, h *handle, via caps.Authority, a A) (r R, err error) {
	if via.Gate != t.r.through {
		t.r.use(via.Gate)
	}
	t.r.calls++
	if b.copies || via.Narrows() {
		return b.copying(t, h, via, a)
	}
	s, err := t.own(h)
	if err != nil {
		return r, err
	}
	defer t.r.restore(t.r.enter(h))
	r, err = b.body((*S)(s), t, a)
	t.r.depth--
	return r, err
}

// copying is inside for types that can share memory, or carry authority through a membrane.
func (b *writeBody[S, A, R]) copying(t *WriteTurn, h *handle, via caps.Authority, a A) (none R, err error) {
	if err := b.take(&a, via); err != nil {
		return none, err
	}
	s, err := t.own(h)
	if err != nil {
		return none, err
	}
	if via.Narrows() {
		defer t.r.muffle(b.method.op, h)
	}
	defer t.r.restore(t.r.enter(h))
	r, err := b.body((*S)(s), t, a)
	t.r.depth--
	return b.come(h, r, err, via)
}

// outside runs the method as a write turn of its own.
func (b *writeBody[S, A, R]) outside(ctx context.Context, h *handle, via caps.Authority, a A) (r R, err error) {
	op, v := b.method.op, h.vat
	var before *WriteTurn
	for {
		t, err := v.begin(ctx, op, before)
		if err != nil {
			return r, err
		}
		result, err := b.once(t, h, via, a)
		g, err := v.end(t, err)
		if !t.again {
			if err == nil {
				t.logBuried()
			}
			if err = v.reply(ctx, op, g, err); err != nil {
				return r, outcome(op, h, err) // and no result: it is an output, too
			}
			return result, nil
		}
		v.retry(t)
		before = t
	}
}

// once runs the method between two looks at the grants: one may have been revoked while the
// call waited for the writer, and run out since.
func (b *writeBody[S, A, R]) once(t *WriteTurn, h *handle, via caps.Authority, a A) (r R, err error) {
	returned := false
	defer t.r.rescue(b.method.op, &err, &returned)
	if err = t.r.alive(via); err == nil && t.r.may != nil {
		err = t.r.may.refuses(h, b.method.op, b.method.need)
	}
	if err == nil {
		r, err = b.inside(t, h, via, a)
		// A turn that has revoked its own grant may end: that is how one lets go.
		if revoked := via.Gate.Alive(nil); revoked != nil {
			t.r.refused, err = true, revoked
		}
	}
	returned = true
	return r, err
}

// deliverThrough is the untyped way in: it decodes, calls entry and encodes. What it decodes
// shares nothing, so only the authority of the result would be left to do, and entry does it.
func (b *typed[A, R]) deliverThrough(entry func(caps.Frame, A) (R, error)) func(caps.Frame, caps.Message) (caps.Reply, error) {
	return func(f caps.Frame, m caps.Message) (reply caps.Reply, err error) {
		var a A
		if len(m.Body) == 0 && b.arg.Shape().Class != "done" {
			return reply, argumentError(b.method, fmt.Errorf("it takes a %s, and was given nothing", b.arg.Shape()))
		}
		if err := b.arg.Decode(unsafe.Pointer(&a), m.Body, m.Slots); err != nil {
			return reply, argumentError(b.method, err)
		}
		r, err := entry(f, a)
		if err != nil {
			return reply, err
		}
		reply.Body, reply.Slots = b.result.Append(nil, nil, unsafe.Pointer(&r))
		return reply, nil
	}
}
