package rpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"capnproto.org/go/capnp/v3"
	capnprpc "capnproto.org/go/capnp/v3/rpc"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	"github.com/sturdyrt/sturdy/rpc/foreign"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// The numbers of Host and Ref in sturdy.capnp.
const (
	hostInterface = 0xd0c5d9d8f0a1b7e1
	refInterface  = 0xa9b0c4e5d6f70213
)

// begun asks for what the sturdy ref text stands for, and does not wait.
func begun(c *capnprpc.Conn, text string) (ref *capnp.Answer, release func()) {
	host := c.Bootstrap(context.Background())
	ref, done := host.SendCall(context.Background(), capnp.Send{
		Method:    capnp.Method{InterfaceID: hostInterface, MethodID: 0},
		ArgsSize:  capnp.ObjectSize{PointerCount: 1},
		PlaceArgs: func(s capnp.Struct) error { return s.SetText(0, text) },
	})
	return ref, func() {
		done()
		host.Release()
	}
}

// opened has a foreign program open a sturdy ref over conn and call add of what it opens,
// without types, and without waiting in between.
func opened(conn net.Conn, text string) (sum int64, err error) {
	c := capnprpc.NewConn(capnprpc.NewStreamTransport(conn), nil)
	defer c.Close()
	ref, release := begun(c, text)
	defer release()
	added, release := ref.PipelineSend(context.Background(), []capnp.PipelineOp{{Field: 0}}, capnp.Send{
		Method:   capnp.Method{InterfaceID: refInterface, MethodID: 0},
		ArgsSize: capnp.ObjectSize{PointerCount: 2},
		PlaceArgs: func(s capnp.Struct) error {
			value, err := capnp.NewStruct(s.Segment(), capnp.ObjectSize{DataSize: 16, PointerCount: 1})
			if err != nil {
				return err
			}
			value.SetUint16(0, 2) // int
			value.SetUint64(8, 5)
			if err := s.SetPtr(1, value.ToPtr()); err != nil {
				return err
			}
			return s.SetText(0, "add")
		},
	})
	defer release()
	s, err := added.Struct()
	if err != nil {
		return 0, err
	}
	p, err := s.Ptr(0)
	return int64(p.Struct().Uint64(8)), err
}

// saves has a foreign program open a sturdy ref over conn and save what it opens.
func saves(conn net.Conn, text string) error {
	c := capnprpc.NewConn(capnprpc.NewStreamTransport(conn), nil)
	defer c.Close()
	ref, release := begun(c, text)
	defer release()
	saved, release := ref.PipelineSend(context.Background(), []capnp.PipelineOp{{Field: 0}}, capnp.Send{
		Method:   capnp.Method{InterfaceID: refInterface, MethodID: 4},
		ArgsSize: capnp.ObjectSize{PointerCount: 1},
	})
	defer release()
	_, err := saved.Struct()
	return err
}

// TestWhoComesOverTheNetworkAgainHasMadeItsGrants: what is counted is where it comes from.
func TestWhoComesOverTheNetworkAgainHasMadeItsGrants(t *testing.T) {
	h := newHost(t, rpc.Options{Listen: "127.0.0.1:0", Foreign: foreign.Limits{Records: 2}})
	text := h.save(caps.Terms{}).Reveal()
	for i := range 4 {
		conn, err := tls.Dial("tcp", h.node.Address(), &tls.Config{InsecureSkipVerify: true})
		must(t, err)
		if err := saves(conn, text); (err != nil) != (i >= 2) || err != nil && !strings.Contains(err.Error(), "Limits.Records") {
			t.Error(i, err)
		}
	}
	for range 4 { // at the socket each connection has its own
		conn, err := net.Dial("unix", filepath.Join(h.dir, "sock"))
		must(t, err)
		must(t, saves(conn, text))
	}
}

