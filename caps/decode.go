package caps

import (
	"math"
	"reflect"
	"time"
	"unsafe"
)

// How much memory an encoding may ask for. Foreign encodings may leave fields out, so
// that a byte could claim a large struct: they get spareMemory, and for each byte what our
// own encodings need at most, or leastGain. Our own records get as much as makes sure that
// nothing overflows.
const (
	spareMemory = 64 << 10
	leastGain   = 64
	loadMemory  = math.MaxInt32
)

// Load makes the value at p of an encoding that this program has written and verified, for
// example by the checksum of a record. It checks all that Decode checks except what only
// a forged encoding can have; it never panics. On error the value is zero. The value
// shares nothing with body.
func (c *Codec) Load(p unsafe.Pointer, body []byte, slots []Ref) error {
	return c.decode(p, &decoder{body: body, slots: slots, memory: loadMemory}).err()
}

// Decode makes the value at p of an encoding from anywhere. The encoding is scanned first,
// so that it is refused before memory is allocated for it; what is allocated is bounded by
// its length. Numbers must be in range, fields known; fields that are missing become zero.
// Errors are *Error with ErrBadArgument, and the value is then zero. It shares nothing with
// body. The Refs are those of slots, as they are.
func (c *Codec) Decode(p unsafe.Pointer, body []byte, slots []Ref) error {
	if len(body) > 0 {
		if f := scan(body, len(slots)); f != nil {
			c.root.clear(p)
			return f.err()
		}
	}
	memory := spareMemory + product(len(body), c.gain)
	return c.decode(p, &decoder{body: body, slots: slots, memory: memory}).err()
}

func (c *Codec) decode(p unsafe.Pointer, d *decoder) *fault {
	c.root.clear(p)
	if len(d.body) == 0 && c.root.canBeNothing() {
		return nil
	}
	f := d.decode(c.root, p, 0)
	if f == nil && d.pos != len(d.body) {
		f = faultf("%d bytes follow the end", len(d.body)-d.pos)
	}
	if f != nil {
		c.root.clear(p)
	}
	return f
}

// canBeNothing reports whether an empty body, which is what a Done is, decodes to n: to a
// struct of which every field is missing, or to nil.
func (n *node) canBeNothing() bool {
	switch n.op {
	case opStruct, opDone, opValue, opOptional:
		return true
	}
	return false
}

// decoder walks an encoding. It trusts nothing: the scan only makes refusals early.
type decoder struct {
	body   []byte
	pos    int
	slots  []Ref
	memory int // bytes that may still be allocated
}

// head reads the next head.
func (d *decoder) head() (h head) {
	h, d.pos = headAt(d.body, d.pos)
	return h
}

// payload is what follows the head of a str, bin or ext.
func (d *decoder) payload(h head) []byte {
	b := d.body[d.pos : d.pos+int(h.n)]
	d.pos += int(h.n)
	return b
}

// alloc takes count times size bytes from what may be allocated.
func (d *decoder) alloc(count int, size uintptr) *fault {
	d.memory -= product(count, int(size))
	if d.memory < 0 {
		return faultf("more memory than an encoding of %d bytes can need; too many fields are left out", len(d.body))
	}
	return nil
}

func mismatch(h head, n *node) *fault {
	if h.form == formBad {
		return faultf("cut short, or not msgpack")
	}
	return faultf("%s; %s is wanted", h, classes[n.op])
}

// decode makes the value at p, whose memory is zero, of the next element.
func (d *decoder) decode(n *node, p unsafe.Pointer, depth int) *fault {
	switch n.op {
	case opStruct, opDone:
		return d.structure(n, p, depth+1)
	case opOptional:
		return d.optional(n, p, depth)
	case opValue:
		v, f := d.value(depth)
		*(*Value)(p) = v
		return f
	}
	h := d.head()
	switch n.op {
	case opInt8, opInt16, opInt32, opInt64:
		return storeInt(n, p, h)
	case opUint8, opUint16, opUint32, opUint64:
		return storeUint(n, p, h)
	case opString:
		if h.form != formStr && h.form != formBin {
			return mismatch(h, n)
		}
		*(*string)(p) = string(d.payload(h))
	case opBool:
		if h.form != formBool {
			return mismatch(h, n)
		}
		*(*bool)(p) = h.n == 1
	case opFloat32, opFloat64:
		return storeFloat(n, p, h)
	case opTime:
		return d.time(n, (*time.Time)(p), h)
	case opRef:
		return d.ref(n, (*Ref)(p), h)
	case opBytes, opByteArray:
		return d.bytes(n, p, h)
	case opList:
		return d.list(n, p, h, depth+1)
	case opArray:
		if h.form != formList {
			return mismatch(h, n)
		}
		if h.n != uint64(n.len) {
			return faultf("%d elements; %d are wanted", h.n, n.len)
		}
		return d.elems(n.elem, p, n.len, depth+1)
	default: // opMap
		return d.entries(n, p, h, depth+1)
	}
	return nil
}

func storeInt(n *node, p unsafe.Pointer, h head) *fault {
	if h.form != formMinus && h.form != formInt {
		return mismatch(h, n)
	}
	v, shift := int64(h.n), 64-8*n.size
	if v<<shift>>shift != v || v < 0 && h.form == formInt {
		return faultf("%s does not fit %s", h, classes[n.op])
	}
	switch n.op {
	case opInt8:
		*(*int8)(p) = int8(v)
	case opInt16:
		*(*int16)(p) = int16(v)
	case opInt32:
		*(*int32)(p) = int32(v)
	default:
		*(*int64)(p) = v
	}
	return nil
}

