package console

import (
	"errors"
	"strings"
	"time"

	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// maxCell is how wide one cell of a table gets.
const maxCell = 60

// maxBrief is maxCell for listings of many columns.
const maxBrief = 28

// table lays out at most limit elements of v: structs and pairs as columns, everything else
// a line each; a short list of plain values on one line. more says that there are others.
func (s *Session) table(v starlark.Iterable, limit int) (rows string, more bool, err error) {
	g, more := s.grid(v, limit)
	if s.stopped != nil {
		return "", false, s.stopped
	}
	switch {
	case g.nothing && len(g.rows) > 0:
		return "", more, nil
	case g.flat && !more:
		if line := repr(v, maxRepr); len(line) <= s.Width {
			return line + "\n", false, nil
		}
	}
	return g.text(), more, nil
}

// grid takes at most limit elements of v apart; more says that there are others.
func (s *Session) grid(v starlark.Iterable, limit int) (g grid, more bool) {
	elems, more := first(v, limit)
	s.patience, g.s = look.Patience{}, s
	for _, e := range elems {
		g.add(e)
	}
	return g, more
}

// first are the first elements of v, and whether there are more.
func first(v starlark.Iterable, limit int) (elems []starlark.Value, more bool) {
	for e := range starlark.Elements(v) {
		if len(elems) == limit {
			return elems, true
		}
		elems = append(elems, e)
	}
	return elems, false
}

// grid is a table being made.
type grid struct {
	s       *Session
	titles  []string
	rows    [][]string
	below   map[int]string // what stands below a row
	numbers []bool         // per column: it has held nothing but numbers
	flat    bool           // no element has columns
	nothing bool           // every element was None
}

// add adds a row.
func (g *grid) add(e starlark.Value) {
	titles, cells := columns(e)
	if len(g.rows) == 0 {
		g.flat, g.nothing, g.titles = true, true, titles
	}
	if strings.Join(titles, "\x00") != strings.Join(g.titles, "\x00") {
		g.titles = nil
	}
	g.flat = g.flat && len(cells) == 1 && titles == nil && !isRef(cells[0])
	g.nothing = g.nothing && e == starlark.None
	if r, ok := e.(*record); ok && r.below != "" {
		if g.below == nil {
			g.below = map[int]string{}
		}
		g.below[len(g.rows)] = r.below
	}
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = g.cell(e, c, i == len(cells)-1)
		if i == len(g.numbers) {
			g.numbers = append(g.numbers, true)
		}
		g.numbers[i] = g.numbers[i] && isNumber(c)
	}
	g.rows = append(g.rows, row)
}

// cell is a cell of e's row. The last one moves no other out of the line.
func (g *grid) cell(e, c starlark.Value, last bool) string {
	r, ok := e.(*record)
	if !ok || r.brief.IsZero() {
		return g.s.cell(c, maxCell)
	}
	switch c := c.(type) {
	case starlarktime.Time:
		return text.Ago(time.Time(c), r.brief)
	case starlarktime.Duration:
		return text.Length(time.Duration(c))
	}
	if last {
		return g.s.cell(c, maxCell)
	}
	return g.s.cell(c, maxBrief)
}

// text is the table. A line of titles stands above if all rows have the same ones.
func (g *grid) text() string {
	rows := g.rows
	if len(g.titles) > 0 {
		rows = append([][]string{g.titles}, rows...)
	}
	var right []int
	for i, n := range g.numbers {
		if n {
			right = append(right, i)
		}
	}
	table := text.Table(rows, g.s.Width, right...)
	if g.below == nil {
		return table
	}
	return g.interleave(table, len(rows)-len(g.rows))
}

// interleave puts what stands below rows into a table that begins with so many titles.
func (g *grid) interleave(table string, titles int) string {
	var b strings.Builder
	n := -titles
	for line := range strings.Lines(table) {
		b.WriteString(line)
		if below := g.below[n]; below != "" {
			b.WriteString(text.Cut("    "+text.Line(below), g.s.Width) + "\n")
		}
		n++
	}
	return b.String()
}

func isNumber(v starlark.Value) bool {
	switch v.(type) {
	case starlark.Int, starlark.Float:
		return true
	}
	return false
}

func isRef(v starlark.Value) bool {
	_, ok := v.(*refValue)
	return ok
}

// columns takes an element apart: a struct into its fields, a pair into key and value, and
// that into its fields if it is a struct.
func columns(e starlark.Value) (titles []string, cells []starlark.Value) {
	switch e := e.(type) {
	case *record:
		n := len(e.fields)
		if e.columns > 0 {
			n = e.columns
		}
		for _, name := range e.AttrNames()[:n] {
			titles = append(titles, text.Line(name))
		}
		return titles, e.vals[:n]
	case starlark.Tuple:
		if len(e) == 2 {
			titles, cells = columns(e[1])
			if titles == nil {
				titles = []string{"value"}
			}
			return append([]string{"key"}, titles...), append([]starlark.Value{e[0]}, cells...)
		}
	}
	return nil, []starlark.Value{e}
}

// notReached stands behind what is on a host that does not answer.
const notReached = "  not reached"

// foreignAt names the host of an object, unless it is the one that the session is attached to:
// in a listing of that one everything else is its own.
func (s *Session) foreignAt(info sturdy.ObjectInfo) string {
	if info.Host == s.World.Host() {
		return ""
	}
	return at(info)
}

// cell is a value in a table: text without quotes, objects as they are called.
func (s *Session) cell(v starlark.Value, limit int) string {
	switch v := v.(type) {
	case starlark.String:
		return text.Cut(text.Line(string(v[:min(len(v), 4*limit)])), limit)
	case starlark.NoneType:
		return "-"
	case starlarktime.Time:
		return time.Time(v).Format(time.RFC3339)
	case *refValue:
		info, err := s.glance(v.ref)
		if err == nil {
			return text.Line(look.Short(info.Kind.Name) + " " + info.ID + s.foreignAt(info) + " " + info.Rights.String())
		}
		if errors.Is(err, caps.ErrNotDelivered) { // what is known of it here
			return text.Cut(text.Line(v.ref.String()), limit-len(notReached)) + notReached
		}
	}
	return text.Cut(repr(v, 4*limit), limit)
}
