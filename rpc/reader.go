package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// offence is what a peer must not send, as opposed to a connection that fails.
type offence struct{ error }

// frameReader cuts what comes from a connection into frames.
type frameReader struct {
	from       io.Reader
	most       int // the largest frame that is taken
	buf        []byte
	begin, end int // what of buf is read and not used
}

const (
	readBuffer  = 64 << 10
	maxGreeting = 64 // before its hello, a peer is believed nothing larger
)

// Read is what came behind the frames that were taken.
func (r *frameReader) Read(b []byte) (int, error) {
	if err := r.fill(1); err != nil {
		return 0, err
	}
	n := copy(b, r.buf[r.begin:r.end])
	r.begin += n
	return n, nil
}

// fill reads on until n bytes are there; n is at most the size of the buffer.
func (r *frameReader) fill(n int) error {
	if r.begin == r.end {
		r.begin, r.end = 0, 0
	}
	for r.end-r.begin < n {
		if r.begin+n > len(r.buf) {
			r.end = copy(r.buf, r.buf[r.begin:r.end])
			r.begin = 0
		}
		got, err := r.from.Read(r.buf[r.end:])
		r.end += got
		if err != nil && r.end-r.begin < n {
			return err
		}
	}
	return nil
}

// next is the next frame without its length. It stays valid until the one after, unless
// owned: then it is the caller's.
func (r *frameReader) next() (b []byte, owned bool, err error) {
	n, size := uint64(0), 0
	for need := 1; ; need++ {
		if err := r.fill(need); err != nil {
			return nil, false, err
		}
		if n, size = binary.Uvarint(r.buf[r.begin:r.end]); size != 0 {
			break
		}
	}
	if size < 0 || n > uint64(r.most) {
		return nil, false, offence{fmt.Errorf("a frame of more than %d bytes", r.most)}
	}
	r.begin += size
	if int(n) > len(r.buf) {
		b, err = r.large(int(n))
		return b, true, err
	}
	if err := r.fill(int(n)); err != nil {
		return nil, false, err
	}
	b = r.buf[r.begin : r.begin+int(n)]
	r.begin += int(n)
	return b, false, nil
}

// large reads a frame that is larger than the buffer. Memory grows with what has come, not
// with what was announced.
func (r *frameReader) large(n int) ([]byte, error) {
	b := make([]byte, 0, min(n, 2*len(r.buf)))
	b = append(b, r.buf[r.begin:r.end]...)
	r.begin, r.end = 0, 0
	for len(b) < n {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(n, 2*cap(b))), b...)
		}
		got, err := r.from.Read(b[len(b):cap(b)])
		b = b[:len(b)+got]
		if err != nil && len(b) < n {
			return nil, err
		}
	}
	return b, nil
}

// maxNames is how many method names a link remembers, so that they are not made again for
// each request.
const maxNames = 256

// intake is what the reader keeps between frames; no lock guards it.
type intake struct {
	frameReader
	frame frame
	names map[string]string
}

// hearing is the connection of a link, which notes that the peer is there.
type hearing struct{ l *link }

func (h hearing) Read(b []byte) (int, error) {
	n, err := h.l.conn.Read(b)
	if n > 0 {
		h.l.heard.Store(int64(time.Since(h.l.start)))
	}
	return n, err
}

// read is the link's reader. When the link has ended it still reads, and throws away, until
// the connection is closed: see leave.
func (l *link) read() {
	defer close(l.drained)
	err := l.readFrames()
	var wrong offence
	switch {
	case errors.As(err, &wrong):
		l.breach(wrong.error)
		_, _ = io.Copy(io.Discard, l.conn) // until the deadline that end has set
	default:
		l.end(fmt.Errorf("the link to %s broke: %w", l.host, err), "")
	}
}

// readFrames reads until something is wrong, and says what.
func (l *link) readFrames() error {
	in := &intake{frameReader: frameReader{from: hearing{l}, most: maxGreeting, buf: make([]byte, readBuffer)}, names: map[string]string{}}
	if err := readPreface(in, preface); err != nil {
		return err
	}
	for {
		b, owned, err := in.next()
		if err != nil {
			return err
		}
		if !owned && len(b) > 0 && (kind(b[0]) == kindRequest || kind(b[0]) == kindResponse) {
			b = append(make([]byte, 0, len(b)), b...) // the one allocation of a frame
		}
		if err := in.frame.parse(b, &l.lim); err != nil {
			return offence{err}
		}
		if err := l.handle(in, len(b)); err != nil {
			return err
		}
	}
}

// handle does what a frame of size bytes asks.
func (l *link) handle(in *intake, size int) error {
	f := &in.frame
	if (f.kind == kindHello) == l.greets.Load() && f.kind != kindBye {
		return offence{fmt.Errorf("a frame of kind %d where another belongs; a link begins with one hello", f.kind)}
	}
	var wrong error
	switch f.kind {
	case kindHello:
		in.most = l.lim.MessageBytes
		l.greet(f)
	case kindRequest:
		wrong = l.begin(f, in.name(f.method), size)
	case kindResponse, kindError:
		wrong = l.answered(f)
	case kindCancel:
		wrong = l.cancelRequest(f.id)
	case kindPing:
		l.mu.Lock()
		l.out.buf = appendHeader(l.out.buf, kindPong, f.id, 0)
		l.flushReply()
	case kindPong:
		wrong = l.pong(f.id)
	case kindRelease:
		wrong = l.release(f.id)
	case kindBye:
		return fmt.Errorf("the peer ended it: %s", plain(f.reason))
	}
	if wrong != nil {
		return offence{wrong}
	}
	return nil
}

// greet takes the peer's limits. Lengths that no memory could hold are cut to what can be
// compared.
func (l *link) greet(f *frame) {
	l.theirs.MessageBytes = int(min(f.message, math.MaxInt32))
	l.theirs.Slots = int(min(f.maxSlots, math.MaxInt32))
	l.greets.Store(true)
	close(l.greeted)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.keeper.Reset(l.lim.Idle / 2)
	}
}

func (l *link) pong(number uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ping.open || number != l.ping.last {
		return fmt.Errorf("a pong to ping %d, which was not sent", number)
	}
	l.ping.open, l.ping.took = false, max(time.Since(l.start)-l.ping.sent, 1)
	close(l.ping.back)
	return nil
}

// name is b as a string.
func (in *intake) name(b []byte) string {
	s, ok := in.names[string(b)]
	if !ok {
		s = string(b)
		if len(in.names) < maxNames {
			in.names[s] = s
		}
	}
	return s
}
