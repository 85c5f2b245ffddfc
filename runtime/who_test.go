package sturdy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// A pouch holds references in every way that a state can.
type pouch struct {
	Items []caps.Ref
	Named map[string]caps.Ref
	Any   caps.Value
	Note  string
}

const (
	poChange caps.Command[pouchChange]    = "change"
	poAt     caps.Method[int64, caps.Ref] = "at"
)

type pouchChange struct {
	How  string
	At   int64
	Ref  caps.Ref
	Fail bool
}

var errPouch = errors.New("the pouch is torn")

func (p *pouch) change(_ *sturdy.WriteTurn, c pouchChange) error {
	i := c.At % int64(max(len(p.Items), 1))
	switch c.How {
	case "append":
		p.Items = append(p.Items, c.Ref)
	case "drop":
		p.Items = append(p.Items[:min(i, int64(len(p.Items)))], p.Items[min(i+1, int64(len(p.Items))):]...)
	case "set":
		p.Items[i] = c.Ref
	case "renote":
		p.Note = fmt.Sprint(c.At)
	case "name":
		if p.Named == nil {
			p.Named = map[string]caps.Ref{}
		}
		p.Named[fmt.Sprint(c.At%3)] = c.Ref
	case "any":
		p.Any, _ = caps.ValueOf(c.Ref)
	case "note":
		p.Note += "."
	case "clear":
		*p = pouch{}
	}
	if c.Fail {
		return errPouch
	}
	return nil
}

func (p *pouch) at(_ *sturdy.ReadTurn, i int64) (caps.Ref, error) {
	if i >= int64(len(p.Items)) {
		return caps.Ref{}, nil
	}
	return p.Items[i], nil
}

var pouchKind = sturdy.Define("proof/pouch", sturdy.Command(poChange, (*pouch).change), sturdy.Method(poAt, (*pouch).at))

// whoPlayer changes a world by chance.
type whoPlayer struct {
	*runtimetest.World
	t      *testing.T
	rand   *rand.Rand
	pool   []caps.Ref // what may be given away; of the open world
	shared []caps.Ref // what came through grants
	grants []sturdy.Grant
	dir    sturdy.Directory
	byName sturdy.Map[string, caps.Ref]
	byRank sturdy.Map[int64, pouch]
	list   sturdy.List[caps.Ref]
	cell   sturdy.Cell[[]caps.Ref]
	plain  sturdy.Map[string, int64]
}

func newWhoPlayer(t *testing.T) *whoPlayer {
	p := &whoPlayer{World: runtimetest.Open(t, pouchKind, accountKind), t: t, rand: rand.New(rand.NewPCG(seedOf(t), 1))}
	must(t, p.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		p.dir, p.byName, p.list = sturdy.NewDirectory(tn), sturdy.NewMap[string, caps.Ref](tn), sturdy.NewList[caps.Ref](tn)
		p.byRank, p.cell, p.plain = sturdy.NewMap[int64, pouch](tn), sturdy.NewCell[[]caps.Ref](tn, nil), sturdy.NewMap[string, int64](tn)
		refs := []caps.Ref{p.dir.Ref, p.byName.Ref, p.byRank.Ref, p.list.Ref, p.cell.Ref, p.plain.Ref}
		for i, name := range []string{"dir", "names", "ranks", "list", "cell", "plain"} {
			if err := p.Root().Put(tn, name, refs[i]); err != nil {
				return err
			}
		}
		for range 4 {
			pouchKind.New(tn, pouch{})
			accountKind.New(tn, account{})
		}
		return nil
	}))
	p.again()
	return p
}

// again finds everything after the world was opened anew.
func (p *whoPlayer) again() {
	root := func(name string) caps.Ref {
		ref, err := p.Root().Get(p.t.Context(), name)
		must(p.t, err)
		return ref
	}
	p.dir.Ref, p.byName.Ref, p.byRank.Ref = root("dir"), root("names"), root("ranks")
	p.list.Ref, p.cell.Ref, p.plain.Ref = root("list"), root("cell"), root("plain")
	p.pool, p.shared, p.grants = nil, nil, nil
	m := recompute(p.t, p.World)
	for _, ref := range m.objects {
		kind := m.kinds[ref]
		if kind == "sturdy/grant" {
			p.grants = append(p.grants, sturdy.Grant{Ref: ref})
		}
		if kind != "sturdy/grants" {
			p.pool = append(p.pool, ref)
		}
	}
	for _, h := range m.holds {
		p.learn(h.ref)
	}
}

// learn adds to what may be given away.
func (p *whoPlayer) learn(ref caps.Ref) {
	info, err := p.Describe(p.t.Context(), ref)
	must(p.t, err)
	if p.pool = append(p.pool, ref); info.Rights.Gate != nil {
		p.shared = append(p.shared, ref)
	}
}

func (p *whoPlayer) pick() caps.Ref {
	from := p.pool
	if len(p.shared) > 0 && p.rand.IntN(2) == 0 {
		from = p.shared
	}
	ref := from[p.rand.IntN(len(from))]
	if p.rand.IntN(4) == 0 {
		ref = ref.Attenuate(caps.Read)
	}
	return ref
}

