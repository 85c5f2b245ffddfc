package objstoretest_test

import (
	"testing"

	"github.com/sturdyrt/sturdy/objstore"
	"github.com/sturdyrt/sturdy/objstore/objstoretest"
)

func TestStoreIsClosedWhenItsTestEnds(t *testing.T) {
	files := objstoretest.Memory(t)
	t.Run("inner", func(t *testing.T) {
		s := objstoretest.Open(t, objstore.Options{Files: files})
		if err := s.Commit(t.Context(), &objstore.Batch{LSN: 1, Next: 1}); err != nil {
			t.Fatal(err)
		}
	})
	if s := objstoretest.Open(t, objstore.Options{Files: files}); s.Info().LSN != 1 {
		t.Errorf("%+v", s.Info())
	}
}
