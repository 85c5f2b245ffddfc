package rpc

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc/foreign"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A foreign program speaks Cap'n Proto. It comes to where other hosts come, and is told from
// them by what it says first: in TLS by the protocol that it offers and by showing no
// certificate, at the socket by its first bytes. It proves nothing; what it may do follows from
// the sturdy refs that it has.

// What is offered in TLS. Who offers nothing, as older libraries cannot, is what its
// certificate says: a host has one.
const (
	protocolLink    = "sturdy/1"
	protocolForeign = "capnp"
)

// secureAny is secure for a listener where foreign programs come, too: those have no host id.
func secureAny(ctx context.Context, raw net.Conn, id identity, server bool, want string, lim Limits) (net.Conn, string, error) {
	return secureWith(ctx, raw, id, server, want, lim, true)
}

// foreigner reports whether a client is one. Whoever offers to be a host has to prove it.
func foreigner(state tls.ConnectionState) bool {
	return state.NegotiatedProtocol == protocolForeign || state.NegotiatedProtocol == "" && len(state.PeerCertificates) == 0
}

// proveAny is prove for a socket where foreign programs come, too.
func proveAny(ctx context.Context, raw net.Conn, id identity, server bool, want string, lim Limits) (net.Conn, string, error) {
	head := make([]byte, 4)
	_ = raw.SetReadDeadline(time.Now().Add(lim.withDefaults().Handshake)) // fails when it is closed, which reading tells
	stop := context.AfterFunc(ctx, func() { _ = raw.SetReadDeadline(time.Unix(1, 0)) })
	_, err := io.ReadFull(raw, head)
	stop()
	if err != nil {
		_ = raw.Close() // the error is told
		return nil, "", refused(raw, cmp.Or(ctx.Err(), err))
	}
	conn := &reread{raw, head}
	if !strings.HasPrefix(prefaceProof, string(head)) && head[3] == 0 { // more than 2^24 segments nobody sends
		return conn, "", raw.SetReadDeadline(time.Time{})
	}
	_ = raw.SetReadDeadline(time.Time{}) // likewise
	_, peer, err := prove(ctx, conn, id, server, want, lim)
	return raw, peer, err // the proof has read what was looked at
}

// reread is a connection of which something was read already.
type reread struct {
	net.Conn
	head []byte
}

// Read reads what was read already first.
func (r *reread) Read(b []byte) (int, error) {
	if len(r.head) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.head)
	r.head = r.head[n:]
	return n, nil
}

// serveForeign serves a foreign program until it leaves.
func (n *Node) serveForeign(conn net.Conn, owner bool, s *seat) {
	known := func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		s.known = true // it has shown something that this host has given away
	}
	p := n.foreign.Accept(n.ctx, conn, foreign.Visitor{Owner: owner, From: s.from, Known: known})
	n.mu.Lock()
	s.p = p
	n.mu.Unlock()
	if err := p.Serve(); err != nil {
		n.log.Info("a foreign program was disconnected", "from", conn.RemoteAddr(), "err", err)
	}
}

// forStrangers opens the sturdy ref of another host for a foreign program, if this host is
// connected to that or knows by itself where it is: what a stranger writes is no reason to
// connect to anywhere.
func (n *Node) forStrangers(ctx context.Context, s caps.SturdyRef) (caps.Ref, error) {
	n.mu.Lock()
	knows := n.links[s.Host()] != nil || n.o.Peers[s.Host()] != ""
	n.mu.Unlock()
	if !knows {
		return caps.Ref{}, &caps.Error{Op: "restore", Code: caps.ErrNotDelivered, Text: fmt.Sprintf("the sturdy ref is of host %s, and this is %s, which is not connected to it", s.Host(), n.rt.Host())}
	}
	return n.restore(ctx, s, nil)
}

// foreignServer is a Cap'n Proto server that this world talks to.
type foreignServer struct {
	made chan struct{} // closed when what follows is known
	ref  caps.Ref
	gone <-chan struct{}
	err  error
}

// tcpScheme is a connection that nobody encrypts. It has to be asked for.
const tcpScheme = "tcp:"

// Foreign connects to a Cap'n Proto server that is no host of ours, and returns the capability
// that it gives to whoever comes; As says what interface that has. The address is "host:port" for
// TLS, "unix:" and a path, or "tcp:" and host:port for a connection that anybody on the way
// can read and change. config is for TLS; nil: the system's authorities vouch for the name in
// the address. ctx is for connecting. There is one connection to an address until it breaks
// or the Node is closed.
func (n *Node) Foreign(ctx context.Context, address string, config *tls.Config) (caps.Ref, error) {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return caps.Ref{}, errClosed()
	}
	f := n.servers[address]
	if f == nil || f.over() {
		f = &foreignServer{made: make(chan struct{})}
		n.servers[address] = f
		n.running.Go(func() {
			f.ref, f.gone, f.err = n.dialForeign(address, config)
			close(f.made)
		})
	}
	n.mu.Unlock()
	select {
	case <-f.made:
		return f.ref, f.err
	case <-ctx.Done():
		return caps.Ref{}, &caps.Error{Op: "connect", Object: address, Code: caps.ErrNotDelivered, Cause: caps.CauseOf(ctx.Err()), Text: fmt.Sprintf("not connected in time: %v", ctx.Err())}
	}
}

