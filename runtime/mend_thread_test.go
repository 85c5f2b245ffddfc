package sturdy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// task is an object on which each of these tests runs a program of its own.
type task struct{ Log []string }

const (
	taskRun  caps.Action          = "run"
	taskLog  caps.Query[[]string] = "log"
	taskPay  caps.Query[int64]    = "pay"
	taskNews caps.Command[int64]  = "news"
)

func taskKind(program func(*sturdy.Thread[task]) error) *sturdy.KindOf[task] {
	return sturdy.Define("mend/task",
		sturdy.Query(taskLog, func(k *task, _ *sturdy.ReadTurn) ([]string, error) { return k.Log, nil }),
		sturdy.Outside(caps.Method[caps.Done, int64](taskPay), func(context.Context, task, caps.Done) (int64, error) { return 1, nil }),
		sturdy.Runs(taskRun, program))
}

// logs is a step that writes into the task's log.
func logs(th *sturdy.Thread[task], name, text string) error {
	return th.Turn(name, func(_ *sturdy.WriteTurn, k *task) error {
		k.Log = append(k.Log, text)
		return nil
	})
}

// runTask spawns the program of a new task.
func runTask(t *testing.T, w *runtimetest.World, kind *sturdy.KindOf[task], d sturdy.Domain) (k caps.Ref, th sturdy.ThreadRef) {
	t.Helper()
	must(t, w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		k = kind.New(tn, task{})
		th = tn.Spawn(taskRun.To(k), d)
		return errors.Join(w.Root().Put(tn, "task", k), w.Root().Put(tn, "thread", th.Ref))
	}))
	return k, th
}

func foundTask(t *testing.T, w *runtimetest.World) (k caps.Ref, th sturdy.ThreadRef) {
	t.Helper()
	k, err := w.Root().Get(t.Context(), "task")
	must(t, err)
	ref, err := w.Root().Get(t.Context(), "thread")
	must(t, err)
	return k, sturdy.ThreadRef{Ref: ref}
}

func wantTaskLog(t *testing.T, k caps.Ref, want ...string) {
	t.Helper()
	if got, err := taskLog.Call(t.Context(), k); err != nil || !equal(got, want) {
		t.Errorf("log %q, %v; want %q", got, err, want)
	}
}

func TestALoopSaysInWhichRoundItIsAfterARestart(t *testing.T) {
	kind := taskKind(func(th *sturdy.Thread[task]) error {
		return th.Loop("rounds", func(n uint64) (bool, error) {
			if err := logs(th, "log", fmt.Sprint(n)); err != nil {
				return false, err
			}
			return n < 3, th.Sleep("wait", time.Hour)
		})
	})
	w := runtimetest.Open(t, kind)
	k, _ := runTask(t, w, kind, sturdy.Domain{})
	w.Advance(90 * time.Minute)
	wantTaskLog(t, k, "0", "1")
	must(t, w.Sync(t.Context()))
	w.Crash()
	k, th := foundTask(t, w)
	w.Advance(10 * time.Hour)
	must(t, th.Wait(t.Context()))
	wantTaskLog(t, k, "0", "1", "2", "3")
}

func TestStepsWithNamesThatAreNoTextAreListedAndForgotten(t *testing.T) {
	names := []string{"\xff", "\xff\xffa", "a\x80", "é", "日本", "\x00"}
	kind := taskKind(func(th *sturdy.Thread[task]) error {
		return th.Loop("lo\xffop", func(n uint64) (bool, error) {
			for _, name := range names {
				if err := logs(th, name, fmt.Sprint(n)); err != nil {
					return false, err
				}
			}
			return n < 1, th.Sleep("\xffwait", time.Hour)
		})
	})
	w := runtimetest.Open(t, kind)
	_, th := runTask(t, w, kind, sturdy.Domain{})
	steps := func() (n int) {
		t.Helper()
		seen := map[string]bool{}
		for s, err := range th.Steps(t.Context()) {
			must(t, err)
			seen[s.Name] = true
		}
		return len(seen)
	}
	w.Settle()
	if n := steps(); n != len(names)+1 {
		t.Errorf("%d steps are listed", n)
	}
	w.Advance(30 * time.Minute)
	must(t, w.Sync(t.Context()))
	w.Crash()
	k, th := foundTask(t, w)
	w.Advance(2 * time.Hour)
	must(t, th.Wait(t.Context()))
	if n := steps(); n != 1 {
		t.Errorf("%d steps are left; only the loop is one", n)
	}
	wantTaskLog(t, k, strings.Split(strings.Repeat("0", len(names))+strings.Repeat("1", len(names)), "")...)
}

// theCulprit panics.
func theCulprit() { panic("out of tape") }

