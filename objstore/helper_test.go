package objstore_test

import (
	"context"
	"runtime"

	"github.com/sturdyrt/sturdy/objstore"
)

func ctx() context.Context { return context.Background() }

// waitIdle returns when the journal is below limit or writes have stopped.
func waitIdle(s *objstore.Store, limit int64) {
	for s.Stats().JournalBytes >= limit && !s.Stats().Stopped {
		runtime.Gosched()
	}
}
