package objstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestPathsOfReferencesLast commits slots with and without a path, and reads them from the
// memory table, from the journal and from the store file.
func TestPathsOfReferencesLast(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files, CheckpointEvery: time.Hour})
	in := s.Info()
	o, other := OID{in.Vat, 1}, OID{in.Vat + 1, 2}
	rec := Record{LSN: 1, Body: []byte("body"), Slots: []Slot{
		{other, 7, "\x05\x80\x01"}, {o, 1, ""}, {o, 0, strings.Repeat("\xff", maxPath)}, {other, 0, "\x00"},
	}}
	keys := []Key{ObjectKey(o), ElementKey(o, "e"), RefKey(o, other, ""), RefKey(other, o, "e"), KindKey(1)}
	b := &Batch{LSN: 1, Next: 2}
	for _, k := range keys {
		b.Put(k, rec)
	}
	mustCommit(t, s, b)
	read := func(where string) {
		t.Helper()
		sn := s.Snapshot()
		defer sn.Release()
		for _, k := range keys {
			if got, ok, err := sn.Get(k); !ok || err != nil || !reflect.DeepEqual(got, rec) {
				t.Errorf("%s: %v: %v %+v, %v", where, k, ok, got, err)
			}
		}
	}
	read("table")
	after, err := files.Crash(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	for _, where := range []string{"journal", "store file"} {
		s = mustOpen(t, Options{Files: after, CheckpointEvery: time.Hour})
		read(where)
		if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLongPathIsRefusedByCommit(t *testing.T) {
	s := mustOpen(t, Options{Files: testMemory(t)})
	defer s.Close()
	key := ObjectKey(OID{s.Info().Vat, 1})
	for n, want := range map[int]error{maxPath: nil, maxPath + 1: ErrBatch, 1 << 20: ErrBatch} {
		in := s.Info()
		b := &Batch{LSN: in.LSN + 1, Base: in.LSN, Next: 2}
		b.Put(key, Record{LSN: b.LSN, Slots: []Slot{{}, {Path: strings.Repeat("p", n)}}})
		if err := s.Commit(t.Context(), b); !errors.Is(err, want) {
			t.Errorf("path of %d bytes: %v", n, err)
		}
	}
	if lsn := s.Info().LSN; lsn != 1 {
		t.Errorf("LSN %d", lsn)
	}
}

func TestMalformedPathIsDamage(t *testing.T) {
	key := KindKey(1)
	slot := func(n uint64, path string) []byte {
		raw := []byte{0, 0, 0, 0, 1, 1, 1, slotOwnVat | slotPath, 7, 9}
		raw = append(binary.AppendUvarint(raw, n), path...)
		fixSum(raw, recordSum(key, raw[crcBytes:]))
		return raw
	}
	long := strings.Repeat("p", maxPath+1)
	for i, c := range []struct {
		n    uint64
		path string
		good bool
	}{
		{1, "p", true},
		{maxPath, long[1:], true},
		{0, "", false},
		{0, "body", false},
		{maxPath + 1, long, false},
		{1<<64 - 1, long, false},
		{3, "pp", false},
	} {
		rec, err := parseRecord(key, slot(c.n, c.path))
		if c.good && (err != nil || rec.Slots[0] != Slot{OID{0, 9}, 7, c.path}) {
			t.Errorf("case %d: %+v, %v", i, rec, err)
		}
		if !c.good && !errors.Is(err, ErrDamaged) {
			t.Errorf("case %d: %+v, %v", i, rec, err)
		}
	}
}

// TestKeysOfReferences has the forms that they take, and those that are refused.
func TestKeysOfReferences(t *testing.T) {
	to, from := OID{1, 2}, OID{1 << 63, 4}
	elem := strings.Repeat("e", 4000)
	for _, e := range []string{"", "x", "\xff", elem} {
		got, err := ParseKey(RefKey(to, from, e))
		if want := (KeyParts{Space: spaceRef, Target: to, OID: from, Elem: e}); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
	}
	whole := RefKey(to, from, "")
	for n := 1; n < len(whole); n++ {
		if p, err := ParseKey(whole[:n]); err == nil {
			t.Errorf("%d bytes: %+v", n, p)
		}
	}
	if p, err := ParseKey(RefKey(to, from, elem+elem)); err == nil {
		t.Errorf("too long: %+v", p)
	}
	for k, want := range map[Key]string{
		whole:                   "reference to 0000000000000001/2 from 8000000000000000/4",
		RefKey(to, from, "a\n"): `reference to 0000000000000001/2 from 8000000000000000/4["a\n"]`,
	} {
		if got := k.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := (&DamagedError{Key: whole}).OID(); got != to {
		t.Error(got)
	}
	if ownerVat(whole) != to.Vat {
		t.Error(ownerVat(whole))
	}
}

// TestHoldersOfOneObject finds those, and no others, in the order of their OIDs.
func TestHoldersOfOneObject(t *testing.T) {
	s := mustOpen(t, Options{Files: testMemory(t)})
	defer s.Close()
	to := OID{s.Info().Vat, 2}
	b := &Batch{LSN: 1, Next: 100}
	for n := range uint64(4) {
		for _, elem := range []string{"b", "", "a"} {
			b.Put(RefKey(OID{to.Vat, 3 * n}, OID{to.Vat, 10 - n}, elem), Record{LSN: 1})
			b.Put(RefKey(to, OID{to.Vat, 20 - n}, elem), Record{LSN: 1})
		}
	}
	mustCommit(t, s, b)
	sn := s.Snapshot()
	defer sn.Release()
	var got []string
	lo, hi := RefRange(to)
	err := sn.Scan(lo, hi, func(k Key, _ Record) bool {
		p, err := ParseKey(k)
		if err != nil || p.Target != to {
			t.Errorf("%v: %+v, %v", k, p, err)
		}
		got = append(got, fmt.Sprintf("%d%s", p.OID.N, p.Elem))
		return true
	})
	want := "17 17a 17b 18 18a 18b 19 19a 19b 20 20a 20b"
	if err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v", strings.Join(got, " "), err)
	}
}
