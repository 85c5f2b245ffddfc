package sturdy

import (
	"cmp"
	"context"
	"fmt"
	"maps"

	"github.com/sturdyrt/sturdy/caps"
)

// Domain is what a new thread holds, and the most that it may ever do. The zero Domain is that
// of whoever spawns. Nobody can spawn a thread that may do more than he may himself.
//
// The ceiling holds for everything that runs on the thread, to any depth, for what it does in
// its Steps with their contexts, and for the messages it sends to plain objects, as it was
// when they were sent. A message to a thread is received under that thread's own ceiling: so
// one that may do little can ask one that may do more.
type Domain struct {
	Ceiling caps.Rights              // the most that may be used of any object; 0: as who spawns
	Limits  map[caps.Ref]caps.Rights // the most that may be used of these objects, through whichever Ref
	Holds   map[string]caps.Ref      // what the thread finds by name, see Thread.Held
	Root    caps.Ref                 // what the thread sees as its root; null: what who spawns sees
	Meter   Meter                    // what it draws on; null: what who spawns draws on
}

// domain is the state of the object that says what a thread may do. It does not change: to
// lower a ceiling is to make another, so that what was sent keeps that of its time.
type domain struct {
	Rights caps.Rights
	Limits map[uint64]caps.Rights // by number of the object
	Meter  caps.Ref
}

func newDomainKind() *KindOf[domain] { return Define[domain]("sturdy/domain") }

// may is a domain in memory; nil: anything may be done.
type may struct {
	h *handle // the domain
	*domain
}

const everything = caps.Read | caps.Write | caps.Run

// of is the most that may be used of h.
func (m *may) of(h *handle) caps.Rights {
	if m == nil {
		return everything
	}
	return m.limited(h.oid.N)
}

func (d *domain) limited(n uint64) caps.Rights {
	if l, ok := d.Limits[n]; ok {
		return d.Rights & l
	}
	return d.Rights
}

// refuses is the error of a call that needs more of h than may be used.
func (m *may) refuses(h *handle, op string, need caps.Rights) error {
	if m == nil || m.of(h)&need == need {
		return nil
	}
	return &caps.Error{Op: op, Object: h.name(), Code: caps.ErrNoRight, Text: fmt.Sprintf("needs %s; the ceiling of the thread on %s is %s", need, h.name(), rightsText(m.of(h)))}
}

func rightsText(r caps.Rights) string {
	if r == 0 {
		return "nothing"
	}
	return r.String()
}

// mayKey finds what may be done in the context of a Step.
type mayKey struct{}

// mayOf is what may be done by who holds ctx, which is no turn.
func mayOf(ctx context.Context) *may {
	m, _ := ctx.Value(mayKey{}).(*may)
	return m
}

// mayAt is the domain with that number.
func (t *ReadTurn) mayAt(h *handle) (*may, error) {
	v, err := t.state(h)
	if err != nil {
		return nil, err
	}
	if v.kind.def != t.vat.rt.domains.def {
		return nil, &caps.Error{Object: h.name(), Code: caps.ErrDamaged, Text: "damaged: " + h.name() + " should be a domain"}
	}
	return &may{h, (*domain)(v.state)}, nil
}

// mayOfRef is the domain that ref designates; null is none.
func (t *ReadTurn) mayOfRef(ref caps.Ref) (*may, error) {
	if ref.IsNull() {
		return nil, nil
	}
	h, _, _ := t.vat.rt.open(ref)
	return t.mayAt(h)
}

// number is that of the domain, for letters; 0: none.
func (m *may) number() uint64 {
	if m == nil {
		return 0
	}
	return m.h.oid.N
}

// ref is the domain as it is stored.
func (m *may) ref(rt *Runtime) caps.Ref {
	if m == nil {
		return caps.Ref{}
	}
	return rt.ref(m.h, caps.Full())
}

