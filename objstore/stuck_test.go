package objstore

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
)

// noRoom is what a write transaction comes to whose file cannot grow.
func noRoom(tx *bbolt.Tx) error { return errors.Join(tx.Rollback(), &pathError{syscall.ENOSPC}) }

// TestAStoreIsClosedWhileACommitWaitsForRoom has a journal at its limit, and a store file that
// cannot grow.
func TestAStoreIsClosedWhileACommitWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{Files: testMemory(t), CheckpointBytes: 8 << 10, MaxJournal: 8 << 10})
		var room atomic.Bool
		s.disk.commit = func(tx *bbolt.Tx) error {
			if room.Load() {
				return tx.Commit()
			}
			return noRoom(tx)
		}
		committed := make(chan error, 1)
		go func() {
			for n := uint64(0); ; n++ {
				if err := s.Commit(context.Background(), testBatch(s, n, 400)); err != nil {
					committed <- err
					return
				}
			}
		}()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		select {
		case <-closed: // it says that the last checkpoint found no room
		case <-time.After(time.Minute):
			t.Error("Close waits for what waits for room")
			room.Store(true)
			<-closed
		}
		if err := <-committed; !errors.Is(err, ErrFull) && !errors.Is(err, ErrClosed) {
			t.Error("the commit is told", err)
		}
	})
}

func TestACheckpointOnAFullDiskIsTriedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{Files: testMemory(t), CheckpointBytes: 8 << 10, MaxJournal: 64 << 20})
		var tries atomic.Int64
		s.disk.commit = func(tx *bbolt.Tx) error {
			tries.Add(1)
			return noRoom(tx)
		}
		for n := range uint64(1000) { // each wakes the keeper
			mustCommit(t, s, testBatch(s, n%50, 400))
			time.Sleep(5 * time.Millisecond)
		}
		if n := tries.Load(); n == 0 || n > 6 {
			t.Errorf("in 5 s it was tried %d times", n)
		}
		_ = s.Close()
	})
}

// TestAStoreWhoseFileIsNotWrittenAnyMoreCanBeChecked: bbolt keeps its lock when a write panics.
func TestAStoreWhoseFileIsNotWrittenAnyMoreCanBeChecked(t *testing.T) {
	s := mustOpen(t, Options{Files: testMemory(t), CheckpointBytes: 1 << 10})
	s.disk.commit = func(*bbolt.Tx) error { panic("page 7 already freed") }
	mustCommit(t, s, testBatch(s, 1, 4000))
	for !s.Stats().Stopped {
		<-time.After(time.Millisecond)
	}
	checked := make(chan error, 1)
	go func() { checked <- s.Check(context.Background()) }()
	select {
	case err := <-checked:
		if !errors.Is(err, ErrStopped) {
			t.Error("it says", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it never says anything")
	}
	_ = s.Close()
}
