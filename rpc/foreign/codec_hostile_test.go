package foreign

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"capnproto.org/go/capnp/v3"

	"github.com/sturdyrt/sturdy/caps"
)

// at is the index of the pointer of a field.
func (of *record) at(t testing.TB, name string) uint16 {
	t.Helper()
	for _, d := range of.fields {
		if d.label == name {
			return uint16(d.offset)
		}
	}
	t.Fatalf("no field %s", name)
	return 0
}

func setPtr(t testing.TB, s capnp.Struct, i uint16, p capnp.Ptr) {
	t.Helper()
	if err := s.SetPtr(i, p); err != nil {
		t.Fatal(err)
	}
}

// child makes the struct of a field of s.
func child(t testing.TB, s capnp.Struct, i uint16, of *record) capnp.Struct {
	t.Helper()
	c, err := capnp.NewStruct(s.Segment(), of.size)
	if err != nil {
		t.Fatal(err)
	}
	setPtr(t, s, i, c.ToPtr())
	return c
}

// raw is a message of these words in one segment.
func raw(words ...uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(words)))
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

// refusedRead reads s and wants a bad argument that says all of that.
func refusedRead(t *testing.T, r *reader, s capnp.Struct, of *record, says ...string) {
	t.Helper()
	v, err := r.record(s, of)
	var e *caps.Error
	if !errors.As(err, &e) || e.Code != caps.ErrBadArgument {
		t.Fatalf("read %.200s with the error %v, want ErrBadArgument", v.String(), err)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\ndoes not say %q", err, part)
		}
	}
}

// TestAListOfNothingIsBounded: a word on the wire that says half a billion elements.
func TestAListOfNothingIsBounded(t *testing.T) {
	const root = 1 << 48 // a struct of one pointer, right after this one
	for name, words := range map[string][]uint64{
		"of empty structs": {root, 1 | 7<<32, (1<<29 - 1) << 2},
		"of void":          {root, 1 | (1<<29-1)<<35},
		"fewer than none":  {root, 1 | 7<<32, 0xffff_fffc},
	} {
		t.Run(name, func(t *testing.T) {
			elem := typ{op: opStruct, of: &record{}}
			if name == "of void" {
				elem = typ{op: opVoid}
			}
			of := &record{fields: []*field{{label: "list", typ: typ{op: opList, elem: &elem}}}}
			s := rooted(t, raw(words...))
			s.Message().ResetReadLimit(1 << 40) // ours is the limit that is looked at here
			refusedRead(t, generous(), s, of, "list", "too many values")
		})
	}
}

