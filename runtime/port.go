package sturdy

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"sync"
	"time"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
)

// port is the state of a port: Go code at the edge, as the receiver of a capability. It can be
// stored like any object, and is open as long as the code that made it listens.
type port struct {
	Method  string
	Opening uint64 // the incarnation of the world in which it was made; in another it is closed
	Closed  bool
}

func newPortKind() *KindOf[port] { return Define[port]("sturdy/port") }

// ports are the ports of this process that are open.
type ports struct {
	mu sync.Mutex
	by map[uint64]openedPort // by number
}

// openedPort is a port that somebody listens at.
type openedPort struct {
	news chan struct{} // told when there may be something; of capacity 1
	stop func() bool   // ends the watch of the context
}

func (p *ports) wake(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.by[n].news <- struct{}{}:
	default: // somebody has, or nobody listens
	}
}

// Port is a capability that this Go code serves by ranging over what is sent to it. The Ref
// can be stored and handed on like any other; to send m to it needs w. A message is yielded
// when it is durable that it was taken: its promise is kept then, and a crash does not bring
// it again. What waits when the loop ends, or ctx, or the world is closed, is not taken: the
// Ref answers ErrGone from then on, also after a restart. messages can be ranged over once.
//
// A failure to make the port is told by the Ref, which is that of a broken promise, and there
// are no messages.
func Port[A any](ctx context.Context, rt *Runtime, m caps.Command[A]) (ref caps.Ref, messages iter.Seq[A]) {
	codec, err := caps.CodecFor(reflect.TypeFor[A]())
	if err == nil {
		ref, err = rt.openPort(ctx, m.Name())
	}
	if err != nil {
		s := &sent{}
		rt.vat.makeLatent(s, 0)
		s.outcome.Store(&settled{err: err})
		return rt.ref(&s.h, caps.Full()), func(func(A) bool) {}
	}
	decode := func(r caps.Reply) (a A, err error) {
		err = codec.Decode(unsafe.Pointer(&a), r.Body, r.Slots)
		return a, err
	}
	h, _, _ := rt.open(ref)
	w := want{method: m.Name(), fits: func(body []byte, slots []caps.Ref) error {
		_, err := decode(caps.Reply{Body: body, Slots: slots})
		return err
	}}
	return ref, func(yield func(A) bool) {
		defer rt.closePort(h)
		for {
			reply, ok := rt.listen(ctx, h, w)
			if !ok {
				return
			}
			if a, err := decode(reply); err != nil || !yield(a) {
				return
			}
		}
	}
}

func (rt *Runtime) openPort(ctx context.Context, method string) (ref caps.Ref, err error) {
	if err := outsideTurns(ctx, "port"); err != nil {
		return ref, err
	}
	err = rt.update(ctx, "port", func(t *WriteTurn) error {
		ref = rt.portKind.New(t, port{Method: method, Opening: rt.incarnation})
		return nil
	})
	if err != nil {
		return ref, err
	}
	h, _, _ := rt.open(ref)
	rt.ports.mu.Lock()
	rt.ports.by[h.oid.N] = openedPort{news: make(chan struct{}, 1), stop: context.AfterFunc(ctx, func() { rt.closePort(h) })}
	rt.ports.mu.Unlock()
	return ref, nil
}

// listen waits for the next message to the port h and takes it; ok is false when there will be
// none.
func (rt *Runtime) listen(ctx context.Context, h *handle, w want) (reply caps.Reply, ok bool) {
	rt.ports.mu.Lock()
	news := rt.ports.by[h.oid.N].news
	rt.ports.mu.Unlock()
	for news != nil && ctx.Err() == nil {
		// Once it is taken it is yielded, whatever becomes of ctx meanwhile.
		err := rt.update(context.Background(), "receive "+w.method, func(t *WriteTurn) (err error) {
			reply, ok, err = t.take(h, w)
			return err
		})
		var again <-chan time.Time
		switch {
		case err == nil && ok:
			return reply, true
		case errors.Is(err, ErrDiskFull), errors.Is(err, caps.ErrNotDelivered):
			again = time.After(time.Second) // nothing happened
		case err != nil:
			return reply, false
		}
		select {
		case <-news:
		case <-again:
		case <-ctx.Done():
		case <-rt.vat.ending:
			return reply, false
		}
	}
	return reply, false
}

// closePort closes the port h; what waits for it is told.
func (rt *Runtime) closePort(h *handle) {
	n := h.oid.N
	rt.ports.mu.Lock()
	p, open := rt.ports.by[n]
	delete(rt.ports.by, n)
	rt.ports.mu.Unlock()
	if !open {
		return
	}
	p.stop()
	err := rt.update(Relaxed(context.Background()), "close port", func(t *WriteTurn) error {
		s, err := t.own(h)
		if err != nil {
			return err
		}
		(*port)(s).Closed = true
		t.rare().released = append(t.rare().released, n)
		return nil
	})
	if err != nil {
		rt.log.Debug("a port could not be closed; the next opening of the world will find it so", "port", h.name(), "err", err)
	}
}

// listens reports why the port does not take messages for method.
func (p *port) listens(rt *Runtime, h *handle, method string) error {
	switch {
	case p.Closed || p.Opening != rt.incarnation:
		return &caps.Error{Op: method, Object: h.name(), Code: caps.ErrGone, Text: h.name() + " is closed: the code that listened has ended"}
	case method != p.Method:
		return &caps.Error{Op: method, Object: h.name(), Code: caps.ErrNoMethod, Text: h.name() + " has no method " + method + "; it has " + p.Method}
	}
	return nil
}

// errPort is what is found instead of a method of a port.
var errPort = errors.New("a port")

// callPort is a call of a port: it is sent, and waited for. A turn cannot wait.
func (h *handle) callPort(ctx context.Context, m caps.Message) (caps.Reply, error) {
	if r, _ := turnOf(ctx); r != nil {
		return caps.Reply{}, &caps.Error{Op: m.Method, Object: h.name(), Code: caps.ErrWouldBlock, Text: "a turn cannot wait for a port; send to it"}
	}
	to, a, _ := h.vat.rt.open(h.Post(ctx, m))
	hasBegun(ctx)
	return to.Await(ctx, a)
}
