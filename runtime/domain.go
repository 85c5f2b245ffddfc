package sturdy

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Domain is what a new thread holds, and the most that it may ever do. The zero Domain is that
// of whoever spawns. Nobody can spawn a thread that may do more than he may himself.
//
// The ceiling holds for everything that runs on the thread, to any depth, for what it does in
// its Steps with their contexts, and for the messages it sends to plain objects, as it was
// when they were sent. It holds on other hosts, too; Limits hold there for what is called from
// here, as numbers of objects mean nothing to others. A message to a thread is received under that thread's own ceiling: so
// one that may do little can ask one that may do more.
type Domain struct {
	Ceiling caps.Rights              // the most that may be used of any object; 0: as who spawns
	Limits  map[caps.Ref]caps.Rights // the most that may be used of these objects, through whichever Ref
	Holds   map[string]caps.Ref      // what the thread finds by name, see Thread.Held
	Root    caps.Ref                 // the directory that the thread sees as its root; null: what who spawns sees
	Meter   Meter                    // what it draws on; null: what who spawns draws on
}

// domain is the state of the object that says what a thread may do. It does not change: to
// lower a ceiling is to make another, so that what was sent keeps that of its time.
type domain struct {
	Rights caps.Rights
	Limits map[uint64]caps.Rights // by number of the object
	Meter  caps.Ref
	Root   caps.Ref // what a thread sees as its root; null: the world's
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

// mayKey finds the thread in the context of a Step, or the rights that Under leaves.
type mayKey struct{}

// stepOf is the thread whose Step has ctx, or nil.
func stepOf(ctx context.Context) *strand {
	s, _ := ctx.Value(mayKey{}).(*strand)
	return s
}

// mayOf is what may be done in the world rt by who holds ctx, which is no turn: what its thread
// may do now, and not when the Step began. In another world than the thread's own the numbers
// of objects mean others, and there is none of its meters: there the rights hold.
func mayOf(ctx context.Context, rt *Runtime) *may {
	switch of := ctx.Value(mayKey{}).(type) {
	case *strand:
		m := of.may.Load()
		if m == nil || of.rt == rt {
			return m
		}
		return &may{nil, &domain{Rights: m.Rights}}
	case caps.Rights:
		return &may{nil, &domain{Rights: of}}
	}
	return nil
}

// Ceiling is the most that who holds ctx, which is no turn, may use of any object: the ceiling
// of the thread whose Step has it, or what Under says. It is for package rpc, which tells the
// host of an object that is called.
func (rt *Runtime) Ceiling(ctx context.Context) caps.Rights {
	if m := mayOf(ctx, rt); m != nil {
		return m.Rights
	}
	return everything
}

// Under returns ctx for calls on behalf of who may use no more than most of any object, nor more
// than who holds ctx may: a thread of another host, whose ceiling holds for what it has done here.
// Of a Step's ctx it keeps the ceiling and nothing else: neither Limits nor the meter.
func (rt *Runtime) Under(ctx context.Context, most caps.Rights) context.Context {
	return context.WithValue(ctx, mayKey{}, most&rt.Ceiling(ctx))
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

// here is what the turn may do, as an object of this world: that of a thread of another world
// has none.
func (t *WriteTurn) here() *may {
	if m := t.r.may; m != nil && m.h == nil {
		t.r.may = &may{t.plain(m.Rights), m.domain}
	}
	return t.r.may
}

// plain is the domain of who may use no more than most, and nothing else is known of: there is one
// for each in a world, however many others ask for it.
func (t *WriteTurn) plain(most caps.Rights) *handle {
	v, elem := t.r.vat, activityElem('c', uint64(most))
	if rec, ok := t.r.element(v.rt.activity, elem); ok {
		if n, size := binary.Uvarint(rec.Body); size > 0 {
			return v.handleOf(n)
		}
	}
	h, _, _ := v.rt.open(v.rt.domains.New(t, domain{Rights: most}))
	row := objstore.Record{Body: binary.AppendUvarint(nil, h.oid.N)}
	t.change(&element{key: objstore.ElementKey(v.activityOID(), elem), rec: row, kind: v.activityKind})
	return h
}

// ref is the domain as it is stored.
func (m *may) ref(rt *Runtime) caps.Ref {
	if m == nil {
		return caps.Ref{}
	}
	return rt.ref(m.h, caps.Full())
}

// copied is a domain to be lowered.
func (m *may) copied() domain {
	if m == nil {
		return domain{Rights: everything}
	}
	d := *m.domain
	d.Limits = maps.Clone(d.Limits)
	return d
}

// lower makes a domain that may do no more than d says and no more than what runs now.
func (t *WriteTurn) lower(d Domain) (caps.Ref, error) {
	up, rt := t.here(), t.r.vat.rt
	if d.Ceiling == 0 && len(d.Limits) == 0 && d.Meter.IsNull() && d.Root.IsNull() {
		return up.ref(rt), nil
	}
	is := up.copied()
	if d.Ceiling != 0 {
		if more := d.Ceiling &^ is.Rights; more != 0 {
			return caps.Ref{}, tooHigh(more, "any object", is.Rights)
		}
		is.Rights = d.Ceiling
	}
	for ref, r := range d.Limits {
		h, err := t.r.designated(ref)
		if err != nil {
			return caps.Ref{}, outcome("spawn", h, err)
		}
		if more := r &^ up.of(h); more != 0 {
			return caps.Ref{}, tooHigh(more, h.name(), up.of(h))
		}
		is.limit(h, r)
	}
	if !d.Meter.IsNull() {
		if err := t.r.mayDraw(d.Meter.Ref, up); err != nil {
			return caps.Ref{}, err
		}
		is.Meter = d.Meter.Ref
	}
	if !d.Root.IsNull() {
		if err := t.r.isDirectory(d.Root); err != nil {
			return caps.Ref{}, err
		}
		is.Root = d.Root
	}
	if len(is.Limits) > maxLimits {
		return caps.Ref{}, tooLarge("a domain with limits for more than %d objects", maxLimits)
	}
	return rt.domains.New(t, is), nil
}

// isDirectory reports why ref cannot be the root of a thread.
func (t *ReadTurn) isDirectory(ref caps.Ref) error {
	h, err := t.designated(ref)
	if err != nil {
		return outcome("spawn", h, err)
	}
	if v, err := t.state(h); err != nil {
		return err
	} else if v.kind.def != t.vat.rt.dirs.def {
		return &caps.Error{Op: "spawn", Object: h.name(), Code: caps.ErrBadArgument, Text: "the root of a thread is a directory, and " + h.name() + " is none"}
	}
	return nil
}

// designated is the object that ref is about: of a promise, what it came to. A limit for a
// promise would hold for nothing, as what is called on it is called on that.
func (t *ReadTurn) designated(ref caps.Ref) (*handle, error) {
	for range maxBehind {
		h, a, ok := t.vat.rt.open(ref)
		if !ok || h.vat != t.vat {
			return nil, &caps.Error{Code: caps.ErrBadArgument, Text: ref.String() + " is not of this world"}
		}
		v, err := t.state(h)
		if err != nil {
			return h, err
		}
		if v.kind != t.vat.latent && v.kind.def != t.vat.rt.promises.def {
			return h, nil
		}
		if ref, err = h.cameTo(t, a); err != nil {
			return h, err
		}
	}
	return nil, tooLarge("more than %d promises that come to each other", maxBehind)
}

// mayDraw reports why a thread that up spawns cannot draw on the meter ref: it would use what
// who spawns it does not have.
func (t *ReadTurn) mayDraw(ref caps.Ref, up *may) error {
	for n := 0; ; n++ {
		h, a, ok := t.vat.rt.open(ref)
		if !ok || h.vat != t.vat {
			return &caps.Error{Op: "spawn", Code: caps.ErrNoRight, Text: "a thread that draws on a meter which does not draw on that of who spawns it"}
		}
		v, err := t.state(h)
		switch {
		case err != nil:
			return err
		case v.kind.def != t.vat.rt.meters.def:
			return &caps.Error{Op: "spawn", Object: h.name(), Code: caps.ErrBadArgument, Text: h.name() + " is no meter"}
		case n == 0 && t.alive(a) != nil:
			return t.alive(a)
		case n > maxMeters:
			return &caps.Error{Op: "spawn", Object: h.name(), Code: caps.ErrDamaged, Text: "damaged: more meters than there may be draw on each other"}
		case up == nil || up.Meter.IsNull() || up.Meter.Same(ref):
			return nil
		}
		ref = (*meter)(v.state).Up
	}
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
	st.Holds = maps.Clone(d.Holds)
	return nil
}

// spawner is the thread that the turn, or the Step around it, is of; nil: there is none.
func (t *WriteTurn) spawner() *strand {
	if s := stepOf(t.r.ctx); t.strand == nil && s != nil && s.rt == t.r.vat.rt {
		return s
	}
	return t.strand
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
	if m := th.s.may.Load(); m != nil && !m.Root.IsNull() {
		return Directory{m.Root}
	}
	return th.s.rt.Root()
}

// Shed lowers the ceiling to keep, on every object, for good: nothing raises it again, no
// restart and nobody. It is no step: doing it again changes nothing.
func (th *Thread[S]) Shed(keep caps.Rights) error {
	return th.s.shed(func(_ *WriteTurn, d *domain) error {
		d.Rights &= keep
		return nil
	})
}

// ShedOn lowers the ceiling on the object that ref designates to keep, through whichever Ref
// it is reached, for good. Of a promise that is what it came to; while it is pending ShedOn
// fails with ErrWouldBlock, and nothing is shed.
func (th *Thread[S]) ShedOn(ref caps.Ref, keep caps.Rights) error {
	return th.s.shed(func(t *WriteTurn, d *domain) error {
		h, err := t.r.designated(ref)
		if err != nil {
			return outcome("shed", h, err)
		}
		d.limit(h, keep)
		return nil
	})
}

func (s *strand) shed(how func(*WriteTurn, *domain) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	var is *may
	now := s.may.Load()
	err := s.update("shed", func(t *WriteTurn, was *thread) error {
		d, before := now.copied(), now.copied()
		if err := how(t, &d); err != nil {
			return err
		}
		if d.Rights == before.Rights && maps.Equal(d.Limits, before.Limits) {
			is = now
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
		s.may.Store(is)
	}
	return err
}
