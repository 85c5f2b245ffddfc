package foreign

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"
)

// FuzzServe throws bytes at a connection. Whatever they are, the process lives, the connection
// ends, and the next is served.
func FuzzServe(f *testing.F) {
	w := newWorld(f, Limits{MessageBytes: 64 << 10, Values: 10_000})
	rec := &recorder{}
	v := &villain{t: f, w: w, conn: rec}
	v.bootstrap(0)
	v.call(1, 0, "Host.root", nil)
	v.call(2, 0, "Ref.call", struct1(f, "method", "get", "argument", "desk"), promise(1, 0))
	v.call(3, 0, "desk.echo", "hi", promise(2, 1))
	v.call(4, 0, "desk.ask", nil, promise(2, 1), with(1, hosted(3)))
	v.call(5, 0, "desk.alike", nil, promise(2, 1), with(2, func(_ int, c rpccp.CapDescriptor) error {
		pa, err := c.NewReceiverAnswer()
		pa.SetQuestionId(2)
		return err
	}))
	f.Add(bytes.Clone(rec.Bytes()))
	for id := range uint32(6) {
		v.finish(id, id%2 == 0)
	}
	f.Add(bytes.Clone(rec.Bytes()))
	rec.Reset()
	v.bootstrap(0)
	v.send(func(m rpccp.Message) error {
		e, err := m.NewDisembargo()
		if err != nil {
			return err
		}
		e.Context().SetSenderLoopback(1)
		target, err := e.NewTarget()
		if err != nil {
			return err
		}
		_, err = target.NewPromisedAnswer()
		return err
	})
	v.send(func(m rpccp.Message) error { r, err := m.NewResolve(); r.SetPromiseId(1); return err })
	v.send(func(m rpccp.Message) error { _, err := m.NewJoin(); return err })
	v.send(func(m rpccp.Message) error { _, err := m.NewReturn(); return err })
	f.Add(bytes.Clone(rec.Bytes()))
	rec.Reset()
	v.bootstrap(0)
	v.call(1, 0, "Host.root", nil)
	v.call(2, 0, "Ref.call", struct1(f, "method", "get", "argument", "desk"), promise(1, 0))
	v.call(3, 0, "desk.ask", nil, promise(2, 1), with(1, hosted(3)))
	v.call(4, 0, "desk.total", nil, promise(2, 1), staying)
	v.lends(0, 4) // which is the question that ask asks, if it is in time
	v.call(5, 0, "desk.make", struct1(f, "N", 1, "By", "me"), promise(2, 1), staying)
	v.call(6, 0, "drawer.add", 1, promise(5, 0))
	v.finish(4, true)
	v.finish(5, true)
	f.Add(bytes.Clone(rec.Bytes()))
	f.Fuzz(func(t *testing.T, b []byte) {
		near, far := net.Pipe()
		end := make(chan error, 1)
		go func() { end <- w.h.Accept(context.Background(), near, Visitor{Owner: true}).Serve() }()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		_, _ = far.Write(b) // it may be thrown out before the end
		far.Close()
		select {
		case <-end:
		case <-time.After(20 * time.Second):
			t.Fatal("the connection does not end")
		}
	})
}

// recorder is a connection that keeps what is written.
type recorder struct {
	net.Conn
	bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) { return r.Buffer.Write(b) }
func (r *recorder) Read([]byte) (int, error)    { return 0, errors.New("only written") }
