package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"capnproto.org/go/capnp/v3"

	"github.com/sturdyrt/sturdy/caps"
)

// dice makes random records and values from a seed.
type dice struct {
	*rand.Rand
	t    testing.TB
	refs []caps.Ref // that may stand in values
	// textual: only what capnp reads from text. It takes no unknown enumerants and no -0, and
	// loses its place at a parenthesis in data.
	textual bool
}

func newDice(t testing.TB, seed uint64) *dice {
	return &dice{Rand: rand.New(rand.NewPCG(seed, 1)), t: t}
}

// record makes a random one. Its layout is a dumb one: every field after the one before.
func (d *dice) record(depth int) *record {
	of := &record{label: "R" + strconv.Itoa(d.IntN(1000))}
	bits, pointers := uint32(0), uint32(0)
	for i := range d.IntN(6) {
		f := &field{ordinal: uint16(i), typ: d.typ(depth)}
		f.name = "F" + strconv.Itoa(i)
		f.label = "f" + strconv.Itoa(i)
		f.gone = d.IntN(8) == 0
		if w := uint32(f.typ.width()); w > 0 {
			bits = (bits + w - 1) / w * w
			if f.offset = bits; w > 1 {
				f.offset /= 8
			}
			bits += w
			if d.IntN(3) == 0 {
				f.def = d.number(&f.typ)
			}
		} else if f.typ.op != opVoid {
			f.offset = pointers
			pointers++
		}
		of.fields = append(of.fields, f)
	}
	if len(of.fields) > 2 && d.IntN(2) == 0 {
		bits = (bits + 15) / 16 * 16
		of.choice, of.tagAt = true, bits/8
		bits += 16
		for i, f := range of.fields[1:] {
			f.choice, f.tag, f.gone = true, uint16(i), false
		}
	}
	of.size = capnp.ObjectSize{DataSize: capnp.Size((bits + 63) / 64 * 8), PointerCount: uint16(pointers)}
	return of
}

// number is a random default: bits that are a value of t.
func (d *dice) number(t *typ) uint64 {
	n, f := t.bits(d.value(t, 0).Any())
	if f != nil {
		d.t.Fatal(f.outcome())
	}
	return n
}

func (d *dice) typ(depth int) typ {
	t := typ{op: op(d.IntN(int(opEnum) + 1)), null: d.IntN(3) == 0}
	for depth <= 0 && (t.op == opList || t.op == opStruct || t.op == opMap || t.op == opOptional) {
		t.op = op(d.IntN(int(opEnum) + 1))
	}
	switch t.op {
	case opData:
		t.len = max(0, d.IntN(5)-2)
	case opList:
		elem := d.typ(depth - 1)
		if elem.inline() {
			elem.null = false
		}
		for elem.op == opOptional { // which cannot be null in a list
			elem = d.typ(depth - 1)
		}
		t.elem, t.len = &elem, max(0, d.IntN(6)-3)
	case opStruct:
		t.of = d.record(depth - 1)
	case opOptional:
		t.of = &record{bare: true, size: capnp.ObjectSize{DataSize: 8}, fields: []*field{{typ: typ{op: opInt32}}}}
	case opMap:
		key := [...]op{opText, opInt64, opUint16, opBool}[d.IntN(4)]
		t.of = &record{
			size:   capnp.ObjectSize{DataSize: 8, PointerCount: 2},
			fields: []*field{{typ: typ{op: key}}, {typ: typ{op: opText}, offset: 1}},
		}
	case opEnum:
		t.names = []string{"red", "green", "lightBlue"}
	}
	if t.width() > 0 || t.op == opVoid || t.op == opValue || t.op == opRef || t.op == opOptional || t.op == opMap {
		t.null = false
	}
	return t
}

