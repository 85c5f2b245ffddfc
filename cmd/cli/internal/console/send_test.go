package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestASendSaysWhatItCameTo(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	for _, c := range []struct{ src, want string }{
		{"root.shelf.send.weigh()", "0\n"},
		{"root.shelf.send.clear()", "done\n"},
		{"root.shelf.send.clear().wait()", ""},
		{`root.shelf.send.store(root.shelf, 5, "", [])`, "(to=shelf "},
		{`send(root.shelf, "store", None, 5, "", []).wait().grams`, "5\n"},
		{`send(root, "len").wait()`, "3\n"},
		{"atomically(lambda: root.shelf.send.weigh())", "2\n"},
		{"[root.shelf.send.weigh(), root.shelf.send.weigh()]", "promise "},
		{"try_(root.shelf.send.keep(1).wait)[1].text", "no room for 1"},
		{"p = root.shelf.send.store(root.shelf, 5, '', []); same(p.ref, p.ref)", "True\n"},
	} {
		if got := run(t, s, out, c.src); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s prints %q, want %q", c.src, got, c.want)
		}
	}
}

func TestWhatComesLaterIsSentToItsPromise(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	run(t, s, out, `shelf = root.send.get("shelf").ref; put(root, "later", shelf)`)
	if got := run(t, s, out, `shelf.send.weigh(), shelf.send.keep`); !strings.Contains(got, "promise ") {
		t.Error(got)
	}
	if got := run(t, s, out, `shelf.send.weigh().wait()`); got != "0\n" {
		t.Error(got)
	}
}

func TestASendIsInterrupted(t *testing.T) {
	s, _ := begin(t, Options{Writable: true})
	ctx, cancel := context.WithCancel(t.Context())
	s.Out = cancels{cancel}
	err := s.Run(ctx, "test", "p = root.shelf.send.clear(); print(1); p.wait()")
	if err == nil || !strings.HasPrefix(err.Error(), "interrupted") {
		t.Error(err)
	}
}

func TestWhatActsOutsideIsNoTurn(t *testing.T) {
	s, out := begin(t, Options{Writable: true, Timing: true, Writing: "cmd -w"})
	hang(t, s)
	if got := run(t, s, out, "root.bell.ring(True)"); strings.Contains(got, "turn") || !strings.Contains(got, "ding") {
		t.Errorf("it says %q", got)
	}
	for src, want := range map[string]string{
		"root.bell.ring(False)":                                          "nobody has heard it",
		"root.shelf.clear(); root.bell.ring(False)":                      "nobody has heard it",
		"root.bell.ring(True); root.shelf.keep(1)":                       "no room for 1   (nothing happened here; 1 call outside before it took effect)",
		"root.bell.ring(True); root.shelf.clear(); root.shelf.keep(1)":   "no room for 1   (nothing happened here; 1 turn and 1 call outside before it took effect)",
		"atomically(lambda: [root.shelf.clear(), root.bell.ring(True)])": "a turn cannot wait for what is done outside",
	} {
		err := s.Run(t.Context(), "test", src)
		if err == nil || !strings.Contains(err.Error(), want) || strings.HasSuffix(want, "heard it") && strings.Contains(err.Error(), "happened") {
			t.Errorf("%s: %v; want %q", src, err, want)
		}
	}
	s.Writable = false
	err := s.Run(t.Context(), "test", "root.bell.ring(True)")
	if err == nil || err.Error() != "bell.ring needs x: it acts outside or starts a thread, and this session only reads. To let it, start it with: cmd -w" {
		t.Error(err)
	}
}

func TestAWatchInAScriptPrintsSoOften(t *testing.T) {
	s, out := begin(t, Options{})
	var waits []time.Duration
	s.pause = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	got := run(t, s, out, `n = []
def f():
    n.append(0)
    print("call", len(n))
    return [len(n)] * 2
watch(f, times=3)
watch(mail, every="1m", times=2)`)
	if want := "call 1\n[1, 1]\ncall 2\n[2, 2]\ncall 3\n[3, 3]\nnothing\nnothing\n"; got != want {
		t.Errorf("it printed %q", got)
	}
	if fmt.Sprint(waits) != "[2s 2s 1m0s]" {
		t.Errorf("it waited %v", waits)
	}
}

func TestAWatchIsDrawnOverItselfUntilItIsInterrupted(t *testing.T) {
	s, out := begin(t, Options{Screen: true, Width: 20})
	ctx, cancel := context.WithCancel(t.Context())
	pauses := 0
	s.pause = func(ctx context.Context, _ time.Duration) error {
		if pauses++; pauses == 3 {
			cancel()
		}
		return ctx.Err()
	}
	err := s.Run(ctx, "test", `n = []
def f():
    n.append(0)
    return ["a line that is too long for it", "b"] * [1, 5, 12][len(n) - 1]
watch(f)
print("never")`)
	if err != nil {
		t.Fatal(err)
	}
	frames := strings.Split(out.String(), "\x1b[")
	if len(frames) != 5 || !strings.HasPrefix(frames[1], "2A") || !strings.HasPrefix(frames[3], "10A") {
		t.Errorf("%q", out.String())
	}
	for line := range strings.Lines(out.String()) {
		if line = line[strings.LastIndexByte(line, 'J')+1:]; len([]rune(line)) > 21 {
			t.Errorf("a line of %d: %q", len([]rune(line)), line)
		}
	}
	if last := frames[len(frames)-1]; strings.Count(last, "\n") != 21 || strings.Contains(out.String(), "never") {
		t.Errorf("at last: %q", last)
	}
}

func TestALongPictureOfAWatchIsCut(t *testing.T) {
	s, out := begin(t, Options{Screen: true})
	s.pause = func(context.Context, time.Duration) error { return errors.New("never") }
	got := run(t, s, out, `watch(lambda: print("x\n" * 50), times=1)`)
	if strings.Count(got, "\n") != maxFrame || !strings.HasSuffix(got, "\n…\n") {
		t.Errorf("%q", got)
	}
}
