package sturdy

import (
	"context"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
)

// Enter is where authority is checked: at the object, for each call.
func (h *handle) Enter(ctx context.Context, via caps.Authority, name string) (f caps.Frame, err error) {
	turn, m, state, err := h.admit(ctx, via, name)
	if err != nil {
		return h.elsewhere(ctx, via, name, err)
	}
	f.Entry, f.Turn, f.Object, f.State, f.Via, f.Own = m.entry, turn, h, state, via, state == nil
	return f, nil
}

// elsewhere is where a call goes that err keeps out of h.
func (h *handle) elsewhere(ctx context.Context, via caps.Authority, name string, err error) (f caps.Frame, _ error) {
	switch err {
	case errPromise:
		return h.enterOther(ctx, via, name)
	case errPort, errRemote:
		return f, nil // without an entry the call goes to Deliver
	}
	return f, err
}

// admit finds the turn that the call is part of, or nil, and the method. state is what the
// call sees: that of a committed version or of the turn's copy; nil outside of turns.
func (h *handle) admit(ctx context.Context, via caps.Authority, name string) (turn context.Context, m *method, state unsafe.Pointer, err error) {
	switch t := ctx.(type) {
	case *WriteTurn:
		return h.join(&t.r, t, via, name)
	case *ReadTurn:
		return h.join(t, nil, via, name)
	}
	if turn := ctx.Value(turnKey{}); turn != nil {
		if err := ctx.Err(); err != nil {
			return nil, nil, nil, err
		}
		return h.admit(turn.(context.Context), via, name) // a context derived from a turn joins it
	}
	v, err := h.load()
	if err != nil {
		return nil, nil, nil, outcome(name, h, err)
	}
	if via.Gate != nil {
		if err := via.Gate.Check(name, nil); err != nil {
			return nil, nil, nil, h.vat.told(ctx, name, outcome(v.kind.name+"."+name, h, err))
		}
	}
	if m, err = v.kind.find(h, via, name); err != nil {
		return nil, nil, nil, err
	}
	if m.outside { // others are asked in their turn
		err = mayOf(ctx, h.vat.rt).refuses(h, m.op, m.need)
	}
	return ctx, m, nil, err
}

// join lets a call into the running turn r; w is r's writing side if the caller has it.
func (h *handle) join(r *ReadTurn, w *WriteTurn, via caps.Authority, name string) (turn context.Context, m *method, state unsafe.Pointer, err error) {
	if err := r.usable(); err != nil {
		return nil, nil, nil, err
	}
	if r.vat != h.vat {
		return nil, nil, nil, otherWorld(h, name)
	}
	v, err := r.state(h)
	if err != nil {
		return nil, nil, nil, err
	}
	if via.Gate != nil && (!via.Gate.Clear() || r.w != nil && r.w.seldom != nil) {
		if err := r.granted(h, via.Gate, name); err != nil {
			return nil, nil, nil, outcome(v.kind.name+"."+name, h, err)
		}
	}
	if m, err = v.kind.find(h, via, name); err != nil {
		return nil, nil, nil, err
	}
	if m.outside {
		return nil, nil, nil, outsideInTurn(m, h)
	}
	if r.may != nil {
		if err := r.may.refuses(h, m.op, m.need); err != nil {
			return nil, nil, nil, err
		}
	}
	if m.need == caps.Read {
		return r, m, v.state, nil
	}
	if w == nil {
		return nil, nil, nil, inReadTurn(m)
	}
	return w, m, v.state, nil
}

// find returns the method if it exists and via has the right. What its grants say has been
// asked before, so that what was revoked says so first.
func (b *bound) find(h *handle, via caps.Authority, name string) (*method, error) {
	if b.def == nil {
		switch b {
		case h.vat.latent, h.vat.latentTimer:
			return nil, errPromise
		case h.vat.latentRemote:
			return nil, errRemote
		}
		return nil, unknownKind(h, b, name)
	}
	m := b.def.method(name)
	if m == nil {
		switch b.def {
		case h.vat.rt.promises.def:
			return nil, errPromise
		case h.vat.rt.portKind.def:
			return nil, errPort
		case h.vat.rt.foreign.def:
			return nil, errRemote
		}
		return nil, noMethod(h, b.def, name)
	}
	if !via.Allows(m.need) {
		return nil, noRight(m, h, via)
	}
	return m, nil
}

// usable reports why the turn cannot go on.
func (t *ReadTurn) usable() error {
	if t.depth < maxDepth && t.spent.Load() == 0 {
		return nil
	}
	return t.unusable()
}

func (t *ReadTurn) unusable() error {
	switch {
	case t.spent.Load()&over != 0:
		return turnOver(t)
	case t.gid != 0 && t.gid != goroutineID():
		t.spent.Or(shared)
		return turnShared(t.name())
	case t.depth >= maxDepth:
		return tooLarge("a turn with more than %d calls inside each other", maxDepth)
	}
	return t.ctx.Err()
}

// usableIn is usable for who wants a turn of rt.
func (t *ReadTurn) usableIn(rt *Runtime) error {
	if t.vat.rt != rt {
		return &caps.Error{Code: caps.ErrWouldBlock, Text: "this is a turn of another world; what is done in this one is a turn of its own, outside of that"}
	}
	return t.usable()
}

// check is usable for where no error can be returned.
func (t *ReadTurn) check() {
	if err := t.usable(); err != nil {
		panic(unwind{err})
	}
}

// name says which turn it is, for errors.
func (t *ReadTurn) name() string {
	if t.w != nil {
		return t.w.op
	}
	return "view"
}

