package sturdy

import (
	"encoding/binary"
	"errors"
	"log/slog"
	goruntime "runtime"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// group commit: everything that was committed while the last group was being written is
// the next group. There is no timer, except where nobody waits: a group of Relaxed turns
// gathers for linger, so that an object that changes all the time is written once.
const linger = 50 * time.Millisecond

// taken is what the flusher makes durable as one batch.
type taken struct {
	lsn, base, next uint64
	dirty           []*handle
	elems           *layer
	counts          map[uint32]int64
	group           *group
	bytes           int
	mark            int64           // for the ledger, if it is news; see (*vat).owe
	last            bool            // before the world is closed
	slots           []objstore.Slot // scratch
	refs            []caps.Ref
	body            []byte
}

// flusher is the goroutine that makes groups durable, one after the other. If a method that was
// delivered ends it, another goes on.
func (v *vat) flusher() {
	ended := false
	defer func() {
		if ended {
			close(v.flushed)
			return
		}
		v.wake(v.kick)
		go v.flusher()
	}()
	for {
		select {
		case <-v.kick:
		case <-v.closing:
			v.flush(true)
			ended = true
			return
		case <-v.soft:
			select {
			case <-v.kick:
			case <-v.closing:
			case <-time.After(linger):
			}
		}
		v.flush(false)
	}
}

// flush makes durable what has been committed, if anything has. The last one before the
// world is closed also writes what is written only now and then.
func (v *vat) flush(last bool) {
	c := v.take(last)
	if c == nil {
		return
	}
	if err := v.out.Commit(v.life, v.encode(c)); err != nil {
		v.fail(c, err)
		return
	}
	v.settle(c)
	// Those who have just been woken are about to come with their next turns. Letting them
	// go first makes one group of what would be two that take turns, each waiting for the
	// other's sync.
	goruntime.Gosched()
}

// take ends the running group between two turns.
func (v *vat) take(last bool) *taken {
	v.w.lockInternal()
	if !last {
		v.sweep()
	}
	defer v.w.unlock() // not before: whoever ends the goroutine in sweep has unlocked it
	if v.lsn == v.cut && last && v.rt.gates.InUse() && v.writable() {
		v.lsn++
	}
	if v.lsn == v.cut {
		return nil
	}
	c := &taken{
		mark: v.rt.gates.Latest().UnixNano(), last: last,
		lsn: v.lsn, base: v.snaps.durable.Load().lsn, next: v.next,
		dirty: v.dirty, elems: v.young, group: v.group, bytes: v.bytes,
		counts: make(map[uint32]int64, len(v.recount)),
	}
	for row := range v.recount {
		c.counts[row] = v.counts[row]
	}
	clear(v.recount)
	v.young.gather()
	v.snaps.setFlying(v.lsn)
	v.cut, v.cutNext, v.flying = v.lsn, v.next, v.group
	v.dirty, v.bytes, v.group = make([]*handle, 0, len(c.dirty)), 0, newGroup()
	v.old, v.young = v.young, newLayer()
	return c
}

// encode writes the batch. It runs beside the writer: versions up to c.lsn are kept, and
// never change.
func (v *vat) encode(c *taken) *objstore.Batch {
	b := &objstore.Batch{LSN: c.lsn, Base: c.base, Next: c.next}
	rows := len(c.dirty) + c.elems.rows.Len()
	b.Grow(rows, min(v.rowBytes*rows, c.bytes))
	v.index.begin(v)
	defer func() { v.rowBytes = b.Size()/max(b.Len(), 1) + 16 }()
	for _, h := range c.dirty {
		w := h.at(c.lsn)
		if w.kind == v.gone { // see (*WriteTurn).remove: it holds nothing, so nothing is in the index
			b.Delete(objstore.ObjectKey(h.oid))
			continue
		}
		c.body, c.refs = w.kind.def.codec.Append(c.body[:0], c.refs[:0], w.state)
		c.slots = v.rt.slots(c.slots[:0], c.refs)
		b.Put(objstore.ObjectKey(h.oid), objstore.Record{LSN: w.lsn, Kind: w.row, Slots: c.slots, Body: c.body})
		v.indexState(b, c, h, w)
	}
	c.elems.rows.Scan(func(e *element) bool {
		v.indexElement(b, e)
		if e.dead {
			b.Delete(e.key)
			return true
		}
		rec := e.rec
		rec.LSN = e.lsn
		b.Put(e.key, rec)
		return true
	})
	for row, n := range c.counts {
		b.Put(objstore.CountKey(row), objstore.Record{LSN: c.lsn, Body: countBody(n)})
	}
	if c.mark > v.marked.Load() {
		b.Put(objstore.ElementKey(v.rt.ledger.oid, ledgerKey('t')), objstore.Record{LSN: c.lsn, Body: binary.AppendVarint(nil, c.mark)})
	}
	v.rt.uses.collect(v.rt, b, c.last)
	return b
}

// settle publishes a group that is durable, and tidies up behind it.
func (v *vat) settle(c *taken) {
	v.snaps.setDurable(&snapshot{lsn: c.lsn, store: v.store.Snapshot()})
	v.marked.Store(max(c.mark, v.marked.Load()))
	v.rt.uses.settled()
	v.queued.Add(-int64(c.bytes)) // first: those who are woken look at it
	v.stats.group(len(c.dirty), c.elems.rows.Len())
	v.tidies.Lock()
	defer v.tidies.Unlock()
	close(c.group.done)
	for _, h := range c.dirty {
		// In this order: a snapshot that is taken after marks is asked stands on w or above.
		w := h.cur.Load()
		_, needed := v.marks()
		w.prune(needed)
		v.cache.add(h, w.size)
	}
}

// fail undoes in memory what could not be made durable: every version above the durable
// snapshot. After a full disk writes go on; after anything else they have stopped.
func (v *vat) fail(c *taken, err error) {
	full := errors.Is(err, objstore.ErrFull) || errors.Is(err, objstore.ErrBatch)
	if full {
		v.rt.logAside(slog.LevelError, "a commit was refused; what had not been written yet, Relaxed turns among it, did not happen", "err", err)
	} else {
		v.failed.Store(&stopped{err})
		v.rt.logAside(slog.LevelError, "writes have stopped: a commit failed; reopen the world", "err", err)
	}
	v.w.lockInternal()
	defer v.w.unlock()
	later := v.group
	v.rollback(c)
	c.group.err, later.err = refused(err), refused(err)
	if full {
		v.lostTo = c.group.err
	} else {
		c.group.err, later.err = maybeExecuted(err), notStarted("", stoppedError("", err))
	}
	close(c.group.done)
	close(later.done)
}

// rollback drops what is not durable; with w held.
func (v *vat) rollback(c *taken) {
	v.snaps.rollback() // first: who reads what is dropped now must learn it at its end
	durable := v.snaps.durable.Load().lsn
	for _, hs := range [][]*handle{c.dirty, v.dirty} {
		for _, h := range hs {
			h.drop(durable)
		}
	}
	v.cut, v.lost = v.lsn, v.lsn // numbers that were given are not given again
	v.dirty, v.bytes, v.group = nil, 0, newGroup()
	v.old, v.young = newLayer(), newLayer()
	v.queued.Store(0)
	v.rt.gates.Reload()
	if err := v.loadMail(); err != nil {
		v.rt.logAside(slog.LevelError, "letters that wait could not be read again; they are delivered when the world is opened anew", "err", err)
	}
	v.rt.loseThreads()
	if err := v.rt.startThreads(); err != nil {
		v.rt.logAside(slog.LevelError, "threads could not be listed again; they go on when the world is opened anew", "err", err)
	}
	if err := v.loadCounts(); err != nil {
		v.rt.logAside(slog.LevelError, "counts of objects could not be read again", "err", err)
	}
}
