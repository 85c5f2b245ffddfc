package foreign

import (
	"math"
	"strconv"
	"unicode/utf8"

	"capnproto.org/go/capnp/v3"

	"github.com/sturdyrt/sturdy/caps"
)

// deepest is how many structs, lists and elements may stand in each other. It is what other
// implementations read by default, so nothing deeper is written either.
const deepest = 64

// reader makes values of what a peer sent. A message of a few bytes can stand for any number
// of them, by pointers to the same place and by lists of nothing; so it is not the size of the
// message that is bounded here but that of the values.
type reader struct {
	elements int // fields and elements of lists that may still be made
	bytes    int // bytes of texts and data that may still be made
	// refs is who a client is. It must not keep the client, but may keep another reference.
	refs func(capnp.Client) (caps.Ref, error)
}

// record is what s holds: entries by the names of its fields, or the only field of a bare one.
func (r *reader) record(s capnp.Struct, of *record) (caps.Value, error) {
	v, f := r.fields(s, of, 1)
	return v, f.outcome()
}

// take charges for n elements.
func (r *reader) take(n int) *fault {
	if n < 0 || n > r.elements {
		r.elements = 0
		return faultf("the message stands for too many values")
	}
	r.elements -= n
	return nil
}

// takeBytes charges for n bytes.
func (r *reader) takeBytes(n int) *fault {
	if n > r.bytes {
		r.bytes = 0
		return faultf("the message stands for too many bytes of text and data")
	}
	r.bytes -= n
	return nil
}

func tooDeep(depth int) *fault {
	if depth > deepest {
		return faultf("nested deeper than %d", deepest)
	}
	return nil
}

// fields reads a struct or a group in it.
func (r *reader) fields(s capnp.Struct, of *record, depth int) (caps.Value, *fault) {
	if f := tooDeep(depth); f != nil {
		return caps.Value{}, f
	}
	if f := r.take(len(of.fields)); f != nil {
		return caps.Value{}, f
	}
	if of.bare {
		return r.member(s, of.only(), depth)
	}
	tag := s.Uint16(capnp.DataOffset(of.tagAt))
	list := make([]caps.Entry, 0, len(of.fields))
	for _, field := range of.fields {
		if field.gone || field.choice && field.tag != tag {
			continue
		}
		if field.unset(s) {
			continue
		}
		v, f := r.member(s, field, depth)
		if f != nil {
			return v, f.field(field.label)
		}
		list = append(list, caps.Entry{Key: valueOf(field.name), Val: v})
	}
	return value(list)
}

// unset: a null struct that means nil is left out, which is nil for a pointer and zero for a
// struct: only who reads the value knows which of them it is.
func (d *field) unset(s capnp.Struct) bool {
	if !d.typ.null || d.choice || d.typ.op != opStruct && d.typ.op != opTime {
		return false
	}
	return d.absent == (caps.Value{}) && !s.HasPtr(uint16(d.offset))
}

// member reads a field.
func (r *reader) member(s capnp.Struct, d *field, depth int) (caps.Value, *fault) {
	switch t := &d.typ; {
	case t.op == opGroup:
		return r.fields(s, t.of, depth+1)
	case t.op == opVoid:
		// That it is set is all that a choice of nothing says.
		if d.choice {
			return valueOf(true), nil
		}
		return caps.Value{}, nil
	case t.width() > 0:
		return valueOf(t.number(s, d.offset, d.def)), nil
	case s.HasPtr(uint16(d.offset)):
		p, err := s.Ptr(uint16(d.offset))
		if err != nil {
			return caps.Value{}, faultf("%w", err)
		}
		return r.pointer(p, t, depth+1)
	case d.absent != (caps.Value{}):
		return d.absent, r.take(d.cost)
	default:
		v, f := r.zero(t, depth+1)
		if f == nil && d.choice && v == (caps.Value{}) {
			return r.empty(t, depth+1)
		}
		return v, f
	}
}

// width is how many bits a number has; 0 for everything else.
func (t *typ) width() int {
	switch t.op {
	case opBool:
		return 1
	case opInt8, opUint8:
		return 8
	case opInt16, opUint16, opEnum:
		return 16
	case opInt32, opUint32, opFloat32:
		return 32
	case opInt64, opUint64, opFloat64:
		return 64
	}
	return 0
}

// bits reads what is width bits wide at offset; zero where the struct of an older peer ends
// before it.
func bits(s capnp.Struct, offset uint32, width int) uint64 {
	switch at := capnp.DataOffset(offset); width {
	case 1:
		if s.Bit(capnp.BitOffset(offset)) {
			return 1
		}
		return 0
	case 8:
		return uint64(s.Uint8(at))
	case 16:
		return uint64(s.Uint16(at))
	case 32:
		return uint64(s.Uint32(at))
	default:
		return s.Uint64(at)
	}
}

