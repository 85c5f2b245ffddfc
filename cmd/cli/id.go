package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sturdyrt/sturdy/rpc"
)

type idCmd struct {
	world
	Certificate bool `help:"Print what the host shows in TLS, as PEM, for programs in other languages that trust this and no authorities."`
}

// Help is what id --help says below the usage.
func (idCmd) Help() string {
	return `The name is 32 characters, a hash of the host's public key. It stands in the sturdy refs of the world, and others name the host by it: --peer HOST=ADDR. It is no secret, and neither is the certificate.

A program in another language that comes over the network, as to serve --listen, checks that it has come to the right host: by the certificate, sturdy id --certificate DIR > host.pem, in which the name is "sturdy"; or by the name, which is a hash of the key in it.`
}

func (c *idCmd) run(_ context.Context, a *app) error {
	key, err := c.key()
	if err != nil {
		return err
	}
	said := []byte(rpc.HostOf(key.Public().(ed25519.PublicKey)) + "\n")
	if c.Certificate {
		if said, err = rpc.CertificateOf(key); err != nil {
			return err
		}
	}
	_, err = a.out.Write(said)
	return err
}

// host is what Runtime.Host answers, of a world that may be open elsewhere: the name is made of
// the host's key, a file that is written once. Asking who has the world open would be another
// way to learn it, and one that not every program answers.
func (w world) host() (string, error) {
	key, err := w.key()
	if err != nil {
		return "", err
	}
	return rpc.HostOf(key.Public().(ed25519.PublicKey)), nil
}

// key is the key of the host.
func (w world) key() (ed25519.PrivateKey, error) {
	content, err := os.ReadFile(filepath.Join(w.Dir, "key"))
	if err != nil {
		return nil, w.noKey(err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, w.badKey()
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, w.badKey() // and nothing of what stands there
	}
	return private, nil
}

func (w world) badKey() error {
	return fmt.Errorf("the file %s holds no host's key; put back the one that was there", filepath.Join(w.Dir, "key"))
}

// noKey is why there is no key to read.
func (w world) noKey(err error) error {
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return w.isFile()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case !w.exists():
		return &noWorldError{w.Dir}
	}
	return fmt.Errorf("%s has no host's key yet: it is made when the world is opened for writing", w.Dir)
}
