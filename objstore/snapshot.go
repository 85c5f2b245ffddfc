package objstore

import (
	"sync/atomic"
	"time"
)

// Snapshot is the store as of one LSN. It must be released: until then the checkpoint
// cannot pass it. Its methods are safe for concurrent use.
type Snapshot struct {
	store *Store
	state *state
	inWay time.Time             // under store.mu: since when a checkpoint waits for it; zero: none does
	over  atomic.Pointer[error] // why it cannot be read any more; nil: it can

	prev, next *Snapshot // under store.mu: the list of snapshots in use
	listed     bool
}

// Snapshot returns the newest durable state. It costs about as much as locking a mutex.
// On a closed store it returns a snapshot that answers ErrClosed.
func (s *Store) Snapshot() *Snapshot {
	sn := &Snapshot{store: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	sn.state = s.state
	if s.closed {
		sn.end(ErrClosed)
		return sn
	}
	sn.listed, sn.prev = true, s.newest
	if s.newest != nil {
		s.newest.next = sn
	} else {
		s.oldest = sn
	}
	s.newest = sn
	s.stats.Snapshots++
	return sn
}

// LSN is that of the newest batch in the snapshot.
func (sn *Snapshot) LSN() uint64 { return sn.state.lsn }

// Release ends the use of the snapshot; reading it afterwards is ErrClosed. A second call
// does nothing.
func (sn *Snapshot) Release() {
	sn.store.mu.Lock()
	defer sn.store.mu.Unlock()
	sn.store.drop(sn, ErrClosed)
}

// Get returns the row key, if there is one. An error is ErrDamaged for this row only,
// ErrSnapshotTooOld or ErrClosed.
func (sn *Snapshot) Get(key Key) (rec Record, ok bool, err error) {
	if err := sn.err(); err != nil {
		return Record{}, false, err
	}
	raw, ok := sn.state.table.get(key)
	if ok {
		if raw == "" {
			return Record{}, false, nil
		}
		rec, err = parseRecord(key, viewBytes(raw))
		return rec, err == nil, err
	}
	if key == "" || key >= endKey {
		return Record{}, false, nil
	}
	found, err := sn.store.disk.get(key)
	// A checkpoint may have passed the snapshot while it was read, but not without
	// cancelling it first.
	if over := sn.err(); over != nil {
		return Record{}, false, over
	}
	if err != nil || found == nil {
		return Record{}, false, err
	}
	rec, err = parseRecord(key, found)
	return rec, err == nil, err
}

func (sn *Snapshot) err() error {
	if p := sn.over.Load(); p != nil {
		return *p
	}
	return nil
}

func (sn *Snapshot) end(why error) { sn.over.CompareAndSwap(nil, &why) }

// drop takes a snapshot out of use. s.mu is held.
func (s *Store) drop(sn *Snapshot, why error) {
	sn.end(why)
	if !sn.listed {
		return
	}
	sn.listed = false
	s.stats.Snapshots--
	if sn.prev != nil {
		sn.prev.next = sn.next
	} else {
		s.oldest = sn.next
	}
	if sn.next != nil {
		sn.next.prev = sn.prev
	} else {
		s.newest = sn.prev
	}
	sn.prev, sn.next = nil, nil
}