// number reads a bool, a number or an enum, whose default is def.
func (t *typ) number(s capnp.Struct, offset uint32, def uint64) any {
	n := bits(s, offset, t.width()) ^ def
	switch t.op {
	case opBool:
		return n == 1
	case opInt8:
		return int64(int8(n))
	case opInt16:
		return int64(int16(n))
	case opInt32:
		return int64(int32(n))
	case opUint8, opUint16, opUint32, opInt64:
		return int64(n)
	case opFloat32:
		return float64(math.Float32frombits(uint32(n)))
	case opFloat64:
		return math.Float64frombits(n)
	case opEnum:
		if n < uint64(len(t.names)) {
			return t.names[n]
		}
		return strconv.FormatUint(n, 10)
	}
	return n
}

// zero is what the null pointer means to a t that is not a pointer itself.
func (r *reader) zero(t *typ, depth int) (caps.Value, *fault) {
	if t.null {
		return caps.Value{}, nil
	}
	switch t.op {
	case opText:
		return valueOf(""), nil
	case opTime:
		return valueOf(zeroTime()), nil
	case opRef:
		return valueOf(caps.Ref{}), nil
	case opStruct:
		return r.fields(capnp.Struct{}, t.of, depth)
	case opData:
		if t.len > 0 {
			if f := r.takeBytes(t.len); f != nil {
				return caps.Value{}, f
			}
			return valueOf(make([]byte, t.len)), nil
		}
	case opList:
		if t.len > 0 {
			return r.zeros(t, depth)
		}
	}
	return caps.Value{}, nil
}

// zeros is an array of which nothing was sent.
func (r *reader) zeros(t *typ, depth int) (caps.Value, *fault) {
	if f := r.take(t.len); f != nil {
		return caps.Value{}, f
	}
	if f := tooDeep(depth); f != nil {
		return caps.Value{}, f
	}
	list, alone := make([]caps.Value, t.len), &field{typ: *t.elem}
	for i := range list {
		var f *fault
		if t.elem.inline() {
			list[i], f = r.zero(t.elem, depth+1)
		} else {
			list[i], f = r.member(capnp.Struct{}, alone, depth+1)
		}
		if f != nil {
			return caps.Value{}, f.index(i)
		}
	}
	return value(list)
}

// empty is a t that is there and has nothing in it, where nil would say that it is not there.
func (r *reader) empty(t *typ, depth int) (caps.Value, *fault) {
	switch t.op {
	case opData:
		return valueOf([]byte{}), nil
	case opList:
		return valueOf([]caps.Value{}), nil
	case opMap:
		return valueOf([]caps.Entry{}), nil
	case opTime:
		return valueOf(zeroTime()), nil
	case opStruct:
		return r.fields(capnp.Struct{}, t.of, depth)
	}
	return caps.Value{}, nil
}

// pointer reads what p, which is not null, points to.
func (r *reader) pointer(p capnp.Ptr, t *typ, depth int) (caps.Value, *fault) {
	if f := tooDeep(depth); f != nil {
		return caps.Value{}, f
	}
	switch t.op {
	case opText:
		return r.text(p)
	case opData:
		return r.data(p, t)
	case opList, opMap:
		l := p.List()
		if !l.IsValid() {
			return caps.Value{}, mismatch(p, t)
		}
		if t.op == opMap {
			return r.entries(l, t.of, depth)
		}
		return r.list(l, t, depth)
	case opRef:
		return r.ref(p)
	}
	s := p.Struct()
	if !s.IsValid() {
		return caps.Value{}, mismatch(p, t)
	}
	return r.structure(s, t, depth)
}

// structure reads a t that is a struct on the wire.
func (r *reader) structure(s capnp.Struct, t *typ, depth int) (caps.Value, *fault) {
	switch t.op {
	case opTime:
		return readTime(s)
	case opValue:
		return r.value(s, depth)
	default:
		return r.fields(s, t.of, depth)
	}
}

// mismatch says that p points to something else than t.
func mismatch(p capnp.Ptr, t *typ) *fault {
	is := "a capability"
	switch {
	case p.Struct().IsValid():
		is = "a struct"
	case p.List().IsValid():
		is = "a list"
	}
	return faultf("a pointer to %s; %s is wanted", is, t.op)
}

// text reads a Text. Others may send any bytes as one; a string of ours that is not UTF-8
// would be no text any more after it came back.
func (r *reader) text(p capnp.Ptr) (caps.Value, *fault) {
	b := p.TextBytes()
	if b == nil {
		if p.List().IsValid() {
			return caps.Value{}, faultf("a list that is no text: text is bytes with a zero after them")
		}
		return caps.Value{}, mismatch(p, &typ{op: opText})
	}
	if f := r.takeBytes(len(b)); f != nil {
		return caps.Value{}, f
	}
	if !utf8.Valid(b) {
		return caps.Value{}, faultf("text that is not UTF-8")
	}
	return valueOf(string(b)), nil
}

