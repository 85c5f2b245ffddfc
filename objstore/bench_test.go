package objstore

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const benchBody = 100

func benchBatch(s *Store, r *rand.Rand, rows int) *Batch {
	in := s.Info()
	b := &Batch{LSN: in.LSN + 1, Base: in.LSN, Next: 1 << 40}
	body := make([]byte, benchBody)
	for range rows {
		b.Put(ObjectKey(OID{in.Vat, r.Uint64N(1 << 18)}), Record{LSN: b.LSN, Kind: 1, Body: body})
	}
	return b
}

// BenchmarkCommit commits batches of random rows of 100 bytes, checkpoints included, and
// beside it appends the same bytes to a preallocated file with fdatasync.
func BenchmarkCommit(b *testing.B) {
	for _, rows := range []int{1, 64, 1000} {
		r := rand.New(rand.NewPCG(1, 1))
		b.Run(fmt.Sprintf("rows=%d/store", rows), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			mustCommit(b, s, benchBatch(s, r, 1))
			b.ReportAllocs()
			for b.Loop() {
				mustCommit(b, s, benchBatch(s, r, rows))
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
		b.Run(fmt.Sprintf("rows=%d/append", rows), func(b *testing.B) {
			s := mustOpen(b, Options{Files: testMemory(b)})
			defer s.Close()
			data := benchBatch(s, r, rows).seal(1, 1)
			f, err := OSFiles(b.TempDir()).OpenFile("plain", os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			const size = 64 << 20
			if err := fillZeros(f, 0, size); err != nil {
				b.Fatal(err)
			}
			off := int64(0)
			for b.Loop() {
				if off+int64(len(data)) > size {
					off = 0
				}
				if _, err := f.WriteAt(data, off); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				off += int64(len(data))
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// bigWorld makes a world of n rows, and closes it.
func bigWorld(b *testing.B, dir string, n uint64) VatID {
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	vat := s.Info().Vat
	for i := uint64(0); i < n; {
		in := s.Info()
		batch := &Batch{LSN: in.LSN + 1, Base: in.LSN, Next: n + 1}
		for range 10000 {
			batch.Put(ObjectKey(OID{vat, i}), Record{LSN: batch.LSN, Kind: 1, Body: make([]byte, benchBody)})
			i++
		}
		mustCommit(b, s, batch)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return vat
}

const million = 1_000_000

func BenchmarkGet(b *testing.B) {
	dir := b.TempDir()
	vat := bigWorld(b, dir, million)
	s, err := Open(dir, Options{CheckpointEvery: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := rand.New(rand.NewPCG(1, 1))
	get := func(b *testing.B, limit uint64) {
		sn := s.Snapshot()
		defer sn.Release()
		b.ReportAllocs()
		for b.Loop() {
			if _, ok, err := sn.Get(ObjectKey(OID{vat, r.Uint64N(limit)})); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	}
	b.Run("store", func(b *testing.B) { get(b, million) })
	b.Run("scan/row", func(b *testing.B) {
		sn := s.Snapshot()
		defer sn.Release()
		left := 0
		for b.Loop() {
			if left--; left > 0 {
				continue
			}
			err := sn.Scan(ObjectKey(OID{vat, 0}), ObjectKey(OID{vat, 10000}), func(Key, Record) bool { left++; return true })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	batch := &Batch{LSN: s.Info().LSN + 1, Base: s.Info().LSN, Next: million + 1}
	for i := range uint64(100000) {
		batch.Put(ObjectKey(OID{vat, i}), Record{LSN: batch.LSN, Kind: 1, Body: make([]byte, benchBody)})
	}
	mustCommit(b, s, batch)
	b.Run("table", func(b *testing.B) { get(b, 100000) })
}

func BenchmarkSnapshot(b *testing.B) {
	s := mustOpen(b, Options{Files: testMemory(b)})
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		s.Snapshot().Release()
	}
}

// BenchmarkOpen opens worlds of a million rows: closed, and with a journal of 200 MB, beside
// reading the same bytes from a file.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	vat := bigWorld(b, dir, million)
	open := func(b *testing.B) {
		for b.Loop() {
			s, err := Open(dir, Options{ReadOnly: true})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			_ = s.Close()
			b.StartTimer()
		}
	}
	b.Run("closed", func(b *testing.B) {
		for b.Loop() {
			s, err := Open(dir, Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			_ = s.Close()
			b.StartTimer()
		}
	})
	s, err := Open(dir, Options{CheckpointBytes: 1 << 30, MaxJournal: 1 << 30, CheckpointEvery: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for s.Stats().JournalBytes < 200<<20 {
		in := s.Info()
		batch := &Batch{LSN: in.LSN + 1, Base: in.LSN, Next: million + 1}
		for range 1000 {
			batch.Put(ObjectKey(OID{vat, r.Uint64N(million)}), Record{LSN: batch.LSN, Kind: 1, Body: make([]byte, benchBody)})
		}
		mustCommit(b, s, batch)
	}
	crashed := b.TempDir()
	names, err := s.files.ReadDir()
	if err != nil {
		b.Fatal(err)
	}
	total := 0
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(crashed, name), data, 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := parseSegment(name); ok {
			total += len(data)
		}
	}
	_ = s.Close()
	dir = crashed
	b.Run("journal", open)
	b.Run("journal/plain read", func(b *testing.B) {
		for b.Loop() {
			for _, name := range names {
				if _, ok := parseSegment(name); ok {
					data, err := os.ReadFile(filepath.Join(dir, name))
					if err != nil || binary.LittleEndian.Uint32(data) == 1 {
						b.Fatal(err)
					}
				}
			}
		}
		b.SetBytes(int64(total))
	})
}
