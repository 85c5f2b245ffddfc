package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// sockets are two ends of a connection of the operating system, and what knows both.
func sockets(t *testing.T, see func(stream) stream) (far net.Conn, near *watched, o *lookout) {
	door, err := net.Listen("tcp", "127.0.0.1:0")
	fine(t, err)
	far, err = net.Dial("tcp", door.Addr().String())
	fine(t, err)
	raw, err := door.Accept()
	fine(t, err)
	o = &lookout{conns: map[*watched]bool{}}
	far, near = o.watch(far), o.watch(see(raw.(stream))).(*watched)
	t.Cleanup(func() { fine(t, errors.Join(far.Close(), near.Close(), door.Close())) })
	return far, near, o
}

func same(s stream) stream { return s }

// drowsy is a stream of which Go's runtime never finds out that something has arrived.
type drowsy struct {
	stream
	late chan struct{}
}

func (d drowsy) Read([]byte) (int, error) {
	<-d.late
	return 0, os.ErrDeadlineExceeded
}

func (d drowsy) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		select {
		case d.late <- struct{}{}:
		default:
		}
	}
	return nil
}

// TestWhoWaitsIsWokenWhenAnotherIsBusy: nothing else would ever wake it.
func TestWhoWaitsIsWokenWhenAnotherIsBusy(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is asked of this system")
	}
	late := make(chan struct{}, 1)
	far, near, o := sockets(t, func(s stream) stream { return drowsy{s, late} })
	reads := make(chan error)
	go func() {
		near.waits.Store(true)
		_, err := near.stream.Read(make([]byte, 1))
		reads <- err
	}()
	for !near.waits.Load() {
		runtime.Gosched()
	}
	if o.alert(); !o.looks.Load() {
		t.Fatal("nobody looks")
	}
	for o.looks.Load() { // it ends by itself when nobody is busy any more
		runtime.Gosched()
	}
	select {
	case err := <-reads:
		t.Fatal("woken for nothing:", err)
	default:
	}
	_, err := far.Write([]byte("x"))
	fine(t, err)
	for {
		o.alert()
		select {
		case err := <-reads:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			return
		default:
			runtime.Gosched()
		}
	}
}

// TestWhoIsWokenReadsOn: neither what was read nor the deadline is another for it.
func TestWhoIsWokenReadsOn(t *testing.T) {
	far, near, _ := sockets(t, same)
	const many = 10_000
	go func() {
		for i := range many {
			_, _ = far.Write([]byte{byte(i)})
		}
	}()
	over := make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			default:
				near.wake()
				runtime.Gosched()
			}
		}
	}()
	b := make([]byte, many)
	_, err := io.ReadFull(near, b)
	fine(t, err)
	for i := range b {
		if b[i] != byte(i) {
			t.Fatalf("byte %d is %d", i, b[i])
		}
	}
	const long = 20 * time.Millisecond
	began := time.Now()
	fine(t, near.SetDeadline(began.Add(long)))
	if _, err := near.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < long {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	close(over)
}

// TestWhoComesHasADeskOnlyWhileItComputes has one who says nothing before one who does.
func TestWhoComesHasADeskOnlyWhileItComputes(t *testing.T) {
	desks := make(chan struct{}, 1)
	read := func(_ context.Context, raw net.Conn, _ identity, _ bool, _ string, _ Limits) (net.Conn, string, error) {
		if len(desks) != 1 {
			t.Error("it computes at no desk")
		}
		_, err := raw.Read(make([]byte, 1))
		if len(desks) != 1 {
			t.Error("it has no desk any more")
		}
		return raw, "", err
	}
	come := func(raw net.Conn) error {
		_, _, err := shakes(desks, read)(t.Context(), raw, identity{}, true, "", Limits{})
		return err
	}
	_, silent, _ := sockets(t, same)
	silently := make(chan error)
	go func() { silently <- come(silent) }()
	for !silent.waits.Load() {
		runtime.Gosched()
	}
	far, near, _ := sockets(t, same)
	_, err := far.Write([]byte("x"))
	fine(t, err)
	fine(t, come(near))
	fine(t, silent.SetReadDeadline(time.Unix(1, 0)))
	if err := <-silently; !errors.Is(err, os.ErrDeadlineExceeded) || len(desks) != 0 {
		t.Error(err, len(desks))
	}
}

// TestEveryConnectionIsWatchedUntilItEnds at either end, over TLS and at the socket.
func TestEveryConnectionIsWatchedUntilItEnds(t *testing.T) {
	open := func() *Node {
		rt, err := sturdy.Options{Dir: t.TempDir()}.Open()
		fine(t, err)
		n, err := Attach(rt, Options{Listen: "127.0.0.1:0"})
		fine(t, err)
		t.Cleanup(func() { fine(t, errors.Join(n.Close(), rt.Close())) })
		return n
	}
	watched := func(n *Node) int {
		n.look.mu.Lock()
		defer n.look.mu.Unlock()
		return len(n.look.conns)
	}
	a, b := open(), open()
	for i, at := range []string{a.address, SocketOf(a.rt.Dir())} {
		_, err := b.dial(t.Context(), at, a.rt.Host())
		fine(t, err)
		if watched(a) != i+1 || watched(b) != i+1 {
			t.Errorf("%d and %d are watched after %d were made", watched(a), watched(b), i+1)
		}
	}
	if _, err := b.dial(t.Context(), a.address, b.rt.Host()); !errors.Is(err, caps.ErrNotDelivered) {
		t.Error(err)
	}
	fine(t, a.Close())
	fine(t, b.Close())
	if watched(a) != 0 || watched(b) != 0 {
		t.Errorf("%d and %d are watched after the end", watched(a), watched(b))
	}
}
