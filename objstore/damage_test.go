package objstore

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// testBatch follows a store and sets one row to a body of size bytes.
func testBatch(s *Store, n uint64, size int) *Batch {
	in := s.Info()
	b := &Batch{LSN: in.LSN + 1, Base: in.LSN, Next: max(in.Next, n+1)}
	b.Put(ObjectKey(OID{in.Vat, n}), Record{LSN: b.LSN, Kind: 1, Body: testBody(n, size), Slots: []Slot{{OID{in.Vat, n + 1}, 7, ""}}})
	return b
}

func testBody(n uint64, size int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(n) + byte(i)*7
	}
	return body
}

func mustCommit(t testing.TB, s *Store, b *Batch) {
	t.Helper()
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testMemory(t testing.TB) *MemoryFiles {
	m := NewMemory()
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// TestEveryBitOfTheJournalFlipped flips each bit of a journal of three segments, one at a
// time. What is found is complete, refused, or without the last group only.
func TestEveryBitOfTheJournalFlipped(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files, CheckpointBytes: 16 << 10, CheckpointEvery: time.Hour})
	for n := range uint64(11) {
		mustCommit(t, s, testBatch(s, n, 300+int(n)*40))
	}
	whole, err := replayJournal(files, s.checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.groups) != 11 || whole.end.seg != 3 {
		t.Fatalf("%d groups, end %v: not the journal that this test is for", len(whole.groups), whole.end)
	}
	count := map[string]int{}
	for seg := uint64(1); seg <= 3; seg++ {
		data := files.names[segmentName(seg)].data
		for bit := range len(data) * 8 {
			data[bit/8] ^= 1 << (bit % 8)
			got, err := replayJournal(files, s.checkpoint)
			data[bit/8] ^= 1 << (bit % 8)
			what, err := judge(whole, got, err)
			if err != nil {
				t.Fatalf("bit %d of %s: %v", bit, segmentName(seg), err)
			}
			count[what]++
		}
	}
	t.Log(count)
	if count["cut"] == 0 || count["refused"] == 0 || count["complete"] == 0 {
		t.Error("one of the three outcomes never came")
	}
	if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}

// judge says which of the allowed outcomes a replay is.
func judge(whole, got replay, err error) (string, error) {
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			return "", err
		}
		return "refused", nil
	}
	for i, g := range got.groups {
		if w := whole.groups[i]; g.lsn != w.lsn || g.sum != w.sum || string(g.batch.buf) != string(w.batch.buf) {
			return "", fmt.Errorf("group %d is not what was written", i)
		}
	}
	switch len(got.groups) {
	case len(whole.groups):
		return "complete", nil
	case len(whole.groups) - 1:
		return "cut", nil
	}
	return "", fmt.Errorf("silently lost all but %d groups", len(got.groups))
}

// storeFile is a world of 400 rows that was closed, its store file apart.
type storeFile struct {
	files *MemoryFiles
	vat   VatID
	rows  uint64
	image []byte
}

func newStoreFile(t *testing.T) storeFile {
	f := storeFile{files: testMemory(t), rows: 400}
	o := Options{Files: f.files, CheckpointBytes: 128 << 10, CheckpointEvery: time.Hour}
	s := mustOpen(t, o)
	for n := range f.rows {
		mustCommit(t, s, testBatch(s, 2*n, 100+int(n%5)))
	}
	f.vat = s.Info().Vat
	for range 2 { // the second time from a store file, with pages freed
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, o)
		mustCommit(t, s, testBatch(s, 0, 100))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.image, err = f.files.ReadFile(storeName); err != nil {
		t.Fatal(err)
	}
	return f
}

