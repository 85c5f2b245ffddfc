package sturdy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A sturdy ref is the text of a grant, and of what was given up since. The oracle says what
// it restores: the Ref that the grant gave, attenuated as the text says in its order; if the
// text names methods or a time, that Ref granted again on these terms, by one grant for all
// texts with the same terms. A text of what is dead restores nothing, nor does one whose
// time has come.

// saved is a sturdy ref and what it says.
type saved struct {
	text   caps.SturdyRef
	grant  uint64
	shared slot
	rights []caps.Rights
	lists  [][]string
	until  time.Time
}

// terms are what the text leaves, sorted; none is true if it leaves no method.
func (s saved) terms() (only []string, none bool) {
	for i, list := range s.lists {
		if i == 0 {
			only = list
			continue
		}
		only = slices.DeleteFunc(slices.Clone(only), func(m string) bool { return !slices.Contains(list, m) })
	}
	only = slices.Clone(only)
	slices.Sort(only)
	return slices.Compact(only), len(s.lists) > 0 && len(only) == 0
}

// write does one thing with texts, outside of turns.
func (p *authorityPlayer) write(a act) string {
	chance := rand.New(rand.NewPCG(uint64(a.N), 3))
	d := a.Deeds[0]
	bag := p.bags[d.P]
	if a.Do == "save" {
		if len(bag) == 0 {
			return ""
		}
		return p.save(bag[d.A%len(bag)], d)
	}
	if len(p.saved) == 0 {
		return ""
	}
	s := p.saved[d.A%len(p.saved)]
	if a.Do == "restore" {
		diff := p.restore(s, d)
		if diff != "" || a.N%5 > 0 {
			return diff
		}
		if err := (sturdy.Grant{Ref: p.objects[s.grant]}).Revoke(context.Background()); err != nil {
			return err.Error()
		}
		g := p.m.grants[s.grant]
		g.revoked = true
		p.m.grants[s.grant] = g
		return p.restore(s, d)
	}
	switch chance.IntN(3) {
	case 0:
		to := caps.Rights(chance.IntN(16))
		s.text, s.rights = s.text.Attenuate(to), append(slices.Clip(s.rights), to)
	case 1:
		names := p.names(p.m, s.shared, false)
		chance.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		names = names[:1+chance.IntN(len(names))]
		var only []caps.Named
		for _, n := range names {
			only = append(only, caps.Action(n))
		}
		s.text, s.lists = s.text.Only(only...), append(slices.Clip(s.lists), names)
	default:
		until := p.w.Now().Add(time.Duration(chance.IntN(30)-2) * time.Minute).Truncate(time.Second)
		if s.text = s.text.Until(until); s.until.IsZero() || until.Before(s.until) {
			s.until = until
		}
	}
	var err error
	if s.text, err = caps.ParseSturdyRef(s.text.Reveal()); err != nil {
		return err.Error()
	}
	p.keepText(s, d)
	return ""
}

func (p *authorityPlayer) keepText(s saved, d deed) {
	if len(p.saved) < 6 {
		p.saved = append(p.saved, s)
		return
	}
	p.saved[d.N%len(p.saved)] = s
}

func (p *authorityPlayer) save(h held, d deed) string {
	if p.steep(p.m, h.is) {
		return ""
	}
	terms := p.terms(p.m, h.is, d)
	want := caps.Code("")
	if p.m.dead(h.is.path) {
		want = caps.ErrRevoked
	}
	ctx := context.Background()
	text, g, err := p.w.Save(ctx, h.ref, terms)
	if got := codeOf(err); got != want {
		return fmt.Sprintf("save of %v: got %q %v; the oracle says %q", h.is, got, err, want)
	}
	if err != nil {
		return ""
	}
	id, err := p.slotOf(ctx, g.Ref)
	if err != nil {
		return err.Error()
	}
	shared, handle := p.m.grant(id.obj, h.is, terms)
	p.objects[id.obj] = g.Ref
	got, diff := p.compare([]caps.Ref{g.Ref}, []slot{handle})
	p.keep(&p.bags, p.m, d.P, d.N, got)
	p.keepText(saved{text: text, grant: id.obj, shared: shared}, d)
	return diff
}

