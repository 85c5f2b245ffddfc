package rpc

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// preface is the first that either side writes of a link, and prefaceProof of a proof without
// TLS. They begin like no stream of Cap'n Proto messages, whose first four bytes count the
// segments of a message.
const (
	preface      = "sturdy/1\n"
	prefaceProof = "sturdy/1 proof\n"
)

// readPreface takes the preface want from r.
func readPreface(r io.Reader, want string) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	protocol, _, _ := strings.Cut(want, "/")
	line, _, _ := bytes.Cut(got, []byte("\n"))
	switch {
	case string(got) == want:
		return nil
	case bytes.HasPrefix(got, []byte(protocol+"/")):
		return offence{fmt.Errorf("it speaks another version, %q; this host speaks %q", line, strings.TrimSpace(want))}
	}
	return offence{fmt.Errorf("it does not speak %s: its first bytes are %q", protocol, got)}
}

// secure makes a TLS 1.3 connection of raw in which both sides prove the keys that their host
// ids are made of, and returns the peer's host id. server says which side this is. want is
// the host id that the peer must have; empty: any. raw is closed if there is an error, which
// is always caps.ErrNotDelivered.
//
// There are no authorities: a certificate is nothing but a key in the form that TLS wants.
// The client is done before the server has judged the client's key; if that is refused, the
// first read says so.
func secure(ctx context.Context, raw net.Conn, id identity, server bool, want string, lim Limits) (net.Conn, string, error) {
	return secureWith(ctx, raw, id, server, want, lim, false)
}

// secureWith is secure. open: a server lets foreign programs in as well, which prove nothing
// and have no host id.
func secureWith(ctx context.Context, raw net.Conn, id identity, server bool, want string, lim Limits, open bool) (net.Conn, string, error) {
	lim = lim.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, lim.Handshake)
	defer cancel()
	peer := ""
	config := &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		Certificates:                []tls.Certificate{id.shown},
		ClientAuth:                  tls.RequireAnyClientCert,
		InsecureSkipVerify:          true, // instead of names, VerifyConnection checks the key
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		NextProtos:                  []string{protocolLink},
		VerifyConnection: func(state tls.ConnectionState) (err error) {
			if open && foreigner(state) {
				return nil
			}
			peer, err = pinned(state, want)
			return err
		},
	}
	if open {
		config.ClientAuth, config.NextProtos = tls.RequestClientCert, append(config.NextProtos, protocolForeign)
	}
	side := tls.Client
	if server {
		side = tls.Server
	}
	conn := side(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the error is told
		return nil, "", refused(raw, err)
	}
	return conn, peer, nil
}

// pinned is the host id of the peer's key, which TLS has seen it use.
func pinned(state tls.ConnectionState, want string) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", fmt.Errorf("it shows no key")
	}
	pub, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("its key is a %T, and must be one of Ed25519", state.PeerCertificates[0].PublicKey)
	}
	return expected(pub, want)
}

// expected is the host id of pub, or why it is not the one that is wanted.
func expected(pub ed25519.PublicKey, want string) (string, error) {
	host := hostOf(pub)
	if want != "" && host != want {
		return "", fmt.Errorf("an impostor, or another host's address: %s is wanted, and this is %s", want, host)
	}
	return host, nil
}

func refused(raw net.Conn, cause error) error {
	return &caps.Error{
		Op: "connect", Code: caps.ErrNotDelivered, Cause: caps.CauseOf(cause),
		Text: fmt.Sprintf("the host at %v is not connected: %v", raw.RemoteAddr(), cause),
	}
}

const nonceSize = 32

// opening is what each side of a proof without TLS shows first: its key, and what the other
// has to sign.
type opening struct {
	pub   ed25519.PublicKey
	nonce []byte
}