// fan is a list of a thousand pointers to the same place.
func fan(t testing.TB, s capnp.Struct, to capnp.Ptr) capnp.Ptr {
	t.Helper()
	l, err := capnp.NewPointerList(s.Segment(), 1000)
	for i := 0; err == nil && i < l.Len(); i++ {
		err = l.Set(i, to)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l.ToPtr()
}

// TestPointersToOnePlaceAreChargedEach: a thousand pointers to a thousand pointers and so on,
// a few kilobytes in all.
func TestPointersToOnePlaceAreChargedEach(t *testing.T) {
	every := everyRecord(t)
	of := every.part(t, "lists")
	t.Run("lists", func(t *testing.T) {
		s := blank(t, of)
		inner, _ := capnp.NewInt8List(s.Segment(), 1000)
		setPtr(t, s, of.at(t, "deep"), fan(t, s, fan(t, s, inner.ToPtr())))
		s.Message().ResetReadLimit(1 << 40)
		refusedRead(t, generous(), s, of, "deep[", "too many values")
	})
	t.Run("text", func(t *testing.T) {
		s := blank(t, of)
		text, _ := capnp.NewText(s.Segment(), strings.Repeat("x", 10000))
		setPtr(t, s, of.at(t, "texts"), fan(t, s, text.ToPtr()))
		refusedRead(t, generous(), s, of, "texts[104]", "too many bytes")
	})
	t.Run("itself", func(t *testing.T) {
		of := every.part(t, "tree")
		s := blank(t, of)
		setPtr(t, s, of.at(t, "left"), s.ToPtr())
		setPtr(t, s, of.at(t, "right"), s.ToPtr())
		refusedRead(t, generous(), s, of, "left.left")
	})
	t.Run("a value in itself", func(t *testing.T) {
		s := blank(t, every)
		v := child(t, s, every.at(t, "value"), &record{size: valueSize()})
		l, _ := capnp.NewCompositeList(s.Segment(), valueSize(), 2)
		for i := range l.Len() {
			l.Struct(i).SetUint16(valueTag, tagList)
			setPtr(t, l.Struct(i), 0, l.ToPtr())
		}
		v.SetUint16(valueTag, tagList)
		setPtr(t, v, 0, l.ToPtr())
		refusedRead(t, generous(), s, every, "value[0]")
	})
}

// TestWhatIsNestedTooDeepIsNeitherReadNorWritten, wherever the depth is.
func TestWhatIsNestedTooDeepIsNeitherReadNorWritten(t *testing.T) {
	of := everyRecord(t).part(t, "tree")
	v := fieldsOf(t, "label", "leaf")
	for range deepest - 2 {
		v = fieldsOf(t, "left", v)
	}
	s := blank(t, of)
	if err := plenty().record(s, of, v); err != nil {
		t.Fatal(err)
	}
	if _, err := generous().record(rooted(t, framed(t, s)), of); err != nil {
		t.Fatal(err)
	}
	v = fieldsOf(t, "left", v)
	if err := plenty().record(blank(t, of), of, v); err == nil || !strings.Contains(err.Error(), "nested deeper than 64") {
		t.Errorf("written: %v", err)
	}
	top := child(t, s, 1, of)
	for range 100 {
		top = child(t, top, 1, of)
	}
	refusedRead(t, generous(), s, of, "left.left", "nested deeper than 64")
}

// TestWhatIsOfAnotherTypeIsRefusedByTheNameOfItsField: a peer with another schema, or a bug.
func TestWhatIsOfAnotherTypeIsRefusedByTheNameOfItsField(t *testing.T) {
	every := everyRecord(t)
	lists := every.part(t, "lists")
	list := func(s capnp.Struct, width int, n int32) capnp.Ptr {
		l, err := newPlain(s.Segment(), width, n, opText)
		if err != nil {
			t.Fatal(err)
		}
		return l.ToPtr()
	}
	of := func(width int, n int32) func(capnp.Struct) capnp.Ptr {
		return func(s capnp.Struct) capnp.Ptr { return list(s, width, n) }
	}
	for _, c := range []struct {
		name, field string
		make        func(s capnp.Struct) capnp.Ptr
		says        string
	}{
		{"struct as text", "text", capnp.Struct.ToPtr, "a pointer to a struct; Text is wanted"},
		{"list as struct", "tree", of(8, 1), "a pointer to a list; a struct is wanted"},
		{"list as time", "time", of(8, 1), "a Time is wanted"},
		{"capability as data", "data", func(s capnp.Struct) capnp.Ptr {
			return capnp.NewInterface(s.Segment(), 0).ToPtr()
		}, "a pointer to a capability; Data is wanted"},
		{"numbers as data", "data", of(32, 4), "a list that is no data"},
		{"text without end", "text", func(s capnp.Struct) capnp.Ptr {
			l, _ := capnp.NewData(s.Segment(), []byte("abc"))
			return l.ToPtr()
		}, "a list that is no text"},
		{"text that is not UTF-8", "text", func(s capnp.Struct) capnp.Ptr {
			l, _ := capnp.NewTextFromBytes(s.Segment(), []byte("a\xff"))
			return l.ToPtr()
		}, "not UTF-8"},
		{"bytes as bools", "lists.bools", of(8, 1), "a list of something else than Bool"},
		{"bools as bytes", "lists.u8s", of(1, 9), "a list of something else than UInt8"},
		{"bools as structs", "lists.points", of(1, 9), "a list of something else"},
		{"narrow as wide", "lists.i64s", of(32, 2), "a list of something else than Int64"},
		{"numbers as texts", "lists.texts", of(64, 2), "a list of something else than Text"},
		{"struct as list", "lists.u8s", capnp.Struct.ToPtr, "a pointer to a struct; a List is wanted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := blank(t, every)
			in, of, field := s, every, c.field
			if rest, ok := strings.CutPrefix(field, "lists."); ok {
				in, of, field = child(t, s, every.at(t, "lists"), lists), lists, rest
			}
			setPtr(t, in, of.at(t, field), c.make(s))
			refusedRead(t, generous(), s, every, "field "+c.field+": ", c.says)
		})
	}
}

// TestArraysHaveTheirLength, written and read.
func TestArraysHaveTheirLength(t *testing.T) {
	one := func(kind typ) *record {
		return &record{size: capnp.ObjectSize{PointerCount: 1}, fields: []*field{{name: "a", label: "a", typ: kind}}}
	}
	for _, c := range []struct {
		kind typ
		v    caps.Value
	}{
		{typ{op: opData, len: 3}, fieldsOf(t, "a", []byte{1, 2})},
		{typ{op: opList, len: 3, elem: &typ{op: opInt8}}, fieldsOf(t, "a", []any{1, 2})},
	} {
		free := c.kind
		free.len = 0
		refusedRead(t, generous(), written(t, one(free), c.v), one(c.kind), "field a: 2 ", "; 3 are wanted")
		err := plenty().record(blank(t, one(c.kind)), one(c.kind), c.v)
		if err == nil || !strings.Contains(err.Error(), "; 3 are wanted") {
			t.Errorf("written: %v", err)
		}
	}
}

