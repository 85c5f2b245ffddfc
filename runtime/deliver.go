package sturdy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// The postman is the goroutine that delivers. It serves the mailboxes in turn, one letter at
// a time, and does not wait for the disk: a delivery may build on a send that is not durable
// yet, as any turn may on another. What a delivery says to the outside, a promise that
// somebody awaits, is held until its group is durable.
//
// One letter, walked through:
//
//	Show.Send(t, screen, p)        caps.Message.post finds the turn
//	(*WriteTurn).post, enqueue     an m element of the activity, in the sender's turn
//	(*vat).mailed                  the turn has committed: the letter is in its mailbox
//	(*vat).round                   a turn that drops the element and runs the method
//	(*WriteTurn).conclude          and settles the promise, all in one commit
//
// A crash between any two of these leaves the letter, or leaves it delivered. A method that
// fails has its turn undone, and a second turn drops the letter and breaks the promise.

// postman delivers until the world is closed. If a method ends his goroutine, another goes on.
func (v *vat) postman() {
	over := false
	defer func() {
		if over {
			close(v.retired)
			return
		}
		go v.postman()
	}()
	for {
		untilNext := v.ring()
		switch more, wait := v.round(); {
		case more:
		case v.idle(min(wait, untilNext)):
			over = true
			return
		}
	}
}

// idle waits until there may be something to do; it reports whether the world is closing.
func (v *vat) idle(wait time.Duration) (closing bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-v.mail.kick:
	case <-timer.C:
	case <-v.closing:
		return true
	}
	return false
}

const (
	// idleFor is how long the postman sleeps at most: an injected clock does not wake it.
	idleFor = time.Second
	// againAfter is when what was too much is tried again.
	againAfter = 20 * time.Millisecond
)

const (
	// maxRound and maxRoundTime are how many letters the postman delivers before others may
	// write, and how long it takes at most until that, a slow method apart: taking the lock
	// for each letter costs as much as delivering it.
	maxRound     = 128
	maxRoundTime = 200 * time.Microsecond
	// maxFresh is after how many letters the postman is given the lock before who sends more.
	maxFresh = 64
)

// round delivers some letters, each in a turn of its own. more says that there may be others;
// else wait says when to look again.
func (v *vat) round() (more bool, wait time.Duration) {
	if err := v.admitPostman(); err != nil {
		return false, idleFor
	}
	v.mail.fresh, v.mail.away = 0, false
	if was := v.mail.left; was.d != nil {
		v.mail.left, v.mail.away = leftover{}, true
		v.w.unlock()
		return v.undelivered(was.d, was.g, was.err)
	}
	if buried := v.mail.buried; buried != nil {
		v.mail.buried, v.mail.away = nil, true
		v.w.unlock()
		v.rt.logBuried(buried)
		return true, 0
	}
	began := v.rt.clock()
	var before *WriteTurn
	for n := 0; n < maxRound; {
		if !v.anyMail() {
			v.w.unlock()
			return false, idleFor
		}
		d := v.delivery(before)
		err := d.once()
		g, err := v.finish(d.t, err)
		if before = nil; d.t.again {
			before = d.t
			if !v.goOn(before) {
				return false, idleFor
			}
			continue
		}
		if err != nil && d.mail != nil {
			v.mail.away = true
			v.w.unlock()
			return v.undelivered(d, g, err)
		}
		if d.t.hasBuried() {
			v.mail.away = true
			v.w.unlock()
			d.t.logBuried()
			return true, 0
		}
		if n++; v.w.waiting.Load() > 0 && v.rt.clock().Sub(began) > maxRoundTime {
			break
		}
	}
	v.w.giveWay()
	return true, 0
}

// delivery begins an attempt to deliver; with the lock held. There is one at a time.
func (v *vat) delivery(before *WriteTurn) *delivery {
	m := &v.mail
	m.attempt = delivery{t: v.turn(context.Background(), "deliver", before), losses: m.losses}
	m.attempt.t.seldom = m.spare.empty()
	return &m.attempt
}

// goOn prepares the next run of a delivery; it reports whether the lock is held.
func (v *vat) goOn(t *WriteTurn) bool {
	if t.trial != nil { // between the two runs of Checked mode nobody else writes
		v.retry(t)
		return true
	}
	v.mail.away = true
	v.w.unlock()
	v.retry(t)
	if v.admitPostman() != nil {
		return false
	}
	v.mail.away = false
	return true
}

// admitPostman is admit for the postman.
func (v *vat) admitPostman() error {
	if err := v.mayWrite(context.Background(), "deliver"); err != nil {
		return err
	}
	v.w.lockAhead()
	if v.failed.Load() != nil {
		v.anyMail() // tells who waits for quiet
	}
	return v.stillWrites("deliver")
}

