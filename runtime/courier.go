package sturdy

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// A letter to an object on another host waits in the mailbox of its stand-in, as one to a thread
// waits in the thread's: the postman does not serve it. A courier, one for each host, brings
// what waits for that host, many letters at once, in the order of their sending.
//
// One letter, walked through; B is the host of the sender, A that of the target:
//
//	post, enqueue, mailed   at B: as any letter, in the mailbox of the stand-in
//	(*courier).round        at B: when it is durable, it is in a batch that goes to A
//	(*Runtime).Accept       at A: a turn makes a letter of A's own of it, with B's number of it,
//	                        and notes in B's peer how far B's letters have come
//	(*courier).accepted     at B: the letter stays, in case A forgets it, until its answer comes
//	(*vat).round            at A: the postman delivers it, as any letter
//	(*WriteTurn).answer     at A: in the same turn, its outcome is a letter to B's peer
//	(*courier).round        at A: which brings that back
//	(*Runtime).Accept       at B: a turn settles the promise, and drops the letter
//
// What is lost on the way is brought again, and what comes twice is known by its place in the
// channel. A letter is accepted even if nothing can become of it, and its outcome says why: so
// a letter that is refused for good holds up nobody, and no answer is ever inferred.
type courier struct {
	rt      *Runtime
	host    string
	at      string            // where it was found last
	targets map[uint64]string // its stand-ins and its peer that may have letters, and where it was found when they came
	news    chan struct{}     // of capacity 1
	scratch []*mail
	theirs  uint64 // the lineage of the other host's world; 0: not known yet
	most    int    // letters in the next batch: fewer, if the other host does not take so much
}

// couriers are the couriers that have something to do.
type couriers struct {
	rt      *Runtime
	ctx     context.Context // ends when the world is closed
	stop    context.CancelFunc
	mu      sync.Mutex
	by      map[string]*courier // by host
	running sync.WaitGroup
}

const (
	maxParcels     = 512       // letters in one batch
	maxParcelBytes = 512 << 10 // of letters in one batch; one more may be of any size
	carryAgain     = 50 * time.Millisecond
	carryAtLeast   = 5 * time.Second // apart are the attempts to reach a host that does not answer
)

