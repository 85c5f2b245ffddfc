package caps

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
)

// The closed set of what stands in Value.v: nil, bool, int64, uint64 (above MaxInt64 only),
// float64, string, []byte, time.Time (UTC, without monotonic clock), Ref, []Value, []Entry.
// Nothing in a Value is ever changed, so Values may share.

// ValueOf returns v as a Value: nil, bool, every integer and float, string, []byte,
// time.Time, Ref and typed facades, Value, []Value, []Entry, []any and map[string]any; also
// types defined as a bool, number, string or []byte. Slices and maps are copied; nil ones are
// nil. Keys of entries are bool, numbers except NaN, or strings, each only once; entries keep
// their order, those of a map are sorted. Anything else, or more than 64 lists inside each
// other, is ErrBadArgument.
func ValueOf(v any) (Value, error) {
	x, f := valueOf(v, 0)
	return x, f.err()
}

func valueOf(v any, depth int) (Value, *fault) {
	switch v := v.(type) {
	case nil:
		return Value{}, nil
	case bool, int64, float64, string, Ref:
		return Value{v}, nil
	case time.Time:
		return Value{v.Round(0).UTC()}, nil
	case Value:
		if depth > 0 && depth+v.depth() > maxDepth {
			return Value{}, faultf("nested deeper than %d", maxDepth)
		}
		return v, nil
	case []Value:
		return listOf(v, v == nil, depth+1)
	case []any:
		return listOf(v, v == nil, depth+1)
	case []Entry:
		if v == nil {
			return Value{}, nil
		}
		return entriesOf(v, depth+1)
	case map[string]any:
		return mapOf(v, depth+1)
	}
	return definedOf(reflect.ValueOf(v))
}

// definedOf is for the remaining integers and floats, and for types defined by others.
func definedOf(r reflect.Value) (Value, *fault) {
	switch k := r.Kind(); {
	case k == reflect.Bool:
		return Value{r.Bool()}, nil
	case r.CanInt():
		return Value{r.Int()}, nil
	case r.CanUint() && k != reflect.Uintptr:
		return unsigned(r.Uint()), nil
	case r.CanFloat():
		return Value{r.Float()}, nil
	case k == reflect.String:
		return Value{r.String()}, nil
	case k == reflect.Slice && r.Type().Elem().Kind() == reflect.Uint8:
		if r.IsNil() {
			return Value{}, nil
		}
		return Value{append([]byte{}, r.Bytes()...)}, nil
	case isRef(r.Type()):
		for r.Type() != refType {
			r = r.Field(0)
		}
		if r.CanInterface() {
			return Value{r.Interface()}, nil
		}
	}
	return Value{}, faultf("a %s cannot be a Value; encode it with the Codec of its type and decode that", goName(r.Type()))
}

func unsigned(n uint64) Value {
	if n <= math.MaxInt64 {
		return Value{int64(n)}
	}
	return Value{n}
}

func listOf[E any](list []E, null bool, depth int) (Value, *fault) {
	if null {
		return Value{}, nil
	}
	if depth > maxDepth {
		return Value{}, faultf("nested deeper than %d", maxDepth)
	}
	out := make([]Value, len(list))
	for i, e := range list {
		var f *fault
		if out[i], f = valueOf(e, depth); f != nil {
			return Value{}, f.index(i)
		}
	}
	return Value{out}, nil
}

func entriesOf(list []Entry, depth int) (Value, *fault) {
	if depth > maxDepth {
		return Value{}, faultf("nested deeper than %d", maxDepth)
	}
	seen := make(map[any]bool, len(list))
	for _, e := range list {
		switch k := e.Key.v.(type) {
		case bool, int64, uint64, string:
		case float64:
			if k != k {
				return Value{}, faultf("the map key NaN")
			}
		default:
			return Value{}, faultf("%s as a map key; keys are bool, numbers or strings", e.Key)
		}
		if seen[e.Key.v] {
			return Value{}, faultf("the map key %s twice", e.Key)
		}
		seen[e.Key.v] = true
		if depth+e.Val.depth() > maxDepth {
			return Value{}, faultf("nested deeper than %d", maxDepth).key(e.Key)
		}
	}
	return Value{append([]Entry{}, list...)}, nil
}

func mapOf(m map[string]any, depth int) (Value, *fault) {
	if m == nil {
		return Value{}, nil
	}
	if depth > maxDepth {
		return Value{}, faultf("nested deeper than %d", maxDepth)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]Entry, len(m))
	for i, k := range keys {
		v, f := valueOf(m[k], depth)
		if f != nil {
			return Value{}, f.key(Value{k})
		}
		out[i] = Entry{Value{k}, v}
	}
	return Value{out}, nil
}

// Any returns what v is: nil, bool, int64, uint64 (only above MaxInt64), float64, string,
// []byte, time.Time, Ref, []Value or []Entry. Slices are copies.
func (v Value) Any() any {
	switch x := v.v.(type) {
	case []byte:
		return slices.Clone(x)
	case []Value:
		return slices.Clone(x)
	case []Entry:
		return slices.Clone(x)
	}
	return v.v
}

