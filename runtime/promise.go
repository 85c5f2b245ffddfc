package sturdy

import (
	"cmp"
	"reflect"
	"slices"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// promise is the state of a promise that is an object: one that somebody has stored a Ref to
// or given a Then. Its number is that of the letter whose outcome it will be.
//
// What is called on its Ref is called on what it comes to, so it has no methods of its own.
type promise struct {
	State  promiseState
	Method string      // that was sent, for people
	Target string      // to whom
	Body   []byte      // of the result, if it was kept
	Slots  []caps.Ref  // of the result
	Err    *caps.Error // if it was broken
	Thens  []then      // who is told. Invariant: none unless it is pending
	Ahead  caps.Ref    // the promise whose outcome this one takes; null: it waits for its own
	Behind []caps.Ref  // the promises that take this one's. Invariant: none unless it is pending
}

type promiseState string

const (
	pending promiseState = "pending"
	kept    promiseState = "kept"
	broken  promiseState = "broken"
)

// then is whom the outcome is sent to.
type then struct {
	To     caps.Ref
	Method string   // empty: To is a thread that waits for the outcome, see ask.go
	As     caps.Ref // the promise, as it was held by whoever asked
	Sender caps.Ref // the object that is charged; null: the program
	May    caps.Ref // the domain in which it was asked for; null: none
}

const (
	maxBehind = 1000 // promises that may take each other's outcome, in a row or at once
	maxThens  = 1000 // who may be told of one promise
)

func newPromiseKind() *KindOf[promise] { return Define[promise]("sturdy/promise") }

// outcome is what p came to, for who holds it with authority a; ok is false while it is
// pending.
func (p *promise) outcome(a caps.Authority) (o settled, ok bool) {
	if p.State == pending {
		return o, false
	}
	if p.State == broken {
		return settled{err: p.Err}, true
	}
	return settled{reply: caps.Reply{Body: p.Body, Slots: p.Slots}}.as(a), true
}

// as is o for who holds the promise with authority a.
func (o settled) as(a caps.Authority) settled {
	if o.err == nil && len(o.reply.Slots) > 0 && a.Narrows() {
		o.reply.Slots = narrowed(o.reply.Slots, a)
	}
	return o
}

// narrowed is what is left of refs that come through a.
func narrowed(refs []caps.Ref, a caps.Authority) []caps.Ref {
	refs = append([]caps.Ref{}, refs...)
	codec, err := caps.CodecFor(reflect.TypeFor[[]caps.Ref]())
	if err == nil {
		err = codec.Own(unsafe.Pointer(&refs), a)
	}
	if err != nil {
		clear(refs)
	}
	return refs
}

// object is what a result designates, if it is a reference.
func (o settled) object(rt *Runtime) (to caps.Ref, ok bool) {
	if o.err != nil || len(o.reply.Slots) != 1 {
		return to, false
	}
	var v caps.Value
	if err := elemTypeOf[caps.Value](rt).codec.Load(unsafe.Pointer(&v), o.reply.Body, o.reply.Slots); err != nil {
		return to, false
	}
	to, ok = v.Any().(caps.Ref)
	return to, ok && !to.IsNull()
}

// materialise makes an object of the latent promise h, because it is going to be stored.
// Other objects are left alone.
func (t *WriteTurn) materialise(h *handle) error {
	s := latentOf(h)
	if s == nil || h.work != nil {
		return nil
	}
	if h.oid.N == 0 {
		return &caps.Error{Code: caps.ErrGone, Text: "the promise of what was not sent cannot be stored"}
	}
	v := t.r.vat
	p := promise{State: pending}
	if o := s.outcome.Load(); o != nil {
		p.settle(*o)
	} else if err := t.want(s, &p); err != nil {
		return err
	}
	w := newBox[promise]()
	*(*promise)(w.state) = p
	w.kind = v.rt.bound(v.rt.promises.def)
	w.prev.Store(h.cur.Load())
	h.work = w
	s.seen.Store(true)
	v.table.add(h)
	t.wset = append(t.wset, h)
	return nil
}

// want notes in the letter of s that its promise is an object.
func (t *WriteTurn) want(s *sent, p *promise) error {
	rec, err := t.rowOf(&s.mail)
	if err != nil {
		return err
	}
	l, err := parseLetter(s.mail.number, s.mail.method, rec)
	if err != nil {
		return err
	}
	p.Method, p.Target = l.method, t.r.vat.handle(l.slots[0].OID).name()
	if t.takes(&s.mail) {
		return nil // it is being delivered, and conclude will see what h is now
	}
	l.wanted = true
	t.rewrite(&s.mail, &element{key: t.r.vat.letterKey(l.to(), l.number), rec: l.record()})
	return nil
}

// takes reports whether ml is delivered by this turn.
func (t *WriteTurn) takes(ml *mail) bool {
	return t.seldom != nil && slices.ContainsFunc(t.seldom.taken, func(p placed) bool { return p.mail == ml })
}

func (v *vat) handle(oid objstore.OID) *handle { return v.table.get(v, oid) }

// numberOf is the number of the object that ref designates; 0 if it is null.
func (rt *Runtime) numberOf(ref caps.Ref) uint64 {
	if h, _, ok := rt.open(ref); ok {
		return h.oid.N
	}
	return 0
}

func (v *vat) handleOf(n uint64) *handle { return v.handle(objstore.OID{Vat: v.id, N: n}) }

// promiseAt returns the state of the promise h for writing.
func (t *WriteTurn) promiseAt(h *handle) (*promise, error) {
	if err := t.materialise(h); err != nil {
		return nil, err
	}
	s, err := t.ownOf(h, t.r.vat.rt.promises.def)
	return (*promise)(s), err
}

// settle ends the waiting.
func (p *promise) settle(o settled) {
	p.State, p.Body, p.Slots = kept, o.reply.Body, o.reply.Slots
	if o.err != nil {
		p.State, p.Err = broken, plain(o.err)
	}
	p.Thens, p.Behind, p.Ahead = nil, nil, caps.Ref{}
}

// plain is err as it is stored.
func plain(err error) *caps.Error {
	if e, ok := outcome("", nil, err).(*caps.Error); ok {
		return e
	}
	return &caps.Error{Code: caps.ErrFailed, Text: err.Error()}
}

// conclude settles the promise of a letter that has been dealt with.
func (t *WriteTurn) conclude(l *letter, ml *mail, o settled) error {
	if l.from != 0 {
		return t.answer(l, o)
	}
	if s := ml.sent; s != nil && s.h.work == nil && latentOf(&s.h) != nil {
		t.rare().concluded = append(t.rare().concluded, concluded{s, o})
		return nil
	}
	if !l.wanted && ml.sent == nil {
		return nil // nobody can ask
	}
	return t.resolve(t.r.vat.handleOf(l.number), o)
}

// concluded is a latent promise and what the turn has made of it.
type concluded struct {
	sent *sent
	is   settled
}

// resolve settles the promise h, and those behind it; has everybody told; and sends the
// letters for it on.
func (t *WriteTurn) resolve(h *handle, o settled) error {
	p, err := t.promiseAt(h)
	if err != nil || p.State != pending {
		return err
	}
	if to, ok := o.object(t.r.vat.rt); ok {
		var later bool
		if o, later, err = t.follow(h, p, to, o); err != nil || later {
			return err
		}
	}
	thens, behind := p.Thens, p.Behind
	p.settle(o)
	t.rare().resolved = append(t.rare().resolved, h.oid.N)
	for _, th := range thens {
		if err := t.tell(th, o); err != nil {
			return err
		}
	}
	if to, ok := o.object(t.r.vat.rt); !ok {
		t.rare().released = append(t.rare().released, h.oid.N) // each letter will be told
	} else if err := t.forward(h, to); err != nil {
		return err
	}
	for _, b := range behind {
		bh, a, _ := t.r.vat.rt.open(b)
		if err := t.resolve(bh, o.as(a)); err != nil {
			return err
		}
	}
	return nil
}

// follow is what the promise h comes to if its result is to: if that is a promise, its
// outcome; later says that it is pending, too, and that h is behind it now. A ring of
// promises would never come to anything, so the one that closes it is broken.
func (t *WriteTurn) follow(h *handle, p *promise, to caps.Ref, o settled) (_ settled, later bool, _ error) {
	rt := t.r.vat.rt
	for range maxBehind {
		th, a, ok := rt.open(to)
		if !ok {
			return o, false, nil
		}
		if th == h {
			return settled{err: &caps.Error{Object: h.name(), Code: ErrCycle, Text: "the promise would come to itself; it was broken"}}, false, nil
		}
		if err := t.materialise(th); err != nil {
			return o, false, err
		}
		v, err := t.r.state(th)
		if err != nil {
			return o, false, err
		}
		if v.kind.def != rt.promises.def {
			return o, false, nil
		}
		q := (*promise)(v.state)
		if out, ok := q.outcome(a); ok {
			return out, false, nil
		}
		if !q.Ahead.IsNull() {
			to = narrowed([]caps.Ref{q.Ahead}, a)[0]
			continue
		}
		if t.waitsFor(th.oid.N, h.oid.N) {
			return settled{err: &caps.Error{Object: h.name(), Code: ErrCycle, Text: "the promise would come to that of a message which waits for it; it was broken"}}, false, nil
		}
		if q, err = t.promiseAt(th); err != nil {
			return o, false, err
		}
		if len(q.Behind) >= maxBehind {
			break
		}
		q.Behind, p.Ahead = append(q.Behind, rt.ref(h, a)), to
		return o, true, t.forward(h, to)
	}
	return settled{err: tooLarge("more than %d promises that come to each other", maxBehind)}, false, nil
}

// waitsFor reports whether the promise n is that of a letter which waits for the promise p, or
// for another whose letter does.
func (t *WriteTurn) waitsFor(n, p uint64) bool {
	for range maxBehind {
		at := t.addressee(n)
		if at == p || at == 0 {
			return at == p
		}
		st, err := t.r.state(t.r.vat.handleOf(at))
		if err != nil || st.kind.def != t.r.vat.rt.promises.def || (*promise)(st.state).State != pending {
			return false
		}
		if n = at; !(*promise)(st.state).Ahead.IsNull() {
			ahead, _, _ := t.r.vat.rt.open((*promise)(st.state).Ahead)
			n = ahead.oid.N
		}
		if n == p {
			return true
		}
	}
	return true // as good as
}

// addressee is whom the letter n waits for, as this turn sees it; 0: there is no such letter.
func (t *WriteTurn) addressee(n uint64) uint64 {
	for _, p := range t.rare().sent {
		if p.mail.number == n {
			return p.target
		}
	}
	for target, b := range t.r.vat.mail.boxes {
		if _, ok := b.find(n); ok {
			return target
		}
	}
	return 0
}

// forward moves the letters that wait for the promise h to what it came to. They keep their
// numbers, so their order.
func (t *WriteTurn) forward(h *handle, to caps.Ref) error {
	b := t.r.vat.mail.boxes[h.oid.N]
	if b == nil {
		return nil
	}
	for _, ml := range b.mails {
		if err := t.readdress(h, ml, to); err != nil {
			return err
		}
	}
	return nil
}

// passOn sends on a letter that waits for h, if that is a promise which came to an object:
// there it stands behind what was sent before, also behind what was sent through the promise
// while that was pending.
func (t *WriteTurn) passOn(h *handle, ml *mail) (on bool, err error) {
	v, err := t.r.state(h)
	if err != nil || v.kind.def != t.r.vat.rt.promises.def {
		return false, err
	}
	o, _ := (*promise)(v.state).outcome(caps.Full())
	to, ok := o.object(t.r.vat.rt)
	if !ok {
		return false, nil
	}
	return true, t.readdress(h, ml, to)
}

// readdress sends one letter on. Whoever sent it gets no more of to than the promise gave him.
func (t *WriteTurn) readdress(h *handle, ml *mail, to caps.Ref) error {
	v := t.r.vat
	rec, err := t.rowOf(ml)
	if err != nil {
		return err
	}
	l, err := parseLetter(ml.number, ml.method, rec)
	if err != nil {
		return err
	}
	_, a, _ := v.rt.open(v.rt.refs(l.slots[:1])[0])
	to = narrowed([]caps.Ref{to}, a)[0]
	if err := t.storable(to); err != nil {
		return err
	}
	t.dropLetter(h.oid.N, ml)
	l.slots, l.seq = append([]objstore.Slot{v.rt.slot(to)}, l.slots[1:]...), 0
	if th, _, _ := v.rt.open(to); th.away.Load() { // letters for another host stand in the order in which they were sent there
		l.seq = v.next
		v.next++
	}
	row := &element{key: v.letterKey(l.to(), l.number), rec: l.record()}
	t.change(row)
	v.mail.charge(ml.sender, 1, ml.size)
	t.rare().sent = append(t.rare().sent, placed{target: l.to(), mail: ml, row: row, seq: cmp.Or(l.seq, l.number), away: l.away()})
	return nil
}

// tell sends an outcome to who has asked for it.
func (t *WriteTurn) tell(th then, o settled) error {
	if th.Method == "" {
		h, _, _ := t.r.vat.rt.open(th.To)
		return t.ringThread(h) // it has asked, and looks by itself
	}
	_, a, _ := t.r.vat.rt.open(th.As)
	body, slots, err := o.as(a).message()
	if err != nil {
		return err
	}
	l, err := t.letter(caps.Message{To: th.To, Method: th.Method, Body: body, Slots: slots})
	if err != nil {
		return err
	}
	l.sender, l.ceiling = t.r.vat.rt.numberOf(th.Sender), t.r.vat.rt.numberOf(th.May)
	return t.sendFor(l) // however much waits already: that the outcome is told was promised
}

// message is o as the argument that an Outcome[R] is decoded from: a struct with one of its
// two fields. The result stands in it as it is, whatever type it has.
func (o settled) message() (body []byte, slots []caps.Ref, err error) {
	if o.err == nil && len(o.reply.Body) == 0 {
		return []byte{0x80}, nil, nil // a caps.Done, which has no bytes of its own: a struct without fields
	}
	if o.err == nil {
		return append([]byte("\x81\xa5Value"), o.reply.Body...), o.reply.Slots, nil
	}
	codec, err := caps.CodecFor(reflect.TypeFor[caps.Error]())
	if err != nil {
		return nil, nil, err
	}
	e := plain(o.err)
	if _, err := codec.Seal(unsafe.Pointer(e)); err != nil {
		return nil, nil, err
	}
	body, slots = codec.Append([]byte("\x81\xa3Err"), nil, unsafe.Pointer(e))
	return body, slots, nil
}
