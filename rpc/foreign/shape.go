package foreign

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// This file makes interfaces of what a world, or another host, says of a kind. The numbers are
// not made here: KindInfo.Ordinals has them. What says so may be hostile.

const (
	mostOrdinals = 1<<16 - 1 // of methods, and of the fields of one struct: numbers have 16 bits
	mostFields   = 200_000   // of all structs together, each counted wherever it is used
	deepestShape = 256       // shapes in each other; types of ours are half as deep at most
	bareField    = "-"       // what Ordinals call an argument or a result that is no struct
)

// interfaceOf is what programs in other languages see of a kind. It has the methods that have
// a number, which is all but those whose names no list of numbers can hold: Ref.call is for
// them.
func interfaceOf(k sturdy.KindInfo) (*iface, error) {
	b, err := newBuilder(k)
	if err == nil {
		err = b.methods()
	}
	if err == nil {
		err = b.finish()
	}
	if err != nil {
		return nil, &caps.Error{Op: "describe", Object: k.Name, Code: caps.ErrBadArgument, Text: "the kind has no Cap'n Proto interface: " + err.Error()}
	}
	return b.iface, nil
}

// identity is the number of what text names, as schemas want them: the first bit is set.
func identity(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:8]) | 1<<63
}

// interfaceID is the number of a kind's interface.
func interfaceID(kind string) uint64 { return identity("sturdy interface " + kind) }

// builder makes one iface.
type builder struct {
	kind   sturdy.KindInfo
	iface  *iface
	scopes map[string]*scope
	order  []*scope          // as their first fields stand in Ordinals
	labels names             // of structs
	made   map[string]string // labels of optionals, boxes and maps, by what is in them
	left   int               // fields that may still be made
	outer  []*frame
}

// scope is a struct by the name that Ordinals has for it, with the numbers of its fields. All
// that is called so is one struct in the schema. Two types of the same name, in packages with
// different paths, are too: to either, the fields that only the other has are gone.
type scope struct {
	name    string
	label   string
	numbers map[string]int // of "Amount int64"
	was     []string       // by number, "Amount"
	types   []string       // by number, "int64"
	alive   []string       // by number, what it is called now; empty: it is gone
	records []*record      // where it is used
}

// frame is a shape around the one that is looked at.
type frame struct {
	shape *caps.Shape
	path  string
	of    *record // of a struct or a map; nil: the struct has none as it is an argument or result
	box   *record // what a list or an optional is inside itself
}

// newBuilder reads the numbers.
func newBuilder(k sturdy.KindInfo) (*builder, error) {
	b := &builder{
		kind: k, iface: &iface{id: interfaceID(k.Name), label: camel(lastPart(k.Name)), kind: k.Name},
		scopes: map[string]*scope{}, labels: structNames(), made: map[string]string{}, left: mostFields,
	}
	for _, text := range k.Ordinals {
		in, field, nested := strings.Cut(text, " ")
		if !nested {
			b.iface.methods = append(b.iface.methods, &method{ordinal: uint16(len(b.iface.methods)), name: text, gone: true})
		} else if err := b.scope(in).number(field); err != nil {
			return nil, err
		}
		if len(b.iface.methods) > mostOrdinals {
			return nil, fmt.Errorf("it has had more than %d methods", mostOrdinals)
		}
	}
	b.name()
	return b, nil
}

// name gives methods and structs their labels.
func (b *builder) name() {
	now := map[string]bool{}
	for i := range b.kind.Methods {
		now[b.kind.Methods[i].Name] = true
	}
	b.labels[b.iface.label] = 2
	taken := methodNames()
	for _, gone := range [...]bool{false, true} { // what is gone gets what is left
		for _, m := range b.iface.methods {
			if now[m.name] == gone {
				continue
			}
			m.gone, m.label = gone, lower(camel(m.name))
			if gone {
				m.label = "obsolete" + camel(m.name)
			}
			m.label = taken.unique(m.label, m.label+"Method")
			b.labels[camel(m.label)+"Params"], b.labels[camel(m.label)+"Results"] = 2, 2 // compilers make these
		}
	}
	for _, s := range b.order {
		if !strings.HasSuffix(s.name, "(") && !strings.HasSuffix(s.name, ")") {
			s.label = b.labels.unique(structLabels(s.name)...)
		}
	}
}

func (b *builder) scope(name string) *scope {
	s := b.scopes[name]
	if s == nil {
		s = &scope{name: name, numbers: map[string]int{}}
		b.scopes[name] = s
		b.order = append(b.order, s)
	}
	return s
}

// number takes in "Amount int64"; or "Amount=Sum int64", which says that Sum has another name.
func (s *scope) number(field string) error {
	name, typ, ok := strings.Cut(field, " ")
	if !ok {
		return fmt.Errorf("%.100q is no field with a type", field)
	}
	if now, was, renamed := strings.Cut(name, "="); renamed {
		if n, ok := s.numbers[was+" "+typ]; ok {
			s.numbers[now+" "+typ] = n
		}
		return nil
	}
	if len(s.types) >= mostOrdinals {
		return fmt.Errorf("%.100s has had more than %d fields", s.name, mostOrdinals)
	}
	s.numbers[field] = len(s.types)
	s.was, s.types, s.alive = append(s.was, name), append(s.types, typ), append(s.alive, "")
	return nil
}

