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
	// loose is rows that are not in their place yet: letters, most of which are delivered
	// before anybody looks. Only the writer's own layer has any.
	// Invariant: no row of the same key is in rows.
	loose []*element
}

// element is one row. Invariant: but for loose and gone never changed once its turn has
// committed.
type element struct {
	key  objstore.Key
	lsn  uint64
	rec  objstore.Record
	dead bool // the row is deleted, and hides those below
	// loose: it is in its layer's loose; and if gone, it has been removed since. Only the
	// writer looks at these.
	loose, gone bool
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
	if l == nil {
		return nil
	}
	if l.gather(); l.rows.Len() == 0 {
		return nil
	}
	e, _ := l.rows.Get(&element{key: key})
	return e
}

// add writes e, which has a key that was never written before. It costs next to nothing if e
// is removed before anybody looks.
func (l *layer) add(e *element) {
	l.changes++
	e.loose = true
	l.loose = append(l.loose, e)
}

// gather puts the loose rows where they belong.
func (l *layer) gather() {
	if len(l.loose) == 0 {
		return
	}
	for _, e := range l.loose {
		if e.loose = false; !e.gone {
			l.rows.Set(e)
		}
	}
	l.loose = nil
}

// set writes e, whose key is none that a loose row has, and returns what stood there.
func (l *layer) set(e *element) (old *element) {
	l.changes++
	old, _ = l.rows.Set(e)
	return old
}

// remove takes the row of e's key away, as if it had never been written, and returns it.
func (l *layer) remove(e *element) (old *element) {
	l.changes++
	if e.loose {
		e.gone = true
		return e
	}
	old, _ = l.rows.Delete(e)
	return old
}

// undo takes a change back.
func (l *layer) undo(c change) {
	l.changes++
	switch old := c.before; {
	case old != nil && old.loose:
		old.gone = false
	case old != nil:
		old.gone = false
		l.rows.Set(old)
	case c.now.loose:
		c.now.gone = true
	default:
		l.rows.Delete(c.now)
	}
}

// freeze returns a copy that later writes do not show in; it costs nothing until then.
func (l *layer) freeze() *layer {
	if l == nil {
		return nil
	}
	if l.gather(); l.rows.Len() == 0 {
		return nil
	}
	return &layer{rows: l.rows.Copy()}
}

// page appends at most n rows with lo <= key < hi to dst; hi "" means to the end.
func (l *layer) page(dst []*element, lo, hi objstore.Key, n int) []*element {
	if l == nil {
		return dst
	}
	l.gather()
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