// fields makes a value of every field that is there, but for some.
func (d *dice) fields(of *record, depth int) caps.Value {
	if of.bare {
		return d.value(&of.only().typ, depth)
	}
	list := []caps.Entry{}
	choice := d.IntN(max(1, len(of.fields)))
	for i, f := range of.fields {
		if f.gone || f.choice && i != choice || d.IntN(5) == 0 {
			continue
		}
		v := d.value(&f.typ, depth)
		if f.typ.op == opGroup {
			v = d.fields(f.typ.of, depth)
		}
		if f.choice && f.typ.op == opVoid {
			v = val(d.t, true)
		}
		list = append(list, caps.Entry{Key: val(d.t, f.name), Val: v})
	}
	d.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return val(d.t, list)
}

func (d *dice) value(t *typ, depth int) caps.Value {
	if t.null && d.IntN(3) == 0 {
		return caps.Value{}
	}
	switch t.op {
	case opBool:
		return val(d.t, d.IntN(2) == 0)
	case opInt8, opInt16, opInt32, opInt64, opUint8, opUint16, opUint32, opUint64:
		return d.integer(t)
	case opFloat32:
		zero := float32(math.Copysign(0, -1))
		if d.textual {
			zero = 0
		}
		return val(d.t, [...]float32{zero, -1.5, 3e38, 1e-40, float32(math.Inf(-1))}[d.IntN(5)])
	case opFloat64:
		return val(d.t, [...]float64{0, d.NormFloat64(), 1e300, math.Inf(1), math.NaN(), 5e-324}[d.IntN(6)])
	case opText:
		return val(d.t, [...]string{"", "a", "häß€𝄞", "\x00\n\"'\\", "x\u0085\u202e"}[d.IntN(5)])
	case opData:
		b := make([]byte, max(t.len, d.IntN(4)))
		if t.len > 0 {
			b = b[:t.len]
		}
		for i := range b {
			if b[i] = byte(d.Uint32()); d.textual {
				b[i] |= 0x80
			}
		}
		return val(d.t, b)
	case opTime:
		return val(d.t, time.Unix(d.Int64N(lastSecond-firstSecond)+firstSecond, d.Int64N(1e9)))
	case opValue:
		return d.free(min(depth, 2))
	case opRef:
		return d.ref()
	case opEnum:
		names := []string{"red", "green", "lightBlue", "3", "65535"}
		if d.textual {
			names = names[:3]
		}
		return val(d.t, names[d.IntN(len(names))])
	case opStruct, opOptional:
		if depth <= 0 && t.null {
			return caps.Value{}
		}
		return d.fields(t.of, depth-1)
	case opList:
		return d.list(t, depth)
	case opMap:
		return d.entries(t, depth)
	}
	return caps.Value{}
}

func (d *dice) integer(t *typ) caps.Value {
	n := d.Uint64()
	if d.IntN(2) == 0 {
		n = ^uint64(0) << d.IntN(64)
	}
	cut := 64 - t.width()
	if t.op >= opInt8 && t.op <= opInt64 {
		return val(d.t, int64(n)<<cut>>cut)
	}
	return val(d.t, n<<cut>>cut)
}

func (d *dice) ref() caps.Value {
	if len(d.refs) == 0 || d.IntN(4) == 0 {
		return val(d.t, caps.Ref{})
	}
	return val(d.t, d.refs[d.IntN(len(d.refs))])
}

func (d *dice) list(t *typ, depth int) caps.Value {
	n := t.len
	if n == 0 && depth > 0 {
		n = d.IntN(4)
	}
	list := make([]caps.Value, n)
	for i := range list {
		list[i] = d.value(t.elem, depth-1)
	}
	return val(d.t, list)
}

func (d *dice) entries(t *typ, depth int) caps.Value {
	list := []caps.Entry{}
	seen := map[any]bool{}
	for range d.IntN(4) {
		k := d.value(&t.of.fields[0].typ, depth-1)
		if !seen[k.Any()] {
			seen[k.Any()] = true
			list = append(list, caps.Entry{Key: k, Val: d.value(&t.of.fields[1].typ, depth-1)})
		}
	}
	return val(d.t, list)
}

