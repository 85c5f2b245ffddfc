package caps

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sort"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
)

// The dumb twin of the codec: the same by plain reflection and by calls of the library, with
// no thought for speed.

// transient reports whether the field is passed over.
func transientField(f reflect.StructField) bool { return f.Tag.Get("sturdy") == "transient" }

// twinCopy is what Own must make of v.
func twinCopy(v reflect.Value, via Authority) reflect.Value {
	t := v.Type()
	out := reflect.New(t).Elem()
	switch {
	case t == timeType:
		out.Set(v)
		return out
	case t == valueType:
		x := v.Interface().(Value)
		out.Set(reflect.ValueOf(twinValue(x, via)))
		return out
	case t == refType:
		r := v.Interface().(Ref)
		r = r.through(via)
		out.Set(reflect.ValueOf(r))
		return out
	}
	switch t.Kind() {
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(t, v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(twinCopy(v.Index(i), via))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(twinCopy(v.Index(i), via))
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(t))
			for i := v.MapRange(); i.Next(); {
				out.SetMapIndex(i.Key(), twinCopy(i.Value(), via))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(twinCopy(v.Elem(), via).Addr())
		}
	case reflect.Struct:
		for i := range t.NumField() {
			if !transientField(t.Field(i)) {
				out.Field(i).Set(twinCopy(v.Field(i), via))
			}
		}
	default:
		out.Set(v)
	}
	return out
}

func twinValue(v Value, via Authority) Value {
	switch x := v.v.(type) {
	case Ref:
		x = x.through(via)
		return Value{x}
	case []byte:
		return Value{append([]byte{}, x...)}
	case []Value:
		out := []Value{}
		for _, e := range x {
			out = append(out, twinValue(e, via))
		}
		return Value{out}
	case []Entry:
		out := []Entry{}
		for _, e := range x {
			out = append(out, Entry{e.Key, twinValue(e.Val, via)})
		}
		return Value{out}
	}
	return v
}