func TestTheStackOfAPanicInATurnIsKept(t *testing.T) {
	for name, program := range map[string]func(*sturdy.Thread[task]) error{
		"turn": func(th *sturdy.Thread[task]) error {
			return th.Turn("pack", func(*sturdy.WriteTurn, *task) error { theCulprit(); return nil })
		},
		"turn, wrapped": func(th *sturdy.Thread[task]) error {
			err := th.Turn("pack", func(*sturdy.WriteTurn, *task) error { theCulprit(); return nil })
			return fmt.Errorf("it cannot be packed: %w", err)
		},
		"view": func(th *sturdy.Thread[task]) error {
			return th.View(func(*sturdy.ReadTurn, *task) error { theCulprit(); return nil })
		},
		"between": func(*sturdy.Thread[task]) error { theCulprit(); return nil },
		"handled": func(th *sturdy.Thread[task]) error {
			_ = th.Turn("pack", func(*sturdy.WriteTurn, *task) error { theCulprit(); return nil })
			return errors.New("something else")
		},
	} {
		t.Run(name, func(t *testing.T) {
			kind := taskKind(program)
			w := runtimetest.Open(t, kind)
			_, th := runTask(t, w, kind, sturdy.Domain{})
			_ = th.Wait(t.Context())
			info, err := th.Info(t.Context())
			if err != nil || info.State != sturdy.ThreadParked || strings.Contains(info.Stack, "theCulprit") != (name != "handled") {
				t.Errorf("%v, stack %q", err, info.Stack)
			}
		})
	}
}

func TestAThreadInAStepSaysWhichItIs(t *testing.T) {
	inside, goOn := make(chan struct{}), make(chan struct{})
	kind := taskKind(func(th *sturdy.Thread[task]) error {
		return th.Loop("orders", func(uint64) (bool, error) {
			_, err := sturdy.Step(th, "charge", func(context.Context) (int64, error) { close(inside); <-goOn; return 1, nil })
			return false, err
		})
	})
	w := runtimetest.Open(t, kind)
	_, th := runTask(t, w, kind, sturdy.Domain{})
	<-inside
	info, err := th.Info(t.Context())
	if err != nil || info.State != sturdy.ThreadRunning || info.Step != "orders/0/charge" {
		t.Errorf("%+v, %v", info, err)
	}
	close(goOn)
	must(t, th.Wait(t.Context()))
	if info, err := th.Info(t.Context()); err != nil || info.Step != "" {
		t.Errorf("it has ended, and is in step %q, %v", info.Step, err)
	}
}

func TestWhoWaitsForAThreadIsNotToldOfALostGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn, full := make(chan struct{}), make(chan struct{})
		kind := taskKind(func(th *sturdy.Thread[task]) error {
			if _, err := sturdy.Step(th, "wait", func(context.Context) (int64, error) { <-goOn; return 1, nil }); err != nil {
				return err
			}
			return logs(th, "log", "done")
		})
		w := unchecked(t, kind)
		k, th := runTask(t, w, kind, sturdy.Domain{})
		must(t, w.Sync(t.Context()))
		var first sync.Once
		w.Disk().Hook(func(op, name string, _ int) (int, error) {
			var err error
			if op == "write" && strings.HasSuffix(name, "1") { // not the segment that is made ready beside // one may be made ready beside
				first.Do(func() { <-full; err = syscall.ENOSPC })
			}
			return 0, err
		})
		close(goOn) // its end waits for the disk
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- th.Wait(t.Context()) }()
		synctest.Wait()
		close(full)
		if err := <-ended; err != nil {
			t.Error("who waits is told", err)
		}
		wantTaskLog(t, k, "done")
		wants(t, w.Sync(t.Context()), sturdy.ErrDiskFull)
	})
}

func TestALetterThatIsBuriedIsLoggedOnce(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	kind := taskKind(func(th *sturdy.Thread[task]) error {
		_, err := sturdy.Receive(th, "news", taskNews, 0)
		return err
	})
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{kind}, Checked: true, Log: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))}.Open()
	must(t, err)
	defer func() { must(t, rt.Close()) }()
	var k caps.Ref
	var th sturdy.ThreadRef
	must(t, rt.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		k = kind.New(tn, task{})
		th = tn.Spawn(taskRun.To(k), sturdy.Domain{})
		return nil
	}))
	caps.Command[int64]("no such method").Send(t.Context(), k, 1) // buried by the postman
	caps.Command[string](taskNews).Send(t.Context(), th.Ref, "")  // by the thread, which wants a number
	_, err = rt.Settle(t.Context())
	must(t, err)
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "is kept as a dead letter"); n != 2 {
		t.Errorf("two letters are buried, and %d are logged:\n%s", n, log.String())
	}
}

// lockedWriter is a log that can be read while it is written.
type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func TestWhatAThreadReceivesCannotBeCalled(t *testing.T) {
	kind := taskKind(func(th *sturdy.Thread[task]) error {
		_, err := sturdy.Receive(th, "news", taskNews, 0)
		return err
	})
	w := runtimetest.Open(t, kind)
	_, th := runTask(t, w, kind, sturdy.Domain{})
	err := taskNews.Call(t.Context(), th.Ref, 1)
	wants(t, err, caps.ErrNoMethod)
	if err == nil || !strings.Contains(err.Error(), "send it") {
		t.Error(err)
	}
	taskNews.Send(t.Context(), th.Ref, 1)
	must(t, th.Wait(t.Context()))
}

