package foreign

import (
	"os"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
)

// TestAnInterfaceIsDescribedAsAKindIs: every type there is, as it is called by people.
func TestAnInterfaceIsDescribedAsAKindIs(t *testing.T) {
	b, err := os.ReadFile("testdata/every.bin")
	check(t, err)
	all, err := load(b)
	check(t, err)
	for _, f := range all {
		if f.label != "Both" {
			continue
		}
		for _, c := range []struct{ method, arg, result string }{
			{"size", "done", "struct{width int32; height int32}"},
			{"same", "int32", "done"},
			{"flow", "bytes", "done"},
			{"refs", "struct{one ref; two []ref; three ref}", "ref"},
		} {
			for _, m := range f.methods {
				arg, result := shapeOf(m.params).String(), shapeOf(m.results).String()
				if m.name == c.method && (arg != c.arg || result != c.result) {
					t.Errorf("%s takes %s and returns %s", m.name, arg, result)
				}
			}
		}
		for _, m := range f.methods {
			if m.name == "echo" {
				everyShape(t, shapeOf(m.params))
			}
		}
		return
	}
	t.Fatal("there is no Both")
}

// everyShape checks what is special in the struct Every: unions, groups, and types in themselves.
func everyShape(t *testing.T, s caps.Shape) {
	part := func(s caps.Shape, name string) caps.Shape {
		t.Helper()
		for _, f := range s.Fields {
			if f.Name == name {
				if f.Shape.Class == "optional" {
					return *f.Shape.Elem
				}
				return f.Shape
			}
		}
		t.Fatalf("%v has no field %s", s, name)
		return s
	}
	for _, c := range []struct {
		path []string
		want string
	}{
		{[]string{"tree", "left"}, "again"},
		{[]string{"tree", "more"}, "list"},
		{[]string{"shape", "nothing"}, "bool"},
		{[]string{"shape", "inner"}, "again"},
		{[]string{"shape", "pair", "a"}, "int16"},
		{[]string{"shape", "colour"}, "string"},
		{[]string{"group", "two", "right"}, "string"},
		{[]string{"time"}, "time"},
		{[]string{"value"}, "value"},
	} {
		at := s
		for _, name := range c.path {
			at = part(at, name)
		}
		if string(at.Class) != c.want {
			t.Errorf("%v is %v, want %s", c.path, at, c.want)
		}
	}
	for _, f := range part(s, "shape").Fields {
		if union := f.Name != "name" && f.Name != "area"; union != (f.Shape.Class == "optional") {
			t.Errorf("%s of the union is %v", f.Name, f.Shape)
		}
	}
}

// TestTypesThatHoldManyOfEachOtherAreDescribedInPart: each struct has two of the next.
func TestTypesThatHoldManyOfEachOtherAreDescribedInPart(t *testing.T) {
	last := structOf("Last", named("n", typ{op: opInt64}))
	for range 60 {
		next := typ{op: opStruct, of: last, null: true}
		last = structOf(last.label+"x", named("a", next), named("b", next))
	}
	if n := len(shapeOf(last).String()); n > 1<<18 {
		t.Errorf("%d bytes", n)
	}
	box := &record{label: "Box", bare: true, fields: []*field{{label: "value"}}} // a list of itself
	box.fields[0].typ = typ{op: opList, elem: &typ{op: opStruct, of: box}}
	if s := shapeOf(box); s.String() != "[]value" {
		t.Error(s)
	}
}
