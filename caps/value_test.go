package caps

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func checkText(t *testing.T, v Value) {
	t.Helper()
	if s := v.String(); strings.ContainsAny(s, "\n\r\x00") || len(s) > maxText+len("…") {
		t.Errorf("%q", s)
	}
}

// sameValue compares encodings, as NaN is not equal to itself.
func sameValue(v, w Value) bool {
	var a, b []Ref
	return string(v.append(nil, &a)) == string(w.append(nil, &b)) && reflect.DeepEqual(a, b)
}

func TestValueOfAndBack(t *testing.T) {
	r := NewMaker().Make(&thing{"alice"}, Full())
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	for _, c := range []struct {
		in, out any
		text    string
	}{
		{nil, nil, "nil"},
		{true, true, "true"},
		{7, int64(7), "7"},
		{int8(-7), int64(-7), "-7"},
		{uint(7), int64(7), "7"},
		{uint64(math.MaxUint64), uint64(math.MaxUint64), "18446744073709551615"},
		{uint64(math.MaxInt64), int64(math.MaxInt64), "9223372036854775807"},
		{float32(1), 1.0, "1.0"},
		{1e30, 1e30, "1e+30"},
		{math.Inf(-1), math.Inf(-1), "-Inf"},
		{"a\nb", "a\nb", `"a\nb"`},
		{Label("x"), "x", `"x"`},
		{Cents(3), int64(3), "3"},
		{[]byte("x\x00"), []byte("x\x00"), `b"x\x00"`},
		{Blob("x"), []byte("x"), `b"x"`},
		{[]byte(nil), nil, "nil"},
		{at, at.UTC(), "2026-01-02T02:04:05.000000006Z"},
		{r, r, "alice rwx"},
		{Typed{Account{r}}, r, "alice rwx"},
		{Value{int64(1)}, int64(1), "1"},
		{[]any{1, nil}, []Value{{int64(1)}, {}}, "[1, nil]"},
		{[]any(nil), nil, "nil"},
		{[]Value{}, []Value{}, "[]"},
		{map[string]any{"b": 1, "a": []any{}}, []Entry{{Value{"a"}, Value{[]Value{}}}, {Value{"b"}, Value{int64(1)}}}, `{"a": [], "b": 1}`},
		{[]Entry{{Value{2.5}, Value{}}, {Value{false}, Value{"x"}}}, []Entry{{Value{2.5}, Value{}}, {Value{false}, Value{"x"}}}, `{2.5: nil, false: "x"}`},
	} {
		v, err := ValueOf(c.in)
		if err != nil {
			t.Errorf("%#v: %v", c.in, err)
			continue
		}
		if !reflect.DeepEqual(v.Any(), c.out) || v.String() != c.text {
			t.Errorf("%#v: %#v, %s", c.in, v.Any(), v)
		}
		body, slots := encode(t, v)
		back, err := decode[Value](t, body, slots...)
		if err != nil || !reflect.DeepEqual(back, v) {
			t.Errorf("%s came back as %s, %v", v, back, err)
		}
	}
}

func TestWhatIsNoValue(t *testing.T) {
	deep := Value{}
	for range maxDepth {
		deep = Value{[]Value{deep}}
	}
	loop := []any{nil}
	loop[0] = loop
	for _, c := range []struct {
		in   any
		text string
	}{
		{func() {}, "a func() cannot be a Value"},
		{complex(1, 1), "a complex128 cannot be a Value"},
		{Line{}, "a caps.Line cannot be a Value"},
		{[]any{1, []int{1}}, "[1]: a []int cannot be a Value"},
		{map[string]any{"a": []any{uintptr(1)}}, `["a"][0]: a uintptr cannot be a Value`},
		{[]Entry{{}}, "nil as a map key"},
		{[]Entry{{Value{math.NaN()}, Value{}}}, "the map key NaN"},
		{[]Entry{{Value{"a"}, Value{}}, {Value{"a"}, Value{}}}, `the map key "a" twice`},
		{[]Value{deep}, "deeper than 64"},
		{[]Entry{{Value{"a"}, deep}}, "deeper than 64"},
		{loop, "deeper than 64"},
	} {
		if _, err := ValueOf(c.in); !errors.Is(err, ErrBadArgument) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%T: %v", c.in, err)
		}
	}
	if _, err := ValueOf(deep); err != nil {
		t.Error(err)
	}
}

func TestValuesAreNotChangedFromOutside(t *testing.T) {
	list, b := []Value{{int64(1)}}, []byte("x")
	v, _ := ValueOf(list)
	w, _ := ValueOf(b)
	list[0], b[0] = Value{}, 'y'
	v.Any().([]Value)[0] = Value{}
	w.Any().([]byte)[0] = 'z'
	if v.String() != "[1]" || w.String() != `b"x"` {
		t.Error(v, w)
	}
}

func TestTextOfValuesIsBounded(t *testing.T) {
	long, wide := Value{strings.Repeat("ü\n", 10_000)}, make([]Value, 10_000)
	for i := range wide {
		wide[i] = long
	}
	checkText(t, long)
	checkText(t, Value{wide})
	checkText(t, Value{NewMaker().Make(&thing{"a\nb"}, Full())})
	checkText(t, Value{NewMaker().Make(&thing{strings.Repeat("é", 5000)}, Full())})
}

// A typed encoding reads as a Value, and the Value encodes to what the type decodes.
func TestValuesStandInForTypes(t *testing.T) {
	line := Line{"pen", 2, 9}
	body, _ := encode(t, line)
	v, err := decode[Value](t, body)
	if err != nil || v.String() != `{"Item": "pen", "Count": 2, "Price": 9}` {
		t.Fatal(v, err)
	}
	body, _ = encode(t, v)
	if back, err := decode[Line](t, body); err != nil || back != line {
		t.Error(back, err)
	}
}

func TestMapKeysThatAreNotUTF8StayStrings(t *testing.T) {
	body, _ := encode(t, map[string]int{"\xff": 1})
	v, err := decode[Value](t, body)
	if err != nil || v.String() != `{"\xff": 1}` {
		t.Fatal(v, err)
	}
	if _, err := ValueOf(v.Any()); err != nil {
		t.Error(err)
	}
	again, _ := encode(t, v)
	if !bytes.Equal(again, body) {
		t.Errorf("%x, then %x", body, again)
	}
}

func ExampleValueOf() {
	v, err := ValueOf(map[string]any{"to": "bob", "cents": 250, "tags": []any{"new", nil}})
	fmt.Println(v, err)
	_, err = ValueOf([]any{make(chan int)})
	fmt.Println(err)
	// Output:
	// {"cents": 250, "tags": ["new", nil], "to": "bob"} <nil>
	// [0]: a chan int cannot be a Value; encode it with the Codec of its type and decode that
}
