package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A key is a sturdy ref in a file of its own, which only its owner can read. It is not in
// the world, which does not know it either.

// Issue makes sure that file holds a key for somebody, under whose name the Grant stands in
// the directory grants. If there is a file, it is left as it is, even if what it opens was
// revoked. If there is none, then a key is made for ref under terms, and one that was made
// before and whose file is lost, if only because the process was killed between the two, is
// revoked. made says which it was.
//
// Files are written whole or not at all. Issue is not for two processes at the same time.
func Issue(ctx context.Context, rt *sturdy.Runtime, grants sturdy.Directory, name, file string, ref caps.Ref, terms caps.Terms) (made bool, err error) {
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	var key caps.SturdyRef
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		if err := takeBack(t, grants, name); err != nil {
			return err
		}
		var g sturdy.Grant
		if key, g, err = rt.Save(t, ref, terms); err != nil {
			return err
		}
		return grants.Put(t, name, g.Ref)
	})
	if err != nil {
		return false, err
	}
	return true, WriteKey(file, key)
}

func takeBack(t *sturdy.WriteTurn, grants sturdy.Directory, name string) error {
	before, err := grants.Get(t, name)
	if errors.Is(err, sturdy.ErrNoName) {
		return nil
	}
	if err != nil {
		return err
	}
	return sturdy.Grant{Ref: before}.Revoke(t)
}

// WriteKey writes a key to a file that only its owner can read. What stood there is
// replaced; after a crash the file holds one or the other.
func WriteKey(file string, key caps.SturdyRef) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".key-*") // readable by its owner only
	if err != nil {
		return err
	}
	_, err = f.WriteString(key.Reveal() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// ReadKey reads a key from a file. Errors do not quote what is in it.
func ReadKey(file string) (caps.SturdyRef, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return caps.SturdyRef{}, err
	}
	key, err := caps.ParseSturdyRef(strings.TrimSuffix(string(text), "\n"))
	if err != nil {
		return caps.SturdyRef{}, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}