func (r *reader) data(p capnp.Ptr, t *typ) (caps.Value, *fault) {
	b := p.Data()
	if b == nil {
		if p.List().IsValid() {
			return caps.Value{}, faultf("a list that is no data: data is bytes")
		}
		return caps.Value{}, mismatch(p, t)
	}
	if t.len > 0 && len(b) != t.len {
		return caps.Value{}, faultf("%d bytes; %d are wanted", len(b), t.len)
	}
	f := r.takeBytes(len(b))
	if f != nil {
		return caps.Value{}, f
	}
	return valueOf(b), nil // which copies them
}

// ref reads a capability. A client that is null is the null Ref as a null pointer is.
func (r *reader) ref(p capnp.Ptr) (caps.Value, *fault) {
	i := p.Interface()
	if !i.IsValid() {
		return caps.Value{}, mismatch(p, &typ{op: opRef})
	}
	if !i.Message().CapTable().Contains(i) {
		return caps.Value{}, faultf("capability %d of %d in the message", i.Capability(), i.Message().CapTable().Len())
	}
	c := i.Client()
	if !c.IsValid() {
		return valueOf(caps.Ref{}), nil
	}
	ref, err := r.refs(c)
	if err != nil {
		return caps.Value{}, &fault{err: err}
	}
	return valueOf(ref), nil
}

// elementsOf charges for the elements of l and checks that t can be read from them. By the rules
// of Cap'n Proto a list of structs is also a list of what their first field was before there
// were more, and the other way round; but not of bools.
func (r *reader) elementsOf(l capnp.List, t *typ, depth int) *fault {
	if f := tooDeep(depth + 1); f != nil {
		return f
	}
	n := l.Len()
	if f := r.take(n); f != nil || n == 0 {
		return f
	}
	first := l.Struct(0) // a view of the element, whatever it is, but for bools
	have, wide := first.Size(), t.width()
	switch {
	case t.op == opVoid:
		return nil
	case t.op == opBool && !first.IsValid():
		return nil
	case t.op == opBool || !first.IsValid():
	case wide > 0 && int(have.DataSize)*8 >= wide:
		return nil
	case wide == 0 && (t.inline() || have.PointerCount > 0):
		return nil
	}
	return faultf("a list of something else than %s", t.op)
}

// inline: the elements of a list of t are structs rather than pointers.
func (t *typ) inline() bool {
	switch t.op {
	case opStruct, opOptional, opTime, opValue:
		return true
	}
	return false
}

func (r *reader) list(l capnp.List, t *typ, depth int) (caps.Value, *fault) {
	if t.len > 0 && l.Len() != t.len {
		return caps.Value{}, faultf("%d elements; %d are wanted", l.Len(), t.len)
	}
	if f := r.elementsOf(l, t.elem, depth); f != nil {
		return caps.Value{}, f
	}
	list, alone := make([]caps.Value, l.Len()), &field{typ: *t.elem}
	for i := range list {
		if t.elem.op == opBool {
			list[i] = valueOf(capnp.BitList(l).At(i))
			continue
		}
		v, f := r.element(l.Struct(i), alone, depth+1)
		if f != nil {
			return v, f.index(i)
		}
		list[i] = v
	}
	return value(list)
}

// element reads an element of a list: s itself, or what stands alone in s.
func (r *reader) element(s capnp.Struct, alone *field, depth int) (caps.Value, *fault) {
	if alone.typ.inline() {
		return r.structure(s, &alone.typ, depth)
	}
	return r.member(s, alone, depth)
}

// entries reads a map, which is a list of records of a key and a value. That a key is there
// once only, and may be one, is for caps to say.
func (r *reader) entries(l capnp.List, of *record, depth int) (caps.Value, *fault) {
	if f := r.elementsOf(l, &typ{op: opStruct}, depth); f != nil {
		return caps.Value{}, f
	}
	list := make([]caps.Entry, l.Len())
	for i := range list {
		s := l.Struct(i)
		f := r.take(len(of.fields))
		if f == nil {
			list[i].Key, f = r.member(s, of.fields[0], depth+1)
		}
		if f == nil {
			list[i].Val, f = r.member(s, of.fields[1], depth+1)
		}
		if f != nil {
			return caps.Value{}, f.index(i)
		}
	}
	return value(list)
}

// value makes a Value of what a peer put together, so that it may be refused.
func value(v any) (caps.Value, *fault) {
	out, err := caps.ValueOf(v)
	if err != nil {
		return caps.Value{}, &fault{err: err}
	}
	return out, nil
}

// valueOf makes a Value of a single thing.
func valueOf(v any) caps.Value {
	out, err := caps.ValueOf(v)
	if err != nil {
		panic(err) // only called with what is a Value by the type of it
	}
	return out
}
