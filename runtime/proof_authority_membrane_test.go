package sturdy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// This holds the rules themselves to what a membrane is for, whatever the rules are: a guest
// gets one Ref, under a Deep grant. He and those inside then do with each other whatever
// they can, callbacks and things that are handed back included, but only through what came
// of that one Ref. Then whatever of the inside the guest holds, or has in what is his, has
// no right that the grant does not give, and once the grant is revoked, it is dead.
//
// The guest is party 1, and owns one box, and what he makes; all else is inside.
func TestAMembraneLetsNothingBareThrough(t *testing.T) {
	seed := authoritySeed(t)
	episodes := everyday(8)
	if *opsFlag > 0 {
		episodes = max(1, *opsFlag/guestActs)
	}
	for i := range episodes {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			acts := randomActs(rand.New(rand.NewPCG(seed, uint64(i))), guestActs)
			read := i%2 == 0
			if diff := confine(t, acts, read); diff != "" {
				acts = shrinkActs(acts, func(acts []act) bool { return confine(t, acts, read) != "" })
				for _, a := range acts {
					t.Logf("%+v", a)
				}
				t.Fatalf("first: %s\nshrunk: %s", diff, confine(t, acts, read))
			}
		})
		if t.Failed() {
			return
		}
	}
}

const guestActs = 200

// confine plays the acts between the guest and those inside; read says that the grant gives
// only r, and is not deep: the membrane is all there is.
func confine(t *testing.T, acts []act, read bool) string {
	ctx := t.Context()
	p := newAuthorityPlayer(t, false)
	defer func() { _ = p.w.Close() }()
	p.guest, p.guests = 1, map[uint64]bool{p.bags[1][0].is.obj: true}
	house := p.bags[0][1]
	if read {
		house = held{house.ref.Attenuate(caps.Read | caps.Shallow), p.m.attenuate(house.is, caps.Read|caps.Shallow)}
	}
	var shared caps.Ref
	var g sturdy.Grant
	must(t, p.w.Update(ctx, func(w *sturdy.WriteTurn) error {
		shared, g = w.Grant(house.ref, caps.Terms{For: "the guest", Deep: true})
		return nil
	}))
	id, err := p.slotOf(ctx, g.Ref)
	must(t, err)
	is, _ := p.m.grant(id.obj, house.is, caps.Terms{Deep: true})
	p.objects[id.obj] = g.Ref
	p.bags[1] = append(p.bags[1], held{shared, is})
	p.fixed[1] = 2
	for i, a := range acts {
		if a.Do == "save" || a.Do == "weaken" || a.Do == "restore" {
			continue // a text would be a gift
		}
		diff := p.do(a)
		if diff == "" {
			diff = p.escaped(id.obj, read)
		}
		if diff != "" {
			return fmt.Sprintf("act %d, %s: %s", i, a.Do, diff)
		}
	}
	g, err = sturdy.Grant{}, nil
	if g.Ref, err = p.w.Object(ctx, fmt.Sprintf("%x", id.obj)); err == nil {
		err = g.Revoke(ctx)
	}
	must(t, err)
	return p.stillOpen(ctx)
}

// guestsOwn yields what the guest holds and has in his objects, of what is inside.
func (p *authorityPlayer) guestsOwn(yield func(slot) bool) {
	all := []slot{}
	for _, h := range p.bags[p.guest] {
		all = append(all, h.is)
	}
	for n := range p.guests {
		has := p.m.nodes[n]
		all = append(append(all, has.one, has.tied, has.any), has.many...)
	}
	for _, s := range all {
		if s.obj != 0 && !p.guests[s.obj] && !yield(s) {
			return
		}
	}
}

// escaped reports what is not confined by the grant of that number.
func (p *authorityPlayer) escaped(n uint64, read bool) string {
	for s := range p.guestsOwn {
		if p.m.revoked(s.path) {
			continue // it came through a grant of a turn that failed
		}
		if under := p.m.above(s.path, false, map[uint64]bool{})[n]; !under && s.rights != 0 {
			return fmt.Sprintf("the guest has %v, bare", s)
		}
		if read && s.rights&^caps.Read != 0 {
			return fmt.Sprintf("the guest has %v, and was given no more than r", s)
		}
	}
	return ""
}

// stillOpen calls whatever the guest holds when the grant has been revoked.
func (p *authorityPlayer) stillOpen(ctx context.Context) string {
	for _, h := range p.bags[p.guest] {
		if p.guests[h.is.obj] {
			continue
		}
		for _, one := range probes(h.kind(p.m)) {
			_, err := caps.Method[caps.Value, caps.Value](one.method).Call(ctx, h.ref, caps.Value{})
			if code := codeOf(err); code != caps.ErrRevoked && h.is.rights != 0 {
				return fmt.Sprintf("after it was revoked, %s.%s through %v: %q", h.kind(p.m), one.method, h.is, code)
			}
		}
	}
	return ""
}

// Who holds a grant and what came through it can let both go in one call.
func TestAGrantCanBeLetGoOfThroughItself(t *testing.T) {
	s := newShelf(t)
	inside, g := s.grant(s.folder, caps.Terms{For: "guest", Deep: true})
	must(t, foPut.Call(t.Context(), s.folder, g.Ref))
	handle, err := foAt.Call(t.Context(), inside, 1)
	must(t, err)
	item, err := foAt.Call(t.Context(), inside, 0)
	must(t, err)
	must(t, sturdy.Grant{Ref: handle}.Revoke(t.Context()))
	s.open(item, caps.ErrRevoked)
	info, err := g.Info(t.Context())
	must(t, err)
	if info.Alive || info.Revoked.IsZero() {
		t.Errorf("%+v", info)
	}
}
