package rpc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
)

// Two network namespaces with one cable between them: what a proxy in the same process cannot
// show, packets that go nowhere while both kernels believe in the connection, and a host whose
// address has gone.
const (
	wireNear  = "10.77.0.2/24"
	wireFirst = "10.77.0.1" // of the host that is called, until it moves
	wireThen  = "10.77.0.3"
	wirePort  = ":7070"
	wireSpace = "STURDY_RPC_NAMESPACES" // the near and the far namespace, for the child
)

// ip runs the command ip.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// laid makes two namespaces and the cable between them.
func laid(t *testing.T) (near, far string) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("network namespaces are for root on Linux")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no command ip; it comes with iproute2")
	}
	near, far = fmt.Sprintf("sturdy-n%d", os.Getpid()), fmt.Sprintf("sturdy-f%d", os.Getpid())
	for _, name := range []string{near, far} {
		if err := ip("netns", "add", name); err != nil {
			t.Skip("no network namespace can be made here:", err)
		}
		t.Cleanup(func() { must(t, ip("netns", "del", name)) })
	}
	must(t, ip("link", "add", "near", "netns", near, "type", "veth", "peer", "name", "far", "netns", far))
	must(t, ip("-n", near, "addr", "add", wireNear, "dev", "near"))
	must(t, ip("-n", far, "addr", "add", wireFirst+"/24", "dev", "far"))
	for _, end := range [][2]string{{near, "near"}, {near, "lo"}, {far, "far"}, {far, "lo"}} {
		must(t, ip("-n", end[0], "link", "set", end[1], "up"))
	}
	return near, far
}

func TestHostsGoOnOverANetworkThatFails(t *testing.T) {
	near, far := laid(t)
	child := exec.Command("ip", "netns", "exec", near, os.Args[0], "-test.run=^TestNamespaceChild$", "-test.timeout=120s", "-test.v")
	child.Env = append(os.Environ(), wireSpace+"="+near+" "+far, fmt.Sprintf("STURDY_SEED=%d", seedOf(t)))
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestNamespaceChild is the child: it does nothing in an ordinary run. The host that it calls
// is a child of its own, in the other namespace.
func TestNamespaceChild(t *testing.T) {
	_, far, ok := strings.Cut(os.Getenv(wireSpace), " ")
	if !ok {
		t.Skip("only as a child of TestHostsGoOnOverANetworkThatFails")
	}
	chance := rand.New(rand.NewPCG(seedOf(t), 6))
	o := victimOrder{Dir: filepath.Join(t.TempDir(), "w"), Space: far}
	texts := foundVictim(t, o)
	o.Listen = wirePort
	b := newHost(t, rpc.Options{Limits: rpc.Limits{Idle: time.Second, Handshake: time.Second}})
	serveVictim(t, o)
	books, counter := make([]caps.Ref, 4), caps.Ref{}
	for i, s := range texts {
		r := b.opens(s.At(wireThen + wirePort).At(wireFirst + wirePort))
		if i < len(books) {
			books[i] = r
		} else {
			counter = r
		}
	}
	sent, count := int64(0), tally{}
	for round := range 6 {
		for range 20 + chance.IntN(100) {
			sent++
			for _, bk := range books {
				bookTake.Send(b.ctx(), bk, entry{0, sent})
			}
		}
		heal := fails(t, far, round, chance)
		for range 3 {
			count.note(t, callWithin(t, counter, 700*time.Millisecond))
		}
		heal()
	}
	allAnswered(t, b)
	if n := tallyOf(t, counter); n < count.sure || n > count.sure+count.maybe {
		t.Errorf("%d counted, of %+v", n, count)
	}
	for i, r := range books {
		bk, err := bookLook.Call(b.ctx(), r)
		must(t, err)
		if bk.Got != either(bk.Fails, sent/2, sent) || bk.Wrong != 0 {
			t.Errorf("book %d has %d of %d, %d wrong", i, bk.Got, sent, bk.Wrong)
		}
	}
	t.Logf("sent %d to each, called %+v", sent, count)
}

// fails breaks the network; heal mends it. It fails in another way in each round: the cable is
// out for a moment, or for longer than a host may be silent, or the host moves.
func fails(t *testing.T, far string, round int, chance *rand.Rand) (heal func()) {
	if round == 3 {
		must(t, ip("-n", far, "addr", "del", wireFirst+"/24", "dev", "far"))
		must(t, ip("-n", far, "addr", "add", wireThen+"/24", "dev", "far"))
		return func() {}
	}
	must(t, ip("-n", far, "link", "set", "far", "down"))
	out := time.Duration(chance.IntN(300)) * time.Millisecond
	if round%2 == 1 {
		out += 2 * time.Second // longer than Idle
	}
	mended := time.After(out)
	return func() {
		<-mended
		must(t, ip("-n", far, "link", "set", "far", "up"))
	}
}

// callWithin calls counter, and complains if that takes much longer than it may.
func callWithin(t *testing.T, counter caps.Ref, d time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	begun := time.Now()
	_, err := deskAdd.Call(ctx, counter, 1)
	if took := time.Since(begun); took > d+10*time.Second {
		t.Errorf("a call that may take %v took %v: %v", d, took, err)
	}
	return err
}
