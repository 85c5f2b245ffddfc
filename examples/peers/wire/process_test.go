package wire

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestMain is the server if the environment says so.
func TestMain(m *testing.M) {
	name, road, serves := strings.Cut(os.Getenv("WIRE_SERVE"), "/")
	if !serves {
		os.Exit(m.Run())
	}
	if err := serve(name, road); err != nil {
		fmt.Fprintln(os.Stderr, "the server of", name, "over", road+":", err)
		os.Exit(1)
	}
}

// serve says where the object is, and then answers each number on standard input with so many
// sturdy refs, until that ends.
func serve(name, road string) error {
	for _, p := range peers() {
		if p.name != name {
			continue
		}
		s, err := p.serve(os.Getenv("WIRE_DIR"), road)
		if err != nil {
			return err
		}
		fmt.Println(s.at)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			n, err := strconv.Atoi(in.Text())
			if err != nil {
				return err
			}
			texts, err := s.texts(n)
			if err != nil {
				return err
			}
			fmt.Println(strings.Join(texts, " "))
		}
	}
	return nil
}

// process is a server.
type process struct {
	dir, at string
	in      io.Writer
	out     *bufio.Reader
}

// start starts the server of p, which ends with the test.
func start(tb testing.TB, p peer, road string) *process {
	tb.Helper()
	dir, err := os.MkdirTemp("", "wire") // short, for the path of a socket
	must(tb, err)
	program, err := os.Executable()
	must(tb, err)
	c := exec.Command(program)
	c.Env = append(os.Environ(), "WIRE_SERVE="+p.name+"/"+road, "WIRE_DIR="+dir)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	must(tb, err)
	out, err := c.StdoutPipe()
	must(tb, err)
	must(tb, c.Start())
	s := &process{dir: dir, in: in, out: bufio.NewReader(out)}
	tb.Cleanup(func() {
		_ = in.Close()
		if err := c.Wait(); err != nil {
			tb.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	s.at = s.line(tb)
	return s
}

func (s *process) line(tb testing.TB) string {
	tb.Helper()
	line, err := s.out.ReadString('\n')
	must(tb, err)
	return strings.TrimSpace(line)
}

// texts has the server make n sturdy refs.
func (s *process) texts(tb testing.TB, n int) []string {
	tb.Helper()
	_, err := fmt.Fprintln(s.in, n)
	must(tb, err)
	return strings.Fields(s.line(tb))
}

// dial makes a client of p's server, which is closed with the test.
func (s *process) dial(tb testing.TB, p peer, road string) client {
	tb.Helper()
	c, err := p.dial(s.dir, road, s.at)
	must(tb, err)
	tb.Cleanup(func() {
		if err := c.close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
