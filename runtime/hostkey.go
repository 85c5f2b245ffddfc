package sturdy

import (
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
	"io"
	"io/fs"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
)

// hostKey is what a host proves itself with, and what its sturdy refs are derived from. It
// is a file of its own beside the store, so that whoever gets hold of the store, or of a
// backup of it, cannot make one. Invariant: it is printed nowhere; see String.
type hostKey struct {
	private ed25519.PrivateKey
	refs    []byte // the secret that sturdy refs are derived from
}

// keyFile is its name in the world's directory, a PKCS #8 key in PEM, readable by its owner.
const keyFile = "key"

// openKey reads the host's key and makes it in a new world. A world that is only read and
// has none goes without.
func (rt *Runtime) openKey(entropy io.Reader, readOnly bool) error {
	text, err := rt.vat.store.File(keyFile, func() ([]byte, error) { return newKey(entropy) })
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		rt.key, err = parseKey8(text)
	}
	if err == nil {
		rt.host = rt.key.host()
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

// parseKey8 says nothing of what it was given.
func parseKey8(text []byte) (*hostKey, error) {
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
	return &hostKey{private, refs}, err
}

// String is redacted, and so is what fmt prints of it: it is only ever held by a pointer.
func (*hostKey) String() string { return "(the host's key)" }

// GoString is String.
func (k *hostKey) GoString() string { return k.String() }

// host is the host's name in sturdy refs: a hash of its public key.
func (k *hostKey) host() string {
	sum := sha256.Sum256(k.private.Public().(ed25519.PublicKey))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:tagBytes]))
}

// tagBytes is the size of a sturdy ref's secret: 160 bits.
const tagBytes = 20

// root is the secret of a grant's sturdy ref before anybody has weakened it. It differs from
// world to world and, by the lineage, from a world to its copies.
func (k *hostKey) root(world string, lineage, grant uint64) []byte {
	mac := hmac.New(sha256.New, k.refs)
	mac.Write([]byte(world)) // of fixed length
	mac.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, lineage), grant))
	return mac.Sum(nil)[:tagBytes]
}

func noKey(op string) error {
	return &caps.Error{Op: op, Code: ErrStopped, Text: "the world was opened read-only and has no host key; open it once for writing"}
}
