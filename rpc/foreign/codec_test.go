package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"capnproto.org/go/capnp/v3"

	"github.com/sturdyrt/sturdy/caps"
)

// val makes a Value of what is known to be one.
func val(t testing.TB, v any) caps.Value {
	t.Helper()
	out, err := caps.ValueOf(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fieldsOf makes a struct of names and values in turns.
func fieldsOf(t testing.TB, parts ...any) caps.Value {
	t.Helper()
	list := []caps.Entry{}
	for i := 0; i < len(parts); i += 2 {
		list = append(list, caps.Entry{Key: val(t, parts[i]), Val: val(t, parts[i+1])})
	}
	return val(t, list)
}

// dump is v as text, with every bit of a number and every entry in its place.
func dump(v caps.Value) string {
	var b strings.Builder
	var walk func(caps.Value)
	walk = func(v caps.Value) {
		switch x := v.Any().(type) {
		case []caps.Value:
			b.WriteByte('[')
			for _, e := range x {
				walk(e)
				b.WriteByte(' ')
			}
			b.WriteByte(']')
		case []caps.Entry:
			b.WriteByte('{')
			for _, e := range x {
				walk(e.Key)
				b.WriteByte(':')
				walk(e.Val)
				b.WriteByte(' ')
			}
			b.WriteByte('}')
		case float64:
			if x != x {
				x = math.NaN() // which of them it is, text does not say
			}
			fmt.Fprintf(&b, "float64(%x)", math.Float64bits(x))
		case time.Time:
			b.WriteString(x.Format(time.RFC3339Nano))
		case caps.Ref:
			fmt.Fprintf(&b, "ref(%v)", x)
		default:
			fmt.Fprintf(&b, "%T(%#v)", x, x)
		}
	}
	walk(v)
	return b.String()
}

func generous(refs ...func(capnp.Client) (caps.Ref, error)) *reader {
	r := &reader{elements: 1 << 20, bytes: 1 << 20, refs: func(capnp.Client) (caps.Ref, error) {
		return caps.Ref{}, errors.New("no capability is wanted here")
	}}
	for _, f := range refs {
		r.refs = f
	}
	return r
}

func plenty() *writer {
	return &writer{limit: 1 << 20, refs: func(caps.Ref) (capnp.Client, error) {
		return capnp.Client{}, errors.New("no capability is wanted here")
	}}
}

// blank is a new struct in a message of its own.
func blank(t testing.TB, of *record) capnp.Struct {
	t.Helper()
	_, seg := capnp.NewSingleSegmentMessage(nil)
	s, err := capnp.NewRootStruct(seg, of.size)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// written is v in a message.
func written(t testing.TB, of *record, v caps.Value) capnp.Struct {
	t.Helper()
	s := blank(t, of)
	if err := plenty().record(s, of, v); err != nil {
		t.Fatalf("writing %s: %v", v, err)
	}
	return s
}

func framed(t testing.TB, s capnp.Struct) []byte {
	t.Helper()
	b, err := s.Message().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rooted is the struct that a message holds.
func rooted(t testing.TB, b []byte) capnp.Struct {
	t.Helper()
	m, err := capnp.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Root()
	if err != nil {
		t.Fatal(err)
	}
	return p.Struct()
}

func mustRead(t testing.TB, s capnp.Struct, of *record) caps.Value {
	t.Helper()
	v, err := generous().record(s, of)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// everything is the interfaces of testdata/every.capnp by their names.
func everything(t testing.TB) map[string]*iface {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "every.bin"))
	if err != nil {
		t.Fatal(err)
	}
	return byName(t, b)
}

func byName(t testing.TB, request []byte) map[string]*iface {
	t.Helper()
	list, err := load(request)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*iface{}
	for _, i := range list {
		out[i.label] = i
	}
	return out
}

// part is the struct in the field of that name, or what a list there has as elements.
func (of *record) part(t testing.TB, name string) *record {
	t.Helper()
	for _, d := range of.fields {
		if d.label == name {
			if d.typ.op == opList {
				return d.typ.elem.of
			}
			return d.typ.of
		}
	}
	t.Fatalf("no field %s", name)
	return nil
}

func everyRecord(t testing.TB) *record { return everything(t)["Both"].methods[0].params }

// compiler runs capnp in testdata, where it finds sturdy.capnp.
func compiler(t testing.TB, stdin []byte, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("capnp")
	if err != nil {
		t.Skip("SKIPPED: there is no capnp compiler (apt install capnproto)")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{args[0], "-I" + here}, args[1:]...)...)
	cmd.Dir = filepath.Join(here, "testdata")
	cmd.Stdin = bytes.NewReader(stdin)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("capnp %v: %v\n%s", args, err, &complaints)
	}
	return out
}

// TestCompiledSchemaIsOfTheSource: every.bin is what the compiler makes of every.capnp.
func TestCompiledSchemaIsOfTheSource(t *testing.T) {
	fresh := byName(t, compiler(t, nil, "compile", "-o-", "every.capnp"))
	if !reflect.DeepEqual(fresh, everything(t)) {
		t.Error("testdata/every.bin is not of every.capnp: in testdata, run `capnp compile -o- -I.. every.capnp >every.bin`")
	}
}

// TestFieldsOfEveryTypeAreWhatTheCompilerSays reads what `capnp encode` makes of text.
func TestFieldsOfEveryTypeAreWhatTheCompilerSays(t *testing.T) {
	of := everyRecord(t)
	for _, c := range []struct {
		name, text string
		part       string
		want       caps.Value
	}{
		{
			"numbers", `(numbers = (b = true, i8 = -128, i16 = -2, i32 = -3, i64 = -9223372036854775808, u8 = 255,
			u16 = 65535, u32 = 4294967295, u64 = 18446744073709551615, f32 = 0.5, f64 = -0.1, colour = lightBlue, c = true))`,
			"numbers", fieldsOf(t, "b", true, "i8", -128, "i16", -2, "i32", -3, "i64", int64(math.MinInt64), "u8", 255,
				"u16", 65535, "u32", 4294967295, "u64", uint64(math.MaxUint64), "f32", 0.5, "f64", -0.1,
				"colour", "lightBlue", "void", nil, "c", true),
		},
		{"defaults", `(defaults = ())`, "defaults", fieldsOf(t, "b", true, "i8", -3, "i16", -300, "i32", -70000,
			"i64", -5000000000, "u8", 200, "u16", 60000, "u32", 4000000000, "u64", uint64(18000000000000000000),
			"f32", 1.5, "f64", -2.25, "colour", "green", "text", "hello", "data", []byte{1, 2},
			"list", []any{1, -2}, "point", fieldsOf(t, "x", 3, "y", -7), "texts", []any{"a", ""},
			"points", []any{fieldsOf(t, "x", 1, "y", -7), fieldsOf(t, "x", 0, "y", 2)})},
		{
			"defaults that are set", `(defaults = (b = false, i8 = 0, u64 = 0, f32 = 0, colour = red, text = "", list = []))`,
			"defaults", fieldsOf(t, "b", false, "i8", 0, "i16", -300, "i32", -70000,
				"i64", -5000000000, "u8", 200, "u16", 60000, "u32", 4000000000, "u64", 0,
				"f32", 0.0, "f64", -2.25, "colour", "red", "text", "", "data", []byte{1, 2},
				"list", []any{}, "point", fieldsOf(t, "x", 3, "y", -7), "texts", []any{"a", ""},
				"points", []any{fieldsOf(t, "x", 1, "y", -7), fieldsOf(t, "x", 0, "y", 2)}),
		},
		{"a union's void", `(shape = (name = "n"))`, "shape", fieldsOf(t, "name", "n", "nothing", true, "area", 0.0)},
		{"a union's number", `(shape = (circle = 2))`, "shape", fieldsOf(t, "name", "", "circle", 2.0, "area", 0.0)},
		{
			"a union's group", `(shape = (pair = (a = 4, b = "x")))`, "shape",
			fieldsOf(t, "name", "", "pair", fieldsOf(t, "a", 4, "b", "x"), "area", 0.0),
		},
		{"a union's enum", `(shape = (colour = green))`, "shape", fieldsOf(t, "name", "", "colour", "green", "area", 0.0)},
		{
			"a named union", `(group = (one = 7, two = (right = "r")))`, "group",
			fieldsOf(t, "one", 7, "two", fieldsOf(t, "right", "r")),
		},
		{"a time", `(time = (seconds = -1, nanoseconds = 999999999))`, "time", val(t, time.Unix(-1, 999999999))},
		{
			"a value", `(value = (record = [(key = (text = "k"), value = (list = [(int = -1), (null = void), (bool = true)]))]))`,
			"value", fieldsOf(t, "k", []any{-1, nil, true}),
		},
		{
			"a tree", `(tree = (label = "a", left = (label = "b"), more = [(label = "c"), ()]))`, "tree",
			fieldsOf(t, "label", "a", "left", fieldsOf(t, "label", "b", "more", nil), "more",
				[]any{fieldsOf(t, "label", "c", "more", nil), fieldsOf(t, "label", "", "more", nil)}),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := mustRead(t, rooted(t, compiler(t, []byte(c.text), "encode", "every.capnp", "Every")), of)
			if got := entry(all, c.part); dump(got) != dump(c.want) {
				t.Errorf("got  %s\nwant %s", dump(got), dump(c.want))
			}
		})
	}
}

