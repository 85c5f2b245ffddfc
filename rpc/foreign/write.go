package foreign

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"capnproto.org/go/capnp/v3"

	"github.com/sturdyrt/sturdy/caps"
)

// writer puts values into messages. What is missing in a value is left as it is in a new
// message, which is its default.
type writer struct {
	limit int // bytes that may be written below the first struct
	used  int
	// refs makes a client of what is not null. The message owns the client from then on.
	refs func(caps.Ref) (capnp.Client, error)
}

// record writes v, as reader.record makes it, to s, which is new and of the size of the record.
func (w *writer) record(s capnp.Struct, of *record, v caps.Value) error {
	if have := s.Size(); have.DataSize < of.size.DataSize || have.PointerCount < of.size.PointerCount {
		return faultf("a struct of %v; %v are wanted", have, of.size).outcome()
	}
	return w.fields(s, of, v.Any(), 1).outcome()
}

// take charges for n bytes, rounded up to words.
func (w *writer) take(n int) *fault {
	n = (n + 7) &^ 7
	if n > w.limit-w.used {
		return faultf("larger than %d bytes, which is the limit of a message here", w.limit)
	}
	w.used += n
	return nil
}

// fields writes v to a struct or a group in it.
func (w *writer) fields(s capnp.Struct, of *record, v any, depth int) *fault {
	if f := tooDeep(depth); f != nil {
		return f
	}
	if of.bare {
		return w.member(s, of.only(), v, depth)
	}
	list, ok := v.([]caps.Entry)
	if !ok && v != nil {
		return unfit(v, opStruct)
	}
	var chosen *field
	for i, e := range list {
		d, f := of.field(e.Key, i)
		if f != nil {
			return f
		}
		x := e.Val.Any()
		if d.choice {
			if x == nil || x == false && d.typ.op == opVoid {
				continue
			}
			if chosen != nil {
				return faultf("both %s and %s are set; only one of them can be", chosen.name, d.name)
			}
			chosen = d
			s.SetUint16(capnp.DataOffset(of.tagAt), d.tag)
		}
		if f := w.member(s, d, x, depth); f != nil {
			return f.field(d.name)
		}
	}
	return nil
}

// field finds the field that key names; it is mostly the one at guess.
func (of *record) field(key caps.Value, guess int) (*field, *fault) {
	name, ok := key.Any().(string)
	if !ok {
		return nil, faultf("a map with the key %s; a struct is wanted, whose keys are the names of its fields", key)
	}
	if guess < len(of.fields) && of.fields[guess].name == name && !of.fields[guess].gone {
		return of.fields[guess], nil
	}
	var names []string
	for _, d := range of.fields {
		if d.gone {
			continue
		}
		if d.name == name {
			return d, nil
		}
		names = append(names, d.name)
	}
	if len(names) == 0 {
		return nil, faultf("no field is called %s; there are none", strconv.Quote(name))
	}
	return nil, faultf("no field is called %s; there are: %s", strconv.Quote(name), strings.Join(names, ", "))
}

// member writes v to a field.
func (w *writer) member(s capnp.Struct, d *field, v any, depth int) *fault {
	switch t := &d.typ; {
	case t.op == opGroup:
		return w.fields(s, t.of, v, depth+1)
	case t.op == opVoid:
		list, isList := v.([]caps.Entry)
		if v == nil || v == true && d.choice || isList && len(list) == 0 {
			return nil
		}
		return unfit(v, opVoid)
	case t.width() > 0:
		n, f := t.bits(v)
		if f != nil {
			return f
		}
		setBits(s, d.offset, t.width(), n^d.def)
		return nil
	default:
		return w.point(s, d.offset, t, v, depth+1)
	}
}

// setBits writes what is width bits wide at offset.
func setBits(s capnp.Struct, offset uint32, width int, n uint64) {
	switch at := capnp.DataOffset(offset); width {
	case 1:
		s.SetBit(capnp.BitOffset(offset), n != 0)
	case 8:
		s.SetUint8(at, uint8(n))
	case 16:
		s.SetUint16(at, uint16(n))
	case 32:
		s.SetUint32(at, uint32(n))
	default:
		s.SetUint64(at, n)
	}
}

// bits is v as a bool, a number or an enum of t.
func (t *typ) bits(v any) (uint64, *fault) {
	switch t.op {
	case opBool:
		if b, ok := v.(bool); ok {
			if b {
				return 1, nil
			}
			return 0, nil
		}
	case opFloat32, opFloat64:
		return t.floatBits(v)
	case opEnum:
		if s, ok := v.(string); ok {
			return t.enumerant(s)
		}
	}
	if t.op == opBool {
		return 0, unfit(v, t.op)
	}
	return t.intBits(v)
}

