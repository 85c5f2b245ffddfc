package caps

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// hostile are encodings that must be refused, whatever they are decoded to.
var hostile = map[string]string{
	"list bomb":                 "\xdd\xff\xff\xff\xff",
	"map bomb":                  "\xdf\xff\xff\xff\xff",
	"string bomb":               "\xdb\xff\xff\xff\xffab",
	"bytes bomb":                "\xc6\xff\xff\xff\xff",
	"extension bomb":            "\xc9\xff\xff\xff\xff\x01",
	"map of half the bytes":     "\x82\x01\x01\x02",
	"list in list in list":      strings.Repeat("\x91", 65) + "\xc0",
	"a million lists":           strings.Repeat("\x91", 1_000_000),
	"a million maps":            strings.Repeat("\x81\x01", 1_000_000),
	"nothing":                   "\xa1",
	"code that does not exist":  "\xc1",
	"half a number":             "\xcf\x01\x02",
	"half a length":             "\xdd\x00",
	"extension without type":    "\xd4",
	"trailing bytes":            "\x80\x80",
	"trailing bytes after nil":  "\xc0\xc0",
	"bad UTF-8":                 "\xa1\xff",
	"bad UTF-8 in a key":        "\x81\xa1\xff\x01",
	"key twice":                 "\x82\xa1a\x01\xa1a\x02",
	"key twice, another form":   "\x82\xa1a\x01\xd9\x01a\x02",
	"key twice, number":         "\x82\x05\x01\xcc\x05\x02",
	"key twice, signed":         "\x82\x05\x01\xd3\x00\x00\x00\x00\x00\x00\x00\x05\x02",
	"key twice, zeros":          "\x82\xca\x00\x00\x00\x00\x01\xca\x80\x00\x00\x00\x02",
	"key twice, far apart":      "\xde\x00\x14\x05\x00" + manyKeys(18) + "\xcc\x05\x00",
	"list as key":               "\x81\x90\x01",
	"nil as key":                "\x81\xc0\x01",
	"NaN as key":                "\x81\xca\x7f\xc0\x00\x00\x01",
	"slot out of range":         "\xd4\x01\x01",
	"slot out of range, wide":   "\xd6\x01\xff\xff\xff\xff",
	"slot of three bytes":       "\xc7\x03\x01\x00\x00\x00",
	"unknown extension":         "\xd4\x02\x00",
	"time of one byte":          "\xd4\xff\x00",
	"time with a long second":   "\xd7\xff\xff\xff\xff\xff\x00\x00\x00\x00",
	"time with a longer second": "\xc7\x0c\xff\x3b\x9a\xca\x00\x00\x00\x00\x00\x00\x00\x00\x00",
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(string(rune(0x10+i)) + "\x00")
	}
	return b.String()
}

var targets = []reflect.Type{
	reflect.TypeFor[Value](), reflect.TypeFor[Order](), reflect.TypeFor[Tree](), reflect.TypeFor[Nested](),
	reflect.TypeFor[map[string][]int](), reflect.TypeFor[[]map[int]int](), reflect.TypeFor[Ref](), reflect.TypeFor[Done](),
	reflect.TypeFor[[]struct{ A, B, C, D [50]int }](), reflect.TypeFor[map[uint8]*Line](), reflect.TypeFor[float64](),
	reflect.TypeFor[[]Cached](), reflect.TypeFor[[3]*[4]Order](), reflect.TypeFor[[]string](),
}

