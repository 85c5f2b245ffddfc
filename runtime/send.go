package sturdy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// turning and looking are what caps finds under TurnKey in a write turn and in a read turn.
type (
	turning struct{ t *WriteTurn }
	looking struct{ t *ReadTurn }
)

// MayCall refuses what is not of this world.
func (o turning) MayCall(r caps.Ref) error { return o.t.r.mayCall(r) }

// MayCall refuses what is not of this world.
func (o looking) MayCall(r caps.Ref) error { return o.t.mayCall(r) }

// Post sends when the turn commits.
func (o turning) Post(m caps.Message) caps.Ref {
	o.t.r.check()
	o.t.r.depth++ // see openColl
	s, err := o.t.post(m)
	if err != nil {
		panic(unwind{sendError(m, err)})
	}
	o.t.r.depth--
	return o.t.r.vat.rt.ref(&s.h, caps.Full())
}

// Post fails: from a read turn nothing can start.
func (o looking) Post(m caps.Message) caps.Ref {
	o.t.check()
	panic(unwind{&caps.Error{Op: m.Method, Object: m.To.String(), Code: caps.ErrNoRight, Text: "this is a read turn, from which no send can start"}})
}

// Post sends from outside of turns.
func (h *handle) Post(ctx context.Context, m caps.Message) caps.Ref {
	v, op := h.vat, "send "+m.Method
	var s *sent
	var err error
	for full := true; full; { // others may have been let in at the same time, and have filled it up
		full = false
		if err = v.programMaySend(ctx, op); err == nil {
			err = v.rt.update(ctx, op, func(t *WriteTurn) (err error) {
				s, err = t.post(m)
				full = errors.Is(err, caps.ErrOverloaded)
				return err
			})
		}
	}
	switch {
	case err == nil:
	case s != nil && ctx.Err() != nil: // it is under way, and only the caller has stopped waiting
	default:
		s = &sent{}
		v.makeLatent(s, 0)
		s.outcome.Store(&settled{err: sendError(m, err)})
	}
	return v.rt.ref(&s.h, caps.Full())
}

// makeLatent makes s a latent promise.
func (v *vat) makeLatent(s *sent, number uint64) {
	s.h.oid, s.h.vat = objstore.OID{Vat: v.id, N: number}, v
	s.latent.kind, s.latent.state = v.latent, unsafe.Pointer(s)
	s.h.cur.Store(&s.latent)
}

// post makes a letter of m. It goes into its mailbox when the turn commits.
func (t *WriteTurn) post(m caps.Message) (*sent, error) {
	v := t.r.vat
	l, err := t.letter(m)
	if err != nil {
		return nil, err
	}
	if a := v.mail.accounts[l.sender]; a.full() {
		return nil, &caps.Error{Code: caps.ErrOverloaded, Text: fmt.Sprintf("overloaded: %d messages, %d bytes, of this sender wait to be delivered already; the turn is undone", a.letters, a.bytes)}
	}
	t.rare().posted++
	return t.enqueue(l), nil
}

// letter is m as it is stored, with a number of its own.
func (t *WriteTurn) letter(m caps.Message) (l letter, err error) {
	v := t.r.vat
	if err := t.sendable(m); err != nil {
		return l, err
	}
	if t.r.self != nil {
		l.sender = t.r.self.oid.N
	}
	l.ceiling = t.here().number()
	l.number, l.opening, l.at, l.method, l.body = v.next, v.rt.incarnation, t.Now().UnixNano(), m.Method, m.Body
	v.next++
	l.slots = make([]objstore.Slot, 0, 1+len(m.Slots))
	l.slots = v.rt.slots(append(l.slots, v.rt.slot(m.To)), m.Slots)
	return l, nil
}