func (t *typ) intBits(v any) (uint64, *fault) {
	signed := t.op >= opInt8 && t.op <= opInt64
	switch n := v.(type) {
	case int64:
		// What is left of n when it is cut to the width and widened again is n, if it fits.
		cut := 64 - t.width()
		if signed && n<<cut>>cut == n {
			return uint64(n) << cut >> cut, nil
		}
		if !signed && n >= 0 && uint64(n)<<cut>>cut == uint64(n) {
			return uint64(n), nil
		}
		return 0, faultf("%d is no %s", n, t.op)
	case uint64: // which is above the largest int64
		if t.op == opUint64 {
			return n, nil
		}
		return 0, faultf("%d is no %s", n, t.op)
	}
	return 0, unfit(v, t.op)
}

// floatBits takes integers too, if they are exact, as people and scripts write 3 for 3.0.
func (t *typ) floatBits(v any) (uint64, *fault) {
	x, ok := v.(float64)
	if n, isInt := v.(int64); isInt {
		const exact = 1 << 53
		x, ok = float64(n), n >= -exact && n <= exact
		if !ok {
			return 0, faultf("%d is no %s", n, t.op)
		}
	}
	if !ok {
		return 0, unfit(v, t.op)
	}
	if t.op == opFloat64 {
		return math.Float64bits(x), nil
	}
	y := float32(x)
	if math.IsInf(float64(y), 0) && !math.IsInf(x, 0) {
		return 0, faultf("%v is no %s", x, t.op)
	}
	return uint64(math.Float32bits(y)), nil
}

// enumerant finds a name, or takes the number of one that the schema does not have.
func (t *typ) enumerant(name string) (uint64, *fault) {
	if i := slices.Index(t.names, name); i >= 0 {
		return uint64(i), nil
	}
	if n, err := strconv.ParseUint(name, 10, 16); err == nil {
		return n, nil
	}
	return 0, faultf("%s is not in the enum; there are: %s", strconv.Quote(name), strings.Join(t.names, ", "))
}

// point sets a pointer of s to p.
func point(s capnp.Struct, at uint32, p capnp.Ptr) *fault {
	if err := s.SetPtr(uint16(at), p); err != nil {
		return faultf("%w", err)
	}
	return nil
}

// point writes v and sets a pointer of s to it. Nil is null.
func (w *writer) point(s capnp.Struct, at uint32, t *typ, v any, depth int) *fault {
	if f := tooDeep(depth); v == nil || f != nil {
		return f
	}
	switch t.op {
	case opText, opData:
		return w.blob(s, at, t, v)
	case opList:
		return w.list(s, at, t, v, depth)
	case opMap:
		return w.entries(s, at, t.of, v, depth)
	case opRef:
		return w.ref(s, at, v)
	}
	size := t.size()
	if f := w.take(sizeOf(size)); f != nil {
		return f
	}
	child, err := capnp.NewStruct(s.Segment(), size)
	if err != nil {
		return faultf("%w", err)
	}
	if f := w.structure(child, t, v, depth); f != nil {
		return f
	}
	return point(s, at, child.ToPtr())
}

// size is that of a t that is a struct on the wire.
func (t *typ) size() capnp.ObjectSize {
	switch t.op {
	case opTime:
		return timeSize()
	case opValue:
		return valueSize()
	default:
		return t.of.size
	}
}

func sizeOf(size capnp.ObjectSize) int { return int(size.DataSize) + 8*int(size.PointerCount) }

// structure writes v to a t that is a struct on the wire.
func (w *writer) structure(s capnp.Struct, t *typ, v any, depth int) *fault {
	switch t.op {
	case opTime:
		return writeTime(s, v)
	case opValue:
		return w.value(s, v, depth)
	default:
		return w.fields(s, t.of, v, depth)
	}
}

// blob writes a Text or Data.
func (w *writer) blob(s capnp.Struct, at uint32, t *typ, v any) *fault {
	var l capnp.UInt8List
	var err error
	switch x := v.(type) {
	case string:
		if t.op != opText {
			return unfit(v, t.op)
		}
		if !utf8.ValidString(x) {
			return notUTF8()
		}
		if f := w.take(len(x) + 1); f != nil {
			return f
		}
		l, err = capnp.NewText(s.Segment(), x)
	case []byte:
		if t.op == opText {
			return notUTF8() // this is how caps decodes such a string
		}
		if t.len > 0 && t.len != len(x) {
			return faultf("%d bytes; %d are wanted", len(x), t.len)
		}
		if f := w.take(len(x)); f != nil {
			return f
		}
		l, err = capnp.NewData(s.Segment(), x)
	default:
		return unfit(v, t.op)
	}
	if err != nil {
		return faultf("%w", err)
	}
	return point(s, at, l.ToPtr())
}

func notUTF8() *fault {
	return faultf("bytes, or text that is not UTF-8; Text has to be UTF-8. Is it a []byte by rights?")
}

func (w *writer) ref(s capnp.Struct, at uint32, v any) *fault {
	r, ok := v.(caps.Ref)
	if !ok {
		return unfit(v, opRef)
	}
	if r.IsNull() {
		return nil
	}
	// The pointer and what describes the capability beside the message.
	if f := w.take(32); f != nil {
		return f
	}
	c, err := w.refs(r)
	if err != nil {
		return &fault{err: err}
	}
	id := s.Message().CapTable().Add(c)
	return point(s, at, capnp.NewInterface(s.Segment(), id).ToPtr())
}