// twinEncode writes v with the library.
func twinEncode(e *msgpack.Encoder, slots *[]Ref, v reflect.Value) {
	t := v.Type()
	switch {
	case t == timeType:
		check(e.EncodeTime(v.Interface().(time.Time)))
		return
	case t == valueType:
		twinEncodeValue(e, slots, v.Interface().(Value))
		return
	case isRef(t):
		for v.Type() != refType {
			v = v.Field(0)
		}
		twinRef(e, slots, v.Interface().(Ref))
		return
	}
	switch t.Kind() {
	case reflect.Bool:
		check(e.EncodeBool(v.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		check(e.EncodeInt(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		check(e.EncodeUint(v.Uint()))
	case reflect.Float32:
		check(e.EncodeFloat32(float32(v.Float())))
	case reflect.Float64:
		check(e.EncodeFloat64(v.Float()))
	case reflect.String:
		twinString(e, v.String())
	case reflect.Slice, reflect.Array:
		twinList(e, slots, v)
	case reflect.Map:
		twinMap(e, slots, v)
	case reflect.Pointer:
		if v.IsNil() {
			check(e.EncodeNil())
			return
		}
		twinEncode(e, slots, v.Elem())
	case reflect.Struct:
		n := 0
		for i := range t.NumField() {
			if !transientField(t.Field(i)) {
				n++
			}
		}
		check(e.EncodeMapLen(n))
		for i := range t.NumField() {
			if !transientField(t.Field(i)) {
				check(e.EncodeString(t.Field(i).Name))
				twinEncode(e, slots, v.Field(i))
			}
		}
	}
}

func twinString(e *msgpack.Encoder, s string) {
	if utf8.ValidString(s) {
		check(e.EncodeString(s))
	} else {
		check(e.EncodeBytes([]byte(s)))
	}
}

func twinRef(e *msgpack.Encoder, slots *[]Ref, r Ref) {
	if r.IsNull() {
		check(e.EncodeNil())
		return
	}
	i := len(*slots)
	*slots = append(*slots, r)
	b := []byte{byte(i)}
	if i > 255 {
		b = []byte{byte(i >> 8), byte(i)}
	}
	check(e.EncodeExtHeader(1, len(b)))
	_, err := e.Writer().Write(b)
	check(err)
}

func twinList(e *msgpack.Encoder, slots *[]Ref, v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 && (v.Kind() == reflect.Slice || v.Len() > 0) {
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		if v.Kind() == reflect.Slice && v.IsNil() {
			b = nil
		}
		check(e.EncodeBytes(b))
		return
	}
	if v.Kind() == reflect.Slice && v.IsNil() {
		check(e.EncodeNil())
		return
	}
	check(e.EncodeArrayLen(v.Len()))
	for i := range v.Len() {
		twinEncode(e, slots, v.Index(i))
	}
}

func twinMap(e *msgpack.Encoder, slots *[]Ref, v reflect.Value) {
	if v.IsNil() {
		check(e.EncodeNil())
		return
	}
	check(e.EncodeMapLen(v.Len()))
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool {
		a, b := keys[i], keys[j]
		switch {
		case a.Kind() == reflect.Bool:
			return !a.Bool() && b.Bool()
		case a.CanInt():
			return a.Int() < b.Int()
		case a.CanUint():
			return a.Uint() < b.Uint()
		case a.CanFloat():
			return a.Float() < b.Float()
		default:
			return a.String() < b.String()
		}
	})
	for _, k := range keys {
		twinEncode(e, slots, k)
		twinEncode(e, slots, v.MapIndex(k))
	}
}

func twinEncodeValue(e *msgpack.Encoder, slots *[]Ref, v Value) {
	switch x := v.v.(type) {
	case string:
		twinString(e, x)
	case Ref:
		twinRef(e, slots, x)
	case []Value:
		check(e.EncodeArrayLen(len(x)))
		for _, y := range x {
			twinEncodeValue(e, slots, y)
		}
	case []Entry:
		check(e.EncodeMapLen(len(x)))
		for _, y := range x {
			twinEncodeValue(e, slots, y.Key)
			twinEncodeValue(e, slots, y.Val)
		}
	default:
		check(e.Encode(x))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// twinBytes is the encoding of v by the library.
func twinBytes(v reflect.Value) ([]byte, []Ref) {
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	var slots []Ref
	twinEncode(e, &slots, v)
	return b.Bytes(), slots
}

// scramble overwrites everything that v shares with others.
func scramble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			scramble(v.Index(i))
			v.Index(i).SetZero()
		}
	case reflect.Array:
		for i := range v.Len() {
			scramble(v.Index(i))
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			scramble(i.Value())
		}
		v.Clear()
	case reflect.Pointer:
		if !v.IsNil() {
			scramble(v.Elem())
			v.Elem().SetZero()
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != timeType && v.Type() != refType && v.Type() != valueType && !transientField(v.Type().Field(i)) {
				scramble(v.Field(i))
			}
		}
	}
}

// same is DeepEqual with a text; nil and empty differ, as they do in encodings.
func same(t *testing.T, what string, got, want reflect.Value) {
	t.Helper()
	if !reflect.DeepEqual(got.Interface(), want.Interface()) {
		t.Errorf("%s:\n got %s\nwant %s", what, dump(got), dump(want))
	}
}

func dump(v reflect.Value) string { return shortened(fmt.Sprintf("%+v", v.Interface()), 3000) }

// The forms are compared with the library's at every place where their width changes.
func TestFormsAreTheLibrarys(t *testing.T) {
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	equal := func(what any, got []byte) {
		t.Helper()
		if !bytes.Equal(got, b.Bytes()) {
			t.Errorf("%v: %x, the library writes %x", what, got, b.Bytes())
		}
		b.Reset()
	}
	var edges []uint64
	for shift := range 64 {
		edges = append(edges, 1<<shift-1, 1<<shift, 1<<shift+1)
	}
	for _, n := range edges {
		check(e.EncodeUint(n))
		equal(n, appendUint(nil, n))
		for _, i := range []int64{int64(n), -int64(n)} {
			check(e.EncodeInt(i))
			equal(i, appendInt(nil, i))
			for _, nsec := range []int64{0, 1, 999_999_999} {
				at := time.Unix(i, nsec)
				check(e.EncodeTime(at))
				equal(at, appendTime(nil, at))
			}
		}
		for _, f := range []float64{float64(n), math.Float64frombits(n), math.NaN()} {
			check(e.EncodeFloat64(f))
			equal(f, appendFloat64(nil, f))
			check(e.EncodeFloat32(float32(f)))
			equal(f, appendFloat32(nil, float32(f)))
		}
		if n < 1<<18 {
			s := string(make([]byte, n))
			check(e.EncodeString(s))
			equal(len(s), appendString(nil, s))
			check(e.EncodeBytes([]byte(s)))
			equal(len(s), appendBytes(nil, []byte(s)))
		}
		if n < 1<<32 {
			check(e.EncodeArrayLen(int(n)))
			equal(n, appendListLength(nil, int(n)))
			check(e.EncodeMapLen(int(n)))
			equal(n, appendMapLength(nil, int(n)))
		}
	}
	for _, v := range []bool{false, true} {
		check(e.EncodeBool(v))
		equal(v, appendBool(nil, v))
	}
	check(e.EncodeBytes(nil))
	equal(nil, appendBytes(nil, nil))
	for _, i := range []int{0, 255, 256, 65535, 65536} {
		form := appendSlot(nil, i)
		n := len(form) - 2
		check(e.EncodeExtHeader(extRef, n))
		b.Write(slices.Repeat([]byte{0}, n))
		if h, _ := headAt(form, 0); h.form != formExt || h.n != uint64(n) {
			t.Errorf("slot %d reads back as %v", i, h)
		}
		equal(i, append(form[:2:2], make([]byte, n)...))
		if got, ok := slotIn(form[2:]); !ok || got != uint64(i) {
			t.Errorf("slot %d: %d %v", i, got, ok)
		}
	}
}