// pouch picks a Ref to a pouch.
func (p *whoPlayer) pouch() caps.Ref {
	for {
		ref := p.pick()
		if info, err := p.Describe(p.t.Context(), ref); err == nil && info.Kind.Name == "proof/pouch" {
			return ref
		}
	}
}

// step is one write turn, chosen before it runs as it may run more than once.
func (p *whoPlayer) step() (turn func(*sturdy.WriteTurn) error) {
	ref, name, n := p.pick(), fmt.Sprint("n", p.rand.IntN(4)), p.rand.Int64N(8)
	fail := p.rand.IntN(8) == 0
	switch p.rand.IntN(14) {
	case 0:
		return func(tn *sturdy.WriteTurn) error {
			made := pouchKind.New(tn, pouch{Items: []caps.Ref{ref, ref}})
			return p.dir.Put(tn, name, made)
		}
	case 1:
		return func(tn *sturdy.WriteTurn) error { return p.dir.Put(tn, name, ref) }
	case 2:
		return func(tn *sturdy.WriteTurn) error { return p.dir.Delete(tn, name) }
	case 3:
		return func(tn *sturdy.WriteTurn) error { p.byName.Put(tn, name, ref); return nil }
	case 4:
		return func(tn *sturdy.WriteTurn) error { p.byName.Delete(tn, name); p.plain.Put(tn, name, n); return nil }
	case 5:
		return func(tn *sturdy.WriteTurn) error {
			p.byRank.Put(tn, n-4, pouch{Items: []caps.Ref{ref}, Named: map[string]caps.Ref{"x": ref, "y": p.dir.Ref}})
			return nil
		}
	case 6:
		return func(tn *sturdy.WriteTurn) error { p.byRank.Delete(tn, n-4); return nil }
	case 7:
		return func(tn *sturdy.WriteTurn) error {
			if n%2 == 0 || !p.list.Set(tn, int(n), ref) {
				p.list.Append(tn, ref)
			}
			return nil
		}
	case 8:
		return func(tn *sturdy.WriteTurn) error { p.cell.Set(tn, []caps.Ref{ref, p.dir.Ref, {}}); return nil }
	default:
		how := []string{"append", "append", "drop", "name", "any", "note", "clear"}[p.rand.IntN(7)]
		to := p.pouch()
		return func(tn *sturdy.WriteTurn) error {
			return poChange.Call(tn, to, pouchChange{how, n, ref, fail})
		}
	}
}

// authority grants, revokes, and fetches through what was granted.
func (p *whoPlayer) authority() {
	ctx := p.t.Context()
	switch p.rand.IntN(5) {
	case 0, 1:
		ref, terms := p.pick(), caps.Terms{For: fmt.Sprint("party", p.rand.IntN(100)), Deep: p.rand.IntN(2) == 0}
		if p.rand.IntN(3) == 0 {
			terms.Until = p.Now().Add(time.Duration(p.rand.IntN(100)) * time.Minute)
		}
		var shared caps.Ref
		var g sturdy.Grant
		err := p.Update(ctx, func(tn *sturdy.WriteTurn) error {
			shared, g = tn.Grant(ref, terms)
			return nil
		})
		if err == nil {
			p.grants = append(p.grants, g)
			p.learn(shared)
			p.learn(g.Ref)
		}
	case 2:
		if len(p.grants) > 0 && p.rand.IntN(2) == 0 {
			must(p.t, p.grants[p.rand.IntN(len(p.grants))].Revoke(ctx))
		}
	default:
		from := p.pouch()
		for i := range int64(3) {
			if ref, err := poAt.Call(ctx, from, i); err == nil && !ref.IsNull() {
				p.learn(ref)
			}
		}
	}
}

func TestTheIndexSaysWhatTheStatesSay(t *testing.T) {
	p, ctx := newWhoPlayer(t), t.Context()
	since := map[spot]time.Time{}
	recompute(t, p.World).follow(since, p.Now())
	for i := range ops(150) {
		switch p.rand.IntN(20) {
		case 0:
			p.Crash()
			p.again()
		case 1:
			p.Reopen()
			p.again()
		case 2:
			p.Evict()
		case 3, 4, 5, 6, 7:
			p.authority()
		case 8, 9: // many turns in one group
			for range 12 {
				_ = p.Update(sturdy.Relaxed(ctx), p.step())
			}
			must(t, p.Sync(ctx))
			since = map[spot]time.Time{} // a group may have ended in between, or not
		default:
			_ = p.Update(ctx, p.step())
		}
		m := recompute(t, p.World)
		if len(since) > 0 {
			m.follow(since, p.Now())
		}
		m.checkHolders(since)
		if len(since) == 0 {
			m.adopt(since)
		}
		if i%8 == 0 {
			m.checkBreaks()
			m.checkPaths()
			m.checkGrants()
			must(t, p.Check(ctx))
		}
		if t.Failed() {
			t.Fatalf("after %d operations", i)
		}
		p.Pass(time.Duration(p.rand.IntN(90)) * time.Second)
	}
	t.Logf("%d grants, %d references at the end", len(p.grants), len(recompute(t, p.World).holds))
}
