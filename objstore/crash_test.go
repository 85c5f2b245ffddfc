package objstore_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/sturdyrt/sturdy/objstore"
	"github.com/sturdyrt/sturdy/objstore/objstoretest"
)

// tiny makes segments of 4 KiB and checkpoints every few batches.
func tiny(files *objstore.MemoryFiles) objstore.Options {
	return objstore.Options{Files: files, CheckpointBytes: 12 << 10, MaxJournal: 64 << 10}
}

// story is a fixed sequence of batches with the model after each.
type story struct {
	changes []change
	models  []model // models[i] is the state after i changes
}

// tell runs the story on a world until something fails. It returns how many batches were
// acknowledged, whether the one after may be found, and the error.
func (st *story) tell(files *objstore.MemoryFiles, r *rand.Rand, batches int) (acked int, err error) {
	s, err := objstore.Open("", tiny(files))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for i := range batches {
		if i == len(st.changes) {
			c := randomChange(r, s.Info(), 60, 20)
			m := model{}
			if i > 0 {
				m = maps.Clone(st.models[i])
			} else {
				st.models = append(st.models, model{})
			}
			m.apply(c)
			st.changes, st.models = append(st.changes, c), append(st.models, m)
		}
		if err := s.Commit(ctx(), st.changes[i].batch()); err != nil {
			return i, err
		}
		// The checkpoint has a goroutine of its own; waiting for it makes each run of
		// the story do the same operations, nearly.
		waitIdle(s, 12<<10)
	}
	return batches, nil
}

// TestCrashAfterEveryOperation cuts the power after each operation on the disk, with and
// without some of the unsynced sectors, and compares what is found with the model: all that
// was acknowledged and at most one batch more.
func TestCrashAfterEveryOperation(t *testing.T) {
	r := random(t)
	var st story
	const batches = 16
	whole := objstoretest.Memory(t)
	whole.Log()
	if _, err := st.tell(whole, r, batches); err != nil {
		t.Fatal(err)
	}
	ops := whole.Log()
	t.Logf("%d operations", len(ops))
	for n := range len(ops) + 1 {
		for _, keepSome := range []bool{false, true} {
			keep := func() bool { return keepSome && r.IntN(2) == 0 }
			if err := st.crashAt(t, r, n, batches, keep); err != nil {
				t.Fatalf("crash after operation %d, keep some %v: %v", n, keepSome, err)
			}
		}
	}
}

func (st *story) crashAt(t *testing.T, r *rand.Rand, n, batches int, keep func() bool) error {
	files := objstore.NewMemory()
	defer files.Close()
	done := 0
	files.Hook(func(string, string, int) (int, error) {
		if done++; done > n {
			return 0, syscall.EIO
		}
		return 0, nil
	})
	acked, _ := st.tell(files, r, batches)
	after, err := files.Crash(keep)
	if err != nil {
		return err
	}
	return st.found(t, after, acked, acked+1)
}

// found opens the world and compares it with the model after least to most batches.
func (st *story) found(t *testing.T, files *objstore.MemoryFiles, least, most int) error {
	s, err := objstore.Open("", tiny(files))
	if err != nil {
		return err
	}
	sn := s.Snapshot()
	i := 0
	for i < len(st.changes) && st.changes[i].lsn <= sn.LSN() {
		i++
	}
	if i < least || i > most {
		err = fmt.Errorf("found %d batches of at least %d", i, least)
	} else {
		err = equal(sn, st.models[i])
	}
	sn.Release()
	err = errors.Join(err, s.Check(t.Context()))
	// The world goes on.
	c := randomChange(rand.New(rand.NewPCG(1, 1)), s.Info(), 60, 20)
	return errors.Join(err, s.Commit(ctx(), c.batch()), s.Check(t.Context()), s.Close())
}

// TestErrorAtEveryOperation makes one operation fail, once, with different errors and, for
// writes, after some of the bytes. Acknowledged batches are found again; so are those of
// which the error says so; a store that has not stopped goes on.
func TestErrorAtEveryOperation(t *testing.T) {
	r := random(t)
	var st story
	const batches = 16
	whole := objstoretest.Memory(t)
	whole.Log()
	if _, err := st.tell(whole, r, batches); err != nil {
		t.Fatal(err)
	}
	ops := whole.Log()
	for n := range ops {
		for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
			for _, short := range []int{0, 1, 300, 512, 1024, 1 << 30} {
				if short > 0 && ops[n][:5] != "write" {
					continue
				}
				if err := st.failAt(t, n, short, batches, cause); err != nil {
					t.Fatalf("%v at operation %d (%s) after %d bytes: %v", cause, n, ops[n], short, err)
				}
			}
		}
	}
}

func (st *story) failAt(t *testing.T, n, short, batches int, cause error) error {
	files := objstore.NewMemory()
	defer files.Close()
	done := 0
	files.Hook(func(op, name string, _ int) (int, error) {
		if done++; done == n+1 {
			return short, cause
		}
		return 0, nil
	})
	s, err := objstore.Open("", tiny(files))
	if err != nil {
		if !errors.Is(err, cause) {
			return err
		}
		files.Hook(nil)
		return st.found(t, files, 0, 0)
	}
	acked, maybe := 0, 0
	for acked < batches {
		err := s.Commit(ctx(), st.changes[acked].batch())
		if errors.Is(err, objstore.ErrFull) {
			continue // certainly not executed: again
		}
		if err != nil {
			if !errors.Is(err, objstore.ErrStopped) || !errors.Is(err, cause) {
				return err
			}
			maybe = 1
			break
		}
		acked++
	}
	sn := s.Snapshot()
	if err := equal(sn, st.models[acked]); err != nil {
		return fmt.Errorf("reading on after %d: %w", acked, err)
	}
	sn.Release()
	if err := s.Close(); err != nil && !errors.Is(err, objstore.ErrStopped) && !errors.Is(err, cause) {
		return err
	}
	after, err := files.Crash(nil)
	if err != nil {
		return err
	}
	return st.found(t, after, acked, acked+maybe)
}
