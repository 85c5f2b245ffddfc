package rpc

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net"
	netrpc "net/rpc"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkCall compares a call that echoes 100 bytes with one of net/rpc over the same sort
// of connection: by one caller, whose median is reported, and by 256.
func BenchmarkCall(b *testing.B) {
	for _, road := range []string{"tcp", "tls", "unix"} {
		for _, callers := range []int{1, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d/link", road, callers), func(b *testing.B) { benchLink(b, road, callers) })
			b.Run(fmt.Sprintf("%s/callers=%d/netrpc", road, callers), func(b *testing.B) { benchNetRPC(b, road, callers) })
		}
	}
}

func benchLink(b *testing.B, road string, callers int) {
	near, far := ends(b, road)
	a := newLink(near, "b", echo, Limits{}, slog.New(slog.DiscardHandler))
	z := newLink(far, "a", echo, Limits{}, slog.New(slog.DiscardHandler))
	defer func() { a.close(nil); <-a.done(); <-z.done() }()
	q := request{op: opCall, target: make([]byte, 24), method: "bank.example/account.deposit", body: make([]byte, 100)}
	spend(b, callers, func() error {
		_, err := a.call(context.Background(), q)
		return err
	})
}

// Echo is what net/rpc serves.
type Echo struct{}

// Message is what it takes and gives.
type Message struct{ Body []byte }

// Say answers with what it was told.
func (Echo) Say(q *Message, r *Message) error {
	r.Body = q.Body
	return nil
}

func benchNetRPC(b *testing.B, road string, callers int) {
	near, far := ends(b, road)
	server := netrpc.NewServer()
	if err := server.Register(Echo{}); err != nil {
		b.Fatal(err)
	}
	go server.ServeConn(far)
	client := netrpc.NewClient(near)
	defer client.Close()
	q := Message{Body: make([]byte, 100)}
	spend(b, callers, func() error {
		var r Message
		return client.Call("Echo.Say", &q, &r)
	})
}

func echo(_ context.Context, _ *link, q request) (response, error) {
	return response{body: q.body, slots: q.slots}, nil
}

// spend has b.N calls made by so many callers.
func spend(b *testing.B, callers int, call func() error) {
	if err := call(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if callers == 1 {
		times := make([]time.Duration, b.N)
		for i := range times {
			began := time.Now()
			if err := call(); err != nil {
				b.Fatal(err)
			}
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "p50-ns")
		return
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// ends is the two ends of a connection: tcp, tls or unix.
func ends(tb testing.TB, road string) (near, far net.Conn) {
	tb.Helper()
	network, address := "tcp", "127.0.0.1:0"
	if road == "unix" {
		network, address = "unix", filepath.Join(tb.TempDir(), "sock")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- conn
	}()
	if near, err = net.Dial(network, ln.Addr().String()); err != nil {
		tb.Fatal(err)
	}
	far = <-accepted
	if road != "tls" {
		return near, far
	}
	a, z := newIdentity(tb, 1), newIdentity(tb, 2)
	secured := make(chan net.Conn, 1)
	go func() {
		conn, _, err := secure(context.Background(), far, z, true, a.host, Limits{})
		if err != nil {
			tb.Error(err)
		}
		secured <- conn
	}()
	near, _, err = secure(context.Background(), near, a, false, z.host, Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	return near, <-secured
}

// newIdentity is the host whose key comes from seed.
func newIdentity(tb testing.TB, seed byte) identity {
	tb.Helper()
	key := ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, ed25519.SeedSize))
	id, err := identify(hostOf(key.Public().(ed25519.PublicKey)), key)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}
