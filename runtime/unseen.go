package sturdy

import (
	"sync"
	"time"
)

// unseen is the broken promises that nobody has looked at. Whoever sent may still do so, for
// a while; then they are logged, as an error that nobody knows of would be lost.
type unseen struct {
	mu   sync.Mutex
	list []unseenPromise // by time
}

type unseenPromise struct {
	sent  *sent
	since time.Time
}

const (
	seenWithin = 10 * time.Second
	maxUnseen  = 1000 // above that they are logged at once
)

// add notes a promise that has just been broken.
func (u *unseen) add(s *sent, now time.Time) {
	u.mu.Lock()
	u.list = append(u.list, unseenPromise{s, now})
	u.mu.Unlock()
}

// due returns the promises that should have been looked at by now, or all of them.
func (u *unseen) due(now time.Time, all bool) (late []*sent) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for n < len(u.list) && (all || len(u.list)-n > maxUnseen || now.Sub(u.list[n].since) >= seenWithin) {
		if s := u.list[n].sent; !s.seen.Load() {
			late = append(late, s)
		}
		n++
	}
	u.list = append(u.list[:0:0], u.list[n:]...)
	return late
}

// logUnseen logs the broken promises that nobody has looked at.
func (rt *Runtime) logUnseen(all bool) {
	for _, s := range rt.unseen.due(rt.clock(), all) {
		l, err := parseLetter(s.mail.number, "", s.element.rec)
		o := s.outcome.Load()
		if err != nil || o == nil || o.err == nil { // a rollback has taken the outcome back
			continue
		}
		rt.logBroken(&l, o.err)
	}
}

// logBroken logs a promise whose outcome nobody will ask for.
func (rt *Runtime) logBroken(l *letter, err error) {
	rt.log.Warn("a message failed, and nobody looks at its promise", "method", l.method,
		"to", rt.vat.handle(l.slots[0].OID).name(), "from", rt.senderName(l.sender), "err", err)
}

// senderName says who sent a letter.
func (rt *Runtime) senderName(n uint64) string {
	if n == 0 {
		return program
	}
	return rt.vat.handleOf(n).name()
}

// program is what listings call Go code outside of turns.
const program = "the program"
