package console

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
)

func paramsOf(s caps.Shape) []look.Param { return look.Params(s) }

func TestTheNamesOfHelpAreThoseThatRun(t *testing.T) {
	s, out := begin(t, Options{})
	help := run(t, s, out, "help()")
	for _, v := range s.verbs {
		if !strings.Contains(help, "  "+v.name+"(") || s.globals[v.name] == nil {
			t.Errorf("%s is in help or runs, and not both", v.name)
		}
		if got := run(t, s, out, "help("+v.name+")"); !strings.HasPrefix(got, v.name+"(") {
			t.Errorf("help(%s) says %q", v.name, got)
		}
	}
}

func TestHelpIsAlsoOnANameInQuotes(t *testing.T) {
	s, out := begin(t, Options{})
	if got := run(t, s, out, `help("steps")`); got != "steps(th): what is recorded of a thread's steps\n" {
		t.Errorf("it says %q", got)
	}
	if got := run(t, s, out, "help(root.shelf.send)"); !strings.HasSuffix(got, ", delivered later: weigh, store, clear, keep\n") {
		t.Errorf("it says %q", got)
	}
	for src, want := range map[string]string{
		`help("stps")`: `help: there is no function "stps"; steps?`,
		`help("Zug")`:  `help: there is no function "Zug"; help() lists them`,
	} {
		if err := s.Run(t.Context(), "test", src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", src, err)
		}
	}
}

func TestWhoWantsToLeaveLeaves(t *testing.T) {
	s, out := begin(t, Options{})
	for line, want := range map[string]bool{"exit": true, "quit": true, " exit() ": true, "quit()\n": true, "exit(1)": false, "exits": false, "": false, "root": false} {
		if s.Leaves(line) != want {
			t.Errorf("Leaves(%q) is %v", line, !want)
		}
	}
	err := s.Run(t.Context(), "test", "x = exit")
	if err == nil || err.Error() != "undefined: exit; the end of a script, and Ctrl-D at the prompt, leave" {
		t.Error(err)
	}
	run(t, s, out, "exit = 5")
	if s.Leaves("exit") || !s.Leaves("quit") {
		t.Error("a variable leaves")
	}
}

func TestALineThatFailsChangesNoVariable(t *testing.T) {
	s, out := begin(t, Options{})
	run(t, s, out, "a = 1")
	if err := s.Run(t.Context(), "test", "a = 2; b = 3; 1 // 0"); err == nil {
		t.Fatal("it did not fail")
	}
	if got := run(t, s, out, "a"); got != "1\n" {
		t.Errorf("a is %q", got)
	}
	if err := s.Run(t.Context(), "test", "b"); err == nil || !strings.Contains(err.Error(), "undefined: b") {
		t.Errorf("b: %v", err)
	}
}

// cancels is a writer that cancels when the first thing is written.
type cancels struct{ cancel context.CancelFunc }

func (c cancels) Write(p []byte) (int, error) { c.cancel(); return len(p), nil }

func TestALoopWithoutEndCanBeInterrupted(t *testing.T) {
	for _, loop := range []string{
		"while True: pass",
		"[x for x in range(1 << 40)]",
		"sum(range(1 << 40))",
		"top(range(1 << 40), 1)",
		"try_(lambda: sum(range(1 << 40)))",
		"atomically(lambda: sum(range(1 << 40)))",
		"atomically(lambda: [root.shelf.clear() for x in range(1 << 40)])",
	} {
		s, _ := begin(t, Options{Writable: true})
		ctx, cancel := context.WithCancel(t.Context())
		s.Out = cancels{cancel}
		err := s.Run(ctx, "test", "print(1)\n"+loop)
		if err == nil || !strings.HasPrefix(err.Error(), "interrupted   (nothing happened)") {
			t.Errorf("%s: %v", loop, err)
		}
	}
}

