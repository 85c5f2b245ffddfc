package sturdy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// A letter to an object on another host waits in the mailbox of its stand-in: the postman does
// not serve it. A courier, one for each host, brings what waits for that host, many letters at
// once, in the order of their sending. What is to be brought stands in a route, in that order.
//
// One letter, walked through; B is the host of the sender, A that of the target:
//
//	post, enqueue, mailed   at B: as any letter, in the mailbox of the stand-in, and in the route
//	(*courier).fill         at B: when it is durable, it is in a batch that goes to A
//	(*Runtime).Accept       at A: a turn makes a letter of A's own of it, with B's number of it,
//	                        and notes in B's peer how far B's letters have come
//	(*courier).arrived      at B: the letter stays, in case A forgets it, until its answer comes
//	(*vat).round            at A: the postman delivers it, as any letter
//	(*WriteTurn).answer     at A: in the same turn, its outcome is a letter to B's peer
//	(*courier).fill         at A: which brings that back
//	(*Runtime).Accept       at B: a turn settles the promise, and drops the letter
//
// What is lost on the way is brought again, and what comes twice is known by its place in the
// channel. A letter is accepted even if nothing can become of it, and its outcome says why: so
// a letter that is refused for good holds up nobody, and no answer is ever inferred.
//
// Several batches are under way at once, as each waits for the disk of the other host. They are
// accepted in order: a batch says behind which place it belongs, and nothing of it is taken
// unless all up to there was. So if one is lost or refused in the middle, those behind it are
// refused, too; when none is under way any more, the courier goes back to the first letter that
// was not taken. A batch that turns up late, when its letters have been brought again, has
// places that are known. The first batch after that, when nothing is under way, belongs nowhere:
// everything before it has been dealt with.
type courier struct {
	rt   *Runtime
	host string
	at   string        // where it was found last
	news chan struct{} // of capacity 1: there are letters
	call chan struct{} // of capacity 1: the host can be reached
	back chan *load    // of capacity maxUnderWay: what is under way no more

	under   []*load // batches under way, in order
	stalled bool    // none is sent before all of these are back
	losses  uint64  // what the mailroom's were
	last    uint64  // the place of the last message that was sent
	theirs  uint64  // the lineage of the other host's world; 0: not known yet
	most    int     // letters in the next batch: fewer, if the other host does not take so much
	spoke   int64   // when a batch was brought last, in nanoseconds since 1970; 0: none was

	timer   *time.Timer
	rest    time.Duration // how long nothing is tried after the next failure but one
	resting bool          // nothing is tried now
	hurried bool          // it is tried again soon, as there is something new
	ping    bool          // an empty batch is due
	spare   [][]parcel    // for the next batches
	looked  uint64        // the place up to which letters were looked at, see abandon.go
}

// couriers are the couriers that have something to do.
type couriers struct {
	rt      *Runtime
	ctx     context.Context // ends when the world is closed
	stop    context.CancelFunc
	mu      sync.Mutex // may be taken with the writer's lock held, not the other way round
	open    bool
	by      map[string]*courier // by host
	running sync.WaitGroup
}

const (
	maxUnderWay    = 4         // batches on their way to one host
	maxParcels     = 512       // letters in one batch
	fewParcels     = 128       // are not worth a third batch under way
	maxParcelBytes = 512 << 10 // of letters in one batch; one more may be of any size
	carryAgain     = 50 * time.Millisecond
	carryAtLeast   = 5 * time.Second // apart are the attempts to reach a host that does not answer
)

// begin makes them ready.
func (cs *couriers) begin(rt *Runtime) {
	cs.rt, cs.by = rt, map[string]*courier{}
	cs.ctx, cs.stop = context.WithCancel(context.Background())
}

// start lets them begin.
func (cs *couriers) start() {
	cs.mu.Lock()
	cs.open = true
	cs.mu.Unlock()
	v := cs.rt.vat
	v.w.lockInternal()
	defer v.w.unlock()
	for host := range v.mail.routes {
		cs.hire(host)
	}
}

