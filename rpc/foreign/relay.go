package foreign

import (
	"context"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"
)

// A call by one program of what is another's is passed on as it is: nobody here has to know
// what the two talk about. What stands for more than it takes is measured before it is copied,
// and the capabilities in it become what they are for the other side, both ways.

// relays is whose capability a calls, if the call is passed on as it is. Ref of sturdy.capnp is
// what every capability has that this host gives away, so it is answered here; and what is not
// all of a capability is called by the interface that somebody has named, as that says what it
// allows.
func (a *answer) relays() (*typed, bool) {
	t, ok := a.c.h.target(a.to.ref)
	return t, ok && a.iface != a.c.h.kinds.base.ref.id && a.c.h.whole(a.to.ref)
}

// relay passes a on to the program that t is of, and its answer back.
func (a *answer) relay(t *typed, begun func()) outcome {
	m, call, payload, err := t.newCall(a.iface, a.method)
	if err == nil {
		err = a.carry(a.args.ToPtr(), payload, true)
	}
	if err != nil {
		return outcome{err: err}
	}
	r, err := t.c.ask(&sending{a.ctx, begun}, m, call, payload)
	if r.raised != nil {
		return outcome{err: r.raised}
	}
	if err != nil {
		return outcome{err: err}
	}
	o, err := a.bring(r)
	if err != nil {
		return outcome{err: happened(err)}
	}
	return o
}

// bring makes what a program has answered the answer to a.
func (a *answer) bring(r reply) (o outcome, err error) {
	if o.out, err = newReturn(a.id, false); err != nil {
		return o, err
	}
	if o.payload, err = o.out.ret.NewResults(); err != nil {
		return o, err
	}
	if err = a.carry(r.content, o.payload, false); err != nil {
		return o, err
	}
	o.content, err = o.payload.Content()
	o.table = tableOf(o.out.msg.Message())
	return o, err
}

// carry copies p to a message for another program, which counts as kept because of a; if it is
// counted already, by what it takes, only what it stands for beyond that.
func (a *answer) carry(p capnp.Ptr, to rpccp.Payload, counted bool) error {
	c := a.c
	r := reader{elements: c.lim.Values, bytes: c.lim.MessageBytes}
	if f := r.measure(p, 1); f != nil {
		return f.outcome()
	}
	size := c.lim.MessageBytes - r.bytes
	c.mu.Lock()
	if counted {
		size = max(0, size-a.size)
	}
	err := c.charge(a, size)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := to.SetContent(p); err != nil {
		return badArgument("%v", err)
	}
	for _, x := range tableOf(to.Message()) {
		if err := c.h.passable(x); err != nil {
			return err
		}
	}
	return nil
}

// capBytes is what a pointer to a capability takes, with what describes the capability.
const capBytes = 32

// measure charges for a copy of p: for bytes, and for what has to be gone through one by one.
func (r *reader) measure(p capnp.Ptr, depth int) *fault {
	if f := tooDeep(depth); f != nil {
		return f
	}
	switch s, l, i := p.Struct(), p.List(), p.Interface(); {
	case s.IsValid():
		return r.measureFields(s, depth)
	case l.IsValid():
		return r.measureList(l, depth)
	case !i.IsValid():
		return nil
	case !i.Message().CapTable().Contains(i):
		return faultf("capability %d of %d in the message", i.Capability(), i.Message().CapTable().Len())
	}
	return r.takeBytes(capBytes)
}

func (r *reader) measureFields(s capnp.Struct, depth int) *fault {
	size := s.Size()
	if f := r.take(1); f != nil {
		return f
	}
	if f := r.takeBytes(sizeOf(size)); f != nil {
		return f
	}
	for i := range size.PointerCount {
		p, err := s.Ptr(i)
		if err != nil {
			return faultf("%w", err)
		}
		if f := r.measure(p, depth+1); f != nil {
			return f
		}
	}
	return nil
}

// measureList: what has no pointers is copied in one piece.
func (r *reader) measureList(l capnp.List, depth int) *fault {
	n := l.Len()
	if n < 0 {
		return r.take(n)
	}
	if f := r.takeBytes(16); f != nil || n == 0 { // with what is said of the elements, and rounded up
		return f
	}
	switch first := l.Struct(0); { // a view of the element, whatever it is, but for bools
	case !first.IsValid():
		return r.takeBytes(n / 8)
	case first.Size().PointerCount == 0 && sizeOf(first.Size()) > 0:
		return r.takeBytes(n * sizeOf(first.Size()))
	case first.Size().PointerCount == 0:
		return r.take(n)
	}
	for i := range n {
		if f := r.measureFields(l.Struct(i), depth+1); f != nil {
			return f.index(i)
		}
	}
	return nil
}

// sending is the context of a call whose caller wants to know when it has been sent.
type sending struct {
	context.Context
	begun func()
}

// Begun is for ask.
func (s *sending) Begun() { s.begun() }
