package foreign

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Schema prints the file in which programs in other languages find the methods of kinds: an
// interface for each, as it is in its newest version. The same kinds are always the same
// text. It imports "sturdy.capnp", see Base. A namespace is for C++; empty: none.
func Schema(w io.Writer, kinds []sturdy.KindInfo, namespace string) error {
	kinds = newest(kinds)
	all, err := interfaces(kinds)
	if err != nil {
		return err
	}
	p := printer{w: bufio.NewWriter(w)}
	p.head(all, namespace)
	for n, i := range all {
		p.iface(i, &kinds[n])
	}
	return p.w.Flush()
}

// interfaces makes the interfaces of different kinds, with different labels.
func interfaces(kinds []sturdy.KindInfo) (all []*iface, err error) {
	for _, k := range kinds {
		i, err := interfaceOf(k)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	if len(all) == 0 {
		return nil, &caps.Error{Op: "schema", Code: caps.ErrBadArgument, Text: "there are no kinds to print"}
	}
	distinguish(all)
	return all, nil
}

// newest lists each kind once, by name.
func newest(kinds []sturdy.KindInfo) []sturdy.KindInfo {
	kinds = slices.Clone(kinds)
	slices.SortStableFunc(kinds, func(a, b sturdy.KindInfo) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	var list []sturdy.KindInfo
	for i, k := range kinds {
		if i+1 == len(kinds) || kinds[i+1].Name != k.Name {
			list = append(list, k)
		}
	}
	return list
}

// distinguish gives interfaces different labels: account of two owners is BankAccount and
// ShopAccount, whichever was there first.
func distinguish(all []*iface) {
	parts, taken := 1, interfaceNames()
	for again := true; again && parts < 8; parts++ {
		again = false
		count := map[string]int{}
		for _, i := range all {
			count[i.label]++
		}
		for _, i := range all {
			if count[i.label] > 1 || taken[i.label] > 0 {
				longer := camel(lastParts(i.kind, parts+1))
				again = again || longer != i.label
				i.label = longer
			}
		}
	}
	for _, i := range all {
		i.label = taken.unique(i.label, i.label+"Kind")
	}
}

// lastParts is the end of a kind's name from the n-th slash on.
func lastParts(kind string, n int) string {
	parts := strings.Split(kind, "/")
	return strings.Join(parts[max(0, len(parts)-n):], "/")
}

// printer writes a schema. Errors are kept by w.
type printer struct{ w *bufio.Writer }

func (p *printer) line(depth int, format string, args ...any) {
	for range depth {
		p.w.WriteString("  ")
	}
	fmt.Fprintf(p.w, format, args...)
	p.w.WriteByte('\n')
}

func (p *printer) head(all []*iface, namespace string) {
	text := "sturdy schema"
	for _, i := range all {
		text += "\n" + i.kind
	}
	p.line(0, "# Made by sturdy schema. Numbers stay what they are when kinds grow; names may change.")
	p.line(0, "# The number of this file is a hash of the names of the kinds in it, that of an interface one of")
	p.line(0, "# its kind's.")
	p.line(0, "")
	p.line(0, "@0x%x;", identity(text))
	p.line(0, "")
	p.line(0, `using Sturdy = import "sturdy.capnp";`)
	p.w.WriteString(annotation(namespace))
}

func annotation(namespace string) string {
	if namespace == "" {
		return ""
	}
	return "using Cxx = import \"/capnp/c++.capnp\";\n$Cxx.namespace(" + strconv.Quote(namespace) + ");\n"
}

func (p *printer) iface(i *iface, k *sturdy.KindInfo) {
	p.line(0, "")
	p.line(0, "interface %s @0x%x extends(Sturdy.Ref) {", i.label, i.id)
	p.line(1, "# %s, version %d.", comment(i.kind), k.Version)
	numbered := map[string]bool{}
	for _, m := range i.methods {
		numbered[m.name] = true
		p.line(0, "")
		p.line(1, "%s @%d %s -> %s;", m.label, m.ordinal, params(m.params), params(m.results))
		switch {
		case m.gone:
			p.line(1, "# %s is no more.", comment(m.name))
		case m.label == m.name:
			p.line(1, "# Needs %s.", m.needs)
		default:
			p.line(1, "# Is %s. Needs %s.", comment(m.name), m.needs)
		}
	}
	for _, m := range k.Methods {
		if !numbered[m.Name] {
			p.line(0, "")
			p.line(1, "# %s has no number: call it with Ref.call. Needs %v.", comment(m.Name), m.Needs)
		}
	}
	for _, s := range structs(i) {
		p.record(s)
	}
	p.line(0, "}")
}

func params(r *record) string {
	var list []string
	for _, f := range r.fields {
		list = append(list, f.label+" :"+f.typ.schema())
	}
	return "(" + strings.Join(list, ", ") + ")"
}

func (p *printer) record(r *record) {
	p.line(0, "")
	p.line(1, "struct %s {", r.label)
	for _, f := range r.fields {
		p.line(2, "%s @%d :%s;", f.label, f.ordinal, f.typ.schema())
	}
	p.line(1, "}")
}

// structs are the structs in an interface, by label. One that is used as two types has the
// fields of both.
func structs(i *iface) []*record {
	c := collector{by: map[string]*record{}, seen: map[*record]bool{}}
	for _, m := range i.methods {
		c.record(m.params)
		c.record(m.results)
	}
	var list []*record
	for _, r := range c.by {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *record) int { return strings.Compare(a.label, b.label) })
	return list
}

type collector struct {
	by   map[string]*record
	seen map[*record]bool
}

func (c *collector) record(r *record) {
	if r == nil || c.seen[r] {
		return
	}
	c.seen[r] = true
	if r.label != "" {
		c.by[r.label] = merged(c.by[r.label], r)
	}
	for _, f := range r.fields {
		c.typ(&f.typ)
	}
}

func (c *collector) typ(t *typ) {
	c.record(t.of)
	if t.elem != nil {
		c.typ(t.elem)
	}
}

// merged is a with the fields that it lacks of b, another use of the same struct.
func merged(a, b *record) *record {
	if a == nil {
		return b
	}
	m := *a
	m.fields = slices.Clone(a.fields)
	for n, f := range m.fields {
		if f.gone {
			m.fields[n] = b.fields[n]
		}
	}
	return &m
}

// schema is t as it is written in a schema.
func (t *typ) schema() string {
	switch {
	case t.op == opTime || t.op == opValue || t.op == opRef:
		return "Sturdy." + t.base()
	case t.op == opList:
		return "List(" + t.elem.schema() + ")"
	case t.op == opMap:
		return "List(" + t.of.label + ")"
	case t.of != nil:
		return t.of.label
	case t.op == opStruct:
		return "AnyPointer" // is gone, and nobody knows any more
	}
	return t.base()
}

// base is the name of a type that is no list and no struct of a kind.
func (t *typ) base() string {
	switch t.op {
	case opTime:
		return "Time"
	case opValue:
		return "Value"
	case opRef:
		return "Ref"
	}
	return t.op.String()
}

// comment is text from wherever in a comment: on one line, as it is if it is harmless.
func comment(text string) string {
	quoted := strconv.QuoteToGraphic(text)
	if quoted == `"`+text+`"` {
		return text
	}
	return quoted
}
