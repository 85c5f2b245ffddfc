package foreign

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/std/capnp/schema"

	"github.com/sturdyrt/sturdy/caps"
)

// TestMethodsOfASchema: those that are inherited come last, under the number and the interface
// that they have, the nearer first.
func TestMethodsOfASchema(t *testing.T) {
	all := everything(t)
	name := func(m *method) string {
		for label, i := range all {
			if i.id == m.in {
				return fmt.Sprintf("%s=%s@%d", m.name, label, m.ordinal)
			}
		}
		return m.name + "=nowhere"
	}
	for label, want := range map[string]string{
		"Named": "name=Named@0 same=Named@1",
		"Sized": "size=Sized@0 name=Sized@1 Named.name=Named@0 same=Named@1",
		"Both": "echo=Both@0 any=Both@1 box=Both@2 knot=Both@3 generic=Both@4 refs=Both@5 flow=Both@6 " +
			"size=Sized@0 name=Sized@1 Named.name=Named@0 same=Named@1",
	} {
		var got []string
		for _, m := range all[label].methods {
			got = append(got, name(m))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s has\n%s, want\n%s", label, strings.Join(got, " "), want)
		}
	}
	if k := all["Both"].kind; k != "every.capnp:Both" {
		t.Errorf("its kind is %q", k)
	}
}

// TestMethodsWithWhatHasNoShapeSayWhy, and the others are not in the way of that.
func TestMethodsWithWhatHasNoShapeSayWhy(t *testing.T) {
	for _, m := range everything(t)["Both"].methods {
		want := map[string]string{
			"any": "the field what, which is an AnyPointer", "knot": "Knit has the field any, which is an AnyPointer",
			"box": "Box has the field value, whose type is a parameter of a generic type",
		}[m.name]
		if m.name == "generic" {
			want = "a parameter of a generic type"
		}
		if want == "" && m.refused != "" || !strings.Contains(m.refused, want) {
			t.Errorf("%s: %q, want %q", m.name, m.refused, want)
		}
	}
}

// TestParametersThatAreOneValueAreBare, by their name only, and not those of a named struct.
func TestParametersThatAreOneValueAreBare(t *testing.T) {
	for _, m := range everything(t)["Both"].methods {
		want := map[string][2]bool{"same": {true, false}, "knot": {false, true}, "Named.name": {false, true}, "refs": {false, true}, "flow": {true, false}}[m.name]
		if m.params.bare != want[0] || m.results.bare != want[1] {
			t.Errorf("%s is bare: %v and %v, want %v", m.name, m.params.bare, m.results.bare, want)
		}
	}
}

// TestCapabilitiesInASchema, alone, in lists, and of any interface.
func TestCapabilitiesInASchema(t *testing.T) {
	peers := newStandIns(t, 3)
	m := everything(t)["Both"].methods[5]
	v := fieldsOf(t, "one", peers.refs[0], "two", []any{peers.refs[1], caps.Ref{}}, "three", peers.refs[2])
	w, s := plenty(), blank(t, m.params)
	w.refs = peers.client
	if err := w.record(s, m.params, v); err != nil {
		t.Fatal(err)
	}
	got, err := generous(peers.ref).record(sent(t, s), m.params)
	if err != nil || dump(got) != dump(v) {
		t.Errorf("read %s, %v; want %s", got, err, v)
	}
	s.Message().Release()
}

// TestABaseSchemaLoads: ours, with its Value and Time as what they are here.
func TestABaseSchemaLoads(t *testing.T) {
	all := byName(t, compiler(t, nil, "compile", "-o-", "../sturdy.capnp"))
	call, save := all["Ref"].methods[0], all["Ref"].methods[4]
	if call.in != 0xa9b0c4e5d6f70213 || call.params.fields[1].typ.op != opValue {
		t.Errorf("call is in %x with %v", call.in, call.params.fields[1].typ)
	}
	if terms := save.params.part(t, "terms"); terms.fields[1].typ.op != opTime {
		t.Errorf("until is %v", terms.fields[1].typ)
	}
}

