package sturdy_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A vault is a world in a real directory, with a text that is alive and one that is revoked.
type vault struct {
	t             *testing.T
	dir           string
	alive, doomed caps.SturdyRef
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{t: t, dir: filepath.Join(t.TempDir(), "world")}
	rt := v.open(nil)
	var g sturdy.Grant
	must(t, rt.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		return rt.Root().Put(tn, "account", accountKind.New(tn, account{N: 5}))
	}))
	ref, err := rt.Root().Get(t.Context(), "account")
	must(t, err)
	v.alive, _, err = rt.Save(t.Context(), ref, caps.Terms{For: "alive"})
	must(t, err)
	v.doomed, g, err = rt.Save(t.Context(), ref, caps.Terms{For: "doomed"})
	must(t, err)
	must(t, rt.Root().Put(t.Context(), "g", g.Ref))
	_, err = rt.Restore(t.Context(), v.doomed)
	must(t, err)
	must(t, rt.Close())
	return v
}

// open opens the world, which must fail if want is an error.
func (v *vault) open(want error) *sturdy.Runtime {
	v.t.Helper()
	rt, err := sturdy.Open(v.dir, accountKind, folderKind)
	if want == nil && err != nil || want != nil && (err == nil || !errors.Is(err, want)) {
		v.t.Fatalf("open: %v; want %v", err, want)
	}
	return rt
}

func (v *vault) revoke() {
	v.t.Helper()
	rt := v.open(nil)
	g, err := rt.Root().Get(v.t.Context(), "g")
	must(v.t, err)
	must(v.t, sturdy.Grant{Ref: g}.Revoke(v.t.Context()))
	must(v.t, rt.Close())
}

// says opens the world and fails the test if the texts do not answer with these codes.
func (v *vault) says(alive, doomed caps.Code) {
	v.t.Helper()
	rt := v.open(nil)
	for text, want := range map[*caps.SturdyRef]caps.Code{&v.alive: alive, &v.doomed: doomed} {
		if _, err := rt.Restore(v.t.Context(), *text); want == "" && err != nil || want != "" && !errors.Is(err, want) {
			v.t.Errorf("%v: %v; want %q", *text, err, want)
		}
	}
	must(v.t, rt.Close())
}

func (v *vault) files() map[string][]byte {
	v.t.Helper()
	files := map[string][]byte{}
	entries, err := os.ReadDir(v.dir)
	must(v.t, err)
	for _, e := range entries {
		files[e.Name()], err = os.ReadFile(filepath.Join(v.dir, e.Name()))
		must(v.t, err)
	}
	return files
}

func (v *vault) write(name string, data []byte) {
	v.t.Helper()
	must(v.t, os.WriteFile(filepath.Join(v.dir, name), data, 0o600))
}

func TestAnOlderStoreFileDoesNotBringAGrantBack(t *testing.T) {
	v := newVault(t)
	old := v.files()
	v.revoke()
	now := v.files()
	v.write("objects.db", old["objects.db"])
	v.open(objstore.ErrDamaged) // half a world
	for name, data := range old {
		if strings.HasPrefix(name, "journal") && now[name] == nil {
			v.write("objects.db", now["objects.db"])
			v.write(name, data) // an older segment beside the newer store file is not read
			v.says("", caps.ErrRevoked)
		}
	}
}

func TestABackupInAnotherPlaceOpensNoTextUntilItIsAdopted(t *testing.T) {
	v := newVault(t)
	backup := filepath.Join(t.TempDir(), "backup")
	must(t, os.CopyFS(backup, os.DirFS(v.dir)))
	v.revoke()
	v.dir = backup
	v.says(caps.ErrRevoked, caps.ErrRevoked)
	v.says(caps.ErrRevoked, caps.ErrRevoked) // also when it is no longer new
}