// depth is how deep lists and entries stand inside each other.
func (v Value) depth() int {
	most := 0
	switch x := v.v.(type) {
	case []Value:
		for _, e := range x {
			most = max(most, e.depth())
		}
	case []Entry:
		for _, e := range x {
			most = max(most, e.Val.depth())
		}
	default:
		return 0
	}
	return 1 + most
}

// through is v with every Ref as it is after it came through a Ref with authority via.
func (v Value) through(via Authority) Value {
	switch x := v.v.(type) {
	case Ref:
		return Value{x.through(via)}
	case []Value:
		out := make([]Value, len(x))
		for i, e := range x {
			out[i] = e.through(via)
		}
		return Value{out}
	case []Entry:
		out := make([]Entry, len(x))
		for i, e := range x {
			out[i] = Entry{e.Key, e.Val.through(via)}
		}
		return Value{out}
	}
	return v
}

func (v Value) append(b []byte, slots *[]Ref) []byte {
	switch x := v.v.(type) {
	case nil:
		return append(b, codeNil)
	case bool:
		return appendBool(b, x)
	case int64:
		return appendInt(b, x)
	case uint64:
		return appendUint(b, x)
	case float64:
		return appendFloat64(b, x)
	case string:
		return appendString(b, x)
	case []byte:
		return appendBytes(b, x)
	case time.Time:
		return appendTime(b, x)
	case Ref:
		return appendRef(b, slots, x)
	case []Value:
		b = appendListLength(b, len(x))
		for _, e := range x {
			b = e.append(b, slots)
		}
		return b
	case []Entry:
		b = appendMapLength(b, len(x))
		for _, e := range x {
			b = e.Key.append(b, slots)
			b = e.Val.append(b, slots)
		}
		return b
	}
	panic(fmt.Sprintf("caps: a %T in a Value", v.v)) // only this file makes Values
}

// value is seal for a Value, which may stand deep inside something else.
func (s *sealer) value(v Value, depth int) bool {
	switch x := v.v.(type) {
	case nil, bool:
		return s.add(1, 1)
	case string:
		return s.add(1, 5+len(x))
	case []byte:
		return s.add(1, 5+len(x))
	case []Value:
		if !s.enter(depth + 1) {
			return false
		}
		for _, e := range x {
			if !s.value(e, depth+1) {
				return false
			}
		}
		return true
	case []Entry:
		if !s.enter(depth + 1) {
			return false
		}
		for _, e := range x {
			if !s.value(e.Key, depth+1) || !s.value(e.Val, depth+1) {
				return false
			}
		}
		return true
	default:
		return s.add(1, 15) // the largest of numbers, times and Refs
	}
}

// value reads the next element as a Value.
func (d *decoder) value(depth int) (Value, *fault) {
	switch h := d.head(); h.form {
	case formNil:
		return Value{}, nil
	case formBool:
		return Value{h.n == 1}, nil
	case formInt:
		return unsigned(h.n), nil
	case formMinus:
		return Value{int64(h.n)}, nil
	case formFloat, formDouble:
		v, _ := h.float()
		return Value{v}, nil
	case formStr:
		return Value{string(d.payload(h))}, nil
	case formBin:
		return Value{append([]byte{}, d.payload(h)...)}, nil
	case formList:
		return d.valueList(int(h.n), depth+1)
	case formMap:
		return d.valueEntries(int(h.n), depth+1)
	case formExt:
		if h.ext == extTime {
			t, ok := timeIn(d.payload(h))
			if !ok {
				return Value{}, faultf("a malformed time")
			}
			return Value{t}, nil
		}
		var r Ref
		f := d.ref(&node{op: opRef}, &r, h)
		return Value{r}, f
	default:
		return Value{}, mismatch(h, &node{op: opValue})
	}
}

// room checks that a Value may hold count more parts of size bytes.
func (d *decoder) room(count int, size uintptr, depth int) *fault {
	if depth > maxDepth {
		return faultf("nested deeper than %d", maxDepth)
	}
	return d.alloc(count, size)
}

func (d *decoder) valueList(count, depth int) (Value, *fault) {
	if f := d.room(count, valueType.Size(), depth); f != nil {
		return Value{}, f
	}
	list := make([]Value, count)
	for i := range list {
		var f *fault
		if list[i], f = d.value(depth); f != nil {
			return Value{}, f.index(i)
		}
	}
	return Value{list}, nil
}

func (d *decoder) valueEntries(count, depth int) (Value, *fault) {
	if f := d.room(count, 2*valueType.Size(), depth); f != nil {
		return Value{}, f
	}
	list := make([]Entry, count)
	for i := range list {
		k := d.mapKey()
		v, f := d.value(depth)
		if f != nil {
			return Value{}, f.key(k)
		}
		list[i] = Entry{k, v}
	}
	return Value{list}, nil
}

// mapKey reads a map key, which is a string even if it had to be written as bytes. Whoever
// calls it has seen a valid key there, or goes on to what will not decode.
func (d *decoder) mapKey() Value {
	k, _ := d.value(maxDepth)
	if b, ok := k.v.([]byte); ok {
		return Value{string(b)}
	}
	return k
}
