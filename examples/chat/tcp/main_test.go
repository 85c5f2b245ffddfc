package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/examples/internal/programtest"
)

// TestMain is the program itself where a test has started it as such.
func TestMain(m *testing.M) {
	programtest.Main(m, inWorld, func(dir string) error {
		return run(context.Background(), config{"localhost:0", dir}, log.New(os.Stdout, "", 0))
	})
}

const inWorld = "CHAT_TCP_WORLD"

func TestFlags(t *testing.T) {
	for line, ok := range map[string]bool{
		"":                          true,
		"-addr 127.0.0.1:80":        true,
		"-addr [::1]:80":            true,
		"-addr :80":                 false,
		"-addr 0.0.0.0:80":          false,
		"-addr 192.0.2.1:80":        false,
		"-addr localhost.example:8": false,
		"-addr localhost":           false,
		"-no-such":                  false,
		"localhost:80":              false,
	} {
		var out bytes.Buffer
		_, err := parse(strings.Fields(line), &out)
		if (err == nil) != ok || ok == (out.Len() > 0) {
			t.Errorf("tcp %s: %v: %s", line, err, &out)
		}
	}
	if _, err := parse([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
}

// process is the server, running.
type process struct {
	t     *testing.T
	addr  string
	out   *bufio.Scanner
	said  []string // before it listened
	begun *exec.Cmd
}

// begin starts the server as a process of its own.
func begin(t *testing.T, dir string) *process {
	t.Helper()
	p := &process{t: t, begun: programtest.Command(t.Context(), inWorld, dir)}
	p.begun.Stderr = os.Stderr
	out, err := p.begun.StdoutPipe()
	if err == nil {
		err = p.begun.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for p.out = bufio.NewScanner(out); p.out.Scan(); {
		if at, ok := strings.CutPrefix(p.out.Text(), "listening on "); ok {
			p.addr = at
			return p
		}
		p.said = append(p.said, p.out.Text())
	}
	t.Fatal("it does not listen: ", p.said)
	return nil
}

func (p *process) kill() {
	_ = p.begun.Process.Kill()
	for p.out.Scan() {
	}
	_ = p.begun.Wait()
}

// start runs the server in this process, until stop.
func start(t *testing.T, dir string) (addr string, stop func() string) {
	t.Helper()
	return programtest.Start(t, func(ctx context.Context, l *log.Logger) error {
		return run(ctx, config{"localhost:0", dir}, l)
	})
}

// client is somebody at a telnet, with all that is on his screen.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	log  strings.Builder
}

func dial(t *testing.T, addr string, lines ...string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{t: t, conn: conn, in: bufio.NewReader(conn)}
	for _, l := range lines {
		c.types(l)
	}
	return c
}

func (c *client) types(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
	c.log.WriteString(line + "\n")
}

// sees waits for each line in turn. # stands for a time.
func (c *client) sees(lines ...string) {
	c.t.Helper()
	for _, want := range lines {
		if err := c.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			c.t.Fatal(err)
		}
		line, err := c.in.ReadString('\n')
		c.log.WriteString(line)
		if got := clock.ReplaceAllString(strings.TrimSuffix(line, "\n"), "#"); err != nil || got != want {
			c.t.Fatalf("%q instead of %q: %v", got, want, err)
		}
	}
}

var clock = regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`)

// ends waits for the end of the connection.
func (c *client) ends() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.t.Errorf("at the end there is %q: %v", rest, err)
	}
}

// The README shows what happens, line for line: two talk, the server is killed, and what was
// said is there when it is back.
func TestTheReadmeTellsTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	p := begin(t, dir)
	ann := dial(t, p.addr, "NICK ann", "hello")
	ann.sees("ann: hello")
	bob := dial(t, p.addr, "NICK bob")
	bob.sees("ann: hello")
	bob.types("hello, ann")
	bob.sees("bob: hello, ann")
	ann.sees("bob: hello, ann")
	ann.types("/who")
	ann.sees("* here: ann, bob")
	p.kill()
	ann.ends()
	again := begin(t, dir)
	defer again.kill()
	cat := dial(t, again.addr, "NICK cat")
	cat.sees("ann: hello", "bob: hello, ann")
	cat.types("/who")
	cat.sees("* here: cat")
	cat.types("/history 1")
	cat.sees("* # bob: hello, ann")
	cat.types("buy\x07")
	cat.sees("! chat.example/seat.say: bad argument: the line holds the character U+0007")

	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := clock.ReplaceAllString(strings.ReplaceAll(string(readme), "\n    ", "\n"), "#")
	for _, c := range []string{ann.log.String(), bob.log.String(), strings.Join(again.said, "\n"), strings.Split(cat.log.String(), "buy")[0]} {
		if !strings.Contains(shown, clock.ReplaceAllString(c, "#")) {
			t.Errorf("README.md does not have:\n%s", c)
		}
	}
}

func TestWhatALineMayBe(t *testing.T) {
	addr, stop := start(t, filepath.Join(t.TempDir(), "world"))
	defer stop()
	for typed, seen := range map[string]string{
		"hello":                             "! say first: NICK and your name",
		"":                                  "! say first: NICK and your name",
		"NICK":                              "! chat.example/room.join: bad argument: a nickname is 1 to 20 of a-z, A-Z, 0-9, _ and -",
		"NICK a b":                          "! chat.example/room.join: bad argument: a nickname is 1 to 20 of a-z, A-Z, 0-9, _ and -",
		"NICK " + strings.Repeat("x", 5000): "! a line of more than 1023 bytes",
	} {
		c := dial(t, addr, typed)
		c.sees(seen)
	}
	ann := dial(t, addr, "nick ann\r")
	for typed, seen := range map[string]string{
		"/history":                "! how many lines?",
		"/history -1":             "! chat.example/seat.history: bad argument: the last -1 posts",
		"/kick bob":               "! there is /who, /history N, /quit",
		strings.Repeat("x", 1001): "! chat.example/seat.say: bad argument: a line of 1001 bytes; it is 1 to 1000 and no blank",
		"\xff":                    "! chat.example/seat.say: bad argument: the line is no UTF-8",
	} {
		ann.types(typed)
		ann.sees(seen)
	}
	dial(t, addr, "NICK Ann").sees("! chat.example/room.join: chat.example/taken: Ann is here already")
	ann.types("/quit")
	ann.sees("* goodbye")
	ann.ends()
}

func TestWhoHangsUpHasLeft(t *testing.T) {
	addr, stop := start(t, filepath.Join(t.TempDir(), "world"))
	defer stop()
	ann, bob := dial(t, addr, "NICK ann", "hello"), dial(t, addr, "NICK bob")
	ann.sees("ann: hello")
	bob.sees("ann: hello")
	_ = bob.conn.Close()
	for {
		ann.types("/who")
		line, err := ann.in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "* here: ann\n" {
			return
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	addr, stop := start(t, filepath.Join(t.TempDir(), "world"))
	defer stop()
	for range maxConns {
		dial(t, addr)
	}
	c := dial(t, addr)
	c.sees("! 64 are connected, which is all that there is room for")
	c.ends()
}

// A stop in good order leaves no seat behind, and does not wait for who says nothing.
func TestStopAndGoOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	addr, stop := start(t, dir)
	defer stop()
	ann := dial(t, addr, "NICK ann", "hello")
	ann.sees("ann: hello")
	dial(t, addr) // has no name
	stop()
	ann.ends()
	p := begin(t, dir)
	defer p.kill()
	if len(p.said) > 0 {
		t.Error(p.said)
	}
	dial(t, p.addr, "NICK ann").sees("ann: hello")
}
