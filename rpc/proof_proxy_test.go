package rpc_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faultOdds are how likely, in a thousand, each thing is that can happen to a chunk of bytes.
type faultOdds struct{ cut, reset, half, hole, delay int }

// storm is bad weather.
var storm = faultOdds{cut: 8, reset: 8, half: 5, hole: 2, delay: 60}

// proxy stands in front of a host's listener, and does to connections what networks do. It is
// calm until stir.
type proxy struct {
	t      testing.TB
	door   net.Listener
	to     string
	odds   atomic.Pointer[faultOdds]
	blocks atomic.Bool  // nothing that the host says comes out
	deaf   atomic.Bool  // nothing that is said to the host comes in
	faults atomic.Int64 // that it has made
	mu     sync.Mutex
	chance *rand.Rand
	open   map[net.Conn]bool
	closed bool
	run    sync.WaitGroup
}

// newProxy leads to the address to. It ends with the test.
func newProxy(t testing.TB, seed uint64, to string) *proxy {
	door, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{t: t, door: door, to: to, chance: rand.New(rand.NewPCG(seed, 1)), open: map[net.Conn]bool{}}
	p.run.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) address() string { return p.door.Addr().String() }

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.door.Close()
	p.cutAll()
	p.run.Wait()
}

// stir begins with faults; calm ends them, and every connection that may have been spoilt.
func (p *proxy) stir(o faultOdds) { p.odds.Store(&o) }

func (p *proxy) calm() {
	p.odds.Store(nil)
	p.blocks.Store(false)
	p.deaf.Store(false)
	p.cutAll()
}

func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

func (p *proxy) accept() {
	for {
		near, err := p.door.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		if p.keep(near, far) {
			p.run.Go(func() { p.pump(near, far, false) })
			p.run.Go(func() { p.pump(far, near, true) })
		}
	}
}

func (p *proxy) keep(cs ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range cs {
		if p.closed {
			_ = c.Close()
			continue
		}
		p.open[c] = true
	}
	return !p.closed
}

func (p *proxy) drop(cs ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range cs {
		_ = c.Close()
		delete(p.open, c)
	}
}

// pump carries one direction, out if it is what the host says, until something happens.
func (p *proxy) pump(from, to net.Conn, out bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if err == io.EOF { // half of it may go on
			_ = to.(*net.TCPConn).CloseWrite()
			return
		}
		if err != nil || !p.carry(from, to, buf[:n], out) {
			p.drop(from, to)
			return
		}
	}
}

// carry writes b, or does something else; it reports whether the connection goes on.
func (p *proxy) carry(from, to net.Conn, b []byte, out bool) bool {
	if out && p.blocks.Load() || !out && p.deaf.Load() {
		return true
	}
	what, keep := p.draw(len(b))
	if what != "" {
		p.faults.Add(1)
	}
	switch what {
	case "cut":
		_, _ = to.Write(b[:keep])
		return false
	case "reset":
		_, _ = to.Write(b[:keep])
		_ = to.(*net.TCPConn).SetLinger(0)
		_ = from.(*net.TCPConn).SetLinger(0)
		return false
	case "half": // this direction ends; what is said is lost, and the other side is not told that
		_ = to.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, from)
		return false
	case "hole": // silence, until somebody has enough
		_, _ = io.Copy(io.Discard, from)
		return false
	case "delay":
		<-time.After(time.Duration(1+keep%5) * time.Millisecond)
	}
	_, err := to.Write(b)
	return err == nil
}

// draw is what happens to a chunk of n bytes, and how much of it arrives.
func (p *proxy) draw(n int) (what string, keep int) {
	o := p.odds.Load()
	if o == nil {
		return "", n
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	roll := p.chance.IntN(1000)
	for _, f := range []struct {
		name string
		odds int
	}{{"cut", o.cut}, {"reset", o.reset}, {"half", o.half}, {"hole", o.hole}, {"delay", o.delay}} {
		if roll < f.odds {
			return f.name, p.chance.IntN(n + 1)
		}
		roll -= f.odds
	}
	return "", n
}

// freePort is an address where nobody listens.
func freePort(t testing.TB) string {
	door, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, door.Close())
	return door.Addr().String()
}

// seedOf is the seed of the environment, or else a random one, which a test that fails prints.
func seedOf(t testing.TB) uint64 {
	n, err := strconv.ParseUint(os.Getenv("STURDY_SEED"), 0, 64)
	if err != nil {
		n = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("STURDY_SEED=%d", n)
		}
	})
	return n
}

// within is a context that ends, so that a test which waits in vain says where.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
