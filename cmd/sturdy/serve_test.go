package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// serving runs a command while "bank serve" serves a world, or -as another command:
// serving [-9] [-as NAME] DIR FLAGS -- COMMAND ARGS. In ARGS, HOST and ADDRESS are what serve has printed, which goes into the file
// serve.out. Afterwards serve is told to end, and must end well; with -9 it is killed.
func serving() {
	args := os.Args[1:]
	kill := args[0] == "-9"
	if kill {
		args = args[1:]
	}
	as := "bank"
	if args[0] == "-as" {
		as, args = args[1], args[2:]
	}
	at := slices.Index(args, "--")
	serve := exec.Command(as, append([]string{"serve"}, args[:at]...)...)
	serve.Stderr = os.Stderr
	out, err := serve.StdoutPipe()
	fatal(err)
	fatal(serve.Start())
	printed, found := "", map[string]string{}
	for lines := bufio.NewScanner(out); found["socket"] == "" && lines.Scan(); {
		printed += lines.Text() + "\n"
		what, is, _ := strings.Cut(lines.Text(), " ")
		found[what] = strings.TrimSpace(is)
	}
	fatal(os.WriteFile("serve.out", []byte(printed), 0o600))
	code := while(args[at+1:], found)
	if kill {
		fatal(serve.Process.Kill())
		_ = serve.Wait() // it was killed
	} else {
		fatal(serve.Process.Signal(syscall.SIGTERM))
		if err := serve.Wait(); err != nil {
			fatal(fmt.Errorf("serve: %w", err))
		}
	}
	os.Exit(code)
}

// while runs a command and returns its exit code.
func while(args []string, found map[string]string) int {
	for i := range args {
		args[i] = strings.NewReplacer("HOST", found["host"], "ADDRESS", found["address"]).Replace(args[i])
	}
	c := exec.Command(args[0], args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := c.Run()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return failed.ExitCode()
	}
	fatal(err)
	return 0
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// text sets a variable to the sturdy ref that stands in a file: text NAME FILE.
func text(ts *testscript.TestScript, _ bool, args []string) {
	found := secrets([]byte(ts.ReadFile(args[1])))
	if len(found) == 0 {
		ts.Fatalf("%s holds no sturdy ref", args[1])
	}
	ts.Setenv(args[0], string(found[0][0]))
}