func request(t testing.TB) schema.CodeGeneratorRequest {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "every.bin"))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := capnp.NewSingleSegmentMessage(nil) // what was unmarshalled has no room for more
	if err := m.SetRoot(rooted(t, b).ToPtr()); err != nil {
		t.Fatal(err)
	}
	root, err := m.Root()
	if err != nil {
		t.Fatal(err)
	}
	return schema.CodeGeneratorRequest(root.Struct())
}

// nodeOf finds the node whose name ends in that.
func nodeOf(t testing.TB, r schema.CodeGeneratorRequest, name string) schema.Node {
	t.Helper()
	nodes, err := r.Nodes()
	if err != nil {
		t.Fatal(err)
	}
	for i := range nodes.Len() {
		if full, _ := nodes.At(i).DisplayName(); strings.HasSuffix(full, ":"+name) {
			return nodes.At(i)
		}
	}
	t.Fatalf("no %s", name)
	return schema.Node{}
}

func fieldNode(t testing.TB, n schema.Node, i int) schema.Field {
	t.Helper()
	list, err := n.StructNode().Fields()
	if err != nil {
		t.Fatal(err)
	}
	return list.At(i)
}

// TestASchemaThatLiesIsRefused: each of these would be read or written outside of a struct,
// without an end, or with names that do something to a terminal.
func TestASchemaThatLiesIsRefused(t *testing.T) {
	for _, c := range []struct {
		says string
		lie  func(r schema.CodeGeneratorRequest)
	}{
		{"Numbers: field i64: it is outside of the struct", func(r schema.CodeGeneratorRequest) {
			fieldNode(t, nodeOf(t, r, "Numbers"), 4).Slot().SetOffset(7)
		}},
		{"outside of the struct", func(r schema.CodeGeneratorRequest) {
			fieldNode(t, nodeOf(t, r, "Numbers"), 4).Slot().SetOffset(1<<32 - 1)
		}},
		{"field b: it is outside", func(r schema.CodeGeneratorRequest) {
			fieldNode(t, nodeOf(t, r, "Numbers"), 0).Slot().SetOffset(1 << 31)
		}},
		{"its pointer is outside", func(r schema.CodeGeneratorRequest) { fieldNode(t, nodeOf(t, r, "Tree"), 0).Slot().SetOffset(4) }},
		{"its union is outside", func(r schema.CodeGeneratorRequest) {
			nodeOf(t, r, "Shape").StructNode().SetDiscriminantOffset(1 << 31)
		}},
		{"in a union that is not there", func(r schema.CodeGeneratorRequest) { fieldNode(t, nodeOf(t, r, "Tree"), 0).SetDiscriminantValue(1) }},
		{"has not the size of its struct", func(r schema.CodeGeneratorRequest) {
			nodeOf(t, r, "Every.group").StructNode().SetPointerCount(60000)
		}},
		{"is no group of it", func(r schema.CodeGeneratorRequest) {
			fieldNode(t, nodeOf(t, r, "Every"), 9).Group().SetTypeId(nodeOf(t, r, "Every").Id())
		}},
		{"is no group of it", func(r schema.CodeGeneratorRequest) { nodeOf(t, r, "Every.group").SetScopeId(7) }},
		{"is there twice", func(r schema.CodeGeneratorRequest) {
			again := fieldNode(t, nodeOf(t, r, "Every"), 10)
			again.SetGroup()
			again.Group().SetTypeId(nodeOf(t, r, "Every.group").Id())
		}},
		{"is no struct", func(r schema.CodeGeneratorRequest) { nodeOf(t, r, "Point").StructNode().SetIsGroup(true) }},
		{"is no enum", func(r schema.CodeGeneratorRequest) { nodeOf(t, r, "Colour").SetId(99) }},
		{"twice", func(r schema.CodeGeneratorRequest) { nodeOf(t, r, "Point").SetId(nodeOf(t, r, "Tree").Id()) }},
		{"is no interface", func(r schema.CodeGeneratorRequest) { nodeOf(t, r, "Named").SetId(99) }},
		{"is no name", func(r schema.CodeGeneratorRequest) {
			if err := fieldNode(t, nodeOf(t, r, "Tree"), 0).SetName("\x1b[2J"); err != nil {
				t.Fatal(err)
			}
		}},
		{"is no name", func(r schema.CodeGeneratorRequest) { _ = nodeOf(t, r, "Both").SetDisplayName("a\nb") }},
		{"the field left twice", func(r schema.CodeGeneratorRequest) { _ = fieldNode(t, nodeOf(t, r, "Tree"), 2).SetName("left") }},
		{"its default is of another type", func(r schema.CodeGeneratorRequest) {
			v, _ := fieldNode(t, nodeOf(t, r, "Numbers"), 4).Slot().DefaultValue()
			v.SetBool(true)
		}},
		{"its default is of another type", func(r schema.CodeGeneratorRequest) {
			v, _ := fieldNode(t, nodeOf(t, r, "Numbers"), 4).Slot().DefaultValue()
			_ = v.SetText("x")
		}},
	} {
		r := request(t)
		c.lie(r)
		_, err := load(framed(t, capnp.Struct(r)))
		if !errors.Is(err, caps.ErrBadArgument) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v\nwant %q", err, c.says)
		}
	}
}

