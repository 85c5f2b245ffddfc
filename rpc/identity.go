package rpc

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"math/big"
	"strings"
	"time"
)

// identity proves a host.
type identity struct {
	host   string        // Invariant: hostOf the signer's public key
	signer crypto.Signer // of Ed25519
	shown  tls.Certificate
}

// hostOf is the id of the host whose key pub is: what stands in its sturdy refs.
func hostOf(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// identify is the identity of the host with that key. It is made once: the certificate takes as
// long as all else that is computed for a connection.
func identify(host string, signer crypto.Signer) (identity, error) {
	shown, err := certificate(signer)
	return identity{host, signer, shown}, err
}

// certificate is the key in the form that TLS wants. It says nothing but the key: whoever
// checks it looks at nothing else, so it is valid at all times. It has a name, the same for all
// hosts, for programs whose TLS cannot do without; their own hosts' ids would tell anybody on
// the way who is called.
func certificate(signer crypto.Signer) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"sturdy"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // "no expiry" in X.509
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer, Leaf: leaf}, err
}
