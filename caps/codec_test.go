package caps

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5"
)

func pointer(v reflect.Value) unsafe.Pointer { return v.Addr().UnsafePointer() }

func plan[T any](t testing.TB) *Codec {
	t.Helper()
	c, err := CodecFor(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// encode seals and encodes v.
func encode[T any](t testing.TB, v T) ([]byte, []Ref) {
	t.Helper()
	c := plan[T](t)
	if _, err := c.Seal(unsafe.Pointer(&v)); err != nil {
		t.Fatal(err)
	}
	return c.Append(nil, nil, unsafe.Pointer(&v))
}

func decode[T any](t testing.TB, body []byte, slots ...Ref) (v T, err error) {
	t.Helper()
	err = plan[T](t).Decode(unsafe.Pointer(&v), body, slots)
	return v, err
}

func TestSealedValuesEncodeAsTheTwinDoesAndComeBack(t *testing.T) {
	eachGenerated(t, func(t *testing.T, _ *gen, c *Codec, v reflect.Value) {
		size, err := c.Seal(pointer(v))
		if err != nil {
			t.Fatal(err)
		}
		body, slots := c.Append(nil, nil, pointer(v))
		want, wantSlots := twinBytes(v)
		if c.root.op == opDone {
			want = nil
		}
		if !bytes.Equal(body, want) || !slices.Equal(slots, wantSlots) {
			t.Errorf("encoding:\n got %x\nwant %x", body, want)
		}
		if len(body) > size || c.FixedSize() > 0 && size > c.FixedSize() {
			t.Errorf("%d bytes; sealed for %d, type has %d", len(body), size, c.FixedSize())
		}
		if !c.HasRefs() && len(slots) > 0 {
			t.Error("Refs in a type without")
		}
		for name, load := range map[string]func(unsafe.Pointer, []byte, []Ref) error{"Load": c.Load, "Decode": c.Decode} {
			back := reflect.New(c.Type()).Elem()
			if err := load(pointer(back), body, slots); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			again, _ := c.Append(nil, nil, pointer(back))
			if !bytes.Equal(again, body) {
				t.Errorf("%s and encoding again gives other bytes", name)
			}
			same(t, name, back, v)
		}
	})
}

func TestOwnedValuesShareNothing(t *testing.T) {
	eachGenerated(t, func(t *testing.T, g *gen, c *Codec, v reflect.Value) {
		via := Full()
		if g.IntN(2) == 0 {
			via = via.Attenuate(Read)
		}
		want, untouched := twinCopy(v, via), twinCopy(v, Full())
		mine := reflect.New(c.Type()).Elem()
		mine.Set(v)
		if err := c.Own(pointer(mine), via); err != nil {
			t.Fatal(err)
		}
		same(t, "owned", mine, want)
		same(t, "what it was assigned from", v, untouched)
		if c.Flat() && !via.Deep {
			same(t, "flat", v, want)
		}
		scramble(mine)
		same(t, "after the copy was changed", v, untouched)
		mine.Set(v)
		check(c.Own(pointer(mine), via))
		scramble(v)
		same(t, "after the original was changed", mine, want)
	})
}

func TestFlatTypesAreThoseThatAssignmentCopies(t *testing.T) {
	for typ, want := range map[reflect.Type]bool{
		reflect.TypeFor[Line]():               true,
		reflect.TypeFor[[3]Line]():            true,
		reflect.TypeFor[Account]():            true,
		reflect.TypeFor[time.Time]():          true,
		reflect.TypeFor[Done]():               true,
		reflect.TypeFor[Cached]():             false,
		reflect.TypeFor[[]int]():              false,
		reflect.TypeFor[map[string]int]():     false,
		reflect.TypeFor[*int]():               false,
		reflect.TypeFor[Value]():              false,
		reflect.TypeFor[struct{ B []byte }](): false,
	} {
		c, err := CodecFor(typ)
		if err != nil {
			t.Fatal(err)
		}
		if c.Flat() != want {
			t.Errorf("%s: Flat is %v", typ, c.Flat())
		}
	}
}

func TestOwnZeroesTransientFields(t *testing.T) {
	n := 1
	v := Cached{N: 7, Memo: map[string]int{"a": 1}, Fresh: func() {}, Last: t, Names: [2]string{"a", "b"}}
	v.inner.a, v.inner.ok = &n, true
	check(plan[Cached](t).Own(unsafe.Pointer(&v), Full()))
	if !reflect.DeepEqual(v, Cached{N: 7}) {
		t.Errorf("%+v", v)
	}
}

func TestAFacadeIsItsRef(t *testing.T) {
	r := NewMaker().Make(&thing{"alice"}, Full())
	for _, c := range []struct {
		codec *Codec
		p     unsafe.Pointer
	}{
		{plan[Ref](t), unsafe.Pointer(&r)},
		{plan[Account](t), unsafe.Pointer(&Account{r})},
		{plan[Typed](t), unsafe.Pointer(&Typed{Account{r}})},
		{plan[List[Cents]](t), unsafe.Pointer(&List[Cents]{r})},
	} {
		body, slots := c.codec.Append(nil, nil, c.p)
		if !bytes.Equal(body, []byte{0xd4, 1, 0}) || !slices.Equal(slots, []Ref{r}) || c.codec.Shape().Class != "ref" {
			t.Errorf("%s: %x %v %v", c.codec.Type(), body, slots, c.codec.Shape())
		}
	}
}

func TestDoneIsEmpty(t *testing.T) {
	if body, _ := encode(t, Done{}); len(body) != 0 {
		t.Errorf("%x", body)
	}
	for _, body := range []string{"", "\x80", "\xc0"} {
		if _, err := decode[Done](t, []byte(body)); err != nil {
			t.Errorf("%x: %v", body, err)
		}
	}
	if o, err := decode[Order](t, nil); err != nil || !reflect.DeepEqual(o, Order{}) {
		t.Errorf("a struct that was empty once: %v %v", o, err)
	}
	if _, err := decode[int](t, nil); err == nil {
		t.Error("no bytes are no int")
	}
}

func TestTheLibraryDecodesWhatWeWrite(t *testing.T) {
	note := "fragile"
	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	body, _ := encode(t, Order{Owner: "alice", Lines: []Line{{"pen", 3, 250}}, At: at, Note: &note})
	var got map[string]any
	if err := msgpack.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	got["At"] = got["At"].(time.Time).UTC()
	want := map[string]any{
		"Owner": "alice", "To": nil, "At": at, "Note": "fragile", "Extra": nil,
		"Lines": []any{map[string]any{"Item": "pen", "Count": int8(3), "Price": uint8(250)}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func TestTimesLoadAsUTCWithoutTheMonotonicClock(t *testing.T) {
	now := time.Now().In(time.FixedZone("there", 3600))
	body, _ := encode(t, now)
	back, err := decode[time.Time](t, body)
	if err != nil || back != now.Round(0).UTC() {
		t.Errorf("%v became %v, %v", now, back, err)
	}
}

func TestWhatHoldsItselfIsRefused(t *testing.T) {
	loop := Nested{nil, nil}
	loop[0], loop[1] = loop, loop
	byKey := Tree{By: map[string]Tree{}}
	byKey.By["me"], byKey.By["again"] = byKey, byKey
	deep := Nested{}
	for range maxDepth {
		deep = Nested{deep}
	}
	refused := func(what string, c *Codec, p unsafe.Pointer) {
		t.Helper()
		if _, err := c.Seal(p); !errors.Is(err, ErrBadArgument) {
			t.Errorf("%s: sealed, %v", what, err)
		}
		if err := c.Own(p, Full()); !errors.Is(err, ErrBadArgument) {
			t.Errorf("%s: owned, %v", what, err)
		}
	}
	refused("a slice in itself", plan[Nested](t), unsafe.Pointer(&loop))
	refused("a map in itself", plan[Tree](t), unsafe.Pointer(&byKey))
	refused("65 slices", plan[Nested](t), unsafe.Pointer(&deep))
	fits := deep[0]
	body, _ := encode(t, fits)
	if back, err := decode[Nested](t, body); err != nil || !reflect.DeepEqual(back, fits) {
		t.Errorf("64 slices: %v", err)
	}
	if err := plan[Nested](t).Own(unsafe.Pointer(&fits), Full()); err != nil {
		t.Errorf("64 slices: %v", err)
	}
}

func TestSealCountsTheDepthOfFixedParts(t *testing.T) {
	type Pair struct{ A [1]int }
	type Deep struct {
		In   []Deep
		Pair []Pair
	}
	v := Deep{Pair: []Pair{{}}}
	for range 31 {
		v = Deep{In: []Deep{v}}
	}
	// 31 times struct and list, then struct, list, Pair, array: 66.
	if _, err := plan[Deep](t).Seal(unsafe.Pointer(&v)); !errors.Is(err, ErrBadArgument) {
		t.Errorf("sealed: %v", err)
	}
	v = v.In[0]
	body, _ := encode(t, v)
	if _, err := decode[Deep](t, body); err != nil {
		t.Errorf("64 deep: %v", err)
	}
}

func TestNaNIsNoMapKey(t *testing.T) {
	nan := 0.0
	nan /= nan
	m := map[float64]bool{nan: true}
	if _, err := plan[map[float64]bool](t).Seal(unsafe.Pointer(&m)); !errors.Is(err, ErrBadArgument) {
		t.Errorf("sealed: %v", err)
	}
	body := append(appendFloat64([]byte{0x81}, nan), codeTrue)
	if _, err := decode[map[float64]bool](t, body); err == nil {
		t.Error("decoded")
	}
}

func TestEqualMapsGiveEqualBytes(t *testing.T) {
	a, b := map[string]int{}, map[string]int{}
	for i := range 100 {
		a[string(rune('a'+i))] = i
		b[string(rune('a'+99-i))] = 99 - i
	}
	x, _ := encode(t, a)
	y, _ := encode(t, b)
	if !bytes.Equal(x, y) {
		t.Error("different")
	}
}

func TestAnOlderNameIsAccepted(t *testing.T) {
	type New struct {
		Name string `sturdy:"was=Title"`
		N    int
	}
	body, _ := encode(t, struct{ Title string }{"x"})
	got, err := decode[New](t, body)
	if err != nil || got.Name != "x" {
		t.Errorf("%v %v", got, err)
	}
	body = []byte("\x82\xa5Title\xa1x\xa4Name\xa1y")
	if _, err := decode[New](t, body); err == nil {
		t.Error("both names were accepted")
	}
}

func TestFieldsInAnyOrder(t *testing.T) {
	body := []byte("\x83\xa5Price\x09\xa4Item\xa3pen\xa5Count\x02")
	got, err := decode[Line](t, body)
	if err != nil || got != (Line{"pen", 2, 9}) {
		t.Errorf("%v %v", got, err)
	}
}

func TestAppendFollowsWhatIsThere(t *testing.T) {
	r := NewMaker().Make(&thing{"a"}, Full())
	v := []Ref{r, r}
	body, slots := plan[[]Ref](t).Append([]byte{1}, []Ref{r}, unsafe.Pointer(&v))
	if !bytes.Equal(body, []byte{1, 0x92, 0xd4, 1, 1, 0xd4, 1, 2}) || len(slots) != 3 {
		t.Errorf("%x %v", body, slots)
	}
}

func TestDecodingReplacesWhatWasThere(t *testing.T) {
	eachGenerated(t, func(t *testing.T, g *gen, c *Codec, v reflect.Value) {
		body, slots := c.Append(nil, nil, pointer(v))
		dirty := g.value(c.Type(), 5)
		if err := c.Decode(pointer(dirty), body, slots); err != nil {
			t.Error(err)
		}
		same(t, "over another value", dirty, v)
		if len(body) > 1 {
			if err := c.Load(pointer(dirty), body[:len(body)-1], slots); err == nil || !dirty.IsZero() {
				t.Errorf("cut short: %v, %s", err, dump(dirty))
			}
		}
	})
	v := Cached{N: 1, Memo: map[string]int{}, Last: t}
	if err := plan[Cached](t).Load(unsafe.Pointer(&v), []byte("\x81\xa1N\x05"), nil); err != nil || !reflect.DeepEqual(v, Cached{N: 5}) {
		t.Errorf("%+v %v", v, err)
	}
}

func TestWhatIsTooLargeIsNotSealed(t *testing.T) {
	big := make([]byte, 1<<20)
	list := slices.Repeat([][]byte{big}, 600)
	if _, err := plan[[][]byte](t).Seal(unsafe.Pointer(&list)); !errors.Is(err, ErrBadArgument) {
		t.Errorf("600 MB: %v", err)
	}
	zeros := make([]struct{}, 1<<40)
	if _, err := plan[[]struct{}](t).Seal(unsafe.Pointer(&zeros)); !errors.Is(err, ErrBadArgument) {
		t.Errorf("a million million nothings: %v", err)
	}
	if err := plan[[]struct{}](t).Own(unsafe.Pointer(&zeros), Full()); !errors.Is(err, ErrBadArgument) || !strings.Contains(err.Error(), "elements") {
		t.Errorf("a million million nothings owned: %v", err)
	}
}
