package main

import (
	"bytes"
	"encoding/base32"
	"errors"
	"flag"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sturdyrt/sturdy/cmd/cli"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// The scripts in testdata are tutorials: each is read from top to bottom, and what it says
// that a command answers is what it answers. go test -update writes the answers anew.
var update = flag.Bool("update", false, "write into the scripts what the commands answer")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sturdy":     main,
		"bank":       func() { cli.Main(counterKind, accountKind) },
		"makeworld":  makeWorld,
		"makebrand":  makeBrand,
		"makealarms": makeAlarms,
		"shop":       func() { cli.Main(orderKind) },
		"makeshop":   makeShop,
		"copyworld":  copyWorld,
		"inuse":      inUse,
		"serving":    serving,
		"sendfar":    sendFar,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup:         hurry,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"damage": damage, "hide": hide, "nowhere": nowhere, "text": text},
	})
}

// hurry lets the commands end at once when they look for data races: otherwise each waits for a
// second at its end, in case there is one more to report.
func hurry(env *testscript.Env) error {
	env.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=10"))
	return nil
}

// inUse runs a command while this process has the world open: inuse DIR COMMAND ARGS.
func inUse() {
	rt, err := sturdy.Open(os.Args[1], counterKind, accountKind)
	if err != nil {
		log.Fatal(err)
	}
	c := exec.Command(os.Args[2], os.Args[3:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	err = c.Run()
	if err := rt.Close(); err != nil {
		log.Fatal(err)
	}
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		os.Exit(failed.ExitCode())
	}
}

// damage flips a bit of the last place of a file that holds a text: damage FILE TEXT.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	content, err := os.ReadFile(name)
	ts.Check(err)
	at := bytes.LastIndex(content, []byte(args[1]))
	if at < 0 {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	content[at] ^= 1
	ts.Check(os.WriteFile(name, content, 0o600))
}

// secrets finds sturdy refs: the text up to the tag, and the tag.
func secrets(content []byte) [][][]byte {
	return regexp.MustCompile(`(sturdy://)[a-z2-7]{32}(/[^ "'\n]*/)([a-z2-7]{32})`).FindAllSubmatch(content, -1)
}

// hide writes into a file what is the same in every run, of the same length: times become
// zeros, so do the sizes of letters, in which there are numbers of random length, and the
// names of hosts, short or not, and tags of sturdy refs letters. hide FILE.
func hide(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	content, err := os.ReadFile(name)
	ts.Check(err)
	for _, m := range secrets(content) {
		content = bytes.ReplaceAll(content, m[3], bytes.Repeat([]byte("t"), len(m[3])))
	}
	content = regexp.MustCompile(`sturdy://[a-z2-7]{32}`).ReplaceAll(content, []byte("sturdy://"+strings.Repeat("h", 32)))
	content = regexp.MustCompile(` at [a-z2-7]{8}\b`).ReplaceAll(content, []byte(" at hhhhhhhh"))
	content = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAll(content, []byte("0000-00-00T00:00:00Z"))
	if bytes.Contains(bytes.ToUpper(content), []byte("  BYTES  ")) {
		content = regexp.MustCompile(`(now|00Z) +\d+  `).ReplaceAllFunc(content, func(m []byte) []byte {
			return append(m[:3:3], regexp.MustCompile(`\d`).ReplaceAll(m[3:], []byte("0"))...)
		})
	}
	content = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`).ReplaceAll(content, []byte("0000-00-00 00:00 UTC"))
	ts.Check(os.WriteFile(name, content, 0o600))
}

// nowhere fails if the tag of a sturdy ref that stands in FILE stands anywhere below one of
// the directories or files, as text or in bytes, or if there is none: nowhere FILE PLACE...
func nowhere(ts *testscript.TestScript, _ bool, args []string) {
	content, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	found := secrets(content)
	if len(found) == 0 {
		ts.Fatalf("%s holds no sturdy ref", args[0])
	}
	for _, place := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(place), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			in, err := os.ReadFile(path)
			for _, m := range found {
				tag, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(string(m[3])))
				ts.Check(err)
				if bytes.Contains(bytes.ToLower(in), m[3]) || bytes.Contains(in, tag) {
					ts.Fatalf("%s holds a secret", path)
				}
			}
			return err
		}))
	}
}

// copyWorld copies a directory file by file: copyworld FROM TO.
func copyWorld() {
	if err := os.CopyFS(os.Args[2], os.DirFS(os.Args[1])); err != nil {
		log.Fatal(err)
	}
}
