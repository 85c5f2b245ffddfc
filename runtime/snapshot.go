package sturdy

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sturdyrt/sturdy/objstore"
)

// snapshot is a cut between two turns that readers stand on. Readers share one: the newest
// durable one is made once for each group of turns.
type snapshot struct {
	lsn   uint64
	users atomic.Int64
	lost  atomic.Bool // a rollback went below it: who stands on it may have read what never was
	store *objstore.Snapshot
	// layers of collection elements above store, newest first; nil in a durable snapshot.
	layers [2]*layer
}

// snapshots are those that readers stand on or may step on.
//
// Invariant: store <= list[0].lsn <= ... <= vat.lsn, in LSNs; above durable there are only those
// of Relaxed readers.
// Invariant: what is not in list has no users and will have none.
type snapshots struct {
	durable atomic.Pointer[snapshot]
	newest  atomic.Pointer[snapshot] // made for Relaxed readers; may be older than durable
	needed  atomic.Pointer[[]uint64] // LSNs that versions are kept for, descending
	mu      sync.Mutex               // guards what follows, and all stores to the above
	list    []*snapshot              // ascending
	flying  uint64                   // LSN of the group that is being written; 0: none
}

// acquire steps on the snapshot that at points to.
func (ss *snapshots) acquire(at *atomic.Pointer[snapshot]) *snapshot {
	for {
		s := at.Load()
		s.users.Add(1)
		// Only now is it certain that prune sees us, and only if s is still the current one.
		if at.Load() == s {
			return s
		}
		ss.release(s)
	}
}

// release steps off s.
func (ss *snapshots) release(s *snapshot) {
	if s.users.Add(-1) == 0 && s != ss.durable.Load() && s != ss.newest.Load() {
		ss.mu.Lock()
		ss.sweep()
		ss.mu.Unlock()
	}
}

// setDurable makes s the snapshot that new readers step on, and wakes nobody: that is for
// the caller, afterwards.
func (ss *snapshots) setDurable(s *snapshot) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.add(s)
	ss.durable.Store(s)
	ss.flying = 0
	if n := ss.newest.Load(); n == nil || n.lsn <= s.lsn {
		ss.newest.Store(s)
	}
	ss.sweep()
}

// setNewest makes s the snapshot that Relaxed readers step on.
func (ss *snapshots) setNewest(s *snapshot) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.add(s)
	ss.newest.Store(s)
	ss.sweep()
}

// setFlying announces that lsn will be a durable snapshot: versions for it are kept from now.
func (ss *snapshots) setFlying(lsn uint64) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.flying = lsn
	ss.sweep()
}

// rollback forgets every snapshot above the durable one.
func (ss *snapshots) rollback() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.flying = 0
	durable := ss.durable.Load()
	for _, s := range ss.list {
		if s.lsn > durable.lsn {
			s.lost.Store(true)
		}
	}
	ss.newest.Store(durable)
	ss.sweep()
}

func (ss *snapshots) add(s *snapshot) {
	i, _ := slices.BinarySearchFunc(ss.list, s.lsn, func(a *snapshot, lsn uint64) int {
		if a.lsn < lsn {
			return -1
		}
		return 1
	})
	ss.list = slices.Insert(ss.list, i, s)
}

// sweep removes the snapshots that nobody stands on or can step on any more, and says anew
// which LSNs are needed. With mu held.
func (ss *snapshots) sweep() {
	durable, newest := ss.durable.Load(), ss.newest.Load()
	ss.list = slices.DeleteFunc(ss.list, func(s *snapshot) bool {
		if s == durable || s == newest || s.users.Load() != 0 {
			return false
		}
		s.store.Release()
		return true
	})
	needed := make([]uint64, 0, len(ss.list)+1)
	for _, s := range ss.list {
		needed = append(needed, s.lsn)
	}
	if ss.flying != 0 {
		needed = append(needed, ss.flying)
	}
	slices.Sort(needed)
	slices.Reverse(needed)
	ss.needed.Store(&needed)
}

// close steps off everything.
func (ss *snapshots) close() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.list {
		s.store.Release()
	}
	ss.list = nil
}
