package sturdy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// TestSendCrashChild is the child: it does nothing in an ordinary run.
func TestSendCrashChild(t *testing.T) {
	var o killOrder
	if json.Unmarshal([]byte(os.Getenv("STURDY_SEND_CHILD")), &o) != nil {
		t.Skip("only as a child of TestKilledWhileSendingTheLedgerHolds")
	}
	files := &deadly{FS: objstore.OSFiles(o.Dir), order: o}
	rt, err := sturdy.Options{Files: files, Kinds: ledgerKinds(false)}.Open()
	must(t, err)
	files.armed.Store(true)
	var busy sync.WaitGroup
	for c := range clerks {
		busy.Go(func() {
			chance, acked := rand.New(rand.NewPCG(rand.Uint64(), 0)), make([]int64, len(desks))
			for {
				clerkTurn(rt, chance, c, acked)
				line, _ := json.Marshal(acked)
				fmt.Println("ack", c, string(line))
			}
		})
	}
	busy.Wait()
}

func TestKilledWhileSendingTheLedgerHolds(t *testing.T) {
	dir := t.TempDir() + "/world"
	rt, err := sturdy.Open(dir, ledgerKinds(true)...)
	must(t, err)
	must(t, foundDesks(rt))
	must(t, rt.Close())
	rt, err = sturdy.Open(dir, ledgerKinds(false)...)
	must(t, err)
	must(t, promiseDesk(rt))
	must(t, rt.Close())
	chance := rand.New(rand.NewPCG(seedOf(t), 4))
	var acked [clerks][]int64
	for i, o := range orders(dir, chance)[:9] {
		if o.Point == "close" {
			o.Point = ""
		}
		o.Times = chance.IntN(40)
		sendLoad(t, o, &acked)
		rt, err := sturdy.Open(dir, ledgerKinds(false)...)
		must(t, err)
		_, err = rt.Settle(t.Context())
		must(t, err)
		audit(t, rt, false, acked)
		must(t, rt.Check(t.Context()))
		must(t, rt.Close())
		if t.Failed() {
			t.Fatalf("kill %d, at %+v", i, o)
		}
	}
	rt, err = sturdy.Open(dir, ledgerKinds(true)...)
	must(t, err)
	defer rt.Close()
	_, err = rt.Settle(t.Context())
	must(t, err)
	audit(t, rt, true, acked)
	t.Logf("acknowledged by clerk and desk: %v", acked)
}

// sendLoad runs one child until it is dead, and notes what it has acknowledged.
func sendLoad(t *testing.T, o killOrder, acked *[clerks][]int64) {
	order, err := json.Marshal(o)
	must(t, err)
	child := exec.Command(os.Args[0], "-test.run=^TestSendCrashChild$", "-test.timeout=60s")
	child.Env = append(os.Environ(), "STURDY_SEND_CHILD="+string(order))
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	acks, lines := 0, bufio.NewScanner(out)
	for lines.Scan() {
		text, c, more := lines.Text(), 0, [clerks][]int64{}
		if _, err := fmt.Sscanf(text, "ack %d", &c); err != nil || !strings.HasSuffix(text, "]") {
			continue
		}
		must(t, json.Unmarshal([]byte(text[strings.Index(text, "["):]), &more[c]))
		noteAcked(acked, more)
		if acks++; acks > 10*o.Times && o.Point == "" || acks > 500 { // some points are seldom come to
			_ = child.Process.Kill()
		}
	}
	_ = child.Wait() // it was killed, which is an error to Wait
}