// use copies the world, with those bits of its store file flipped, and uses the copy.
func (f storeFile) use(t *testing.T, bits ...int) (string, error) {
	names, err := f.files.ReadDir()
	if err != nil {
		t.Fatal(err)
	}
	copied := testMemory(t)
	defer copied.Close()
	for _, name := range names {
		data, err := f.files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == storeName {
			opened, err := copied.OpenMapped(name, 0x42, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			_ = opened.Close()
			for _, bit := range bits {
				data[bit/8] ^= 1 << (bit % 8)
			}
		}
		if err := copied.WriteFile(name, data); err != nil {
			t.Fatal(err)
		}
	}
	return useDamaged(t, copied, f.vat, f.rows)
}

// TestBitsOfTheStoreFileFlipped flips some bits of the store file: what is read is right or
// reported.
func TestBitsOfTheStoreFileFlipped(t *testing.T) {
	f := newStoreFile(t)
	used := min(40*storePage, len(f.image))
	r := RandomFor(t)
	count := map[string]int{}
	for range 150 {
		bits := make([]int, 1+r.IntN(2)*r.IntN(8))
		for i := range bits {
			bits[i] = r.IntN(used * 8)
			if r.IntN(3) == 0 { // the heads of pages deserve more attention
				bits[i] = r.IntN(used/storePage)*storePage*8 + r.IntN(160*8)
			}
		}
		what, err := f.use(t, bits...)
		if err != nil {
			t.Fatalf("bits %v: %v", bits, err)
		}
		count[what]++
	}
	t.Log(count)
}

// TestOneBitMakesALengthEnormous flips the bit of each row's length that makes it a gigabyte
// longer. bbolt would copy as much before anybody could stop it.
func TestOneBitMakesALengthEnormous(t *testing.T) {
	f := newStoreFile(t)
	for at := 2 * storePage; at < len(f.image); at += storePage {
		page := f.image[at:]
		if page[8] != pageLeaf {
			continue
		}
		count := int(page[10]) | int(page[11])<<8
		for i := 0; i < count; i += max(1, count/3) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := f.use(t, (at+pageHead+i*pageElem+12)*8+30)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Errorf("page %d, row %d: %v", at/storePage, i, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 500<<20 {
				t.Errorf("page %d, row %d: %d MB", at/storePage, i, used>>20)
			}
		}
	}
}

// useDamaged opens a world and reads it, writes to it, and reads it again.
func useDamaged(t *testing.T, files *MemoryFiles, vat VatID, rows uint64) (string, error) {
	what := "complete"
	for round := range 2 {
		s, err := Open("", Options{Files: files, CheckpointBytes: 128 << 10, CheckpointEvery: time.Hour})
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				return "", err
			}
			return "refused", nil
		}
		damaged, err := readDamaged(s, vat, rows)
		if err != nil {
			_ = s.Close()
			return "", fmt.Errorf("round %d: %w", round, err)
		}
		if damaged > 0 {
			what = "damage reported"
			if err := s.Check(t.Context()); err == nil {
				_ = s.Close()
				return "", errors.New("Check finds nothing")
			}
		}
		for n := range uint64(20) {
			if err := s.Commit(t.Context(), testBatch(s, 40*n, 100+int(20*n%5))); err != nil {
				_ = s.Close()
				return "", err
			}
		}
		if err := s.Close(); err != nil {
			if !errors.Is(err, ErrDamaged) {
				return "", err
			}
			return "damage stops the checkpoint", nil
		}
	}
	return what, nil
}

// readDamaged reads all rows, and the gaps between them.
func readDamaged(s *Store, vat VatID, rows uint64) (damaged int, err error) {
	sn := s.Snapshot()
	defer sn.Release()
	for n := range 2 * rows {
		rec, ok, err := sn.Get(ObjectKey(OID{vat, n}))
		switch {
		case errors.Is(err, ErrDamaged):
			damaged++
		case err != nil:
			return 0, err
		case ok != (n%2 == 0) || ok && string(rec.Body) != string(testBody(n, 100+int(n/2%5))):
			return 0, fmt.Errorf("object %d: wrong answer, found %v", n, ok)
		}
	}
	next := uint64(0)
	for _, scan := range []func(lo, hi Key, fn func(Key, Record) bool) error{sn.Scan, sn.ScanReverse} {
		seen := uint64(0)
		err := scan("", "", func(key Key, rec Record) bool {
			n := 2 * seen
			if next > 0 {
				n = 2 * (rows - 1 - seen)
			}
			if key != ObjectKey(OID{vat, n}) || string(rec.Body) != string(testBody(n, 100+int(n/2%5))) {
				return false
			}
			seen++
			return true
		})
		next = seen
		if errors.Is(err, ErrDamaged) {
			return damaged + 1, nil
		}
		if err != nil || seen != rows {
			return 0, fmt.Errorf("scan has seen %d rows: %w", seen, err)
		}
	}
	return damaged, nil
}

// TestJournalOfAnotherHistoryIsRefused replays a journal whose first frame has the right
// base, but was written after another frame than the checkpoint's.
func TestJournalOfAnotherHistoryIsRefused(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files})
	defer s.Close()
	mustCommit(t, s, testBatch(s, 1, 100))
	other := s.checkpoint
	other.sum++
	if _, err := replayJournal(files, other); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}
