package objstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestCheckFindsWhatIsWrong breaks each invariant in memory or on disk.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	key := func(s *Store, n uint64) Key { return ObjectKey(OID{s.world.vat, n}) }
	breaks := map[int]func(s *Store){
		1: func(s *Store) { s.checkpoint.lsn = s.state.lsn + 1 },
		2: func(s *Store) { s.groups = s.groups[:len(s.groups)-1] },
		3: func(s *Store) { k := key(s, 11); s.state.table.tree.Delete(entryOf(string(k), len(k))) },
		4: func(s *Store) { s.disk.rewrite(key(s, 3), func(v []byte) []byte { v[len(v)-1]++; return v }) },
		5: func(s *Store) { s.disk.rewrite(key(s, 3), func([]byte) []byte { return nil }) },
		6: func(s *Store) { s.state.next = 5 },
		7: func(s *Store) { s.disk.reuse() },
		8: func(s *Store) { s.groups[0].sum++ },
	}
	for i := range len(breaks) {
		files := testMemory(t)
		o := Options{Files: files, CheckpointEvery: time.Hour}
		s := mustOpen(t, o)
		for n := range uint64(10) {
			mustCommit(t, s, testBatch(s, n, 400))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, o)
		mustCommit(t, s, testBatch(s, 11, 10))
		breaks[i+1](s)
		err := s.Check(t.Context())
		var found *CheckError
		want := fmt.Sprintf("I%d: ", i+1)
		if !errors.As(err, &found) || !strings.Contains(err.Error(), want) {
			t.Errorf("I%d broken: %v", i+1, err)
		}
		_ = s.journal.close()
		_ = s.disk.close()
		close(s.quit)
	}
}

// rewrite changes the bytes of a value, or removes the row, behind the store's back.
func (d *disk) rewrite(key Key, change func([]byte) []byte) {
	_ = d.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketRows))
		v := change(append([]byte(nil), b.Get([]byte(key))...))
		if v == nil {
			return b.Delete([]byte(key))
		}
		return b.Put([]byte(key), v)
	})
}

// reuse puts the root page of the rows on bbolt's free list, as a flipped bit may.
func (d *disk) reuse() {
	var root uint64
	_ = d.read("", func(tx *bbolt.Tx) error {
		root = uint64(tx.Bucket([]byte(bucketRows)).Root())
		return nil
	})
	name := d.file.Name()
	_ = d.close()
	f := mustReopen(name)
	head := make([]byte, pageHead)
	for at := int64(2 * storePage); ; at += storePage {
		if _, err := f.ReadAt(head, at); err != nil {
			break
		}
		if list := head[8] == 0x10 && head[10] > 0; list {
			_, _ = f.WriteAt(binary.LittleEndian.AppendUint64(nil, root), at+pageHead)
		}
	}
	_ = f.Close()
	d.db, _ = bbolt.Open(name, 0o600, &bbolt.Options{PageSize: storePage, FreelistType: bbolt.FreelistMapType})
}
