package main

import (
	"bytes"
	"errors"
	"flag"
	"log"
	"os"
	"os/exec"
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
		"sturdy":    main,
		"bank":      func() { cli.Main(counterKind, accountKind) },
		"makeworld": makeWorld,
		"inuse":     inUse,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"damage": damage},
	})
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