// entry is the value at key; nil if there is none.
func entry(v caps.Value, key string) caps.Value {
	list, _ := v.Any().([]caps.Entry)
	for _, e := range list {
		if e.Key.Any() == key {
			return e.Val
		}
	}
	return caps.Value{}
}

// TestLayoutOfValueIsThatOfTheCompiler: value.go has the layout of sturdy.capnp by hand.
func TestLayoutOfValueIsThatOfTheCompiler(t *testing.T) {
	// A struct of another id is no Value to load, and so its layout shows.
	source, err := os.ReadFile("sturdy.capnp")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("0xd7e85c10f3b9a246", "0xd7e85c10f3b9a247", "0x8c2f6be4a97d0135", "0x8c2f6be4a97d0136").
		Replace(string(source)) + "\ninterface Show { show @0 (value :Value, time :Time) -> (); }\n"
	file := filepath.Join(t.TempDir(), "show.capnp")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	of := byName(t, compiler(t, nil, "compile", "-o-", file))["Show"].methods[0].params
	v := of.part(t, "value")
	if v.size != valueSize() || !v.choice || v.tagAt != uint32(valueTag) {
		t.Errorf("a Value of %v with the tag at %d", v.size, v.tagAt)
	}
	want := []struct {
		name   string
		tag    uint16
		offset uint32
	}{
		{"null", tagNull, 0},
		{"bool", tagBool, uint32(valueBool)},
		{"int", tagInt, uint32(valueWord)},
		{"uint", tagUint, uint32(valueWord)},
		{"float", tagFloat, uint32(valueWord)},
		{"text", tagText, 0},
		{"data", tagData, 0},
		{"time", tagTime, 0},
		{"ref", tagRef, 0},
		{"list", tagList, 0},
		{"record", tagRecord, 0},
	}
	if len(v.fields) != len(want) {
		t.Fatalf("%d fields", len(v.fields))
	}
	for i, w := range want {
		if d := v.fields[i]; d.label != w.name || d.tag != w.tag || d.offset != w.offset {
			t.Errorf("%s has tag %d and offset %d, want %v", d.label, d.tag, d.offset, w)
		}
	}
	e := v.part(t, "record")
	if e.size != entrySize() || e.fields[0].offset != entryKey || e.fields[1].offset != entryValue {
		t.Errorf("an Entry of %v", e.size)
	}
	m := of.part(t, "time")
	if m.size != timeSize() || m.fields[0].offset != uint32(timeSeconds) || m.fields[1].offset != uint32(timeNanoseconds) {
		t.Errorf("a Time of %v", m.size)
	}
}
