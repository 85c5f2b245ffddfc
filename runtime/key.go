package sturdy

import (
	"cmp"
	"encoding/binary"
	"math"
	"reflect"

	"github.com/sturdyrt/sturdy/caps"
)

// Keys of elements are byte strings that sort as the Go values do: a letter for the type,
// then a string as it is, or eight bytes, most significant first. Signed numbers have their
// sign bit flipped; floats have all bits flipped if negative, else the sign bit.

// appendKey is the stored form of k. NaN has no place in an order: it fails the turn.
func appendKey[K cmp.Ordered](k K) string {
	v := reflect.ValueOf(k)
	switch {
	case v.Kind() == reflect.String:
		return "s" + v.String()
	case v.CanInt():
		return wordKey('i', uint64(v.Int())^1<<63)
	case v.CanUint():
		return wordKey('u', v.Uint())
	}
	f := v.Float()
	if f != f {
		panic(unwind{&caps.Error{Code: caps.ErrBadArgument, Text: "NaN cannot be a key"}})
	}
	return wordKey('f', floatBits(f))
}

func wordKey(tag byte, w uint64) string {
	var b [9]byte
	b[0] = tag
	binary.BigEndian.PutUint64(b[1:], w)
	return string(b[:])
}

func floatBits(f float64) uint64 {
	if f == 0 {
		f = 0 // -0 is 0
	}
	w := math.Float64bits(f)
	if w>>63 != 0 {
		return ^w
	}
	return w | 1<<63
}

// parseKey is the inverse of appendKey: a string, int64, uint64 or float64; ok is false if
// s is none.
func parseKey(s string) (k any, ok bool) {
	if s == "" {
		return nil, false
	}
	if s[0] == 's' {
		return s[1:], true
	}
	if len(s) != 9 {
		return nil, false
	}
	w := binary.BigEndian.Uint64([]byte(s[1:]))
	switch s[0] {
	case 'i':
		return int64(w ^ 1<<63), true
	case 'u':
		return w, true
	case 'f':
		if w>>63 != 0 {
			return math.Float64frombits(w &^ (1 << 63)), true
		}
		return math.Float64frombits(^w), true
	}
	return nil, false
}

// keyOf is parseKey for who knows the type.
func keyOf[K cmp.Ordered](s string) (k K, ok bool) {
	w, ok := parseKey(s)
	if !ok {
		return k, false
	}
	v, to := reflect.ValueOf(w), reflect.ValueOf(&k).Elem()
	if v.Kind() == reflect.String != (to.Kind() == reflect.String) {
		return k, false
	}
	to.Set(v.Convert(to.Type()))
	return k, to.Convert(v.Type()).Equal(v) // a narrower type than what it was written with
}

// keyShape names the type of a Map's keys in its state.
func keyShape[K cmp.Ordered]() string { return appendKey(*new(K))[:1] }