// free makes any Value.
func (d *dice) free(depth int) caps.Value {
	ops := []op{opVoid, opBool, opInt64, opUint64, opFloat64, opText, opData, opTime, opRef}
	if len(d.refs) == 0 {
		ops = ops[:len(ops)-1]
	}
	switch n := d.IntN(len(ops) + 2*max(0, min(depth, 1))); n {
	case len(ops):
		return d.list(&typ{elem: &typ{op: opValue}}, depth)
	case len(ops) + 1:
		return d.entries(&typ{of: &record{fields: []*field{{typ: typ{op: opText}}, {typ: typ{op: opValue}}}}}, depth)
	default:
		return d.value(&typ{op: ops[n]}, depth)
	}
}

// twin says what is read after v was written, without writing anything: the dumb way.
type twin struct{ t testing.TB }

func (w twin) fields(of *record, v caps.Value) caps.Value {
	if of.bare {
		out, _ := w.field(of.only(), v, true)
		return out
	}
	given := map[string]caps.Value{}
	entries, _ := v.Any().([]caps.Entry)
	chosen := ""
	for _, e := range entries {
		name := e.Key.Any().(string)
		given[name] = e.Val
		for _, f := range of.fields {
			if f.choice && f.name == name && e.Val.Any() != nil {
				chosen = name
			}
		}
	}
	list := []caps.Entry{}
	for _, f := range of.fields {
		if f.gone || f.choice && f.name != chosen && (chosen != "" || f.tag != 0) {
			continue
		}
		if out, there := w.field(f, given[f.name], false); there {
			list = append(list, caps.Entry{Key: val(w.t, f.name), Val: out})
		}
	}
	return val(w.t, list)
}

func (w twin) field(f *field, v caps.Value, bare bool) (out caps.Value, there bool) {
	switch {
	case f.typ.op == opGroup:
		return w.fields(f.typ.of, v), true
	case f.typ.op == opVoid && f.choice:
		return val(w.t, true), true
	case v.Any() != nil:
		return w.value(&f.typ, v), true
	case f.absent.Any() != nil:
		return f.absent, true
	case f.choice && w.value(&f.typ, v).Any() == nil:
		return w.none(&f.typ), true
	case !bare && f.typ.null && (f.typ.op == opStruct || f.typ.op == opTime):
		return caps.Value{}, false
	case f.def != 0:
		return w.number(&f.typ, f.def), true
	}
	return w.value(&f.typ, v), true
}

func (w twin) none(t *typ) caps.Value {
	switch t.op {
	case opData:
		return val(w.t, []byte{})
	case opList:
		return val(w.t, []any{})
	case opMap:
		return val(w.t, []caps.Entry{})
	case opTime:
		return val(w.t, time.Time{})
	case opStruct:
		return w.fields(t.of, caps.Value{})
	}
	return caps.Value{}
}

// number is what the bits n are.
func (w twin) number(t *typ, n uint64) caps.Value {
	switch t.op {
	case opBool:
		return val(w.t, n == 1)
	case opInt8:
		return val(w.t, int8(n))
	case opInt16:
		return val(w.t, int16(n))
	case opInt32:
		return val(w.t, int32(n))
	case opInt64:
		return val(w.t, int64(n))
	case opFloat32:
		return val(w.t, math.Float32frombits(uint32(n)))
	case opFloat64:
		return val(w.t, math.Float64frombits(n))
	case opEnum:
		if n < uint64(len(t.names)) {
			return val(w.t, t.names[n])
		}
		return val(w.t, strconv.Itoa(int(n)))
	}
	return val(w.t, n)
}

func (w twin) value(t *typ, v caps.Value) caps.Value {
	null := v.Any() == nil
	switch {
	case null && t.width() > 0:
		return w.number(t, 0)
	case null && (t.null || t.op == opOptional || t.op == opValue || t.op == opVoid || t.op == opMap):
		return v
	case null && t.op == opText:
		return val(w.t, "")
	case null && t.op == opTime:
		return val(w.t, time.Time{})
	case null && t.op == opRef:
		return val(w.t, caps.Ref{})
	case null && t.op == opData:
		if t.len == 0 {
			return v
		}
		return val(w.t, make([]byte, t.len))
	case null && t.op == opList && t.len == 0:
		return v
	case t.op == opStruct:
		return w.fields(t.of, v)
	case t.op == opList:
		list, _ := v.Any().([]caps.Value)
		out := make([]caps.Value, max(len(list), t.len))
		for i := range out {
			var e caps.Value
			if i < len(list) {
				e = list[i]
			}
			out[i] = w.value(t.elem, e)
		}
		return val(w.t, out)
	}
	return v
}