// lower makes a domain that may do no more than d says and no more than what runs now.
func (t *WriteTurn) lower(d Domain) (caps.Ref, error) {
	up, rt := t.r.may, t.r.vat.rt
	if d.Ceiling == 0 && len(d.Limits) == 0 && d.Meter.IsNull() {
		return up.ref(rt), nil
	}
	is := domain{Rights: everything}
	if up != nil {
		is = domain{up.Rights, maps.Clone(up.Limits), up.Meter}
	}
	if d.Ceiling != 0 {
		if more := d.Ceiling &^ is.Rights; more != 0 {
			return caps.Ref{}, tooHigh(more, "any object", is.Rights)
		}
		is.Rights = d.Ceiling
	}
	for ref, r := range d.Limits {
		h, _, ok := rt.open(ref)
		switch {
		case !ok || h.vat != t.r.vat:
			return caps.Ref{}, &caps.Error{Op: "spawn", Code: caps.ErrBadArgument, Text: "a limit for " + ref.String() + ", which is not of this world"}
		case r&^up.of(h) != 0:
			return caps.Ref{}, tooHigh(r&^up.of(h), h.name(), up.of(h))
		}
		is.limit(h, r)
	}
	if !d.Meter.IsNull() {
		is.Meter = d.Meter.Ref
	}
	if len(is.Limits) > maxLimits {
		return caps.Ref{}, tooLarge("a domain with limits for more than %d objects", maxLimits)
	}
	return rt.domains.New(t, is), nil
}

// maxLimits is how many objects a domain may have limits of their own for.
const maxLimits = 1000

func (d *domain) limit(h *handle, r caps.Rights) {
	if d.Limits == nil {
		d.Limits = map[uint64]caps.Rights{}
	}
	d.Limits[h.oid.N] = d.limited(h.oid.N) & r
}

func tooHigh(more caps.Rights, on string, is caps.Rights) error {
	return &caps.Error{Op: "spawn", Code: caps.ErrNoRight, Text: fmt.Sprintf("a thread that may use %s of %s: who spawns it may use %s", more, on, rightsText(is))}
}

// settleIn makes the domain of a new thread that of d.
func (t *WriteTurn) settleIn(st *thread, d Domain) (err error) {
	if st.Domain, err = t.lower(d); err != nil {
		return err
	}
	for name, ref := range d.Holds {
		if err := cmp.Or(t.storable(ref), checkName(name)); err != nil {
			return err
		}
	}
	st.Holds, st.Root = maps.Clone(d.Holds), d.Root
	if st.Root.IsNull() && t.strand != nil {
		st.Root = t.strand.root
	}
	return nil
}

func checkName(name string) error {
	if name == "" {
		return &caps.Error{Op: "spawn", Code: caps.ErrBadArgument, Text: "a thread cannot hold something without a name"}
	}
	return nil
}

// Held is what the thread was given by that name; null if nothing was.
func (th *Thread[S]) Held(name string) caps.Ref { return th.s.holds[name] }

// Root is the directory that the thread sees as its root.
func (th *Thread[S]) Root() Directory {
	if th.s.root.IsNull() {
		return th.s.rt.Root()
	}
	return Directory{th.s.root}
}

// Shed lowers the ceiling to keep, on every object, for good: nothing raises it again, no
// restart and nobody. It is no step: doing it again changes nothing.
func (th *Thread[S]) Shed(keep caps.Rights) error {
	return th.s.shed(func(d *domain) { d.Rights &= keep })
}

// ShedOn lowers the ceiling on the object that ref designates to keep, through whichever Ref
// it is reached, for good.
func (th *Thread[S]) ShedOn(ref caps.Ref, keep caps.Rights) error {
	h, _, ok := th.s.rt.open(ref)
	if !ok {
		return &caps.Error{Op: "shed", Code: caps.ErrBadArgument, Text: ref.String() + " is not of this world"}
	}
	return th.s.shed(func(d *domain) { d.limit(h, keep) })
}

func (s *strand) shed(how func(*domain)) error {
	var is *may
	err := s.update("shed", func(t *WriteTurn, was *thread) error {
		d := domain{Rights: everything}
		if s.may != nil {
			d = domain{s.may.Rights, maps.Clone(s.may.Limits), s.may.Meter}
		}
		before := domain{d.Rights, maps.Clone(d.Limits), d.Meter}
		how(&d)
		if d.Rights == before.Rights && maps.Equal(d.Limits, before.Limits) {
			is = s.may
			return nil
		}
		if len(d.Limits) > maxLimits {
			return tooLarge("a domain with limits for more than %d objects", maxLimits)
		}
		st, err := t.threadAt(s.h)
		if err != nil {
			return err
		}
		st.Domain = s.rt.domains.New(t, d)
		h, _, _ := s.rt.open(st.Domain)
		is = &may{h, &d}
		return nil
	})
	if err == nil {
		s.may = is
	}
	return err
}
