package sturdy_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// parties is how many hold Refs of their own.
const parties = 4

// held is a Ref and what the oracle takes it for.
type held struct {
	ref caps.Ref
	is  slot
}

// deed is one thing that a party does. Its numbers choose among what there is when it is
// done, so that a script makes sense whatever is left out of it.
type deed struct {
	Do   string // "call", "grant", "attenuate", "give", "seal" or "round"
	P    int    // the party
	A, B int    // Refs that it holds
	Verb int
	N    int
	// Method is what is called, instead of Verb.
	Method string
	// Untyped: through Deliver, where the method's argument allows it.
	Untyped bool
}

// act is what is done in one turn, or to the world.
type act struct {
	Do    string // "alone", "update", "view", "advance", "evict", "reopen", "crash", "rewind", "save", "weaken", "restore"
	Fail  bool   // the turn returns an error at its end
	Deeds []deed
	N     int // minutes; and what is probed afterwards
}

// authorityPlayer plays acts on a world and on the model.
type authorityPlayer struct {
	w       *runtimetest.World
	m       *authorityModel
	bags    [parties][]held
	fixed   [parties]int        // how many of the first are never dropped
	known   map[string]caps.Ref // by slot
	texts   map[caps.Ref]string // the inverse
	objects map[uint64]caps.Ref // with every right
	verbs   []verb
	// In the running turn: how it has to end, if not as its code says.
	unwinds   caps.Code
	powerless bool // by a call through what has no rights
	saved     []saved
	weaker    map[string]uint64 // the grants of texts with terms
	// A guest gives nothing and is given nothing, but by calls. 0: there is none.
	guest  int
	guests map[uint64]bool // the objects that he has made
}

func (p *authorityPlayer) bagsClone() (c [parties][]held) {
	for i, bag := range p.bags {
		c[i] = slices.Clone(bag)
	}
	return c
}

// codeOf is an error as the model knows it.
func codeOf(err error) caps.Code {
	if err == nil {
		return ""
	}
	for _, code := range []caps.Code{
		errMess, caps.ErrRevoked, caps.ErrNoMethod, caps.ErrNoRight, sturdy.ErrNoName, caps.ErrBadArgument, caps.ErrPanicked,
	} {
		if errors.Is(err, code) {
			return code
		}
	}
	return caps.Code("unexpected: " + err.Error())
}

// sameCode compares; what has no rights may say why it fails as it likes.
func sameCode(got, want caps.Code, via slot) bool {
	return got == want || via.rights == 0 && got != "" && want != ""
}

// slotOf is what the world says of a Ref.
func (p *authorityPlayer) slotOf(ctx context.Context, ref caps.Ref) (s slot, err error) {
	info, err := p.w.Describe(ctx, ref)
	if err != nil {
		return s, err
	}
	s.obj, err = strconv.ParseUint(info.ID, 16, 64)
	s.rights, s.deep = info.Rights.Rights, info.Rights.Deep
	for b := []byte(info.Rights.Gate.Path()); len(b) > 0; {
		n, size := binary.Uvarint(b)
		s.path = append(s.path, crossing{n >> 1, n&1 != 0})
		b = b[size:]
	}
	return s, err
}

// do plays an act and returns what differs.
func (p *authorityPlayer) do(a act) string {
	switch a.Do {
	case "alone":
		return p.alone(a.Deeds[0])
	case "update", "view":
		return p.turn(a)
	case "save", "weaken", "restore":
		return p.write(a)
	case "advance":
		p.w.Pass(time.Duration(a.N) * time.Minute)
		return ""
	case "evict":
		if err := p.w.Sync(context.Background()); err != nil {
			return err.Error()
		}
		p.w.Evict()
		return ""
	}
	return p.restart(a.Do, a.N%20)
}