// hire has the courier of host look what there is.
func (cs *couriers) hire(host string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if !cs.open || cs.ctx.Err() != nil {
		return
	}
	c := cs.by[host]
	if c == nil {
		c = &courier{rt: cs.rt, host: host, most: maxParcels, news: make(chan struct{}, 1), call: make(chan struct{}, 1), back: make(chan *load, maxUnderWay)}
		cs.by[host] = c
		cs.running.Go(c.main)
	}
	cs.rt.vat.wake(c.news)
}

// wake has what waits in the mailbox of h, a stand-in or a peer, carried.
func (cs *couriers) wake(h *handle) {
	if host, _ := h.hostAt(); host != "" {
		cs.hire(host)
	}
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
			cs.rt.vat.wake(c.call)
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
	c.timer = time.NewTimer(carryAtLeast)
	defer c.timer.Stop()
	for c.rt.couriers.ctx.Err() == nil {
		unsynced, empty := c.fill()
		if empty && c.leave() {
			return
		}
		c.await(unsynced)
	}
}

// await waits until there may be something to do; g is what is not durable yet, or nil.
func (c *courier) await(g *group) {
	var durable chan struct{}
	if g != nil {
		durable = g.done
	}
	select {
	case <-c.news:
		if c.resting && !c.hurried && c.rest > carryAgain {
			c.hurried = true
			c.timer.Reset(carryAgain)
		}
	case <-c.call:
		c.resting = false
	case b := <-c.back:
		c.ended(b)
	case <-durable:
	case <-c.timer.C: // where letters wait for answers, those come only as long as the host is reached
		c.resting, c.ping = false, true
		c.timer.Reset(carryAtLeast)
	case <-c.rt.couriers.ctx.Done():
	}
}

// leave reports whether there is nothing left to wait for; then the courier is gone.
func (c *courier) leave() bool {
	v, cs := c.rt.vat, &c.rt.couriers
	v.w.lockInternal()
	defer v.w.unlock()
	if v.mail.routes[c.host] != nil {
		return false
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.by, c.host)
	return true
}

// fill sends as many batches as may be under way. It returns what has to be durable before
// there is another; empty says that nothing waits for the host, nor is under way.
func (c *courier) fill() (unsynced *group, empty bool) {
	for !c.resting && len(c.under) < maxUnderWay && c.rt.couriers.ctx.Err() == nil {
		if len(c.under) == 0 {
			if c.stalled = false; c.parted() {
				c.forgotten() // what it has taken may be forgotten there
			}
		} else if c.stalled || c.theirs == 0 {
			break
		}
		b, g, letters := c.collect()
		if letters == 0 {
			return nil, len(c.under) == 0
		}
		if b == nil {
			return g, false
		}
		c.send(b)
	}
	return nil, false
}

// send has a batch brought.
func (c *courier) send(b *load) {
	rt, cs := c.rt, &c.rt.couriers
	w, err := rt.wire.Load(), error(nil)
	if w == nil {
		err = notWired("send", c.host)
	} else {
		err = b.read(rt.vat)
	}
	var letters []byte
	if err == nil {
		b.theirs = c.theirs
		if len(c.under) > 0 {
			b.after = c.last
		}
		letters, err = c.pack(cs.ctx, b)
	}
	if err != nil {
		c.failed(b, err, false)
		return
	}
	if n := len(b.ps); n > 0 && !b.ps[n-1].answer {
		c.last = b.ps[n-1].seq
	} else if len(c.under) == 0 {
		c.last = 0
	}
	c.ping = false
	c.under = append(c.under, b)
	at := c.at
	cs.running.Go(func() {
		b.answer, b.err = (*w).Send(cs.ctx, c.host, at, letters)
		c.back <- b
	})
}

// parcels is room for n of them.
func (c *courier) parcels(n int) []parcel {
	if last := len(c.spare) - 1; last >= 0 {
		ps := c.spare[last]
		if c.spare = c.spare[:last]; cap(ps) >= n { // what is too small goes
			return ps[:n]
		}
	}
	return make([]parcel, n)
}