func TestAForeignProgramComesToTheSameDoors(t *testing.T) {
	h := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	s, _, err := h.rt.Save(t.Context(), h.desk, caps.Terms{})
	must(t, err)
	text, err := rpc.Certificate(h.rt)
	must(t, err)
	if again, err := rpc.Certificate(h.rt); err != nil || string(again) != string(text) {
		t.Error("the certificate is another one each time")
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(text) {
		t.Fatal("the certificate does not parse")
	}
	want := int64(0)
	for name, dial := range map[string]func() (net.Conn, error){
		"at_the_socket": func() (net.Conn, error) { return net.Dial("unix", filepath.Join(h.dir, "sock")) },
		"offers_nothing": func() (net.Conn, error) {
			return tls.Dial("tcp", h.node.Address(), &tls.Config{RootCAs: trusted, ServerName: "sturdy"})
		},
		"offers_capnp": func() (net.Conn, error) {
			return tls.Dial("tcp", h.node.Address(), &tls.Config{RootCAs: trusted, ServerName: "sturdy", NextProtos: []string{"capnp"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := dial()
			must(t, err)
			want += 5
			if got, err := opened(conn, s.Reveal()); got != want || err != nil {
				t.Errorf("add returned %d, %v; %d is wanted", got, err, want)
			}
		})
	}
	other := newHost(t, rpc.Options{}) // a host is served as before
	r, err := other.rt.Restore(t.Context(), s)
	must(t, err)
	if got, err := deskAdd.Call(t.Context(), r, 1); got != want+1 || err != nil {
		t.Error(got, err)
	}
}

// TestWhoOffersToBeAHostProvesIt has a program that says it is one and has no key.
func TestWhoOffersToBeAHostProvesIt(t *testing.T) {
	h := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	for _, offers := range [][]string{{"sturdy/1"}, {"sturdy/1", "capnp"}, {"h2"}} {
		conn, err := tls.Dial("tcp", h.node.Address(), &tls.Config{InsecureSkipVerify: true, NextProtos: offers})
		if err == nil {
			_, err = conn.Read(make([]byte, 1)) // the server judges after the client is done
			conn.Close()
		}
		if err == nil {
			t.Errorf("%v is let in", offers)
		}
	}
	old, err := tls.Dial("tcp", h.node.Address(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err == nil {
		old.Close()
		t.Error("TLS 1.2 is let in")
	}
}

// TestAStrangerHasNoSayAboutWhereAHostConnectsTo has a foreign program bring the sturdy ref of
// another host, with an address written into it.
func TestAStrangerHasNoSayAboutWhereAHostConnectsTo(t *testing.T) {
	a := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	s := a.save(caps.Terms{})
	trap, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	trapped := make(chan bool, 1)
	go func() {
		_, err := trap.Accept()
		trapped <- err == nil
	}()
	asks := func(of *host) (int64, error) {
		conn, err := tls.Dial("tcp", of.node.Address(), &tls.Config{InsecureSkipVerify: true})
		must(t, err)
		return opened(conn, s.At(trap.Addr().String()).Reveal())
	}
	alone := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	if _, err := asks(alone); err == nil || !strings.Contains(err.Error(), "not connected") {
		t.Error("a host that knows nothing of the other:", err)
	}
	lost := newHost(t, rpc.Options{Listen: "127.0.0.1:0", Peers: map[string]string{a.rt.Host(): freePort(t)}})
	if _, err := asks(lost); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Error("a host whose peer is away:", err)
	}
	linked := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	linked.opens(s)
	if n, err := asks(linked); n != 5 || err != nil {
		t.Errorf("a host that is connected: %d, %v", n, err)
	}
	must(t, trap.Close())
	if <-trapped {
		t.Error("a host connected to where the stranger wanted")
	}
}

func TestAServerOfOthersIsReachedByItsAddress(t *testing.T) {
	h, server := newHost(t, rpc.Options{}), newHost(t, rpc.Options{})
	at := rpc.SocketOf(server.dir)
	ref, err := h.node.Foreign(t.Context(), at, nil)
	must(t, err)
	if again, err := h.node.Foreign(t.Context(), at, nil); err != nil || again != ref {
		t.Error("a second connection was made:", err)
	}
	if _, err := h.node.AsKind(t.Context(), h.desk, "test.example/desk"); err == nil || !strings.Contains(err.Error(), "did not come from a foreign program") {
		t.Error(err)
	}
	err = h.rt.Update(t.Context(), func(tn *sturdy.WriteTurn) error { return deskPut.Call(tn, h.desk, ref) })
	if !errors.Is(err, caps.ErrBadArgument) || !strings.Contains(err.Error(), "cannot be stored") {
		t.Error(err)
	}
	_, err = h.node.Foreign(t.Context(), "unix:"+t.TempDir()+"/none", nil)
	if !errors.Is(err, caps.ErrNotDelivered) {
		t.Error(err)
	}
	must(t, server.node.Close())
	for is, err := h.node.Foreign(t.Context(), at, nil); err == nil; is, err = h.node.Foreign(t.Context(), at, nil) {
		_ = is // until the end of the connection is noticed
	}
	must(t, h.node.Close())
	_, err = h.node.Foreign(t.Context(), at, nil)
	if !errors.Is(err, caps.ErrNotDelivered) {
		t.Error(err)
	}
}