// restart stores what everybody holds, ends the world, and fetches it again. A rewind also
// waits, asks for what has run out by then, and sets the clock back while the world is down:
// what was told to have run out must not come back with it.
func (p *authorityPlayer) restart(how string, minutes int) string {
	const later = 10
	ctx := context.Background()
	for i, bag := range p.bags {
		var refs []caps.Ref
		for _, h := range bag {
			refs = append(refs, h.ref)
		}
		home, err := p.w.Root().Get(ctx, "home"+strconv.Itoa(i))
		if err == nil {
			err = boxKeep.Call(ctx, home, refs)
		}
		if err != nil {
			return err.Error()
		}
	}
	switch how {
	case "reopen":
		p.w.Reopen()
	case "rewind":
		p.w.Pass(later * time.Minute)
		for _, h := range slices.Concat(p.bags[:]...) {
			if p.m.revoked(h.is.path) || !p.m.past(p.m.earliest(h.is.path)) {
				continue // only refusals: a write would make them durable
			}
			if diff := p.probeOne(ctx, p.m, h, false); diff != "" {
				return diff
			}
		}
		p.w.Pass(-time.Duration(later+minutes) * time.Minute)
		fallthrough
	default:
		p.w.Crash()
	}
	return p.fetch(ctx)
}

func (p *authorityPlayer) fetch(ctx context.Context) string {
	if err := p.forget(); err != nil {
		return err.Error()
	}
	for i, bag := range p.bags {
		home, err := p.w.Root().Get(ctx, "home"+strconv.Itoa(i))
		if err != nil {
			return err.Error()
		}
		refs, err := boxMany.Call(ctx, home)
		if err != nil || len(refs) != len(bag) {
			return fmt.Sprintf("%d of %d Refs came back: %v", len(refs), len(bag), err)
		}
		for j := range bag {
			bag[j].ref = refs[j]
			if diff := p.same(bag[j]); diff != "" {
				return diff
			}
		}
	}
	return ""
}

// same reports how a Ref differs from what it is taken for, or from its equals: what the
// oracle takes for one is one, and what it takes for two is two.
func (p *authorityPlayer) same(h held) string {
	want := h.is.rights
	if !h.is.deep && want&(caps.Write|caps.Run) == 0 {
		want |= caps.Shallow
	}
	if !h.ref.Same(p.objects[h.is.obj]) || h.ref.Rights() != want {
		return fmt.Sprintf("%v, %v; the oracle says %v", h.ref, h.ref.Rights(), h.is)
	}
	if h.is.rights == 0 {
		return ""
	}
	text := fmt.Sprint(h.is)
	if before, ok := p.known[text]; ok && before != h.ref {
		return fmt.Sprintf("%v is two: %v and %v", h.is, before, h.ref)
	}
	if before, ok := p.texts[h.ref]; ok && before != text {
		return fmt.Sprintf("%v is one; the oracle says two: %s and %s", h.ref, before, text)
	}
	p.known[text], p.texts[h.ref] = h.ref, text
	return ""
}

// forget begins anew with the Refs of a world that was just opened.
func (p *authorityPlayer) forget() error {
	p.known, p.texts, p.objects = map[string]caps.Ref{}, map[caps.Ref]string{}, map[uint64]caps.Ref{}
	for n := range p.m.nodes {
		ref, err := p.w.Object(context.Background(), strconv.FormatUint(n, 16))
		if err != nil {
			return err
		}
		p.objects[n] = ref
	}
	return nil
}

// keep adds what a party has got, in place of something if its bag is full.
func (p *authorityPlayer) keep(bags *[parties][]held, m *authorityModel, party, n int, got []held) {
	const room = 14
	for _, h := range got {
		bag := bags[party]
		if len(bag)-p.fixed[party] < room {
			bags[party] = append(bag, h)
			continue
		}
		at := p.fixed[party] + n%room
		for i, old := range bag[p.fixed[party]:] { // the dead first, mostly
			if n%4 != 0 && m.revoked(old.is.path) {
				at = p.fixed[party] + i
			}
		}
		bag[at] = h
	}
}

