package sturdy

import (
	"errors"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// maker seals the Refs of this package. It is one for all worlds of the process, so that a
// Directory finds its Runtime; it never leaves the package, and what is not of the world at
// hand is refused where it matters: when a turn is joined, and when a Ref is stored.
var maker = caps.NewMaker()

// deepBit stands beside the rights in a stored slot, and awayBit, if the object stands in for
// one on another host: whether two of those are the same can be seen only in their states.
const (
	deepBit = 1 << 7
	awayBit = 1 << 6
)

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
		if t, a, ok = maker.Open(r.Settled()); !ok {
			return nil, a, false
		}
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
		return &caps.Error{Code: caps.ErrBadArgument, Text: "a reference to " + r.String() + " cannot be stored: it is not of this world, or not known yet"}
	} else if h != nil && h.isGone() {
		return h.goneError()
	}
	return nil
}

// storable is Runtime.storable, after which r can be stored: a promise is an object then.
func (t *WriteTurn) storable(r caps.Ref) error {
	if err := t.r.vat.rt.storable(r); err != nil || r.IsNull() {
		return err
	}
	h, _, _ := t.r.vat.rt.open(r)
	return errors.Join(t.materialise(h), t.materialiseTimer(h), t.materialiseRemote(h))
}

// slot is the stored form of a Ref, which is storable.
func (rt *Runtime) slot(r caps.Ref) objstore.Slot {
	h, a, _ := rt.open(r)
	rights := storedRights(a)
	if h.away.Load() {
		rights |= awayBit
	}
	return objstore.Slot{OID: h.oid, Rights: rights, Path: a.Gate.Path()}
}

// slots appends the stored form of refs, which are storable, to dst.
func (rt *Runtime) slots(dst []objstore.Slot, refs []caps.Ref) []objstore.Slot {
	for _, r := range refs {
		dst = append(dst, rt.slot(r))
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
		refs[i] = rt.refOf(s)
	}
	return refs
}

func (rt *Runtime) refOf(s objstore.Slot) caps.Ref {
	a := caps.Authority{Rights: caps.Rights(s.Rights &^ (deepBit | awayBit)), Deep: s.Rights&deepBit != 0, Gate: rt.gates.Open(s.Path)}
	h := rt.vat.table.get(rt.vat, s.OID)
	if s.Rights&awayBit != 0 {
		h.away.Store(true)
	}
	return rt.ref(h, a)
}
