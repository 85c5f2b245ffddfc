package foreign

import (
	"context"
	"testing"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/rpc"
	"capnproto.org/go/capnp/v3/server"
)

// BenchmarkServe is a typed call of a method that reads, over a socket of this machine, beside
// the same method of a server of go-capnp, which has no objects behind it.
func BenchmarkServe(b *testing.B) {
	w := newWorld(b, Limits{})
	ours := w.program(false)
	d := ours.desk()
	near, far := pipe(b)
	f := ours.face("desk")
	var echo *method
	for _, m := range f.methods {
		if m.name == "echo" {
			echo = m
		}
	}
	plain := server.New([]server.Method{{
		Method: capnp.Method{InterfaceID: f.id, MethodID: echo.ordinal},
		Impl: func(_ context.Context, call *server.Call) error {
			p, err := call.Args().Ptr(0)
			if err != nil {
				return err
			}
			s, err := call.AllocResults(capnp.ObjectSize{PointerCount: 1})
			if err != nil {
				return err
			}
			return s.SetText(0, p.Text())
		},
	}}, nil, nil)
	conn := rpc.NewConn(rpc.NewStreamTransport(near), &rpc.Options{BootstrapClient: capnp.NewClient(plain)})
	defer conn.Close()
	theirs := rpc.NewConn(rpc.NewStreamTransport(far), nil)
	defer theirs.Close()
	host := theirs.Bootstrap(context.Background())
	defer host.Release()
	for name, to := range map[string]capnp.Client{"sturdy": d, "plain": host} {
		call := func() error {
			ans, release := to.SendCall(context.Background(), capnp.Send{
				Method: capnp.Method{InterfaceID: f.id, MethodID: echo.ordinal}, ArgsSize: echo.params.size,
				PlaceArgs: func(s capnp.Struct) error { return s.SetText(0, "hello") },
			})
			defer release()
			_, err := ans.Struct()
			return err
		}
		b.Run(name+"/1", func(b *testing.B) {
			for b.Loop() {
				must(b, call())
			}
		})
		b.Run(name+"/64", func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := call(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
