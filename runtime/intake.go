package sturdy

import (
	"context"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// intakes are where batches wait for those that belong before them. Each is handled on a
// goroutine of its own, so they can come to the writer in another order than they were sent in.
type intakes struct {
	mu sync.Mutex
	by map[string]*turnstile // by host; those at which somebody is
}

// turnstile is where the batches of one host are.
type turnstile struct {
	here int           // how many
	next chan struct{} // closed when one of them has been taken
}

// errEarly undoes a turn that takes a batch before its turn has come.
const errEarly = caps.Code("early")

// maxEarly is how many batches of one host are let wait: as many as it has under way, and those
// that it has given up meanwhile. Each of them looks again whenever one has been taken.
const maxEarly = 2 * maxUnderWay

// early is how long a batch waits for those that belong before it. If they do not come, it is
// answered that it has to be brought again.
const early = 200 * time.Millisecond

// run runs take as a turn, again and again while it comes too early, and waits for the disk.
// late has it make do with what is.
func (m *intakes) run(ctx context.Context, rt *Runtime, host string, take func(t *WriteTurn, late bool) error) error {
	defer m.leave(host)
	var timer *time.Timer
	for late := false; ; {
		next, here := m.enter(host, timer == nil)
		late = late || timer == nil && here > maxEarly
		var g *group
		err := rt.update(Relaxed(ctx), "accept", func(t *WriteTurn) error {
			err := take(t, late)
			g = t.restsOn()
			return err
		})
		if err != errEarly {
			m.pass(host)
			if err == nil && g != nil {
				rt.vat.wake(rt.vat.kick)
				err = g.wait(ctx)
			}
			return err
		}
		if timer == nil {
			timer = time.NewTimer(early)
			defer timer.Stop()
		}
		select {
		case <-next:
		case <-timer.C:
			late = true
		case <-ctx.Done():
			return notStarted("accept", ended(ctx))
		}
	}
}

// enter returns what is closed when a batch of the host has been taken after this, and how many
// of its batches are here.
func (m *intakes) enter(host string, first bool) (next chan struct{}, here int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.by[host]
	if s == nil {
		if m.by == nil {
			m.by = map[string]*turnstile{}
		}
		s = &turnstile{next: make(chan struct{})}
		m.by[host] = s
	}
	if first {
		s.here++
	}
	return s.next, s.here
}

// pass lets those look again that came too early.
func (m *intakes) pass(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.by[host]; s.here > 1 {
		close(s.next)
		s.next = make(chan struct{})
	}
}

func (m *intakes) leave(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.by[host]; s.here > 1 {
		s.here--
	} else {
		delete(m.by, host)
	}
}

// restsOn is the group that has to be durable so that what the turn does is; nil: it is. It is
// asked when the turn has done all that it will do.
func (t *WriteTurn) restsOn() *group {
	if len(t.wset)+len(t.elems) == 0 {
		return t.r.vat.pending()
	}
	return t.r.vat.group
}
