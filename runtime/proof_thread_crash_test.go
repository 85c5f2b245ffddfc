package sturdy_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// crashScripts are played together, and have everything that threads do.
var crashScripts = []string{
	"T S E M1 R L2( S r T ) Z P( T S ) T",
	"R M0 Z S L2( T M0 ) r T",
	"T X",
	"S L6( S r T ) Z L6( S M0 S )",
}

// playAll lets scripts be played to their ends, and has one canceled where it waits.
func (s *stage) playAll(w *runtimetest.World) error {
	ctx := context.Background()
	s.World = w
	if err := s.begin(append(crashScripts, "T R")); err != nil {
		return err
	}
	w.Settle()
	ref, err := w.Root().Get(ctx, s.names[4]+" thread")
	if err != nil {
		return err
	}
	last := sturdy.ThreadRef{Ref: ref}
	s.canceled[s.names[4]] = true
	for _, do := range []func() error{
		func() error { return last.Pause(ctx) },
		func() error { return last.Cancel(ctx, "enough") },
		func() error { return last.Resume(ctx) },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	op, err := w.Root().Get(ctx, "op")
	rounds, long := int64(6), os.Getenv("STURDY_ROUNDS") // 90 come to more than 300 points
	if n, err := strconv.ParseInt(long, 10, 64); err == nil {
		rounds = n
	}
	for i := int64(0); i < rounds && err == nil; i++ {
		w.Advance(20 * time.Minute)
		err = probeTell.Call(ctx, op, []int64{0, 3, 1}[i%3])
	}
	w.Advance(9 * time.Hour)
	return errors.Join(err, w.Sync(ctx))
}

// TestThreadsGoOnFromWhereverThePowerFails crashes at every operation on the disk, and has
// the threads play to their ends then.
func TestThreadsGoOnFromWhereverThePowerFails(t *testing.T) {
	out := newOuter()
	s := &stage{out: out}
	points, played := 0, 0
	runtimetest.EachCrash(t, out.kind,
		func(w *runtimetest.World) error {
			fresh := newOuter()
			out.mu.Lock()
			out.runs = fresh.runs
			out.mu.Unlock()
			s.canceled, s.names = map[string]bool{}, nil
			return s.playAll(w)
		},
		func(t *testing.T, w *runtimetest.World) {
			points++
			s.World, s.t = w, t
			if _, err := w.Root().Get(t.Context(), "op"); err != nil {
				return // the power failed before
			}
			played++
			s.finish()
			s.check(append(crashScripts, "T R"))
		})
	t.Logf("%d points, %d of them with threads", points, played)
	if points < 20 || played < points/4 { // the busier the machine, the fewer and larger the groups
		t.Errorf("%d points, %d of them with threads", points, played)
	}
}