// wake has what waits in the mailbox of h, a stand-in or a peer, carried.
func (cs *couriers) wake(h *handle) {
	host, at := h.hostAt()
	if host == "" {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.hire(h.oid.N, host, at)
}

// hire has the courier of host look into the mailbox n; with mu held.
func (cs *couriers) hire(n uint64, host, at string) {
	if cs.ctx.Err() != nil {
		return
	}
	c := cs.by[host]
	if c == nil {
		c = &courier{rt: cs.rt, host: host, most: maxParcels, targets: map[uint64]string{}, news: make(chan struct{}, 1)}
		cs.by[host] = c
		cs.running.Go(c.main)
	}
	c.targets[n] = at
	cs.rt.vat.wake(c.news)
}

// begin makes them ready.
func (cs *couriers) begin(rt *Runtime) {
	cs.rt, cs.by = rt, map[string]*courier{}
	cs.ctx, cs.stop = context.WithCancel(context.Background())
}

// end waits until none is under way.
func (cs *couriers) end() {
	cs.mu.Lock()
	cs.stop()
	cs.mu.Unlock()
	cs.running.Wait()
}

// kick has couriers try again at once: that of host, or all.
func (cs *couriers) kick(host string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for name, c := range cs.by {
		if host == "" || name == host {
			cs.rt.vat.wake(c.news)
		}
	}
}

// Reached says that host can be reached now, so that what waits for it is tried at once.
func (rt *Runtime) Reached(host string) { rt.couriers.kick(host) }

// hostAt is the host that h stands for, as a stand-in or its peer, and where it was found.
func (h *handle) hostAt() (host, at string) {
	v, err := h.vat.current(h)
	switch {
	case err != nil:
		return "", ""
	case v.kind == h.vat.latentRemote:
		of := (*standIn)(v.state).of
		return of.Host, of.At
	case v.kind.def == h.vat.rt.foreign.def:
		return (*remote)(v.state).Host, (*remote)(v.state).At
	case v.kind.def == h.vat.rt.peers.def:
		return (*peer)(v.state).Host, (*peer)(v.state).At
	}
	return "", ""
}

// current is the newest committed version of h.
func (v *vat) current(h *handle) (*version, error) {
	if c := h.cur.Load(); c != nil && c.state != nil {
		return c, nil
	}
	return h.load()
}

// hostName is hostAt for listings.
func (h *handle) hostName() string {
	host, _ := h.hostAt()
	return "host " + shortHost(host)
}

// main carries until nothing waits.
func (c *courier) main() {
	cs, wait := &c.rt.couriers, time.Duration(0)
	for {
		more, err := c.round()
		switch {
		case err != nil:
			wait = min(max(2*wait, carryAgain), carryAtLeast)
		case more:
			wait = 0
			continue
		case c.idle():
			return
		default: // letters wait for their answers, which come only as long as the host is reached
			wait = carryAtLeast
		}
		again := time.NewTimer(wait)
		select {
		case <-c.news:
		case <-again.C:
		case <-cs.ctx.Done():
			again.Stop()
			return
		}
		again.Stop()
	}
}

// free reports whether no mailbox has anything for the host.
func (c *courier) free() bool {
	cs := &c.rt.couriers
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(c.targets) == 0
}

// idle reports whether there is nothing left to wait for; then the courier is gone.
func (c *courier) idle() bool {
	cs := &c.rt.couriers
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(c.targets) > 0 || len(c.news) > 0 {
		return false
	}
	delete(cs.by, c.host)
	return true
}

// parcel is a letter that is being carried.
type parcel struct {
	mail   *mail
	row    *element // nil: it is in the store only
	target uint64   // whose mailbox it is in
	seq    uint64
	letter letter
	failed error // why it is not carried: it may not be any more
	taken  bool  // the other host has dealt with it
	over   bool  // it is to be dropped
}

// round carries one batch, an empty one if letters only wait for answers. An error says that
// the host cannot be reached, or not now.
func (c *courier) round() (more bool, err error) {
	rt, ctx := c.rt, c.rt.couriers.ctx
	ps, losses, err := c.collect(ctx)
	if err != nil || len(ps) == 0 && c.free() {
		return false, err
	}
	w, err := rt.wired("send", c.host)
	if err != nil {
		return false, errors.Join(err, c.done(ctx, ps, losses, false))
	}
	batch, err := c.pack(ctx, ps)
	if err != nil {
		return false, err
	}
	answer, err := w.Send(ctx, c.host, c.at, batch)
	switch {
	case err == nil:
	case errors.Is(err, caps.ErrBadArgument) && len(ps) > 1: // too much for one batch
		c.most = len(ps) / 2
		return true, nil
	case errors.Is(err, caps.ErrBadArgument) && len(ps) == 1:
		ps[0].failed = err
		return true, c.done(ctx, ps, losses, false)
	default:
		rt.log.Debug("letters could not be brought to another host, and wait", "host", c.host, "letters", len(ps), "err", err)
		return false, errors.Join(err, c.done(ctx, ps, losses, false))
	}
	c.most = min(2*c.most, maxParcels)
	later, err := c.told(ps, answer)
	if err != nil {
		return false, err
	}
	if err := c.done(ctx, ps, losses, true); err != nil {
		return false, err
	}
	if later {
		return true, overloaded("send", errors.New("the other host has as many of this one's letters as may wait there"))
	}
	return len(ps) > 0, nil
}

// told reads what the other host says of a batch. later says that some are to be brought again.
func (c *courier) told(ps []parcel, answer []byte) (later bool, err error) {
	bad := &caps.Error{Op: "send", Object: c.host, Code: caps.ErrBadResult, Text: "the other host's answer does not decode"}
	p := letterParser{rest: answer}
	lineage := p.uvarint()
	if p.bad || lineage == 0 {
		return false, bad
	}
	if was := c.theirs; was != lineage {
		if c.theirs = lineage; was != 0 { // its world is an older one now, and has perhaps forgotten what it had
			c.forgotten()
			return true, nil
		}
	}
	if len(p.rest) != len(ps) {
		return false, bad
	}
	for i, note := range p.rest {
		switch of := &ps[i]; note {
		case noteTaken:
			of.taken = true
		case noteKnown: // it may have been done
			of.taken, of.failed = true, nil
		case noteRefused:
			of.taken = true
			if of.failed == nil {
				of.failed = &caps.Error{Op: of.letter.method, Object: c.host, Code: caps.ErrNoRight, Text: "the other host refuses it: the reference to its target, or one in its argument, proves nothing there"}
			}
		case noteLater:
			later = true
		default:
			return false, bad
		}
	}
	return later, nil
}

// forgotten has every letter brought again that waits for its answer.
func (c *courier) forgotten() {
	v, cs := c.rt.vat, &c.rt.couriers
	cs.mu.Lock()
	defer cs.mu.Unlock()
	v.w.lockInternal()
	defer v.w.unlock()
	for n := range c.targets {
		if b := v.mail.boxes[n]; b != nil {
			for _, ml := range b.mails {
				ml.abroad = false
			}
		}
	}
}

// collect returns what waits for the host, in order, as far as it is durable: nothing leaves the
// host that a crash would take back. losses is what the mailroom's were.
func (c *courier) collect(ctx context.Context) (ps []parcel, losses uint64, err error) {
	for {
		ps, losses, g := c.ready()
		if g == nil {
			return ps, losses, c.read(ps)
		}
		c.rt.vat.wake(c.rt.vat.kick)
		if err := g.wait(ctx); err != nil {
			return nil, losses, err
		}
	}
}

// ready is collect without waiting; g is to be waited for.
func (c *courier) ready() (ps []parcel, losses uint64, g *group) {
	v, cs := c.rt.vat, &c.rt.couriers
	cs.mu.Lock()
	defer cs.mu.Unlock()
	v.w.lockInternal()
	defer v.w.unlock()
	all := c.waiting()
	durable, bytes := v.snaps.durable.Load().lsn, 0
	for _, ml := range all[:min(len(all), c.most)] {
		if ml.row != nil && ml.row.lsn > durable { // others behind it may not overtake it
			if len(ps) == 0 {
				g = v.pending()
			}
			break
		}
		if bytes += ml.size; bytes > maxParcelBytes && len(ps) > 0 {
			break
		}
		ps = append(ps, parcel{mail: ml, seq: ml.seq, row: ml.row, target: ml.target})
	}
	return ps, v.mail.losses, g
}

// waiting returns the letters for the host in order; with mu and the writer's lock held.
func (c *courier) waiting() []*mail {
	v, cs := c.rt.vat, &c.rt.couriers
	// All mailboxes for this host have to be known: what stands in another must not overtake.
	for n := range v.mail.strays {
		if host, at := v.handleOf(n).hostAt(); host != "" {
			cs.hire(n, host, at)
		}
		delete(v.mail.strays, n)
	}
	clear(c.scratch)
	c.scratch = c.scratch[:0]
	for n, at := range c.targets {
		b := v.mail.boxes[n]
		if b == nil {
			delete(c.targets, n)
			continue
		}
		c.at = cmp.Or(at, c.at)
		for _, ml := range b.mails {
			if !ml.abroad {
				c.scratch = append(c.scratch, ml)
			}
		}
	}
	slices.SortFunc(c.scratch, func(a, b *mail) int {
		if a.answer != b.answer { // answers have no order, and make room where messages wait for some
			if a.answer {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.seq, b.seq)
	})
	return c.scratch
}

// read reads the letters.
func (c *courier) read(ps []parcel) error {
	v := c.rt.vat
	s := v.store.Snapshot()
	defer s.Release()
	for i := range ps {
		p := &ps[i]
		var rec objstore.Record
		if p.row != nil {
			rec = p.row.rec
		} else {
			var ok bool
			var err error
			if rec, ok, err = s.Get(v.letterKey(p.target, p.mail.number)); err != nil || !ok {
				return cmp.Or(err, error(&caps.Error{Op: "send", Code: caps.ErrDamaged, Text: "damaged: a letter is not where it was"}))
			}
		}
		p.letter, p.failed = parseLetter(p.mail.number, p.mail.method, rec)
	}
	return nil
}

// done notes what has become of letters: answers that were taken have done what they were for;
// messages that were wait for theirs, unless they were given up. What could not be brought is
// given up only if it never was: sent says that this batch was.
func (c *courier) done(ctx context.Context, ps []parcel, losses uint64, sent bool) error {
	v, ends := c.rt.vat, false
	v.w.lockInternal()
	if v.mail.losses != losses {
		v.w.unlock()
		return nil // they may not be there any more; the other host knows them when they come again
	}
	for i := range ps {
		p := &ps[i]
		if !sent {
			p.taken = p.failed != nil && !p.mail.tried
		}
		p.mail.tried = p.mail.tried || p.failed == nil
		p.over = p.taken && (p.failed != nil || p.letter.answers())
		p.mail.abroad = p.taken && !p.over
		ends = ends || p.over
	}
	v.w.unlock()
	if !ends {
		return nil
	}
	return c.rt.update(Relaxed(ctx), "send", func(t *WriteTurn) error {
		for i := range ps {
			p := &ps[i]
			if !p.over || v.mail.losses != losses || !v.mail.holds(p.mail) {
				continue
			}
			t.dropLetter(p.mail.target, p.mail)
			if p.failed == nil {
				continue
			}
			if err := t.giveUp(&p.letter, p.mail, p.failed); err != nil {
				return err
			}
		}
		return nil
	})
}

// holds reports whether the letter is still in its mailbox.
func (m *mailroom) holds(ml *mail) bool {
	b := m.boxes[ml.target]
	if b == nil {
		return false
	}
	i, ok := b.find(ml.number)
	return ok && b.mails[i] == ml
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
