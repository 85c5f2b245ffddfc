package picture

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// maxDrawn is how many grants a picture holds.
const maxDrawn = 2000

// Graph is a set of grants with what stands above each. Make one with Load or New; it does
// not change.
type Graph struct {
	nodes   []*node // by number, so that what is above comes first
	leftOut int
	now     time.Time
}

// node is a grant in a graph.
type node struct {
	info   sturdy.GrantInfo
	number uint64
	above  []*node // by depth: the deepest first; those that are in the graph
	depth  int     // of the longest way down to it; 0: nothing of the graph is above
}

// New makes a graph of grants, as of the time now. leftOut is how many others there are.
func New(infos []sturdy.GrantInfo, leftOut int, now time.Time) *Graph {
	g := &Graph{leftOut: leftOut, now: now}
	known := map[uint64]*node{}
	for _, info := range infos {
		n := &node{info: info, number: number(info.ID)}
		if known[n.number] == nil {
			known[n.number] = n
			g.nodes = append(g.nodes, n)
		}
	}
	slices.SortFunc(g.nodes, func(a, b *node) int { return cmp.Compare(a.number, b.number) })
	for _, n := range g.nodes {
		for _, id := range n.info.Above {
			// A grant is made after those above it. What a damaged world says instead could
			// be a circle.
			if up := known[number(id)]; up != nil && up.number < n.number && !slices.Contains(n.above, up) {
				n.above = append(n.above, up)
				n.depth = max(n.depth, up.depth+1)
			}
		}
		slices.SortStableFunc(n.above, func(a, b *node) int { return cmp.Compare(b.depth, a.depth) })
	}
	return g
}

func number(id string) uint64 {
	n, _ := strconv.ParseUint(id, 16, 64) // an ID always is one
	return n
}

// Load collects the grants on the object that of designates, those above them, and what is
// alive below those that are membranes; if of is null, every grant of the world.
func Load(ctx context.Context, rt *sturdy.Runtime, of caps.Ref, now time.Time) (*Graph, error) {
	l := loader{ctx: ctx, rt: rt, known: map[string]bool{}}
	for info, err := range rt.Grants(ctx, of) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return nil, err
		}
		l.add(info)
	}
	if !of.IsNull() {
		if err := errors.Join(l.up(), l.down()); err != nil {
			return nil, err
		}
	}
	return New(l.infos, l.leftOut, now), nil
}

type loader struct {
	ctx     context.Context
	rt      *sturdy.Runtime
	infos   []sturdy.GrantInfo
	known   map[string]bool
	leftOut int
}

func (l *loader) add(info sturdy.GrantInfo) {
	switch {
	case l.known[info.ID]:
	case len(l.infos) >= maxDrawn:
		l.leftOut++
	default:
		l.known[info.ID] = true
		l.infos = append(l.infos, info)
	}
}

func (l *loader) grant(id string) (sturdy.Grant, error) {
	ref, err := l.rt.Object(l.ctx, id)
	return sturdy.Grant{Ref: ref}, err
}

// up adds what stands above.
func (l *loader) up() error {
	for i := 0; i < len(l.infos); i++ {
		for _, id := range l.infos[i].Above {
			if l.known[id] {
				continue
			}
			g, err := l.grant(id)
			if err != nil {
				return err
			}
			info, err := g.Info(l.ctx)
			if err != nil {
				return err
			}
			l.add(info)
		}
	}
	return nil
}

// down adds the grants on other objects that were reached through membranes.
func (l *loader) down() error {
	for _, info := range slices.Clone(l.infos) {
		if !info.Deep || !info.Alive {
			continue
		}
		g, err := l.grant(info.ID)
		if err != nil {
			return err
		}
		for h, err := range l.rt.Breaks(l.ctx, g) {
			if err = cmp.Or(err, l.ctx.Err()); err != nil {
				return err
			}
			if h.Grant != nil {
				l.add(*h.Grant)
			}
		}
	}
	return nil
}
