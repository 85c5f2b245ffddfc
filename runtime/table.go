package sturdy

import (
	"sync"
	"weak"

	"github.com/sturdyrt/sturdy/objstore"
)

// table finds the handle of an OID, if anybody holds one. It holds handles weakly: nothing
// runs when one dies (a cleanup for each would double the collector's work); each insertion
// looks at a few neighbours instead and removes the dead among them.
type table struct{ shards [64]shard }

type shard struct {
	mu sync.Mutex
	m  map[objstore.OID]weak.Pointer[handle]
}

const sweepPerInsert = 3

// get returns the handle of oid, and makes it if there is none.
func (t *table) get(v *vat, oid objstore.OID) *handle {
	s := &t.shards[oid.N%uint64(len(t.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.m[oid].Value(); h != nil {
		return h
	}
	h := &handle{oid: oid, vat: v}
	s.insert(h)
	return h
}

// add inserts the handle of an object that has just been made.
func (t *table) add(h *handle) {
	s := &t.shards[h.oid.N%uint64(len(t.shards))]
	s.mu.Lock()
	s.insert(h)
	s.mu.Unlock()
}

func (s *shard) insert(h *handle) {
	if s.m == nil {
		s.m = make(map[objstore.OID]weak.Pointer[handle])
	}
	n := 0
	for oid, w := range s.m { // begins anywhere, which is what sampling needs
		if w.Value() == nil {
			delete(s.m, oid)
		}
		if n++; n == sweepPerInsert {
			break
		}
	}
	s.m[h.oid] = weak.Make(h)
}
