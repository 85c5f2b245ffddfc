package sturdy

import (
	"github.com/tidwall/btree"

	"github.com/sturdyrt/sturdy/objstore"
)

// layer holds elements of collections that are committed and not yet in the store, in order
// of key. A vat has two: one that the running group writes, one that is being made durable.
type layer struct {
	rows    *btree.BTreeG[*element]
	changes uint64 // counts writes, so that an iteration knows when to seek anew
}

// element is one row. Invariant: never changed once its turn has committed.
type element struct {
	key  objstore.Key
	lsn  uint64
	rec  objstore.Record
	dead bool // the row is deleted, and hides those below
	// kind is the number of the kind row of the element's owner if its elements can hold
	// references, so that the index has to follow; else 0.
	kind uint32
}

// bytes is what e costs until it is durable, about.
func (e *element) bytes() int {
	n := len(e.key) + len(e.rec.Body) + elementOverhead
	for _, s := range e.rec.Slots {
		n += rowBytes(len(e.key), s.Path)
	}
	return n
}

func newLayer() *layer {
	byKey := func(a, b *element) bool { return a.key < b.key }
	return &layer{rows: btree.NewBTreeGOptions(byKey, btree.Options{NoLocks: true, Degree: 32})}
}

// get returns the row of key, which may be a dead one, or nil.
func (l *layer) get(key objstore.Key) *element {
	if l == nil || l.rows.Len() == 0 {
		return nil
	}
	e, _ := l.rows.Get(&element{key: key})
	return e
}

// set writes e and returns what stood there.
func (l *layer) set(e *element) (old *element) {
	l.changes++
	old, _ = l.rows.Set(e)
	return old
}

// remove takes a row away, as if it had never been written, and returns it.
func (l *layer) remove(key objstore.Key) (old *element) {
	l.changes++
	old, _ = l.rows.Delete(&element{key: key})
	return old
}

// undo takes a set back.
func (l *layer) undo(key objstore.Key, old *element) {
	l.changes++
	if old != nil {
		l.rows.Set(old)
	} else {
		l.rows.Delete(&element{key: key})
	}
}

// freeze returns a copy that later writes do not show in; it costs nothing until then.
func (l *layer) freeze() *layer {
	if l == nil || l.rows.Len() == 0 {
		return nil
	}
	return &layer{rows: l.rows.Copy()}
}

// page appends at most n rows with lo <= key < hi to dst; hi "" means to the end.
func (l *layer) page(dst []*element, lo, hi objstore.Key, n int) []*element {
	if l == nil {
		return dst
	}
	l.rows.Ascend(&element{key: lo}, func(e *element) bool {
		if n == 0 || hi != "" && e.key >= hi {
			return false
		}
		n--
		dst = append(dst, e)
		return true
	})
	return dst
}
