package text_test

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

func TestWhatATerminalMightObeyIsEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode 漢字":     "plain ünïcode 漢字",
		"\x1b[2J":              `\x1b[2J`,
		"a\tb\r":               `a\tb\r`,
		"right\u202eleft":      `right\u202eleft`,
		"\xff broken":          `\xff broken`,
		"\U000e0041":           `\U000e0041`,
		"two\nlines":           "two\nlines",
		"\u009b31m, one of C1": `\u009b31m, one of C1`,
		"the real \ufffd":      `the real ` + "\ufffd",
	} {
		if got := text.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := text.Line("two\nlines"); got != `two\nlines` {
		t.Errorf("Line leaves a line feed: %q", got)
	}
}

// FuzzClean: nothing that does not print comes out, and what prints is left alone.
func FuzzClean(f *testing.F) {
	f.Add("\x1b]0;title\a")
	f.Add("\xc2")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range text.Line(s) {
			if !unicode.IsPrint(r) {
				t.Fatalf("Line(%q) holds %q", s, r)
			}
		}
		if again := text.Clean(text.Clean(s)); again != text.Clean(s) {
			t.Fatalf("Clean(%q) changes when it is cleaned again", s)
		}
		if cut := text.Cut(text.Line(s), 10); text.Width(cut) > 10 {
			t.Fatalf("Cut(%q) is %d wide: %q", s, text.Width(cut), cut)
		}
	})
}

func TestColumnsStandBelowEachOther(t *testing.T) {
	got := text.Table([][]string{{"name", "n"}, {"漢字", "7"}, {"a long name", "1000"}, {"short"}}, 0, 1)
	want := "name            n\n" +
		"漢字            7\n" +
		"a long name  1000\n" +
		"short\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for line := range strings.Lines(text.Table([][]string{{"name", strings.Repeat("x", 50)}}, 20)) {
		if line != "name  xxxxxxxxxxxxx…\n" {
			t.Errorf("a line that is too wide is %q", line)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -100: "-100", 1204331: "1,204,331"} {
		if got := text.Int(n); got != want {
			t.Errorf("Int(%d) = %s", n, got)
		}
	}
	for got, want := range map[string]string{
		text.Count(1, "turn"): "1 turn", text.Count(2000, "turn"): "2,000 turns", text.Count(0, "entry"): "0 entries",
		text.Took(640 * time.Microsecond): "640 µs", text.Took(1940 * time.Microsecond): "1.9 ms",
		text.Took(23 * time.Millisecond): "23 ms", text.Took(2 * time.Minute): "120 s",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestASlipOfThePenIsUnderstood(t *testing.T) {
	names := []string{"deposit", "withdraw", "to"}
	for typed, want := range map[string]string{
		"depoist": "deposit", "deposi": "deposit", "ddeposit": "deposit", "DEPOSIT": "deposit",
		"withdrew": "withdraw", "transfer": "", "x": "", "TO": "to", "": "",
	} {
		if got := text.Near(typed, names); got != want {
			t.Errorf("Near(%q) = %q, want %q", typed, got, want)
		}
	}
}
