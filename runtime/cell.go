package sturdy

import (
	"github.com/sturdyrt/sturdy/caps"
)

// Cell holds one value that can be replaced. A grant's list of methods calls what it does get
// and set.
type Cell[V any] struct{ caps.Ref }

// NewCell makes a cell that holds v.
func NewCell[V any](t *WriteTurn, v V) Cell[V] {
	c := Cell[V]{newColl[V](t, t.r.vat.rt.colls.cell, "s")}
	c.Set(t, v)
	return c
}

func (c Cell[V]) open(t Turn, need caps.Rights, op string) opened {
	return openColl[V](t, c.Ref, t.reads().vat.rt.colls.cell, "s", need, op)
}

// Get returns the value. It needs r.
func (c Cell[V]) Get(t Turn) (v V) {
	o := c.open(t, caps.Read, "get")
	if rec, ok := o.t.element(o.h, appendKey("")); ok {
		v = decodeElement[V](o.t.vat.rt, o.elem, rec, o.via)
	}
	o.close()
	return v
}

// Set replaces the value. It needs w.
func (c Cell[V]) Set(t *WriteTurn, v V) {
	o := c.open(t, caps.Write, "set")
	o.set(t, appendKey(""), encodeElement(t, o.elem, v, o.via))
	o.close()
}