// anyMail reports whether there is something to deliver, and tells who waits that there is
// not; with the lock held.
func (v *vat) anyMail() bool {
	stopped := v.failed.Load() != nil
	if len(v.mail.ready) > 0 && !stopped {
		return true
	}
	if stopped || v.mail.due.Load() > v.rt.clock().UnixNano() && v.rt.strands.allIdle() {
		for _, c := range v.mail.quiet {
			c <- v.mail.due.Load()
		}
		v.mail.quiet = nil
	}
	return false
}

// delivery is one attempt to deliver one letter.
type delivery struct {
	t      *WriteTurn
	losses uint64 // what the mailroom's were
	mail   *mail  // nil: there is none
	target uint64 // whose mailbox it is in
	letter letter
	held   string // why the mailbox is not served for now
	inbox  bool   // because the target looks into it by itself
	wake   bool   // and waits for what is in it
	// empty is the meter that could not pay for it; it can be sent again when that is refilled.
	empty *emptyError
}

func (d *delivery) once() (err error) {
	t := d.t
	returned := false
	defer t.r.rescue("deliver", &err, &returned)
	if b := t.r.vat.mail.next(); b != nil {
		d.mail, d.target = b.mails[0], b.target
		err = d.run(b)
	}
	returned = true
	return err
}

// next is the mailbox to be served; it stays in front until it was.
func (m *mailroom) next() *mailbox {
	if len(m.ready) == 0 {
		return nil
	}
	return m.ready[0]
}

// run does what the letter asks, and settles its promise.
func (d *delivery) run(b *mailbox) error {
	t, v := d.t, d.t.r.vat
	row, err := t.rowOf(d.mail)
	if err != nil {
		return err
	}
	if d.letter, err = parseLetter(d.mail.number, d.mail.method, row); err != nil {
		return err
	}
	to := v.rt.refOf(d.letter.slots[0])
	h, via, _ := v.rt.open(to)
	if d.held, err = t.r.receives(h, d.letter.method); err != nil {
		return err
	} else if d.held != "" {
		if d.inbox, d.wake = t.r.wanted(h, b); d.inbox {
			if err := t.mayReach(h, via, &d.letter); err != nil {
				return err
			}
		}
		t.rare().holds = d
		return errHeld
	}
	if on, err := t.passOn(h, d.mail); on || err != nil {
		return err
	}
	if d.letter.ceiling != 0 {
		if t.r.may, err = t.r.mayAt(v.handleOf(d.letter.ceiling)); err != nil {
			return err
		}
	}
	t.dropLetter(b.target, d.mail)
	d.letter.ran = true
	reply, err := h.receive(t, via, caps.Message{To: to, Method: d.letter.method, Body: d.letter.body, Slots: v.rt.refs(d.letter.slots[1:])})
	if err != nil {
		return err
	}
	return t.conclude(&d.letter, d.mail, settled{reply: reply})
}

// errHeld undoes a delivery that has to wait.
var errHeld = errors.New("held")

// wanted reports whether h looks into its mailbox by itself, as a thread and a port do, and
// whether it waits for a letter that is in b.
func (t *ReadTurn) wanted(h *handle, b *mailbox) (inbox, wanted bool) {
	v, err := t.state(h)
	switch {
	case err != nil:
		return false, false
	case v.kind.def == t.vat.rt.portKind.def, h.away.Load(), v.kind.def == t.vat.rt.peers.def:
		return true, true
	case v.kind.def != t.vat.rt.threads.def:
		return false, false
	}
	st := (*thread)(v.state)
	return true, st.State == ThreadWaiting && slices.ContainsFunc(b.mails, func(ml *mail) bool { return ml.method == st.For })
}

// receives reports why h does not take letters for method now; empty: it does.
func (t *ReadTurn) receives(h *handle, method string) (held string, err error) {
	v, err := t.state(h)
	switch {
	case err != nil:
		return "", err
	case v.kind == t.vat.latent:
		return "waits for " + h.name(), nil
	case v.kind == t.vat.latentTimer:
		return "", nil
	case h.away.Load() || v.kind.def == t.vat.rt.peers.def:
		return "waits for " + h.hostName(), nil
	case v.kind.def == nil:
		return "unknown kind " + v.kind.name, nil
	case v.kind.def == t.vat.rt.threads.def && v.kind.def.method(method) == nil:
		if st := (*thread)(v.state); st.ended() {
			return "", endedError(st)
		}
		return "waits to be received by " + h.name(), nil
	case v.kind.def == t.vat.rt.portKind.def:
		if err := (*port)(v.state).listens(t.vat.rt, h, method); err != nil {
			return "", err
		}
		return "waits to be received by " + h.name(), nil
	case v.kind.def != t.vat.rt.promises.def:
		return "", nil
	}
	if p := (*promise)(v.state); p.State == pending {
		return "waits for " + h.name(), nil
	}
	return "", nil
}

