package sturdy

import (
	"iter"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// List is a persistent sequence. Its elements are records of their own, see Map. A
// grant's list of methods calls what it does append, get, set, len and range.
type List[V any] struct{ caps.Ref }

// NewList makes an empty list.
func NewList[V any](t *WriteTurn) List[V] { return List[V]{newColl[V](t, t.r.vat.rt.colls.list, "u")} }

func (l List[V]) open(t Turn, need caps.Rights, op string) opened {
	return openColl[V](t, l.Ref, t.reads().vat.rt.colls.list, "u", need, op)
}

// Append adds v at the end. It needs w.
func (l List[V]) Append(t *WriteTurn, v V) {
	o := l.open(t, caps.Write, "append")
	o.set(t, appendKey(uint64(o.state.Len)), encodeElement(t, o.elem, v, o.via))
	o.resize(1)
	o.close()
}

// At returns the element at i; ok is false if there is none. It needs r.
func (l List[V]) At(t Turn, i int) (v V, ok bool) {
	o := l.open(t, caps.Read, "get")
	if ok = 0 <= i && int64(i) < o.state.Len; ok {
		rec, _ := o.t.element(o.h, appendKey(uint64(i)))
		v = decodeElement[V](o.t.vat.rt, o.elem, rec, o.via)
	}
	o.close()
	return v, ok
}

// Set replaces the element at i; false if there is none. It needs w.
func (l List[V]) Set(t *WriteTurn, i int, v V) bool {
	o := l.open(t, caps.Write, "set")
	ok := 0 <= i && int64(i) < o.state.Len
	if ok {
		o.set(t, appendKey(uint64(i)), encodeElement(t, o.elem, v, o.via))
	}
	o.close()
	return ok
}

// Len is the number of elements. It needs r.
func (l List[V]) Len(t Turn) int {
	o := l.open(t, caps.Read, "len")
	o.close()
	return int(o.state.Len)
}

// Range yields the elements from, up to and without to, with their positions; positions
// that do not exist are left out. It needs r.
func (l List[V]) Range(t Turn, from, to int) iter.Seq2[int, V] {
	return func(yield func(int, V) bool) {
		o := l.open(t, caps.Read, "range")
		lo := max(from, 0)
		hi := max(lo, to)
		o.scan(appendKey(uint64(lo)), appendKey(uint64(hi)), func(elem string, rec objstore.Record) bool {
			i, ok := keyOf[uint64](elem)
			if !ok {
				panic(unwind{badKey(o.h, elem)})
			}
			return yield(int(i), decodeElement[V](o.t.vat.rt, o.elem, rec, o.via))
		})
		o.close()
	}
}
