package sturdy

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Grant is the capability to take a grant back, and to read what it says. It gives no
// access to what was granted.
type Grant struct{ caps.Ref }

// GrantInfo is what a grant says.
type GrantInfo struct {
	ID      string // as errors and listings print it: the number of its object, hexadecimal
	Object  string // what was granted: kind and short ID
	Rights  string // as they were granted: "rwx", "r, deep"
	For     string
	By      string   // who granted: the purpose of the grant above, or the object whose method did
	Above   []string // the grants that the granted Ref had come through
	Only    []string // empty: every method, unless None
	None    bool     // no method at all: what was left of two lists without a common method
	Deep    bool     // a membrane
	Since   time.Time
	Until   time.Time // zero: until revoked
	Revoked time.Time // zero: it was not; a grant above it may have been, see Alive
	Alive   bool      // calls come through: neither it nor one above was revoked or ran out
	Uses    int64     // calls that came through it directly
	Used    time.Time // the last one, within about ten seconds; zero: never
}

// What can be asked of a grant.
const (
	grantRevoke caps.Action           = "revoke"
	grantInfo   caps.Query[GrantInfo] = "info"
)

// Revoke takes the grant back. When it returns, no call begins through a Ref that came
// through the grant, wherever that Ref is: in states, arguments, boxes, or as text. Calls
// under way notice at their next call and before they reply. It is for good. With a turn as
// ctx, that turn notices at once and others when it commits. It needs w.
func (g Grant) Revoke(ctx context.Context) error {
	if turn, _ := turnOf(ctx); turn == nil && isRelaxed(ctx) {
		ctx = strict{ctx} // it is for good, so it is durable
	}
	return grantRevoke.Call(ctx, g.Ref)
}

// Info returns what the grant says, also when it is revoked. It needs r.
func (g Grant) Info(ctx context.Context) (GrantInfo, error) { return grantInfo.Call(ctx, g.Ref) }

// GrantByID returns the grant of the given ID, as GrantInfo and every listing print it, with
// every right: for who operates a world. ErrGone if there is none.
func (rt *Runtime) GrantByID(ctx context.Context, id string) (Grant, error) {
	ref, err := rt.Object(ctx, id)
	if err != nil {
		return Grant{}, err
	}
	info, err := rt.Describe(ctx, ref)
	if err == nil && info.Kind.Name != rt.grants.def.name {
		err = &caps.Error{Op: "grant", Code: caps.ErrGone, Text: ref.String() + " is no grant"}
	}
	if err != nil {
		return Grant{}, err
	}
	return Grant{ref}, nil
}

// grant is the state. Its object's number is the grant's, so none is ever used again.
type grant struct {
	Object  caps.Ref // as it was held by who granted it: its path is what stands above
	For     string
	By      string
	Limited bool
	Only    []string // sorted; counts if Limited
	Deep    bool
	Since   time.Time
	Until   time.Time
	Revoked time.Time
	Opening uint64 // the incarnation of the world that made it, see hostKey.root
}

func newGrantKind() *KindOf[grant] {
	return Define("sturdy/grant", Action(grantRevoke, (*grant).revoke), Query(grantInfo, (*grant).info))
}

// Grant records that somebody is given ref under terms. shared is what to give him; g takes
// it back. The grant stands below those that ref itself came through, and dies with them.
// ref must not be null, must be alive, and of this world; otherwise, or with terms that make
// no sense, the turn fails. Attenuate ref first to give fewer rights.
func (t *WriteTurn) Grant(ref caps.Ref, terms caps.Terms) (shared caps.Ref, g Grant) {
	t.r.check()
	t.r.depth++ // see openColl
	shared, g, err := t.grant(ref, terms, true)
	if err != nil {
		panic(unwind{err})
	}
	t.r.depth--
	return shared, g
}

// grant is Grant. If it is strict, it refuses methods that the object does not have.
func (t *WriteTurn) grant(ref caps.Ref, terms caps.Terms, strict bool) (shared caps.Ref, g Grant, err error) {
	rt := t.r.vat.rt
	h, a, ok := rt.open(ref)
	switch {
	case ref.IsNull():
		return shared, g, &caps.Error{Op: "grant", Code: caps.ErrNull, Text: "null reference (the zero caps.Ref) cannot be granted. Was the field ever set?"}
	case !ok || h.vat != t.r.vat:
		return shared, g, &caps.Error{Op: "grant", Code: caps.ErrBadArgument, Text: ref.String() + " is not of this world, which cannot grant it"}
	}
	if err := cmp.Or(t.r.alive(a), a.Gate.Room()); err != nil {
		return shared, g, outcome("grant", h, err)
	}
	says, err := t.terms(h, a, terms, strict)
	if err != nil {
		return shared, g, err
	}
	state := grant{
		Object: ref, For: terms.For, By: t.grantor(a), Only: says.Only, Limited: says.Only != nil,
		Deep: says.Deep, Since: t.Now(), Until: says.Until, Opening: rt.incarnation,
	}
	g = Grant{rt.grants.New(t, state)}
	gh, _, _ := rt.open(g.Ref)
	if a.Gate, err = rt.gates.Add(gh.oid.N, says); err != nil {
		return shared, g, outcome("grant", h, err)
	}
	t.rare().gates = append(t.rare().gates, a.Gate)
	t.list(gh.oid.N, says.Until)
	return rt.ref(h, a), g, nil
}

// grantor says who grants in t what came with authority a.
func (t *WriteTurn) grantor(a caps.Authority) string {
	for _, n := range a.Gate.Grants() {
		if h := t.r.vat.table.get(t.r.vat, objstore.OID{Vat: t.r.vat.id, N: n}); h != nil {
			if v, err := t.r.state(h); err == nil && v.kind.def == t.r.vat.rt.grants.def {
				if by := (*grant)(v.state).For; by != "" {
					return by
				}
			}
		}
	}
	if t.r.self != nil {
		return t.r.self.name()
	}
	return program
}

