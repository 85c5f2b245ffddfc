package objstore_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/objstore"
	"github.com/sturdyrt/sturdy/objstore/objstoretest"
)

// TestOrderOfOperationsOnDisk is the order in which a world's life reaches the disk. What
// comes before a sync must come before it. The segment in reserve is made beside the
// commits, so its operations are left out.
func TestOrderOfOperationsOnDisk(t *testing.T) {
	files := objstoretest.Memory(t)
	files.Log()
	o := objstore.Options{Files: files, CheckpointBytes: 16 << 10}
	s, err := objstore.Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		in := s.Info()
		b := &objstore.Batch{LSN: in.LSN + 1, Base: in.LSN, Next: in.Next}
		b.Put(objstore.KindKey(1), objstore.Record{LSN: b.LSN, Body: make([]byte, 600)})
		if err := s.Commit(ctx(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(`
		remove:objects.db.new map:objects.db.new create:objects.db.new
		create:journal-1 syncdir rename:objects.db.new:objects.db syncdir map:objects.db
		write:journal-1:4096 sync:journal-1 syncdir
		write:journal-1:1024 sync:journal-1
		write:journal-1:1024 sync:journal-1
		remove:journal-1 syncdir
	`)
	var got []string
	for _, op := range files.Log() {
		op = strings.ReplaceAll(strings.ReplaceAll(op, "000000000000000", ""), " ", ":")
		if !strings.Contains(op, "journal-2") {
			got = append(got, op)
		}
	}
	// The reserve and the last checkpoint sync the directory, too, at their own times.
	if got = dropExtra(got, want); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// dropExtra leaves out syncs of the directory that want does not have.
func dropExtra(got, want []string) []string {
	var kept []string
	for _, op := range got {
		if op == "syncdir" && (len(kept) == len(want) || want[len(kept)] != op) {
			continue
		}
		kept = append(kept, op)
	}
	return kept
}

// TestCreationThatFailedIsBegunAgain makes each operation of a creation fail.
func TestCreationThatFailedIsBegunAgain(t *testing.T) {
	for n := range 12 {
		files := objstoretest.Memory(t)
		left := n
		files.Hook(func(string, string, int) (int, error) {
			if left--; left < 0 {
				return 0, objstore.ErrFull
			}
			return 0, nil
		})
		s, err := objstore.Open("", objstore.Options{Files: files})
		if err == nil {
			_ = s.Close()
		}
		files.Hook(nil)
		s, err = objstore.Open("", objstore.Options{Files: files})
		if err != nil {
			t.Fatalf("after a creation that failed at operation %d: %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
