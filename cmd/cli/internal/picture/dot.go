package picture

import (
	"fmt"
	"strings"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

// maxLabel is how wide a line in a box gets, in columns.
const maxLabel = 36

// Dot is the graph for Graphviz.
func (g *Graph) Dot() string {
	_, all := g.boxes()
	names := map[*box]string{}
	var b strings.Builder
	b.WriteString("digraph grants {\n  rankdir=LR\n  node [shape=box fontname=\"monospace\" fontsize=10]\n")
	for i, x := range all {
		names[x] = fmt.Sprintf("n%d", i)
		fmt.Fprintf(&b, "  %s [label=%s%s]\n", names[x], dotLabel(x), dotStyle(x))
	}
	for _, x := range all {
		for _, up := range x.above {
			fmt.Fprintf(&b, "  %s -> %s\n", names[up], names[x])
		}
	}
	if left := g.left(); left != "" {
		fmt.Fprintf(&b, "  label=\"%s\"\n", left)
	}
	b.WriteString("}\n")
	return b.String()
}

// dotLabel quotes. Graphviz reads escapes with backslashes and entities in labels; neither
// can come from what a grant says.
func dotLabel(x *box) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, `&amp;`)
	var b strings.Builder
	b.WriteByte('"')
	for _, line := range append([]string{x.title}, x.lines...) {
		b.WriteString(escape.Replace(text.Cut(line, maxLabel)) + `\l`)
	}
	b.WriteByte('"')
	return b.String()
}

func dotStyle(x *box) (style string) {
	switch {
	case x.node == nil:
		style = " style=rounded"
	case x.revoked:
		style = ` color="gray60" fontcolor="gray60" style=dashed`
	case x.dead:
		style = ` color="gray60" fontcolor="gray60"`
	}
	if x.membrane {
		style += " peripheries=2"
	}
	return style
}