// methods makes the parameters and results.
func (b *builder) methods() (err error) {
	infos := map[string]*sturdy.MethodInfo{}
	for i := range b.kind.Methods {
		infos[b.kind.Methods[i].Name] = &b.kind.Methods[i]
	}
	for _, m := range b.iface.methods {
		info := infos[m.name]
		if info == nil {
			m.params, m.results = &record{}, &record{}
			continue
		}
		m.needs = info.Needs.String()
		if m.params, err = b.whole(m.name+"(", &info.Arg); err == nil {
			m.results, err = b.whole(m.name+")", &info.Result)
		}
		if err != nil {
			return fmt.Errorf("method %.100s: %w", m.name, err)
		}
	}
	return nil
}

// whole is the record of an argument or a result.
func (b *builder) whole(path string, s *caps.Shape) (*record, error) {
	if err := bounded(s, 0); err != nil {
		return nil, err
	}
	switch s.Class {
	case "done":
		return b.record(path, nil)
	case "struct":
		b.outer = append(b.outer, &frame{shape: s, path: path})
		defer b.pop()
		return b.record(path, s.Fields)
	}
	r, err := b.record(path, []caps.Field{{Name: bareField, Shape: *s}})
	if err == nil {
		r.bare, r.only().name = true, ""
	}
	return r, err
}

func (b *builder) pop() { b.outer = b.outer[:len(b.outer)-1] }

// bounded refuses shapes that are too deep or lack something. It comes first: what a shape of
// any depth is called would take as deep a recursion.
func bounded(s *caps.Shape, depth int) error {
	if depth > deepestShape {
		return errors.New("its type is nested too deep")
	}
	elem := s.Class == "list" || s.Class == "array" || s.Class == "map" || s.Class == "optional"
	if elem && s.Elem == nil || s.Class == "map" && s.Key == nil {
		return fmt.Errorf("a %s of nothing", s.Class)
	}
	for i := range s.Fields {
		if err := bounded(&s.Fields[i].Shape, depth+1); err != nil {
			return err
		}
	}
	for _, in := range [...]*caps.Shape{s.Key, s.Elem} {
		if in == nil {
			continue
		}
		if err := bounded(in, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// record makes a struct with the fields that it has now; the others are gone.
func (b *builder) record(name string, fields []caps.Field) (*record, error) {
	s := b.scope(name)
	r := &record{label: s.label}
	return r, b.fill(r, s, fields)
}

func (b *builder) fill(r *record, s *scope, fields []caps.Field) error {
	if b.left -= len(s.types) + 1; b.left < 0 {
		return fmt.Errorf("its structs have more than %d fields together", mostFields)
	}
	s.records = append(s.records, r)
	all := make([]field, len(s.types))
	for i := range all {
		all[i] = field{ordinal: uint16(i), gone: true, typ: goneType(s.types[i])}
		r.fields = append(r.fields, &all[i])
	}
	now := make([]*caps.Field, len(s.types))
	for i := range fields {
		f := &fields[i]
		n, ok := s.numbers[f.Name+" "+f.Shape.Brief()]
		if !ok || now[n] != nil {
			return fmt.Errorf("the field %.100q has no number of its own", f.Name)
		}
		now[n] = f
	}
	for n, f := range now { // in the order of their numbers, so that labels do not depend on another
		if f == nil {
			continue
		}
		t, err := b.typ(s.name+"."+f.Name, &f.Shape)
		if err != nil {
			return err
		}
		if !t.fits(&all[n].typ) {
			return fmt.Errorf("the field %.100q is not what its number is for", f.Name)
		}
		all[n].name, all[n].typ, all[n].gone, s.alive[n] = f.Name, t, false, f.Name
	}
	return nil
}

// fits reports whether t takes the same place as o.
func (t *typ) fits(o *typ) bool {
	log, number := t.logBits()
	was, wasNumber := o.logBits()
	return log == was && number == wasNumber && (t.op == opVoid) == (o.op == opVoid)
}

// finish numbers, names and lays out the fields of each struct, wherever it is used.
func (b *builder) finish() error {
	for _, s := range b.order {
		labels := s.fieldLabels()
		for i, r := range s.records {
			for n, f := range r.fields {
				f.label = labels[n]
			}
			if i > 0 {
				r.copyLayout(s.records[0])
				continue
			}
			var err error
			if r.size, err = layout(r.fields); err != nil {
				return fmt.Errorf("%.100s: %w", s.name, err)
			}
		}
	}
	return nil
}

func (r *record) copyLayout(o *record) {
	r.size = o.size
	for i, f := range r.fields {
		f.offset = o.fields[i].offset
	}
}

// only is the one field of a bare record.
func (r *record) only() *field {
	for _, f := range r.fields {
		if !f.gone {
			return f
		}
	}
	return nil
}
