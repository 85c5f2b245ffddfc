package foreign

import (
	"slices"
	"sync"

	"github.com/sturdyrt/sturdy/caps"
)

// lane has the calls of one object that have come over one connection. They take effect in
// the order in which they came, and do not wait for each other to become durable.
type lane struct {
	key     caps.Ref
	waiting []*answer // by arrival
	running int       // have not ended, of those that are waited for
	readers int       // of those, that only read
	unbegun int       // what comes after them would not see them yet
}

// What acts outside of turns may take as long as it likes, and call back whoever called it: once
// it has begun nothing waits for it.

// order is what a call and the next one have to wait for.
type order uint8

const (
	// afterAll: it may read, which is done on what is durable, so all before it must be over.
	afterAll order = iota
	// afterBegun: it writes, or acts outside, so all before it must have begun.
	afterBegun
	// reading: it only reads, beside others that do.
	reading
)

// queue puts a call, whose target is known, where it belongs.
func (c *conn) queue(a *answer) {
	if c.stateless(a) {
		if a.waits == 0 {
			a.begun = true
			c.calls.Go(func() { a.run(func() {}) })
		}
		return
	}
	a.order = c.orderOf(a)
	l := c.laneOf(a.to.ref)
	a.lane = l
	// By arrival, and not by when the target was found: an argument may be the result of an
	// earlier call that was queued later, and the two must not wait for each other.
	at := len(l.waiting)
	for at > 0 && l.waiting[at-1].seq > a.seq {
		at--
	}
	l.waiting = slices.Insert(l.waiting, at, a)
	c.advance(l)
}

// behind has say called when the calls of an object that have come by now have begun.
func (c *conn) behind(ref caps.Ref, say func() error) {
	l := c.laneOf(ref)
	c.seq++
	l.waiting = append(l.waiting, &answer{c: c, seq: c.seq, order: afterBegun, say: say})
	c.advance(l)
}

// laneOf finds the lane of an object, also by another Ref to it.
func (c *conn) laneOf(ref caps.Ref) *lane {
	if l := c.lanes[ref]; l != nil {
		return l
	}
	for key, l := range c.lanes {
		if key.Same(ref) {
			return l
		}
	}
	l := &lane{key: ref}
	c.lanes[ref] = l
	return l
}

// may reports whether a call may start.
func (l *lane) may(o order) bool {
	switch o {
	case reading:
		return l.running == l.readers
	case afterBegun:
		return l.unbegun == 0
	}
	return l.running == 0
}

// advance starts what may start.
func (c *conn) advance(l *lane) {
	for len(l.waiting) > 0 {
		a := l.waiting[0]
		if !a.done && (a.waits > 0 || !l.may(a.order)) {
			return
		}
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		if a.done {
			continue
		}
		if a.say != nil {
			if err := a.say(); err != nil { // the connection is over, or is now
				c.calls.Go(func() { c.end(err) })
			}
			continue
		}
		l.running++
		l.unbegun++
		if a.order == reading {
			l.readers++
		}
		a.begun = true
		begun := sync.OnceFunc(func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			l.unbegun--
			if a.acts {
				l.running--
				a.passed = true
			}
			c.advance(l)
		})
		c.calls.Go(func() { a.run(begun) })
	}
	if l.running == 0 && c.lanes[l.key] == l { // what has passed may end after there is another
		delete(c.lanes, l.key)
	}
}

// leave is told that a call has ended, which has begun.
func (c *conn) leave(a *answer) {
	l := a.lane
	if l == nil {
		return
	}
	if !a.passed {
		l.running--
	}
	if a.order == reading {
		l.readers--
	}
	c.advance(l)
}
