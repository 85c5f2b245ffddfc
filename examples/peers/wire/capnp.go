package wire

import (
	"context"
	"net"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/rpc"
	"capnproto.org/go/capnp/v3/server"
)

// rungInterface has two methods, what generated code would make of
// get @0 (n :Int64) -> (n :Int64) and next @1 () -> (next :Rung).
const rungInterface = 0xd2fb4a7c1e60935b

func capnpGet() capnp.Method  { return capnp.Method{InterfaceID: rungInterface, MethodID: 0} }
func capnpNext() capnp.Method { return capnp.Method{InterfaceID: rungInterface, MethodID: 1} }

func serveCapnp(dir, road string) (served, error) {
	door, err := listen(dir, road)
	if err != nil {
		return served{}, err
	}
	var first capnp.Client
	for i := rungs - 1; i >= 0; i-- {
		first = capnpRung(number+int64(i), first)
	}
	go each(door, func(conn net.Conn) {
		rpc.NewConn(rpc.NewStreamTransport(conn), &rpc.Options{BootstrapClient: first.AddRef()})
	})
	return served{at: door.Addr().String()}, nil
}

// capnpRung is a capability to an object of a chain.
func capnpRung(holds int64, after capnp.Client) capnp.Client {
	return capnp.NewClient(server.New([]server.Method{
		{Method: capnpGet(), Impl: func(_ context.Context, call *server.Call) error {
			r, err := call.AllocResults(capnp.ObjectSize{DataSize: 8})
			if err == nil {
				r.SetUint64(0, uint64(holds)+call.Args().Uint64(0))
			}
			return err
		}},
		{Method: capnpNext(), Impl: func(_ context.Context, call *server.Call) error {
			r, err := call.AllocResults(capnp.ObjectSize{PointerCount: 1})
			if err != nil {
				return err
			}
			id := r.Message().CapTable().Add(after.AddRef())
			return r.SetPtr(0, capnp.NewInterface(r.Segment(), id).ToPtr())
		}},
	}, nil, nil))
}

// capnpClient is a connection and its bootstrap capability.
type capnpClient struct {
	road, at string
	conn     *rpc.Conn
	rung     capnp.Client
}

func dialCapnp(_, road, at string) (client, error) {
	c := &capnpClient{road: road, at: at}
	return c, c.connect()
}

func (c *capnpClient) connect() error {
	conn, err := connect(c.road, c.at)
	if err != nil {
		return err
	}
	c.conn = rpc.NewConn(rpc.NewStreamTransport(conn), nil)
	c.rung = c.conn.Bootstrap(context.Background())
	return c.rung.Resolve(context.Background())
}

func (c *capnpClient) call(ctx context.Context, n int64) (int64, error) {
	return askCapnp(ctx, c.rung, n)
}

func askCapnp(ctx context.Context, rung capnp.Client, n int64) (int64, error) {
	answer, release := rung.SendCall(ctx, capnp.Send{
		Method: capnpGet(), ArgsSize: capnp.ObjectSize{DataSize: 8},
		PlaceArgs: func(s capnp.Struct) error { s.SetUint64(0, uint64(n)); return nil },
	})
	defer release()
	r, err := answer.Struct()
	if err != nil {
		return 0, err
	}
	return int64(r.Uint64(0)), nil
}

func (c *capnpClient) wait(ctx context.Context, n int64) (int64, error) {
	rung := c.rung.AddRef()
	for range rungs - 1 {
		answer, release := rung.SendCall(ctx, capnp.Send{Method: capnpNext()})
		r, err := answer.Struct()
		if err != nil {
			return 0, err
		}
		p, err := r.Ptr(0)
		if err != nil {
			return 0, err
		}
		rung.Release()
		rung = p.Interface().Client().AddRef()
		release()
	}
	defer rung.Release()
	return askCapnp(ctx, rung, n)
}

func (c *capnpClient) pipeline(ctx context.Context, n int64) (int64, error) {
	rung := c.rung
	for range rungs - 1 {
		answer, release := rung.SendCall(ctx, capnp.Send{Method: capnpNext()})
		defer release()
		rung = answer.Field(0, nil).Client()
	}
	return askCapnp(ctx, rung, n)
}

func (c *capnpClient) leave() error { return c.close() }

func (c *capnpClient) come(context.Context) error { return c.connect() }

func (c *capnpClient) close() error {
	c.rung.Release()
	return c.conn.Close()
}
