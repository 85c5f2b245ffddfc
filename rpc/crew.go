package rpc

import "time"

// server is a goroutine that serves one request after the other. A new one for each would begin
// with a small stack, and copy it several times before it has grown to what a turn takes: a
// third of what a short call costs.
type server struct{ next chan *incoming }

// crew are the servers of a link that have nothing to do. They are as many as requests came at
// once, and those that were not needed for a while go. Guarded by the link's mu.
type crew struct {
	idle  []*server   // who was the last to work is the next to
	least int         // the fewest that were idle since the timer was set
	timer *time.Timer // nil: nobody is idle
}

const (
	maxCrew = 256         // idle servers of a link
	rests   = time.Second // how long a server is idle at most, about
)

// hand has in served by one that has nothing to do, or by a new one; with mu held.
func (l *link) hand(in *incoming) {
	c := &l.load.crew
	l.load.ready++
	last := len(c.idle) - 1
	if last < 0 {
		go (&server{make(chan *incoming, 1)}).serve(in)
		return
	}
	s := c.idle[last]
	c.idle[last], c.idle = nil, c.idle[:last]
	c.least = min(c.least, last)
	s.next <- in // has room
}

// serve serves in and what comes after it. What is called on the result of in comes first, so
// that a chain is served without a pause.
func (s *server) serve(in *incoming) {
	defer func() {
		if in != nil && in.q.is != nil { // its handler has ended the goroutine
			in.l.mu.Lock()
			in.q.is.advance()
		}
	}()
	l, rests := in.l, true
	for handed := true; in != nil; {
		l.mu.Lock()
		if handed {
			l.begins()
		}
		l.space(in)
		l.mu.Unlock()
		in.run()
		l.mu.Lock()
		next := in.q.is.due()
		if handed = next == nil; handed {
			rests = l.rest(s)
		}
		l.mu.Unlock()
		if in = next; handed && rests {
			in = <-s.next
		}
	}
}

// rest reports whether there will be more for s, or an end; with mu held.
func (l *link) rest(s *server) bool {
	c := &l.load.crew
	if l.ended != nil || len(c.idle) >= maxCrew {
		return false
	}
	if c.idle = append(c.idle, s); c.timer == nil {
		c.least, c.timer = 0, time.AfterFunc(rests, l.thin)
	}
	return true
}

// thin lets those go that nothing was given to since the last time.
func (l *link) thin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.load.crew
	if c.dismiss(c.least); len(c.idle) > 0 {
		c.least = len(c.idle)
		c.timer.Reset(rests)
		return
	}
	c.timer = nil
}

// quit lets all go; with mu held, of a link that has ended.
func (c *crew) quit() {
	if c.timer != nil {
		c.timer.Stop()
	}
	c.least = 0
	c.dismiss(len(c.idle))
}

// dismiss lets those n go that have been idle longest.
func (c *crew) dismiss(n int) {
	for _, s := range c.idle[:n] {
		close(s.next)
	}
	rest := copy(c.idle, c.idle[n:])
	clear(c.idle[rest:])
	c.idle = c.idle[:rest]
}