func TestHostileEncodingsAreRefusedAndCheap(t *testing.T) {
	slots := []Ref{NewMaker().Make(&thing{"a"}, Full())}
	for name, body := range hostile {
		if f := scan([]byte(body), len(slots)); f == nil {
			t.Errorf("%s: scanned", name)
		}
		for _, typ := range targets {
			c, err := CodecFor(typ)
			check(err)
			p := reflect.New(typ)
			if err := c.Decode(p.UnsafePointer(), []byte(body), slots); !errors.Is(err, ErrBadArgument) {
				t.Errorf("%s into %s: %v", name, typ, err)
			}
			if !p.Elem().IsZero() {
				t.Errorf("%s into %s: left something behind", name, typ)
			}
			if used := allocated(func() { _ = c.Load(p.UnsafePointer(), []byte(body), slots) }); used > 1<<20+1000*len(body) {
				t.Errorf("%s into %s: Load took %d bytes", name, typ, used)
			}
		}
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

func TestMemoryIsBoundedByTheEncoding(t *testing.T) {
	type Wide struct{ A, B, C, D [500]int64 }
	const count = 100_000
	emptyStructs := append(appendListLength(nil, count), bytes.Repeat([]byte{codeFixMap}, count)...)
	var list []Wide
	var err error
	used := allocated(func() { err = plan[[]Wide](t).Decode(unsafe.Pointer(&list), emptyStructs, nil) })
	if err == nil || used > 1<<20 {
		t.Errorf("structs of 16 KB in a byte each: %v, %d bytes", err, used)
	}
	var maps []map[string]Wide
	used = allocated(func() { err = plan[[]map[string]Wide](t).Decode(unsafe.Pointer(&maps), emptyStructs, nil) })
	if used > 200*count {
		t.Errorf("empty maps: %v, %d bytes", err, used)
	}
	var some []Wide
	if err := plan[[]Wide](t).Decode(unsafe.Pointer(&some), emptyStructsOf(3), nil); err != nil {
		t.Errorf("a few fields left out: %v", err)
	}
	full := make([]Wide, 200)
	body, _ := encode(t, full)
	if _, err := decode[[]Wide](t, body); err != nil {
		t.Errorf("our own encoding: %v", err)
	}
}

func emptyStructsOf(n int) []byte {
	return append(appendListLength(nil, n), bytes.Repeat([]byte{codeFixMap}, n)...)
}

func TestRefusalsSayWhereAndWhat(t *testing.T) {
	type Pay struct {
		Amount int8
		Lines  []Line
		By     map[string]float32
		Hash   [2]byte
		Pair   [2]uint16
		When   *uint8
	}
	for body, want := range map[string]string{
		"\x81\xa6amuont\x01":                                      "no field amuont; Amount?",
		"\x81\xa6amount\x01":                                      "no field amount; Amount?",
		"\x81\xa3zzz\x01":                                         "no field zzz",
		"\x81\xa1\n\x01":                                          `no field "\n"`,
		"\x81\xa6Amount\xcd\x01\x2c":                              "Amount: 300 does not fit int8",
		"\x81\xa6Amount\xd1\xff\x00":                              "Amount: -256 does not fit int8",
		"\x81\xa6Amount\xa1x":                                     "Amount: a string; int8 is wanted",
		"\x81\xa6Amount\xcb\x40\x14\x00\x00\x00\x00\x00\x00":      "Amount: a float; int8 is wanted",
		"\x82\xa6Amount\x01\xa6Amount\x01":                        `the map key "Amount" twice`,
		"\x81\xa5Lines\x92\x80\x81\xa5Count\xc3":                  "Lines[1].Count: true; int32 is wanted",
		"\x81\xa5Lines\x92\x80\x81\x05\x05":                       "Lines[1]: 5; the name of a field is wanted",
		"\x81\xa2By\x81\xa1a\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a": `By["a"]: 0.1 is not a number that float32 has`,
		"\x81\xa2By\x81\xa1a\xce\x01\x00\x00\x01":                 `By["a"]: 1.6777217e+07 is not a number that float32 has`,
		"\x81\xa2By\x81\x05\x05":                                  "By.key: 5; string is wanted",
		"\x81\xa4Hash\xc4\x01a":                                   "Hash: 1 bytes; 2 are wanted",
		"\x81\xa4Pair\x91\x01":                                    "Pair: 1 elements; 2 are wanted",
		"\x81\xa4Pair\x92\x01\xff":                                "Pair[1]: -1 does not fit uint16",
		"\x81\xa4When\xcd\x01\x00":                                "When: 256 does not fit uint8",
		"\xc0":                                                    "nil; struct is wanted",
		"\x87\xa1a\x01\xa1b\x01\xa1c\x01\xa1d\x01\xa1e\x01\xa1f\x01\xa1g\x01": "no field a",
		"\x80\x80":                  "1 bytes follow the end",
		"\x81\xa5Lines\x92\x80\x91": "[\"Lines\"][1]: cut short, or not msgpack, at byte 9",
	} {
		_, err := decode[Pay](t, []byte(body))
		var e *Error
		if !errors.As(err, &e) || e.Code != ErrBadArgument || e.Text != want {
			t.Errorf("%x: %v, want %s", body, err, want)
		}
	}
}

func TestNumbersAcrossTypes(t *testing.T) {
	for _, c := range []struct {
		body string
		typ  any
		want any
	}{
		{"\x05", float64(0), 5.0},
		{"\xff", float32(0), float32(-1)},
		{"\xca\x3f\x80\x00\x00", float64(0), 1.0},
		{"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", float32(0), float32(1)},
		{"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", float64(0), nil},
		{"\xcf\x80\x00\x00\x00\x00\x00\x00\x00", float64(0), float64(1 << 63)},
		{"\xd3\xff\xdf\xff\xff\xff\xff\xff\xff", float64(0), nil}, // -2^53 - 1
		{"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", int64(0), nil},
		{"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", uint64(0), uint64(1<<64 - 1)},
		{"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", int64(0), int64(-1 << 63)},
		{"\xd3\x00\x00\x00\x00\x00\x00\x00\x7f", int8(0), int8(127)},
		{"\xcc\x80", int8(0), nil},
		{"\xd0\x80", int8(0), int8(-128)},
		{"\xff", uint64(0), nil},
		{"\xc4\x01\xff", "", "\xff"},
		{"\xa1a", []byte(nil), nil},
	} {
		codec, err := CodecFor(reflect.TypeOf(c.typ))
		check(err)
		p := reflect.New(reflect.TypeOf(c.typ))
		err = codec.Decode(p.UnsafePointer(), []byte(c.body), nil)
		if c.want == nil && err == nil || c.want != nil && (err != nil || p.Elem().Interface() != c.want) {
			t.Errorf("%x into %T: %v %v", c.body, c.typ, p.Elem(), err)
		}
	}
}

// mutated damages the encoding of a value a little.
func mutated(g *gen, body []byte) []byte {
	b := bytes.Clone(body)
	for range 1 + g.IntN(3) {
		switch i := g.IntN(len(b) + 1); g.IntN(4) {
		case 0:
			b = append(b[:i:i], append([]byte{byte(g.Uint32())}, b[i:]...)...)
		case 1:
			b = b[:i]
		default:
			if i < len(b) {
				b[i] = byte(g.Uint32())
			}
		}
	}
	return b
}

// Whatever decodes is a value like any other: it can be sealed, encoded and decoded.
func TestDamagedEncodings(t *testing.T) {
	eachGenerated(t, func(t *testing.T, g *gen, c *Codec, v reflect.Value) {
		body, slots := c.Append(nil, nil, pointer(v))
		for range 10 {
			decodeAny(t, c, mutated(g, body), slots)
		}
	})
}

func decodeAny(t *testing.T, c *Codec, body []byte, slots []Ref) {
	p := reflect.New(c.Type()).UnsafePointer()
	loaded := c.Load(reflect.New(c.Type()).UnsafePointer(), body, slots)
	if err := c.Decode(p, body, slots); err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Code != ErrBadArgument || len(e.Text) > 1000 {
			t.Errorf("%x: %v", body, err)
		}
		return
	}
	if loaded != nil {
		t.Errorf("%x decodes, but does not load: %v", body, loaded)
	}
	if _, err := c.Seal(p); err != nil {
		t.Fatalf("%x decodes, but does not seal: %v", body, err)
	}
	again, slots := c.Append(nil, nil, p)
	q := reflect.New(c.Type()).UnsafePointer()
	if err := c.Decode(q, again, slots); err != nil {
		t.Errorf("%x decodes to what encodes to %x: %v", body, again, err)
	}
	if twice, _ := c.Append(nil, nil, q); !bytes.Equal(twice, again) {
		t.Errorf("%x encodes to %x, then %x", body, again, twice)
	}
}

func TestHeadsClaimNoMoreThanThereIs(t *testing.T) {
	for body, want := range map[string]form{
		"\x92\x01\x02":         formList,
		"\x93\x01\x02":         formBad,
		"\x82\x01\x02\x03\x04": formMap,
		"\x82\x01\x02\x03":     formBad,
		"\xa2ab":               formStr,
		"\xa3ab":               formBad,
		"\xd5\x01ab":           formExt,
		"\xd5\x01a":            formBad,
		"":                     formBad,
	} {
		if h, _ := headAt([]byte(body), 0); h.form != want {
			t.Errorf("%x is %v", body, h)
		}
	}
}

// Load has no scan before it and must see these by itself.
func TestLoadRefusesWhatOnlyAForgerWrites(t *testing.T) {
	for name, body := range map[string]string{
		"field twice":            "\x82\xa4Item\xa1a\xa4Item\xa1b",
		"field twice, unordered": "\x83\xa5Count\x01\xa4Item\xa1b\xa4Item\xa1b",
		"more fields than known": "\x84\xa4Item\xa1a\xa5Count\x01\xa5Price\x01\xa4Item\xa1b",
		"trailing bytes":         "\x80\x80",
	} {
		var l Line
		if err := plan[Line](t).Load(unsafe.Pointer(&l), []byte(body), nil); !errors.Is(err, ErrBadArgument) || l != (Line{}) {
			t.Errorf("%s: %v %v", name, l, err)
		}
	}
	var m map[string]int
	if err := plan[map[string]int](t).Load(unsafe.Pointer(&m), []byte("\x82\xa1a\x01\xc4\x01a\x02"), nil); err == nil {
		t.Errorf("map key twice: %v", m)
	}
	var r Ref
	if err := plan[Ref](t).Load(unsafe.Pointer(&r), []byte("\xd4\x01\x00"), nil); err == nil {
		t.Error("a slot that is not there")
	}
	var n Nested
	if err := plan[Nested](t).Load(unsafe.Pointer(&n), []byte(strings.Repeat("\x91", 1000)+"\x90"), nil); err == nil {
		t.Error("a thousand lists")
	}
}
