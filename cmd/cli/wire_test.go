package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestTheNameOfAHostIsReadWithoutOpeningTheWorld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "w")
	rt, err := sturdy.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if host, err := (world{dir}).host(); err != nil || host != rt.Host() {
		t.Errorf("%s, %v; it is %s", host, err, rt.Host())
	}
	key := filepath.Join(dir, "key")
	content, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "secret", strings.Replace(string(content), "M", "N", 1)} {
		if err := os.WriteFile(key, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if host, err := (world{dir}).host(); err == nil || strings.Contains(err.Error(), "secret") || host != "" {
			t.Errorf("%q: %s, %v", wrong, host, err)
		}
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := (world{dir}).host(); err == nil || !strings.Contains(err.Error(), "has no host's key yet") {
		t.Error(err)
	}
}

func TestAnErrorOfTheWireIsOneLine(t *testing.T) {
	err := errors.Join(&caps.Error{Op: "restore", Code: caps.ErrNotDelivered, Text: "a: refused\nb: refused"})
	if got := explain(err, "sturdy"); got != "restore: a: refused; b: refused\n--peer HOST=ADDR says where a host is." {
		t.Errorf("it says %q", got)
	}
}

// FuzzPeers: what is taken for a peer is one, and is what was typed.
func FuzzPeers(f *testing.F) {
	host := strings.Repeat("a2", 16)
	for _, value := range []string{host + "=localhost:7070", host + "=unix:/w/sock", host + "=[::1]:1", host, host + "=", host + "=unix:", "=:1", host + "=:="} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		host, address, err := parsePeer(value)
		if err != nil {
			return
		}
		if host+"="+address != value {
			t.Errorf("%q is read as %q and %q", value, host, address)
		}
		u, err := caps.NewSturdyRef(host, 1, make([]byte, 20))
		if err != nil || u.Host() != host {
			t.Errorf("%q is no host: %v", host, err)
		}
	})
}
