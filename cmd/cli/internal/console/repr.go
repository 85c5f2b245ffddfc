package console

import (
	"strings"
	"time"

	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

// maxRepr is how many bytes of a value are printed on one line.
const maxRepr = 4000

// repr is v on one line, as it would be typed where that is possible, cut off at about limit
// bytes. It never builds the text of more than that.
func repr(v starlark.Value, limit int) string {
	p := printer{limit: limit}
	p.value(v, 0)
	if p.b.Len() > limit {
		return text.Line(strings.ToValidUTF8(p.b.String()[:limit], "")) + "…"
	}
	return text.Line(p.b.String())
}

type printer struct {
	b     strings.Builder
	limit int
}

func (p *printer) full() bool { return p.b.Len() > p.limit }

func (p *printer) value(v starlark.Value, depth int) {
	if p.full() {
		return
	}
	if depth > 20 {
		p.b.WriteString("…")
		return
	}
	switch v := v.(type) {
	case starlark.String:
		p.b.WriteString(v[:min(len(v), p.limit+1)].String())
	case starlark.Bytes:
		p.b.WriteString(v[:min(len(v), p.limit+1)].String())
	case *starlark.List:
		p.list("[", v, "]", depth)
	case starlark.Tuple:
		p.list("(", v, ")", depth)
	case *starlark.Set:
		p.list("set([", v, "])", depth)
	case *starlark.Dict:
		p.dict(v, depth)
	case *record:
		p.record(v, depth)
	case starlarktime.Time:
		p.b.WriteString(time.Time(v).Format(time.RFC3339Nano))
	default:
		p.b.WriteString(v.String())
	}
}

func (p *printer) list(open string, v starlark.Iterable, end string, depth int) {
	p.b.WriteString(open)
	first := true
	for e := range starlark.Elements(v) {
		p.comma(first)
		first = false
		if p.value(e, depth+1); p.full() {
			return
		}
	}
	p.b.WriteString(end)
}

func (p *printer) dict(d *starlark.Dict, depth int) {
	p.b.WriteString("{")
	first := true
	for k, v := range starlark.Entries(d) {
		p.comma(first)
		first = false
		p.value(k, depth+1)
		p.b.WriteString(": ")
		if p.value(v, depth+1); p.full() {
			return
		}
	}
	p.b.WriteString("}")
}

// record prints as a call with named arguments, which is how a struct is passed.
func (p *printer) record(r *record, depth int) {
	p.b.WriteString("(")
	for i, f := range r.fields {
		p.comma(i == 0)
		p.b.WriteString(lower(f) + "=")
		if p.value(r.vals[i], depth+1); p.full() {
			return
		}
	}
	p.b.WriteString(")")
}

func (p *printer) comma(first bool) {
	if !first {
		p.b.WriteString(", ")
	}
}
