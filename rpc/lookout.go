package rpc

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// lookout sees to it that nobody waits until another has nothing more to ask.
//
// Go's runtime asks the system what has arrived when a processor has nothing to do, and else every
// 10 ms. A few peers that ask without end keep all processors busy, and what others send lies
// there for so long. So while somebody is as busy as that, this asks, every lookEvery, about the
// connections whose readers wait. A reader that has something is woken by a deadline, and reads.
//
// Rejected: keeping a processor free for the others, which of two would be half of the host; and a
// thread that waits for each connection, which costs a change of threads for each message.
type lookout struct {
	mu      sync.Mutex
	conns   map[*watched]bool
	several atomic.Bool // there are more than one
	busy    atomic.Bool // somebody has been since it was looked last
	looks   atomic.Bool
	asked   []pollFd // what is asked about, and for whom; kept for the next time
	whose   []*watched
}

const (
	lookEvery = 100 * time.Microsecond
	lookLong  = 200 // times that it is looked after somebody was busy
	// atATime is how many bytes a reader takes that never has to wait, before others have their
	// turn: without that, it has 10 ms.
	atATime = 64 << 10
)

// stream is a connection of the operating system.
type stream interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// watched is a stream that a lookout knows.
type watched struct {
	stream
	look  *lookout
	fd    int         // asking about one that is closed, and another's by now, wakes a reader for nothing
	waits atomic.Bool // somebody is in Read
	taken atomic.Int64
	desks chan struct{} // nil: whoever reads has none, see shakes

	mu       sync.Mutex
	deadline time.Time // of reading; zero: none
	woken    bool      // the stream has another deadline, so that Read looks
}

// watch returns conn, known to o if it is one of the operating system.
func (o *lookout) watch(conn net.Conn) net.Conn {
	s, ok := conn.(stream)
	if !ok {
		return conn
	}
	c := &watched{stream: s, look: o, fd: -1}
	raw, err := s.SyscallConn()
	if err != nil || raw.Control(func(fd uintptr) { c.fd = int(fd) }) != nil {
		return conn // it is closed
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conns[c] = true
	o.several.Store(len(o.conns) > 1)
	return c
}

// Close is that of the stream, of which nothing is asked from then on.
func (c *watched) Close() error {
	o := c.look
	o.mu.Lock()
	delete(o.conns, c)
	o.several.Store(len(o.conns) > 1)
	o.mu.Unlock()
	return c.stream.Close()
}

func (c *watched) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *watched) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.stream.SetReadDeadline(t)
}

// Read is that of the stream.
func (c *watched) Read(b []byte) (int, error) {
	if c.desks != nil {
		<-c.desks
		defer func() { c.desks <- struct{}{} }()
	}
	for {
		c.waits.Store(true)
		n, err := c.stream.Read(b)
		c.waits.Store(false)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.again() {
			continue
		}
		if c.taken.Add(int64(n)) >= atATime {
			c.taken.Store(0)
			c.look.alert()
			runtime.Gosched()
		}
		return n, err
	}
}

// again reports whether Read was only woken, and gives the stream its deadline back.
func (c *watched) again() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.woken {
		return false
	}
	c.woken = false
	_ = c.stream.SetReadDeadline(c.deadline) // fails when it is closed, which Read tells
	return true
}

// wake has Read look.
func (c *watched) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits.Load() {
		c.woken = true
		_ = c.stream.SetReadDeadline(time.Unix(1, 0)) // fails when it is closed, which Read tells
	}
}

// alert says that somebody is busy.
func (o *lookout) alert() {
	if !o.several.Load() {
		return
	}
	o.busy.Store(true)
	if !o.looks.Load() && o.looks.CompareAndSwap(false, true) {
		go o.lookOut()
	}
}

// lookOut ends when nobody has been busy for a while.
func (o *lookout) lookOut() {
	defer o.looks.Store(false)
	for quiet := 0; quiet < lookLong; quiet++ {
		if o.busy.Swap(false) {
			quiet = 0
		}
		time.Sleep(lookEvery)
		o.see()
	}
}

// see wakes the readers that have something.
func (o *lookout) see() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked, o.whose = o.asked[:0], o.whose[:0]
	for c := range o.conns {
		if c.waits.Load() {
			o.asked, o.whose = append(o.asked, asks(c.fd)), append(o.whose, c)
		}
	}
	if !poll(o.asked) {
		return
	}
	for i, c := range o.whose {
		if has(o.asked[i]) {
			c.wake()
		}
	}
}

// shakes does hands, which computes for longer than most requests take, at one of the desks, of which
// there are fewer than processors: those who come never keep those waiting who are there. It leaves
// the desk while it waits for the other side.
func shakes(desks chan struct{}, hands shake) shake {
	return func(ctx context.Context, raw net.Conn, id identity, server bool, want string, lim Limits) (net.Conn, string, error) {
		c, ok := raw.(*watched)
		if !ok {
			return hands(ctx, raw, id, server, want, lim)
		}
		desks <- struct{}{}
		c.desks = desks
		c.look.alert()
		defer func() {
			c.desks = nil
			<-desks
		}()
		return hands(ctx, raw, id, server, want, lim)
	}
}
