package caps

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// form is what an element of msgpack is.
type form uint8

const (
	formBad form = iota // not msgpack, or longer than the bytes left
	formNil
	formBool
	formInt   // not negative
	formMinus // negative
	formFloat
	formDouble
	formStr
	formBin
	formList
	formMap
	formExt
)

// forms are the forms as error messages name them.
var forms = [...]string{
	formBad: "what is cut short or not msgpack", formNil: "nil", formBool: "a bool",
	formInt: "an integer", formMinus: "a negative integer", formFloat: "a float", formDouble: "a float",
	formStr: "a string", formBin: "bytes", formList: "a list", formMap: "a map", formExt: "an extension",
}

// head is the beginning of an element: all of it for nil, bool and numbers; the length for
// the others.
type head struct {
	form form
	ext  int8   // type of an extension
	n    uint64 // value, bits of a float, two's complement of a negative integer, or length
}

// headAt reads the head at pos and returns where it ends.
//
// Invariant: the length of a str, bin or ext, and the count of a list or map, are no more
// than what the bytes left can hold; this is where every length is checked, once.
func headAt(b []byte, pos int) (head, int) {
	if uint(pos) >= uint(len(b)) {
		return head{}, pos
	}
	c := b[pos]
	pos++
	left := len(b) - pos
	switch {
	case c < 0x80:
		return head{form: formInt, n: uint64(c)}, pos
	case c >= codeMinus32:
		return head{form: formMinus, n: uint64(int64(int8(c)))}, pos
	case c < codeFixList:
		return sized(formMap, uint64(c&15), left), pos
	case c < codeFixStr:
		return sized(formList, uint64(c&15), left), pos
	case c < codeNil:
		return sized(formStr, uint64(c&31), left), pos
	}
	w := wide[c-codeNil]
	if left < int(w.bytes) {
		return head{}, pos
	}
	h := head{form: w.form, n: uint64(w.length)}
	switch w.bytes {
	case 1:
		h.n = uint64(b[pos])
	case 2:
		h.n = uint64(binary.BigEndian.Uint16(b[pos:]))
	case 4:
		h.n = uint64(binary.BigEndian.Uint32(b[pos:]))
	case 8:
		h.n = binary.BigEndian.Uint64(b[pos:])
	}
	return h.end(b, pos+int(w.bytes), w)
}

// end finishes a head whose number is read: signs, extension types, lengths.
func (h head) end(b []byte, pos int, w wideForm) (head, int) {
	switch h.form {
	case formMinus: // a signed form may hold any sign
		shift := 64 - 8*uint(w.bytes)
		v := int64(h.n<<shift) >> shift
		if h.n = uint64(v); v >= 0 {
			h.form = formInt
		}
	case formExt:
		if pos >= len(b) {
			return head{}, pos
		}
		h.ext = int8(b[pos])
		pos++
		fallthrough
	case formStr, formBin, formList, formMap:
		ext := h.ext
		h = sized(h.form, h.n, len(b)-pos)
		h.ext = ext
	}
	return h, pos
}

// sized is the head of something with length n, if that is possible.
func sized(f form, n uint64, left int) head {
	least := n
	if f == formMap {
		least = 2 * n
	}
	if least > uint64(left) {
		return head{}
	}
	return head{form: f, n: n}
}

// wideForm is one of the codes from 0xc0 to 0xdf.
type wideForm struct {
	form   form
	bytes  uint8 // of the number that follows
	length uint8 // of the element, if no number follows
}

var wide = [32]wideForm{
	codeNil - 0xc0: {form: formNil}, codeFalse - 0xc0: {form: formBool}, codeTrue - 0xc0: {form: formBool, length: 1},
	codeBin8 - 0xc0: {formBin, 1, 0}, codeBin16 - 0xc0: {formBin, 2, 0}, codeBin32 - 0xc0: {formBin, 4, 0},
	codeExt8 - 0xc0: {formExt, 1, 0}, codeExt16 - 0xc0: {formExt, 2, 0}, codeExt32 - 0xc0: {formExt, 4, 0},
	codeFloat - 0xc0: {formFloat, 4, 0}, codeDouble - 0xc0: {formDouble, 8, 0},
	codeUint8 - 0xc0: {formInt, 1, 0}, codeUint16 - 0xc0: {formInt, 2, 0}, codeUint32 - 0xc0: {formInt, 4, 0}, codeUint64 - 0xc0: {formInt, 8, 0},
	codeInt8 - 0xc0: {formMinus, 1, 0}, codeInt16 - 0xc0: {formMinus, 2, 0}, codeInt32 - 0xc0: {formMinus, 4, 0}, codeInt64 - 0xc0: {formMinus, 8, 0},
	codeFixExt - 0xc0: {formExt, 0, 1}, codeFixExt + 1 - 0xc0: {formExt, 0, 2}, codeFixExt + 2 - 0xc0: {formExt, 0, 4},
	codeFixExt + 3 - 0xc0: {formExt, 0, 8}, codeFixExt + 4 - 0xc0: {formExt, 0, 16},
	codeStr8 - 0xc0: {formStr, 1, 0}, codeStr16 - 0xc0: {formStr, 2, 0}, codeStr32 - 0xc0: {formStr, 4, 0},
	codeList16 - 0xc0: {formList, 2, 0}, codeList32 - 0xc0: {formList, 4, 0},
	codeMap16 - 0xc0: {formMap, 2, 0}, codeMap32 - 0xc0: {formMap, 4, 0},
}

// float is the number, whatever its form, if float64 has it exactly.
func (h head) float() (float64, bool) {
	switch h.form {
	case formFloat:
		return float64(math.Float32frombits(uint32(h.n))), true
	case formDouble:
		return math.Float64frombits(h.n), true
	case formInt:
		f := float64(h.n)
		return f, f < 1<<64 && uint64(f) == h.n
	case formMinus:
		f := float64(int64(h.n))
		return f, int64(f) == int64(h.n)
	}
	return 0, false
}

// timeIn is the timestamp in b, the payload of an extTime.
func timeIn(b []byte) (t time.Time, ok bool) {
	var sec, nsec uint64
	switch len(b) {
	case 4:
		sec = uint64(binary.BigEndian.Uint32(b))
	case 8:
		v := binary.BigEndian.Uint64(b)
		sec, nsec = v&(1<<34-1), v>>34
	case 12:
		sec, nsec = binary.BigEndian.Uint64(b[4:]), uint64(binary.BigEndian.Uint32(b))
	default:
		return time.Time{}, false
	}
	if nsec > 999_999_999 {
		return time.Time{}, false
	}
	return time.Unix(int64(sec), int64(nsec)).UTC(), true
}

// slotIn is the index in b, the payload of an extRef.
func slotIn(b []byte) (i uint64, ok bool) {
	switch len(b) {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), true
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), true
	}
	return 0, false
}

// String is the head for error messages: the number itself, or the form's name.
func (h head) String() string {
	switch h.form {
	case formInt:
		return strconv.FormatUint(h.n, 10)
	case formMinus:
		return strconv.FormatInt(int64(h.n), 10)
	case formBool:
		return strconv.FormatBool(h.n == 1)
	case formExt:
		switch h.ext {
		case extTime:
			return "a time"
		case extRef:
			return "a reference"
		}
	}
	return forms[h.form]
}
