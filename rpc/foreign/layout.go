package foreign

import (
	"fmt"

	"capnproto.org/go/capnp/v3"
)

// mostWords is how large the data section of a struct can be, and how many pointers it can
// have: a pointer to it has 16 bits for either.
const mostWords = 1<<16 - 1

// layout gives each field of a struct its place, as the compiler of schemas does. It goes by
// their numbers, so that a struct with more fields begins with the same ones at the same
// places: a field takes the smallest hole it fits into, and else a new word of which the rest
// becomes holes.
func layout(fields []*field) (size capnp.ObjectSize, err error) {
	var h holes
	pointers := uint32(0)
	for _, f := range fields {
		switch log, number := f.typ.logBits(); {
		case f.typ.op == opVoid:
		case !number:
			f.offset = pointers
			pointers++
		case log == 0:
			f.offset = h.take(0)
		default:
			f.offset = h.take(log) << log / 8
		}
	}
	if h.words > mostWords || pointers > mostWords {
		return size, fmt.Errorf("%d words of data and %d pointers; a struct of Cap'n Proto can have %d of either", h.words, pointers, mostWords)
	}
	return capnp.ObjectSize{DataSize: capnp.Size(h.words * 8), PointerCount: uint16(pointers)}, nil
}

// logBits is the logarithm of the size of a number in bits; ok is false for what is none.
func (t *typ) logBits() (log uint, ok bool) {
	switch t.op {
	case opBool:
		return 0, true
	case opInt8, opUint8:
		return 3, true
	case opInt16, opUint16, opEnum:
		return 4, true
	case opInt32, opUint32, opFloat32:
		return 5, true
	case opInt64, opUint64, opFloat64:
		return 6, true
	}
	return 0, false
}

// holes is the data section of a struct that is being laid out.
type holes struct {
	words uint32
	// free[log] is the place of the one hole of 1<<log bits, counted in its own size; 0: there
	// is none, as a hole is never at the beginning. There is at most one of each size, as a
	// larger one is only split when none of the size is left.
	free [6]uint32
}

// take is the place of 1<<log bits, counted in that size.
func (h *holes) take(log uint) uint32 {
	if at, ok := h.fill(log); ok {
		return at
	}
	at := h.words << (6 - log)
	h.words++
	for rest := at + 1; log < 6; log++ { // what is left of the word: one hole of each size
		h.free[log] = rest
		rest = (rest + 1) / 2
	}
	return at
}

func (h *holes) fill(log uint) (uint32, bool) {
	if log >= 6 {
		return 0, false
	}
	if at := h.free[log]; at != 0 {
		h.free[log] = 0
		return at, true
	}
	larger, ok := h.fill(log + 1)
	if !ok {
		return 0, false
	}
	h.free[log] = larger*2 + 1
	return larger * 2, true
}
