package sturdy_test

import (
	"context"
	"fmt"
	"log/slog"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func goexit() { goruntime.Goexit() }

// TestARingOfThreadsTellsEachOtherWhileTheyArePausedAndCanceled has each send to the next, and
// somebody who pauses, resumes and cancels.
func TestARingOfThreadsTellsEachOtherWhileTheyArePausedAndCanceled(t *testing.T) {
	const n = 200
	before := goruntime.NumGoroutine()
	var scripts []string
	for i := range n {
		scripts = append(scripts, fmt.Sprintf("M%d L4( R M%d ) T", (i+1)%n, (i+1)%n))
	}
	s := newStage(t, false, scripts...)
	ctx := context.Background()
	var all sync.WaitGroup
	for k := range 4 {
		all.Go(func() {
			for i := k; i < n; i += 4 {
				th := s.thread(i)
				switch i % 20 {
				case 3, 4, 5:
					_ = th.Pause(sturdy.Relaxed(ctx))
					_ = th.Resume(sturdy.Relaxed(ctx))
				case 7:
					_ = th.Cancel(sturdy.Relaxed(ctx), "enough")
				}
			}
		})
	}
	all.Wait()
	for i := range n {
		if i%20 == 7 {
			s.canceled[s.names[i]] = true
		}
	}
	s.Reopen() // in the middle
	s.finish()
	s.check(scripts)
	must(t, s.Close())
	for end := time.Now().Add(patience); goruntime.NumGoroutine() > before && time.Now().Before(end); {
		goruntime.Gosched()
	}
	if now := goruntime.NumGoroutine(); now > before {
		t.Errorf("%d goroutines; before there were %d", now, before)
	}
}

func TestCloseDoesNotWaitForAStepThatIgnoresItsContext(t *testing.T) {
	running, end := make(chan context.Context, 1), make(chan bool)
	deferred := make(chan bool, 1)
	s, _ := program(t, func(th *sturdy.Thread[probe]) error {
		defer func() {
			deferred <- true
			_ = line(th, "undone")
			deferred <- false
		}()
		_, err := sturdy.Step(th, "stubborn", func(ctx context.Context) (bool, error) {
			running <- ctx
			<-end
			return true, nil
		})
		return err
	})
	ctx := <-running
	must(t, s.Close())
	<-ctx.Done()
	close(end)
	if !<-deferred {
		t.Error("its deferred function did not run")
	}
}

// running is how many goroutines there are of threads' programs in the bubble of synctest that
// it is called in: those of earlier tests may be about to end.
func running() (n int) {
	buf := make([]byte, 8<<20)
	for stack := range strings.SplitSeq(string(buf[:goruntime.Stack(buf, true)]), "\n\n") {
		head, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(head, "synctest bubble") && strings.Contains(stack, "runtime.(*strand).main(") {
			n++
		}
	}
	return n
}

// TestAThreadThatOnlyWaitsHasNoGoroutine counts goroutines when time passes, and when a world
// is opened.
func TestAThreadThatOnlyWaitsHasNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan bool, 100)
		kind := probeKindOf(func(th *sturdy.Thread[probe]) error {
			defer func() { ended <- true }()
			_, err := sturdy.Receive(th, "next", probeNext, time.Hour)
			return err
		})
		rt, err := sturdy.Options{Kinds: []sturdy.Kind{kind}, Log: slog.New(slog.DiscardHandler)}.Open()
		must(t, err)
		defer rt.Close()
		synctest.Wait()
		before := running()
		var th sturdy.ThreadRef
		must(t, rt.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
			for range 50 {
				th = tn.Spawn(probePlay.To(kind.New(tn, probe{})), sturdy.Domain{})
			}
			return nil
		}))
		synctest.Wait()
		if n := running() - before; n != 50 {
			t.Errorf("%d goroutines of 50 threads that have begun to wait", n)
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if n := running() - before; n != 50 {
			t.Errorf("%d goroutines of 50 threads that have waited for 9 s", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := running() - before; n != 0 || len(ended) != 50 {
			t.Errorf("%d goroutines of 50 threads that have waited for 11 s; %d deferred functions ran", n, len(ended))
		}
		probeNext.Send(t.Context(), th.Ref, numbered{})
		must(t, th.Wait(t.Context()))
		time.Sleep(2 * time.Hour)
		n := 0
		for range rt.Activity().Threads(t.Context()) {
			n++
		}
		if n != 49 { // parked: the deadline passed
			t.Errorf("%d threads have not ended", n)
		}
	})
}

func TestAThreadThatLoopsDoesNotGrow(t *testing.T) {
	rounds := 10_000
	if raceEnabled {
		rounds = 1000
	}
	n := 0
	s, th := program(t, func(th *sturdy.Thread[probe]) error {
		err := th.Loop("outer", func(uint64) (bool, error) {
			n++
			err := th.Loop("inner", func(uint64) (bool, error) { return false, line(th, "x") })
			if err == nil && n%500 == 0 {
				err = th.Turn("empty", func(_ *sturdy.WriteTurn, p *probe) error { p.Log = nil; return nil })
			}
			return n < rounds, err
		})
		if err != nil {
			return err
		}
		_, err = sturdy.Receive(th, "next", probeNext, 0)
		return err
	})
	s.is(0, sturdy.ThreadWaiting)
	var steps []string
	for info, err := range th.Steps(t.Context()) {
		must(t, err)
		steps = append(steps, info.Name+" "+info.State)
	}
	if !equal(steps, []string{"next waits", "outer done"}) {
		t.Errorf("%q", steps)
	}
}
