package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// frameBytes is a length and a number.
const frameBytes = 4 + 8

// serveFrames echoes frames: the floor. Answers leave together when nothing more has come.
func serveFrames(dir, road string) (served, error) {
	door, err := listen(dir, road)
	if err != nil {
		return served{}, err
	}
	go each(door, func(conn net.Conn) {
		defer conn.Close()
		in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
		for {
			n, err := readFrame(in)
			if err != nil {
				return
			}
			if err = writeFrame(out, n); err == nil && in.Buffered() < frameBytes {
				err = out.Flush()
			}
			if err != nil {
				return
			}
		}
	})
	return served{at: door.Addr().String()}, nil
}

func writeFrame(w io.Writer, n int64) error {
	var b [frameBytes]byte
	binary.BigEndian.PutUint32(b[:], 8)
	binary.BigEndian.PutUint64(b[4:], uint64(n))
	_, err := w.Write(b[:])
	return err
}

func readFrame(r io.Reader) (int64, error) {
	var b [frameBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	if binary.BigEndian.Uint32(b[:]) != 8 {
		return 0, errors.New("a frame of another length")
	}
	return int64(binary.BigEndian.Uint64(b[4:])), nil
}

// framesClient has one connection. Answers come in the order of the calls, so the caller at the
// head of the line reads: one caller alone is never handed over to another goroutine.
type framesClient struct {
	road, at string
	conn     net.Conn
	in       *bufio.Reader

	waiting atomic.Int64 // to write
	mu      sync.Mutex
	out     *bufio.Writer
	tail    <-chan struct{} // closed when whoever wrote last has read
}

func dialFrames(_, road, at string) (client, error) {
	c := &framesClient{road: road, at: at}
	return c, c.connect()
}

func (c *framesClient) connect() (err error) {
	if c.conn, err = connect(c.road, c.at); err != nil {
		return err
	}
	c.in, c.out, c.tail = bufio.NewReader(c.conn), bufio.NewWriter(c.conn), nil
	return nil
}

func (c *framesClient) call(_ context.Context, n int64) (int64, error) {
	before, read, err := c.write(n)
	defer close(read)
	if err != nil {
		return 0, err
	}
	if before != nil {
		<-before
	}
	return readFrame(c.in)
}

// write stands in line. Who is the last to write for now writes for all.
func (c *framesClient) write(n int64) (before <-chan struct{}, read chan struct{}, err error) {
	read = make(chan struct{})
	c.waiting.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	before, c.tail = c.tail, read
	err = writeFrame(c.out, n)
	if c.waiting.Add(-1) == 0 && err == nil {
		err = c.out.Flush()
	}
	return before, read, err
}

func (c *framesClient) leave() error { return c.close() }

func (c *framesClient) come(context.Context) error { return c.connect() }

func (c *framesClient) close() error { return c.conn.Close() }
