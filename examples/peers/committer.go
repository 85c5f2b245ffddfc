package peers

import "sync"

// change is one step of work: one addition, or two that must happen together.
type change struct {
	steps [2]step
	n     int
}

type step struct {
	key int
	by  int64
}

func addition(key int, by int64) change {
	return change{steps: [2]step{{key, by}}, n: 1}
}

func transfer(from, to int, amount int64) change {
	return change{steps: [2]step{{from, -amount}, {to, amount}}, n: 2}
}

// group is what becomes durable by one sync.
type group struct {
	changes []change
	err     error         // set before done is closed
	done    chan struct{} // closed when the group is durable, or has failed
}

// committer gives group commit to a store that has none: callers queue while the goroutine
// commits, and what has queued meanwhile is the next group.
type committer struct {
	commit func([]change) error

	mu    sync.Mutex
	next  *group        // what queues now
	wake  chan struct{} // holds a token if next is not empty
	ended chan struct{}
}

func newCommitter(commit func([]change) error) *committer {
	c := &committer{commit: commit, next: newGroup(), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go c.run()
	return c
}

func newGroup() *group { return &group{done: make(chan struct{})} }

func (c *committer) run() {
	defer close(c.ended)
	for range c.wake {
		c.mu.Lock()
		g := c.next
		c.next = newGroup()
		c.mu.Unlock()
		g.err = c.commit(g.changes)
		close(g.done)
	}
}

// do returns when ch is durable.
func (c *committer) do(ch change) error {
	c.mu.Lock()
	g := c.next
	g.changes = append(g.changes, ch)
	if len(g.changes) == 1 {
		c.wake <- struct{}{} // never blocks: the token before was taken with its group
	}
	c.mu.Unlock()
	<-g.done
	return g.err
}

// Add implements Peer.
func (c *committer) Add(key int, by int64) error { return c.do(addition(key, by)) }

// Transfer implements Peer.
func (c *committer) Transfer(from, to int, amount int64) error {
	return c.do(transfer(from, to, amount))
}

// stop ends the goroutine; nobody may call do any more.
func (c *committer) stop() {
	close(c.wake)
	<-c.ended
}