// enqueue stores l, which nobody has yet, and charges its sender.
func (t *WriteTurn) enqueue(l letter) *sent {
	v, s := t.r.vat, &sent{}
	v.makeLatent(s, l.number)
	s.element = element{key: v.letterKey(l.to(), l.number), rec: l.record()}
	s.mail = mail{number: l.number, seq: cmp.Or(l.seq, l.number), method: l.method, target: l.to(), sender: l.sender, answer: l.answers(), size: s.element.bytes(), row: &s.element, sent: s}
	t.add(&s.element)
	v.mail.charge(l.sender, 1, s.mail.size)
	t.rare().sent = append(t.rare().sent, placed{target: l.to(), mail: &s.mail, row: &s.element, away: l.away()})
	return s
}

// expects makes room for so many letters, which the turn takes or sends.
func (t *WriteTurn) expects(letters int) {
	t.elems = slices.Grow(t.elems, letters)
	r := t.rare()
	r.sent, r.taken = slices.Grow(r.sent, letters), slices.Grow(r.taken, letters)
}

// placed is a letter and where it stands once the turn has committed.
type placed struct {
	target uint64
	mail   *mail
	row    *element
	seq    uint64 // of a letter that goes elsewhere; 0: as it was
	away   bool   // of one that was sent
}

// row is the row of a letter as this turn sees it; nil: it is in the store only.
func (t *WriteTurn) row(ml *mail) *element {
	if t.seldom != nil {
		for _, ps := range [...][]placed{t.seldom.sent, t.seldom.rows} {
			for _, p := range slices.Backward(ps) { // most ask for what they have just sent
				if p.mail == ml {
					return p.row
				}
			}
		}
	}
	return ml.row
}

// rewrite notes a new row of a letter that stays in its mailbox, or goes where this turn
// sends it.
func (t *WriteTurn) rewrite(ml *mail, row *element) {
	t.r.vat.young.gather() // the row may be a loose one
	t.change(row)
	for i, p := range slices.Backward(t.rare().sent) {
		if p.mail == ml {
			t.seldom.sent[i].row = row
			return
		}
	}
	t.seldom.rows = append(t.seldom.rows, placed{mail: ml, row: row})
}

// rowOf is the record of a letter that waits in its mailbox.
func (t *WriteTurn) rowOf(ml *mail) (objstore.Record, error) {
	if row := t.row(ml); row != nil {
		return row.rec, nil
	}
	rec, ok := t.r.element(t.r.vat.rt.activity, activityElem('m', ml.target, ml.number))
	if !ok {
		return rec, &caps.Error{Code: caps.ErrDamaged, Text: fmt.Sprintf("damaged: letter %x is not where it was", ml.number)}
	}
	return rec, nil
}

// sendable reports why m cannot be sent.
func (t *WriteTurn) sendable(m caps.Message) error {
	if m.To.IsNull() {
		return &caps.Error{Code: caps.ErrNull, Text: "null reference (the zero caps.Ref). Was the field ever set?"}
	}
	if err := m.Err(); err != nil {
		return err
	}
	h, a, ok := t.r.vat.rt.open(m.To)
	switch {
	case !ok || h.vat != t.r.vat:
		return &caps.Error{Code: caps.ErrWouldBlock, Text: m.To.String() + " is not of this world, and there is no way to it"}
	case a.Deep:
		return &caps.Error{Code: caps.ErrNoRight, Text: "a reference that only reads, " + m.To.String() + ", cannot be sent to"}
	case len(m.Body) > maxMessage || len(m.Slots) > maxSlots:
		return tooLarge("an argument of %d bytes and %d references; the limits are %d and %d", len(m.Body), len(m.Slots), maxMessage, maxSlots)
	}
	if err := t.storable(m.To); err != nil {
		return err
	}
	for _, r := range m.Slots {
		if err := t.storable(r); err != nil {
			return err
		}
	}
	return nil
}

// sendError says what could not be sent, and to whom.
func sendError(m caps.Message, err error) error {
	e, ok := err.(*caps.Error)
	if !ok {
		return &caps.Error{Op: "send " + m.Method, Object: m.To.String(), Code: caps.ErrFailed, Text: err.Error()}
	}
	c := *e
	if c.Op == "" {
		c.Op = "send " + m.Method
	}
	if c.Object == "" {
		c.Object = m.To.String()
	}
	return &c
}