// standIns is both directions of refs for tests: a client for every Ref.
type standIns struct {
	refs    []caps.Ref
	clients []capnp.Client
}

type nobody struct{ int }

func (*nobody) Deliver(context.Context, caps.Ref, caps.Message) (caps.Reply, error) {
	return caps.Reply{}, errors.New("nobody is here")
}

func newStandIns(t testing.TB, n int) *standIns {
	s, maker := &standIns{}, caps.NewMaker()
	for i := range n {
		s.refs = append(s.refs, maker.Make(&nobody{i}, caps.Authority{}))
		s.clients = append(s.clients, capnp.ErrorClient(fmt.Errorf("client %d", i)))
	}
	t.Cleanup(func() {
		for _, c := range s.clients {
			c.Release()
		}
	})
	return s
}

func (s *standIns) client(r caps.Ref) (capnp.Client, error) {
	return s.clients[slices.Index(s.refs, r)].AddRef(), nil
}

func (s *standIns) ref(c capnp.Client) (caps.Ref, error) {
	return s.refs[slices.IndexFunc(s.clients, c.IsSame)], nil
}

// sent is s after it went over a wire.
func sent(t testing.TB, s capnp.Struct) capnp.Struct {
	out := rooted(t, framed(t, s))
	for i := range s.Message().CapTable().Len() {
		out.Message().CapTable().Add(s.Message().CapTable().At(i).AddRef())
	}
	return out
}

// TestRandomRecordsComeBack: random values of random records are written, sent and read.
func TestRandomRecordsComeBack(t *testing.T) {
	peers := newStandIns(t, 3)
	for seed := range uint64(2000) {
		d := newDice(t, seed)
		d.refs = peers.refs
		of := d.record(3)
		v := d.fields(of, 4)
		w, s := plenty(), blank(t, of)
		w.refs = peers.client
		if err := w.record(s, of, v); err != nil {
			t.Fatalf("seed %d: writing %s: %v", seed, v, err)
		}
		other := sent(t, s)
		got, err := generous(peers.ref).record(other, of)
		if err != nil {
			t.Fatalf("seed %d: reading %s: %v", seed, v, err)
		}
		if want := (twin{t}).fields(of, v); dump(got) != dump(want) {
			t.Fatalf("seed %d:\nwrote %s\ngot   %s\nwant  %s", seed, dump(v), dump(got), dump(want))
		}
		s.Message().Release()
		other.Message().Release()
	}
}

// TestRandomValuesThroughTheCompiler: what we write reads as text for capnp, which writes it
// again from that text, and we read that.
func TestRandomValuesThroughTheCompiler(t *testing.T) {
	of := everyRecord(t)
	var values []caps.Value
	var stream []byte
	for seed := range uint64(300) {
		d := newDice(t, seed)
		d.textual = true
		v := d.fields(of, 5)
		values = append(values, v)
		stream = append(stream, framed(t, written(t, of, v))...)
	}
	text := compiler(t, stream, "decode", "every.capnp", "Every")
	back := capnp.NewDecoder(bytes.NewReader(compiler(t, text, "encode", "every.capnp", "Every")))
	for seed, v := range values {
		m, err := back.Decode()
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.Root()
		if err != nil {
			t.Fatal(err)
		}
		got, want := mustRead(t, p.Struct(), of), (twin{t}).fields(of, v)
		if dump(got) != dump(want) {
			t.Fatalf("seed %d:\nwrote %s\ngot   %s\nwant  %s", seed, dump(v), dump(got), dump(want))
		}
	}
}
