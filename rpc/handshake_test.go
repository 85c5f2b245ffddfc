package rpc

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// meeting is secure or prove.
type meeting func(ctx context.Context, raw net.Conn, id identity, server bool, want string, lim Limits) (net.Conn, string, error)

func meetings() map[string]meeting { return map[string]meeting{"secure": secure, "prove": prove} }

// met is what one side got of a handshake.
type met struct {
	conn net.Conn
	peer string
	err  error
}

// roomy takes whatever was written in one go, as a network does: over a bare pipe a side that
// complains in the middle of what the other writes would wait for it, and be waited for.
type roomy struct {
	net.Conn
	r *bufio.Reader
}

func (c roomy) Read(b []byte) (int, error) { return c.r.Read(b) }

// meet has a, the client, and z, the server, each look for a host.
func meet(t *testing.T, m meeting, a, z identity, aWants, zWants string) (client, server met) {
	t.Helper()
	near, far := net.Pipe()
	one, two := roomy{near, bufio.NewReaderSize(near, 64<<10)}, roomy{far, bufio.NewReaderSize(far, 64<<10)}
	ended := make(chan met, 1)
	go func() {
		var s met
		s.conn, s.peer, s.err = m(t.Context(), two, z, true, zWants, Limits{})
		ended <- s
	}()
	client.conn, client.peer, client.err = m(t.Context(), one, a, false, aWants, Limits{})
	t.Cleanup(func() { one.Close(); two.Close() })
	if client.err == nil && zWants != "" && zWants != a.host {
		// A client of TLS is told by its first read.
		_, client.err = client.conn.Read(make([]byte, 1))
	}
	return client, <-ended
}

func TestHostsProveWhoTheyAre(t *testing.T) {
	a, z := newIdentity(t, 1), newIdentity(t, 2)
	for name, m := range meetings() {
		for _, wants := range [][2]string{{z.host, ""}, {z.host, a.host}, {"", ""}} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := meet(t, m, a, z, wants[0], wants[1])
					if client.err != nil || server.err != nil || client.peer != z.host || server.peer != a.host {
						t.Fatalf("%+v\n%+v", client, server)
					}
					time.Sleep(time.Hour) // no deadline of the handshake stays
					near, far := newLink(client.conn, client.peer, echo, Limits{}, quiet()), newLink(server.conn, server.peer, echo, Limits{}, quiet())
					if got := call(t, far, "m", "x"); got != "x" {
						t.Error(got)
					}
					near.close(nil)
					<-near.done()
					<-far.done()
				})
			})
		}
	}
}

func TestAnImpostorIsRefused(t *testing.T) {
	a, z, mallory := newIdentity(t, 1), newIdentity(t, 2), newIdentity(t, 3)
	for name, m := range meetings() {
		t.Run(name+", a server", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := meet(t, m, a, mallory, z.host, "")
				is(t, client.err, caps.ErrNotDelivered, "impostor", z.host, mallory.host)
				if server.err == nil {
					t.Error("the impostor noticed nothing")
				}
			})
		})
		t.Run(name+", a client", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := meet(t, m, mallory, z, "", a.host)
				is(t, server.err, caps.ErrNotDelivered, "impostor", a.host, mallory.host)
				if client.err == nil {
					t.Error("the impostor noticed nothing")
				}
			})
		})
	}
}

// borrowed shows a key, and signs with another.
type borrowed struct {
	shown crypto.PublicKey
	crypto.Signer
}

func (b borrowed) Public() crypto.PublicKey { return b.shown }

// TestAKeyThatIsShownMustBeHad has an impostor with the public key of the host it plays.
func TestAKeyThatIsShownMustBeHad(t *testing.T) {
	a, z, mallory := newIdentity(t, 1), newIdentity(t, 2), newIdentity(t, 3)
	for _, server := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			fake := func(id identity) identity {
				return identity{host: id.host, signer: borrowed{id.signer.Public(), mallory.signer}}
			}
			if server {
				client, _ := meet(t, prove, a, fake(z), z.host, "")
				is(t, client.err, caps.ErrNotDelivered, "impostor", z.host)
				return
			}
			_, refusal := meet(t, prove, fake(a), z, "", a.host)
			is(t, refusal.err, caps.ErrNotDelivered, "impostor", a.host)
		})
	}
	// TLS refuses by itself, on whichever side notices.
	synctest.Test(t, func(t *testing.T) {
		fake := z
		fake.shown.PrivateKey = borrowed{z.signer.Public(), mallory.signer}
		client, _ := meet(t, secure, a, fake, z.host, "")
		is(t, client.err, caps.ErrNotDelivered)
	})
}