func (v *vat) activityOID() objstore.OID { return objstore.OID{Vat: v.id, N: activityNumber} }

// letterKey is the key of a letter that waits to be delivered. Its references are not listed
// in the index of references: it is not for long that it has them, and two rows for each
// would be half of what a send costs.
func (v *vat) letterKey(target, number uint64) objstore.Key {
	return objstore.ElementKey(v.activityOID(), activityElem('m', target, number))
}

// dropLetter removes the row of a letter that waits for target. What was sent since the last
// group was cut stands nowhere but in the young layer, and leaves no trace of itself.
func (t *WriteTurn) dropLetter(target uint64, ml *mail) {
	v, row := t.r.vat, ml.row
	if row == nil || ml.target != target {
		row = &element{key: v.letterKey(target, ml.number)}
	}
	if ml.number < v.cutNext {
		t.change(&element{key: row.key, dead: true})
	} else if was := v.young.remove(row); was != nil {
		t.elems = append(t.elems, change{before: was})
	}
	t.rare().taken = append(t.rare().taken, placed{target: target, mail: ml})
}

// mailed makes the mailroom what the turn has made of it; with the turn committed.
func (v *vat) mailed(r *seldom) {
	for _, p := range r.taken {
		v.mail.charge(p.mail.sender, -1, -p.mail.size)
		v.removeMail(p.target, p.mail)
	}
	for _, p := range r.rows {
		p.mail.row = p.row
	}
	for _, p := range r.sent {
		p.mail.target, p.mail.row, p.mail.seq = p.target, p.row, cmp.Or(p.seq, p.mail.seq)
		p.mail.away = p.away
		v.addMail(p.mail)
	}
	for _, n := range r.released {
		v.release(n)
	}
	for _, n := range r.wakes {
		v.rt.wakeThread(n)
	}
	for _, n := range r.interrupts {
		v.rt.interrupt(n)
	}
	if len(r.concluded)+len(r.resolved)+len(r.taken) > 0 {
		v.tellAwaits(r)
	}
	if r.rung {
		v.mail.due.Store(r.nextDue)
	}
	for _, due := range r.alarms {
		v.mail.due.Store(min(v.mail.due.Load(), due))
	}
	if len(r.sent)+len(r.alarms) > 0 {
		v.wake(v.mail.kick)
	}
	if v.mail.fresh += len(r.sent); v.mail.fresh > maxFresh {
		v.w.handNext()
	}
}

// tellAwaits settles latent promises, and wakes who waits for any.
func (v *vat) tellAwaits(r *seldom) {
	g, m := v.pending(), &v.mail
	if m.toldCut != v.cut {
		m.flown, m.told, m.toldCut = m.told, nil, v.cut
	}
	for i := range r.concluded {
		c := &r.concluded[i]
		c.is.group = g
		m.told = append(m.told, c.sent)
		c.sent.settle(c.is)
		waited := v.rt.awaits.notify(c.sent.mail.number, g)
		if c.is.err != nil && !waited && !c.sent.seen.Load() {
			v.rt.unseen.add(c.sent, v.rt.clock())
		}
	}
	for _, p := range r.taken { // also those whose promise is an object: a rollback brings them back
		if p.mail.sent != nil && latentOf(&p.mail.sent.h) == nil {
			m.told = append(m.told, p.mail.sent)
		}
	}
	for _, n := range r.resolved {
		v.rt.awaits.notify(n, g)
	}
}

// unmailed takes back what an undone turn has charged, and breaks the promises that it has
// made: somebody may have carried one out of it, and would wait for ever, or store it.
func (t *WriteTurn) unmailed() {
	v := t.r.vat
	for _, p := range t.seldom.sent {
		v.mail.charge(p.mail.sender, -1, -p.mail.size)
		if p.mail.number >= t.first {
			p.mail.sent.outcome.Store(&settled{err: &caps.Error{Op: "send " + p.mail.method, Code: caps.ErrNotDelivered, Text: "not delivered: the turn that sent it was undone"}})
			v.rt.awaits.notify(p.mail.number, nil)
		}
	}
}
