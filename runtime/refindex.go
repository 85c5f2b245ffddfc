package sturdy

import (
	"cmp"
	"encoding/binary"
	"log/slog"
	"slices"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// The index of references says who holds a reference to an object, and what came through a
// grant, without reading the world. A holder is a record: the state of an object, or an
// element of a collection. For each holder and each object that its slots name there is a
// row; likewise for each grant in the paths of its slots, as if the grant were named. A row
// has the slots that name its target, in order and each once, the kind of the holder, and
// the time since which the holder has had any of them.
//
// The rows change in the batch that changes the holder, by the difference between the slots
// that are stored and those that will be. Keeping them in the turn instead would charge the
// writer for versions that are never written. The durable snapshot is exactly what the batch
// is written on, and the version there is kept while it is in memory, see snapshots.

// indexer is what the flusher keeps between groups to work out rows with.
type indexer struct {
	now     int64 // of the batch, in seconds since 1970
	refs    []caps.Ref
	collect func(caps.Ref) error // appends to refs
	old     []objstore.Slot
	row     []objstore.Slot
	was, is []naming
	touched []objstore.OID
}

// naming is a slot as part of the row of one target.
type naming struct {
	target objstore.OID
	slot   objstore.Slot
}

// holding is a record that holds references, and in which turn it came to what it is.
type holding struct {
	lsn  uint64
	kind uint32 // number of the kind row of the object
	oid  objstore.OID
	elem string
}

// rowBytes is what a slot can add to a batch beside its place in the record: a row for its
// target and one for each grant in its path, each with the key of the holder and the path.
func rowBytes(key int, path string) int {
	rows := 1
	for i := range len(path) {
		if path[i] < 0x80 {
			rows++
		}
	}
	return rows * (key + len(path) + refBytes)
}

// begin prepares for a batch.
func (ix *indexer) begin(v *vat) {
	ix.now = v.rt.clock().Unix()
	if ix.collect == nil {
		ix.collect = func(r caps.Ref) error {
			if !r.IsNull() {
				ix.refs = append(ix.refs, r)
			}
			return nil
		}
	}
}

// indexState adds to b what changes for the state w of h, whose refs and slots c has.
func (v *vat) indexState(b *objstore.Batch, c *taken, h *handle, w *version) {
	ix := &v.index
	var old []objstore.Slot
	base, codec := h.at(c.base), w.kind.def.codec
	switch {
	case base == nil: // made in this group
	case base.state == nil || base.row != w.row: // its refs are not those that are stored
		old = v.storedSlots(objstore.ObjectKey(h.oid))
	case !codec.HasRefs():
		return
	default:
		ix.refs = ix.refs[:0]
		if err := codec.EachRef(base.state, ix.collect); err == nil && slices.Equal(ix.refs, c.refs) {
			clear(ix.refs) // they would keep objects alive
			return
		}
		ix.old = v.rt.slots(ix.old[:0], ix.refs)
		old = ix.old
	}
	if len(old)+len(c.slots) > 0 {
		v.indexRows(b, holding{w.lsn, w.row, h.oid, ""}, old, c.slots)
	}
	clear(ix.refs)
}

// indexElement adds to b what changes for e.
func (v *vat) indexElement(b *objstore.Batch, e *element) {
	if e.kind == 0 {
		return
	}
	old := v.storedSlots(e.key)
	if slices.Equal(old, e.rec.Slots) {
		return
	}
	if p, err := objstore.ParseKey(e.key); err == nil {
		v.indexRows(b, holding{e.lsn, e.kind, p.OID, p.Elem}, old, e.rec.Slots)
	}
}

// storedSlots returns the slots of the record that the batch replaces.
func (v *vat) storedSlots(key objstore.Key) []objstore.Slot {
	rec, _, err := v.snaps.durable.Load().store.Get(key)
	if err != nil {
		v.rt.logAside(slog.LevelError, "a record that is replaced cannot be read; the index may go on listing what it held", "err", err)
	}
	return rec.Slots
}

// indexRows adds to b the rows of those targets whose slots in a holder differ between old
// and now. What both begin and end with is looked at only for those: a list of thousands to
// which one is added costs one pass.
func (v *vat) indexRows(b *objstore.Batch, of holding, old, now []objstore.Slot) {
	ix := &v.index
	head := 0
	for head < min(len(old), len(now)) && old[head] == now[head] {
		head++
	}
	tail := 0
	for tail < min(len(old), len(now))-head && old[len(old)-1-tail] == now[len(now)-1-tail] {
		tail++
	}
	ix.was = v.appendNamings(ix.was[:0], old[head:len(old)-tail], nil)
	ix.is = v.appendNamings(ix.is[:0], now[head:len(now)-tail], nil)
	if head+tail > 0 {
		ix.touch()
		for _, same := range [2][]objstore.Slot{now[:head], now[len(now)-tail:]} {
			ix.was = v.appendNamings(ix.was, same, ix.touched)
			ix.is = v.appendNamings(ix.is, same, ix.touched)
		}
	}
	was, is := sortNamings(ix.was), sortNamings(ix.is)
	for len(was)+len(is) > 0 {
		var before, after []naming
		before, after, was, is = cutTarget(was, is)
		if !slices.Equal(before, after) {
			v.indexRow(b, of, before, after)
		}
	}
	clear(ix.was)
	clear(ix.is)
}

// touch sets ix.touched to the targets in was and is.
func (ix *indexer) touch() {
	ix.touched = ix.touched[:0]
	for _, list := range [2][]naming{ix.was, ix.is} {
		for _, n := range list {
			ix.touched = append(ix.touched, n.target)
		}
	}
	slices.SortFunc(ix.touched, compareOID)
	ix.touched = slices.Compact(ix.touched)
}

// indexRow adds one row to b, or removes it.
func (v *vat) indexRow(b *objstore.Batch, of holding, before, after []naming) {
	ix := &v.index
	if len(after) == 0 {
		b.Delete(objstore.RefKey(before[0].target, of.oid, of.elem))
		return
	}
	key, since := objstore.RefKey(after[0].target, of.oid, of.elem), ix.now
	if len(before) > 0 {
		since = v.indexedSince(key, since)
	}
	ix.row = ix.row[:0]
	for _, n := range after {
		ix.row = append(ix.row, n.slot)
	}
	b.Put(key, objstore.Record{LSN: of.lsn, Kind: of.kind, Slots: ix.row, Body: binary.AppendVarint(nil, since)})
}

// indexedSince returns since when the row has been there; otherwise, if it cannot be read.
func (v *vat) indexedSince(key objstore.Key, otherwise int64) int64 {
	rec, ok, err := v.snaps.durable.Load().store.Get(key)
	if since, size := binary.Varint(rec.Body); err == nil && ok && size > 0 {
		return since
	}
	return otherwise
}

// appendNamings appends to dst what slots name: all of it, or if only is not nil, what is in
// there, which is sorted.
func (v *vat) appendNamings(dst []naming, slots []objstore.Slot, only []objstore.OID) []naming {
	add := func(target objstore.OID, s objstore.Slot) {
		if only != nil {
			if _, ok := slices.BinarySearchFunc(only, target, compareOID); !ok {
				return
			}
		}
		dst = append(dst, naming{target, s})
	}
	for _, s := range slots {
		add(s.OID, s)
		for path := s.Path; path != ""; {
			var grant uint64
			if grant, path = nextGrant(path); grant != 0 {
				add(objstore.OID{Vat: v.id, N: grant}, s)
			}
		}
	}
	return dst
}

// nextGrant takes the number of the first grant off a path; what is malformed ends it.
func nextGrant(path string) (grant uint64, rest string) {
	var n uint64
	for i := 0; i < len(path) && i < binary.MaxVarintLen64; i++ {
		n |= uint64(path[i]&0x7f) << (7 * i)
		if path[i] < 0x80 {
			return n >> 1, path[i+1:]
		}
	}
	return 0, ""
}

// sortNamings returns the distinct ones in order of target and slot.
func sortNamings(ns []naming) []naming {
	slices.SortFunc(ns, func(a, b naming) int {
		return cmp.Or(compareOID(a.target, b.target), compareSlot(a.slot, b.slot))
	})
	return slices.Compact(ns)
}

// cutTarget takes what is of the lowest target off two sorted lists.
func cutTarget(was, is []naming) (before, after, wasRest, isRest []naming) {
	var target objstore.OID
	if len(is) == 0 || len(was) > 0 && compareOID(was[0].target, is[0].target) < 0 {
		target = was[0].target
	} else {
		target = is[0].target
	}
	n, m := 0, 0
	for n < len(was) && was[n].target == target {
		n++
	}
	for m < len(is) && is[m].target == target {
		m++
	}
	return was[:n], is[:m], was[n:], is[m:]
}

func compareOID(a, b objstore.OID) int {
	return cmp.Or(cmp.Compare(a.Vat, b.Vat), cmp.Compare(a.N, b.N))
}

func compareSlot(a, b objstore.Slot) int {
	return cmp.Or(compareOID(a.OID, b.OID), cmp.Compare(a.Rights, b.Rights), cmp.Compare(a.Path, b.Path))
}