// Deliver is the untyped call. What it decodes is taken to be hostile.
func (h *handle) Deliver(ctx context.Context, via caps.Ref, m caps.Message) (caps.Reply, error) {
	if len(m.Body) > maxMessage || len(m.Slots) > maxSlots {
		return caps.Reply{}, tooLarge("an argument of %d bytes and %d references; the limits are %d and %d", len(m.Body), len(m.Slots), maxMessage, maxSlots)
	}
	_, authority, ok := maker.Open(via)
	if !ok {
		return caps.Reply{}, &caps.Error{Op: m.Method, Code: caps.ErrNoRight, Text: "the reference was not made by this world"}
	}
	turn, method, state, err := h.admit(ctx, authority, m.Method)
	if err == errPromise {
		to, err := h.standsFor(ctx, authority)
		if err != nil {
			return caps.Reply{}, err
		}
		return to.Deliver(ctx, m)
	}
	switch err {
	case nil:
	case errPort:
		return h.callPort(ctx, m)
	case errRemote:
		return h.callRemote(ctx, authority, m)
	default:
		return caps.Reply{}, err
	}
	return method.deliver(caps.Frame{Entry: method.entry, Turn: turn, Object: h, State: state, Via: authority, Own: state == nil}, m)
}

const (
	maxMessage = 1 << 20 // bytes of an argument's body
	maxSlots   = 1 << 16 // references in an argument
)

// beginRead starts a read turn of its own.
func (v *vat) beginRead(ctx context.Context, op string) (*ReadTurn, error) {
	if err := ctx.Err(); err != nil {
		return nil, notStarted(op, ended(ctx))
	}
	if err := v.rt.selfDeadlock(v, op); err != nil {
		return nil, err
	}
	if v.shut.Load() {
		return nil, stoppedError(op, ErrClosed)
	}
	t := &ReadTurn{ctx: ctx, vat: v, may: mayOf(ctx, v.rt)}
	if isRelaxed(ctx) {
		s, err := v.newest(ctx, op)
		if err != nil {
			return nil, err
		}
		t.snap = s
	} else {
		t.snap = v.snaps.acquire(&v.snaps.durable)
	}
	t.claim()
	return t, nil
}

// newest steps on a snapshot of everything committed.
func (v *vat) newest(ctx context.Context, op string) (*snapshot, error) {
	if err := v.w.lock(ctx, op, v.rt.clock); err != nil {
		return nil, notStarted(op, err)
	}
	defer v.w.unlock()
	if v.snaps.newest.Load().lsn != v.lsn {
		v.snaps.setNewest(&snapshot{
			lsn:    v.lsn,
			store:  v.store.Snapshot(),
			layers: [2]*layer{v.young.freeze(), v.old.freeze()},
		})
	}
	return v.snaps.acquire(&v.snaps.newest), nil
}

// endRead ends a read turn. again says that it met an object made after its snapshot, which
// has become visible meanwhile.
func (v *vat) endRead(t *ReadTurn, op string, err error) (again bool, _ error) {
	t.spent.Or(over)
	t.tell()
	lost := t.snap.lost.Load()
	v.snaps.release(t.snap)
	v.stats.reads.Add(1)
	switch {
	case lost:
		return false, &caps.Error{Op: op, Code: ErrTooOld, Text: "what this Relaxed turn read was lost: it could not be written to disk"}
	case err == nil && (t.depth != 0 || t.spent.Load()&shared != 0):
		err = turnShared(op)
	}
	if t.refused {
		if lost := v.settled(t.ctx, op); lost != nil {
			return false, lost
		}
	}
	if err == nil || !t.behind {
		return false, err
	}
	v.stats.reruns.Add(1)
	if lockErr := v.w.lock(t.ctx, op, v.rt.clock); lockErr != nil {
		return false, notStarted(op, lockErr)
	}
	g := v.pending()
	v.w.unlock()
	if g == nil && t.snap.lsn == v.snaps.durable.Load().lsn {
		return false, err
	}
	v.wake(v.kick)
	if werr := g.wait(t.ctx); werr != nil {
		return false, err
	}
	return true, err
}

// rescue ends a turn's code that did not return: after a panic the turn fails with an error.
// It is deferred around the code.
func (t *ReadTurn) rescue(op string, err *error, returned *bool) {
	p := recover()
	if p == nil {
		if !*returned { // runtime.Goexit, which t.FailNow of a test is: nobody else will end it
			t.abandon(op)
		}
		return
	}
	if u, ok := p.(unwind); ok {
		*err = u.err
		return
	}
	*err = panicked(op, t.self, p)
	t.vat.rt.reportPanic(op, p)
}

// muffle is deferred around a method that was called through a Ref that narrows what comes
// out: a panic could carry a Ref. It goes on, as an error.
func (t *ReadTurn) muffle(op string, h *handle) {
	switch p := recover().(type) {
	case nil:
	case unwind:
		if p.err != errMissed {
			p.err = outcome(op, h, p.err)
		}
		panic(p)
	default:
		t.vat.rt.reportPanic(op, p)
		panic(unwind{panicked(op, h, p)})
	}
}

// abandon ends the turn of a goroutine that is ending.
func (t *ReadTurn) abandon(op string) {
	err := turnShared(op)
	if t.w != nil {
		t.w.missed, t.w.abandoned = nil, true
		g, _ := t.vat.finish(t.w, err)
		t.vat.mail.quit(t.w, g)
		t.vat.w.unlock()
		return
	}
	_, _ = t.vat.endRead(t, op, nil)
}