// TestAReplayedProofIsRefused replays to a server what an honest client said to it before.
func TestAReplayedProofIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, z := newIdentity(t, 1), newIdentity(t, 2)
		one, two := net.Pipe()
		heard := &recorder{Conn: two}
		go func() { _, _, _ = prove(t.Context(), one, a, false, z.host, Limits{}) }()
		if _, _, err := prove(t.Context(), heard, z, true, a.host, Limits{}); err != nil {
			t.Fatal(err)
		}
		one, two = net.Pipe()
		go func() { _, _ = one.Write(heard.bytes) }()
		go func() { _, _ = io.Copy(io.Discard, one) }()
		_, _, err := prove(t.Context(), two, z, true, a.host, Limits{})
		is(t, err, caps.ErrNotDelivered, "impostor", a.host)
	})
}

// recorder keeps what is read.
type recorder struct {
	net.Conn
	bytes []byte
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.bytes = append(r.bytes, b[:n]...)
	return n, err
}

// TestAProofIsForOneRole reflects a client's own signature to it.
func TestAProofIsForOneRole(t *testing.T) {
	a, z := opening{pub: make([]byte, 32), nonce: make([]byte, nonceSize)}, opening{pub: make([]byte, 32), nonce: make([]byte, nonceSize)}
	z.nonce[0] = 1
	if string(claim("client", a, z)) == string(claim("server", a, z)) || string(claim("client", a, z)) == string(claim("client", z, a)) {
		t.Error("two claims are the same")
	}
}

func TestOnlyEd25519IsTaken(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		id, err := identify("x", other)
		if err != nil {
			t.Fatal(err)
		}
		client, server := meet(t, secure, newIdentity(t, 1), id, "", "")
		is(t, client.err, caps.ErrNotDelivered, "Ed25519")
		if server.err == nil {
			t.Error("not told")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		one, _ := net.Pipe()
		_, _, err := prove(t.Context(), one, identity{host: "x", signer: other}, false, "", Limits{})
		is(t, err, caps.ErrNotDelivered, "Ed25519")
	})
}

func TestASlowHandshakeEnds(t *testing.T) {
	for name, m := range meetings() {
		for _, server := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					one, two := net.Pipe()
					go func() { _, _ = io.Copy(io.Discard, one) }()
					go func() { // a byte now and then
						for err := error(nil); err == nil; time.Sleep(time.Second) {
							_, err = one.Write([]byte{22})
						}
					}()
					began := time.Now()
					_, _, err := m(t.Context(), two, newIdentity(t, 1), server, "", Limits{Handshake: 4 * time.Second})
					is(t, err, caps.ErrNotDelivered)
					if d := time.Since(began); d > 4*time.Second {
						t.Error(d)
					}
					time.Sleep(2 * time.Second) // the slow one notices
				})
			})
		}
	}
}

func TestAHandshakeEndsWithItsContext(t *testing.T) {
	for name, m := range meetings() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, one) }()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, _, err := m(ctx, two, newIdentity(t, 1), false, "", Limits{})
				if is(t, err, caps.ErrNotDelivered); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		})
	}
}

func TestAnotherVersionIsNamed(t *testing.T) {
	for first, words := range map[string][]string{
		"sturdy/2 proof\n":                                      {"version", "sturdy/2", "sturdy/1"},
		"sturdy/1\n\n\n\n\n\n\n\n":                              {"version", "proof"},
		"GET / HTTP/1.1\r\n\r\n":                                {"does not speak", "GET"},
		"\x00\x00\x00\x00\x10\x00" + strings.Repeat("\x00", 20): {"does not speak"},
	} {
		synctest.Test(t, func(t *testing.T) {
			one, two := net.Pipe()
			go func() { _, _ = io.WriteString(one, first); _, _ = io.Copy(io.Discard, one) }()
			_, _, err := prove(t.Context(), two, newIdentity(t, 1), true, "", Limits{})
			is(t, err, caps.ErrNotDelivered, words...)
		})
	}
}

// TestWithoutACertificateNobodyEnters has a client of plain TLS.
func TestWithoutACertificateNobodyEnters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := net.Pipe()
		go func() {
			c := tls.Client(one, &tls.Config{InsecureSkipVerify: true})
			_, _ = io.Copy(io.Discard, c)
			one.Close()
		}()
		_, _, err := secure(t.Context(), two, newIdentity(t, 1), true, "", Limits{})
		is(t, err, caps.ErrNotDelivered)
	})
}

func TestHostOfIsTheNameInSturdyRefs(t *testing.T) {
	host := newIdentity(t, 1).host
	if len(host) != 32 || strings.ToLower(host) != host || hostOf(make(ed25519.PublicKey, 32)) == host {
		t.Error(host)
	}
}
