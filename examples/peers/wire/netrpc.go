package wire

import (
	"context"
	"net/rpc"
)

// Rung is what net/rpc serves.
type Rung struct{}

// Get adds n to the number.
func (Rung) Get(n int64, r *int64) error {
	*r = number + n
	return nil
}

func serveNetRPC(dir, road string) (served, error) {
	door, err := listen(dir, road)
	if err != nil {
		return served{}, err
	}
	s := rpc.NewServer()
	if err := s.Register(Rung{}); err != nil {
		return served{}, err
	}
	go s.Accept(door)
	return served{at: door.Addr().String()}, nil
}

type netrpcClient struct {
	road, at string
	*rpc.Client
}

func dialNetRPC(_, road, at string) (client, error) {
	c := &netrpcClient{road: road, at: at}
	return c, c.connect()
}

func (c *netrpcClient) connect() error {
	conn, err := connect(c.road, c.at)
	if err != nil {
		return err
	}
	c.Client = rpc.NewClient(conn)
	return nil
}

func (c *netrpcClient) call(_ context.Context, n int64) (r int64, err error) {
	return r, c.Call("Rung.Get", n, &r)
}

func (c *netrpcClient) leave() error { return c.close() }

func (c *netrpcClient) come(context.Context) error { return c.connect() }

func (c *netrpcClient) close() error { return c.Close() }
