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
		c = &courier{rt: cs.rt, host: host, targets: map[uint64]string{}, news: make(chan struct{}, 1)}
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
		default:
			cs.mu.Lock()
			if len(c.news) == 0 { // nobody has woken it since it looked
				delete(cs.by, c.host)
				cs.mu.Unlock()
				return
			}
			cs.mu.Unlock()
			wait = 0
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

// parcel is a letter that is being carried.
type parcel struct {
	mail   *mail
	letter letter
	seq    uint64
	failed error // why it is not carried: it may not be any more
}

// round carries one batch. An error says that the host cannot be reached, or not now.
func (c *courier) round() (more bool, err error) {
	rt, ctx := c.rt, c.rt.couriers.ctx
	ps, losses, err := c.collect(ctx)
	if err != nil || len(ps) == 0 {
		return false, err
	}
	w, err := rt.wired("send", c.host)
	if err != nil {
		return false, err
	}
	batch, err := c.pack(ctx, ps)
	if err != nil {
		return false, err
	}
	answer, err := w.Send(ctx, c.host, c.at, batch)
	if err != nil {
		rt.log.Debug("letters could not be brought to another host, and wait", "host", c.host, "letters", len(ps), "err", err)
		return false, err
	}
	n, err := c.told(ps, answer)
	if err != nil {
		return false, err
	}
	if err := c.accepted(ctx, ps[:n], losses); err != nil {
		return false, err
	}
	if n < len(ps) {
		return true, overloaded("send", errors.New("the other host has as many of this one's letters as may wait there"))
	}
	return true, nil
}

// told reads what the other host says of a batch: how many letters it has dealt with.
func (c *courier) told(ps []parcel, answer []byte) (int, error) {
	p := letterParser{rest: answer}
	n := p.uvarint()
	for len(p.rest) > 0 && !p.bad {
		i, note := p.uvarint(), p.uvarint()
		if p.bad || i >= uint64(len(ps)) {
			p.bad = true
			break
		}
		switch of := &ps[i]; {
		case note == noteKnown: // it may have been done
			of.failed = nil
		case note == noteRefused && of.failed == nil:
			of.failed = &caps.Error{Op: of.letter.method, Object: c.host, Code: caps.ErrNoRight, Text: "the other host refuses it: the reference to its target, or one in its argument, proves nothing there"}
		}
	}
	if p.bad || n > uint64(len(ps)) {
		return 0, &caps.Error{Op: "send", Object: c.host, Code: caps.ErrBadResult, Text: "the other host's answer does not decode"}
	}
	return int(n), nil
}

// collect returns what waits for the host, in order, once it is durable. losses is what the
// mailroom's were.
func (c *courier) collect(ctx context.Context) (ps []parcel, losses uint64, err error) {
	v, cs := c.rt.vat, &c.rt.couriers
	rows := make([]*element, 0, maxParcels)
	cs.mu.Lock()
	v.w.lockInternal()
	// All mailboxes for this host have to be known: what stands in another must not overtake.
	for n := range v.mail.strays {
		if host, at := v.handleOf(n).hostAt(); host != "" {
			cs.hire(n, host, at)
		}
		delete(v.mail.strays, n)
	}
	for n, at := range c.targets {
		b := v.mail.boxes[n]
		if b == nil {
			delete(c.targets, n)
			continue
		}
		c.at = cmp.Or(at, c.at)
		for _, ml := range b.mails {
			if !ml.abroad {
				ps = append(ps, parcel{mail: ml, seq: ml.seq})
			}
		}
	}
	slices.SortFunc(ps, func(a, b parcel) int { return cmp.Compare(a.seq, b.seq) })
	ps = ps[:min(len(ps), maxParcels)]
	bytes := 0
	for i, p := range ps {
		if bytes += p.mail.size; bytes > maxParcelBytes && i > 0 {
			ps = ps[:i]
			break
		}
		rows = append(rows, p.mail.row)
	}
	g := v.pending()
	losses = v.mail.losses
	v.w.unlock()
	cs.mu.Unlock()
	if g != nil && len(ps) > 0 { // nothing leaves the host that a crash would take back
		v.wake(v.kick)
		if err := g.wait(ctx); err != nil {
			return nil, losses, err
		}
	}
	return ps, losses, c.read(ps, rows)
}

// read reads the letters.
func (c *courier) read(ps []parcel, rows []*element) error {
	v := c.rt.vat
	s := v.store.Snapshot()
	defer s.Release()
	for i := range ps {
		p := &ps[i]
		var rec objstore.Record
		if rows[i] != nil {
			rec = rows[i].rec
		} else {
			v.w.lockInternal()
			key := v.letterKey(p.mail.target, p.mail.number)
			v.w.unlock()
			var ok bool
			var err error
			if rec, ok, err = s.Get(key); err != nil || !ok {
				return cmp.Or(err, error(&caps.Error{Op: "send", Code: caps.ErrDamaged, Text: "damaged: a letter is not where it was"}))
			}
		}
		var err error
		if p.letter, err = parseLetter(p.mail.number, p.mail.method, rec); err != nil {
			p.failed = err
		}
	}
	return nil
}

// accepted notes what the other host has taken: answers have done what they were for; others
// wait for theirs.
func (c *courier) accepted(ctx context.Context, ps []parcel, losses uint64) error {
	v, ends := c.rt.vat, false
	v.w.lockInternal()
	if v.mail.losses != losses {
		v.w.unlock()
		return nil // they may not be there any more; the other host knows them when they come again
	}
	for i := range ps {
		over := ps[i].failed != nil || ps[i].letter.answers()
		ps[i].mail.abroad = !over
		ends = ends || over
	}
	v.w.unlock()
	if !ends {
		return nil
	}
	return c.rt.update(Relaxed(ctx), "send", func(t *WriteTurn) error {
		for i := range ps {
			p := &ps[i]
			if p.mail.abroad || v.mail.losses != losses {
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

// giveUp ends a letter for another host that its method never saw.
func (t *WriteTurn) giveUp(l *letter, ml *mail, why error) error {
	if len(l.slots) > 0 && l.from == 0 && !t.hasThen(l) {
		if err := t.bury(*l, why); err != nil {
			return err
		}
	}
	return t.conclude(l, ml, settled{err: why})
}