func (g *grant) revoke(t *WriteTurn) error {
	if !g.Revoked.IsZero() {
		return nil
	}
	g.Revoked = t.Now()
	n := t.r.self.oid.N
	t.rare().revoked = append(t.rare().revoked, n)
	t.unlist(n, g.Until)
	return nil
}

func (g *grant) info(t *ReadTurn) (GrantInfo, error) {
	rt := t.vat.rt
	h, a, _ := rt.open(g.Object)
	_, _ = t.state(h) // its name says its kind when it is loaded
	n := t.self.oid.N
	info := GrantInfo{
		ID: strconv.FormatUint(n, 16), Object: h.name(), For: g.For, By: g.By, Only: g.Only,
		None: g.Limited && len(g.Only) == 0, Deep: g.Deep, Since: g.Since, Until: g.Until, Revoked: g.Revoked,
		Alive: t.alive(caps.Authority{Gate: rt.gates.Grant(n)}) == nil,
	}
	for _, up := range a.Gate.Grants() {
		info.Above = append(info.Above, strconv.FormatUint(up, 16))
	}
	a.Gate = nil
	info.Rights = a.String()
	info.Uses, info.Used = rt.uses.of(t, n)
	return info, nil
}

// alive reports whether a call with authority a could be let in by its grants, as t sees
// them: a write turn sees what it has revoked itself.
func (t *ReadTurn) alive(a caps.Authority) error {
	if a.Gate == nil {
		return nil
	}
	if err := a.Gate.Alive(&t.now); err != nil {
		t.refused = true
		return err
	}
	return t.revokedHere(a.Gate)
}

// granted reports why method of h may not be called through g in this turn.
func (t *ReadTurn) granted(h *handle, g *caps.Gate, method string) (err error) {
	if t.w != nil && (t.w.seldom != nil || !g.Ready()) {
		err = t.w.ready(h, g)
	}
	if err == nil {
		err = g.Check(method, &t.now)
	}
	t.refused = t.refused || err != nil
	return err
}

// revokedHere reports whether the running write turn has revoked something on g's path.
func (t *ReadTurn) revokedHere(g *caps.Gate) error {
	if t.w == nil || t.w.seldom == nil || !slices.ContainsFunc(t.w.seldom.revoked, g.Under) {
		return nil
	}
	return &caps.Error{Code: caps.ErrRevoked, Text: "revoked: " + g.String() + " was taken back in this turn"}
}

// ready reports whether g was revoked in this turn. Like an object that is not in memory, what
// g says is not waited for with the writer's lock held.
func (t *WriteTurn) ready(h *handle, g *caps.Gate) error {
	if t.misses < maxMisses && !g.Ready() {
		t.missed, t.rare().cold = h, g
		panic(unwind{errMissed})
	}
	return t.r.revokedHere(g)
}

// seldom is what few write turns need.
type seldom struct {
	cold    *caps.Gate   // what was not in memory
	gates   []*caps.Gate // of the grants it made: they cannot be read before it commits
	revoked []uint64     // the grants it revoked

	// What follows becomes of the mailroom when it commits, see mail.go.
	taken     []placed    // letters that it has taken out of their mailboxes
	sent      []placed    // letters that go into mailboxes
	rows      []placed    // letters whose rows it has rewritten
	posted    int64       // letters that its own code has sent
	released  []uint64    // mailboxes that are served again
	concluded []concluded // latent promises that it has settled
	resolved  []uint64    // other promises that it has settled
	alarms    []int64     // when the alarms are due that it has set
	rung      bool        // it has rung alarms; then
	nextDue   int64       // is when the next one is
	buried    []burial    // letters that it has made dead ones

	holds *delivery // the mailbox that is not served for now, whatever becomes of the turn

	// And of the threads.
	wakes      []uint64 // those that can go on
	interrupts []uint64 // those whose Step is to end
}

// empty is r with nothing in it, for the next turn of the postman.
func (r *seldom) empty() *seldom {
	clear(r.taken)
	clear(r.sent)
	clear(r.concluded)
	*r = seldom{taken: r.taken[:0], sent: r.sent[:0], concluded: r.concluded[:0]}
	return r
}

func (t *WriteTurn) rare() *seldom {
	if t.seldom == nil {
		t.seldom = new(seldom)
	}
	return t.seldom
}

// readGrant is what gates are loaded with. What does not exist was made by a turn that did
// not commit; nothing comes through it.
func (rt *Runtime) readGrant(n uint64) (caps.Granted, error) {
	h := rt.vat.table.get(rt.vat, objstore.OID{Vat: rt.vat.id, N: n})
	v, err := h.load()
	switch {
	case errors.Is(err, caps.ErrGone):
		return caps.Granted{Revoked: true}, nil
	case err != nil:
		return caps.Granted{}, err
	case v.kind.def != rt.grants.def:
		return caps.Granted{}, &caps.Error{Object: h.name(), Code: caps.ErrDamaged, Text: "damaged: a reference names " + h.name() + " as its grant"}
	}
	g := (*grant)(v.state)
	return g.granted(rt), nil
}

func (g *grant) granted(rt *Runtime) caps.Granted {
	_, a, _ := rt.open(g.Object)
	says := caps.Granted{Authority: a, Until: g.Until, Deep: g.Deep, Revoked: !g.Revoked.IsZero(), For: g.For}
	if g.Limited {
		says.Only = append([]string{}, g.Only...)
	}
	return says
}
