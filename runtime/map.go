package sturdy

import (
	"cmp"
	"iter"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Map is an ordered persistent map. Its entries are records of their own: a lookup among
// ten million costs what one among ten costs. In a turn that fails to reach the disk, or
// through a Ref without the right, its methods end the turn with an error. Keys of up to
// 4 KiB, values of up to 1 MiB encoded. A grant's list of methods calls them get, put, delete,
// len and, for All and Range, range.
type Map[K cmp.Ordered, V any] struct{ caps.Ref }

// NewMap makes an empty map.
func NewMap[K cmp.Ordered, V any](t *WriteTurn) Map[K, V] {
	return Map[K, V]{newColl[V](t, t.r.vat.rt.colls.mapping, keyShape[K]())}
}

func (m Map[K, V]) open(t Turn, need caps.Rights, op string) opened {
	return openColl[V](t, m.Ref, t.reads().vat.rt.colls.mapping, keyShape[K](), need, op)
}

// Get returns the value of k, if there is one. It needs r.
func (m Map[K, V]) Get(t Turn, k K) (v V, ok bool) {
	o := m.open(t, caps.Read, "get")
	rec, ok := o.t.element(o.h, appendKey(k))
	if ok {
		v = decodeElement[V](o.t.vat.rt, o.elem, rec, o.via)
	}
	o.close()
	return v, ok
}

// Put sets the value of k. It needs w.
func (m Map[K, V]) Put(t *WriteTurn, k K, v V) {
	o := m.open(t, caps.Write, "put")
	elem := appendKey(k)
	if _, ok := o.t.element(o.h, elem); !ok {
		o.resize(1)
	}
	o.set(t, elem, encodeElement(t, o.elem, v, o.via))
	o.close()
}

// Delete removes k, if it is there. It needs w.
func (m Map[K, V]) Delete(t *WriteTurn, k K) {
	o := m.open(t, caps.Write, "delete")
	elem := appendKey(k)
	if _, ok := o.t.element(o.h, elem); ok {
		o.resize(-1)
		o.drop(t, elem)
	}
	o.close()
}

// Len is the number of entries. It needs r.
func (m Map[K, V]) Len(t Turn) int {
	o := m.open(t, caps.Read, "len")
	o.close()
	return int(o.state.Len)
}

// All yields the entries in order of key. It needs r. The loop may write to the map in a
// write turn: what it changes ahead of itself is seen.
func (m Map[K, V]) All(t Turn) iter.Seq2[K, V] { return m.entries(t, "", "") }

// Range is All for keys with lo <= key < hi.
func (m Map[K, V]) Range(t Turn, lo, hi K) iter.Seq2[K, V] {
	if lo >= hi {
		return func(func(K, V) bool) {}
	}
	return m.entries(t, appendKey(lo), appendKey(hi))
}

func (m Map[K, V]) entries(t Turn, lo, hi string) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		o := m.open(t, caps.Read, "range")
		o.scan(lo, hi, func(elem string, rec objstore.Record) bool {
			k, ok := keyOf[K](elem)
			if !ok {
				panic(unwind{badKey(o.h, elem)})
			}
			return yield(k, decodeElement[V](o.t.vat.rt, o.elem, rec, o.via))
		})
		o.close()
	}
}
