package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/examples/internal/programtest"
	"github.com/sturdyrt/sturdy/examples/orders"
)

var seed = flag.Uint64("seed", rand.Uint64(), "of what is chosen at random")

// TestMain is the program itself where a test has started it as such.
func TestMain(m *testing.M) {
	programtest.Main(m, inWorld, func(dir string) error { return run(context.Background(), dir, os.Stdout) })
}

const inWorld = "ORDERS_DEMO_WORLD"

func told(t *testing.T, dir string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), dir, &out); err != nil {
		t.Fatalf("%v, after\n%s", err, &out)
	}
	return out.String()
}

// asked hides how often the bank was asked: once more for each kill at the wrong moment.
var asked = regexp.MustCompile(`asked \d+ times`)

// The README shows how each order ends, and the sums.
func TestTheReadmeTellsTheSameEnd(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := asked.ReplaceAllString(string(text), "asked")
	dir := filepath.Join(t.TempDir(), "world")
	first, second := told(t, dir), told(t, dir)
	for line := range strings.Lines(asked.ReplaceAllString(second, "asked")) {
		if !strings.Contains(readme, "    "+line) {
			t.Errorf("README.md does not have: %s", line)
		}
	}
	if n := strings.Count(second, "\n"); n != 3+len(customers()) || strings.Count(first, "says yes") != 4 {
		t.Errorf("at first:\n%sand then:\n%s", first, second)
	}
	balanced(t, dir)
}

// The program is killed at random moments, until it is let run to its end. What the customers
// wanted may fail because of that, as time goes on meanwhile; but goods and money must be
// right whatever happens.
func TestKilledAtRandomMoments(t *testing.T) {
	for n := range uint64(4) {
		t.Run(fmt.Sprintf("world %d", n), func(t *testing.T) {
			t.Parallel()
			t.Log("seed", *seed)
			r := rand.New(rand.NewPCG(*seed, n))
			dir := filepath.Join(t.TempDir(), "world")
			all := ""
			for range 7 {
				all += kill(t, dir, time.Duration(r.IntN(600))*time.Millisecond)
			}
			all += told(t, dir)
			balanced(t, dir)
			if t.Failed() {
				t.Log(all)
			}
		})
	}
}

// kill starts the program, kills it after a while, and returns what it said.
func kill(t *testing.T, dir string, after time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	cmd := programtest.Command(ctx, inWorld, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output() // an error: it was killed
	if err != nil && ctx.Err() == nil {
		t.Errorf("it ended by itself: %v", err)
	}
	return string(out)
}

// balanced fails unless every order has ended, what is gone is what was shipped, and each
// shipped order was charged once and the others for nothing.
func balanced(t *testing.T, dir string) {
	t.Helper()
	s, err := open(dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var want orders.Shelf
	var cents int64
	for _, c := range customers() {
		o, _, err := s.find(t.Context(), c.name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := o.Status(t.Context())
		if !p.Ended() || err != nil {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
		if p.State == orders.Shipped {
			want.Gone, cents = want.Gone+c.n, cents+c.cents
		}
	}
	want.Free = tea - want.Gone
	ref, err := s.rt.Root().Get(t.Context(), "stock")
	if err != nil {
		t.Fatal(err)
	}
	if shelf, err := (orders.Stock{Ref: ref}).Look(t.Context(), "tea"); shelf != want || err != nil {
		t.Errorf("the shelf has %+v, %v; it should have %+v", shelf, err, want)
	}
	s.bank.audited(t, cents)
	if err := s.rt.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// audited fails unless each key was charged at most once, and so much was kept.
func (l *ledger) audited(t *testing.T, cents int64) {
	t.Helper()
	times := map[[2]string]int{}
	for _, e := range l.entries {
		if times[[2]string{e.What, e.Key}]++; times[[2]string{e.What, e.Key}] > 1 && e.What != "asked" {
			t.Errorf("%s twice: %s", e.What, e.Key)
		}
		switch e.What {
		case "charged":
			cents -= e.Cents
		case "refunded":
			cents += e.Cents
		}
	}
	if cents != 0 {
		t.Errorf("%d cents were kept too little", cents)
	}
}