// receive is Deliver for a letter.
func (h *handle) receive(t *WriteTurn, via caps.Authority, m caps.Message) (caps.Reply, error) {
	turn, method, state, err := h.admit(t, via, m.Method)
	if err == errPromise {
		var to caps.Ref
		if to, err = h.standsFor(t, via); err != nil {
			return caps.Reply{}, err
		}
		h, via, _ = t.r.vat.rt.open(to)
		return h.receive(t, via, m)
	}
	if err != nil {
		return caps.Reply{}, err
	}
	return method.deliver(caps.Frame{Entry: method.entry, Turn: turn, Object: h, State: state, Via: via}, m)
}

// undelivered is what becomes of a letter whose delivery failed with err.
func (v *vat) undelivered(d *delivery, g *group, err error) (more bool, wait time.Duration) {
	switch {
	case d.held != "":
		if d.wake {
			v.rt.wakeReceiver(d.target)
		}
		return true, 0
	case v.overBy(err):
		return false, idleFor
	case errors.Is(err, caps.ErrOverloaded) && !d.t.sendsTooMuch():
		v.postpone(d, err)
		return true, 0
	}
	_ = v.reply(Relaxed(context.Background()), "deliver", g, err) // for its count
	errors.As(err, &d.empty)
	if e, ok := err.(*caps.Error); !ok || e.Op == "" {
		h := v.handleOf(d.target)
		err = outcome(v.rt.opOf(h, d.letter.method), h, err)
	}
	switch lost := v.consume(d, err); {
	case lost == nil:
	case errors.Is(lost, caps.ErrNotDelivered): // somebody else has held the writer for too long
		v.postpone(d, lost)
	default:
		v.rt.log.Error("a letter that cannot be delivered cannot be put away either", "letter", fmt.Sprintf("%x", d.mail.number), "err", lost)
		v.stopServing(d, "cannot be put away: "+lost.Error())
	}
	return true, 0
}

// consume drops a letter that failed with err, and breaks its promise. If its method never
// ran it is kept as a dead letter.
//
// It is a turn of its own. If a group was lost since the letter failed, it has perhaps failed
// for what never was, or was never sent, and consume leaves it to the next delivery.
func (v *vat) consume(d *delivery, err error) error {
	var note func()
	lost := v.rt.update(Relaxed(context.Background()), "consume", func(t *WriteTurn) error {
		note = nil
		if v.mail.losses != d.losses {
			return nil
		}
		t.dropLetter(d.target, d.mail)
		if d.empty != nil {
			if err := t.empty(d.empty, nil); err != nil {
				return err
			}
		}
		if (d.empty != nil || d.t.r.calls == 0 && !t.hasThen(&d.letter)) && d.letter.from == 0 && len(d.letter.slots) > 0 {
			if err := t.bury(d.letter, err); err != nil {
				return err
			}
		}
		if d.mail.sent == nil && !d.letter.wanted && d.letter.from == 0 && len(d.letter.slots) > 0 {
			note = func() { v.rt.logBroken(&d.letter, err) }
		}
		l := d.letter
		l.ran = d.t.r.calls > 0
		return t.conclude(&l, d.mail, settled{err: err})
	})
	if lost == nil && note != nil {
		note()
	}
	return lost
}

// hasThen reports whether somebody is told of the outcome of l in a message. He has dealt with
// it then, and a server would keep a dead letter of every client that went away.
func (t *WriteTurn) hasThen(l *letter) bool {
	if !l.wanted {
		return false
	}
	v, err := t.r.state(t.r.vat.handleOf(l.number))
	return err == nil && v.kind.def == t.r.vat.rt.promises.def && len((*promise)(v.state).Thens) > 0
}

// sendsTooMuch reports whether the turn has sent as much by itself as may wait: there will
// never be room for that.
func (t *WriteTurn) sendsTooMuch() bool {
	if t.seldom == nil {
		return false
	}
	var a account
	for _, p := range t.seldom.sent {
		a.letters++
		a.bytes += p.mail.size
	}
	return a.full()
}

// stopServing is hold for who does not hold the lock.
func (v *vat) stopServing(d *delivery, why string) {
	v.w.lockInternal()
	defer v.w.unlock()
	if d.held = why; d.losses == v.mail.losses {
		v.mail.postponed.note(d.target, why)
		v.hold(d)
	}
}

// hold stops serving a mailbox until it is released. It is done with the lock still held with
// which that was found: the next letter may be what the target waits for.
func (v *vat) hold(d *delivery) {
	if b := v.mail.boxes[d.target]; b != nil && b.held == "" {
		b.held, b.inbox = d.held, d.inbox
		v.mail.unready(b)
	}
}

// postpone does not serve a mailbox for a while. The others are served meanwhile.
func (v *vat) postpone(d *delivery, why error) {
	v.stopServing(d, "is tried again soon: "+why.Error())
	target := d.target
	time.AfterFunc(againAfter, func() {
		v.w.lockInternal()
		defer v.w.unlock()
		v.release(target)
	})
}
