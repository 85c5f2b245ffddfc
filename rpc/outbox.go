package rpc

import (
	"fmt"
	"net"
	"runtime"
	"time"
)

// outbox gathers frames until somebody writes them. Who has appended one says how soon:
//
//	flush   now: by the caller itself, if nobody else writes and it cannot wait long
//	kick    now, by the link's writer
//	soon    with what follows, if that comes within lateness
//	prompt  now what soon has held back, as somebody waits for it
//
// Offsets count the bytes of the link's life.
type outbox struct {
	buf      []byte // whole frames that nobody has taken yet
	spare    []byte // the buffer that was written before
	taken    int64  // the offset where buf begins
	proven   int64  // the peer has read everything before this offset
	writing  int    // bytes that are being written
	flushing bool   // somebody is writing. Invariant: whoever stops wakes the writer if buf is not empty
	kick     chan struct{}
	room     chan struct{} // closed when there may be more room; nil: nobody waits for that
	buffered bool          // the kernel buffers what is written
	late     *time.Timer   // wakes the writer if nothing has followed, see soon
	held     bool          // it is set
}

const (
	keptBuffer = 256 << 10              // a larger buffer is not kept for the next frames
	oneWrite   = 256 << 10              // what one write is given, so that a slow peer's progress is seen
	lateness   = 100 * time.Microsecond // is how long frames wait for those that follow
	// promptWrite is how much can be on its way, not known to be read, when a caller writes
	// for itself: every socket takes as much without waiting, so that the caller's context
	// need not be watched meanwhile.
	promptWrite = 8 << 10
)

// buffered reports whether a small write to conn does not wait for the peer.
func buffered(conn net.Conn) bool {
	_, ok := carrier(conn).(stream)
	return ok
}

// queued is the offset where the next frame begins.
func (o *outbox) queued() int64 { return o.taken + int64(len(o.buf)) }

func (o *outbox) waiting() int { return len(o.buf) + o.writing }

// full reports whether size bytes more have to wait; a single message never has.
func (l *link) full(size int) bool {
	return l.out.waiting() > 0 && l.out.waiting()+size > l.lim.BytesInFlight
}

// awaitRoom gives up the lock until there may be more room, the link breaks or over is closed,
// which it reports.
func (l *link) awaitRoom(over <-chan struct{}) (ok bool) {
	if l.out.room == nil {
		l.out.room = make(chan struct{})
	}
	room := l.out.room
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-room:
		return true
	case <-l.broken:
		return true
	case <-over:
		return false
	}
}

// kick makes the writer look at buf.
func (l *link) kick() {
	select {
	case l.out.kick <- struct{}{}:
	default:
	}
}

// flush sees to it that what was appended is written, by the caller itself if it may and
// nobody else does. It gives up the lock.
func (l *link) flush(mine bool) {
	defer l.mu.Unlock()
	switch {
	case l.out.flushing:
	case !mine:
		l.kick()
	default:
		l.out.flushing = true
		l.writeOnce()
		l.out.flushing = false
		if len(l.out.buf) > 0 || l.ended != nil {
			l.kick() // the rest is not for one of many to write
		}
	}
}

// flushReply is flush for frames that answer the peer's while the reader must not wait. They
// go beyond what may be in flight, but not far: a peer that sends on without reading ends.
func (l *link) flushReply() {
	tooMuch := l.out.waiting() > 2*l.lim.BytesInFlight
	l.flush(false)
	if tooMuch {
		l.breach(fmt.Errorf("it reads nothing and goes on asking: %d bytes wait for it", 2*l.lim.BytesInFlight))
	}
}

// soon has what was appended written with what follows, if that comes before long; with mu held.
func (l *link) soon() {
	switch {
	case l.out.flushing || l.out.held || l.ended != nil:
		return
	case len(l.out.buf) > promptWrite:
		l.kick()
		return
	case l.out.late == nil:
		l.out.late = time.AfterFunc(lateness, l.kick)
	default:
		l.out.late.Reset(lateness)
	}
	l.out.held = true
}

// prompt has p written by who waits for it, with all that was begun before.
func (l *link) prompt(p *pending) {
	l.mu.Lock()
	if p.end <= l.out.taken || l.ended != nil {
		l.mu.Unlock()
		return
	}
	l.flush(l.out.buffered && l.out.held && l.out.queued()-l.out.proven <= promptWrite)
}

// writeOnce writes what has gathered, without the lock.
func (l *link) writeOnce() {
	b := l.out.buf
	if l.out.held {
		l.out.held = false
		l.out.late.Stop()
	}
	l.out.buf, l.out.spare = l.out.spare[:0], nil
	l.out.taken += int64(len(b))
	l.out.writing = len(b)
	l.mu.Unlock()
	err := l.writeAll(b)
	if err != nil {
		l.end(fmt.Errorf("the link to %s broke: %w", l.host, err), "")
	}
	l.mu.Lock()
	l.out.writing = 0
	if cap(b) <= keptBuffer {
		l.out.spare = b
	}
	l.roomier()
}

// roomier has those look who wait for room.
func (l *link) roomier() {
	if l.out.room != nil {
		close(l.out.room)
		l.out.room = nil
	}
}

func (l *link) writeAll(b []byte) error {
	defer l.blocked.Store(0)
	for len(b) > 0 {
		n := min(len(b), oneWrite)
		l.blocked.Store(int64(time.Since(l.start)) + 1)
		if _, err := l.conn.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// write is the link's writer.
func (l *link) write() {
	for {
		select {
		case <-l.out.kick:
		case <-l.broken:
			l.leave()
			return
		}
		// Whoever is about to append does so before the write, not after it: many small
		// frames become one write.
		runtime.Gosched()
		l.mu.Lock()
		if !l.out.flushing { // otherwise it is woken again
			l.out.flushing = true
			for len(l.out.buf) > 0 && l.ended == nil {
				l.writeOnce()
			}
			l.out.flushing = false
		}
		l.mu.Unlock()
	}
}

// leave writes what is left, with the reason at its end, and closes the connection. The peer
// may have sent what nobody reads; closing on it at once could take the reason away from the
// peer, so the reader goes on for a while and throws it away.
func (l *link) leave() {
	l.mu.Lock()
	for l.out.flushing {
		l.mu.Unlock()
		<-l.out.kick
		l.mu.Lock()
	}
	b, bye := l.out.buf, l.bye
	l.out.buf = nil
	l.mu.Unlock()
	low := carrier(l.conn)
	if bye && l.writeAll(b) == nil {
		if half, ok := low.(stream); ok && half.CloseWrite() == nil {
			<-l.drained // by the deadline at the latest
		}
	}
	_ = low.Close() // not that of TLS, which would wait for the peer to read its farewell
	<-l.drained
	close(l.gone)
}
