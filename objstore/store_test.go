package objstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
)

// TestLongReaderIsCancelledAndTheJournalStaysBounded holds a snapshot while batches go on
// for longer than SnapshotAge.
func TestLongReaderIsCancelledAndTheJournalStaysBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 64 << 10
		s := mustOpen(t, Options{Files: testMemory(t), CheckpointBytes: limit / 2, MaxJournal: limit})
		mustCommit(t, s, testBatch(s, 0, 100))
		long := s.Snapshot()
		start := time.Now()
		for n := range uint64(400) {
			mustCommit(t, s, testBatch(s, n%50, 400))
			if got := s.Stats().JournalBytes; got > limit+1024 {
				t.Fatalf("journal of %d bytes", got)
			}
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("commits waited %v for a snapshot, which may be 10s old", waited)
		}
		for _, key := range []Key{ObjectKey(OID{s.Info().Vat, 0}), ObjectKey(OID{s.Info().Vat, 90})} {
			if rec, ok, err := long.Get(key); !errors.Is(err, ErrSnapshotTooOld) || ok || rec.Body != nil {
				t.Errorf("cancelled snapshot answers %v %v %v", rec, ok, err)
			}
		}
		err := long.Scan("", "", func(Key, Record) bool { t.Error("row from a cancelled snapshot"); return true })
		if !errors.Is(err, ErrSnapshotTooOld) {
			t.Error(err)
		}
		long.Release()
		if st := s.Stats(); st.TooOld != 1 {
			t.Errorf("%+v", st)
		}
		if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
			t.Error(err)
		}
	})
}

