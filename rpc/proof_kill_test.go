package rpc_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// victimOrder is what the process that is killed serves, and in what network namespace; empty:
// in that of the test.
type victimOrder struct{ Dir, Listen, Space string }

// TestVictimChild is the child: it does nothing in an ordinary run. It serves until it is
// killed, or until its input ends.
func TestVictimChild(t *testing.T) {
	var o victimOrder
	if json.Unmarshal([]byte(os.Getenv("STURDY_RPC_CHILD")), &o) != nil {
		t.Skip("only as a child of TestAKilledHostHasTakenEachSendOnce")
	}
	rt, err := sturdy.Open(o.Dir, bookKind, drawerKind)
	must(t, err)
	node, err := rpc.Attach(rt, rpc.Options{Listen: o.Listen})
	must(t, err)
	fmt.Println("serves")
	_, _ = io.Copy(io.Discard, os.Stdin)
	must(t, node.Close())
	must(t, rt.Close())
}

// TestAKilledHostHasTakenEachSendOnce kills the process of a host, which nobody asks before,
// while letters and calls come to it from here.
func TestAKilledHostHasTakenEachSendOnce(t *testing.T) {
	o := victimOrder{Dir: filepath.Join(t.TempDir(), "w"), Listen: freePort(t)}
	chance := rand.New(rand.NewPCG(seedOf(t), 5))
	texts := foundVictim(t, o)
	b := newHost(t, rpc.Options{Limits: rpc.Limits{Idle: time.Second}})
	books, counter := []caps.Ref{}, caps.Ref{}
	child := serveVictim(t, o)
	for i, s := range texts {
		if r := b.opens(s); i < 4 {
			books = append(books, r)
		} else {
			counter = r
		}
	}
	sent, count := make([]int64, len(books)), tally{}
	for range 5 {
		last := caps.Promise[caps.Done]{}
		for range 40 + chance.IntN(200) {
			for i, bk := range books {
				sent[i]++
				last = bookTake.Send(sturdy.Relaxed(b.ctx()), bk, entry{0, sent[i]})
			}
			if chance.IntN(20) == 0 {
				_, err := deskAdd.Call(b.ctx(), counter, 1)
				count.note(t, err)
			}
		}
		if chance.IntN(2) == 0 { // in the middle of the answers
			_, _ = last.Await(within(t, time.Duration(chance.IntN(50))*time.Millisecond))
		}
		must(t, child.Process.Kill())
		_ = child.Wait() // it was killed, which is an error to Wait
		child = serveVictim(t, o)
	}
	allAnswered(t, b)
	if n := tallyOf(t, counter); n < count.sure || n > count.sure+count.maybe {
		t.Errorf("%d counted, of %+v", n, count)
	}
	for i, r := range books {
		bk, err := bookLook.Call(b.ctx(), r)
		must(t, err)
		want := either(bk.Fails, sent[i]/2, sent[i])
		if bk.Got != want || bk.Wrong != 0 {
			t.Errorf("book %d has %d of %d, %d wrong", i, bk.Got, want, bk.Wrong)
		}
	}
	t.Logf("sent %v, called %+v", sent, count)
}

func either(ok bool, a, b int64) int64 {
	if ok {
		return a
	}
	return b
}

// foundVictim makes books and a counter in the world that will be killed, and returns the way
// to them.
func foundVictim(t *testing.T, o victimOrder) (texts []caps.SturdyRef) {
	rt, err := sturdy.Open(o.Dir, bookKind, drawerKind)
	must(t, err)
	node, err := rpc.Attach(rt, rpc.Options{Listen: o.Listen})
	must(t, err)
	for i := range 5 {
		made, err := rt.Root().Ensure(t.Context(), fmt.Sprint(i), func(t *sturdy.WriteTurn) caps.Ref {
			if i == 4 {
				return drawerKind.New(t, drawer{})
			}
			return bookKind.New(t, book{Fails: i > 1, Last: make([]int64, 1)})
		})
		must(t, err)
		s, _, err := rt.Save(t.Context(), made, caps.Terms{For: "b"})
		must(t, err)
		texts = append(texts, s)
	}
	must(t, node.Close())
	must(t, rt.Close())
	return texts
}

// serveVictim starts the process and waits until it serves.
func serveVictim(t *testing.T, o victimOrder) *exec.Cmd {
	t.Helper()
	order, err := json.Marshal(o)
	must(t, err)
	command := []string{os.Args[0], "-test.run=^TestVictimChild$", "-test.timeout=60s"}
	if o.Space != "" {
		command = append([]string{"ip", "netns", "exec", o.Space}, command...)
	}
	child := exec.Command(command[0], command[1:]...)
	child.Env = append(os.Environ(), "STURDY_RPC_CHILD="+string(order))
	out, err := child.StdoutPipe()
	must(t, err)
	in, err := child.StdinPipe()
	must(t, err)
	must(t, child.Start())
	t.Cleanup(func() { _ = in.Close(); _ = child.Process.Kill(); _ = child.Wait() }) // most are dead already
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "serves") {
			return child
		}
	}
	t.Fatal("the child does not serve:", lines.Err())
	return nil
}

// allAnswered waits until h has no letters left.
func allAnswered(t *testing.T, h *host) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); ; {
		waits := 0
		for _, err := range h.rt.Activity().Letters(h.ctx()) {
			must(t, err)
			waits++
		}
		if waits == 0 {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%d letters are left", waits)
		}
	}
}