// structs makes a list of structs below s.
func (w *writer) structs(s capnp.Struct, size capnp.ObjectSize, n, depth int) (capnp.List, *fault) {
	if f := tooDeep(depth + 1); f != nil {
		return capnp.List{}, f
	}
	if f := w.take(8 + n*sizeOf(size)); f != nil {
		return capnp.List{}, f
	}
	l, err := capnp.NewCompositeList(s.Segment(), size, int32(n))
	if err != nil {
		return l, faultf("%w", err)
	}
	return l, nil
}

// plain makes a list, below s, of t that are no structs.
func (w *writer) plain(s capnp.Struct, t *typ, n int) (capnp.List, *fault) {
	width := t.width()
	if width == 0 && t.op != opVoid {
		width = 64
	}
	if f := w.take((n*width + 7) / 8); f != nil {
		return capnp.List{}, f
	}
	l, err := newPlain(s.Segment(), t.width(), int32(n), t.op)
	if err != nil {
		return l, faultf("%w", err)
	}
	return l, nil
}

func newPlain(in *capnp.Segment, width int, n int32, of op) (capnp.List, error) {
	switch width {
	case 1:
		l, err := capnp.NewBitList(in, n)
		return capnp.List(l), err
	case 8:
		l, err := capnp.NewUInt8List(in, n)
		return capnp.List(l), err
	case 16:
		l, err := capnp.NewUInt16List(in, n)
		return capnp.List(l), err
	case 32:
		l, err := capnp.NewUInt32List(in, n)
		return capnp.List(l), err
	case 64:
		l, err := capnp.NewUInt64List(in, n)
		return capnp.List(l), err
	}
	if of == opVoid {
		return capnp.List(capnp.NewVoidList(in, n)), nil
	}
	l, err := capnp.NewPointerList(in, n)
	return capnp.List(l), err
}

func (w *writer) list(s capnp.Struct, at uint32, t *typ, v any, depth int) *fault {
	list, ok := v.([]caps.Value)
	if !ok {
		return unfit(v, opList)
	}
	if t.len > 0 && t.len != len(list) {
		return faultf("%d elements; %d are wanted", len(list), t.len)
	}
	if t.elem.inline() {
		return w.inline(s, at, t.elem, list, depth)
	}
	if f := tooDeep(depth + 1); f != nil {
		return f
	}
	l, f := w.plain(s, t.elem, len(list))
	if f != nil {
		return f
	}
	alone := &field{typ: *t.elem}
	for i, e := range list {
		if t.elem.op == opBool {
			bit, f := t.elem.bits(e.Any())
			if f != nil {
				return f.index(i)
			}
			capnp.BitList(l).Set(i, bit == 1)
			continue
		}
		if f := w.member(l.Struct(i), alone, e.Any(), depth+1); f != nil {
			return f.index(i)
		}
	}
	return point(s, at, l.ToPtr())
}

// inline writes a list of structs.
func (w *writer) inline(s capnp.Struct, at uint32, elem *typ, list []caps.Value, depth int) *fault {
	l, f := w.structs(s, elem.size(), len(list), depth)
	if f != nil {
		return f
	}
	for i, e := range list {
		v := e.Any()
		f := w.structure(l.Struct(i), elem, v, depth+1)
		if v == nil && elem.null {
			f = faultf("nil; the elements of a list of structs cannot be missing")
		}
		if f != nil {
			return f.index(i)
		}
	}
	return point(s, at, l.ToPtr())
}

// entries writes a map.
func (w *writer) entries(s capnp.Struct, at uint32, of *record, v any, depth int) *fault {
	list, ok := v.([]caps.Entry)
	if !ok {
		return unfit(v, opMap)
	}
	l, f := w.structs(s, of.size, len(list), depth)
	if f != nil {
		return f
	}
	for i, e := range list {
		if f := w.member(l.Struct(i), of.fields[0], e.Key.Any(), depth+1); f != nil {
			return f.field("key").index(i)
		}
		if f := w.member(l.Struct(i), of.fields[1], e.Val.Any(), depth+1); f != nil {
			return f.field("[" + e.Key.String() + "]")
		}
	}
	return point(s, at, l.ToPtr())
}

// unfit says that v is not what is written as want.
func unfit(v any, want op) *fault {
	is := "nil"
	switch v.(type) {
	case bool:
		is = "a bool"
	case int64, uint64:
		is = "an integer"
	case float64:
		is = "a float"
	case string:
		is = "text"
	case []byte:
		is = "bytes"
	case time.Time:
		is = "a time"
	case caps.Ref:
		is = "a capability"
	case []caps.Value:
		is = "a list"
	case []caps.Entry:
		is = "a struct or map"
	}
	return faultf("%s; %s is wanted", is, want)
}