// TestCommitGivesUpWaitingForRoom ends the context of a commit that a snapshot holds up.
func TestCommitGivesUpWaitingForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{Files: testMemory(t), CheckpointBytes: 8 << 10, MaxJournal: 8 << 10, SnapshotAge: time.Hour})
		long := s.Snapshot()
		var err error
		for n := uint64(0); err == nil; n++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err = s.Commit(ctx, testBatch(s, n, 400))
			cancel()
		}
		if !errors.Is(err, ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		long.Release()
		mustCommit(t, s, testBatch(s, 1, 400))
		if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestScanInProgressWhenItsSnapshotIsCancelled(t *testing.T) {
	s := mustOpen(t, Options{Files: testMemory(t), CheckpointEvery: time.Hour})
	defer s.Close()
	for n := range uint64(3 * scanPage) {
		mustCommit(t, s, testBatch(s, n, 10))
	}
	if err := errors.Join(s.Close()); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, Options{Files: s.files, CheckpointEvery: time.Hour})
	defer s.Close()
	sn := s.Snapshot()
	defer sn.Release()
	rows := 0
	err := sn.Scan("", "", func(Key, Record) bool {
		if rows++; rows == scanPage/2 {
			s.mu.Lock()
			s.drop(sn, ErrSnapshotTooOld)
			s.mu.Unlock()
		}
		return true
	})
	if !errors.Is(err, ErrSnapshotTooOld) || rows < scanPage/2 || rows > scanPage {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestTwoOpeners(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 3, 4, 9, 12, 0, 0, time.Local)
	s, err := Open(dir, Options{Clock: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{false, true} {
		_, err := Open(dir, Options{ReadOnly: readOnly})
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "in use by pid ") || !strings.Contains(err.Error(), "since 09:12") {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var readers []*Store
	for range 2 {
		r, err := Open(dir, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	for _, r := range readers {
		if err := r.Commit(t.Context(), testBatch(r, 1, 1)); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
		if err := errors.Join(r.Check(t.Context()), r.Close()); err != nil {
			t.Error(err)
		}
	}
}

// images are all files of a world.
func images(t *testing.T, files *MemoryFiles) map[string]string {
	t.Helper()
	names, err := files.ReadDir()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(data)
	}
	return all
}

func TestNewerFormatIsRefusedBeforeAnyWrite(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files})
	mustCommit(t, s, testBatch(s, 1, 100))
	if err := s.disk.update(func(tx *bbolt.Tx) error { return putMeta(tx, metaFormat, []byte{format + 1, 0, 0, 0}) }); err != nil {
		t.Fatal(err)
	}
	files, err := files.Crash(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	before := images(t, files)
	if _, err := Open("", Options{Files: files}); !errors.Is(err, ErrNewerFormat) {
		t.Error(err)
	}
	if !maps.Equal(before, images(t, files)) {
		t.Error("something has been written")
	}
}

func TestReadOnlyWritesNothing(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files})
	mustCommit(t, s, testBatch(s, 1, 100))
	files, err := files.Crash(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	before := images(t, files)
	files.Copied()
	r := mustOpen(t, Options{Files: files, ReadOnly: true})
	sn := r.Snapshot()
	if _, ok, err := sn.Get(ObjectKey(OID{r.Info().Vat, 1})); !ok || err != nil {
		t.Error(ok, err)
	}
	sn.Release()
	if !r.Info().Copied {
		t.Error("copy not seen")
	}
	if err := errors.Join(r.Check(t.Context()), r.Close()); err != nil {
		t.Error(err)
	}
	if !maps.Equal(before, images(t, files)) {
		t.Error("something has been written")
	}
}

func TestCopiedWorldGetsItsOwnLineage(t *testing.T) {
	files := testMemory(t)
	o := Options{Files: files}
	s := mustOpen(t, o)
	first := s.Info()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	again := s.Info()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again.Lineage != first.Lineage || again.Copied || again.Created || !first.Created || again.Incarnation == first.Incarnation {
		t.Errorf("%+v after %+v", again, first)
	}
	files.Copied()
	for i := range 2 {
		s = mustOpen(t, o)
		in := s.Info()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if in.Lineage == first.Lineage || in.World != first.World || in.Vat != first.Vat || in.Copied != (i == 0) {
			t.Errorf("copy, opening %d: %+v after %+v", i, in, first)
		}
	}
}

func TestCopyOnTheOperatingSystemIsSeen(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	s, err := Open(from, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, testBatch(s, 1, 10))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	copyDir(t, from, to)
	for _, dir := range []string{from, to} {
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if in := s.Info(); in.Copied != (dir == to) || in.LSN != 1 {
			t.Errorf("%+v", in)
		}
		if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestHalfAWorldIsRefused(t *testing.T) {
	files := testMemory(t)
	o := Options{Files: files}
	s := mustOpen(t, o)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	old := images(t, files)
	s = mustOpen(t, o)
	for n := range uint64(3) {
		mustCommit(t, s, testBatch(s, n, 100))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := images(t, files)
	if err := files.WriteFile(storeName, []byte(old[storeName])); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("", o); !errors.Is(err, ErrDamaged) {
		t.Errorf("old store file with a newer journal: %v", err)
	}
	if err := files.WriteFile(storeName, []byte(whole[storeName])); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	mustCommit(t, s, testBatch(s, 1, 100))
	after, err := files.Crash(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if err := after.Remove(storeName); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("", Options{Files: after}); !errors.Is(err, ErrDamaged) {
		t.Errorf("journal without a store file: %v", err)
	}
}

func TestDiskFullAndResume(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files, CheckpointBytes: 1 << 20, CheckpointEvery: time.Hour})
	mustCommit(t, s, testBatch(s, 0, 100))
	s.journal.spares.Wait()
	var full atomic.Bool
	files.Hook(func(op, _ string, size int) (int, error) {
		if op == "write" && full.Load() {
			return size / 3, syscall.ENOSPC
		}
		return 0, nil
	})
	full.Store(true)
	for range 3 { // no room for a segment: the frame is larger than the spare
		if err := s.Commit(t.Context(), testBatch(s, 1, 1<<20)); !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if s.Info().LSN != 1 {
		t.Error("executed")
	}
	full.Store(false)
	mustCommit(t, s, testBatch(s, 1, 1<<20))
	mustCommit(t, s, testBatch(s, 2, 100))
	after, err := files.Crash(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	s = mustOpen(t, Options{Files: after})
	if s.Info().LSN != 3 {
		t.Errorf("LSN %d", s.Info().LSN)
	}
	if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}

// TestFullDiskUnderTheCheckpoint has bbolt's commit fail for want of room: it is tried
// again. Any other failure stops writes, and the journal is not trimmed.
func TestFullDiskUnderTheCheckpoint(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		synctest.Test(t, func(t *testing.T) {
			var failed atomic.Int32
			files := testMemory(t)
			s := mustOpen(t, Options{Files: files, Events: Events{Failed: func(string, error) { failed.Add(1) }}})
			tries := 0
			s.disk.commit = func(tx *bbolt.Tx) error {
				if tries++; tries < 4 {
					return errors.Join(tx.Rollback(), &pathError{cause})
				}
				return tx.Commit()
			}
			mustCommit(t, s, testBatch(s, 1, 100))
			<-time.After(time.Minute) // of the bubble: the keeper has had its time
			synctest.Wait()
			st := s.Stats()
			if full := cause == error(syscall.ENOSPC); (st.Checkpoints == 1) != full || st.Stopped == full || (failed.Load() == 0) != full {
				t.Errorf("%v: %+v, failed %d", cause, st, failed.Load())
			}
			err := s.Commit(t.Context(), testBatch(s, 2, 100))
			if stopped := errors.Is(err, ErrStopped); stopped != (cause == error(syscall.EIO)) {
				t.Error(err)
			}
			sn := s.Snapshot()
			if _, ok, err := sn.Get(ObjectKey(OID{s.Info().Vat, 1})); !ok || err != nil {
				t.Error(ok, err)
			}
			sn.Release()
			_ = s.Close()
			s = mustOpen(t, Options{Files: files})
			if s.Info().LSN == 0 {
				t.Error("lost")
			}
			_ = s.Close()
		})
	}
}

// pathError is an error of a write call.
type pathError struct{ error }

func (e *pathError) Unwrap() error { return &fsPathError{Op: "write", Path: storeName, Err: e.error} }

func TestFailedSyncStopsWritesAndReadsGoOn(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files})
	mustCommit(t, s, testBatch(s, 1, 100))
	s.journal.spares.Wait()
	files.Hook(func(op, _ string, _ int) (int, error) {
		if op == "sync" {
			return 0, syscall.EIO
		}
		return 0, nil
	})
	if err := s.Commit(t.Context(), testBatch(s, 2, 100)); !errors.Is(err, ErrStopped) || !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	files.Hook(nil)
	if err := s.Commit(t.Context(), testBatch(s, 2, 100)); !errors.Is(err, ErrStopped) {
		t.Error("a second try after a failed sync:", err)
	}
	sn := s.Snapshot()
	vat := s.Info().Vat
	_, one, _ := sn.Get(ObjectKey(OID{vat, 1}))
	_, two, _ := sn.Get(ObjectKey(OID{vat, 2}))
	if !one || two || sn.LSN() != 1 {
		t.Error(one, two, sn.LSN())
	}
	sn.Release()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
}

// TestTornCheckpoint makes the disk images that a power failure in a bbolt commit leaves:
// any of the new pages, with the old meta page. The world is as it was.
func TestTornCheckpoint(t *testing.T) {
	r := RandomFor(t)
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files, CheckpointEvery: time.Hour})
	for n := range uint64(60) {
		mustCommit(t, s, testBatch(s, n, 300))
	}
	if err := s.moveOver(s.plan(false)); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(30) {
		mustCommit(t, s, testBatch(s, 2*n, 200))
	}
	old := images(t, files)
	p := s.plan(false)
	if err := s.disk.apply(p.state.table.all, p.row); err != nil {
		t.Fatal(err)
	}
	after, err := files.ReadFile(storeName)
	if err != nil {
		t.Fatal(err)
	}
	before := old[storeName]
	newMeta := 0 // the meta page that the commit has written
	if string(after[:storePage]) == before[:storePage] {
		newMeta = 1
	}
	for range 40 {
		image := append([]byte(before), make([]byte, max(0, len(after)-len(before)))...)
		for at := 0; at < len(after); at += storePage {
			if at/storePage != newMeta && r.IntN(2) == 0 {
				copy(image[at:], after[at:at+storePage])
			}
		}
		torn, err := files.clone()
		if err != nil {
			t.Fatal(err)
		}
		if err := torn.WriteFile(storeName, image); err != nil {
			t.Fatal(err)
		}
		s2 := mustOpen(t, Options{Files: torn})
		if got := s2.Info().LSN; got != 90 {
			t.Fatalf("LSN %d", got)
		}
		if err := errors.Join(s2.Check(t.Context()), s2.Close()); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
}

// clone is the world as a power failure now would leave it; m lives on.
func (m *MemoryFiles) clone() (*MemoryFiles, error) {
	m.mu.Lock()
	names := slices.Collect(maps.Keys(m.names))
	m.mu.Unlock()
	c := &MemoryFiles{names: map[string]*memoryNode{}, durable: map[string]*memoryNode{}, temp: m.temp, id: m.id}
	for _, name := range names {
		data, err := m.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if name == storeName {
			f, err := c.OpenMapped(name, 0x42, 0o600)
			if err != nil {
				return nil, err
			}
			_ = f.Close()
		}
		if err := c.WriteFile(name, data); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func TestBatchesThatDoNotFollow(t *testing.T) {
	s := mustOpen(t, Options{Files: testMemory(t)})
	defer s.Close()
	mustCommit(t, s, testBatch(s, 1, 1))
	long := Key(strings.Repeat("o", maxKey+1))
	for name, b := range map[string]func(b *Batch){
		"base":       func(b *Batch) { b.Base--; b.LSN-- },
		"gap":        func(b *Batch) { b.Base++; b.LSN++ },
		"lsn":        func(b *Batch) { b.LSN = b.Base },
		"next falls": func(b *Batch) { b.Next = 1 },
		"empty key":  func(b *Batch) { b.Put("", Record{}) },
		"end key":    func(b *Batch) { b.Delete(endKey) },
		"long key":   func(b *Batch) { b.Put(long, Record{}) },
	} {
		bad := testBatch(s, 2, 1)
		b(bad)
		if err := s.Commit(t.Context(), bad); !errors.Is(err, ErrBatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustCommit(t, s, &Batch{LSN: 2, Base: 1, Next: s.Info().Next}) // an empty one is fine
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClosedStore(t *testing.T) {
	s := mustOpen(t, Options{Files: testMemory(t)})
	mustCommit(t, s, testBatch(s, 1, 1))
	sn := s.Snapshot()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, sn := range []*Snapshot{sn, s.Snapshot()} {
		if _, _, err := sn.Get(ObjectKey(OID{1, 1})); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if err := sn.Scan("", "", nil); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		sn.Release()
	}
	if err := s.Commit(t.Context(), testBatch(s, 2, 1)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestWriteThatFailsAfterAllItsBytes has a frame written whole and reported as failed for
// want of room. It is not executed, so a crash must not bring it back.
func TestWriteThatFailsAfterAllItsBytes(t *testing.T) {
	files := testMemory(t)
	s := mustOpen(t, Options{Files: files})
	mustCommit(t, s, testBatch(s, 1, 100))
	s.journal.spares.Wait()
	failed := false
	files.Hook(func(op, _ string, size int) (int, error) {
		if op == "write" && !failed {
			failed = true
			return size, syscall.ENOSPC
		}
		return 0, nil
	})
	if err := s.Commit(t.Context(), testBatch(s, 2, 100)); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	after, err := files.Crash(func() bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	s = mustOpen(t, Options{Files: after})
	if s.Info().LSN != 1 {
		t.Errorf("LSN %d", s.Info().LSN)
	}
	if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}