func TestAnErrorInTheMiddleOfRowsIsNoEnd(t *testing.T) {
	s, out := begin(t, Options{})
	for _, src := range []string{
		"[k for k in root.shelf]", "list(root.shelf)", "sum(root.shelf)", "for k in root.shelf: pass", "rows(root.rows.range(5))", "sum(root.rows.range(to=5))",
	} {
		err := s.Run(t.Context(), "test", src)
		if err == nil || !strings.Contains(err.Error(), "has no rows") && !strings.Contains(err.Error(), "the keys are of another type") {
			t.Errorf("%s: %v", src, err)
		}
	}
	if got := run(t, s, out, "try_(lambda: list(root.shelf))[1].text"); !strings.Contains(got, "has no rows") {
		t.Errorf("try_ got %q", got)
	}
	if got := run(t, s, out, "sum([v for _, v in root.rows.range()]), len(root.rows), root.rows['0007']"); got != "(3123750, 2500, 7)\n" {
		t.Errorf("afterwards: %q", got)
	}
}

func TestAnErrorSaysWhatBecameOfTheWrites(t *testing.T) {
	s, _ := begin(t, Options{Writable: true})
	for src, want := range map[string]string{
		"root.shelf.keep(1)":                              "no room for 1   (nothing happened)",
		"root.shelf.clear(); root.shelf.keep(1)":          "(nothing happened here; 1 turn before it took effect)",
		"root.shelf.clear(); 1 // 0":                      "floored division by zero   (nothing happened here; 1 turn before it took effect)",
		"atomically(lambda: 1 // 0)":                      "(nothing happened)",
		"root.nothing":                                    "nothing stands under \"nothing\"   (nothing happened)",
		`root.shelf.attenuate("r").clear()`:               "needs w; this reference carries r, deep   (nothing happened)",
		`drop(root, "shlf")`:                              `nothing stands under "shlf"; "shelf"?`,
		`put(root, "", root)`:                             "a name must not be empty",
		"atomically(lambda: sync())":                      "a turn cannot wait",
		"atomically(lambda: kinds())":                     "outside of turns",
		"root.shelf.send.keep(1)":                         "no room for 1   (nothing happened here; 1 turn before it took effect)",
		"root.shelf.send.kep(1)":                          "shelf has no method kep; keep(value)?",
		`root.shelf.attenuate("r").send.clear()`:          "that only reads",
		"root.send.lenn()":                                "directory has no method lenn; len()?",
		"watch(kinds)":                                    "watch: nobody looks on who could end it; times=10 says how often",
		"watch(kinds, times=-1)":                          "watch: times is -1",
		"watch(kinds, every=0, times=1)":                  "watch: every: it wants from 0.01 seconds to a day",
		"watch(kinds, every='2d', times=1)":               "watch: every: it wants from 0.01 seconds to a day",
		"watch(kinds, every=float('nan'))":                "watch: every: it wants from 0.01 seconds to a day",
		"watch(kinds, every=[])":                          `watch: every: it wants a number of seconds or a text like "5s", not the list []`,
		"watch(1)":                                        "watch: for parameter f: got int, want callable",
		"atomically(lambda: watch(kinds, times=1))":       "a turn cannot wait",
		"watch(lambda: 1 // 0, times=1)":                  "floored division by zero",
		"atomically(lambda: settle())":                    "a turn cannot wait",
		"root.shelf[1]":                                   "a shelf has no entries",
		"root.rows['none']":                               "key \"none\" not in ref",
		"root.rows.range(limit=-1)":                       "limit: wants a number of rows",
		"root[1]":                                         "a directory has names, not a int",
		"ls(root.shelf)":                                  "neither directory nor collection",
		`obj("xyz")`:                                      "is no ID",
		"f()":                                             "undefined: f; help() lists what there is",
		"1 +":                                             "syntax: ",
		"load('x', 'y')":                                  "load",
		"{root.rows.range(): 1}":                          "rows cannot be a key",
		"top([1, 'a'])":                                   "not implemented",
		"sum([1, 'a'])":                                   "unknown binary op: int + string",
		"top([root.shelf.store(None, 1, '', [])], key=1)": "invalid call of non-function",
	} {
		err := s.Run(t.Context(), "test", src)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", src, err, want)
		}
		if f := new(Failure); err != nil && (!errors.As(err, &f) || f.Line != 1) {
			t.Errorf("%s: it failed in line %d", src, f.Line)
		}
	}
}

