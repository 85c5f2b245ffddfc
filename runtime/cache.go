package sturdy

import "sync"

// cache keeps the states of objects in use alive, up to a budget of bytes. It is a clock: a
// hand goes around the handles and drops the state of those not used since it last passed.
// Order of use costs a hit one load of a flag, where a list would cost it a lock.
//
// What cannot be dropped yet (not durable, or needed by a snapshot) stays, and the budget
// is exceeded for as long.
type cache struct {
	vat    *vat
	budget int64

	mu    sync.Mutex // guards what follows
	ring  []slot
	bytes int64
	hand  int
}

type slot struct {
	h    *handle
	size int
}

// maxSteps bounds what one add pays for evictions.
const maxSteps = 16

// add keeps h, whose state takes size bytes, and drops others if that is too much.
func (c *cache) add(h *handle, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := h.place - 1; i >= 0 {
		c.bytes += int64(size - c.ring[i].size)
		c.ring[i].size = size
	} else {
		c.ring = append(c.ring, slot{h, size})
		h.place = len(c.ring)
		c.bytes += int64(size)
	}
	if c.bytes > c.budget {
		c.shrink(maxSteps)
	}
}

// shrink moves the hand at most steps places on, or until the budget is kept.
func (c *cache) shrink(steps int) {
	durable, needed := c.vat.marks()
	for ; steps > 0 && c.bytes > c.budget && len(c.ring) > 0; steps-- {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		s := c.ring[c.hand]
		if s.h.used.Load() {
			s.h.used.Store(false)
			c.hand++
			continue
		}
		if !s.h.evict(durable, needed) {
			c.hand++
			continue
		}
		c.remove(c.hand)
		c.vat.stats.evicted.Add(1)
	}
}

// remove takes the slot out by moving the last one into its place.
func (c *cache) remove(i int) {
	last := len(c.ring) - 1
	c.bytes -= int64(c.ring[i].size)
	c.ring[i].h.place = 0
	if i != last {
		c.ring[i] = c.ring[last]
		c.ring[i].h.place = i + 1
	}
	c.ring[last] = slot{}
	c.ring = c.ring[:last]
}

// clear drops every state that can be dropped.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	budget := c.budget
	c.budget = -1
	c.shrink(2*len(c.ring) + 1)
	c.budget = budget
}

// usage returns the bytes kept and the number of objects.
func (c *cache) usage() (bytes int64, objects int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes, len(c.ring)
}
