package foreign

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/std/capnp/schema"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// compilation is a schema as the capnp compiler has understood it.
type compilation struct {
	t     testing.TB
	nodes map[uint64]schema.Node
	seen  map[string]bool
	count int // fields compared
}

// compiled gives a schema to the compiler, with sturdy.capnp beside it.
func compiled(t testing.TB, text string) *compilation {
	t.Helper()
	tool, err := exec.LookPath("capnp")
	if err != nil {
		t.Skip("the compiler of schemas, capnp, is not installed; apt install capnproto")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"kinds.capnp": text, "sturdy.capnp": Base("")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(tool, "compile", "-o-", "kinds.capnp")
	var said bytes.Buffer
	c.Dir, c.Stderr = dir, &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("capnp compile: %v\n%s\n%s", err, said.Bytes(), numberedLines(text))
	}
	msg, err := capnp.Unmarshal(out)
	check(t, err)
	msg.ResetReadLimit(1 << 40)
	request, err := schema.ReadRootCodeGeneratorRequest(msg)
	check(t, err)
	nodes, err := request.Nodes()
	check(t, err)
	all := &compilation{t: t, nodes: map[uint64]schema.Node{}}
	for i := range nodes.Len() {
		all.nodes[nodes.At(i).Id()] = nodes.At(i)
	}
	return all
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func numberedLines(text string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, line)
	}
	return b.String()
}

// same fails unless i is what the compiler makes of it: numbers, names, types, offsets and sizes.
func (c *compilation) same(i *iface) {
	c.t.Helper()
	c.seen = map[string]bool{}
	node, ok := c.nodes[i.id]
	if !ok || node.Which() != schema.Node_Which_interface {
		c.t.Fatalf("%s: no interface %x", i.kind, i.id)
	}
	methods, err := node.Interface().Methods()
	check(c.t, err)
	if methods.Len() != len(i.methods) {
		c.t.Fatalf("%s: %d methods, the compiler has %d", i.kind, len(i.methods), methods.Len())
	}
	for n, m := range i.methods {
		is := methods.At(n)
		name, err := is.Name()
		check(c.t, err)
		if name != m.label || int(m.ordinal) != n {
			c.t.Errorf("%s: %s @%d, the compiler has %s @%d", i.kind, m.label, m.ordinal, name, n)
		}
		where := i.label + "." + m.label
		c.record(where+"(", m.params, is.ParamStructType())
		c.record(where+")", m.results, is.ResultStructType())
	}
}

// record compares a struct.
func (c *compilation) record(where string, r *record, id uint64) {
	c.t.Helper()
	key := fmt.Sprintf("%p %x", r, id)
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	node := c.nodes[id]
	if node.Which() != schema.Node_Which_structNode {
		c.t.Errorf("%s: %x is no struct", where, id)
		return
	}
	s := node.StructNode()
	if got, want := r.size, (capnp.ObjectSize{DataSize: capnp.Size(s.DataWordCount()) * 8, PointerCount: s.PointerCount()}); got != want {
		c.t.Errorf("%s: %v, the compiler has %v", where, got, want)
	}
	fields, err := s.Fields()
	check(c.t, err)
	if fields.Len() != len(r.fields) {
		c.t.Errorf("%s: %d fields, the compiler has %d", where, len(r.fields), fields.Len())
		return
	}
	for n, f := range r.fields {
		c.field(where+"."+f.label, f, fields.At(n), n)
	}
}

func (c *compilation) field(where string, f *field, is schema.Field, n int) {
	c.t.Helper()
	c.count++
	name, err := is.Name()
	check(c.t, err)
	t, err := is.Slot().Type()
	check(c.t, err)
	offset := is.Slot().Offset()
	if log, ok := f.typ.logBits(); ok && log > 0 {
		offset = offset << log / 8
	}
	if f.typ.op == opVoid {
		offset = 0
	}
	if name != f.label || int(f.ordinal) != n || f.offset != offset {
		c.t.Errorf("%s: %s @%d at %d, the compiler has %s @%d at %d", where, f.label, f.ordinal, f.offset, name, n, offset)
	}
	if !f.gone { // what is gone may be in use elsewhere, and there be more than some pointer
		c.typ(where, &f.typ, t)
	}
}

func (c *compilation) typ(where string, t *typ, is schema.Type) {
	c.t.Helper()
	want := map[op]schema.Type_Which{
		opVoid: schema.Type_Which_void, opBool: schema.Type_Which_bool, opInt8: schema.Type_Which_int8, opInt16: schema.Type_Which_int16,
		opInt32: schema.Type_Which_int32, opInt64: schema.Type_Which_int64, opUint8: schema.Type_Which_uint8, opUint16: schema.Type_Which_uint16,
		opUint32: schema.Type_Which_uint32, opUint64: schema.Type_Which_uint64, opFloat32: schema.Type_Which_float32, opFloat64: schema.Type_Which_float64,
		opText: schema.Type_Which_text, opData: schema.Type_Which_data, opList: schema.Type_Which_list, opMap: schema.Type_Which_list,
		opStruct: schema.Type_Which_structType, opOptional: schema.Type_Which_structType, opTime: schema.Type_Which_structType,
		opValue: schema.Type_Which_structType, opRef: schema.Type_Which_interface,
	}[t.op]
	if is.Which() != want {
		c.t.Errorf("%s: %v, the compiler has %v", where, t.op, is.Which())
		return
	}
	switch t.op {
	case opList:
		elem, err := is.List().ElementType()
		check(c.t, err)
		c.typ(where+"[]", t.elem, elem)
	case opMap:
		elem, err := is.List().ElementType()
		check(c.t, err)
		c.record(where+"[]", t.of, elem.StructType().TypeId())
	case opStruct, opOptional:
		c.record(where, t.of, is.StructType().TypeId())
	case opTime, opValue:
		want := map[op]uint64{opTime: 0x8c2f6be4a97d0135, opValue: 0xd7e85c10f3b9a246}[t.op]
		if is.StructType().TypeId() != want {
			c.t.Errorf("%s: %v is %x", where, t.op, is.StructType().TypeId())
		}
	case opRef:
		if id := is.Interface().TypeId(); id != refID && id != grantID {
			c.t.Errorf("%s: a capability of type %x", where, id)
		}
	}
}

// agree prints kinds and compares what the compiler makes of that with what we do.
func agree(t testing.TB, kinds []sturdy.KindInfo) (text string) {
	t.Helper()
	var b strings.Builder
	check(t, Schema(&b, kinds, ""))
	c := compiled(t, b.String())
	all, err := interfaces(newest(kinds))
	check(t, err)
	for _, i := range all {
		c.same(i)
	}
	t.Logf("%d interfaces, %d fields in all uses", len(all), c.count)
	if t.Failed() {
		t.Log(numberedLines(b.String()))
	}
	return b.String()
}
