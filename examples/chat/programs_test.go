package chat_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// programs is where the server and the client are, built.
type programs struct {
	t   *testing.T
	dir string // in which they run, too
}

func build(t *testing.T) programs {
	t.Helper()
	p := programs{t, t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.dir+string(filepath.Separator), "./server", "./client").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

// program is one of them, running.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	keys  io.WriteCloser
	lines chan string
	log   strings.Builder // what is on its terminal
}

func (p programs) start(name string, args ...string) *program {
	p.t.Helper()
	r := &program{t: p.t, cmd: exec.CommandContext(p.t.Context(), filepath.Join(p.dir, name), args...), lines: make(chan string, 1000)}
	r.cmd.Dir = p.dir
	out, w, err := os.Pipe()
	if err == nil {
		r.cmd.Stdout, r.cmd.Stderr = w, w
		r.keys, err = r.cmd.StdinPipe()
	}
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	_ = w.Close()
	go func() {
		defer close(r.lines)
		defer out.Close()
		for s := bufio.NewScanner(out); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	p.t.Cleanup(r.kill)
	return r
}

// kill is kill -9. It returns when the program is gone.
func (r *program) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

func (r *program) types(line string) {
	r.t.Helper()
	if _, err := io.WriteString(r.keys, line+"\n"); err != nil {
		r.t.Fatal(err)
	}
	r.log.WriteString(line + "\n")
}

// next is the next line.
func (r *program) next() string {
	r.t.Helper()
	select {
	case line := <-r.lines:
		r.log.WriteString(line + "\n")
		return line
	case <-time.After(30 * time.Second):
		r.t.Fatalf("nothing more after:\n%s", &r.log)
		return ""
	}
}

// sees waits for each line in turn.
func (r *program) sees(lines ...string) {
	r.t.Helper()
	for _, want := range lines {
		if got := r.next(); got != want {
			r.t.Fatalf("%q instead of %q", got, want)
		}
	}
}

// serve starts the server, which listens at addr, and returns where it does.
func (p programs) serve(addr string) (*program, string) {
	p.t.Helper()
	s := p.start("server", "-addr", addr)
	at, ok := strings.CutPrefix(s.next(), "listening on ")
	if !ok {
		p.t.Fatalf("the server does not listen:\n%s", &s.log)
	}
	s.sees("who has the file world.invitation may come in")
	return s, at
}

const (
	lost   = "* the server cannot be reached; your seat is kept"
	there  = "* the server is there again"
	failed = "! nothing happened: the server cannot be reached"
)

// The README shows what happens, line for line: two talk, the server is killed, and they talk
// on from the same seats when it is back.
func TestTheReadmeTellsTheSame(t *testing.T) {
	t.Parallel() // it mostly waits
	p := build(t)
	server, addr := p.serve("127.0.0.1:0")
	ann := p.start("client", "ann")
	ann.types("hello")
	ann.sees("ann: hello")
	bob := p.start("client", "bob")
	bob.sees("ann: hello")
	bob.types("hello, ann")
	bob.sees("bob: hello, ann")
	ann.sees("bob: hello, ann")
	server.kill()
	ann.sees(lost)
	bob.sees(lost)
	ann.types("still there?")
	ann.sees(failed)
	_, _ = p.serve(addr)
	ann.sees(there)
	bob.sees(there)
	ann.types("still there?")
	ann.sees("ann: still there?")
	bob.sees("ann: still there?")
	_ = bob.keys.Close()
	bob.sees("* goodbye")
	ann.types("/who")
	ann.sees("* here: ann")

	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := strings.ReplaceAll(string(readme), "\n    ", "\n")
	for _, r := range []*program{ann, bob} {
		if !strings.Contains(shown, r.log.String()) {
			t.Errorf("README.md does not have:\n%s", &r.log)
		}
	}
	log := regexp.MustCompile(`listening on .*`).ReplaceAllString(server.log.String(), "listening on 127.0.0.1:7070")
	if !strings.Contains(shown, log) {
		t.Errorf("README.md does not have:\n%s", log)
	}
}

// The server is killed again and again while two talk. Both see the same, nothing twice, and
// everything that they were not told had failed.
func TestTheServerIsKilledWhileTheyTalk(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for seconds")
	}
	t.Parallel() // it mostly waits
	p := build(t)
	server, addr := p.serve("127.0.0.1:0")
	ann, bob := p.start("client", "ann"), p.start("client", "bob")
	ann.types("hello") // so that she is there before anything is killed
	ann.sees("ann: hello")
	bob.types("hello")
	var seen [2][]string // by ann and by bob
	until := func(i int, r *program, want string) {
		for line := ""; line != want; {
			if line = r.next(); strings.Contains(line, ": ") && line[0] != '!' {
				seen[i] = append(seen[i], line)
			}
		}
	}
	until(0, ann, "bob: hello")
	until(1, bob, "bob: hello")
	for round := range 2 {
		for n := range 5 {
			ann.types(fmt.Sprint(round, n))
			bob.types(fmt.Sprint(round, n))
		}
		server.kill()
		until(0, ann, lost)
		until(1, bob, lost)
		server, _ = p.serve(addr)
		until(0, ann, there)
		until(1, bob, there)
	}
	ann.types("end")
	until(0, ann, "ann: end")
	until(1, bob, "ann: end")
	if !slices.Equal(tail(seen[0]), tail(seen[1])) {
		t.Errorf("ann sees %q\nbob sees %q", seen[0], seen[1])
	}
	for _, nick := range []string{"ann", "bob"} {
		last, missing := "", 10
		for _, line := range seen[1] {
			if text, ok := strings.CutPrefix(line, nick+": "); ok && text[0] < 'a' {
				if text <= last {
					t.Errorf("%s: %q after %q", nick, text, last)
				}
				last = text
				missing--
			}
		}
		told := strings.Count(map[string]*program{"ann": ann, "bob": bob}[nick].log.String(), "\n! ")
		if missing > told {
			t.Errorf("%s: %d lines are missing, and of %d it was said that they failed", nick, missing, told)
		}
	}
}

// tail is what comes after both were there.
func tail(lines []string) []string { return lines[slices.Index(lines, "bob: hello"):] }
