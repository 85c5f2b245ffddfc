package sturdy

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/objstore"
)

// How often grants are used is counted by their gates and written beside the groups: in the
// ledger's u elements, by the flusher, about once in usesEvery. A crash may lose the
// counts since. They are no part of any turn: a read would become a write.

const (
	// usesEvery is how long counts stay in memory.
	usesEvery = 10 * time.Second
	// maxUses is how many counts go into one batch.
	maxUses = 4096
)

// writeUses makes the flusher write the counts, if it is time and no group does anyway.
func (v *vat) writeUses() {
	v.rt.uses.mu.Lock()
	due := !v.rt.clock().Before(v.rt.uses.next)
	v.rt.uses.mu.Unlock()
	if !due || !v.rt.gates.InUse() {
		return
	}
	v.w.lockInternal()
	if v.lsn == v.cut && v.failed.Load() == nil {
		v.lsn++
	}
	v.w.unlock()
	v.wake(v.kick)
}

// uses are the counts of an open world.
type uses struct {
	mu    sync.Mutex
	young map[uint64]use // not yet durable, by grant: what to write, in full
	next  time.Time      // when they are collected again
}

type use struct {
	calls int64
	last  time.Time
}

// collect adds to b the counts that changed, if it is time or now is forced. Only the
// flusher calls it, and settled once b is durable.
func (u *uses) collect(rt *Runtime, b *objstore.Batch, forced bool) {
	now := rt.clock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if forced || !now.Before(u.next) {
		u.next = now.Add(usesEvery)
		rt.gates.Used(maxUses, func(n uint64, calls int64, since time.Time) {
			was, young := u.young[n]
			if !young {
				was = rt.vat.storedUse(n)
			}
			u.young[n] = use{was.calls + calls, since}
		})
	}
	for n, use := range u.young {
		b.Put(objstore.ElementKey(rt.ledger.oid, ledgerKey('u', n)), objstore.Record{LSN: b.LSN, Body: use.body()})
	}
}

// settled forgets what is durable.
func (u *uses) settled() {
	u.mu.Lock()
	clear(u.young)
	u.mu.Unlock()
}

// of returns how often the grant was used, and when last.
func (u *uses) of(t *ReadTurn, n uint64) (calls int64, last time.Time) {
	u.mu.Lock()
	use, young := u.young[n]
	u.mu.Unlock()
	if !young {
		use = t.vat.storedUse(n)
	}
	live, since := t.vat.rt.gates.Grant(n).Uses()
	if live > 0 {
		use.last = since
	}
	return use.calls + live, use.last
}

// storedUse is what is durable.
func (v *vat) storedUse(n uint64) (u use) {
	s := v.snaps.acquire(&v.snaps.durable)
	defer v.snaps.release(s)
	rec, ok, err := s.store.Get(objstore.ElementKey(v.rt.ledger.oid, ledgerKey('u', n)))
	if err != nil || !ok {
		return use{}
	}
	calls, size := binary.Varint(rec.Body)
	if size <= 0 {
		return use{}
	}
	last, _ := binary.Varint(rec.Body[size:])
	return use{calls, time.Unix(last, 0).UTC()}
}

func (u use) body() []byte {
	return binary.AppendVarint(binary.AppendVarint(nil, u.calls), u.last.Unix())
}
