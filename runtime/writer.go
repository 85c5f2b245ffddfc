package sturdy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// writer is the lock of a vat's one writer. sync.Mutex would do but for two things that a
// writer's queue needs: a caller can stop waiting when its context ends, and the queue can
// be looked into and told to give up (see watchdog.go).
//
// Like sync.Mutex it lets a running goroutine barge past the queue, which keeps a busy vat
// from paying a goroutine switch for each turn. Every handoffEvery-th unlock hands over to
// the front of the queue instead: a wait is bounded by turns, whatever the scheduler does.
// (sync.Mutex goes by time, and then hands over each time: half the turns a second.)
type writer struct {
	held    atomic.Bool
	waiting atomic.Int32 // length of queue, for unlock to see without mu
	barged  int          // unlocks since the last handover; guarded by the lock itself

	mu    sync.Mutex // guards what follows
	queue []*waiter
	woken bool // Invariant: at most one waiter has been woken and not yet tried
}

// waiter is one caller in the queue.
type waiter struct {
	op     string
	since  time.Time
	logged bool
	// internal: the runtime itself waits, and is never told to give up.
	internal bool
	ahead    bool      // it is the postman
	wake     chan wake // capacity 1: who wakes never blocks
}

// wake is what a waiter is told.
type wake struct {
	owns bool  // the lock is yours
	err  error // give up
}

const handoffEvery = 16

// lock takes the lock, or returns the cause of ctx's end or the watchdog's error.
func (l *writer) lock(ctx context.Context, op string, now func() time.Time) error {
	if l.held.CompareAndSwap(false, true) {
		return nil
	}
	return l.lockSlow(ctx, &waiter{op: op, since: now(), wake: make(chan wake, 1)})
}

// lockAhead is lockInternal for the postman. It waits in front of the others: while it does,
// letters pile up.
func (l *writer) lockAhead() {
	if !l.held.CompareAndSwap(false, true) {
		_ = l.lockSlow(context.Background(), &waiter{internal: true, ahead: true, wake: make(chan wake, 1)})
	}
}

// handNext has the next unlock hand over to the front of the queue; with the lock held.
func (l *writer) handNext() { l.barged = handoffEvery }

// lockInternal takes the lock for the runtime itself: it waits as long as it takes.
func (l *writer) lockInternal() {
	if !l.held.CompareAndSwap(false, true) {
		_ = l.lockSlow(context.Background(), &waiter{internal: true, wake: make(chan wake, 1)})
	}
}

func (l *writer) lockSlow(ctx context.Context, w *waiter) error {
	l.mu.Lock()
	if w.ahead {
		l.queue = slices.Insert(l.queue, 0, w)
	} else {
		l.queue = append(l.queue, w)
	}
	l.waiting.Add(1)
	l.mu.Unlock()
	for {
		if l.held.CompareAndSwap(false, true) {
			l.leave(w)
			return nil
		}
		select {
		case k := <-w.wake:
			if k.err != nil || k.owns {
				return k.err
			}
			l.requeue(w)
		case <-ctx.Done():
			if l.leave(w) {
				l.unlock() // it had just been handed over
			}
			return ended(ctx)
		}
	}
}

// requeue puts a waiter that was woken back in front: it tries once more before it sleeps.
func (l *writer) requeue(w *waiter) {
	l.mu.Lock()
	l.woken = false
	l.queue = slices.Insert(l.queue, 0, w)
	l.waiting.Add(1)
	l.mu.Unlock()
}

// leave takes w out of the queue. A wake that was already under way is consumed: owns says
// that it was the lock itself.
func (l *writer) leave(w *waiter) (owns bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.queue, w); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		l.waiting.Add(-1)
		return false
	}
	k := <-w.wake // whoever popped w has sent before releasing mu
	if !k.owns && k.err == nil {
		l.woken = false
		l.wakeFront()
	}
	return k.owns
}

// unlock releases the lock and wakes the front of the queue.
func (l *writer) unlock() {
	if l.waiting.Load() > 0 {
		if l.barged++; l.barged >= handoffEvery && l.handOver() {
			return
		}
	}
	l.held.Store(false)
	if l.waiting.Load() > 0 {
		l.mu.Lock()
		l.wakeFront()
		l.mu.Unlock()
	}
}

// giveWay unlocks, and lets the front of the queue have the lock before anybody else.
func (l *writer) giveWay() {
	if l.waiting.Load() == 0 || !l.handOver() {
		l.unlock()
	}
}

// handOver gives the lock to the front of the queue without freeing it in between.
func (l *writer) handOver() bool {
	l.barged = 0
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return false
	}
	l.pop().wake <- wake{owns: true}
	return true
}

// wakeFront wakes one waiter to try; with mu held.
func (l *writer) wakeFront() {
	if !l.woken && len(l.queue) > 0 && !l.held.Load() {
		l.woken = true
		l.pop().wake <- wake{}
	}
}

func (l *writer) pop() *waiter {
	w := l.queue[0]
	l.queue = slices.Delete(l.queue, 0, 1)
	l.waiting.Add(-1)
	return w
}

// overdue calls visit for each waiter, oldest first; the error that it returns, if any, is
// what the waiter's lock returns.
func (l *writer) overdue(visit func(*waiter) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 0; i < len(l.queue); {
		w := l.queue[i]
		if err := visit(w); err != nil {
			l.queue = slices.Delete(l.queue, i, i+1)
			l.waiting.Add(-1)
			w.wake <- wake{err: err}
			continue
		}
		i++
	}
}
