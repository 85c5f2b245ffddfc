package caps

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// shapeOf describes n, which stands inside the types of outer.
func shapeOf(n *node, outer []*node) Shape {
	s := Shape{Class: classes[n.op], Name: shapeName(n)}
	if s.Name != "" && slices.Contains(outer, n) { // whatever is inside itself is so through a type with a name
		return Shape{Class: "again", Name: s.Name}
	}
	outer = append(outer, n)
	switch n.op {
	case opArray, opByteArray:
		s.Len = n.len
	}
	if n.key != nil {
		key := shapeOf(n.key, outer)
		s.Key = &key
	}
	if n.elem != nil {
		elem := shapeOf(n.elem, outer)
		s.Elem = &elem
	}
	for _, f := range n.fields {
		s.Fields = append(s.Fields, Field{f.name, f.was, shapeOf(f.node, outer)})
	}
	return s
}

// shapeName is empty for what the class already says.
func shapeName(n *node) string {
	if n.typ.PkgPath() == "" || n.typ == timeType || n.typ == refType || n.typ == valueType {
		return ""
	}
	return goName(n.typ)
}

// Same reports whether what one type encodes the other decodes, both ways. Names of types
// and the order of fields play no part in it.
func (s Shape) Same(o Shape) bool { return len(s.Diff(o)) == 0 }

// String is the shape much as Go would write it: "struct{Owner string; Balance int64}".
func (s Shape) String() string {
	switch s.Class {
	case "list":
		return "[]" + s.Elem.String()
	case "array":
		return "[" + strconv.Itoa(s.Len) + "]" + s.Elem.String()
	case "bytes":
		if s.Len > 0 {
			return "[" + strconv.Itoa(s.Len) + "]byte"
		}
	case "map":
		return "map[" + s.Key.String() + "]" + s.Elem.String()
	case "optional":
		return "*" + s.Elem.String()
	case "again":
		return s.Name
	case "struct":
		fields := make([]string, len(s.Fields))
		for i, f := range s.Fields {
			fields[i] = f.Name + " " + f.Shape.String()
		}
		return "struct{" + strings.Join(fields, "; ") + "}"
	}
	return string(s.Class)
}

// Brief is String with names of types in place of the structs that have one: "[]bank.Line".
// Structs without one are "struct".
func (s Shape) Brief() string {
	var prefix strings.Builder
	for {
		switch {
		case s.Class == "list":
			prefix.WriteString("[]")
		case s.Class == "array":
			prefix.WriteString("[" + strconv.Itoa(s.Len) + "]")
		case s.Class == "map" && s.Key != nil:
			prefix.WriteString("map[" + s.Key.Brief() + "]")
		case s.Class == "optional":
			prefix.WriteString("*")
		case s.Class == "struct" && s.Name != "":
			return prefix.String() + s.Name
		case s.Class == "struct":
			return prefix.String() + "struct"
		default:
			return prefix.String() + s.String()
		}
		if s.Elem == nil {
			return prefix.String()
		}
		s = *s.Elem
	}
}

// named is the shape with the name of its Go type: "bank.Cents (int64)".
func (s Shape) named() string {
	if s.Name == "" || s.Class == "again" {
		return shortened(s.String(), 200)
	}
	return s.Name + " (" + shortened(s.String(), 200) + ")"
}

// Change is one difference between an older and the program's shape of a type.
type Change struct {
	Path   string // of the field, "Items[].Price"; empty for the type itself
	Text   string // goes on after "version 1 has "
	Breaks bool   // what was stored cannot be loaded, or part of it would be lost
}

// Diff returns what is different in program, which is the same type later. Changes that do
// not break: a field is new, was renamed with a tag, an integer or float became wider of
// the same sort, something became optional or a Value.
func (s Shape) Diff(program Shape) []Change {
	d := differ{}
	d.shapes("", s, program)
	return d.changes
}

// differ compares two shapes side by side; old and now are the types around.
type differ struct {
	old, now []Shape
	changes  []Change
}

func (d *differ) add(path string, breaks bool, format string, args ...any) {
	d.changes = append(d.changes, Change{path, strings.TrimSpace(fmt.Sprintf(format, args...)), breaks})
}

func (d *differ) shapes(path string, old, now Shape) {
	if now.Class == "optional" && old.Class != "optional" {
		d.add(path, false, "%s %s, which is now optional", path, old.named())
		now = *now.Elem
	}
	switch {
	case old.Class == "again" && now.Class == "again":
		if back(d.old, old.Name) != back(d.now, now.Name) {
			d.changed(path, old, now, true)
		}
	case isStruct(old) && isStruct(now) && (old.Class != "done" || now.Class != "done"):
		d.nested(old, now, func() { d.fields(path, old, now) })
	case old.Class != now.Class:
		d.changed(path, old, now, !widens(old.Class, now.Class))
	case old.Len != now.Len:
		d.changed(path, old, now, true)
	default:
		d.nested(old, now, func() {
			if old.Key != nil && now.Key != nil {
				d.shapes(path+"[key]", *old.Key, *now.Key)
			}
			if old.Elem != nil && now.Elem != nil {
				d.shapes(path+brackets(old.Class), *old.Elem, *now.Elem)
			}
		})
	}
}

func isStruct(s Shape) bool { return s.Class == "struct" || s.Class == "done" }

func brackets(c Class) string {
	if c == "optional" {
		return ""
	}
	return "[]"
}

func (d *differ) nested(old, now Shape, inside func()) {
	d.old, d.now = append(d.old, old), append(d.now, now)
	inside()
	d.old, d.now = d.old[:len(d.old)-1], d.now[:len(d.now)-1]
}

// back is how many types further out the type called name stands.
func back(outer []Shape, name string) int {
	for i := range outer {
		if outer[len(outer)-1-i].Name == name {
			return i
		}
	}
	return -1
}

func (d *differ) changed(path string, old, now Shape, breaks bool) {
	d.add(path, breaks, "%s %s; the program has %s", path, old.named(), strings.TrimSpace(path+" "+now.named()))
}

// widens reports whether every value of class old is decoded by class now.
func widens(old, now Class) bool {
	if now == "value" {
		return true
	}
	for _, row := range [...][]Class{
		{"int8", "int16", "int32", "int64"},
		{"uint8", "uint16", "uint32", "uint64"},
		{"uint8", "int16", "int32", "int64"},
		{"uint16", "int32", "int64"},
		{"uint32", "int64"},
		{"float32", "float64"},
	} {
		if i := slices.Index(row, old); i >= 0 && slices.Index(row, now) > i {
			return true
		}
	}
	return false
}

func (d *differ) fields(path string, old, now Shape) {
	used := map[string]bool{}
	for _, f := range now.Fields {
		sub := join(path, f.Name)
		g := fieldNamed(old, f.Name)
		if g == nil && f.Was != "" {
			if g = fieldNamed(old, f.Was); g != nil {
				d.add(sub, false, "field %s, which is now %s", join(path, f.Was), f.Name)
			}
		}
		if g == nil {
			d.add(sub, false, "no field %s, which the program has", sub)
			continue
		}
		used[g.Name] = true
		d.shapes(sub, g.Shape, f.Shape)
	}
	for _, f := range old.Fields {
		if !used[f.Name] {
			d.add(join(path, f.Name), true, "field %s, the program does not; its values would be dropped", join(path, f.Name))
		}
	}
}

func fieldNamed(s Shape, name string) *Field {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return &s.Fields[i]
		}
	}
	return nil
}
