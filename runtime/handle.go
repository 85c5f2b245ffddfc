package sturdy

import (
	"sync/atomic"
	"unsafe"

	"github.com/sturdyrt/sturdy/objstore"
)

// handle is the canonical presence of an object in this process: there is one for each OID
// as long as anybody holds it, so comparing handles compares objects. It is small; the
// state hangs off it and can be dropped and loaded again.
type handle struct {
	oid objstore.OID
	vat *vat

	// cur is the newest committed version. nil: nothing has been loaded yet. A version
	// without state marks one that was evicted.
	//
	// Invariant: what is evicted has no older version that a snapshot in use needs, and is
	// durable. So a reader that finds no state here may read the store at any snapshot.
	cur atomic.Pointer[version]

	// work is the running write turn's own copy. Only the goroutine that holds vat.w
	// touches it. Invariant: nil between turns.
	work *version

	used  atomic.Bool // since the cache's hand last passed
	away  atomic.Bool // it stands in for an object on another host; see remote.go
	place int         // in cache.ring, plus one; 0: not there. Guarded by cache.mu
}

// version is one committed state of an object, or the copy that a turn works on.
// Invariant: once it is reachable from handle.cur, only prev changes.
type version struct {
	lsn   uint64
	prev  atomic.Pointer[version] // the next older one that somebody may still need
	kind  *bound
	state unsafe.Pointer // *S of the kind; nil: evicted
	row   uint32         // number of the kind row it was stored under; 0: not stored yet
	size  int            // bytes, estimated, for the cache and for back-pressure
}

// at returns the newest version with an LSN of at most lsn, or nil. The version may be one
// without state.
func (h *handle) at(lsn uint64) *version {
	v := h.cur.Load()
	for v != nil && v.lsn > lsn {
		v = v.prev.Load()
	}
	return v
}

// publish makes the turn's copy the newest version; with vat.w held.
func (h *handle) publish(lsn uint64, needed []uint64) {
	w := h.work
	w.lsn = lsn
	w.prune(needed)
	h.cur.Store(w)
	h.work = nil
}

// prune unlinks the versions behind v that no LSN in needed (descending) would be answered
// with. Several goroutines may prune one chain: each unlinks only what nobody will need
// again, so what is needed stays reachable whichever store of prev comes last.
func (v *version) prune(needed []uint64) {
	keep, i := v, 0
	for p := v.prev.Load(); p != nil; p = p.prev.Load() {
		for i < len(needed) && needed[i] >= keep.lsn {
			i++
		}
		if i == len(needed) {
			break
		}
		if p.lsn <= needed[i] {
			keep.link(p)
			keep = p
		}
	}
	keep.link(nil)
}

func (v *version) link(p *version) {
	if v.prev.Load() != p {
		v.prev.Store(p)
	}
}

// evict drops the state if nobody can need it but from the store. It reports whether there
// is no state any more.
func (h *handle) evict(durable uint64, needed []uint64) bool {
	v := h.cur.Load()
	if v == nil || v.state == nil {
		return true
	}
	if v.lsn > durable {
		return false
	}
	v.prune(needed)
	if v.prev.Load() != nil {
		return false
	}
	// A new marker each time: a loader that saw an older one must not take this for it and
	// install what it has read before (compare-and-swap would not notice).
	return h.cur.CompareAndSwap(v, &version{lsn: v.lsn, kind: v.kind})
}

// drop forgets every version above lsn: after a commit that did not become durable. With
// vat.w held.
func (h *handle) drop(lsn uint64) {
	v := h.at(lsn)
	if v == nil {
		v = &version{lsn: lsn, kind: h.vat.gone}
	}
	h.cur.Store(v)
}

// isGone reports whether the turn that made the object did not commit.
func (h *handle) isGone() bool {
	v := h.cur.Load()
	return v != nil && v.kind == h.vat.gone
}

// load returns the newest version with its state, from the store if need be.
func (h *handle) load() (*version, error) {
	for {
		seen := h.cur.Load()
		if seen != nil && seen.state != nil {
			if !h.used.Load() {
				h.used.Store(true)
			}
			return seen, nil
		}
		if h.isGone() {
			return nil, h.goneError()
		}
		v, err := h.vat.fault(h)
		if err != nil {
			return nil, err
		}
		if seen != nil && v.lsn != seen.lsn {
			continue // it was loaded, written and evicted again while we read
		}
		if v.kind.def == h.vat.rt.foreign.def {
			h.away.Store(true)
		}
		if h.cur.CompareAndSwap(seen, v) {
			h.vat.cache.add(h, v.size)
			return v, nil
		}
	}
}
