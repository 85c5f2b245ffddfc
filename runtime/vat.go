package sturdy

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/sturdyrt/sturdy/objstore"
)

// vat is the unit of atomicity and durability: objects over one commit log, with one writer.
//
// Invariant: store <= every snapshot in use <= durable <= lsn (see snapshots).
// Invariant: a handle is in dirty exactly if its newest version is above cut.
type vat struct {
	rt     *Runtime
	id     objstore.VatID
	store  *objstore.Store
	out    objstore.Committer // where batches go; the store, for a local vat
	gone   *bound             // the kind of what has never been committed
	latent *bound             // the kind of promises that are no objects yet
	// latentTimer is the kind of timers that are no objects yet.
	latentTimer *bound
	// latentRemote is that of stand-ins for objects on other hosts.
	latentRemote *bound
	table        table
	cache        cache
	snaps        snapshots
	stats        stats
	failed       atomic.Pointer[stopped]   // why writes are refused for good
	shut         atomic.Bool               // Close has begun
	queued       atomic.Int64              // bytes of versions and elements that are not durable
	running      atomic.Pointer[WriteTurn] // for the watchdog to look at

	w       writer // held by the running write turn; guards what follows
	lsn     uint64 // of the newest committed turn
	cut     uint64 // the newest turn that the last group took
	lost    uint64 // what lsn was at the last rollback: nothing above durable is left of it
	lostTo  error  // why; told once, to Sync or Close
	next    uint64 // the first object number not yet used
	cutNext uint64 // what next was when the last group was taken
	mail    mailroom
	dirty   []*handle
	young   *layer // elements written since cut
	old     *layer // elements of the group that was taken last
	bytes   int    // that the running group adds to queued
	group   *group // that the next turn will be in
	flying  *group // that was taken last
	counts  map[uint32]int64
	recount map[uint32]bool // counts that changed since cut

	activityKind uint32 // number of the kind row of the activity; does not change

	marked atomic.Int64 // what the ledger has for gates.Latest, durable; nanoseconds since 1970

	index    indexer       // the flusher's own
	rowBytes int           // of the last batch, on average; the flusher's own
	tidies   sync.Mutex    // held by the flusher between telling that a group is durable and letting the cache have it
	kick     chan struct{} // capacity 1: somebody waits for the running group
	soft     chan struct{} // capacity 1: the running group has its first turn
	closing  chan struct{}
	flushed  chan struct{}   // closed when the flusher has ended
	retired  chan struct{}   // closed when the postman has ended
	ending   chan struct{}   // closed when Close has begun: nobody need wait for anything
	life     context.Context // of the wait for room in the journal
	die      context.CancelFunc
}

// stopped is why a vat refuses writes.
type stopped struct{ err error }

// marks returns the durable LSN and the LSNs that versions are kept for, descending.
func (v *vat) marks() (durable uint64, needed []uint64) {
	return v.snaps.durable.Load().lsn, *v.snaps.needed.Load()
}

// begin waits until it is this caller's turn to write. before is the turn whose code is run
// again, or nil.
func (v *vat) begin(ctx context.Context, op string, before *WriteTurn) (*WriteTurn, error) {
	if before == nil || before.trial == nil {
		if err := v.admit(ctx, op); err != nil {
			return nil, err
		}
	}
	return v.turn(ctx, op, before), nil
}

// turn is begin for who holds the lock.
func (v *vat) turn(ctx context.Context, op string, before *WriteTurn) *WriteTurn {
	t := &WriteTurn{op: op, first: v.next}
	t.r.ctx, t.r.vat, t.r.w, t.r.may = ctx, v, t, mayOf(ctx, v.rt)
	t.wset = t.few[:0]
	if before != nil {
		t.r.now, t.rand, t.misses, t.trial = before.r.now, before.rand, before.misses, before.trial
	}
	t.r.claim()
	v.running.Store(t)
	return t
}

// admit takes the writer's lock.
func (v *vat) admit(ctx context.Context, op string) error {
	if err := v.mayWrite(ctx, op); err != nil {
		return err
	}
	if err := v.w.lock(ctx, op, v.rt.clock); err != nil {
		return notStarted(op, err)
	}
	return v.stillWrites(op)
}

// mayWrite waits until what has been written is not too much for the disk.
func (v *vat) mayWrite(ctx context.Context, op string) error {
	if ctx.Err() != nil {
		return notStarted(op, ended(ctx))
	}
	if v.queued.Load() > maxQueued {
		if err := v.backPressure(ctx, op); err != nil {
			return err
		}
	}
	return v.rt.selfDeadlock(v, op)
}