// prove does what secure does, without encrypting anything: for Unix sockets, where the
// kernel carries the bytes. Each side signs the other's nonce. raw is closed if there is an
// error, and has no deadline otherwise.
func prove(ctx context.Context, raw net.Conn, id identity, server bool, want string, lim Limits) (net.Conn, string, error) {
	lim = lim.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, lim.Handshake)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) }) // fails when raw is closed already
	peer, err := exchange(raw, id, server, want)
	if wrong := (offence{}); !stop() && !errors.As(err, &wrong) {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close() // the error is told
		return nil, "", refused(raw, err)
	}
	return raw, peer, nil
}

// exchange is the proof itself. The client shows its opening, the server its own and its
// signature, the client its signature, and the server a newline, which says that it is
// satisfied. So nobody signs what the other chose alone.
func exchange(raw net.Conn, id identity, server bool, want string) (string, error) {
	pub, ok := id.signer.Public().(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("this host's key is a %T, and must be one of Ed25519", id.signer.Public())
	}
	mine := opening{pub: pub, nonce: make([]byte, nonceSize)}
	if _, err := rand.Read(mine.nonce); err != nil {
		return "", err
	}
	if server {
		return serveProof(raw, id, mine, want)
	}
	if err := mine.write(raw); err != nil {
		return "", err
	}
	theirs, peer, err := readOpening(raw, want)
	if err != nil {
		return "", err
	}
	if err := theirs.check(raw, claim("server", theirs, mine)); err != nil {
		return "", err
	}
	if err := id.sign(raw, claim("client", mine, theirs)); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(raw, make([]byte, 1)); err != nil {
		return "", fmt.Errorf("it refused this host's proof, or left: %w", err)
	}
	return peer, nil
}

func serveProof(raw net.Conn, id identity, mine opening, want string) (string, error) {
	theirs, peer, err := readOpening(raw, want)
	if err != nil {
		_, _ = io.WriteString(raw, prefaceProof) // so that another version can say that it is one
		return "", err
	}
	if err := mine.write(raw); err != nil {
		return "", err
	}
	if err := id.sign(raw, claim("server", mine, theirs)); err != nil {
		return "", err
	}
	if err := theirs.check(raw, claim("client", theirs, mine)); err != nil {
		return "", err
	}
	_, err = io.WriteString(raw, "\n")
	return peer, err
}

func (o opening) write(w io.Writer) error {
	_, err := w.Write(append(append([]byte(prefaceProof), o.pub...), o.nonce...))
	return err
}

func readOpening(r io.Reader, want string) (o opening, host string, err error) {
	if err := readPreface(r, prefaceProof); err != nil {
		return o, "", err
	}
	b := make([]byte, ed25519.PublicKeySize+nonceSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return o, "", err
	}
	o = opening{pub: b[:ed25519.PublicKeySize], nonce: b[ed25519.PublicKeySize:]}
	host, err = expected(o.pub, want)
	return o, host, err
}

// claim is what the side called role signs: that it, by, talks to the other, in this
// exchange and no other. All parts have fixed lengths but the role, which ends with a zero.
func claim(role string, by, to opening) []byte {
	return bytes.Join([][]byte{
		[]byte("sturdy/1 proof of a host\x00" + role + "\x00" + hostOf(by.pub) + hostOf(to.pub)),
		by.nonce, to.nonce,
	}, nil)
}

func (id identity) sign(w io.Writer, claim []byte) error {
	signature, err := id.signer.Sign(rand.Reader, claim, crypto.Hash(0))
	if err != nil {
		return err
	}
	_, err = w.Write(signature)
	return err
}

// check reads o's signature of claim.
func (o opening) check(r io.Reader, claim []byte) error {
	signature := make([]byte, ed25519.SignatureSize)
	if _, err := io.ReadFull(r, signature); err != nil {
		return err
	}
	if !ed25519.Verify(o.pub, claim, signature) {
		return fmt.Errorf("an impostor: it does not have the key of %s", hostOf(o.pub))
	}
	return nil
}
