// Package objstoretest opens stores for tests. Open is the one to use: a store in memory,
// or on the files given, that is checked and closed when the test ends.
package objstoretest

import (
	"context"
	"errors"
	"testing"

	"github.com/sturdyrt/sturdy/objstore"
)

// Memory returns files in memory that go away with the test.
func Memory(t testing.TB) *objstore.MemoryFiles {
	t.Helper()
	m := objstore.NewMemory()
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error("objstoretest:", err)
		}
	})
	return m
}

// Open opens a world on o.Files, or in memory if there are none. When the test ends the
// store is checked, unless the test has closed it, and closed. A test that wants to crash
// the world closes the store itself after MemoryFiles.Crash.
func Open(t testing.TB, o objstore.Options) *objstore.Store {
	t.Helper()
	if o.Files == nil {
		o.Files = Memory(t)
	}
	s, err := objstore.Open("", o)
	if err != nil {
		t.Fatal("objstoretest:", err)
	}
	t.Cleanup(func() {
		err := s.Check(context.Background()) // that of the test is over
		if err != nil && !errors.Is(err, objstore.ErrClosed) {
			t.Error("objstoretest: check:", err)
		}
		if err := s.Close(); err != nil && !errors.Is(err, objstore.ErrStopped) {
			t.Error("objstoretest: close:", err)
		}
	})
	return s
}