// alone does one deed as a turn of its own.
func (p *authorityPlayer) alone(d deed) string {
	party := p.bags[d.P]
	if d.Do != "call" || len(party) == 0 {
		return p.turn(act{Do: "update", Deeds: []deed{d}})
	}
	to := party[d.A%len(party)]
	v := p.choose(p.m, to.is, d)
	if v.typed {
		if v.need == caps.Read {
			return p.turn(act{Do: "view", Deeds: []deed{d}})
		}
		return p.turn(act{Do: "update", Deeds: []deed{d}})
	}
	ctx, m := context.Background(), p.m.clone()
	arg := party[d.B%len(party)]
	refs, text, err := p.call(v, calling{ctx: ctx, to: to.ref, arg: arg.ref, i: d.N % 3}, d)
	slots, wantText, code := asked{m: m, to: to.is, arg: arg.is, key: keyOf(to.kind(m), d.N%3)}.play(v)
	what := fmt.Sprintf("party %d: %s.%s of %v with %v: ", d.P, v.kind, v.method, to.is, arg.is)
	if got := codeOf(err); !sameCode(got, code, to.is) {
		return fmt.Sprintf("%sgot %q %v; the oracle says %q", what, got, err, code)
	}
	if code != "" {
		return ""
	}
	got, diff := p.compareAll(refs, slots, text, wantText)
	if diff != "" {
		return what + diff
	}
	p.m = m
	p.keep(&p.bags, m, d.P, d.N, got)
	return ""
}

func (h held) kind(m *authorityModel) string { return m.nodes[h.is.obj].kind }

// choose finds a verb for what s designates.
func (p *authorityPlayer) choose(m *authorityModel, s slot, d deed) *verb {
	var fit []int
	for i, v := range p.verbs {
		if v.kind == m.nodes[s.obj].kind {
			fit = append(fit, i)
		}
	}
	return &p.verbs[fit[d.Verb%len(fit)]]
}

func (p *authorityPlayer) call(v *verb, c calling, d deed) ([]caps.Ref, string, error) {
	if d.Untyped && !v.typed && (v.arg == "" || v.arg == "ref" || v.arg == "key") {
		return c.untyped(v)
	}
	return v.real(c)
}

// compareAll is compare with the text that came back beside the Refs.
func (p *authorityPlayer) compareAll(refs []caps.Ref, slots []slot, text, want string) (got []held, diff string) {
	got, diff = p.compare(refs, slots)
	if diff == "" && text != want {
		diff = fmt.Sprintf("%q; want %q", text, want)
	}
	return got, diff
}

// compare pairs what came back.
func (p *authorityPlayer) compare(refs []caps.Ref, slots []slot) (got []held, diff string) {
	if len(refs) != len(slots) {
		return nil, fmt.Sprintf("%d Refs; the oracle says %d", len(refs), len(slots))
	}
	for i, ref := range refs {
		h := held{ref, slots[i]}
		if diff := p.same(h); diff != "" {
			return nil, diff
		}
		if !slices.ContainsFunc(got, func(g held) bool { return g.ref == h.ref }) {
			got = append(got, h)
		}
	}
	return got, ""
}

