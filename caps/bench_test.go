package caps

import (
	"bytes"
	"reflect"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5"
)

// account is the flat struct of about 100 bytes that the figures are for.
type account struct {
	Owner   string
	Balance int64
	Opened  time.Time
	Note    string
}

var sample = account{"alice of the lower mill", 12_345_678, time.Unix(1_700_000_000, 5).UTC(), "opened at the counter, see the paper file"}

// basket is not flat.
type basket struct {
	Owner string
	Lines []Line
	Tags  []string
	Stock map[string]int64
}

var sampleBasket = basket{
	"bob",
	[]Line{{"pen", 3, 250}, {"ink", 1, 900}, {"paper", 500, 2}},
	[]string{"new", "paid"},
	map[string]int64{"pen": 4, "ink": 1},
}

func BenchmarkAppend(b *testing.B) {
	c := plan[account](b)
	var body []byte
	var slots []Ref
	b.ReportAllocs()
	for b.Loop() {
		body, slots = c.Append(body[:0], slots[:0], unsafe.Pointer(&sample))
	}
	b.ReportMetric(float64(len(body)), "bytes")
}

// BenchmarkLibraryAppend is Append as it would be on top of the library: the same plan, field
// names encoded beforehand, strings checked, and an Encoder from a pool that writes into the
// caller's bytes. It is what the decision for forms.go rests on.
func BenchmarkLibraryAppend(b *testing.B) {
	c := plan[account](b)
	pool := sync.Pool{New: func() any {
		w := &writer{}
		w.e = msgpack.NewEncoder(w)
		return w
	}}
	var body []byte
	b.ReportAllocs()
	for b.Loop() {
		w := pool.Get().(*writer)
		w.b = body[:0]
		w.encode(c.root, unsafe.Pointer(&sample))
		body, w.b = w.b, nil
		pool.Put(w)
	}
	want, _ := c.Append(nil, nil, unsafe.Pointer(&sample))
	if !bytes.Equal(body, want) {
		b.Errorf("%x, want %x", body, want)
	}
}

type writer struct {
	b []byte
	e *msgpack.Encoder
}

func (w *writer) Write(p []byte) (int, error) { w.b = append(w.b, p...); return len(p), nil }

func (w *writer) WriteByte(c byte) error { w.b = append(w.b, c); return nil }

func (w *writer) encode(n *node, p unsafe.Pointer) {
	switch n.op {
	case opStruct:
		check(w.e.EncodeMapLen(len(n.fields)))
		for i := range n.fields {
			f := &n.fields[i]
			w.b = append(w.b, f.code...)
			w.encode(f.node, at(p, f.off))
		}
	case opInt64:
		check(w.e.EncodeInt(*(*int64)(p)))
	case opTime:
		check(w.e.EncodeTime(*(*time.Time)(p)))
	case opString:
		s := *(*string)(p)
		if !utf8.ValidString(s) {
			check(w.e.EncodeBytes([]byte(s)))
			return
		}
		check(w.e.EncodeString(s))
	}
}

// BenchmarkLibraryMarshal is the library as it is mostly used.
func BenchmarkLibraryMarshal(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, err := msgpack.Marshal(&sample)
		check(err)
	}
}

func BenchmarkLoad(b *testing.B) {
	c := plan[account](b)
	body, _ := c.Append(nil, nil, unsafe.Pointer(&sample))
	var v account
	b.ReportAllocs()
	for b.Loop() {
		check(c.Load(unsafe.Pointer(&v), body, nil))
	}
}

func BenchmarkDecode(b *testing.B) {
	c := plan[account](b)
	body, _ := c.Append(nil, nil, unsafe.Pointer(&sample))
	var v account
	b.ReportAllocs()
	for b.Loop() {
		check(c.Decode(unsafe.Pointer(&v), body, nil))
	}
}

func BenchmarkScan(b *testing.B) {
	body, _ := plan[account](b).Append(nil, nil, unsafe.Pointer(&sample))
	b.ReportAllocs()
	for b.Loop() {
		if f := scan(body, 0); f != nil {
			b.Fatal(f)
		}
	}
}

// BenchmarkLibraryDecode reads with the library's low-level calls from a reused reader.
func BenchmarkLibraryDecode(b *testing.B) {
	body, _ := plan[account](b).Append(nil, nil, unsafe.Pointer(&sample))
	r := bytes.NewReader(body)
	d := msgpack.NewDecoder(r)
	var v account
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(body)
		d.Reset(r)
		n, err := d.DecodeMapLen()
		check(err)
		for range n {
			name, err := d.DecodeString()
			check(err)
			switch name {
			case "Owner":
				v.Owner, err = d.DecodeString()
			case "Balance":
				v.Balance, err = d.DecodeInt64()
			case "Opened":
				v.Opened, err = d.DecodeTime()
			case "Note":
				v.Note, err = d.DecodeString()
			}
			check(err)
		}
	}
}

func BenchmarkOwn(b *testing.B) {
	c := plan[basket](b)
	b.ReportAllocs()
	for b.Loop() {
		v := sampleBasket
		check(c.Own(unsafe.Pointer(&v), Full()))
	}
}

func BenchmarkOwnBytes(b *testing.B) {
	c := plan[[]byte](b)
	kilobyte := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		v := kilobyte
		check(c.Own(unsafe.Pointer(&v), Full()))
	}
}

func BenchmarkSealAndAppendBasket(b *testing.B) {
	c := plan[basket](b)
	var body []byte
	b.ReportAllocs()
	for b.Loop() {
		_, err := c.Seal(unsafe.Pointer(&sampleBasket))
		check(err)
		body, _ = c.Append(body[:0], nil, unsafe.Pointer(&sampleBasket))
	}
}

func BenchmarkLoadBasket(b *testing.B) {
	c := plan[basket](b)
	body, _ := c.Append(nil, nil, unsafe.Pointer(&sampleBasket))
	b.ReportAllocs()
	for b.Loop() {
		var v basket
		check(c.Load(unsafe.Pointer(&v), body, nil))
	}
}

func BenchmarkCodecFor(b *testing.B) {
	t := reflect.TypeFor[account]()
	for b.Loop() {
		_, err := CodecFor(t)
		check(err)
	}
}