// TestCapabilitiesThatAreNotInTheMessage: an index that is too large, and one of nothing.
func TestCapabilitiesThatAreNotInTheMessage(t *testing.T) {
	of := &record{size: capnp.ObjectSize{PointerCount: 1}, fields: []*field{{label: "who", typ: typ{op: opRef}}}}
	s := blank(t, of)
	setPtr(t, s, 0, capnp.NewInterface(s.Segment(), 7).ToPtr())
	refusedRead(t, generous(), s, of, "who", "capability 7 of 0")
	s.Message().CapTable().Reset(make([]capnp.Client, 8)...)
	if v := mustRead(t, s, of); !entry(v, "").Any().(caps.Ref).IsNull() {
		t.Errorf("read %s", v)
	}
	busy := &caps.Error{Op: "import", Code: caps.ErrOverloaded}
	s.Message().CapTable().Set(7, capnp.ErrorClient(errors.New("x")))
	_, err := generous(func(capnp.Client) (caps.Ref, error) { return caps.Ref{}, busy }).record(s, of)
	if err != error(busy) {
		t.Errorf("the error of refs became %v", err)
	}
}

// TestTimesOutOfRange are neither read nor written.
func TestTimesOutOfRange(t *testing.T) {
	of := everyRecord(t)
	for says, at := range map[string][2]int64{
		"1000000000 nanoseconds": {0, 1e9}, "4294967295 nanoseconds": {0, 1<<32 - 1}, "outside of the years": {1 << 62, 0},
		"the years 1 to 9999": {-1 << 63, 0}, "1 to 9999": {lastSecond + 1, 0},
	} {
		s := blank(t, of)
		c := child(t, s, of.at(t, "time"), &record{size: timeSize()})
		c.SetUint64(timeSeconds, uint64(at[0]))
		c.SetUint32(timeNanoseconds, uint32(at[1]))
		refusedRead(t, generous(), s, of, "field time: ", says)
	}
	for _, at := range []int64{firstSecond, lastSecond, 0} {
		v := fieldsOf(t, "time", time.Unix(at, 999999999))
		if got := entry(mustRead(t, written(t, of, v), of), "time"); dump(got) != dump(entry(v, "time")) {
			t.Errorf("%s came back as %s", v, got)
		}
	}
	v := fieldsOf(t, "time", time.Unix(lastSecond+1, 0))
	if err := plenty().record(blank(t, of), of, v); !errors.Is(err, caps.ErrBadArgument) {
		t.Errorf("written: %v", err)
	}
}

