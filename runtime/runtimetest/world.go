package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	goruntime "runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// World is a host on a simulated disk. After Crash, Reopen and Restart the embedded Runtime
// is another one, so a test must not keep it, nor any Ref. Crash, Reopen, Restart and Advance
// are for one goroutine at a time; the Runtime is safe for concurrent use.
type World struct {
	*sturdy.Runtime
	t       testing.TB
	options sturdy.Options
	files   *objstore.MemoryFiles
	name    string // the label of its goroutines, different for each World of a process
	seed    uint64
	chance  *rand.Rand
	now     atomic.Int64 // nanoseconds since start
	damaged bool
}

// start is the time at which every world opens.
func start() time.Time { return time.Date(2024, time.March, 1, 12, 0, 0, 0, time.UTC) }

// Open opens an empty world in Checked mode; cleanup checks it.
func Open(t testing.TB, ks ...sturdy.Kind) *World {
	t.Helper()
	return OpenOptions(t, sturdy.Options{Kinds: ks, Checked: true})
}

// OpenOptions is Open with options, of which Dir, Files, Clock and Log are set by it.
// Checked is as given: without it concurrent load runs at full speed.
func OpenOptions(t testing.TB, o sturdy.Options) *World {
	t.Helper()
	w := newWorld(t, o)
	if err := w.open(); err != nil {
		t.Fatal("runtimetest: open:", err)
	}
	return w
}

func newWorld(t testing.TB, o sturdy.Options) *World {
	w := &World{t: t, options: o, files: objstore.NewMemory(), seed: seed(t)}
	w.name = fmt.Sprintf("%p", w)
	w.chance = rand.New(rand.NewPCG(w.seed, 0))
	w.options.Dir, w.options.Clock = "", w.clock
	w.options.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	t.Cleanup(w.cleanup)
	return w
}

// seed is that of the environment, or else random; a test that fails prints it.
func seed(t testing.TB) uint64 {
	n, err := strconv.ParseUint(os.Getenv("STURDY_SEED"), 0, 64)
	if err != nil {
		n = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("runtimetest: STURDY_SEED=%d", n)
		}
	})
	return n
}

func (w *World) clock() time.Time { return start().Add(time.Duration(w.now.Load())) }

// open opens the world with its goroutines labelled, so that cleanup can tell them from
// those of other worlds.
func (w *World) open() (err error) {
	w.options.Files = w.files
	pprof.Do(context.Background(), pprof.Labels("sturdy-world", w.name), func(context.Context) {
		w.Runtime, err = w.options.Open()
	})
	return err
}

// Now is the time in the world.
func (w *World) Now() time.Time { return w.clock() }

// Pass moves the world's clock and does nothing else; also inside a turn.
func (w *World) Pass(d time.Duration) { w.now.Add(int64(d)) }

// Advance moves the world's clock, from one time at which something falls due to the next,
// and runs what falls due, until nothing more can run. A world that has lost its disk only
// gets older.
func (w *World) Advance(d time.Duration) {
	w.t.Helper()
	end := w.clock().Add(d)
	for {
		next, ok := w.settle()
		if !ok || next.IsZero() || next.After(end) {
			break
		}
		w.now.Store(int64(next.Sub(start())))
	}
	w.now.Store(int64(end.Sub(start())))
	w.Settle()
}

// Settle runs until nothing more can run without time passing.
func (w *World) Settle() {
	w.t.Helper()
	w.settle()
}

// settle is Settle, and says when something falls due; ok is false if the world has stopped.
func (w *World) settle() (next time.Time, ok bool) {
	w.t.Helper()
	if w.Runtime == nil {
		return next, false
	}
	next, err := w.Runtime.Settle(context.Background())
	if err != nil && !harmless(err) && !errors.Is(err, sturdy.ErrStopped) && !errors.Is(err, caps.ErrMaybeExecuted) && !errors.Is(err, sturdy.ErrDiskFull) && !errors.Is(err, caps.ErrMaybeExecuted) {
		w.t.Error("runtimetest: settle:", err)
	}
	return next, err == nil
}

// Disk is the disk that the world is on, to make it fail or to damage what is on it. After
// a Crash it is another one.
func (w *World) Disk() *objstore.MemoryFiles { return w.files }

// ExpectDamage says that the test damages what is on the disk, so that the check at its end
// has nothing to say.
func (w *World) ExpectDamage() { w.damaged = true }

// Crash loses everything that is not on disk and opens the world again. Of what was written
// and not synced, some sectors stay. Calls under way fail.
func (w *World) Crash() {
	w.t.Helper()
	w.powerFailure()
	if err := w.open(); err != nil {
		w.t.Fatal("runtimetest: open after a crash:", err)
	}
}

// powerFailure leaves the files as the next opening finds them.
func (w *World) powerFailure() {
	after, err := w.files.Crash(func() bool { return w.chance.Uint64()&1 == 0 })
	if err != nil {
		w.t.Fatal("runtimetest: crash:", err)
	}
	if w.Runtime != nil {
		_ = w.Runtime.Close() // it ends its goroutines; that its disk is gone is no news
		w.Runtime = nil
	}
	w.files = after
}

// Reopen closes the world in good order and opens it again.
func (w *World) Reopen() {
	w.t.Helper()
	w.Restart(w.options.Kinds...)
}

// Restart is Reopen with other kinds: a new version of the program.
func (w *World) Restart(ks ...sturdy.Kind) {
	w.t.Helper()
	if err := w.Close(); err != nil {
		w.t.Fatal("runtimetest: close:", err)
	}
	w.options.Kinds = ks
	if err := w.open(); err != nil {
		w.t.Fatal("runtimetest: reopen:", err)
	}
}

// cleanup checks the world and ends it. That a test has closed it or has stopped its writes
// is no error.
func (w *World) cleanup() {
	w.files.Hook(nil)
	if w.Runtime != nil {
		if err := w.Check(context.Background()); err != nil && !harmless(err) && !w.damaged {
			w.t.Error("runtimetest: check:", err)
		}
		if err := w.Close(); err != nil && !harmless(err) {
			w.t.Error("runtimetest: close:", err)
		}
	}
	if left := w.goroutines(); left != "" {
		w.t.Error("runtimetest: the world has left goroutines behind:\n" + left)
	}
	if err := w.files.Close(); err != nil {
		w.t.Error("runtimetest:", err)
	}
}

func harmless(err error) bool {
	return errors.Is(err, objstore.ErrClosed) || errors.Is(err, objstore.ErrStopped) || errors.Is(err, sturdy.ErrClosed)
}

// goroutines returns the stacks of those that the world has started and that do not end.
func (w *World) goroutines() string {
	for patience := 0; ; patience++ {
		left := w.running()
		if left == "" || patience == 200 {
			return left
		}
		goruntime.Gosched()
	}
}

func (w *World) running() string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return err.Error()
	}
	var left []string
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(stack, `"sturdy-world":"`+w.name+`"`) {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}
