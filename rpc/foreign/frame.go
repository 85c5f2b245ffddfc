package foreign

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"
)

const (
	// maxSegments is what the C++ implementation accepts.
	maxSegments = 512
	// firstRead is how much memory a message gets before its first byte is there, whatever
	// size it claims; it grows as it arrives.
	firstRead = 64 << 10
	readSize  = 16 << 10
)

// incoming reads messages.
type incoming struct {
	conn net.Conn
	r    *bufio.Reader
	lim  Limits
	// busy reports whether silence is no wonder.
	busy func() bool
}

// next reads one message and says how many bytes it had.
func (in *incoming) next() (m rpccp.Message, size int, err error) {
	if err := in.await(); err != nil {
		return m, 0, err
	}
	frame, err := in.frame()
	if err != nil {
		return m, 0, err
	}
	msg, err := capnp.Unmarshal(frame)
	if err != nil {
		return m, 0, offend("a message that does not decode: %v", err)
	}
	msg.ResetReadLimit(uint64(8*len(frame) + firstRead))
	m, err = rpccp.ReadRootMessage(msg)
	if err != nil {
		return m, 0, offend("a message that does not decode: %v", err)
	}
	return m, len(frame), nil
}

// await waits for the first byte of a message, and sets the time for the rest of it.
func (in *incoming) await() error {
	if in.whole() {
		return nil
	}
	for {
		_ = in.conn.SetReadDeadline(time.Now().Add(in.lim.Idle)) // fails when it is closed, which Peek tells
		_, err := in.r.Peek(1)
		if err == nil {
			break
		}
		if late, ok := err.(net.Error); !ok || !late.Timeout() || !in.busy() {
			return err
		}
	}
	_ = in.conn.SetReadDeadline(time.Now().Add(in.lim.Frame)) // likewise
	return nil
}

// whole reports whether the next message is there already.
func (in *incoming) whole() bool {
	if in.r.Buffered() < 8 {
		return false
	}
	head, err := in.r.Peek(8)
	return err == nil && binary.LittleEndian.Uint32(head) == 0 && uint64(in.r.Buffered()-8)/8 >= uint64(binary.LittleEndian.Uint32(head[4:]))
}

// frame reads the bytes of one message: how many segments there are, less one, how many words
// each has, and the segments. Sizes are checked before memory is taken.
func (in *incoming) frame() ([]byte, error) {
	var word [4]byte
	if _, err := io.ReadFull(in.r, word[:]); err != nil {
		return nil, err
	}
	segments := uint64(binary.LittleEndian.Uint32(word[:])) + 1
	if segments > maxSegments {
		return nil, offend("a message of %d segments; no more than %d are taken", segments, maxSegments)
	}
	head := (4 + 4*int(segments) + 7) &^ 7
	frame := make([]byte, head, head+512)
	copy(frame, word[:])
	if _, err := io.ReadFull(in.r, frame[4:]); err != nil {
		return nil, err
	}
	size := uint64(0)
	for i := range int(segments) {
		size += 8 * uint64(binary.LittleEndian.Uint32(frame[4+4*i:]))
	}
	if size == 0 {
		return nil, offend("a message without content")
	}
	if size+uint64(head) > uint64(in.lim.MessageBytes) {
		return nil, offend("a message of %d bytes; no more than %d are taken, see Limits.MessageBytes", size+uint64(head), in.lim.MessageBytes)
	}
	for rest := int(size); rest > 0; {
		n := min(rest, max(firstRead, len(frame)))
		at := len(frame)
		frame = grow(frame, n)
		if _, err := io.ReadFull(in.r, frame[at:]); err != nil {
			return nil, err
		}
		rest -= n
	}
	return frame, nil
}

func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	return append(b, make([]byte, n)...)
}

// outbox gathers messages until somebody writes them.
type outbox struct {
	conn net.Conn
	lim  Limits
	fail func(error) // ends the connection; called without the lock

	mu      sync.Mutex
	buf     []byte // whole messages that nobody has taken yet
	spare   []byte
	writing int
	active  bool          // somebody writes
	room    chan struct{} // closed when a write has ended; nil: nobody waits
	over    error
}

const (
	keptBuffer = 64 << 10
	oneWrite   = 256 << 10
)

// put takes a message of one segment, whoever else writes. It reports whether the connection
// is still there. The order of puts is that on the wire.
func (o *outbox) put(m *capnp.Message) (err error) {
	seg, err := m.Segment(0)
	if err != nil {
		return err
	}
	data := seg.Data()
	if m.NumSegments() != 1 || len(data)/8 > math.MaxUint32 {
		return offend("a message of several segments was made")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over != nil {
		return o.over
	}
	o.buf = binary.LittleEndian.AppendUint32(o.buf, 0)
	o.buf = binary.LittleEndian.AppendUint32(o.buf, uint32(len(data)/8))
	o.buf = append(o.buf, data...)
	return nil
}

// flush sees to it that what was put is written: by the caller, if mine, and nobody else does.
func (o *outbox) flush(mine bool) {
	o.mu.Lock()
	if o.active || len(o.buf) == 0 || o.over != nil {
		o.mu.Unlock()
		return
	}
	o.active = true
	o.mu.Unlock()
	if !mine {
		go o.write()
		return
	}
	o.write()
}

// drain writes what there is, or waits for who does.
func (o *outbox) drain() {
	for {
		o.flush(true)
		o.mu.Lock()
		if !o.active || o.over != nil {
			o.mu.Unlock()
			return
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		<-room
	}
}

// write writes until nothing is left.
func (o *outbox) write() {
	o.mu.Lock()
	for len(o.buf) > 0 && o.over == nil {
		b := o.buf
		o.buf, o.spare, o.writing = o.spare[:0], nil, len(b)
		o.mu.Unlock()
		err := o.writeAll(b)
		o.mu.Lock()
		if cap(b) <= keptBuffer {
			o.spare = b[:0]
		}
		o.writing = 0
		o.wake()
		if err != nil && o.over == nil {
			o.over = err
			o.mu.Unlock()
			o.fail(err)
			o.mu.Lock()
		}
	}
	o.active = false
	o.wake()
	o.mu.Unlock()
}

// writeAll writes b in parts, so that a peer which reads slowly is not taken for one that does
// not read.
func (o *outbox) writeAll(b []byte) error {
	for len(b) > 0 {
		part := b[:min(len(b), oneWrite)]
		_ = o.conn.SetWriteDeadline(time.Now().Add(o.lim.Write)) // fails when it is closed, which Write tells
		if _, err := o.conn.Write(part); err != nil {
			return err
		}
		b = b[len(part):]
	}
	return nil
}

func (o *outbox) wake() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// close lets nobody put anything more, and whoever waits go on.
func (o *outbox) close(why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over == nil {
		o.over = why
	}
	o.buf = nil
	o.wake()
}

// await waits until no more waits for the peer than may, or the connection is over, or done is
// closed.
func (o *outbox) await(done <-chan struct{}) {
	for {
		o.mu.Lock()
		if o.over != nil || len(o.buf)+o.writing <= o.lim.BytesInFlight {
			o.mu.Unlock()
			return
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		o.flush(false) // nobody may be writing yet
		select {
		case <-room:
		case <-done:
			return
		}
	}
}
