package share_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func (d *desk) issue(file string) bool {
	d.t.Helper()
	made, err := share.Issue(d.t.Context(), d.Runtime, d.Root(), "reader", file, d.doc().Attenuate(caps.Read), caps.Terms{For: "reader"})
	d.must(err)
	return made
}

func (d *desk) opens(file string) error {
	d.t.Helper()
	key, err := share.ReadKey(file)
	d.must(err)
	_, err = d.Restore(d.t.Context(), key)
	return err
}

func TestAKeyIsMadeOnce(t *testing.T) {
	d := newDesk(t)
	file := filepath.Join(t.TempDir(), "reader.key")
	if !d.issue(file) || d.issue(file) {
		t.Error("a key is made if and only if there is none")
	}
	d.Crash()
	if d.issue(file) {
		t.Error("a key is made again after a restart")
	}
	d.must(d.opens(file))
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("others can read the key:", info.Mode(), err)
	}
}

func TestAKeyThatIsLostIsRevoked(t *testing.T) {
	d := newDesk(t)
	file := filepath.Join(t.TempDir(), "reader.key")
	d.issue(file)
	lost := file + ".found later"
	d.must(os.Rename(file, lost))
	if !d.issue(file) {
		t.Error("no key is made in place of the one that was lost")
	}
	d.must(d.opens(file))
	if err := d.opens(lost); !errors.Is(err, caps.ErrRevoked) {
		t.Error("the key that was lost:", err)
	}
}

func TestAKeyThatWasRevokedStaysSo(t *testing.T) {
	d := newDesk(t)
	file := filepath.Join(t.TempDir(), "reader.key")
	d.issue(file)
	ref, err := d.Root().Get(t.Context(), "reader")
	d.must(err)
	d.must(sturdy.Grant{Ref: ref}.Revoke(t.Context()))
	if d.issue(file) {
		t.Error("a revoked key was replaced without anybody's asking")
	}
	if err := d.opens(file); !errors.Is(err, caps.ErrRevoked) {
		t.Error(err)
	}
}

func TestAKeyFileThatHoldsSomethingElse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.key")
	if err := os.WriteFile(file, []byte("sturdy://secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := share.ReadKey(file); !errors.Is(err, caps.ErrBadArgument) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	if _, err := share.ReadKey(file + ".not"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := share.WriteKey(filepath.Join(file, "below a file"), caps.SturdyRef{}); err == nil {
		t.Error("a key was written to where nothing can be")
	}
}