func storeUint(n *node, p unsafe.Pointer, h head) *fault {
	if h.form != formMinus && h.form != formInt {
		return mismatch(h, n)
	}
	shift := 64 - 8*n.size
	if h.n<<shift>>shift != h.n || h.form == formMinus {
		return faultf("%s does not fit %s", h, classes[n.op])
	}
	switch n.op {
	case opUint8:
		*(*uint8)(p) = uint8(h.n)
	case opUint16:
		*(*uint16)(p) = uint16(h.n)
	case opUint32:
		*(*uint32)(p) = uint32(h.n)
	default:
		*(*uint64)(p) = h.n
	}
	return nil
}

func storeFloat(n *node, p unsafe.Pointer, h head) *fault {
	v, ok := h.float()
	switch {
	case !ok && (h.form == formInt || h.form == formMinus):
		return faultf("%s is not a number that %s has", h, classes[n.op])
	case !ok:
		return mismatch(h, n)
	case n.op == opFloat64:
		*(*float64)(p) = v
	case h.form == formFloat:
		*(*float32)(p) = math.Float32frombits(uint32(h.n)) // keeps the bits of a NaN
	case float64(float32(v)) != v && v == v:
		return faultf("%v is not a number that float32 has", v)
	default:
		*(*float32)(p) = float32(v)
	}
	return nil
}

func (d *decoder) time(n *node, t *time.Time, h head) *fault {
	if h.form != formExt || h.ext != extTime {
		return mismatch(h, n)
	}
	v, ok := timeIn(d.payload(h))
	if !ok {
		return faultf("a malformed time")
	}
	*t = v
	return nil
}

func (d *decoder) ref(n *node, r *Ref, h head) *fault {
	if h.form == formNil {
		return nil
	}
	if h.form != formExt || h.ext != extRef {
		return mismatch(h, n)
	}
	i, ok := slotIn(d.payload(h))
	if !ok || i >= uint64(len(d.slots)) {
		return faultf("reference %d of %d", i, len(d.slots))
	}
	*r = d.slots[i]
	return nil
}

func (d *decoder) bytes(n *node, p unsafe.Pointer, h head) *fault {
	if h.form == formNil && n.op == opBytes {
		return nil
	}
	if h.form != formBin {
		return mismatch(h, n)
	}
	if n.op == opBytes {
		payload := d.payload(h)
		fresh := make([]byte, len(payload))
		copy(fresh, payload)
		*(*[]byte)(p) = fresh
		return nil
	}
	if h.n != uint64(n.len) {
		return faultf("%d bytes; %d are wanted", h.n, n.len)
	}
	copy(unsafe.Slice((*byte)(p), n.len), d.payload(h))
	return nil
}

func (d *decoder) elems(n *node, p unsafe.Pointer, count, depth int) *fault {
	if depth > maxDepth {
		return faultf("nested deeper than %d", maxDepth)
	}
	for i := range count {
		if f := d.decode(n, at(p, uintptr(i)*n.size), depth); f != nil {
			return f.index(i)
		}
	}
	return nil
}

func (d *decoder) list(n *node, p unsafe.Pointer, h head, depth int) *fault {
	if h.form == formNil {
		return nil
	}
	if h.form != formList {
		return mismatch(h, n)
	}
	if f := d.alloc(int(h.n), n.elem.size); f != nil {
		return f
	}
	v := makeList(n, int(h.n))
	*(*header)(p) = v
	return d.elems(n.elem, v.data, v.len, depth)
}

func (d *decoder) optional(n *node, p unsafe.Pointer, depth int) *fault {
	if h, pos := headAt(d.body, d.pos); h.form == formNil {
		d.pos = pos
		return nil
	}
	if f := d.alloc(1, n.elem.size); f != nil {
		return f
	}
	q := reflect.New(n.elem.typ).UnsafePointer()
	*(*unsafe.Pointer)(p) = q
	return d.decode(n.elem, q, depth)
}

// mapMemory estimates what a map of count entries takes: its slots come in groups of
// eight and are up to twice as many as there are entries.
func mapMemory(n *node, count int) int {
	return 64 + product(max(8, 2*count), int(n.key.size+n.elem.size)+8)
}

func (d *decoder) entries(n *node, p unsafe.Pointer, h head, depth int) *fault {
	switch {
	case h.form == formNil:
		return nil
	case h.form != formMap:
		return mismatch(h, n)
	case depth > maxDepth:
		return faultf("nested deeper than %d", maxDepth)
	}
	count := int(h.n)
	if f := d.alloc(1, uintptr(mapMemory(n, count))); f != nil {
		return f
	}
	m := reflect.MakeMapWithSize(n.typ, count)
	*(*unsafe.Pointer)(p) = m.UnsafePointer()
	key, elem := scratch(n.key), scratch(n.elem)
	for i := range count {
		start := d.pos
		key.SetZero()
		elem.SetZero()
		k := key.Addr().UnsafePointer()
		if f := d.decode(n.key, k, depth); f != nil {
			return f.in("key")
		}
		if n.key.isNaN(k) {
			return faultf("the map key NaN")
		}
		if f := d.decode(n.elem, elem.Addr().UnsafePointer(), depth); f != nil {
			return f.in("[" + keyText(d.body[start:]) + "]")
		}
		if m.SetMapIndex(key, elem); m.Len() != i+1 {
			return faultf("the map key %s twice", keyText(d.body[start:]))
		}
	}
	return nil
}
