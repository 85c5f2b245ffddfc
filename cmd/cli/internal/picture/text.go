package picture

import (
	"fmt"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

// maxLine is how wide a line of Text gets.
const maxLine = 160

// Text is the tree with a line for each object and grant, and a line feed behind each.
func (g *Graph) Text() string {
	roots, _ := g.boxes()
	var b strings.Builder
	for _, r := range roots {
		b.WriteString(text.Cut(r.title, maxLine) + "\n")
		g.branches(&b, r, "")
	}
	if len(roots) == 0 {
		b.WriteString("no grants\n")
	}
	if left := g.left(); left != "" {
		b.WriteString(left + "\n")
	}
	return b.String()
}

// branches writes what is below above.
func (g *Graph) branches(b *strings.Builder, above *box, indent string) {
	for i, c := range above.below {
		branch, further := "├─ ", "│  "
		if i == len(above.below)-1 {
			branch, further = "└─ ", "   "
		}
		b.WriteString(text.Cut(indent+branch+g.line(c, above), maxLine) + "\n")
		g.branches(b, c, indent+further)
	}
}

// line is a grant on a line. The purpose, which may say anything, comes last.
func (g *Graph) line(c, above *box) string {
	i := c.node.info
	parts := []string{"grant " + i.ID}
	if above.node != nil && objectID(above.node) != objectID(c.node) {
		parts[0] += " on " + i.Object
	}
	parts = append(parts, look.GrantRights(i), methods(c.node), g.fate(c.node, func(t time.Time) string { return text.Ago(t, g.now) }))
	if i.Uses > 0 {
		parts = append(parts, "used "+text.Count(i.Uses, "time"))
	}
	var others []string
	for _, up := range c.above[1:] {
		others = append(others, up.node.info.ID)
	}
	if len(others) > 0 {
		parts = append(parts, "also below "+strings.Join(others, ", "))
	}
	if i.For != "" {
		parts = append(parts, fmt.Sprintf("for %q", i.For))
	}
	return text.Line(strings.Join(parts, "  "))
}
