package objstore

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

type fsPathError = fs.PathError

func mustReopen(name string) *os.File {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	return f
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPageTreeAgainstBboltsCursor compares our reading of bbolt's pages with bbolt's own.
func TestPageTreeAgainstBboltsCursor(t *testing.T) {
	r := RandomFor(t)
	s := mustOpen(t, Options{Files: testMemory(t), CheckpointEvery: time.Hour})
	defer s.Close()
	for range 20 {
		in := s.Info()
		b := &Batch{LSN: in.LSN + 1, Base: in.LSN, Next: 1 << 40}
		for range 300 {
			key := ElementKey(OID{1, r.Uint64N(3)}, string(testBody(r.Uint64N(5000), 1+r.IntN(40))))
			if r.IntN(100) == 0 {
				key = ElementKey(OID{1, 1}, string(testBody(r.Uint64(), 3900)))
			}
			if r.IntN(3) == 0 {
				b.Delete(key)
			} else {
				b.Put(key, Record{LSN: b.LSN, Body: testBody(1, r.IntN(1<<r.IntN(14)))})
			}
		}
		mustCommit(t, s, b)
		if err := s.moveOver(s.plan(false)); err != nil {
			t.Fatal(err)
		}
		comparePages(t, s)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func comparePages(t *testing.T, s *Store) {
	t.Helper()
	err := s.disk.read("", func(tx *bbolt.Tx) error {
		tree, err := openTree(tx, bucketRows)
		if err != nil {
			return err
		}
		ours, theirs := treeCursor{t: &tree}, tx.Bucket([]byte(bucketRows)).Cursor()
		if err := ours.seek("\x00"); err != nil {
			return err
		}
		for k, v := theirs.First(); k != nil; k, v = theirs.Next() {
			key, value := ours.row()
			if string(key) != string(k) || string(value) != string(v) {
				t.Fatalf("at %v: ours is %v", Key(k), key)
			}
			again := treeCursor{t: &tree}
			if err := again.seek(Key(k)); err != nil {
				return err
			}
			if found, _ := again.row(); string(found) != string(k) {
				t.Fatalf("seek %v: ours is %v", Key(k), found)
			}
			if key != endKey {
				if err := ours.next(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
