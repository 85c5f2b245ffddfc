package objstore

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// decodeBatch makes a batch of a frame.
func decodeBatch(data []byte) (*Batch, error) {
	f, err := parseFrame(data)
	if err != nil {
		return nil, err
	}
	b := &Batch{LSN: f.lsn, Base: f.base, Next: f.next, buf: append([]byte(nil), data[:f.size]...)}
	b.rows, err = parseRows(b.buf)
	return b, err
}

func FuzzParseFrame(f *testing.F) {
	b := &Batch{LSN: 3, Base: 2, Next: 9}
	b.Put(KindKey(1), Record{LSN: 3, Body: []byte("body")})
	b.Delete(CountKey(2))
	data := b.seal(5, 6)
	f.Add(data)
	f.Add(data[:100])
	f.Add([]byte("Sjf1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeBatch(data)
		if err != nil {
			return
		}
		size := got.sealed()
		head, _ := parseFrame(data)
		again := append([]byte(nil), got.seal(head.incarnation, head.prev)...)
		if !bytes.Equal(again[:size], data[:size]) {
			t.Fatal("decoded and sealed again it is another frame")
		}
		for _, r := range got.rows {
			if key, raw := got.row(r); raw != "" {
				_, _ = parseRecord(key, viewBytes(raw))
			}
		}
	})
}

