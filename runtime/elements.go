package sturdy

import (
	"reflect"
	"strings"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Elements of collections are records of their own, beside their owner's: a collection is
// never loaded whole. A turn finds an element in the first of these that has its key: the
// layer that the running group writes, the layer of the group being made durable, the store.
// A write turn writes the first layer directly, and takes that back if it fails.

// sources are where a turn finds elements.
type sources struct {
	layers [2]*layer
	store  *objstore.Snapshot
	done   func()
}

func (t *ReadTurn) sources() sources {
	if t.w == nil {
		return sources{t.snap.layers, t.snap.store, func() {}}
	}
	s := t.vat.snaps.acquire(&t.vat.snaps.durable)
	return sources{[2]*layer{t.vat.young, t.vat.old}, s.store, func() { t.vat.snaps.release(s) }}
}

// element returns one element of h.
func (t *ReadTurn) element(h *handle, elem string) (rec objstore.Record, ok bool) {
	key := objstore.ElementKey(h.oid, elem)
	src := t.sources()
	defer src.done()
	for _, l := range src.layers {
		if e := l.get(key); e != nil {
			return e.rec, !e.dead
		}
	}
	rec, ok, err := src.store.Get(key)
	if err != nil {
		panic(unwind{storeError(h, err)})
	}
	return rec, ok
}

// setElement writes an element of h, a directory or the ledger.
func (t *WriteTurn) setElement(h *handle, elem string, rec objstore.Record) {
	t.change(&element{key: objstore.ElementKey(h.oid, elem), rec: rec, kind: h.holderKind(elem)})
}

// dropElement removes an element of h, a directory or the ledger.
func (t *WriteTurn) dropElement(h *handle, elem string) {
	t.change(&element{key: objstore.ElementKey(h.oid, elem), dead: true, kind: h.holderKind(elem)})
}

// holderKind is element.kind for elements of a directory or the ledger.
func (h *handle) holderKind(elem string) uint32 {
	rt := h.vat.rt
	switch {
	case h != rt.ledger:
		return rt.bound(rt.dirs.def).no
	case strings.IndexByte("nxut", elem[0]) < 0:
		return rt.bound(rt.ledgers.def).no
	}
	return 0
}

// set writes an element of a collection.
func (o *opened) set(t *WriteTurn, elem string, rec objstore.Record) {
	t.change(&element{key: objstore.ElementKey(o.h.oid, elem), rec: rec, kind: o.holderKind()})
}

// drop removes an element of a collection.
func (o *opened) drop(t *WriteTurn, elem string) {
	t.change(&element{key: objstore.ElementKey(o.h.oid, elem), dead: true, kind: o.holderKind()})
}

// holderKind is element.kind for elements of the collection.
func (o *opened) holderKind() uint32 {
	if o.elem.codec.HasRefs() {
		return o.kind
	}
	return 0
}

// change writes e.
func (t *WriteTurn) change(e *element) {
	t.fits(e)
	t.elems = append(t.elems, change{e, t.r.vat.young.set(e)})
}

// add is change for an e with a key that was never written before.
func (t *WriteTurn) add(e *element) {
	t.fits(e)
	t.elems = append(t.elems, change{now: e})
	t.r.vat.young.add(e)
}

// fits fails the turn if e is too large, or too much.
func (t *WriteTurn) fits(e *element) {
	limit := maxKey
	if e.kind != 0 {
		limit -= targetBytes
	}
	if len(e.key) > limit {
		panic(unwind{tooLarge("a key of %d bytes; the limit is %d", len(e.key), limit)})
	}
	t.bytes += e.bytes()
	if t.bytes > maxTurn {
		panic(unwind{tooLarge("a turn that writes more than %d bytes of elements", maxTurn)})
	}
}

const (
	maxKey = 4 << 10 // bytes of an element's key
	// targetBytes is how much longer the key of an element is in the index.
	targetBytes = 16
	maxTurn     = 64 << 20 // bytes of elements that one turn writes
)

// scan calls yield for each element of h with lo <= elem < hi in order; hi "" is the end.
// yield may write: what it changes ahead of itself is seen.
func (t *ReadTurn) scan(h *handle, lo, hi string, yield func(elem string, rec objstore.Record) bool) {
	first, end := objstore.ElementRange(h.oid)
	prefix := len(first)
	next := first + objstore.Key(lo)
	if hi != "" {
		end = first + objstore.Key(hi)
	}
	src := t.sources()
	defer src.done()
	for size := 16; ; size = min(4*size, 256) {
		page, more, err := src.page(next, end, size)
		if err != nil {
			panic(unwind{storeError(h, err)})
		}
		changes := src.changes()
		for _, e := range page {
			if !e.dead && !yield(string(e.key[prefix:]), e.rec) {
				return
			}
			next = e.key + "\x00"
			if t.w != nil && src.changes() != changes {
				more, size = true, 1 // what lies ahead may be another by now
				break
			}
		}
		if !more {
			return
		}
		t.check()
	}
}

func (s *sources) changes() uint64 {
	if s.layers[0] == nil {
		return 0
	}
	return s.layers[0].changes
}

// page returns at least one and about size elements from next on, in order, the dead ones
// among them; more says that there may be others behind. It is a merge of three lists, each
// cut off at size; what lies behind the end of a list that was cut off has to wait.
func (s *sources) page(next, end objstore.Key, size int) (page []*element, more bool, err error) {
	lists := [3][]*element{s.layers[0].page(nil, next, end, size), s.layers[1].page(nil, next, end, size), nil}
	err = s.store.Scan(next, end, func(k objstore.Key, rec objstore.Record) bool {
		lists[2] = append(lists[2], &element{key: k, rec: rec})
		return len(lists[2]) < size
	})
	if err != nil {
		return nil, false, err
	}
	var last objstore.Key
	for _, l := range lists {
		if len(l) == size && (!more || l[size-1].key < last) {
			more, last = true, l[size-1].key
		}
	}
	for {
		e := first(&lists)
		if e == nil || more && e.key > last {
			return page, more, nil
		}
		page = append(page, e)
	}
}

// first takes the element with the lowest key out of the lists; where several have it, the
// foremost list's, which is the newest.
func first(lists *[3][]*element) (e *element) {
	for _, l := range lists {
		if len(l) > 0 && (e == nil || l[0].key < e.key) {
			e = l[0]
		}
	}
	for i, l := range lists {
		if e != nil && len(l) > 0 && l[0].key == e.key {
			lists[i] = l[1:]
		}
	}
	return e
}

// elemType is how elements of one Go type are stored.
type elemType struct {
	codec *caps.Codec
	shape string
}

// elemTypeOf returns how V is stored; it fails the turn if V cannot be.
func elemTypeOf[V any](rt *Runtime) *elemType {
	t := reflect.TypeFor[V]()
	if e, ok := rt.elems.Load(t); ok {
		return e.(*elemType)
	}
	codec, err := caps.CodecFor(t)
	if err != nil {
		panic(unwind{&caps.Error{Code: caps.ErrBadArgument, Text: "elements of type " + t.String() + " cannot be stored: " + err.Error()}})
	}
	e := &elemType{codec, codec.Shape().String()}
	rt.elems.Store(t, e)
	return e
}

// encodeElement returns v, which came in through via, as a record.
func encodeElement[V any](t *WriteTurn, e *elemType, v V, via caps.Authority) objstore.Record {
	p := unsafe.Pointer(&v)
	var err error
	if e.codec.HasRefs() && via.Narrows() {
		err = e.codec.Own(p, via.Inward())
	}
	size := 0
	if err == nil {
		size, err = e.codec.Seal(p)
	}
	if err == nil && size > maxState {
		err = tooLarge("an element of %d bytes; the limit is %d", size, maxState)
	}
	if err == nil {
		err = e.codec.EachRef(p, t.storable)
	}
	if err != nil {
		panic(unwind{err})
	}
	body, refs := e.codec.Append(nil, nil, p)
	return objstore.Record{Body: body, Slots: t.r.vat.rt.slots(nil, refs)}
}

// decodeElement returns what a record holds, as seen through via.
func decodeElement[V any](rt *Runtime, e *elemType, rec objstore.Record, via caps.Authority) (v V) {
	p := unsafe.Pointer(&v)
	err := e.codec.Load(p, rec.Body, rt.refs(rec.Slots))
	if err == nil && e.codec.HasRefs() && via.Narrows() {
		err = e.codec.Own(p, via)
	}
	if err != nil {
		panic(unwind{err})
	}
	return v
}
