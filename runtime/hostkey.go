package sturdy

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/sturdyrt/sturdy/caps"
)

// hostKey is what a host proves itself with, and what its sturdy refs are derived from. It
// is a file of its own beside the store, so that whoever gets hold of the store, or of a
// backup of it, cannot make one. The secrets stand in a closure: what prints values deep, by
// reflection, gets from any Ref to its Runtime, and must find nothing here.
type hostKey struct {
	host   string                 // its name in sturdy refs: a hash of the public key
	mac    func(of []byte) []byte // what only the host can compute
	signer signer
}

// signer signs with the host's key, which it hides as hostKey does.
type signer struct {
	public ed25519.PublicKey
	sign   func(message []byte) []byte
}

func (s signer) Public() crypto.PublicKey { return s.public }

// Sign signs a message that was not hashed before.
func (s signer) Sign(_ io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	if o.HashFunc() != 0 {
		return nil, errors.New("the host's key signs messages, not hashes")
	}
	return s.sign(message), nil
}

// keyFile is its name in the world's directory, a PKCS #8 key in PEM, readable by its owner.
const keyFile = "key"

// openKey reads the host's key and makes it in a new world. A world that is only read and
// has none goes without.
func (rt *Runtime) openKey(entropy io.Reader, readOnly bool) error {
	text, err := rt.vat.store.File(keyFile, func() ([]byte, error) {
		if !rt.vat.store.Info().Created {
			rt.log.Warn("the host's key was missing, and a new one is made: whatever sturdy refs there were open nothing any more. If you have the file, close the world and put it back.", "file", keyFile)
		}
		return newKey(entropy)
	})
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		rt.key, err = readKey(text)
	}
	if err != nil {
		return fmt.Errorf("the host's key (file %s in the world's directory): %w", keyFile, err)
	}
	return nil
}

func newKey(entropy io.Reader) ([]byte, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(entropy, seed); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed))
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// readKey says nothing of what it was given.
func readKey(text []byte) (*hostKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 || block.Type != "PRIVATE KEY" {
		return nil, errors.New("is not one PEM block of a private key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("holds no Ed25519 key")
	}
	refs, err := hkdf.Key(sha256.New, private.Seed(), nil, "sturdy refs", sha256.Size)
	if err != nil {
		return nil, err
	}
	macs := sync.Pool{New: func() any { return hmac.New(sha256.New, refs) }}
	public := private.Public().(ed25519.PublicKey)
	sum := sha256.Sum256(public)
	return &hostKey{
		host: strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:tagBytes])),
		mac: func(of []byte) []byte {
			m := macs.Get().(hash.Hash)
			defer macs.Put(m)
			m.Reset()
			m.Write(of)
			return m.Sum(nil)
		},
		signer: signer{public, func(message []byte) []byte { return ed25519.Sign(private, message) }},
	}, nil
}

// tagBytes is the size of a sturdy ref's secret: 160 bits.
const tagBytes = 20

// root is the secret of a grant's sturdy ref before anybody has weakened it. It differs from
// world to world; by the lineage, from a world to its copies; and by the incarnation from a
// grant to one that is given its number after a crash in which it was lost.
func (k *hostKey) root(world string, lineage, grant, incarnation uint64) []byte {
	of := []byte(world) // of fixed length
	for _, n := range []uint64{lineage, grant, incarnation} {
		of = binary.BigEndian.AppendUint64(of, n)
	}
	return k.mac(of)[:tagBytes]
}

func noKey(op string) error {
	return &caps.Error{Op: op, Code: ErrStopped, Text: "the world was opened read-only and has no host key; open it once for writing"}
}