// FuzzParseRows parses what only a frame with a right checksum would bring.
func FuzzParseRows(f *testing.F) {
	b := &Batch{}
	b.Put(KindKey(1), Record{Body: []byte("body")})
	f.Add(b.buf)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < frameHead {
			return
		}
		rows, err := parseRows(data)
		if err != nil {
			return
		}
		end := frameHead
		for _, r := range rows {
			if r.at != end+rowHead {
				t.Fatalf("row at %d, the one before ends at %d", r.at, end)
			}
			end = r.at + r.key + r.rec
		}
		if end != len(data) {
			t.Fatalf("rows end at %d of %d", end, len(data))
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	o := OID{7, 8}
	full := Record{LSN: 1 << 40, Kind: 1<<32 - 1, Slots: []Slot{{o, 7, ""}, {OID{9, 1}, 255, strings.Repeat("p", maxPath)}, {o, 0, "\x01"}, {}}, Body: []byte("body")}
	for _, key := range []Key{ObjectKey(o), ElementKey(o, "x"), RefKey(o, OID{9, 1}, "x"), KindKey(3)} {
		for _, rec := range []Record{{}, full} {
			f.Add(string(key), appendRecord(nil, key, rec))
		}
	}
	f.Fuzz(func(t *testing.T, key string, raw []byte) {
		k := Key(key)
		if _, err := parseRecord(k, raw); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
		if len(raw) < crcBytes {
			return
		}
		raw = append([]byte(nil), raw...)
		fixSum(raw, recordSum(k, raw[crcBytes:]))
		rec, err := parseRecord(k, raw)
		if err != nil {
			return
		}
		again, err := parseRecord(k, appendRecord(nil, k, rec))
		if err != nil || !reflect.DeepEqual(rec, again) {
			t.Fatalf("%+v became %+v: %v", rec, again, err)
		}
	})
}

func fixSum(raw []byte, sum uint32) {
	for i := range crcBytes {
		raw[i] = byte(sum >> (8 * i))
	}
}

func FuzzParseKey(f *testing.F) {
	o := OID{1 << 63, 2}
	for _, k := range []Key{
		ObjectKey(o), ElementKey(o, ""), ElementKey(o, "\xff"), KindKey(1), CountKey(1 << 31), endKey,
		RefKey(o, OID{3, 4}, ""), RefKey(OID{3, 4}, o, "\x00"), RefKey(o, o, "x")[:2*oidBytes],
	} {
		f.Add(string(k))
	}
	f.Fuzz(func(t *testing.T, key string) {
		k := Key(key)
		_ = k.String()
		p, err := ParseKey(k)
		if err != nil {
			return
		}
		made := map[byte]Key{
			spaceObject: ObjectKey(p.OID), spaceElement: ElementKey(p.OID, p.Elem), spaceKind: KindKey(p.Kind),
			spaceCount: CountKey(p.Kind), spaceRef: RefKey(p.Target, p.OID, p.Elem),
		}[p.Space]
		if made != k {
			t.Fatalf("%q parsed and made again is %q", k, made)
		}
	})
}

func FuzzSplitLink(f *testing.F) {
	f.Add("key", "kex", "record")
	f.Add("k", "", "")
	f.Add("abc", "ab", "r")
	f.Fuzz(func(t *testing.T, key, before, record string) {
		_, _, _ = splitLink(Key(key), []byte(record))
		if len(key) > maxKey || len(before) > maxKey {
			return
		}
		value := append(appendLink(nil, Key(key), Key(before)), record...)
		l, rec, err := splitLink(Key(key), value)
		if err != nil || string(rec) != record || l.before(Key(key)) != Key(before) || !l.names(Key(key), Key(before)) {
			t.Fatalf("link of %q after %q: %v", key, before, err)
		}
		for _, k := range []string{key, before, record, before + "\x00", ""} {
			if l.below(Key(key), Key(k)) != (before < k) {
				t.Fatalf("%q below %q: %v", before, k, !(before < k))
			}
		}
	})
}

func TestRangesHoldWhatTheySay(t *testing.T) {
	top := ^uint64(0)
	for _, o := range []OID{{1, 2}, {1, top}, {VatID(top), top}, {0, 0}} {
		lo, hi := ElementRange(o)
		for _, elem := range []string{"", "\x00", "\xff\xff\xff"} {
			if k := ElementKey(o, elem); k < lo || k >= hi {
				t.Errorf("%v is not in its range", k)
			}
		}
		for _, k := range []Key{ObjectKey(o), KindKey(0), ElementKey(OID{o.Vat, o.N + 1}, ""), ElementKey(OID{o.Vat, o.N - 1}, "\xff")} {
			if k >= lo && k < hi {
				t.Errorf("%v is in the range of %v", k, o)
			}
		}
		rangeOfReferences(t, o)
		if lo, hi := ObjectRange(); ObjectKey(o) < lo || ObjectKey(o) >= hi {
			t.Errorf("%v is not in the range of objects", o)
		}
	}
	for _, n := range []uint32{0, 1<<32 - 1} {
		if lo, hi := KindRange(); KindKey(n) < lo || KindKey(n) >= hi {
			t.Error("kind range")
		}
	}
}

func rangeOfReferences(t *testing.T, o OID) {
	t.Helper()
	lo, hi := RefRange(o)
	allLo, allHi := RefRange(OID{})
	for _, holder := range []OID{{}, {1, 2}, {1<<64 - 1, 1<<64 - 1}} {
		for _, elem := range []string{"", "\x00", "\xff\xff\xff"} {
			if k := RefKey(o, holder, elem); k < lo || k >= hi || k < allLo || k >= allHi {
				t.Errorf("%v is not in its range", k)
			}
			for _, other := range []OID{{o.Vat, o.N + 1}, {o.Vat, o.N - 1}, {o.Vat + 1, o.N}} {
				if k := RefKey(other, holder, elem); k >= lo && k < hi && !o.IsZero() {
					t.Errorf("%v is in the range of %v", k, o)
				}
			}
		}
	}
	for _, k := range []Key{ObjectKey(o), ElementKey(o, "\xff"), endKey} {
		if k >= lo && k < hi || k >= allLo && k < allHi {
			t.Errorf("%v is in a range of references", k)
		}
	}
}

func TestABatchThatWasGrownBeforeItsFirstRowIsWhole(t *testing.T) {
	for _, grown := range []int{0, 1, 1000} {
		b := &Batch{LSN: 2, Base: 1, Next: 1}
		b.Grow(grown, 100*grown)
		b.Put(KindKey(1), Record{LSN: 2, Body: []byte("body")})
		got, err := decodeBatch(b.seal(5, 6))
		if err != nil || len(got.rows) != 1 {
			t.Errorf("grown by %d: %v, %v", grown, got, err)
		}
	}
}
