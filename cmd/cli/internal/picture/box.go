package picture

import (
	"fmt"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

// box is what is drawn: an object that was granted, or a grant.
type box struct {
	node  *node    // nil: an object
	title string   // one line each, fit to print
	lines []string // one line each, fit to print, not cut
	above []*box   // the first is the one that it stands below
	below []*box   // those of which it is the first above

	revoked  bool // struck through
	dead     bool // grey: revoked, run out, or something above is
	membrane bool // a double border

	column int
	row    float64 // the middle, in rows
}

// boxes makes the boxes of a graph: the objects that grants without a grant above are on,
// each with the tree below it, which comes behind it in all.
func (g *Graph) boxes() (roots, all []*box) {
	objects, grants := map[string]*box{}, map[*node]*box{}
	for _, n := range g.nodes {
		b := g.box(n)
		grants[n] = b
		for _, up := range n.above {
			b.above = append(b.above, grants[up])
		}
		if len(b.above) == 0 {
			o := objects[objectID(n)]
			if o == nil {
				o = &box{title: text.Line(n.info.Object)}
				objects[objectID(n)] = o
				roots = append(roots, o)
			}
			b.above = []*box{o}
		}
		b.above[0].below = append(b.above[0].below, b)
	}
	for _, r := range roots {
		all = r.append(all)
	}
	return roots, all
}

// objectID is the short ID of what was granted.
func objectID(n *node) string { return n.info.Object[strings.LastIndexByte(n.info.Object, ' ')+1:] }

// append appends b and what is below it.
func (b *box) append(all []*box) []*box {
	all = append(all, b)
	for _, c := range b.below {
		all = c.append(all)
	}
	return all
}

func (g *Graph) box(n *node) *box {
	i := n.info
	b := &box{
		node: n, title: text.Line(fmt.Sprintf("grant %s on %s", i.ID, i.Object)), membrane: i.Deep,
		revoked: !i.Revoked.IsZero(), dead: !i.Alive,
	}
	if i.For != "" {
		b.lines = append(b.lines, text.Line(fmt.Sprintf("for %q", i.For)))
	}
	b.lines = append(b.lines,
		text.Line(look.GrantRights(i)+"; "+methods(n)),
		g.fate(n, func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }))
	return b
}

func methods(n *node) string {
	switch m := look.GrantMethods(n.info); m {
	case "all":
		return "all methods"
	case "none":
		return "no methods"
	default:
		return "only " + m
	}
}

// fate is until when a grant lasts, or what ended it.
func (g *Graph) fate(n *node, when func(time.Time) string) string {
	switch i := n.info; look.GrantState(i, g.now) {
	case "revoked":
		return "revoked " + when(i.Revoked)
	case "ran out":
		return "ran out " + when(i.Until)
	case "dead above":
		return "dead: a grant above it is"
	default:
		if i.Until.IsZero() {
			return "until revoked"
		}
		return "until " + when(i.Until)
	}
}

// left is the line on what is not drawn, empty if everything is.
func (g *Graph) left() string {
	if g.leftOut == 0 {
		return ""
	}
	return text.Count(int64(g.leftOut), "grant") + " more not drawn"
}

// place gives each box its column, which is how deep it stands, and its row: what stands
// below nothing else goes row by row, everything else in the middle of what is below it. It
// returns how many of both there are.
func place(roots []*box) (columns, rows int) {
	var down func(b *box)
	down = func(b *box) {
		if b.node != nil {
			b.column = b.node.depth + 1
		}
		columns = max(columns, b.column+1)
		if len(b.below) == 0 {
			b.row = float64(rows)
			rows++
			return
		}
		for _, c := range b.below {
			down(c)
		}
		b.row = (b.below[0].row + b.below[len(b.below)-1].row) / 2
	}
	for _, r := range roots {
		down(r)
	}
	return columns, rows
}