// TestWhatIsNoSchemaIsRefused: no message, one that is cut short, and one that says nothing.
func TestWhatIsNoSchemaIsRefused(t *testing.T) {
	whole := framed(t, capnp.Struct(request(t)))
	for _, b := range [][]byte{nil, []byte("interface Account {}"), whole[:len(whole)/2], raw(0), raw(1 << 48)} {
		if _, err := load(b); !errors.Is(err, caps.ErrBadArgument) || !strings.Contains(err.Error(), "capnp compile -o-") {
			t.Errorf("%.40q: %v", b, err)
		}
	}
}

// TestAListOfItselfInASchemaEnds: a type that points to itself is a list without an end.
func TestAListOfItselfInASchemaEnds(t *testing.T) {
	r := request(t)
	typ, err := fieldNode(t, nodeOf(t, r, "Lists"), 0).Slot().Type()
	if err != nil {
		t.Fatal(err)
	}
	if err := capnp.Struct(typ).SetPtr(0, capnp.Struct(typ).ToPtr()); err != nil {
		t.Fatal(err)
	}
	if _, err := load(framed(t, capnp.Struct(r))); !errors.Is(err, caps.ErrBadArgument) {
		t.Error(err)
	}
}

// TestASchemaWithAByteChangedDoesNoHarm: whatever still loads can be written and read.
func TestASchemaWithAByteChangedDoesNoHarm(t *testing.T) {
	b := framed(t, capnp.Struct(request(t)))
	loaded := 0
	for seed := range uint64(1500) {
		d := rand.New(rand.NewPCG(seed, 2))
		hurt := slices.Clone(b)
		for range 1 + d.IntN(3) {
			hurt[16+d.IntN(len(hurt)-16)] = byte(d.Uint32())
		}
		list, err := load(hurt)
		if err != nil {
			continue
		}
		loaded++
		exercise(t, list, fmt.Sprintf("seed %d", seed))
	}
	if loaded < 100 {
		t.Errorf("only %d of them loaded", loaded)
	}
}

// exercise writes and reads what there is by default in everything that can be called.
func exercise(t testing.TB, list []*iface, where string) {
	for _, i := range list {
		for _, m := range i.methods {
			for _, of := range []*record{m.params, m.results} {
				s := blank(t, of)
				r := &reader{elements: 5000, bytes: 100000}
				v, err := r.record(s, of)
				if err != nil || m.refused != "" {
					continue
				}
				if err := plenty().record(s, of, v); err != nil && !strings.Contains(err.Error(), "capability") {
					t.Fatalf("%s: %s.%s: read %s, which is not written: %v", where, i.label, m.name, v, err)
				}
			}
		}
	}
}