// reuse keeps the room of a batch that is done with, empty.
func (c *courier) reuse(b *load) {
	if len(c.spare) < maxUnderWay {
		clear(b.ps)
		c.spare = append(c.spare, b.ps)
	}
}

// ended takes note of what has become of a batch.
func (c *courier) ended(b *load) {
	c.under = slices.Delete(c.under, slices.Index(c.under, b), 1+slices.Index(c.under, b))
	defer c.reuse(b)
	switch {
	case b.err == nil:
		c.arrived(b)
	case errors.Is(b.err, caps.ErrBadArgument) && len(b.ps) > 1: // too much for one batch
		c.most = len(b.ps) / 2
		c.stalled = true
		c.done(b, false)
	case errors.Is(b.err, caps.ErrBadArgument) && len(b.ps) == 1:
		p := &b.ps[0]
		if p.failed, p.over = b.err, true; p.tried {
			p.failed = unanswered(p.letter.method, c.host, b.err)
		}
		c.stalled = true
		c.done(b, false)
	default:
		c.failed(b, b.err, !errors.Is(b.err, caps.ErrNotDelivered) && !errors.Is(b.err, caps.ErrOverloaded))
	}
}

// arrived is ended for a batch that the other host has answered.
func (c *courier) arrived(b *load) {
	later, err := c.told(b)
	if err != nil {
		c.failed(b, err, true)
		return
	}
	c.most, c.spoke = min(2*c.most, maxParcels), c.rt.clock().UnixNano()
	c.done(b, true)
	taken := len(b.ps) == 0 || slices.ContainsFunc(b.ps, func(p parcel) bool { return p.taken })
	switch {
	case later && b.after == 0, !later && !taken: // there is no room for more, or it is another world now; else it has only come too early
		c.relax()
	case !c.resting:
		c.rest = 0
		c.timer.Reset(carryAtLeast)
	}
}

// failed takes note that a batch was not brought; left says that it may have been.
func (c *courier) failed(b *load, err error, left bool) {
	if c.rt.couriers.ctx.Err() != nil {
		return
	}
	c.rt.log.Debug("letters could not be brought to another host, and wait", "host", c.host, "letters", len(b.ps), "err", err)
	c.stalled = true
	c.done(b, left)
	if !c.resting {
		c.relax()
		c.endSome()
	}
}

// relax has nothing tried for a while, which is longer each time.
func (c *courier) relax() {
	c.rest = min(max(2*c.rest, carryAgain), carryAtLeast)
	c.resting, c.hurried = true, false
	c.timer.Reset(c.rest)
}

// forgotten has every letter brought again that waits for its answer.
func (c *courier) forgotten() {
	v := c.rt.vat
	c.stalled = true
	v.w.lockInternal()
	defer v.w.unlock()
	if r := v.mail.routes[c.host]; r != nil {
		r.again()
	}
}

// collect takes the next batch out of the route, or says what it has to wait for, which may be
// nothing; letters is how many there are for the host.
func (c *courier) collect() (b *load, g *group, letters int) {
	v := c.rt.vat
	v.w.lockInternal()
	defer v.w.unlock()
	r := v.mail.routes[c.host]
	if r == nil {
		return nil, nil, 0
	}
	if c.losses != v.mail.losses { // the route is another one, and nothing in it is under way
		c.losses, c.looked = v.mail.losses, 0
		c.stalled = len(c.under) > 0
	}
	if n := len(c.under); c.stalled && n > 0 || n >= 2 && r.ahead() < fewParcels {
		return nil, nil, r.letters
	}
	c.at = r.at
	pending := v.pending() // before it is looked what is durable: that goes on meanwhile
	all, blocked := r.take(c.most, v.snaps.durable.Load().lsn)
	if len(all) == 0 {
		if blocked {
			g = pending
			v.wake(v.kick)
		}
		if !c.ping || len(c.under) > 0 {
			return nil, g, r.letters
		}
	}
	b = &load{losses: v.mail.losses, ps: c.parcels(len(all))}
	for i, ml := range all {
		b.ps[i] = parcelOf(ml)
	}
	return b, nil, r.letters
}
