package sturdy_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// node is the model's state of an object: the slots that it holds. Invariant: its slices and
// its map are replaced, never changed, so that a copy of the struct is a copy.
type node struct {
	kind  string // "box", "map", "list", "cell", "directory" or "grant"
	one   slot
	many  []slot
	tied  slot // stands three times in the box's links
	any   slot // stands twice in the box's Value
	rows  map[string]slot
	names []string // the methods, for Terms.Only
}

// authorityModel is a world for the oracle.
type authorityModel struct {
	oracle
	nodes map[uint64]node
}

func (m *authorityModel) clone() *authorityModel {
	c := *m
	c.grants, c.nodes = maps.Clone(m.grants), maps.Clone(m.nodes)
	return &c
}

// grant makes the record of the grant of s, with the number that the runtime gave it.
func (m *authorityModel) grant(n uint64, s slot, terms caps.Terms) (shared, handle slot) {
	g := record{of: s, until: terms.Until, membrane: terms.Deep}
	for _, name := range terms.Only {
		g.only = append(g.only, name.Name())
	}
	m.grants[n] = g
	m.nodes[n] = node{kind: "grant", names: []string{"revoke", "info"}}
	shared = s
	shared.path = []crossing{{n, false}}
	return shared, slot{obj: n, rights: caps.Read | caps.Write | caps.Run}
}

// asked is one call in the model.
type asked struct {
	m        *authorityModel
	to, arg  slot
	key      string
	readOnly bool // in a read turn
}

// play lets the call in or refuses it, carries the argument in and the results out.
func (a asked) play(v *verb) (got []slot, text string, code caps.Code) {
	if code := a.m.allowed(a.to, v.method, v.need, true); code != "" {
		return nil, "", code
	}
	if a.readOnly && v.need != caps.Read {
		return nil, "", caps.ErrNoRight
	}
	via := a.to
	a.arg = a.m.argument(a.arg, via)
	n := a.m.nodes[via.obj]
	out, text, code := v.model(a, &n)
	if code != "" {
		return nil, "", code
	}
	for _, s := range out {
		if s.obj != 0 {
			got = append(got, a.m.result(s, via))
		}
	}
	return got, text, ""
}

// inner is a call that a box makes to what it was handed.
func (a asked) inner(v *verb, to, arg slot) ([]slot, caps.Code) {
	if a.m.nodes[to.obj].kind != "box" {
		if code := a.m.allowed(to, v.method, v.need, false); code != "" || to.obj == 0 {
			return nil, code
		}
	}
	a.to, a.arg = to, arg
	got, _, code := a.play(v)
	return got, code
}

func (a asked) put(n node) { a.m.nodes[a.to.obj] = n }

// The model of each verb, in the order of their bodies in the kind of boxes.

func modelOne(_ asked, n *node) ([]slot, string, caps.Code)  { return []slot{n.one}, "", "" }
func modelMany(_ asked, n *node) ([]slot, string, caps.Code) { return n.many, "", "" }
func modelTied(_ asked, n *node) ([]slot, string, caps.Code) {
	return []slot{n.tied, n.tied, n.tied}, "", ""
}
func modelAny(_ asked, n *node) ([]slot, string, caps.Code)  { return []slot{n.any, n.any}, "", "" }
func modelEcho(a asked, _ *node) ([]slot, string, caps.Code) { return []slot{a.arg}, "", "" }
func modelPoke(asked, *node) ([]slot, string, caps.Code)     { return nil, "", "" }

func modelSet(a asked, n *node) ([]slot, string, caps.Code) {
	n.one = a.arg
	a.put(*n)
	return nil, "", ""
}

func modelAdd(a asked, n *node) ([]slot, string, caps.Code) {
	n.many = lastFew(append(slices.Clone(n.many), a.arg))
	a.put(*n)
	return nil, "", ""
}

