package program_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/examples/internal/program"
	"github.com/sturdyrt/sturdy/examples/internal/programtest"
)

func TestMain(m *testing.M) {
	programtest.Main(m, "PROGRAM_ENDS", func(how string) error {
		program.Main(
			func(_ []string, out io.Writer) (string, error) {
				_, _ = io.WriteString(out, "flags ")
				return how, map[string]error{"help": flag.ErrHelp, "usage": errors.New("said")}[how]
			},
			func(ctx context.Context, how string, l *log.Logger) error {
				if how == "interrupted" {
					l.Print("ready")
					<-ctx.Done()
					return nil
				}
				return map[string]error{"failed": errors.New("no")}[how]
			},
			log.New(os.Stderr, "", 0))
		return nil
	})
}

func TestHowAProgramEnds(t *testing.T) {
	for how, want := range map[string]struct {
		code int
		says string
	}{
		"well": {0, "flags "}, "help": {0, "flags "}, "usage": {2, "flags "}, "failed": {1, " no\n"},
	} {
		out, err := programtest.Command(t.Context(), "PROGRAM_ENDS", how).CombinedOutput()
		code := 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != want.code || !strings.HasSuffix(string(out), want.says) {
			t.Errorf("%s: exit code %d, %q", how, code, out)
		}
	}
}

func TestAnInterruptEndsAProgramWell(t *testing.T) {
	cmd := programtest.Command(t.Context(), "PROGRAM_ENDS", "interrupted")
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(said, make([]byte, len("flags ready\n"))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()); err != nil {
		t.Error(err)
	}
}

func TestOfNamesOnlyLocalhostIsThisMachine(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.8.8.8": true, "::1": true,
		"": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "localhost.example": false, "127.0.0.1.example": false,
	} {
		if program.Loopback(host) != want {
			t.Errorf("Loopback(%q) is %v", host, !want)
		}
	}
}
