package peers

import "sync"

// Caller makes calls that stay in memory: the yardstick for a call inside a turn.
type Caller interface {
	// Calls makes n calls, one after another, and returns the last result.
	Calls(n int) int64
	// Close releases what the Caller holds.
	Close()
}

// CallerMaker makes one sort of Caller.
type CallerMaker struct {
	// Name is the peer's part in the names of the benchmarks.
	Name string
	// New makes one.
	New func() Caller
}

// Memory lists the ways to call an object that is not durable.
func Memory() []CallerMaker {
	return []CallerMaker{
		{"mutex", func() Caller { return &mutexCaller{} }},
		{"channel", newChannelCaller},
	}
}

// mutexCaller is an object whose method takes a lock.
type mutexCaller struct {
	mu sync.Mutex
	n  int64
}

// add is kept from being inlined: a method behind a capability never is.
//
//go:noinline
func (c *mutexCaller) add(by int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += by
	return c.n
}

// Calls implements Caller.
func (c *mutexCaller) Calls(n int) (last int64) {
	for range n {
		last = c.add(1)
	}
	return last
}

// Close implements Caller.
func (c *mutexCaller) Close() {}

// channelCaller is an object that is owned by a goroutine and asked through a channel.
type channelCaller struct {
	ask, answer chan int64
}

func newChannelCaller() Caller {
	c := &channelCaller{ask: make(chan int64), answer: make(chan int64)}
	go func() {
		var n int64
		for by := range c.ask {
			n += by
			c.answer <- n
		}
	}()
	return c
}

// Calls implements Caller.
func (c *channelCaller) Calls(n int) (last int64) {
	for range n {
		c.ask <- 1
		last = <-c.answer
	}
	return last
}

// Close implements Caller.
func (c *channelCaller) Close() { close(c.ask) }
