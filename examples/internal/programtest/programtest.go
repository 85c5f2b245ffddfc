// Package programtest runs the programs among the examples in their tests: in the process of
// the test, or as a process of its own that can be killed.
package programtest

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Main is a TestMain. In a process that Command started with the same variable it calls run
// with the variable's value, and runs no tests.
func Main(m *testing.M, variable string, run func(value string) error) {
	value := os.Getenv(variable)
	if value == "" {
		os.Exit(m.Run())
	}
	if err := run(value); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Command is this program once more, to be started, for a TestMain that is Main.
func Command(ctx context.Context, variable, value string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+value)
	return cmd
}

// Start runs what serves until stop is called, or else until the test ends. It returns when a
// line "listening on ADDRESS" has been logged. stop returns all that was logged, each time it
// is called; that run failed is an error of the test.
func Start(t testing.TB, run func(context.Context, *log.Logger) error) (addr string, stop func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	j := &journal{listening: make(chan string, 1)}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, log.New(j, "", 0)) }()
	select {
	case addr = <-j.listening:
	case err := <-ended:
		cancel()
		t.Fatalf("it ended before it listened: %v; it logged:\n%s", err, j)
	}
	stop = sync.OnceValue(func() string {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return j.String()
	})
	t.Cleanup(func() {
		if logged := stop(); t.Failed() {
			t.Logf("it logged:\n%s", logged)
		}
	})
	return addr, stop
}

// journal keeps what is logged. A Logger writes a line at a time.
type journal struct {
	mu        sync.Mutex
	text      bytes.Buffer
	listening chan string // of capacity 1, for the first address
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if addr, ok := strings.CutPrefix(string(line), "listening on "); ok {
		select {
		case j.listening <- strings.TrimSpace(addr):
		default:
		}
	}
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