// stillWrites releases the lock again if writes have stopped.
func (v *vat) stillWrites(op string) error {
	if f := v.failed.Load(); f != nil {
		v.w.unlock()
		return stoppedError(op, f.err)
	}
	return nil
}

// backPressure waits until the disk has caught up.
func (v *vat) backPressure(ctx context.Context, op string) error {
	for v.queued.Load() > maxQueued && v.failed.Load() == nil {
		if err := v.w.lock(ctx, op, v.rt.clock); err != nil {
			return notStarted(op, err)
		}
		g := v.pending()
		v.w.unlock()
		v.wake(v.kick)
		if err := g.wait(ctx); err != nil && ctx.Err() != nil {
			return overloaded(op, err)
		}
	}
	return nil
}

// wake sends without waiting: one signal under way is enough.
func (v *vat) wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// end ends the turn: commits it if err is nil and nothing forbids it, else undoes it. It
// returns the group to wait for before anything of the turn, its error included, may be
// told. If t.again is set, the turn has to be run again, and nothing happened.
func (v *vat) end(t *WriteTurn, err error) (*group, error) {
	g, err := v.finish(t, err)
	if !t.again || t.trial == nil { // between the two runs of Checked mode nobody else writes
		v.w.unlock()
	}
	return g, err
}

// finish is end for who keeps the lock.
func (v *vat) finish(t *WriteTurn, err error) (*group, error) {
	if err == nil && t.missed == nil {
		err = t.mayCommit()
	}
	if err == nil && t.missed == nil {
		err = t.seal()
	}
	if err == nil && t.missed == nil && t.r.may != nil {
		err = t.charge()
	}
	if t.missed == nil && !t.abandoned && v.rt.checked {
		err = t.rehearse(err)
	}
	if t.missed != nil {
		t.misses++
		t.again = true
	}
	if err == nil && !t.again {
		v.commit(t)
	} else {
		t.undo()
	}
	if t.r.refused {
		v.owe()
	}
	if t.seldom != nil && t.seldom.holds != nil && !t.again {
		v.hold(t.seldom.holds)
	}
	t.r.spent.Or(over)
	if !t.again {
		t.r.tell()
	}
	v.running.Store(nil)
	return v.pending(), err
}

// retry prepares the next run of a turn that has to be run again.
func (v *vat) retry(t *WriteTurn) {
	v.stats.reruns.Add(1)
	if t.missed != nil {
		_, _ = t.missed.load() // an error shows again in the last run, where it can be handled
	}
	if t.seldom != nil && t.seldom.cold != nil {
		_ = t.seldom.cold.Alive(nil)
	}
}

// commit publishes what t wrote, under one LSN.
func (v *vat) commit(t *WriteTurn) {
	v.stats.turns.Add(1)
	if len(t.wset) == 0 && len(t.elems) == 0 {
		if t.seldom != nil && t.seldom.rung { // what was due has been taken back
			v.mail.due.Store(t.seldom.nextDue)
		}
		return
	}
	first := v.lsn == v.cut
	v.lsn++
	needed := *v.snaps.needed.Load()
	bytes := v.bytes
	for _, h := range t.wset {
		base := h.work.prev.Load()
		if base == nil || base.lsn <= v.cut {
			v.dirty = append(v.dirty, h)
			v.bytes += h.work.size - objectOverhead
		} else {
			v.bytes += h.work.size - base.size // it takes the place of a version that is not written
		}
		v.count(h.work)
		h.publish(v.lsn, needed)
	}
	for _, c := range t.elems {
		if c.now == nil {
			v.bytes -= c.before.bytes()
			continue
		}
		c.now.lsn = v.lsn
		v.bytes += c.now.bytes()
	}
	if t.seldom != nil && len(t.seldom.revoked) > 0 {
		v.rt.gates.Revoke(t.seldom.revoked...) // last: they are published as revoked
	}
	if t.seldom != nil {
		v.mailed(t.seldom)
	}
	v.queued.Add(int64(v.bytes - bytes))
	if first {
		v.wake(v.soft)
	}
}

// count keeps the number of objects of each kind row.
func (v *vat) count(w *version) {
	if w.row == w.kind.no {
		return
	}
	if w.row != 0 {
		v.counts[w.row]--
		v.recount[w.row] = true
	}
	if w.row = w.kind.no; w.row == 0 { // it was removed
		return
	}
	v.counts[w.row]++
	v.recount[w.row] = true
}

const (
	// maxQueued is how many bytes of versions may wait for the disk before the next write
	// turn does.
	maxQueued = 64 << 20
	// elementOverhead is what an element costs in memory beside its bytes.
	elementOverhead = 128
)
