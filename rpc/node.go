package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc/foreign"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Options say how a world is connected. The zero Options call others over TCP and listen
// only at the socket in the world's directory.
type Options struct {
	// Listen is the TCP address at which other hosts are let in, "localhost:7070"; empty:
	// at none. With port 0 one is chosen, see Node.Address.
	Listen string
	// Public is where others find this host if that is not where it listens: behind a
	// forwarder, or when Listen names no host. It stands in the sturdy refs that are saved.
	Public string
	// Peers is where other hosts are, by the name that stands in their sturdy refs: a TCP
	// address, or "unix:" and the path of a socket. What stands here is tried first.
	Peers map[string]string
	// Limits bound what others can make this host keep. The zero Limits are the defaults.
	Limits Limits
	// Foreign bounds each foreign program, beside Limits.Connections and Limits.Handshake.
	Foreign foreign.Limits
}

// Node is the presence of a world on the network. Safe for concurrent use.
type Node struct {
	rt      *sturdy.Runtime
	id      identity
	o       Options
	log     *slog.Logger
	address string
	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup
	leave   func() // the world is not connected any more
	doors   []net.Listener
	look    lookout
	desks   chan struct{} // see shakes

	mu     sync.Mutex
	closed bool
	links  map[string]*link    // by host; each can be called over
	dials  map[string]*dialing // under way, by host
	owners int                 // connections that others have made at the socket
	seats  map[*seat]bool      // those over the network
	all    map[*link]bool      // every link
	known  map[string]*sighting
	// watchers are those who range over Events.
	watchers map[*watcher]bool
	foreign  *foreign.Host
	servers  map[string]*foreignServer // by address
}

// Attach connects rt. Close the Node before the Runtime. A world in memory has no socket.
func Attach(rt *sturdy.Runtime, o Options) (*Node, error) {
	signer, err := rt.Signer()
	if err != nil {
		return nil, err
	}
	id, err := identify(rt.Host(), signer)
	if err != nil {
		return nil, err
	}
	o.Limits = o.Limits.withDefaults()
	n := &Node{
		rt: rt, id: id, o: o, log: rt.Log(),
		links: map[string]*link{}, dials: map[string]*dialing{}, all: map[*link]bool{},
		seats: map[*seat]bool{}, known: map[string]*sighting{}, watchers: map[*watcher]bool{},
		foreign: foreign.New(rt, o.Foreign), servers: map[string]*foreignServer{},
		look: lookout{conns: map[*watched]bool{}}, desks: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	n.foreign.Elsewhere = n.forStrangers
	n.o.Peers = maps.Clone(o.Peers)
	n.ctx, n.stop = context.WithCancel(context.Background())
	if n.leave, err = rt.Connect(n); err != nil {
		return nil, err
	}
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// open begins to listen.
func (n *Node) open() error {
	if n.o.Listen != "" {
		door, err := net.Listen("tcp", n.o.Listen)
		if err != nil {
			return &caps.Error{Op: "listen", Code: caps.ErrNotDelivered, Text: err.Error()}
		}
		n.address = n.o.Public
		if n.address == "" {
			n.address = publicOf(door.Addr())
		}
		n.admit(door, secureAny, false)
	}
	if n.rt.Dir() == "" {
		return nil
	}
	door, err := listenSocket(SocketOf(n.rt.Dir()))
	if err != nil {
		return &caps.Error{Op: "listen", Code: caps.ErrNotDelivered, Text: err.Error()}
	}
	n.admit(door, proveAny, true)
	return nil
}

// publicOf is what can be told to others of where a listener is: nothing, if that is every
// address of the machine.
func publicOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		return ""
	}
	return a.String()
}

// SocketOf is the address of the socket in a world's directory, as Options.Peers and Root take
// it.
func SocketOf(dir string) string { return unixScheme + filepath.Join(dir, "sock") }

const (
	unixScheme = "unix:"
	// maxSocketPath is how many bytes of a path fit everywhere, with one more for the name
	// that a socket is made under.
	maxSocketPath = 102
)

// listenSocket listens at a socket that only its owner can open. Nobody else has the world
// open, so what is left there is of a process that has ended.
func listenSocket(address string) (net.Listener, error) {
	path := strings.TrimPrefix(address, unixScheme)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// A name of its own first: nobody can connect before the mode is right.
	fresh := path + "~"
	_ = os.Remove(fresh)
	door, err := net.Listen("unix", fresh)
	if err != nil && len(path) > maxSocketPath { // systems say that an argument is invalid, and not which
		return nil, fmt.Errorf("the path of the world's socket has %d bytes, and no more than about 100 are possible: open the world by a shorter one: %w", len(path), err)
	}
	if err != nil {
		return nil, err
	}
	door.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		return nil, errors.Join(err, door.Close(), os.Remove(fresh))
	}
	return &localDoor{door, path}, nil
}

// localDoor is a listener that takes its name away when it is closed.
type localDoor struct {
	net.Listener
	path string
}