// turn does several deeds in one turn. It may run more than once, and starts afresh.
func (p *authorityPlayer) turn(a act) string {
	var m *authorityModel
	var bags [parties][]held
	var diff string
	var end error
	body := func(t sturdy.Turn, w *sturdy.WriteTurn) error {
		m, bags, diff, end, p.unwinds = p.m.clone(), p.bagsClone(), "", nil, ""
		p.powerless = false
		for _, d := range a.Deeds {
			if diff = p.deed(t, w, m, &bags, d); diff != "" {
				end = errMess
				return end
			}
		}
		if a.Fail {
			end = errMess
		}
		return end
	}
	ctx := context.Background()
	var err error
	if a.Do == "view" {
		err = p.w.View(ctx, func(t *sturdy.ReadTurn) error { return body(t, nil) })
	} else {
		err = p.w.Update(ctx, func(t *sturdy.WriteTurn) error { return body(t, t) })
	}
	if diff != "" {
		return diff
	}
	want := codeOf(end)
	if p.unwinds != "" {
		want = p.unwinds
	}
	if got := codeOf(err); got != want && !(p.powerless && codeIsRefusal(got)) {
		return fmt.Sprintf("the turn ended with %q %v; want %q", got, err, want)
	}
	if err == nil {
		p.m, p.bags = m, bags
		return ""
	}
	for i, bag := range bags { // what was granted in it never was; its grants' objects are gone
		p.bags[i] = slices.DeleteFunc(bag, func(h held) bool { return p.m.nodes[h.is.obj].kind == "" })
	}
	return ""
}

// codeIsRefusal is for what has no rights.
func codeIsRefusal(c caps.Code) bool {
	return c == caps.ErrRevoked || c == caps.ErrNoMethod || c == caps.ErrNoRight
}

// deed does one thing in a turn; w is nil in a View.
func (p *authorityPlayer) deed(t sturdy.Turn, w *sturdy.WriteTurn, m *authorityModel, bags *[parties][]held, d deed) string {
	bag := bags[d.P]
	if len(bag) == 0 {
		return ""
	}
	to, arg := bag[d.A%len(bag)], bag[d.B%len(bag)]
	switch {
	case d.Do == "grant" && w != nil:
		_, diff := p.grant(w, m, bags, to, d)
		return diff
	case d.Do == "round" && w != nil && to.kind(m) == "box":
		return p.round(w, m, bags, to, arg, d)
	case d.Do == "seal" && w != nil:
		return p.seal(w, m, bags, to, arg, d)
	case d.Do == "attenuate":
		rights := caps.Rights(d.N & 15)
		got := held{to.ref.Attenuate(rights), m.attenuate(to.is, rights)}
		if diff := p.same(got); diff != "" {
			return "attenuate: " + diff
		}
		p.keep(bags, m, d.P, d.N, []held{got})
	case d.Do == "give" && p.mayGive(d.P, d.B%parties):
		p.keep(bags, m, d.B%parties, d.N, []held{to})
	case d.Do == "call":
		return p.deedCall(t, w, m, bags, to, arg, d)
	}
	return ""
}

func (p *authorityPlayer) deedCall(t sturdy.Turn, w *sturdy.WriteTurn, m *authorityModel, bags *[parties][]held, to, arg held, d deed) string {
	v := p.choose(m, to.is, d)
	if d.Method != "" {
		v = verbNamed(to.kind(m), d.Method)
	}
	if v.typed && v.need == caps.Write && w == nil {
		return ""
	}
	c := calling{ctx: t, w: w, to: to.ref, arg: arg.ref, i: d.N % 3}
	if v.typed { // if it fails, nothing here runs any more
		p.unwinds = m.allowed(to.is, v.method, v.need, true)
		p.powerless = p.unwinds != "" && to.is.rights == 0
	}
	want := p.unwinds
	refs, text, err := p.call(v, c, d)
	slots, wantText, code := asked{m: m, to: to.is, arg: arg.is, key: keyOf(to.kind(m), d.N%3), readOnly: w == nil}.play(v)
	what := fmt.Sprintf("in a turn, party %d: %s.%s of %v with %v: ", d.P, v.kind, v.method, to.is, arg.is)
	if want != "" {
		return what + "it came through; the oracle says " + string(want)
	}
	if got := codeOf(err); !sameCode(got, code, to.is) {
		return fmt.Sprintf("%sgot %q %v; the oracle says %q", what, got, err, code)
	}
	if code != "" {
		return ""
	}
	got, diff := p.compareAll(refs, slots, text, wantText)
	if diff != "" {
		return what + diff
	}
	p.keep(bags, m, d.P, d.N, got)
	return ""
}

