// Package wire measures calls to an object in another process, with Sturdy and with its peers, in
// one run over the same sorts of connections. The server is the test binary, started again.
//
//	go test -run '^$' -bench Wire -benchtime 500ms ./wire
//
// The benchmarks are named by peer, road and work. Each answer is compared with what it has to be.
// An argument and a result are 64 bits. A client has one connection, also for 256 callers.
//
//	sturdy        a typed call of a Ref, which reads the state of the object in a turn
//	sturdy-echo   the same of a method that runs in no turn and returns its argument
//	capnp         go-capnp as generated code uses it, its own transport
//	grpc          as generated code uses it, with a message of one integer
//	netrpc        net/rpc with gob
//	frames        a length and a number, echoed; what has queued leaves together: the floor
//
// The roads are tcp, tls (1.3, both sides prove an Ed25519 key) and unix. Sturdy has no tcp: it is
// shown beside Sturdy's tls. Of the peers only capnp has objects to return: in a chain the others
// are asked with the number that they have answered before.
package wire

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

const (
	// number is what the object holds. What is behind it in a chain holds one more each.
	number = 7
	// rungs is how many calls a chain has: nine for the next object, and one for its number.
	rungs = 10
)

// peer is one way to call an object.
type peer struct {
	name  string
	roads []string // how it can be reached: tcp, tls, unix
	adds  int64    // what the answer is more than the argument
	serve func(dir, road string) (served, error)
	dial  func(dir, road, at string) (client, error)
}

// served is what a server tells its clients.
type served struct {
	at    string                        // where the object is
	texts func(n int) ([]string, error) // makes sturdy refs of it, if there are such
}

// client is a connection to the object of a server. Safe for concurrent use, but for leave and come.
type client interface {
	// call asks the object, which reads its number and adds it to n.
	call(ctx context.Context, n int64) (int64, error)
	// leave ends the connection, and come makes another: for Sturdy it opens a sturdy ref, which
	// makes one.
	leave() error
	come(ctx context.Context) error
	close() error
}

// climber is a client whose object leads to others. The last answers.
type climber interface {
	// wait makes each call when the one before is answered.
	wait(ctx context.Context, n int64) (int64, error)
	// pipeline makes all calls at once.
	pipeline(ctx context.Context, n int64) (int64, error)
}

// peers lists all. Sturdy over TCP is always secured.
func peers() []peer {
	all, own := []string{"tcp", "tls", "unix"}, []string{"tls", "unix"}
	return []peer{
		{"sturdy", own, number, serveSturdy, dialSturdy(get)},
		{"sturdy-echo", own, 0, serveSturdy, dialSturdy(same)},
		{"capnp", all, number, serveCapnp, dialCapnp},
		{"grpc", all, number, serveGRPC, dialGRPC},
		{"netrpc", all, number, serveNetRPC, dialNetRPC},
		{"frames", all, 0, serveFrames, dialFrames},
	}
}

// listen opens a door for the peers that do not bring their own.
func listen(dir, road string) (net.Listener, error) {
	switch road {
	case "unix":
		return net.Listen("unix", filepath.Join(dir, "sock"))
	case "tls":
		c, err := secured()
		if err != nil {
			return nil, err
		}
		return tls.Listen("tcp", "127.0.0.1:0", c)
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// connect makes a connection to what listen has opened.
func connect(road, at string) (net.Conn, error) {
	switch road {
	case "unix":
		return net.Dial("unix", at)
	case "tls":
		c, err := secured()
		if err != nil {
			return nil, err
		}
		return tls.Dial("tcp", at, c)
	}
	return net.Dial("tcp", at)
}

// each serves every connection that comes to door in a goroutine of its own.
func each(door net.Listener, serve func(net.Conn)) {
	for {
		conn, err := door.Accept()
		if err != nil {
			return
		}
		go serve(conn)
	}
}

// secured is TLS 1.3 where both sides prove an Ed25519 key, as hosts of Sturdy do. The key is no
// secret, so that both processes make the same certificate.
func secured() (*tls.Config, error) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "wire"}, DNSNames: []string{"wire"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(nil, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: "wire", MinVersion: tls.VersionTLS13,
	}, nil
}
