package caps

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"time"
	"unsafe"
)

// Append appends the encoding of the value at p to body and its Refs to slots. The place of
// a Ref in body is its index in slots, so a caller passes slots that are empty, or whose
// Refs body already uses. It cannot fail: the value must have been sealed and not changed
// since, or be of a type with a FixedSize. Equal values give equal bytes.
func (c *Codec) Append(body []byte, slots []Ref, p unsafe.Pointer) ([]byte, []Ref) {
	if c.root.op == opDone {
		return body, slots
	}
	body = c.root.append(body, &slots, p)
	return body, slots
}

func (n *node) append(b []byte, slots *[]Ref, p unsafe.Pointer) []byte {
	switch n.op {
	case opDone:
		return append(b, codeFixMap)
	case opBool:
		return appendBool(b, *(*bool)(p))
	case opInt8, opInt16, opInt32, opInt64:
		return appendInt(b, n.int(p))
	case opUint8, opUint16, opUint32, opUint64:
		return appendUint(b, n.uint(p))
	case opFloat32:
		return appendFloat32(b, *(*float32)(p))
	case opFloat64:
		return appendFloat64(b, *(*float64)(p))
	case opString:
		return appendString(b, *(*string)(p))
	case opBytes:
		return appendBytes(b, *(*[]byte)(p))
	case opByteArray:
		return append(appendBinLength(b, n.len), unsafe.Slice((*byte)(p), n.len)...)
	case opTime:
		return appendTime(b, *(*time.Time)(p))
	case opRef:
		return appendRef(b, slots, *(*Ref)(p))
	case opValue:
		return (*Value)(p).append(b, slots)
	case opList:
		h := (*header)(p)
		if h.data == nil {
			return append(b, codeNil)
		}
		return n.appendElems(b, slots, h.data, h.len)
	case opArray:
		return n.appendElems(b, slots, p, n.len)
	case opMap:
		return n.appendMap(b, slots, p)
	case opStruct:
		b = appendMapLength(b, len(n.fields))
		for i := range n.fields {
			f := &n.fields[i]
			b = append(b, f.code...)
			b = f.append(b, slots, at(p, f.off))
		}
		return b
	default: // opOptional
		q := *(*unsafe.Pointer)(p)
		if q == nil {
			return append(b, codeNil)
		}
		return n.elem.append(b, slots, q)
	}
}

// int is the signed number at p.
func (n *node) int(p unsafe.Pointer) int64 {
	switch n.op {
	case opInt8:
		return int64(*(*int8)(p))
	case opInt16:
		return int64(*(*int16)(p))
	case opInt32:
		return int64(*(*int32)(p))
	default:
		return *(*int64)(p)
	}
}

// uint is the unsigned number at p.
func (n *node) uint(p unsafe.Pointer) uint64 {
	switch n.op {
	case opUint8:
		return uint64(*(*uint8)(p))
	case opUint16:
		return uint64(*(*uint16)(p))
	case opUint32:
		return uint64(*(*uint32)(p))
	default:
		return *(*uint64)(p)
	}
}

func appendRef(b []byte, slots *[]Ref, r Ref) []byte {
	if r.IsNull() {
		return append(b, codeNil)
	}
	*slots = append(*slots, r)
	return appendSlot(b, len(*slots)-1)
}

func (n *node) appendElems(b []byte, slots *[]Ref, p unsafe.Pointer, count int) []byte {
	b = appendListLength(b, count)
	for i := range count {
		b = n.elem.append(b, slots, at(p, uintptr(i)*n.elem.size))
	}
	return b
}

// appendMap writes the entries in the order of their keys.
func (n *node) appendMap(b []byte, slots *[]Ref, p unsafe.Pointer) []byte {
	q := *(*unsafe.Pointer)(p)
	if q == nil {
		return append(b, codeNil)
	}
	m := mapAt(n, q)
	count := m.Len()
	b = appendMapLength(b, count)
	keys := reflect.MakeSlice(reflect.SliceOf(n.key.typ), count, count)
	elems := reflect.MakeSlice(reflect.SliceOf(n.elem.typ), count, count)
	order := make([]int, count)
	for i, iter := 0, m.MapRange(); iter.Next(); i++ {
		keys.Index(i).SetIterKey(iter)
		elems.Index(i).SetIterValue(iter)
		order[i] = i
	}
	key := func(i int) unsafe.Pointer { return at(keys.UnsafePointer(), uintptr(i)*n.key.size) }
	slices.SortFunc(order, func(i, j int) int { return n.key.compare(key(i), key(j)) })
	for _, i := range order {
		b = n.key.append(b, slots, key(i))
		b = n.elem.append(b, slots, at(elems.UnsafePointer(), uintptr(i)*n.elem.size))
	}
	return b
}

// compare orders map keys.
func (n *node) compare(p, q unsafe.Pointer) int {
	switch n.op {
	case opBool, opUint8:
		return cmp.Compare(*(*uint8)(p), *(*uint8)(q))
	case opString:
		return cmp.Compare(*(*string)(p), *(*string)(q))
	case opFloat32:
		return cmp.Compare(*(*float32)(p), *(*float32)(q))
	case opFloat64:
		return cmp.Compare(*(*float64)(p), *(*float64)(q))
	case opInt8, opInt16, opInt32, opInt64:
		return cmp.Compare(n.int(p), n.int(q))
	default:
		return cmp.Compare(n.uint(p), n.uint(q))
	}
}

// isNaN reports whether the map key at p is not a number.
func (n *node) isNaN(p unsafe.Pointer) bool {
	switch n.op {
	case opFloat32:
		return *(*float32)(p) != *(*float32)(p)
	case opFloat64:
		return math.IsNaN(*(*float64)(p))
	}
	return false
}