// TestAnOlderPeerHasFewerFieldsAndANewerOneMore: what is missing is its default.
func TestAnOlderPeerHasFewerFieldsAndANewerOneMore(t *testing.T) {
	of := everyRecord(t).part(t, "defaults")
	old := &record{size: capnp.ObjectSize{DataSize: 8}, fields: of.fields[:2]}
	v := mustRead(t, written(t, old, fieldsOf(t, "b", false, "i8", 1)), of)
	for name, want := range map[string]any{"b": false, "i8": int64(1), "i64": int64(-5000000000), "text": "hello"} {
		if got := entry(v, name).Any(); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	v = mustRead(t, written(t, of, fieldsOf(t, "b", false, "i8", 1, "text", "more")), old)
	if want := fieldsOf(t, "b", false, "i8", 1); dump(v) != dump(want) {
		t.Errorf("read %s, want %s", v, want)
	}
}

// TestAListOfNumbersBecameAListOfStructs, which Cap'n Proto allows, and the other way round.
func TestAListOfNumbersBecameAListOfStructs(t *testing.T) {
	list := func(elem typ) *record {
		return &record{
			size:   capnp.ObjectSize{PointerCount: 1},
			fields: []*field{{name: "list", typ: typ{op: opList, elem: &elem}}},
		}
	}
	numbers := list(typ{op: opInt32})
	points := list(typ{op: opStruct, of: everyRecord(t).part(t, "lists").part(t, "points")})
	texts := list(typ{op: opText})
	trees := list(typ{op: opStruct, of: &record{
		size:   capnp.ObjectSize{PointerCount: 1},
		fields: []*field{{name: "label", typ: typ{op: opText}}},
	}})
	for _, c := range []struct {
		from, to  *record
		put, want caps.Value
	}{
		{numbers, points, val(t, []any{5, -6}), val(t, []any{fieldsOf(t, "x", 5, "y", -7), fieldsOf(t, "x", -6, "y", -7)})},
		{points, numbers, val(t, []any{fieldsOf(t, "x", 5, "y", 1)}), val(t, []any{5})},
		{texts, trees, val(t, []any{"a"}), val(t, []any{fieldsOf(t, "label", "a")})},
		{trees, texts, val(t, []any{fieldsOf(t, "label", "a")}), val(t, []any{"a"})},
	} {
		got := mustRead(t, written(t, c.from, fieldsOf(t, "list", c.put)), c.to)
		if dump(entry(got, "list")) != dump(c.want) {
			t.Errorf("%s was read as %s, want %s", c.put, got, c.want)
		}
	}
}

// TestAMapWithAKeyTwiceIsRefused, as caps has no such map.
func TestAMapWithAKeyTwiceIsRefused(t *testing.T) {
	pair := &record{
		size:   capnp.ObjectSize{DataSize: 8, PointerCount: 1},
		fields: []*field{{label: "key", typ: typ{op: opInt64}}, {label: "value", typ: typ{op: opText}}},
	}
	of := &record{
		size:   capnp.ObjectSize{PointerCount: 1},
		fields: []*field{{label: "stock", typ: typ{op: opMap, of: pair}}},
	}
	s := blank(t, of)
	l, _ := capnp.NewCompositeList(s.Segment(), pair.size, 2)
	setPtr(t, s, 0, l.ToPtr())
	refusedRead(t, generous(), s, of, "stock", "twice")
}

// TestWhatDoesNotFitIsNotWritten: errors name the field and what there is.
func TestWhatDoesNotFitIsNotWritten(t *testing.T) {
	of := everyRecord(t)
	number := func(name string, v any) caps.Value { return fieldsOf(t, "numbers", fieldsOf(t, name, v)) }
	for _, c := range []struct {
		v    caps.Value
		says string
	}{
		{number("i8", 128), "field numbers.i8: 128 is no Int8"},
		{number("u8", -1), "field numbers.u8: -1 is no UInt8"},
		{number("u32", 1<<32), "is no UInt32"},
		{number("i64", uint64(1<<63)), "is no Int64"},
		{number("i64", 1.0), "a float; Int64 is wanted"},
		{number("f32", 1e300), "1e+300 is no Float32"},
		{number("f64", 1<<53+1), "9007199254740993 is no Float64"},
		{number("b", nil), "field numbers.b: nil; Bool is wanted"},
		{number("colour", "blue"), `"blue" is not in the enum; there are: red, green, lightBlue`},
		{number("colour", "65536"), "is not in the enum"},
		{fieldsOf(t, "tekst", "x"), `no field is called "tekst"; there are: numbers, defaults, lists, text`},
		{fieldsOf(t, 1, "x"), "a map with the key 1"},
		{fieldsOf(t, "text", []byte{255}), "Text has to be UTF-8"},
		{fieldsOf(t, "text", "\xff"), "Text has to be UTF-8"},
		{fieldsOf(t, "data", "x"), "text; Data is wanted"},
		{fieldsOf(t, "tree", []any{}), "a list; a struct is wanted"},
		{
			fieldsOf(t, "lists", fieldsOf(t, "points", []any{fieldsOf(t, "x", 1), fieldsOf(t, "y", "z")})),
			"field lists.points[1].y: text; Int32 is wanted",
		},
		{fieldsOf(t, "shape", fieldsOf(t, "circle", 1.0, "tags", []any{})), "both circle and tags are set"},
		{fieldsOf(t, "group", fieldsOf(t, "two", fieldsOf(t, "left", 1, "neither", true))), "both left and neither are set"},
		{val(t, 5), "an integer; a struct is wanted"},
		{fieldsOf(t, "data", make([]byte, 1<<20+1)), "field data: larger than 1048576 bytes"},
	} {
		err := plenty().record(blank(t, of), of, c.v)
		if !errors.Is(err, caps.ErrBadArgument) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("writing %.200s: %v\nwant %q", c.v.String(), err, c.says)
		}
	}
}

// TestAWholeNumberIsAFloat where one is wanted, and nil members of a union are not set.
func TestAWholeNumberIsAFloat(t *testing.T) {
	of := everyRecord(t).part(t, "shape")
	v := mustRead(t, written(t, of, fieldsOf(t, "circle", 3, "tags", nil, "nothing", false, "area", -2)), of)
	if want := fieldsOf(t, "name", "", "circle", 3.0, "area", -2.0); dump(v) != dump(want) {
		t.Errorf("read %s, want %s", v, want)
	}
}