// over reports whether a new connection is needed.
func (f *foreignServer) over() bool {
	select {
	case <-f.made:
	default:
		return false
	}
	if f.err != nil {
		return true
	}
	select {
	case <-f.gone:
		return true
	default:
		return false
	}
}

func (n *Node) dialForeign(address string, config *tls.Config) (caps.Ref, <-chan struct{}, error) {
	ctx, cancel := context.WithTimeout(n.ctx, n.o.Limits.Handshake)
	defer cancel()
	conn, err := dialOther(ctx, address, config)
	if err != nil {
		return caps.Ref{}, nil, &caps.Error{Op: "connect", Object: address, Code: caps.ErrNotDelivered, Text: err.Error()}
	}
	// The connection outlasts ctx, which is for the first answer only.
	type connected struct {
		ref  caps.Ref
		gone <-chan struct{}
		err  error
	}
	came := make(chan connected, 1)
	life, end := context.WithCancel(n.ctx)
	n.running.Go(func() {
		ref, gone, err := n.foreign.Connect(life, conn, foreign.Visitor{From: origin(conn.RemoteAddr())})
		came <- connected{ref, gone, err}
		<-gone
		end()
	})
	select {
	case c := <-came:
		return c.ref, c.gone, c.err
	case <-ctx.Done():
		end()
		<-came
		return caps.Ref{}, nil, &caps.Error{Op: "connect", Object: address, Code: caps.ErrNotDelivered, Text: "the server did not answer; is it one of Cap'n Proto?"}
	}
}

func dialOther(ctx context.Context, address string, config *tls.Config) (net.Conn, error) {
	var d net.Dialer
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		return d.DialContext(ctx, "unix", path)
	}
	if at, ok := strings.CutPrefix(address, tcpScheme); ok {
		return d.DialContext(ctx, "tcp", at)
	}
	t := tls.Dialer{NetDialer: &d, Config: config}
	conn, err := t.DialContext(ctx, "tcp", address)
	if unknown := (tls.RecordHeaderError{}); errors.As(err, &unknown) {
		return nil, fmt.Errorf("%w; if it does not speak TLS, say %s%s", err, tcpScheme, address)
	}
	return conn, err
}

// As is ref, which came from a foreign program, as something with an interface of schema, which
// is what `capnp compile -o-` makes of a file; name is that of the interface in the file.
// From then on its methods are called as those of any Ref, with structs for their parameters
// and results. The program is believed; what it does not understand it refuses.
func (n *Node) As(ref caps.Ref, schema []byte, name string) (caps.Ref, error) {
	return n.foreign.As(ref, schema, name)
}

// AsKind is ref, which came from a foreign program, as something with the interface that `sturdy
// schema` prints for a kind of this world: the program implements that.
func (n *Node) AsKind(ctx context.Context, ref caps.Ref, kind string) (caps.Ref, error) {
	return n.foreign.AsKind(ctx, ref, kind)
}

// DescribeForeign is what is known here of a Ref that came from a foreign program: the methods of
// the interface that As or AsKind gave it, and in Host where the program is. ok is false for every
// other Ref, which the Runtime describes.
func (n *Node) DescribeForeign(ref caps.Ref) (info sturdy.ObjectInfo, ok bool) {
	return n.foreign.Describe(ref)
}

// Certificate is what the host of rt shows in TLS, as PEM: for foreign programs that trust what
// they were told of, and no authorities. It is always the same, valid at all times, in the
// name "sturdy", and has the key that the host's id is made of: the first 20 bytes of the
// SHA-256 of the 32 bytes of the Ed25519 public key, in base32 of lower case.
func Certificate(rt *sturdy.Runtime) ([]byte, error) {
	signer, err := rt.Signer()
	if err != nil {
		return nil, err
	}
	return certificateOf(signer)
}

// CertificateOf is Certificate of the host whose key is that: the file "key" in the directory of a
// world that another program has open.
func CertificateOf(key ed25519.PrivateKey) ([]byte, error) {
	return certificateOf(key)
}

func certificateOf(signer crypto.Signer) ([]byte, error) {
	cert, err := certificate(signer)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), nil
}
