package wire

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// What a holder of a rung may ask.
const (
	get  caps.Method[int64, int64] = "get"  // in a turn that reads
	same caps.Method[int64, int64] = "same" // in no turn
	next caps.Query[caps.Ref]      = "next"
)

// rung is an object of a chain.
type rung struct {
	Number int64
	Next   caps.Ref
}

var rungKind = sturdy.Define("peers.example/rung",
	sturdy.Method(get, func(r *rung, _ *sturdy.ReadTurn, n int64) (int64, error) { return r.Number + n, nil }),
	sturdy.Outside(same, func(_ context.Context, _ rung, n int64) (int64, error) { return n, nil }),
	sturdy.Query(next, func(r *rung, _ *sturdy.ReadTurn) (caps.Ref, error) { return r.Next, nil }),
)

// serveSturdy is a world on disk, as it has to be for a socket.
func serveSturdy(dir, road string) (none served, err error) {
	rt, err := sturdy.Open(filepath.Join(dir, "w"), rungKind)
	if err != nil {
		return none, err
	}
	var o rpc.Options
	if road == "tls" {
		o.Listen = "127.0.0.1:0"
	}
	if _, err := rpc.Attach(rt, o); err != nil {
		return none, err
	}
	ctx := context.Background()
	first, err := rt.Root().Ensure(ctx, "rung", func(t *sturdy.WriteTurn) (r caps.Ref) {
		for i := rungs - 1; i >= 0; i-- {
			r = rungKind.New(t, rung{number + int64(i), r})
		}
		return r
	})
	if err != nil {
		return none, err
	}
	texts := func(n int) (all []string, err error) {
		return all, rt.Update(ctx, func(t *sturdy.WriteTurn) error {
			all = nil
			for range n {
				s, _, err := rt.Save(t, first, caps.Terms{})
				if err != nil {
					return err
				}
				all = append(all, s.Reveal())
			}
			return nil
		})
	}
	at, err := texts(1)
	if err != nil {
		return none, err
	}
	return served{at[0], texts}, nil
}

// sturdyClient is a world in memory.
type sturdyClient struct {
	method caps.Method[int64, int64]
	text   caps.SturdyRef
	o      rpc.Options
	rt     *sturdy.Runtime
	node   *rpc.Node
	rung   caps.Ref
}

// dialSturdy makes a client whose calls are of method.
func dialSturdy(method caps.Method[int64, int64]) func(dir, road, at string) (client, error) {
	return func(dir, road, at string) (client, error) {
		text, err := caps.ParseSturdyRef(at)
		if err != nil {
			return nil, err
		}
		c := &sturdyClient{method: method, text: text}
		if road == "unix" {
			c.o.Peers = map[string]string{text.Host(): rpc.SocketOf(filepath.Join(dir, "w"))}
		}
		if c.rt, err = (sturdy.Options{Kinds: []sturdy.Kind{rungKind}}).Open(); err != nil {
			return nil, err
		}
		if c.node, err = rpc.Attach(c.rt, c.o); err != nil {
			return nil, err
		}
		return c, c.come(context.Background())
	}
}

func (c *sturdyClient) call(ctx context.Context, n int64) (int64, error) {
	return c.method.Call(ctx, c.rung, n)
}

func (c *sturdyClient) wait(ctx context.Context, n int64) (int64, error) {
	r, err := c.rung, error(nil)
	for range rungs - 1 {
		if r, err = next.Call(ctx, r); err != nil {
			return 0, err
		}
	}
	return get.Call(ctx, r, n)
}

func (c *sturdyClient) pipeline(ctx context.Context, n int64) (int64, error) {
	r := c.rung
	for range rungs - 1 {
		r = next.Begin(ctx, r).Ref()
	}
	return get.Call(ctx, r, n)
}

func (c *sturdyClient) leave() (err error) {
	if err = c.node.Close(); err != nil {
		return err
	}
	c.node, err = rpc.Attach(c.rt, c.o)
	return err
}

func (c *sturdyClient) come(ctx context.Context) (err error) {
	c.rung, err = c.rt.Restore(ctx, c.text)
	return err
}

// restore opens a sturdy ref over the connection that there is.
func (c *sturdyClient) restore(ctx context.Context, text string) (caps.Ref, error) {
	s, err := caps.ParseSturdyRef(text)
	if err != nil {
		return caps.Ref{}, err
	}
	return c.rt.Restore(ctx, s)
}

func (c *sturdyClient) close() error { return errors.Join(c.node.Close(), c.rt.Close()) }