func TestTheRootOfAThreadIsADirectory(t *testing.T) {
	kind := taskKind(func(th *sturdy.Thread[task]) error {
		return th.Turn("put", func(tn *sturdy.WriteTurn, _ *task) error { return th.Root().Put(tn, "here", th.Self()) })
	})
	w := runtimetest.Open(t, kind)
	var dir sturdy.Directory
	spawnAt := func(root func(*sturdy.WriteTurn, caps.Ref) caps.Ref) (th sturdy.ThreadRef, err error) {
		err = w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
			k := kind.New(tn, task{})
			th = tn.Spawn(taskRun.To(k), sturdy.Domain{Root: root(tn, k)})
			return nil
		})
		return th, err
	}
	_, err := spawnAt(func(_ *sturdy.WriteTurn, k caps.Ref) caps.Ref { return k })
	wants(t, err, caps.ErrBadArgument)
	if err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Error(err)
	}
	th, err := spawnAt(func(tn *sturdy.WriteTurn, _ caps.Ref) caps.Ref { dir = sturdy.NewDirectory(tn); return dir.Ref })
	must(t, err)
	must(t, th.Wait(t.Context()))
	if n, err := dir.Len(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func TestARefillThatFailsNamesTheMeter(t *testing.T) {
	w := runtimetest.Open(t, counterKind)
	var m sturdy.Meter
	must(t, w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		m = tn.NewMeter(sturdy.Budget{Turns: 1}, caps.Ref{})
		return nil
	}))
	err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error { return m.Refill(tn, sturdy.Budget{Turns: -1}) })
	var e *caps.Error
	if !errors.As(err, &e) || e.Code != caps.ErrBadArgument || !strings.HasPrefix(e.Object, "meter ") || e.Op != "sturdy/meter.refill" {
		t.Errorf("%#v", err)
	}
}

// TestARefillLetsMoreGoOnThanOneTurnCan has more threads parked than one turn lets go on.
func TestARefillLetsMoreGoOnThanOneTurnCan(t *testing.T) {
	const threads = 1100
	kind := taskKind(func(th *sturdy.Thread[task]) error { return logs(th, "log", "x") })
	w := unchecked(t, kind)
	ctx := t.Context()
	var m sturdy.Meter
	var all []caps.Ref
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		m = tn.NewMeter(sturdy.Budget{Bytes: 1}, caps.Ref{})
		for range threads {
			k := kind.New(tn, task{})
			tn.Spawn(taskRun.To(k), sturdy.Domain{Meter: m})
			all = append(all, k)
		}
		return nil
	}))
	w.Settle()
	info, err := m.Info(ctx)
	if err != nil || info.Parked != threads {
		t.Fatalf("%+v, %v", info, err)
	}
	must(t, w.Sync(ctx))
	must(t, m.Refill(ctx, sturdy.Budget{Bytes: 1 << 30}))
	w.Settle()
	if info, err = m.Info(ctx); err != nil || info.Parked != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	for _, k := range all {
		wantTaskLog(t, k, "x")
	}
}

func TestAMethodThatActsOutsideSaysSo(t *testing.T) {
	kind := taskKind(func(*sturdy.Thread[task]) error { return nil })
	w := runtimetest.Open(t, kind)
	k, _ := runTask(t, w, kind, sturdy.Domain{})
	for range 2 {
		info, err := w.Describe(t.Context(), k)
		must(t, err)
		for _, m := range info.Kind.Methods {
			if m.Outside != (m.Name == taskPay.Name()) {
				t.Errorf("%+v", m)
			}
		}
		w.Restart() // the world remembers it
		k, _ = foundTask(t, w)
	}
}

// TestADeadLetterThatIsDamagedOnDiskIsListedAndCanBeDiscarded changes a byte of one of three.
func TestADeadLetterThatIsDamagedOnDiskIsListedAndCanBeDiscarded(t *testing.T) {
	kind := taskKind(func(*sturdy.Thread[task]) error { return nil })
	w := unchecked(t, kind)
	k, _ := runTask(t, w, kind, sturdy.Domain{})
	for _, text := range []string{"the first text", "this text is damaged", "the last text"} {
		caps.Command[string]("no such method").Send(t.Context(), k, text)
	}
	w.Settle()
	must(t, w.Close())
	w.ExpectDamage()
	data, err := w.Disk().ReadFile("objects.db")
	must(t, err)
	bad := bytes.ReplaceAll(data, []byte("this text is damaged"), []byte("this text is damageD"))
	if bytes.Equal(bad, data) {
		t.Fatal("the letter is not in the store file")
	}
	must(t, w.Disk().WriteFile("objects.db", bad))
	w.Reopen()
	list := func(want int) (damaged string) {
		t.Helper()
		n := 0
		for l, err := range w.Activity().DeadLetters(t.Context()) {
			must(t, err)
			if n++; l.Method == "" {
				damaged = l.ID
			}
		}
		if n != want {
			t.Errorf("%d dead letters are listed, want %d", n, want)
		}
		return damaged
	}
	id := list(3)
	must(t, w.Activity().Discard(t.Context(), id))
	if id = list(2); id != "" {
		t.Errorf("letter %s is still there, damaged", id)
	}
}
