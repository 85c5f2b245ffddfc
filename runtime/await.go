package sturdy

import (
	"context"
	"errors"
	"sync"

	"github.com/sturdyrt/sturdy/caps"
)

// awaits is who in this process waits for which promise.
type awaits struct {
	mu sync.Mutex
	by map[uint64][]chan *group // by number of the promise; each of capacity 1
}

// wait registers for the promise n; done must be called when nobody listens any more.
func (w *awaits) wait(n uint64) (c chan *group, done func()) {
	c = make(chan *group, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.by[n] = append(w.by[n], c)
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, o := range w.by[n] {
			if o == c {
				w.by[n] = append(w.by[n][:i:i], w.by[n][i+1:]...)
			}
		}
		if len(w.by[n]) == 0 {
			delete(w.by, n)
		}
	}
}

// notify tells who waits for n that its outcome is in group g; it reports whether anybody did.
func (w *awaits) notify(n uint64, g *group) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.by[n] {
		select {
		case c <- g:
		default:
		}
	}
	return len(w.by[n]) > 0
}

// Await returns what the promise h came to when that is known and durable.
func (h *handle) Await(ctx context.Context, via caps.Authority) (caps.Reply, error) {
	v := h.vat
	if err := outsideTurns(ctx, "await"); err != nil {
		return caps.Reply{}, err
	}
	if s := latentOf(h); s != nil {
		s.seen.Store(true)
	}
	news, done := v.rt.awaits.wait(h.oid.N)
	defer done()
	for {
		o, ok, err := v.outcomeOf(ctx, h, via)
		switch {
		case err != nil:
			return caps.Reply{}, err
		case ok:
			return o.reply, o.err
		}
		select {
		case g := <-news:
			// What was lost on the way to the disk is pending again, or never was.
			if err := v.learn(ctx, g); err != nil && (ctx.Err() != nil || v.failed.Load() != nil) {
				return caps.Reply{}, err
			}
		case <-ctx.Done():
			return caps.Reply{}, &caps.Error{Op: "await", Object: h.name(), Code: ErrTimeout, Cause: caps.CauseOf(ended(ctx)), Text: "the promise is still pending: " + ended(ctx).Error()}
		case <-v.ending:
			return caps.Reply{}, &caps.Error{Op: "await", Object: h.name(), Code: ErrClosed, Text: "the world was closed before the promise had come to anything"}
		}
	}
}

// learn waits until what g has may be told.
func (v *vat) learn(ctx context.Context, g *group) error {
	if g == nil || isRelaxed(ctx) {
		return nil
	}
	v.wake(v.kick)
	return g.wait(ctx)
}

// catchUp waits until all that is committed is durable, so that who has registered to be told
// of what comes sees in the durable snapshot what came before.
func (v *vat) catchUp(ctx context.Context, op string) error {
	if err := v.w.lock(ctx, op, v.rt.clock); err != nil {
		return notStarted(op, err)
	}
	g := v.pending()
	v.w.unlock()
	if g == nil {
		return nil
	}
	v.wake(v.kick)
	return g.wait(ctx)
}

// outcomeOf is what h has come to, if that may be told; ok is false while it is pending.
func (v *vat) outcomeOf(ctx context.Context, h *handle, via caps.Authority) (o settled, ok bool, err error) {
	if s := latentOf(h); s != nil {
		out := s.outcome.Load()
		if out == nil {
			return o, false, nil
		}
		if err := v.learn(ctx, out.group); err != nil {
			if s.outcome.Load() != out {
				err = nil // it was taken back
			}
			return o, false, err
		}
		return out.as(via), true, nil
	}
	if err := v.catchUp(ctx, "await"); err != nil && !takenBack(err) { // what was lost may be anybody's
		return o, false, err
	}
	err = v.rt.View(ctx, func(t *ReadTurn) error {
		st, err := t.state(h)
		if err != nil {
			return err
		}
		if st.kind.def != v.rt.promises.def {
			return &caps.Error{Op: "await", Object: h.name(), Code: caps.ErrNoMethod, Text: h.name() + " is no promise"}
		}
		o, ok = (*promise)(st.state).outcome(via)
		return nil
	})
	return o, ok, err
}

// errPromise is what is found instead of a method of a promise, or of a timer that is no
// object yet: the call is for something else.
var errPromise = errors.New("a promise")

