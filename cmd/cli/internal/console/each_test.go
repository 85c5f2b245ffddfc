package console

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// gate is an object that lets its callers through when so many are there.
type gate struct{ N int64 }

const enter caps.Method[caps.Done, int64] = "enter"

// gates begins a session in a world with three of them, which open when n have come.
func gates(t testing.TB, n int) (*Session, *bytes.Buffer) {
	came, open := make(chan bool), make(chan bool)
	entering := func(ctx context.Context, g gate, _ caps.Done) (int64, error) {
		select {
		case came <- true:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		select {
		case <-open:
			return g.N, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		for range n {
			select {
			case <-came:
			case <-ctx.Done():
				return
			}
		}
		close(open)
	}()
	kind := sturdy.Define("test.example/gate", sturdy.Outside(enter, entering))
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{kind, shelfKind}, Log: slog.New(slog.DiscardHandler)}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	err = rt.Update(context.Background(), func(turn *sturdy.WriteTurn) error {
		d := sturdy.NewDirectory(turn)
		for i, name := range []string{"a", "b", "c"} {
			if err := d.Put(turn, name, kind.New(turn, gate{int64(i)})); err != nil {
				return err
			}
		}
		if err := rt.Root().Put(turn, "shelf", shelfKind.New(turn, shelf{})); err != nil {
			return err
		}
		return rt.Root().Put(turn, "gates", d.Ref)
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	return New(Options{Runtime: rt, Out: &out, Writable: true}), &out
}

func TestEachCallsSoManyAtOnce(t *testing.T) {
	s, out := gates(t, 3)
	got := run(t, s, out, "seen = []\ndef f(g):\n    n = g.enter()\n    seen.append(n)\n    return n\n\neach(root.gates, f, parallel=3, timeout=100)")
	if got != "of  result\na        0\nb        1\nc        2\n" {
		t.Errorf("it says %q", got)
	}
	if got := run(t, s, out, "sorted(seen)"); got != "[0, 1, 2]\n" {
		t.Errorf("it says %q", got)
	}
}

func TestEachWaitsForNoneLongerThanAsked(t *testing.T) {
	s, out := gates(t, 4) // and there are three
	got := run(t, s, out, "r = each(root.gates, lambda g: g.enter(), parallel=2, timeout=0.1)\n[(x.of, x.result, x.error[:23]) for x in r]")
	if strings.Count(got, `"not done within 100ms`) != 3 || strings.Count(got, "None") != 3 {
		t.Errorf("it says %q", got)
	}
	if s.crowd != nil || s.inTurn {
		t.Error("the session is still within each")
	}
}

func TestAnInterruptEndsEach(t *testing.T) {
	s, _ := gates(t, 3)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	err := s.Run(ctx, "test", "each(root.gates, lambda g: g.enter())")
	if err == nil || !strings.HasPrefix(err.Error(), interrupted) {
		t.Errorf("it ends with %v", err)
	}
}

func TestEachCountsWhatItWrote(t *testing.T) {
	s, out := gates(t, 3)
	s.Timing = true
	got := run(t, s, out, "each([root.shelf for _ in range(20)], lambda x: x.clear(), parallel=5)")
	if !strings.Contains(got, "20 turns, on disk after ") {
		t.Errorf("it says %q", got)
	}
	s.Writable, s.Writing = false, "sturdy repl -w w"
	if got := run(t, s, out, "each([root.shelf], lambda x: x.clear())[0].error"); !strings.Contains(got, "start it with: sturdy repl -w w") {
		t.Errorf("it says %q", got)
	}
}

func TestStructsWithTheSameFieldsAreColumns(t *testing.T) {
	s, out := gates(t, 3)
	got := run(t, s, out, `each({"a": 1, "b": 0}, lambda n: describe(root.shelf) if n else fail("no"))`)
	if !strings.HasPrefix(got, "of  id ") || !strings.Contains(got, "\nb   - ") || !strings.HasSuffix(got, "\n    fail: no\n") {
		t.Errorf("it says %q", got)
	}
	for src, want := range map[string]string{
		"each({'a': 1}, 2)":                      "want callable",
		"each(5, lambda x: x)":                   "want iterable",
		"each(range(20000), lambda x: x)":        "each: more than 10,000 at once",
		"each([1], lambda x: x, timeout='soon')": "each: timeout: ",
		"each([1], lambda x: x, parallel=-1)":    "each: parallel is -1",
	} {
		fails(t, s, src, want)
	}
}
