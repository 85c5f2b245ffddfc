package foreign_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/bank"
	"github.com/sturdyrt/sturdy/examples/foreign"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestABranchPaysWhatIsApproved(t *testing.T) {
	rt, err := sturdy.Options{Kinds: foreign.Kinds(), Checked: true}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	var branch, approver caps.Ref
	var rich, poor bank.Account
	err = rt.Update(t.Context(), func(turn *sturdy.WriteTurn) (err error) {
		branch, approver = foreign.NewBranch(turn), foreign.NewApprover(turn, 50_00)
		if rich, err = foreign.Open.Call(turn, branch, foreign.Opening{Owner: "rich", Deposit: 100_00}); err != nil {
			return err
		}
		poor, err = foreign.Open.Call(turn, branch, foreign.Opening{Owner: "poor"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pay := func(amount bank.Cents, by caps.Ref) error {
		return foreign.Pay.Call(t.Context(), branch, foreign.Bill{
			From: rich, To: poor, Approver: by, Payment: foreign.Payment{Amount: amount, Note: "repairs"},
		})
	}
	for _, c := range []struct {
		amount bank.Cents
		by     caps.Ref
		want   error
	}{
		{50_00, approver, nil},
		{50_01, approver, foreign.ErrRefused},
		{50_00 + 1, caps.Ref{}, caps.ErrNull},
		{1, poor.Ref, caps.ErrNoMethod},
	} {
		if err := pay(c.amount, c.by); !errors.Is(err, c.want) {
			t.Errorf("%s: %v instead of %v", c.amount, err, c.want)
		}
	}
	if c, err := rich.Balance(t.Context()); c != 50_00 || err != nil {
		t.Error(c, err)
	}
}

// TestClients builds both clients as README.md says, and compares what they print with what it
// shows. Then it has them meet a host that is not the one which their sturdy ref names.
func TestClients(t *testing.T) {
	need(t, "capnp", "make", "g++", "node", "npm")
	dir := t.TempDir()
	for _, from := range []string{"cpp", "js"} {
		if err := os.CopyFS(filepath.Join(dir, from), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, ".", "go", "build", "-o", dir+string(filepath.Separator), "./server", "../../cmd/sturdy")
	serve(t, dir, "world")
	run(t, dir, "./sturdy", "schema", "world", "-o", "bank.capnp")
	run(t, dir, "./sturdy", "schema", "--base", "-o", "sturdy.capnp")
	other := newImpostor(t)
	serve(t, dir, "robbed", "-public", other.door.Addr().String())
	want := shown(t)
	for language, client := range map[string]func(t *testing.T, dir string) []string{"C++": cpp, "JavaScript": javaScript} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			command := client(t, dir)
			if got := run(t, dir, command[0], append(command[1:], "world")...); got != want {
				t.Errorf("it prints\n%s\ninstead of\n%s", got, want)
			}
			met := other.met.Load()
			cmd := exec.CommandContext(t.Context(), command[0], append(command[1:], "robbed")...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "an impostor") || other.met.Load() == met {
				t.Errorf("at an impostor's address: %v\n%s", err, out)
			}
		})
	}
}

// cpp builds the client in C++ and returns the command that runs it.
func cpp(t *testing.T, dir string) []string {
	run(t, filepath.Join(dir, "cpp"), "make", "-s")
	return []string{"cpp/build/client"}
}

func javaScript(t *testing.T, dir string) []string {
	run(t, filepath.Join(dir, "js"), "npm", "ci", "--no-audit", "--no-fund")
	run(t, filepath.Join(dir, "js"), "npm", "run", "-s", "schema")
	return []string{"node", "js/client.js"}
}

// impostor is a TLS server with a key of its own. That anybody says something to it is an error
// of the test.
type impostor struct {
	door net.Listener
	met  atomic.Int64 // connections
}

func newImpostor(t *testing.T) *impostor {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	like := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"sturdy"}, NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, like, like, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	door, err := tls.Listen("tcp", "localhost:0", config)
	if err != nil {
		t.Fatal(err)
	}
	i, ended := &impostor{door: door}, make(chan struct{})
	go func() {
		defer close(ended)
		for conn, err := door.Accept(); err == nil; conn, err = door.Accept() {
			i.met.Add(1)
			if n, _ := conn.Read(make([]byte, 1)); n > 0 {
				t.Error("a client speaks to an impostor")
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = door.Close()
		<-ended
	})
	return i
}

// need skips the test where a tool is missing, and fails it where none may be.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", tool)
		}
		t.Skipf("%s is not installed; on Debian: apt-get install capnproto libcapnp-dev g++ make nodejs npm", tool)
	}
}

// serve runs the server until the test ends.
func serve(t *testing.T, dir, world string, flags ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./server", append(flags, "-addr", "localhost:0", "-world", world)...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	logged, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(logged)
	if line, err := lines.ReadString('\n'); !strings.HasPrefix(line, "listening on ") {
		t.Fatalf("the server says %q, %v", line, err)
	}
	rest := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(lines)
		rest <- string(text)
	}()
	t.Cleanup(func() { // the context is over
		text := <-rest
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) || text != "" {
			t.Errorf("the server ended with %v and has logged:\n%s", err, text)
		}
	})
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var said, warned strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &warned
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, said.String(), warned.String())
	}
	return said.String()
}

// shown is what README.md says that a client prints: what stands behind its last command.
func shown(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "node client.js")
	if !ok {
		t.Fatal("README.md runs no client")
	}
	var want strings.Builder
	for line := range strings.Lines(after[strings.Index(after, "\n")+1:]) {
		said, ok := strings.CutPrefix(line, "    ")
		if !ok {
			break
		}
		want.WriteString(said)
	}
	return want.String()
}