// enterOther lets a call in at what h stands for.
func (h *handle) enterOther(ctx context.Context, via caps.Authority, name string) (caps.Frame, error) {
	to, err := h.standsFor(ctx, via)
	if err != nil {
		return caps.Frame{}, err
	}
	th, a, _ := h.vat.rt.open(to)
	return th.Enter(ctx, a, name)
}

// standsFor is what the promise h has come to, or the timer h made an object.
func (h *handle) standsFor(ctx context.Context, via caps.Authority) (to caps.Ref, err error) {
	if c := h.cur.Load(); c == nil || c.kind != h.vat.latentTimer {
		return h.cameTo(ctx, via)
	}
	if r, w := turnOf(ctx); w != nil {
		err = w.materialiseTimer(h)
	} else if r != nil {
		err = notYet(h)
	} else {
		err = h.vat.rt.update(ctx, "timer", func(t *WriteTurn) error { return t.materialiseTimer(h) })
	}
	return h.vat.rt.ref(h, via), err
}

// cameTo is the object that the promise h has come to, for who holds it through via. Outside
// of turns it is waited for.
func (h *handle) cameTo(ctx context.Context, via caps.Authority) (to caps.Ref, err error) {
	var o settled
	if t, _ := turnOf(ctx); t != nil {
		if o, err = t.cameTo(h, via); err != nil {
			return to, err
		}
	} else if o.reply, err = h.Await(ctx, via); err != nil {
		return to, err
	}
	if o.err != nil {
		return to, o.err
	}
	to, ok := o.object(h.vat.rt)
	if !ok {
		return to, &caps.Error{Object: h.name(), Code: caps.ErrNoMethod, Text: h.name() + " came to a value, which has no methods; Await or Then has it"}
	}
	if _, _, ok := h.vat.rt.open(to); !ok {
		return to, &caps.Error{Object: h.name(), Code: caps.ErrWouldBlock, Text: h.name() + " came to an object of another world"}
	}
	return to, nil
}

// cameTo is the outcome of h as this turn sees it.
func (t *ReadTurn) cameTo(h *handle, via caps.Authority) (o settled, err error) {
	v, err := t.state(h)
	if err != nil {
		return o, err
	}
	ok := false
	if v.kind != h.vat.latent {
		o, ok = (*promise)(v.state).outcome(via)
	} else if out := (*sent)(v.state).outcome.Load(); out != nil {
		(*sent)(v.state).seen.Store(true)
		if t.w == nil && !out.group.isDone() {
			t.behind = true
			return o, notYet(h)
		}
		o, ok = out.as(via), true
	}
	if !ok {
		return o, &caps.Error{Object: h.name(), Code: caps.ErrWouldBlock, Text: h.name() + " is pending, and a turn cannot wait. Send to it, or use Then."}
	}
	return o, nil
}

// Then has the outcome of the promise h sent.
func (h *handle) Then(ctx context.Context, via caps.Authority, m caps.Message) error {
	if t := writing(ctx); t != nil {
		t.r.check()
		t.r.depth++ // see openColl
		if err := t.then(h, via, m); err != nil {
			panic(unwind{sendError(m, err)})
		}
		t.r.depth--
		return nil
	}
	return h.vat.rt.update(ctx, "then", func(t *WriteTurn) error { return t.then(h, via, m) })
}

// writing is the write turn that ctx is, or nil.
func writing(ctx context.Context) *WriteTurn {
	_, w := turnOf(ctx)
	return w
}

func (t *WriteTurn) then(h *handle, via caps.Authority, m caps.Message) error {
	if h.vat != t.r.vat {
		return otherWorld(h, "then")
	}
	if err := t.sendable(m); err != nil {
		return err
	}
	rt := t.r.vat.rt
	th := then{To: m.To, Method: m.Method, As: rt.ref(h, via), May: t.here().ref(rt)}
	if t.r.self != nil {
		th.Sender = rt.ref(t.r.self, caps.Full())
	}
	p, err := t.promiseAt(h)
	if err != nil {
		return err
	}
	if o, ok := p.outcome(caps.Full()); ok {
		return t.tell(th, o)
	}
	if len(p.Thens) >= maxThens {
		return tooLarge("more than %d who are told of one promise", maxThens)
	}
	p.Thens = append(p.Thens, th)
	return nil
}
