package caps

import (
	"bytes"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

func seeds(f *testing.F) {
	for _, body := range hostile {
		if len(body) < 100 {
			f.Add([]byte(body))
		}
	}
	g := newGen(1)
	for _, typ := range targets {
		c, err := CodecFor(typ)
		check(err)
		body, _ := c.Append(nil, nil, pointer(g.value(typ, 4)))
		f.Add(body)
	}
}

// FuzzDecode: no bytes make Decode or Load panic, for any of the target types, and what
// decodes is a value like any other.
func FuzzDecode(f *testing.F) {
	seeds(f)
	slots := []Ref{NewMaker().Make(&thing{"a"}, Full()), {}}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, typ := range targets {
			c, err := CodecFor(typ)
			check(err)
			decodeAny(t, c, body, slots)
		}
	})
}

// FuzzScan: what passes the scan, the library takes for one element too.
func FuzzScan(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if scan(body, 0) != nil {
			return
		}
		r := bytes.NewReader(body)
		if err := msgpack.NewDecoder(r).Skip(); err != nil || r.Len() > 0 {
			t.Errorf("%x: %v, %d bytes left", body, err, r.Len())
		}
	})
}

// FuzzValue: a Value that was decoded prints on one bounded line, is accepted by ValueOf,
// and encodes to what decodes to the same.
func FuzzValue(f *testing.F) {
	seeds(f)
	slots := []Ref{NewMaker().Make(&thing{"line\nbreak"}, Full())}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := decode[Value](t, body, slots...)
		if err != nil {
			return
		}
		checkText(t, v)
		w, err := ValueOf(v.Any())
		if err != nil {
			t.Fatalf("%x: %v", body, err)
		}
		if !sameValue(v, w) {
			t.Errorf("%v became %v", v, w)
		}
		again, refs := encode(t, v)
		x, err := decode[Value](t, again, refs...)
		if err != nil || x.String() != v.String() {
			t.Errorf("%v became %v, %v", v, x, err)
		}
	})
}