func modelTie(a asked, n *node) ([]slot, string, caps.Code) {
	n.tied = a.arg
	a.put(*n)
	return nil, "", ""
}

func modelWrap(a asked, n *node) ([]slot, string, caps.Code) {
	n.any = a.arg
	a.put(*n)
	return nil, "", ""
}

func modelSwap(a asked, n *node) ([]slot, string, caps.Code) {
	was := n.one
	n.one = a.arg
	a.put(*n)
	return []slot{was}, "", ""
}

func modelHand(a asked, n *node) ([]slot, string, caps.Code) {
	_, code := a.inner(verbNamed("box", "set"), a.arg, n.one)
	return nil, "", code
}

func modelAsk(a asked, _ *node) ([]slot, string, caps.Code) {
	got, code := a.inner(verbNamed("box", "one"), a.arg, slot{})
	return got, "", code
}

func modelTrade(a asked, n *node) ([]slot, string, caps.Code) {
	got, code := a.inner(verbNamed("box", "swap"), a.arg, n.one)
	if code != "" {
		return nil, "", code
	}
	now := a.m.nodes[a.to.obj] // the call may have come back to the same box
	if len(got) == 0 {
		got = []slot{{}}
	}
	now.many = lastFew(append(slices.Clone(now.many), got[0]))
	a.put(now)
	return nil, "", ""
}

func modelGet(a asked, n *node) ([]slot, string, caps.Code) {
	s, ok := n.rows[a.key]
	if !ok && n.kind == "directory" {
		return nil, "", sturdy.ErrNoName
	}
	return []slot{s}, "", ""
}

func modelPut(a asked, n *node) ([]slot, string, caps.Code) {
	n.rows = maps.Clone(n.rows)
	n.rows[a.key] = a.arg
	a.put(*n)
	return nil, "", ""
}

// modelSetRow is List.Set, which changes only what is there.
func modelSetRow(a asked, n *node) ([]slot, string, caps.Code) {
	if _, ok := n.rows[a.key]; ok {
		return modelPut(a, n)
	}
	return nil, "", ""
}

func modelAppend(a asked, n *node) ([]slot, string, caps.Code) {
	a.key = keyOf("list", len(n.rows))
	return modelPut(a, n)
}

func modelDelete(a asked, n *node) ([]slot, string, caps.Code) {
	n.rows = maps.Clone(n.rows)
	delete(n.rows, a.key)
	a.put(*n)
	return nil, "", ""
}

func modelRows(_ asked, n *node) (all []slot, _ string, _ caps.Code) {
	for _, k := range slices.Sorted(maps.Keys(n.rows)) {
		all = append(all, n.rows[k])
	}
	return all, "", ""
}

func modelLen(_ asked, n *node) ([]slot, string, caps.Code) { return nil, fmt.Sprint(len(n.rows)), "" }

func modelRevoke(a asked, _ *node) ([]slot, string, caps.Code) {
	g := a.m.grants[a.to.obj]
	g.revoked = true
	a.m.grants[a.to.obj] = g
	return nil, "", ""
}

func modelInfo(a asked, _ *node) ([]slot, string, caps.Code) {
	g := a.m.grants[a.to.obj]
	return nil, infoText(!a.m.dead([]crossing{{a.to.obj, false}}), g.revoked, g.membrane, len(g.only), g.until), ""
}

func infoText(alive, revoked, membrane bool, only int, until time.Time) string {
	return fmt.Sprintf("alive %v, revoked %v, membrane %v, %d methods, until %v", alive, revoked, membrane, only, until.UTC())
}

// lastFew keeps a box small.
func lastFew[T any](list []T) []T { return list[max(0, len(list)-4):] }

// keyOf is a key of a collection in the model.
func keyOf(kind string, i int) string {
	switch kind {
	case "list":
		return fmt.Sprintf("%03d", i)
	case "cell":
		return ""
	}
	return string(rune('a' + i))
}
