package sturdy

import (
	"cmp"
	"context"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
)

// A brand is a pair of capabilities: a sealer, which puts values into boxes, and the unsealer,
// which opens those boxes and no others. A box can go through anybody's hands: whoever has it
// without the unsealer can pass it on, store it and grant it, and learns only the brand's
// name. So an object can hand out what only its own kind, or its own office, can use, and
// recognize it when it comes back.
//
// Sealer, unsealer and box are ordinary objects: stored, attenuated, granted and revoked like
// any other. What a box holds keeps its own authority: a grant that is taken back is taken
// back in boxes, too. Who operates a world sees into boxes with Runtime.State, as into every
// object: boxes keep secrets among capabilities, not from the host.

// Sealer makes boxes that only its Unsealer opens. The zero Sealer is null. A plain value,
// safe for concurrent use.
type Sealer struct{ caps.Ref }

// Unsealer opens the boxes of its Sealer. The zero Unsealer is null. A plain value, safe for
// concurrent use.
type Unsealer struct{ caps.Ref }

// What can be asked of them. Each tells the name of its brand; what a box holds it tells
// nobody, there is no method for it.
const (
	sealerSeal     caps.Method[caps.Value, caps.Ref] = "seal"
	unsealerUnseal caps.Method[caps.Ref, caps.Value] = "unseal"
	brandName      caps.Query[string]                = "brand"
)

// sealer is the state of a Sealer. Its object is the brand's identity; the name is not: two
// brands may have the same.
type sealer struct{ Name string }

// unsealer is the state of an Unsealer.
type unsealer struct {
	Sealer caps.Ref // Invariant: without any right: it says which brand, and gives none
}

// sealed is the state of a box.
type sealed struct {
	Sealer  caps.Ref // Invariant: without any right, as in unsealer
	Content caps.Value
}

// brandKinds are the kinds of brands, which come with the runtime.
type brandKinds struct {
	sealer   *KindOf[sealer]
	unsealer *KindOf[unsealer]
	box      *KindOf[sealed]
}

func newBrandKinds() brandKinds {
	return brandKinds{
		Define("sturdy/sealer", Method(sealerSeal, (*sealer).seal), Query(brandName, (*sealer).brand)),
		Define("sturdy/unsealer", Method(unsealerUnseal, (*unsealer).unseal), Query(brandName, (*unsealer).brand)),
		Define("sturdy/box", Query(brandName, (*sealed).brand)),
	}
}

// NewBrand makes a sealer and its unsealer, each with every right. name is for people: it is
// not checked, and another brand may have it.
func NewBrand(t *WriteTurn, name string) (Sealer, Unsealer) {
	t.r.check()
	kinds := &t.r.vat.rt.brands
	s := kinds.sealer.New(t, sealer{name})
	return Sealer{s}, Unsealer{kinds.unsealer.New(t, unsealer{noRights(s)})}
}

// noRights designates the same object and permits nothing.
func noRights(r caps.Ref) caps.Ref { return r.Attenuate(caps.Shallow) }

// Seal returns a new box that holds v. The box carries r and is not deep, so that it gives
// back what was put in. It needs w: a deep Sealer seals nothing. v may be up to 1 MiB
// encoded (ErrTooLarge), and its Refs must be of this world (ErrBadArgument).
func (s Sealer) Seal(ctx context.Context, v caps.Value) (caps.Ref, error) {
	return sealerSeal.Call(ctx, s.Ref, v)
}

// Unseal returns what box holds. It needs r, and box has to carry r, too, and be alive, and
// be allowed "unseal" by the grants it came through. What comes out is seen through box and
// then through u: it is read-only if either is deep, and under the membranes of both. As a
// box carries r, a Deep grant of the box itself gives no more than r to what is in it.
// ErrBadArgument says that box is not a box of this brand; it does not tell of which it is.
func (u Unsealer) Unseal(ctx context.Context, box caps.Ref) (caps.Value, error) {
	return unsealerUnseal.Call(ctx, u.Ref, box)
}

func (*sealer) seal(t *WriteTurn, v caps.Value) (caps.Ref, error) {
	box := t.r.vat.rt.brands.box.New(t, sealed{noRights(t.Self()), v})
	return box.Attenuate(caps.Read | caps.Shallow), nil
}

// unseal lets the box take part with its own authority, as if it were called.
func (u *unsealer) unseal(t *ReadTurn, box caps.Ref) (content caps.Value, err error) {
	rt := t.vat.rt
	h, via, ok := rt.open(box)
	switch {
	case box.IsNull():
		return content, &caps.Error{Code: caps.ErrNull, Text: "null reference (the zero caps.Ref) is no box. Was the field ever set?"}
	case !ok || h.vat != t.vat:
		return content, notThisBrand(nil)
	}
	v, err := t.state(h)
	if err != nil {
		return content, err
	}
	if v.kind.def != rt.brands.box.def {
		return content, notThisBrand(h)
	}
	// Before the brand is looked at: who may not use the box may not find out either.
	if err := t.allows(h, via, v.kind.def, unsealerUnseal.Name(), caps.Read); err != nil {
		return content, err
	}
	b := (*sealed)(v.state)
	if !b.Sealer.Same(u.Sealer) {
		return content, notThisBrand(h)
	}
	content = b.Content
	if via.Narrows() {
		err = elemTypeOf[caps.Value](rt).codec.Own(unsafe.Pointer(&content), via)
	}
	return content, err
}

func (s *sealer) brand(*ReadTurn) (string, error) { return s.Name, nil }

func (u *unsealer) brand(t *ReadTurn) (string, error) { return t.brandOf(u.Sealer) }

func (b *sealed) brand(t *ReadTurn) (string, error) { return t.brandOf(b.Sealer) }

// brandOf reads the name off the sealer, to which the Ref gives no right.
func (t *ReadTurn) brandOf(ref caps.Ref) (string, error) {
	h, _, _ := t.vat.rt.open(ref)
	v, err := t.state(h)
	if err != nil {
		return "", err
	}
	if v.kind.def != t.vat.rt.brands.sealer.def {
		return "", &caps.Error{Object: t.self.name(), Code: caps.ErrDamaged, Text: "damaged: " + t.self.name() + " names " + h.name() + " as its sealer"}
	}
	return (*sealer)(v.state).Name, nil
}

// notThisBrand is one answer for what is no box and for what is another's.
func notThisBrand(h *handle) error {
	return &caps.Error{Object: h.name(), Code: caps.ErrBadArgument, Text: cmp.Or(h.name(), "the argument") + " is not a box of this brand"}
}
