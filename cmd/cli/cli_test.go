package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/console"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestWhatWasTypedIsRememberedAndPrivate(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	inputs := []string{"root", "def f():\n  return \"a\x1b\"\n", "1 +\\\n2"}
	h := openHistory()
	for _, input := range append(inputs, inputs[2], "") {
		if _, err := h.Write(input); err != nil {
			t.Fatal(err)
		}
	}
	again := openHistory()
	if again.Len() != len(inputs) {
		t.Fatalf("remembered %q", again.Dump())
	}
	for i, want := range inputs {
		if got, err := again.GetLine(i); err != nil || got != want {
			t.Errorf("input %d is %q, %v; want %q", i, got, err, want)
		}
	}
	if _, err := again.GetLine(3); err == nil {
		t.Error("there is an input behind the last one")
	}
	path, err := historyPath()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestSecretsAreNotRemembered(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	tag := strings.Repeat("ab2z", 8)
	text := "sturdy://" + strings.Repeat("q", 32) + "/1c/" + tag
	for input, secret := range map[string]bool{
		`restore("` + text + `")`: true, `x = 1` + "\nrestore('" + text + `')`: true, `"STURDY:` + tag[:5] + `"`: true,
		`tag = "` + tag + `"`: true, `tag = "` + strings.ToUpper(tag) + `"`: true, `"` + tag[:31] + `"`: false,
		"root.accounts.alice.transfer(to=root.accounts.bob, amount=1)": false, "u.reveal()": false, "sturdy": false, strings.Repeat("9", 40): false,
	} {
		h := openHistory()
		before := h.Len()
		if _, err := h.Write(input); err != nil {
			t.Fatal(err)
		}
		if got, err := h.GetLine(before); err != nil || got != input {
			t.Errorf("%q is not in reach in its own session", input)
		}
		if kept := openHistory().Len() > before; kept == secret {
			t.Errorf("%q is remembered: %v", input, kept)
		}
	}
	path, err := historyPath()
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || strings.Contains(strings.ToLower(string(content)), tag) {
		t.Errorf("the file holds %q, %v", content, err)
	}
}

func TestTheHistoryIsBounded(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	h := openHistory()
	for i := range 2*maxHistory + 1 {
		if _, err := h.Write(strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := openHistory().Len(); n != maxHistory {
		t.Errorf("%d inputs are left", n)
	}
	h = openHistory()
	if last, err := h.GetLine(h.Len() - 1); err != nil || last != strconv.Itoa(2*maxHistory) {
		t.Errorf("the last one is %q, %v", last, err)
	}
}

func TestWithoutAPlaceTheHistoryLastsAsLongAsTheProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_STATE_HOME", file)
	h := openHistory()
	if n, err := h.Write("root"); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// FuzzQuoted: a shell reads what quoted writes as the one argument that it was.
func FuzzQuoted(f *testing.F) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		f.Skip("there is no shell to ask")
	}
	for _, arg := range []string{"world", "my world", "it's", "", "$HOME", "-x", "*"} {
		f.Add(arg)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		if strings.ContainsRune(arg, 0) {
			return // no argument can hold it
		}
		out, err := exec.Command(shell, "-c", "printf %s "+quoted(arg)).Output()
		if err != nil || string(out) != arg {
			t.Fatalf("%q is quoted %s and read as %q, %v", arg, quoted(arg), out, err)
		}
	})
}

func TestLongWorkSaysHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		a := &app{err: &said}
		var seen atomic.Int64
		stop := a.progress(1_204_331, &seen)
		time.Sleep(patience + 1)
		seen.Store(41_000)
		time.Sleep(patience)
		stop()
		if said.String() != "verifying the files\n41,000 of 1,204,331 objects\n" {
			t.Errorf("it said %q", said.String())
		}
	})
}

func TestEveryErrorOfOpeningHasAHint(t *testing.T) {
	for _, err := range []error{
		&noWorldError{"x"}, objstore.ErrInUse, &notListening{objstore.ErrInUse, nil}, &caps.Error{Op: "restore", Code: caps.ErrNotDelivered}, objstore.ErrNewerFormat, objstore.ErrDamaged, context.Canceled,
	} {
		if hint(err, "sturdy") == "" {
			t.Errorf("%v has none", err)
		}
	}
	if got := explain(errors.New("a\x1b[31m"), "sturdy"); got != `a\x1b[31m` {
		t.Errorf("an error is printed as %q", got)
	}
}

func TestAnInputThatFailsDoesNotEndTheConversation(t *testing.T) {
	rt, err := sturdy.Options{}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	var out bytes.Buffer
	a := &app{name: "sturdy", out: &out, err: &out}
	s := console.New(console.Options{Runtime: rt, Out: &out})
	for _, line := range []string{"rot", "root"} {
		input(t.Context(), a, s, line)
	}
	if want := "undefined: rot; root?\ndirectory 1  rwx   empty\n"; out.String() != want {
		t.Errorf("it said %q", out.String())
	}
}

func TestTheEditorCanBeMade(t *testing.T) {
	shell, err := newShell()
	if err != nil {
		t.Fatal(err)
	}
	c := completions("ro", []console.Candidate{{Text: "root", Shown: "root"}})
	if shell == nil || c.PREFIX != "ro" {
		t.Errorf("%v", c)
	}
}