func (s *localDoor) Close() error {
	return errors.Join(s.Listener.Close(), os.Remove(s.path))
}

// shake is secure or prove.
type shake func(ctx context.Context, raw net.Conn, id identity, server bool, want string, lim Limits) (net.Conn, string, error)

// admit lets in who comes to door. Owners are handed the root.
func (n *Node) admit(door net.Listener, hands shake, owner bool) {
	n.doors = append(n.doors, door)
	n.running.Go(func() {
		for {
			raw, err := door.Accept()
			if err != nil {
				if n.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
					return
				}
				n.log.Error("a connection could not be accepted", "at", door.Addr(), "err", err)
				select { // as when there are no more files; others end
				case <-n.ctx.Done():
				case <-time.After(acceptAgain):
				}
				continue
			}
			raw = n.look.watch(raw)
			s := n.enter(raw, owner)
			if s == nil {
				n.log.Warn("a connection was refused: there are as many as may be, and all are in use", "from", raw.RemoteAddr(), "limit", n.o.Limits.Connections)
				_ = raw.Close()
				continue
			}
			n.running.Go(func() {
				defer n.exit(s)
				n.welcome(raw, hands, owner, s)
			})
		}
	})
}

// acceptAgain is how long nobody is let in after the system has refused to.
const acceptAgain = 100 * time.Millisecond

// enter returns a place for one more guest, or nil. Owners do not compete with strangers.
func (n *Node) enter(raw net.Conn, owner bool) *seat {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case !owner:
		return n.sit(raw)
	case n.owners >= n.o.Limits.Connections:
		return nil
	}
	n.owners++
	return &seat{}
}

func (n *Node) exit(s *seat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if delete(n.seats, s); s.raw == nil {
		n.owners--
	}
}

// welcome serves one connection until it ends.
func (n *Node) welcome(raw net.Conn, hands shake, owner bool, s *seat) {
	conn, peer, err := shakes(n.desks, hands)(n.ctx, raw, n.id, true, "", n.o.Limits)
	if err != nil {
		_ = raw.Close()
		n.log.Debug("a connection was refused", "from", raw.RemoteAddr(), "err", err)
		return
	}
	if peer == "" {
		n.serveForeign(conn, owner, s)
		return
	}
	g := seatedGuest{guest{n, owner, ""}, s}
	kept := make(chan struct{})
	l := n.keep(newLink(conn, peer, onceKept(kept, g.answer), n.o.Limits, n.log), "")
	if l == nil {
		return
	}
	n.seated(s, l)
	close(kept)
	<-l.done()
	n.drop(l)
	if owner && !n.rt.Knows(peer) {
		n.forget(peer)
	}
}

// onceKept is serve from when kept is closed: what a guest asks may take a call back to it, over
// this very link if there is no other.
func onceKept(kept <-chan struct{}, serve handler) handler {
	var known atomic.Bool // asked first: all requests would share the lock of kept
	return func(ctx context.Context, l *link, q request) (response, error) {
		if !known.Load() {
			select {
			case <-kept:
				known.Store(true)
			case <-ctx.Done():
				return response{}, ctx.Err()
			}
		}
		return serve(ctx, l, q)
	}
}

// keep makes a link the one that its host is called over: a host that connects anew has perhaps
// lost the one before, which this side cannot see. nil if the Node is closed.
func (n *Node) keep(l *link, at string) *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		l.close(errClosed())
		return nil
	}
	for other := range n.all {
		if other.peer() == l.peer() {
			n.running.Go(other.doubt)
		}
	}
	l.at, n.all[l] = at, true
	n.running.Go(func() { n.rt.Reached(l.peer()) })
	n.links[l.peer()] = l
	if at != "" { // with mu held, as Close may be about to wait
		n.running.Go(func() {
			<-l.done()
			n.drop(l)
		})
	}
	return l
}

func (n *Node) drop(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.all, l)
	if n.links[l.peer()] == l {
		delete(n.links, l.peer())
	}
	if other := n.links[l.peer()]; other != nil && other.err() == nil {
		return
	}
	for other := range n.all {
		if other.peer() == l.peer() && other.err() == nil {
			n.links[l.peer()] = other
			return
		}
	}
	n.lost(l.peer(), l.err())
}

// Address is where others find this host; empty if they do not.
func (n *Node) Address() string { return n.address }

// Close ends all connections. Calls under way fail, and Refs to objects on other hosts answer
// ErrNotDelivered until the world is attached again. What others have begun here ends first.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	links := maps.Clone(n.all)
	n.mu.Unlock()
	n.stop()
	n.leave()
	var errs []error
	for _, d := range n.doors {
		errs = append(errs, d.Close())
	}
	for l := range links {
		l.close(errClosed())
	}
	n.running.Wait()
	return errors.Join(errs...)
}

func errClosed() error {
	return &caps.Error{Code: caps.ErrNotDelivered, Text: "this host is not connected any more: its Node was closed"}
}
