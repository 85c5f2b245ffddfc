package sturdy

import (
	"slices"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
)

// Programs in other languages know methods and fields by numbers. Go programs do not, so the
// world gives them: KindInfo.Ordinals lists, in the order in which the world first saw them,
//
//	transfer                      a method
//	transfer( Amount int64        a field of its argument; the type as Shape.Brief has it
//	transfer) - bool              its result, which is no struct
//	bank.Line Text string         a field of a struct inside
//	transfer(.Lines[] Text string one of a struct that has no name, by where it stands
//	transfer( Cents=Amount int64  no field of its own: Amount has been renamed with a tag
//
// The number of a method is how many methods stand before it, that of a field how many fields
// of the same struct do. What changes its type is a new field. Nothing leaves the list, so
// that no number ever means two things. Two fields can stand there with the same text, if the
// first was renamed: the name is that of the later one then.

// ordinals is such a list that grows.
type ordinals struct {
	texts  []string
	number map[string]int // of a method or field by its text, an index of texts
	holder map[int]string // the newest text of what was renamed
	outer  []*nesting
}

// nesting is a shape around the one that is looked at.
type nesting struct {
	shape *caps.Shape
	whole string // of an argument or result: what it is called; else empty
}

// numbered is texts with what ms have and it lacks behind.
func numbered(texts []string, ms []MethodInfo) []string {
	o := ordinals{texts: slices.Clip(texts), number: map[string]int{}, holder: map[int]string{}}
	for i, text := range texts {
		o.learn(i, text)
	}
	for i := range ms {
		m := &ms[i]
		if m.Name == "" || strings.ContainsAny(m.Name, " ()=") {
			continue // no text would be read as it was meant
		}
		o.add(m.Name)
		o.whole(m.Name+"(", &m.Arg)
		o.whole(m.Name+")", &m.Result)
	}
	return o.texts
}

// learn takes in the i-th text.
func (o *ordinals) learn(i int, text string) {
	scope, field, nested := strings.Cut(text, " ")
	name, typ, _ := strings.Cut(field, " ")
	now, was, renamed := strings.Cut(name, "=")
	if !nested || !renamed {
		o.number[text] = i
		return
	}
	if n, ok := o.number[scope+" "+was+" "+typ]; ok {
		text = scope + " " + now + " " + typ
		o.number[text], o.holder[n] = n, text
	}
}

func (o *ordinals) add(text string) {
	if _, ok := o.number[text]; !ok {
		o.push(text)
	}
}

func (o *ordinals) push(text string) {
	o.texts = append(o.texts, text)
	o.learn(len(o.texts)-1, text)
}

// whole adds an argument or a result.
func (o *ordinals) whole(scope string, s *caps.Shape) {
	switch s.Class {
	case "done":
	case "struct":
		o.nested(&nesting{s, scope}, func() { o.fields(scope, s) })
	default:
		o.fields(scope, &caps.Shape{Fields: []caps.Field{{Name: "-", Shape: *s}}})
	}
}

func (o *ordinals) nested(n *nesting, inside func()) {
	o.outer = append(o.outer, n)
	inside()
	o.outer = o.outer[:len(o.outer)-1]
}

// fields adds the fields of a struct, and what is inside them.
func (o *ordinals) fields(scope string, s *caps.Shape) {
	for i := range s.Fields {
		o.field(scope, s, &s.Fields[i])
	}
	for i := range s.Fields {
		o.inside(scope+"."+s.Fields[i].Name, &s.Fields[i].Shape)
	}
}

func (o *ordinals) field(scope string, s *caps.Shape, f *caps.Field) {
	typ := " " + f.Shape.Brief()
	text := scope + " " + f.Name + typ
	n, known := o.number[text]
	if holder := o.holder[n]; known && holder != "" && holder != text && has(s, scope, holder) {
		// Another field has the number under its new name: this one is new.
		o.push(text)
		return
	}
	if _, was := o.number[scope+" "+f.Was+typ]; !known && f.Was != "" && was {
		o.push(scope + " " + f.Name + "=" + f.Was + typ)
		return
	}
	o.add(text)
}

// has reports whether s, which is called scope, has the field with that text.
func has(s *caps.Shape, scope, text string) bool {
	return slices.ContainsFunc(s.Fields, func(f caps.Field) bool { return scope+" "+f.Name+" "+f.Shape.Brief() == text })
}

// inside adds the structs in a type that stands at path.
func (o *ordinals) inside(path string, s *caps.Shape) {
	switch s.Class {
	case "again":
		o.again(s)
	case "struct":
		o.nested(&nesting{shape: s}, func() { o.fields(structName(path, s), s) })
	default:
		o.nested(&nesting{shape: s}, func() {
			if s.Key != nil {
				o.inside(path+"[key]", s.Key)
			}
			if s.Elem != nil {
				o.inside(path+mark(s.Class), s.Elem)
			}
		})
	}
}

// mark is what the path of an element has more.
func mark(c caps.Class) string {
	if c == "optional" {
		return ""
	}
	return "[]"
}

// structName is what a struct is called in the list.
func structName(path string, s *caps.Shape) string {
	if s.Name == "" || strings.ContainsAny(s.Name, " ()") {
		return path
	}
	return s.Name
}

// again: what is inside itself has been added where it began, unless that is a whole argument
// or result: inside itself it is a struct with a name of its own.
func (o *ordinals) again(s *caps.Shape) {
	for i, n := range slices.Backward(o.outer) {
		if n.shape.Name != s.Name {
			continue
		}
		if n.whole != "" && n.shape.Class == "struct" {
			outer := o.outer
			o.outer = append(outer[:i:i], &nesting{shape: n.shape})
			o.fields(structName(n.whole, n.shape), n.shape)
			o.outer = outer
		}
		return
	}
}