func (p *authorityPlayer) restore(s saved, d deed) string {
	ctx, m := context.Background(), p.m
	only, none := s.terms()
	want, code := s.shared, caps.Code("")
	for _, to := range s.rights {
		want = m.attenuate(want, to)
	}
	if none {
		want = m.attenuate(want, 0)
	}
	key := fmt.Sprint(s.grant, strings.Join(only, "+"), s.until, want.rights, want.deep)
	limited := !none && len(only) > 0 || !s.until.IsZero()
	made, known := p.weaker[key]
	switch {
	case m.dead(s.shared.path):
		code = caps.ErrRevoked
	case limited && known:
		if want.path = []crossing{{made, false}}; m.dead(want.path) {
			code = caps.ErrRevoked
		}
	case limited && m.past(s.until):
		code = caps.ErrRevoked
	}
	ref, err := p.w.Restore(ctx, s.text)
	what := fmt.Sprintf("restore of grant %d with %v %v %v: ", s.grant, s.rights, s.lists, s.until)
	if got := codeOf(err); got != code {
		return fmt.Sprintf("%sgot %q %v; the oracle says %q", what, got, err, code)
	}
	if code != "" {
		return ""
	}
	if limited && !known {
		is, err := p.slotOf(ctx, ref)
		if err != nil || len(is.path) != 1 || is.path[0].in {
			return fmt.Sprintf("%s%v, %v", what, is, err)
		}
		made = is.path[0].grant
		if err := p.weakerGrant(made, s, want, only, key); err != "" {
			return what + err
		}
		want.path = is.path
	}
	got, diff := p.compare([]caps.Ref{ref}, []slot{want})
	if diff != "" {
		return what + diff
	}
	p.keep(&p.bags, m, d.P, d.N, got)
	return ""
}

// weakerGrant takes note of a grant that the world made for a text.
func (p *authorityPlayer) weakerGrant(n uint64, s saved, of slot, only []string, key string) string {
	if _, ok := p.m.grants[n]; ok {
		return fmt.Sprintf("it came through grant %d, which was there before", n)
	}
	terms := caps.Terms{Until: s.until}
	for _, name := range only {
		terms.Only = append(terms.Only, caps.Action(name))
	}
	p.m.grant(n, of, terms)
	ref, err := p.w.Object(context.Background(), fmt.Sprintf("%x", n))
	if err != nil {
		return err.Error()
	}
	p.objects[n], p.weaker[key] = ref, n
	return ""
}

// seal puts a Ref into a box of a brand, in a turn. The new box is an object of which the
// model learns the number.
func (p *authorityPlayer) seal(w *sturdy.WriteTurn, m *authorityModel, bags *[parties][]held, to, arg held, d deed) string {
	if to.kind(m) != "sealer" {
		return ""
	}
	code := m.allowed(to.is, "seal", caps.Write, true)
	v, err := caps.ValueOf([]any{arg.ref, arg.ref})
	if err != nil {
		return err.Error()
	}
	ref, err := sturdy.Sealer{Ref: to.ref}.Seal(w, v)
	what := fmt.Sprintf("in a turn: %v seals %v: ", to.is, arg.is)
	if got := codeOf(err); !sameCode(got, code, to.is) {
		return fmt.Sprintf("%sgot %q %v; the oracle says %q", what, got, err, code)
	}
	if err != nil {
		return ""
	}
	is, err := p.slotOf(w, ref)
	if err != nil {
		return what + err.Error()
	}
	m.nodes[is.obj] = node{kind: "sealed", one: slot{obj: to.is.obj}, any: m.argument(arg.is, to.is)}
	box := m.result(slot{obj: is.obj, rights: caps.Read}, to.is)
	p.objects[is.obj] = ref
	got, diff := p.compare([]caps.Ref{ref}, []slot{box})
	if diff != "" {
		return what + diff
	}
	p.keep(bags, m, d.P, d.N, got)
	p.made(is.obj, d.P)
	at := slices.IndexFunc(bags[d.P], func(h held) bool { return h.kind(m) == "unsealer" })
	if shared, diff := p.grant(w, m, bags, got[0], d); at >= 0 && !shared.ref.IsNull() && diff == "" {
		d.Method = "unseal"
		return p.deedCall(w, w, m, bags, bags[d.P][at], shared, d)
	} else if diff != "" {
		return diff
	}
	return ""
}

// modelUnseal calls the box with its own authority.
func modelUnseal(a asked, n *node) ([]slot, string, caps.Code) {
	box := a.m.nodes[a.arg.obj]
	if box.kind != "sealed" {
		return nil, "", caps.ErrBadArgument
	}
	if code := a.m.allowed(a.arg, "unseal", caps.Read, true); code != "" {
		return nil, "", code
	}
	if box.one.obj != n.one.obj {
		return nil, "", caps.ErrBadArgument
	}
	content := a.m.result(box.any, a.arg)
	return []slot{content, content}, "", ""
}

func brandVerbs() (vs []verb) {
	for _, kind := range []string{"sealer", "unsealer", "sealed"} {
		vs = append(vs, verb{
			kind: kind, method: "brand", need: caps.Read, model: modelPoke,
			real: func(c calling) ([]caps.Ref, string, error) {
				_, err := caps.Query[string]("brand").Call(c.ctx, c.to)
				return none(err)
			},
		})
	}
	return append(vs, verb{
		kind: "unsealer", method: "unseal", need: caps.Read, model: modelUnseal, arg: "ref",
		real: func(c calling) ([]caps.Ref, string, error) {
			return of(sturdy.Unsealer{Ref: c.to}.Unseal(c.ctx, c.arg))
		},
	})
}
