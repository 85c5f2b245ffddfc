package foreign

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Describe is what is known here of a Ref that came from a foreign program, without asking that:
// the methods of the interface that it is taken to have, none if nobody has said which. Host is
// where the program is. Version is 0, which no kind of a world has. ok is false for every other Ref.
func (h *Host) Describe(ref caps.Ref) (info sturdy.ObjectInfo, ok bool) {
	t, ok := h.target(ref)
	if !ok {
		return info, false
	}
	_, a, _ := h.maker.Open(ref)
	info = sturdy.ObjectInfo{
		ID: strconv.FormatUint(uint64(t.id), 16), Host: strings.TrimPrefix(t.c.name, placeOf), Rights: a,
		Kind: sturdy.KindInfo{Name: "capability", Known: true},
	}
	if t.iface == nil {
		return info, true
	}
	info.Kind.Name = t.iface.kind
	for _, m := range t.iface.methods {
		if m.gone {
			continue
		}
		need := needOf(m.needs)
		info.Kind.Methods = append(info.Kind.Methods, sturdy.MethodInfo{
			Name: m.name, Needs: need, Outside: true, Arg: shapeOf(m.params), Result: shapeOf(m.results),
		})
		if a.Allows(need) && m.refused == "" && a.Gate.Check(m.name, nil) == nil {
			info.Allows = append(info.Allows, m.name)
		}
	}
	return info, true
}

// shapeOf is parameters or results as an object of ours would have them.
func shapeOf(r *record) caps.Shape {
	if r.none() {
		return caps.Shape{Class: "done"}
	}
	s := shaper{left: mostShown}
	return s.record(r)
}

// mostShown is how many fields a description has: types that hold two of the next one, which
// does so, too, are small in a schema. What is beyond is any value, and checked when it is sent.
const mostShown = 2000

// shaper makes shapes of records.
type shaper struct {
	outer []*record // around what is being made
	left  int       // fields
}

func (s *shaper) record(r *record) caps.Shape {
	anything := caps.Shape{Class: "value"}
	for _, o := range slices.Backward(s.outer) {
		if o == r && !r.bare && r.label != "" {
			return caps.Shape{Class: "again", Name: r.label}
		}
		if o == r || o.label == r.label && o.label != "" { // another one of that name hides it
			return anything
		}
	}
	if s.left -= len(r.fields) + 1; s.left < 0 || len(s.outer) >= deepest {
		return anything
	}
	s.outer = append(s.outer, r)
	defer func() { s.outer = s.outer[:len(s.outer)-1] }()
	if r.bare {
		return s.typ(&r.only().typ)
	}
	made := caps.Shape{Class: "struct", Name: r.label}
	for _, f := range r.fields {
		if f.gone || f.typ.op == opVoid && !f.choice {
			continue
		}
		shape := s.typ(&f.typ)
		if f.typ.op == opVoid {
			shape = caps.Shape{Class: "bool"}
		}
		if f.choice && shape.Class != "optional" {
			shape = optional(shape)
		}
		made.Fields = append(made.Fields, caps.Field{Name: f.name, Shape: shape})
	}
	return made
}

func (s *shaper) typ(t *typ) (shape caps.Shape) {
	switch t.op {
	case opVoid:
		return caps.Shape{Class: "done"}
	case opEnum:
		return caps.Shape{Class: "string"}
	case opGroup:
		return s.record(t.of)
	case opList:
		elem := s.typ(t.elem)
		shape = caps.Shape{Class: "list", Elem: &elem}
		if t.len > 0 {
			shape.Class, shape.Len = "array", t.len
		}
	case opMap:
		key, elem := s.typ(&t.of.fields[0].typ), s.typ(&t.of.fields[1].typ)
		shape = caps.Shape{Class: "map", Key: &key, Elem: &elem}
	case opStruct, opOptional:
		shape = s.record(t.of)
	default:
		shape = caps.Shape{Class: caps.Class(plainClasses()[t.op]), Len: t.len}
	}
	if t.null || t.op == opOptional {
		return optional(shape)
	}
	return shape
}

func optional(s caps.Shape) caps.Shape { return caps.Shape{Class: "optional", Elem: &s} }
