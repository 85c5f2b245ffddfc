package sturdy

import (
	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// maker seals the Refs of this package. It is one for all worlds of the process, so that a
// Directory finds its Runtime; it never leaves the package, and what is not of the world at
// hand is refused where it matters: when a turn is joined, and when a Ref is stored.
var maker = caps.NewMaker()

// deepBit stands beside the rights in a stored slot.
const deepBit = 1 << 7

// ref makes a Ref to h; null if h is nil.
func (rt *Runtime) ref(h *handle, a caps.Authority) caps.Ref {
	if h == nil {
		return caps.Ref{}
	}
	return maker.Make(h, a)
}

// open returns what stands behind a Ref of this world.
func (rt *Runtime) open(r caps.Ref) (*handle, caps.Authority, bool) {
	t, a, ok := maker.Open(r)
	if !ok {
		return nil, a, false
	}
	h, ok := t.(*handle)
	return h, a, ok
}

// runtimeOf returns the world that r is of.
func runtimeOf(r caps.Ref) (*Runtime, error) {
	t, _, _ := maker.Open(r)
	if h, ok := t.(*handle); ok {
		return h.vat.rt, nil
	}
	return nil, &caps.Error{Code: caps.ErrWouldBlock, Text: r.String() + " is not in this process"}
}

// storable reports what forbids to store r: nobody could restore it.
func (rt *Runtime) storable(r caps.Ref) error {
	if h, a, ok := rt.open(r); !r.IsNull() && (!ok || h.vat.rt != rt || !a.Gate.Of(rt.gates)) {
		return &caps.Error{Code: caps.ErrBadArgument, Text: "a reference to " + r.String() + " cannot be stored: it is not of this world"}
	} else if h != nil && h.isGone() {
		return h.goneError()
	}
	return nil
}

// slots appends the stored form of refs, which are storable, to dst.
func (rt *Runtime) slots(dst []objstore.Slot, refs []caps.Ref) []objstore.Slot {
	for _, r := range refs {
		h, a, _ := rt.open(r)
		dst = append(dst, objstore.Slot{OID: h.oid, Rights: storedRights(a), Path: a.Gate.Path()})
	}
	return dst
}

func storedRights(a caps.Authority) uint8 {
	rights := uint8(a.Rights)
	if a.Deep {
		rights |= deepBit
	}
	return rights
}

// refs returns the Refs that slots stand for.
func (rt *Runtime) refs(slots []objstore.Slot) []caps.Ref {
	if len(slots) == 0 {
		return nil
	}
	refs := make([]caps.Ref, len(slots))
	for i, s := range slots {
		a := caps.Authority{Rights: caps.Rights(s.Rights &^ deepBit), Deep: s.Rights&deepBit != 0, Gate: rt.gates.Open(s.Path)}
		refs[i] = rt.ref(rt.vat.table.get(rt.vat, s.OID), a)
	}
	return refs
}