func TestTimesAreToldWhereSomebodyLooksOn(t *testing.T) {
	s, out := begin(t, Options{Writable: true, Timing: true})
	if got := run(t, s, out, "root.shelf.clear(); root.shelf.clear()"); !strings.HasPrefix(got, "2 turns, on disk after ") {
		t.Errorf("after two writes: %q", got)
	}
	if got := run(t, s, out, "atomically(lambda: [root.shelf.clear(), root.shelf.clear()])"); !strings.HasPrefix(got, "1 turn, on disk after ") {
		t.Errorf("after one turn: %q", got)
	}
	if got := run(t, s, out, "atomically(lambda: root.shelf.weigh())"); strings.Contains(got, "turn") {
		t.Errorf("a turn that wrote nothing: %q", got)
	}
}

func TestARefIsAKey(t *testing.T) {
	s, out := begin(t, Options{})
	got := run(t, s, out, `d = {root.shelf: "shelf", root.rows: "rows"}
d[root.shelf], root.shelf == root.shelf, root.shelf == root.rows, root.shelf.attenuate("r") in d`)
	if got != "(\"shelf\", True, False, False)\n" {
		t.Error(got)
	}
}

func TestATextIsIncompleteUntilItsEnd(t *testing.T) {
	for src, want := range map[string]bool{
		"": false, "1": false, "f(": true, "f(\n1": true, "f(\n1)": false, "[1,": true, `"""a`: true, "\"\"\"a\nb\"\"\"": false,
		"def f():": true, "def f():\n  return 1": true, "def f():\n  return 1\n": false, "for x in y:\n  a": true,
		"if x:\n  a\nelse:": true, "a = 1; b = 2": false, "x = \\": true, "1 +": false, ")": false, "# comment": false, "'a": false,
		"def f(): return 1": true, "def f(): return 1\n": false,
	} {
		if got := Incomplete(src); got != want {
			t.Errorf("Incomplete(%q) = %v", src, got)
		}
	}
}

// FuzzIncomplete: every text is complete or can be given up with a few empty lines, and
// running it ends with an answer or an error and no panic.
func FuzzIncomplete(f *testing.F) {
	for _, src := range []string{"def f():\n  return [1,\n2]\n", "f(((", `"""`, "x\\", "root.rows.range()", "help(root)"} {
		f.Add(src)
	}
	s, _ := begin(f, Options{Steps: 1000})
	f.Fuzz(func(t *testing.T, src string) {
		if Incomplete(src) && Incomplete(src+"\n\n)]}'''\"\"\"\n\n") && Incomplete(src+"\n\n") {
			return // brackets inside brackets: there is always more that could close them
		}
		if strings.ContainsAny(src, "*<") {
			return // 'a' * (1 << 30) is a gigabyte in three steps
		}
		_ = s.Run(context.Background(), "fuzz", src)
	})
}

func TestNothingOfAResultIsUnbounded(t *testing.T) {
	s, out := begin(t, Options{})
	for _, src := range []string{"'a' * 1000000", "[['a' * 1000] * 1000] * 1000", "{i: i for i in range(100000)}", "(1,) * 1000000", "b'a' * 1000000", "set(range(100000))"} {
		if got := run(t, s, out, src); len(got) > 50_000 {
			t.Errorf("%s prints %d bytes", src, len(got))
		}
	}
	if v := repr(starlark.String(strings.Repeat("\x1b", 5000)), 100); len(v) > 1000 {
		t.Errorf("escapes: %d bytes", len(v))
	}
}
