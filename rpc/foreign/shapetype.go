package foreign

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
)

// plainClasses are the types that need nothing else, by their class and by what Ordinals call them.
func plainClasses() []string {
	return []string{
		opVoid: "done", opBool: "bool", opInt8: "int8", opInt16: "int16", opInt32: "int32", opInt64: "int64",
		opUint8: "uint8", opUint16: "uint16", opUint32: "uint32", opUint64: "uint64", opFloat32: "float32", opFloat64: "float64",
		opText: "string", opData: "bytes", opTime: "time", opValue: "value", opRef: "ref",
	}
}

func plain(class string) (op, bool) {
	at := slices.Index(plainClasses(), class)
	return op(max(at, 0)), at >= 0 && class != ""
}

// goneType is the type of a field of which nothing but its name in Ordinals is left.
func goneType(name string) typ {
	if op, ok := plain(name); ok {
		return typ{op: op}
	}
	if n, ok := strings.CutSuffix(name, "]byte"); ok && strings.HasPrefix(n, "[") && len(n) > 1 {
		return typ{op: opData}
	}
	return typ{op: opStruct} // some pointer
}

// typ is the type of a shape at path.
func (b *builder) typ(path string, s *caps.Shape) (t typ, err error) {
	if op, ok := plain(string(s.Class)); ok {
		return typ{op: op, len: s.Len}, nil
	}
	if s.Class == "again" {
		return b.again(s)
	}
	f := &frame{shape: s, path: path}
	b.outer = append(b.outer, f)
	defer b.pop()
	switch s.Class {
	case "struct":
		t, err = b.structure(f)
	case "map":
		t, err = b.mapping(f)
	case "list", "array":
		t, err = b.list(f)
	case "optional":
		t, err = b.optional(f)
	default:
		return t, fmt.Errorf("a type of the unknown class %.100q", s.Class)
	}
	if f.box != nil {
		f.box.fields[0].typ = t
	}
	return t, err
}

func (b *builder) structure(f *frame) (typ, error) {
	s := b.scope(scopeOf(f.path, f.shape))
	if s.label == "" { // a stranger's, without fields
		s.label = b.labels.unique(structLabels(s.name)...)
	}
	f.of = &record{label: s.label}
	return typ{op: opStruct, of: f.of}, b.fill(f.of, s, f.shape.Fields)
}

// scopeOf is what Ordinals call a struct: by its type, or by where it stands if it has no name
// or one with a space in it.
func scopeOf(path string, s *caps.Shape) string {
	if s.Name == "" || strings.ContainsAny(s.Name, " ()") {
		return path
	}
	return s.Name
}

func (b *builder) mapping(f *frame) (typ, error) {
	f.of = &record{
		label:  b.helper(f, strings.TrimSuffix(structLabels(f.path)[0], "Entry")+"Entry"),
		fields: []*field{{ordinal: 0, name: "key", label: "key"}, {ordinal: 1, name: "value", label: "value"}},
	}
	if b.left -= 2; b.left < 0 {
		return typ{}, fmt.Errorf("its structs have more than %d fields together", mostFields)
	}
	for i, part := range [...]*caps.Shape{f.shape.Key, f.shape.Elem} {
		t, err := b.typ(f.path+[]string{"[key]", "[]"}[i], part)
		if err != nil {
			return typ{}, err
		}
		f.of.fields[i].typ = t
	}
	var err error
	f.of.size, err = layout(f.of.fields)
	return typ{op: opMap, of: f.of}, err
}

func (b *builder) list(f *frame) (typ, error) {
	elem, err := b.typ(f.path+"[]", f.shape.Elem)
	if err != nil {
		return typ{}, err
	}
	inline := elem.op == opStruct || elem.op == opTime || elem.op == opValue
	if elem.op == opOptional || elem.null && inline { // it has no null in a list
		box := b.box(b.helper(f, typeLabel(f.shape.Elem.Elem, &elem)+"OrNull"), elem)
		elem = typ{op: opStruct, of: box}
	}
	return typ{op: opList, elem: &elem, len: f.shape.Len}, nil
}

// optional is a pointer: the type itself if that can be null, else a struct that can.
func (b *builder) optional(f *frame) (typ, error) {
	t, err := b.typ(f.path, f.shape.Elem)
	if err != nil {
		return typ{}, err
	}
	switch t.op {
	case opText, opData, opList, opStruct, opMap, opTime, opValue:
		if !t.null && (t.op != opStruct || !t.of.bare) {
			t.null = true
			return t, nil
		}
	}
	return typ{op: opOptional, of: b.box(b.helper(f, "Optional"+typeLabel(f.shape.Elem, &t)), t)}, nil
}

// box is a struct that holds nothing but a value.
func (b *builder) box(label string, t typ) *record {
	r := &record{label: label, bare: true, fields: []*field{{label: "value", typ: t}}}
	r.size, _ = layout(r.fields) // one field fits
	return r
}

// again is the type of what stands around it under the same name.
func (b *builder) again(s *caps.Shape) (typ, error) {
	for _, f := range slices.Backward(b.outer) {
		if f.shape.Name != s.Name || s.Name == "" {
			continue
		}
		switch {
		case f.shape.Class == "map":
			return typ{op: opMap, of: f.of}, nil
		case f.shape.Class != "struct":
			if f.box == nil {
				f.box = b.box(b.helper(f, structLabels(s.Name)[0]), typ{op: opStruct}) // typ puts in what it is
			}
			return typ{op: opStruct, of: f.box}, nil
		case f.of == nil: // a whole argument: as part of itself it is a struct like any
			inner := &frame{shape: f.shape, path: f.path}
			b.outer = append(b.outer, inner)
			defer b.pop()
			t, err := b.structure(inner)
			f.of = t.of
			return t, err
		}
		return typ{op: opStruct, of: f.of}, nil
	}
	return typ{}, fmt.Errorf("a type inside itself, %.100q, which does not stand around it", s.Name)
}

// helper is the label of a struct that is made for f, the same for all that are alike.
func (b *builder) helper(f *frame, want string) string {
	key := want + " " + f.shape.Brief()
	if strings.HasSuffix(key, "struct") { // there may be others of no name
		key += " " + f.path
	}
	if b.made[key] == "" {
		b.made[key] = b.labels.unique(want)
	}
	return b.made[key]
}

// typeLabel is a type in the label of a struct that is made for it.
func typeLabel(s *caps.Shape, t *typ) string {
	switch {
	case t.of != nil && t.of.label != "":
		return t.of.label
	case t.op == opList:
		return typeLabel(s.Elem, t.elem) + "List"
	}
	return t.base()
}
