package picture

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

// Measures of the picture, in its units. A character is charWide wide, in any of the fonts.
const (
	charWide  = 67 // tenths
	lineHigh  = 15
	padding   = 8
	boxWide   = maxLabel*charWide/10 + 2*padding
	boxLines  = 4
	boxHigh   = boxLines*lineHigh + 2*padding
	columnGap = 56
	rowGap    = 14
	margin    = 16
)

// SVG is the graph as an SVG file. It loads nothing and runs nothing.
func (g *Graph) SVG() string {
	roots, all := g.boxes()
	columns, rows := place(roots)
	notes := g.notes()
	wide := 2*margin + max(1, columns)*boxWide + max(0, columns-1)*columnGap
	high := 2*margin + rows*(boxHigh+rowGap) + len(notes)*lineHigh
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="11">`+"\n", wide, high, wide, high)
	b.WriteString("<title>grants</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n")
	for _, x := range all {
		for _, up := range x.above {
			edge(&b, up, x)
		}
	}
	for _, x := range all {
		x.draw(&b)
	}
	for i, note := range notes {
		words(&b, margin, high-margin-(len(notes)-1-i)*lineHigh, note, "#555", "")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// notes stand below the picture.
func (g *Graph) notes() (notes []string) {
	if len(g.nodes) == 0 {
		notes = append(notes, "no grants")
	}
	if left := g.left(); left != "" {
		notes = append(notes, left)
	}
	return notes
}

// corner is where a box begins.
func (b *box) corner() (x, y int) {
	return margin + b.column*(boxWide+columnGap), margin + int(b.row*(boxHigh+rowGap))
}

// edge draws a curve from the right of one box to the left of another. Past the columns
// between them it runs between two rows.
func edge(b *strings.Builder, from, to *box) {
	x0, y0 := from.corner()
	x1, y1 := to.corner()
	x0 += boxWide
	y0, y1 = y0+boxHigh/2, y1+boxHigh/2
	bend := columnGap / 2
	color := "#555"
	if to.dead {
		color = "#bbb"
	}
	fmt.Fprintf(b, `<path d="M%d %d`, x0, y0)
	if to.column > from.column+1 {
		lane := y1 + (boxHigh+rowGap)/2
		if y0 < y1 {
			lane = y1 - (boxHigh+rowGap)/2
		}
		fmt.Fprintf(b, ` C%d %d %d %d %d %d H%d`, x0+bend, y0, x0+bend, lane, x0+columnGap, lane, x1-columnGap)
		x0, y0 = x1-columnGap, lane
	}
	fmt.Fprintf(b, ` C%d %d %d %d %d %d" fill="none" stroke="%s"/>`+"\n", x0+bend, y0, x1-bend, y1, x1, y1, color)
}

// draw draws the frame and what stands in it. What was cut shows when one points at it.
func (b *box) draw(out *strings.Builder) {
	x, y := b.corner()
	lines := append([]string{b.title}, b.lines...)
	high, ink, paper, round := boxHigh, "#222", "#f4f8ff", 2
	switch {
	case b.node == nil:
		high, paper, round = lineHigh+2*padding, "#eee", 10
	case b.dead:
		ink, paper = "#999", "#fafafa"
	}
	y += (boxHigh - high) / 2
	out.WriteString("<g>\n<title>")
	escape(out, strings.Join(lines, "\n"))
	out.WriteString("</title>\n")
	frame(out, x, y, boxWide, high, round, ink, paper)
	if b.membrane {
		frame(out, x+3, y+3, boxWide-6, high-6, round, ink, "none")
	}
	top := y + (high-len(lines)*lineHigh)/2 + lineHigh - 4
	for i, line := range lines {
		style := ""
		if i == 0 {
			style = ` font-weight="bold"`
		}
		if b.revoked && i < len(lines)-1 { // the last one says when
			style += ` text-decoration="line-through"`
		}
		words(out, x+padding, top+i*lineHigh, line, ink, style)
	}
	out.WriteString("</g>\n")
}

func frame(out *strings.Builder, x, y, wide, high, round int, ink, paper string) {
	fmt.Fprintf(out, `<rect x="%d" y="%d" width="%d" height="%d" rx="%d" fill="%s" stroke="%s"/>`+"\n", x, y, wide, high, round, paper, ink)
}

// words writes a line, which runs from left to right whatever is in it and stays in its box.
func words(out *strings.Builder, x, y int, line, ink, style string) {
	fmt.Fprintf(out, `<text x="%d" y="%d" fill="%s" direction="ltr" unicode-bidi="isolate"%s>`, x, y, ink, style)
	escape(out, text.Cut(line, maxLabel))
	out.WriteString("</text>\n")
}

func escape(out *strings.Builder, s string) {
	_ = xml.EscapeText(out, []byte(s)) // a Builder takes everything
}
