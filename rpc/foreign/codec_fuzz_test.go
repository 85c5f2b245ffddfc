package foreign

import (
	"os"
	"path/filepath"
	"testing"

	"capnproto.org/go/capnp/v3"

	"github.com/sturdyrt/sturdy/caps"
)

// FuzzReadRecord: whatever a peer sends is refused or is a value, of no more than what the
// budget has, that can be sent on and is then the same.
func FuzzReadRecord(f *testing.F) {
	every := everyRecord(f)
	for seed := range uint64(20) {
		f.Add(framed(f, written(f, every, newDice(f, seed).fields(every, 4))))
	}
	const elements, bytes = 2000, 20000
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := capnp.Unmarshal(b)
		if err != nil {
			return
		}
		p, err := m.Root()
		if err != nil {
			return
		}
		r := generous()
		r.elements, r.bytes = elements, bytes
		v, err := r.record(p.Struct(), every)
		if err != nil {
			return
		}
		if n := count(v); n > 2*elements {
			t.Fatalf("%d values", n)
		}
		// A member of a union that this schema does not have is the first one afterwards, so
		// it is the second time that nothing may change.
		again := passOn(t, every, v)
		if third := passOn(t, every, again); dump(again) != dump(third) {
			t.Fatalf("%s\nbecame\n%s", dump(again), dump(third))
		}
	})
}

// passOn writes and reads v.
func passOn(t *testing.T, of *record, v caps.Value) caps.Value {
	s := blank(t, of)
	if err := plenty().record(s, of, v); err != nil {
		t.Fatalf("%s was read and is not written: %v", dump(v), err)
	}
	return mustRead(t, s, of)
}

func count(v caps.Value) (n int) {
	switch x := v.Any().(type) {
	case []caps.Value:
		for _, e := range x {
			n += count(e)
		}
	case []caps.Entry:
		for _, e := range x {
			n += count(e.Val)
		}
	}
	return n + 1
}

// FuzzLoad: a schema is refused, or everything in it that can be called has parameters and
// results that can be written and read.
func FuzzLoad(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "every.bin"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(raw(0))
	f.Add(raw(5<<32, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := load(b); err == nil {
			exercise(t, list, "fuzz")
		}
	})
}

// BenchmarkParams reads and writes parameters of three fields.
func BenchmarkParams(b *testing.B) {
	of := &record{size: capnp.ObjectSize{DataSize: 8, PointerCount: 2}, fields: []*field{
		{name: "To", label: "to", typ: typ{op: opText}},
		{name: "Amount", label: "amount", typ: typ{op: opInt64}},
		{name: "Memo", label: "memo", typ: typ{op: opText}, offset: 1},
	}}
	v := fieldsOf(b, "To", "anna", "Amount", 1234, "Memo", "for lunch")
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		m, _ := capnp.NewSingleSegmentMessage(nil)
		for b.Loop() {
			seg, err := m.Reset(capnp.SingleSegment(nil))
			if err != nil {
				b.Fatal(err)
			}
			s, err := capnp.NewRootStruct(seg, of.size)
			if err != nil {
				b.Fatal(err)
			}
			if err := plenty().record(s, of, v); err != nil {
				b.Fatal(err)
			}
		}
	})
	s := written(b, of, v)
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Message().ResetReadLimit(1 << 30)
			if _, err := generous().record(s, of); err != nil {
				b.Fatal(err)
			}
		}
	})
}
