package sturdy

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheWriterLetsOneInAtATime(t *testing.T) {
	var l writer
	var wg sync.WaitGroup
	n := 0
	for range 8 {
		wg.Go(func() {
			for range 2_000 {
				if err := l.lock(t.Context(), "test", time.Now); err != nil {
					t.Error(err)
				}
				n++
				l.unlock()
			}
		})
	}
	wg.Wait()
	if n != 16_000 {
		t.Errorf("%d passages, want 16000", n)
	}
	if l.waiting.Load() != 0 || len(l.queue) != 0 || l.held.Load() {
		t.Errorf("left behind: %d waiting, %d queued, held %v", l.waiting.Load(), len(l.queue), l.held.Load())
	}
}

func TestWhoWaitsForTheWriterCanStopWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l writer
		l.lockInternal()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.lock(ctx, "test", time.Now); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("lock = %v, want the deadline", err)
		}
		l.unlock()
		if err := l.lock(t.Context(), "test", time.Now); err != nil {
			t.Errorf("the lock was lost: %v", err)
		}
	})
}

func TestCancelledWaitersLoseNoWakeup(t *testing.T) {
	var l writer
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%3 == 0 {
					go cancel()
				}
				if l.lock(ctx, "test", time.Now) == nil {
					l.unlock()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if err := l.lock(t.Context(), "test", time.Now); err != nil {
		t.Fatal(err)
	}
	l.unlock()
}

func TestTheWatchdogLetsWaitersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l writer
		l.lockInternal()
		stop := errors.New("enough")
		got := make(chan error)
		go func() { got <- l.lock(t.Context(), "test", time.Now) }()
		synctest.Wait()
		l.overdue(func(*waiter) error { return stop })
		if err := <-got; err != stop {
			t.Errorf("lock = %v, want %v", err, stop)
		}
		l.unlock()
	})
}

func TestAWaiterIsServedBesideOneThatNeverPauses(t *testing.T) {
	var l writer
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_ = l.lock(context.Background(), "greedy", time.Now)
				l.unlock()
			}
		}
	})
	for range 100 {
		if err := l.lock(t.Context(), "patient", time.Now); err != nil {
			t.Fatal(err)
		}
		l.unlock()
	}
	close(done)
	wg.Wait()
}
