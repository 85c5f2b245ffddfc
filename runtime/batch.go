package sturdy

import (
	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// load is a batch of letters on its way to another host.
type load struct {
	ps     []parcel
	losses uint64 // what the mailroom's were
	theirs uint64 // the lineage that it is for; 0: any
	after  uint64 // the place behind which it belongs; 0: any
	answer []byte
	err    error
}

// parcel is a letter that is being carried.
type parcel struct {
	mail   *mail    // of which number and method can be read without the writer's lock
	row    *element // nil: it is in the store only
	target uint64   // whose mailbox it is in
	seq    uint64
	size   int  // mail.size
	answer bool // letter.answers
	tried  bool // mail.tried, and mail.word, when the batch was made
	word   bool
	letter letter
	failed error // why it is not carried: it may not be any more
	taken  bool  // the other host has dealt with it
	over   bool  // it is to be dropped
}

// parcelOf is a letter that is to be carried; with the writer's lock held.
func parcelOf(ml *mail) parcel {
	return parcel{mail: ml, seq: ml.seq, size: ml.size, row: ml.row, target: ml.target, answer: ml.answer, tried: ml.tried, word: ml.word}
}

// read reads the letters.
func (b *load) read(v *vat) error {
	s := v.store.Snapshot()
	defer s.Release()
	for i := range b.ps {
		p := &b.ps[i]
		var rec objstore.Record
		if p.row != nil {
			rec = p.row.rec
		} else {
			var ok bool
			var err error
			if rec, ok, err = s.Get(v.letterKey(p.target, p.mail.number)); err != nil {
				return err
			} else if !ok { // it has gone meanwhile, or else
				p.failed = &caps.Error{Op: "send", Code: caps.ErrDamaged, Text: "damaged: a letter is not where it was"}
				continue
			}
		}
		p.letter, p.failed = parseLetter(p.mail.number, p.mail.method, rec)
	}
	return nil
}

// told reads what the other host says of a batch. later says that some are to be brought again.
func (c *courier) told(b *load) (later bool, err error) {
	bad := &caps.Error{Op: "send", Object: c.host, Code: caps.ErrBadResult, Text: "the other host's answer does not decode"}
	p := letterParser{rest: b.answer}
	lineage := p.uvarint()
	if p.bad || lineage == 0 {
		return false, bad
	}
	if was := c.theirs; was != lineage {
		if c.theirs = lineage; was != 0 { // its world is an older one now, and has perhaps forgotten what it had
			c.forgotten()
			return false, nil
		}
	}
	if b.theirs != 0 && b.theirs != lineage {
		return false, nil // it was for the one before, and nothing was taken
	}
	if len(p.rest) != len(b.ps) {
		return false, bad
	}
	for i, note := range p.rest {
		switch of := &b.ps[i]; note {
		case noteTaken:
			of.taken = true
			if of.failed != nil && of.age(c.rt.clock().UnixNano()) > 0 { // it may have been done, and forgotten
				of.failed = unanswered(of.letter.method, c.host, of.failed)
			}
		case noteKnown: // it may have been done, and then is answered
			if of.taken = true; of.failed != nil && of.word { // or else that host knows of it what it was told last, and no answer comes
				of.failed = unanswered(of.letter.method, c.host, of.failed)
			} else {
				of.failed = nil
			}
		case noteRefused:
			of.taken = true
			if of.failed == nil {
				of.failed = &caps.Error{Op: of.letter.method, Object: c.host, Code: caps.ErrNoRight, Text: "the other host refuses it: the reference to its target, or one in its argument, proves nothing there"}
			}
		case noteForgot:
			of.taken, of.failed = true, forgotten(of.letter.method, c.host)
		case noteLater:
			later = true
		default:
			return false, bad
		}
	}
	return later, nil
}

// done notes what has become of a batch: outcomes that were taken have done what they were for;
// messages that were wait for theirs, unless they were given up. What could not be brought is
// given up only if it never was. left says that the other host may have got the batch.
func (c *courier) done(b *load, left bool) {
	v, ends := c.rt.vat, false
	v.w.lockInternal()
	for i := range b.ps { // true of letters that were read from disk again meanwhile, too
		p := &b.ps[i]
		p.mail.tried = p.mail.tried || left && p.failed == nil
		p.mail.word = p.mail.word || left && p.failed != nil
	}
	r := v.mail.routes[c.host]
	if v.mail.losses != b.losses || r == nil {
		v.w.unlock()
		return // they may not be there any more; the other host knows them when they come again
	}
	for i := range b.ps {
		p := &b.ps[i]
		ml := p.mail
		ml.out = false
		p.over = p.over || p.taken && (p.failed != nil || p.answer) || b.answer == nil && p.failed != nil && !ml.tried
		switch ml.abroad = p.taken || p.over; {
		case p.over:
			ends = true
		case !p.taken && ml.boxed:
			r.giveBack(ml)
			c.stalled = true
		}
	}
	v.w.unlock()
	if ends {
		c.drop(b)
	}
}

// drop ends the letters of a batch that are over.
func (c *courier) drop(b *load) {
	v := c.rt.vat
	err := c.rt.update(Relaxed(c.rt.couriers.ctx), "send", func(t *WriteTurn) error {
		t.expects(len(b.ps))
		for i := range b.ps {
			p := &b.ps[i]
			if !p.over || v.mail.losses != b.losses || !p.mail.boxed {
				continue
			}
			t.dropLetter(p.mail.target, p.mail)
			if p.failed == nil || p.answer {
				continue
			}
			if err := t.giveUp(&p.letter, p.mail, p.failed); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	v.w.lockInternal()
	defer v.w.unlock()
	r := v.mail.routes[c.host]
	if v.mail.losses != b.losses || r == nil {
		return
	}
	for i := range b.ps {
		if p := &b.ps[i]; p.over && p.mail.boxed {
			p.mail.abroad = false
			r.giveBack(p.mail)
			c.stalled = true
		}
	}
	c.relax()
}

// unanswered is what becomes of a letter that another host may have got, and whose outcome is not
// waited for any more.
func unanswered(method, host string, why error) error {
	return &caps.Error{Op: method, Object: host, Code: caps.ErrMaybeExecuted, Text: "maybe executed: the other host may have got it, and has not answered; it is not waited for any more: " + why.Error()}
}

// giveUp ends a letter for another host that its method never saw.
func (t *WriteTurn) giveUp(l *letter, ml *mail, why error) error {
	if len(l.slots) > 0 && l.from == 0 && !t.hasThen(l) {
		if err := t.bury(*l, why); err != nil {
			return err
		}
	}
	return t.conclude(l, ml, settled{err: why})
}

// endSome ends letters that may not be delivered any more, of a host that is not reached: some
// at a time, as each has to be read. One that the other host may have got ends only when that
// has not been reached for a while: as long as there is hope, it will say.
func (c *courier) endSome() {
	v := c.rt.vat
	b := &load{}
	v.w.lockInternal()
	if r := v.mail.routes[c.host]; r != nil {
		b.losses = v.mail.losses
		for _, ml := range r.behind(c.looked, maxParcels) {
			b.ps = append(b.ps, parcelOf(ml))
		}
	}
	v.w.unlock()
	if c.looked = 0; len(b.ps) == maxParcels {
		c.looked = b.ps[maxParcels-1].seq
	}
	if len(b.ps) == 0 || b.read(v) != nil {
		return
	}
	ends := false
	_ = c.rt.View(c.rt.couriers.ctx, func(t *ReadTurn) error {
		for i := range b.ps {
			p := &b.ps[i]
			if p.failed == nil {
				p.failed = t.mayLeave(&p.letter)
			}
			if p.failed != nil && p.tried {
				p.failed = unanswered(p.letter.method, c.host, p.failed)
			}
			p.over = p.failed != nil && (!p.tried || c.rest >= carryAtLeast)
			ends = ends || p.over
		}
		return nil
	})
	if ends {
		c.drop(b)
	}
}