// grant grants on terms that d's numbers choose.
func (p *authorityPlayer) grant(w *sturdy.WriteTurn, m *authorityModel, bags *[parties][]held, to held, d deed) (shared held, diff string) {
	if p.steep(m, to.is) {
		return shared, ""
	}
	terms := p.terms(m, to.is, d)
	if m.dead(to.is.path) {
		p.unwinds = caps.ErrRevoked
	}
	ref, g := w.Grant(to.ref, terms)
	what := fmt.Sprintf("party %d: grant of %v: ", d.P, to.is)
	if p.unwinds != "" {
		return shared, what + "it came through; the oracle says " + string(p.unwinds)
	}
	id, err := p.slotOf(w, g.Ref)
	if err != nil {
		return shared, what + err.Error()
	}
	is, handle := m.grant(id.obj, to.is, terms)
	p.objects[id.obj] = g.Ref
	got, diff := p.compare([]caps.Ref{ref, g.Ref}, []slot{is, handle})
	if diff != "" {
		return shared, what + diff
	}
	p.keep(bags, m, d.P, d.N, got)
	if p.mayGive(d.P, d.B%parties) {
		p.keep(bags, m, d.B%parties, d.N, got[:1])
	}
	p.made(id.obj, d.P)
	return got[0], ""
}

// round grants a box as a membrane, puts something in through it, and takes that out behind
// it: what has come in through a membrane is rare otherwise.
func (p *authorityPlayer) round(w *sturdy.WriteTurn, m *authorityModel, bags *[parties][]held, to, arg held, d deed) string {
	shared, diff := p.grant(w, m, bags, to, d)
	if shared.ref.IsNull() || diff != "" {
		return diff
	}
	d.Method, d.Untyped = "add", false
	if diff := p.deedCall(w, w, m, bags, shared, arg, d); diff != "" {
		return diff
	}
	d.Method = "many"
	return p.deedCall(w, w, m, bags, to, arg, d)
}

// mayGive says who hands Refs to whom without a call.
func (p *authorityPlayer) mayGive(from, to int) bool {
	return p.guest == 0 || from != p.guest && to != p.guest
}

// made notes whose an object is.
func (p *authorityPlayer) made(n uint64, by int) {
	if p.guest != 0 && by == p.guest {
		p.guests[n] = true
	}
}

// steep says what is not granted: what has no rights, and what stands below much.
func (p *authorityPlayer) steep(m *authorityModel, s slot) bool {
	const steep = 10
	return s.rights == 0 || len(m.above(s.path, false, map[uint64]bool{})) > steep
}

func (p *authorityPlayer) terms(m *authorityModel, s slot, d deed) caps.Terms {
	chance := rand.New(rand.NewPCG(uint64(d.N), 1))
	terms := caps.Terms{For: "party " + strconv.Itoa(d.B%parties), Deep: chance.IntN(2) == 0 || d.Do == "round"}
	if chance.IntN(3) == 0 {
		terms.Until = p.m.now().Add(time.Duration(1+chance.IntN(40)) * time.Minute)
	}
	if chance.IntN(4) > 0 {
		return terms
	}
	names := p.names(m, s, terms.Deep && chance.IntN(3) == 0)
	for range 1 + chance.IntN(4) {
		name := caps.Action(names[chance.IntN(len(names))])
		if !slices.Contains(terms.Only, caps.Named(name)) {
			terms.Only = append(terms.Only, name)
		}
	}
	return terms
}

// names are methods to choose from: those of the object, or any.
func (p *authorityPlayer) names(m *authorityModel, s slot, any bool) (names []string) {
	for _, v := range p.verbs {
		if any || v.kind == m.nodes[s.obj].kind {
			names = append(names, v.method)
		}
	}
	return names
}
