package foreign

import (
	"math"
	"time"

	"capnproto.org/go/capnp/v3"

	"github.com/sturdyrt/sturdy/caps"
)

// The layout of Value, Value.Entry and Time in sturdy.capnp; a test asks the compiler whether
// it is this.
const (
	tagNull = iota
	tagBool
	tagInt
	tagUint
	tagFloat
	tagText
	tagData
	tagTime
	tagRef
	tagList
	tagRecord
)

const (
	valueTag  = capnp.DataOffset(0)
	valueBool = capnp.BitOffset(16)
	valueWord = capnp.DataOffset(8) // int, uint and float

	entryKey   = 0
	entryValue = 1

	timeSeconds     = capnp.DataOffset(0)
	timeNanoseconds = capnp.DataOffset(8)
)

func valueSize() capnp.ObjectSize { return capnp.ObjectSize{DataSize: 16, PointerCount: 1} }
func entrySize() capnp.ObjectSize { return capnp.ObjectSize{PointerCount: 2} }
func timeSize() capnp.ObjectSize  { return capnp.ObjectSize{DataSize: 16} }

// The first and the last second of the years 1 to 9999, which every language has. In between
// lies the zero time of Go, and nothing outside of it overflows when it is compared.
const (
	firstSecond = -62135596800
	lastSecond  = 253402300799
)

// zeroTime is what a time is that was never set.
func zeroTime() time.Time { return time.Time{} }

func readTime(s capnp.Struct) (caps.Value, *fault) {
	seconds, nanos := int64(s.Uint64(timeSeconds)), s.Uint32(timeNanoseconds)
	if nanos >= 1e9 {
		return caps.Value{}, faultf("a time with %d nanoseconds; less than 1000000000 are wanted", nanos)
	}
	if seconds < firstSecond || seconds > lastSecond {
		return caps.Value{}, faultf("a time outside of the years 1 to 9999")
	}
	return valueOf(time.Unix(seconds, int64(nanos))), nil
}

func writeTime(s capnp.Struct, v any) *fault {
	t, ok := v.(time.Time)
	if !ok {
		return unfit(v, opTime)
	}
	if seconds := t.Unix(); seconds < firstSecond || seconds > lastSecond {
		return faultf("a time outside of the years 1 to 9999")
	}
	s.SetUint64(timeSeconds, uint64(t.Unix()))
	s.SetUint32(timeNanoseconds, uint32(t.Nanosecond()))
	return nil
}

// value reads a Value. Null pointers in it are what is empty, as its tag says that it is there.
func (r *reader) value(s capnp.Struct, depth int) (caps.Value, *fault) {
	if f := tooDeep(depth); f != nil {
		return caps.Value{}, f
	}
	switch tag := s.Uint16(valueTag); tag {
	case tagNull:
		return caps.Value{}, nil
	case tagBool:
		return valueOf(s.Bit(valueBool)), nil
	case tagInt:
		return valueOf(int64(s.Uint64(valueWord))), nil
	case tagUint:
		return valueOf(s.Uint64(valueWord)), nil
	case tagFloat:
		return valueOf(math.Float64frombits(s.Uint64(valueWord))), nil
	case tagText, tagData, tagTime, tagRef:
		d := &field{typ: typ{op: [...]op{opText, opData, opTime, opRef}[tag-tagText]}, choice: true}
		return r.member(s, d, depth)
	case tagList, tagRecord:
		p, err := s.Ptr(0)
		if err != nil {
			return caps.Value{}, faultf("%w", err)
		}
		if p.IsValid() && !p.List().IsValid() {
			return caps.Value{}, mismatch(p, &typ{op: opList})
		}
		if tag == tagList {
			return r.values(p.List(), depth+1)
		}
		return r.valueEntries(p.List(), depth+1)
	default:
		return caps.Value{}, faultf("a Value of kind %d, which this host is too old to know", tag)
	}
}

// values reads a List(Value).
func (r *reader) values(l capnp.List, depth int) (caps.Value, *fault) {
	if f := r.elementsOf(l, &typ{op: opValue}, depth); f != nil {
		return caps.Value{}, f
	}
	list := make([]caps.Value, l.Len())
	for i := range list {
		v, f := r.value(l.Struct(i), depth+1)
		if f != nil {
			return v, f.index(i)
		}
		list[i] = v
	}
	return value(list)
}

// valueEntries reads a List(Value.Entry).
func (r *reader) valueEntries(l capnp.List, depth int) (caps.Value, *fault) {
	if f := r.elementsOf(l, &typ{op: opStruct}, depth); f != nil {
		return caps.Value{}, f
	}
	list, part := make([]caps.Entry, l.Len()), [2]*field{}
	for i := range part {
		part[i] = &field{typ: typ{op: opValue}, offset: uint32(i)}
	}
	for i := range list {
		f := r.take(2)
		if f == nil {
			list[i].Key, f = r.member(l.Struct(i), part[entryKey], depth+1)
		}
		if f == nil {
			list[i].Val, f = r.member(l.Struct(i), part[entryValue], depth+1)
		}
		if f != nil {
			return caps.Value{}, f.index(i)
		}
	}
	return value(list)
}

// value writes v as a Value.
func (w *writer) value(s capnp.Struct, v any, depth int) *fault {
	if f := tooDeep(depth); f != nil {
		return f
	}
	tag, kind := uint16(tagNull), opVoid
	switch x := v.(type) {
	case nil:
	case bool:
		tag = tagBool
		s.SetBit(valueBool, x)
	case int64:
		tag = tagInt
		s.SetUint64(valueWord, uint64(x))
	case uint64:
		tag = tagUint
		s.SetUint64(valueWord, x)
	case float64:
		tag = tagFloat
		s.SetUint64(valueWord, math.Float64bits(x))
	case string:
		tag, kind = tagText, opText
	case []byte:
		tag, kind = tagData, opData
	case time.Time:
		tag, kind = tagTime, opTime
	case caps.Ref:
		tag, kind = tagRef, opRef
	case []caps.Value:
		tag = tagList
		if f := w.values(s, x, depth+1); f != nil {
			return f
		}
	case []caps.Entry:
		tag = tagRecord
		if f := w.valueEntries(s, x, depth+1); f != nil {
			return f
		}
	}
	s.SetUint16(valueTag, tag)
	if kind != opVoid {
		return w.point(s, 0, &typ{op: kind}, v, depth+1)
	}
	return nil
}

// values writes the List(Value) of s.
func (w *writer) values(s capnp.Struct, list []caps.Value, depth int) *fault {
	l, f := w.structs(s, valueSize(), len(list), depth)
	if f != nil {
		return f
	}
	for i, e := range list {
		if f := w.value(l.Struct(i), e.Any(), depth+1); f != nil {
			return f.index(i)
		}
	}
	return point(s, 0, l.ToPtr())
}

// valueEntries writes the List(Value.Entry) of s.
func (w *writer) valueEntries(s capnp.Struct, list []caps.Entry, depth int) *fault {
	l, f := w.structs(s, entrySize(), len(list), depth)
	if f != nil {
		return f
	}
	kind := &typ{op: opValue}
	for i, e := range list {
		f := w.point(l.Struct(i), entryKey, kind, e.Key.Any(), depth+2)
		if f == nil {
			f = w.point(l.Struct(i), entryValue, kind, e.Val.Any(), depth+2)
		}
		if f != nil {
			return f.field(e.Key.String())
		}
	}
	return point(s, 0, l.ToPtr())
}
