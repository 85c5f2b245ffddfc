package rpc_test

import (
	"context"
	"net"
	netrpc "net/rpc"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const benchGet caps.Method[int64, int64] = "get"

// meter is what is asked over the wire: a read, so that no disk is measured.
type gauge struct{ N int64 }

func (g *gauge) get(_ *sturdy.ReadTurn, n int64) (int64, error)  { return g.N + n, nil }
func (g *gauge) add(_ *sturdy.WriteTurn, n int64) (int64, error) { g.N += n; return g.N, nil }

var gaugeKind = sturdy.Define("bench.example/gauge", sturdy.Method(benchGet, (*gauge).get), sturdy.Method(deskAdd, (*gauge).add))

// pair are two hosts, and gauges of the first as the second holds them and as they are.
func pair(b *testing.B, gauges int) (home, there *sturdy.Runtime, remote, local []caps.Ref) {
	open := func() (*sturdy.Runtime, *rpc.Node) {
		rt, err := sturdy.Open(filepath.Join(b.TempDir(), "w"), gaugeKind)
		must(b, err)
		n, err := rpc.Attach(rt, rpc.Options{Listen: "127.0.0.1:0"})
		must(b, err)
		b.Cleanup(func() { must(b, n.Close()); must(b, rt.Close()) })
		return rt, n
	}
	a, _ := open()
	there, _ = open()
	for range gauges {
		must(b, a.Update(b.Context(), func(t *sturdy.WriteTurn) error {
			local = append(local, gaugeKind.New(t, gauge{}))
			return nil
		}))
		s, _, err := a.Save(b.Context(), local[len(local)-1], caps.Terms{})
		must(b, err)
		r, err := there.Restore(b.Context(), s)
		must(b, err)
		remote = append(remote, r)
	}
	return a, there, remote, local
}

// by calls fn b.N times, from so many goroutines.
func by(b *testing.B, callers int, fn func(i int)) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for c := range callers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				fn(c)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// Echo is what net/rpc serves.
type Echo struct{}

// Get answers n.
func (Echo) Get(n int64, r *int64) error { *r = n; return nil }

// BenchmarkWire is calls and sends to objects of another host, over TCP with TLS, beside
// net/rpc over TCP without it, and beside sends within one world.
func BenchmarkWire(b *testing.B) {
	for _, callers := range []int{1, 256} {
		name := map[int]string{1: "1 caller", 256: "256 callers"}[callers]
		b.Run("call/"+name, func(b *testing.B) {
			_, _, remote, _ := pair(b, 1)
			by(b, callers, func(int) {
				if _, err := benchGet.Call(context.Background(), remote[0], 1); err != nil {
					b.Error(err)
				}
			})
		})
		b.Run("net-rpc/"+name, func(b *testing.B) {
			s := netrpc.NewServer()
			must(b, s.Register(Echo{}))
			door, err := net.Listen("tcp", "127.0.0.1:0")
			must(b, err)
			defer func() { _ = door.Close() }()
			go func() {
				for {
					conn, err := door.Accept()
					if err != nil {
						return
					}
					go s.ServeConn(conn)
				}
			}()
			c, err := netrpc.Dial("tcp", door.Addr().String())
			must(b, err)
			defer func() { _ = c.Close() }()
			by(b, callers, func(int) {
				var r int64
				if err := c.Call("Echo.Get", int64(1), &r); err != nil {
					b.Error(err)
				}
			})
		})
	}
	for _, where := range []string{"another host", "this world"} {
		b.Run("durable sends, 256 senders/"+where, func(b *testing.B) {
			_, there, remote, _ := pair(b, 16)
			var own []caps.Ref
			must(b, there.Update(b.Context(), func(t *sturdy.WriteTurn) error {
				own = nil
				for range remote {
					own = append(own, gaugeKind.New(t, gauge{}))
				}
				return nil
			}))
			to := map[string][]caps.Ref{"another host": remote, "this world": own}[where]
			by(b, 256, func(i int) {
				deskAdd.Send(context.Background(), to[i%len(to)], 1)
			})
			for _, r := range to { // the last of each is answered: all have been delivered
				_, err := deskAdd.Send(context.Background(), r, 0).Await(context.Background())
				must(b, err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "delivered/s")
		})
	}
	b.Run("restore, connected", func(b *testing.B) {
		home, there, _, local := pair(b, 1)
		texts := make([]caps.SturdyRef, b.N)
		for i := range texts {
			s, _, err := home.Save(b.Context(), local[0], caps.Terms{})
			must(b, err)
			texts[i] = s
		}
		b.ResetTimer()
		for _, s := range texts {
			_, err := there.Restore(b.Context(), s)
			must(b, err)
		}
	})
}

// BenchmarkChain is ten calls to another host, each of the result of the one before, beside one
// call. They only read, so that the way there is what is measured.
func BenchmarkChain(b *testing.B) {
	chains := []struct {
		name  string
		climb func(ctx context.Context, from caps.Ref) error
	}{
		{"one call", func(ctx context.Context, from caps.Ref) error {
			_, err := rungKept.Call(ctx, from)
			return err
		}},
		{"ten, waiting", func(ctx context.Context, from caps.Ref) (err error) {
			for range 10 {
				if from, err = rungKept.Call(ctx, from); err != nil {
					return err
				}
			}
			return nil
		}},
		{"ten, begun", func(ctx context.Context, from caps.Ref) error {
			for range 9 {
				from = rungKept.Begin(ctx, from).Ref()
			}
			_, err := rungKept.Call(ctx, from)
			return err
		}},
	}
	for _, network := range []string{"this machine", "1 to 5 ms each way"} {
		a, c := newFoothold(b, listening()), newFoothold(b, rpc.Options{})
		if network != "this machine" {
			p := newProxy(b, 1, a.node.Address())
			p.stir(faultOdds{delay: 1000})
			must(b, c.node.Close())
			node, err := rpc.Attach(c.rt, rpc.Options{Peers: map[string]string{a.rt.Host(): p.address()}})
			must(b, err)
			c.node = node
		}
		top := a.gives(c, a.top)
		must(b, rungKeep.Call(b.Context(), top, top))
		for _, chain := range chains {
			b.Run(network+"/"+chain.name, func(b *testing.B) {
				for b.Loop() {
					must(b, chain.climb(context.Background(), top))
				}
			})
		}
	}
}

// BenchmarkFarAway opens a sturdy ref of a host that is not connected, over a network whose round
// trip a call is. The first of what it takes is the handshake of TLS.
func BenchmarkFarAway(b *testing.B) {
	a, c := newFoothold(b, listening()), newFoothold(b, rpc.Options{})
	p := newProxy(b, 1, a.node.Address())
	p.stir(faultOdds{delay: 1000})
	attach := func() {
		must(b, c.node.Close())
		node, err := rpc.Attach(c.rt, rpc.Options{Peers: map[string]string{a.rt.Host(): p.address()}})
		must(b, err)
		c.node = node
	}
	attach()
	top := a.gives(c, a.top)
	s, _, err := a.rt.Save(b.Context(), a.top, caps.Terms{For: "other"})
	must(b, err)
	b.Run("a call", func(b *testing.B) {
		for b.Loop() {
			_, _ = rungKept.Call(context.Background(), top)
		}
	})
	b.Run("connecting, and a sturdy ref", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			attach()
			b.StartTimer()
			_, err := c.rt.Restore(b.Context(), s)
			must(b, err)
		}
	})
}