func TestTheKeyFileCannotBeReplaced(t *testing.T) {
	v := newVault(t)
	other := newVault(t)
	key := v.files()["key"]
	if info, err := os.Stat(filepath.Join(v.dir, "key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info.Mode(), err)
	}
	v.write("key", other.files()["key"])
	v.says(caps.ErrNotDelivered, caps.ErrNotDelivered)
	must(t, os.Remove(filepath.Join(v.dir, "key"))) // a new one is made: another host
	v.says(caps.ErrNotDelivered, caps.ErrNotDelivered)
	for _, garbage := range [][]byte{{}, []byte("a password"), key[:len(key)/2], append([]byte("x"), key...), append(key[:len(key):len(key)], key...), bytes.ToUpper(key)} {
		v.write("key", garbage)
		rt, err := sturdy.Open(v.dir, accountKind)
		if err == nil {
			t.Errorf("opened with the key %q", garbage)
			must(t, rt.Close())
			continue
		}
		if len(garbage) > 4 && strings.Contains(err.Error(), string(garbage[:min(len(garbage), 40)])) {
			t.Errorf("the error quotes the key file: %v", err)
		}
	}
	v.write("key", key)
	v.says("", "")
}

func TestNoFileButTheKeyHoldsASecret(t *testing.T) {
	v := newVault(t)
	weak := v.alive.Only(acGet)
	rt := v.open(nil)
	ref, err := rt.Restore(t.Context(), weak)
	must(t, err)
	_, err = acGet.Call(t.Context(), ref)
	must(t, err)
	look := func(when string) {
		files := v.files()
		secrets := keySecrets(t, files["key"], v.alive, v.doomed, weak)
		for name, data := range files {
			if what := shows(data, secrets); what != "" && name != "key" {
				t.Errorf("%s, %s holds %s", when, name, what)
			}
		}
		if shows(files["key"], secrets) == "" {
			t.Error("the secrets are not those of the key file")
		}
	}
	look("while it is open") // the journal
	must(t, rt.Close())
	look("after it was closed") // the store file
	v.revoke()
	look("after a revoke")
}

// TestAStoredAuthorityThatIsChangedOnDiskIsDamage changes each byte of a record that holds a
// weak Ref: it is found, or it is what it was.
func TestAStoredAuthorityThatIsChangedOnDiskIsDamage(t *testing.T) {
	const mark = "the mark of the record"
	s := newShelf(t)
	s.ExpectDamage()
	chance := rand.New(rand.NewPCG(seedOf(t), 5))
	shared, _ := s.grant(s.account, caps.Terms{For: "weak", Only: []caps.Named{acGet}})
	s.put(mark, shared.Attenuate(caps.Read))
	s.put(mark+" behind", s.account)
	was := s.get(mark).String()
	must(t, s.Close())
	image, err := s.Disk().ReadFile("objects.db")
	must(t, err)
	found, damaged := 0, 0
	for at := 0; ; {
		next := bytes.Index(image[at:], []byte(mark))
		if next < 0 {
			break
		}
		at += next + len(mark)
		found++
		for off := range 40 {
			changed := bytes.Clone(image)
			changed[at+off] ^= 1 << chance.IntN(8)
			if what := readChanged(t, s, changed, mark); what == "" {
				damaged++
			} else if what != was {
				t.Errorf("byte %d behind the key: %s; it was %s", off, what, was)
			}
		}
	}
	if found == 0 || damaged < 10 {
		t.Errorf("the key stands at %d places, and %d changes were found", found, damaged)
	}
}

// readChanged is the Ref under name in a world with this store file, "" if that is an error.
func readChanged(t *testing.T, s *shelf, image []byte, name string) string {
	t.Helper()
	must(t, s.Disk().WriteFile("objects.db", image))
	store, err := objstore.Open("", objstore.Options{Files: s.Disk(), ReadOnly: true})
	if err != nil {
		return ""
	}
	must(t, store.Close())
	rt, err := sturdy.Options{Files: s.Disk(), Kinds: []sturdy.Kind{accountKind, folderKind}, ReadOnly: true}.Open()
	if err != nil {
		return ""
	}
	defer func() { must(t, rt.Close()) }()
	ref, err := rt.Root().Get(t.Context(), name)
	if err != nil {
		return ""
	}
	if _, err := acAdd.Call(t.Context(), ref, 1); err == nil {
		t.Errorf("%v writes", ref)
	}
	return fmt.Sprint(ref)
}
