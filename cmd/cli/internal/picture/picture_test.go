package picture

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func now() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

// hostile are purposes that want to be something else.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"/><script href="x"/>`, `]]><!--`, `&lt;&amp;&#60;`, "line\nfeed\r", "esc\x1b[31m", "nul\x00", "\u202eevil\u202c",
		"\xff\xfe not UTF-8", "\ufffe\uffff", strings.Repeat("long ", 100), `\l\N\G\"];x->y;`, "' onload='x", "\u200b\u2028\u00a0", "e" + strings.Repeat("\u0301", 200), "עברית", "日本語の長い目的が書いてある長い長い長いラベル",
	}
}

// wood is a graph with everything: two objects, a membrane, a revoked grant with one below,
// one that has run out, and one below two.
func wood(label string) []sturdy.GrantInfo {
	g := func(id string, above ...string) sturdy.GrantInfo {
		return sturdy.GrantInfo{ID: id, Object: "account 9", Rights: "rw", For: label, By: label, Above: above, Since: now(), Alive: true}
	}
	list := []sturdy.GrantInfo{g("a"), g("b", "a"), g("c", "b"), g("d", "a"), g("e", "c", "d"), g("f"), g("10", "f", "e")}
	list[1].Revoked, list[1].Alive = now(), false
	list[2].Alive = false
	list[3].Until, list[3].Alive = now().Add(-time.Hour), false
	list[5].Deep, list[5].Object = true, "directory 3"
	list[6].Only = []string{"balance", label}
	return list
}

// element is what a reader of XML finds.
type element struct {
	name, text string
	attrs      map[string]string
}

func elements(t *testing.T, svg string) (list []element) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	d.Strict = true
	inside := false
	for {
		token, err := d.Token()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			list, inside = append(list, e), true
		case xml.EndElement:
			inside = false
		case xml.CharData:
			if inside {
				list[len(list)-1].text += string(token)
			}
		case xml.Comment, xml.ProcInst, xml.Directive:
			t.Errorf("there is a %T", token)
		}
	}
}

func TestNoPurposeIsMoreThanTextInTheSVG(t *testing.T) {
	var plain []element
	for i, label := range append([]string{"auditor"}, hostile()...) {
		got := elements(t, New(wood(label), 3, now()).SVG())
		if i == 0 {
			plain = got
		}
		if len(got) != len(plain) {
			t.Fatalf("with %q there are %d elements, not %d", label, len(got), len(plain))
		}
		for j, e := range got {
			if e.name != plain[j].name || fmt.Sprint(e.attrs) != fmt.Sprint(plain[j].attrs) {
				t.Errorf("with %q element %d is %v, not %v", label, j, e, plain[j])
			}
			if !strings.Contains("svg title rect path g text", e.name) {
				t.Errorf("there is a %s", e.name)
			}
			for _, c := range e.text {
				if !unicode.IsPrint(c) && c != '\n' {
					t.Errorf("%q brings in %q", label, c)
				}
			}
			if e.name == "text" && strings.Contains(e.text, "long long long long long long long long") {
				t.Errorf("%q is not cut", e.text)
			}
		}
	}
}

func TestNoPurposeEndsALabelOfGraphviz(t *testing.T) {
	lines := strings.Count(New(wood("auditor"), 0, now()).Dot(), "\n")
	for _, label := range hostile() {
		dot := New(wood(label), 0, now()).Dot()
		if n := strings.Count(dot, "\n"); n != lines {
			t.Errorf("with %q there are %d lines, not %d", label, n, lines)
		}
		for line := range strings.Lines(dot) {
			unquoted := unquote(t, line)
			if strings.ContainsAny(unquoted, `;<\&`) {
				t.Errorf("%q leaves the quotes: %s", label, line)
			}
		}
	}
}

// unquote is line without what stands in quotes, read as Graphviz reads it.
func unquote(t *testing.T, line string) string {
	t.Helper()
	var out strings.Builder
	in := false
	for i := 0; i < len(line); i++ {
		switch {
		case in && line[i] == '\\':
			i++
			if !strings.ContainsRune(`\"l`, rune(line[i])) {
				t.Errorf("an escape \\%c in %s", line[i], line)
			}
		case line[i] == '"':
			in = !in
		case !in:
			out.WriteByte(line[i])
		}
	}
	if in {
		t.Errorf("a quote is open in %s", line)
	}
	return out.String()
}

func TestATreeOfTextHasALineForEachGrant(t *testing.T) {
	want := strings.Join([]string{
		`account 9`,
		`└─ grant a  rw  all methods  until revoked  for "auditor"`,
		`   ├─ grant b  rw  all methods  revoked now  for "auditor"`,
		`   │  └─ grant c  rw  all methods  dead: a grant above it is  for "auditor"`,
		`   │     └─ grant e  rw  all methods  until revoked  also below d  for "auditor"`,
		`   │        └─ grant 10  rw  only balance, auditor  until revoked  also below f  for "auditor"`,
		`   └─ grant d  rw  all methods  ran out 60m ago  for "auditor"`,
		`directory 3`,
		`└─ grant f  rw, membrane  all methods  until revoked  for "auditor"`,
		`12 grants more not drawn`,
		``,
	}, "\n")
	if got := New(wood("auditor"), 12, now()).Text(); got != want {
		t.Errorf("it is\n%s", got)
	}
	for _, label := range hostile() {
		text := New(wood(label), 12, now()).Text()
		if n := strings.Count(text, "\n"); n != strings.Count(want, "\n") {
			t.Errorf("with %q there are %d lines", label, n)
		}
		for _, c := range text {
			if !unicode.IsPrint(c) && c != '\n' {
				t.Errorf("%q brings in %q", label, c)
			}
		}
	}
	if got := New(nil, 0, now()).Text(); got != "no grants\n" {
		t.Errorf("without any it is %q", got)
	}
}

func TestAGrantBelowSeveralIsDrawnOnceWithAnEdgeFromEach(t *testing.T) {
	g := New(wood("auditor"), 0, now())
	texts, edges := map[string]int{}, 0
	for _, e := range elements(t, g.SVG()) {
		if e.name == "text" {
			texts[e.text]++
		}
		if e.name == "path" {
			edges++
		}
	}
	if texts["grant 10 on account 9"] != 1 || texts["grant e on account 9"] != 1 || edges != 9 {
		t.Errorf("%d edges, boxes %v", edges, texts)
	}
	dot := g.Dot()
	if n := strings.Count(dot, " -> "); n != 9 {
		t.Errorf("%d edges in %s", n, dot)
	}
}

func TestRevokedDeadAndMembranesLookIt(t *testing.T) {
	struck, frames := map[string]bool{}, 0
	list := elements(t, New(wood("auditor"), 0, now()).SVG())
	for i, e := range list {
		if e.attrs["text-decoration"] == "line-through" {
			struck[e.text] = true
		}
		if e.name == "rect" && list[i-1].name == "rect" && i > 3 {
			frames++
		}
	}
	if !struck["grant b on account 9"] || struck["grant c on account 9"] || struck["grant d on account 9"] || frames != 1 {
		t.Errorf("struck through: %v; double frames: %d", struck, frames)
	}
}

func TestBoxesDoNotOverlap(t *testing.T) {
	roots, all := New(wood("auditor"), 0, now()).boxes()
	columns, rows := place(roots)
	type spot struct{ column, row int }
	seen := map[spot]*box{}
	for _, b := range all {
		for _, up := range b.above {
			if up.column >= b.column {
				t.Errorf("%s is not right of %s", b.title, up.title)
			}
		}
		at := spot{b.column, int(b.row * 2)}
		for d := -1; d <= 1; d++ {
			if o := seen[spot{at.column, at.row + d}]; o != nil {
				t.Errorf("%s lies on %s", b.title, o.title)
			}
		}
		seen[at] = b
		if b.column >= columns || b.row >= float64(rows) {
			t.Errorf("%s stands outside", b.title)
		}
	}
}

func TestADamagedWorldMakesNoCircle(t *testing.T) {
	list := []sturdy.GrantInfo{{ID: "a", Above: []string{"b", "a", "zz"}}, {ID: "b", Above: []string{"a", "a"}}, {ID: "b"}, {ID: "no number"}}
	g := New(list, 0, now())
	for _, s := range []string{g.Text(), g.Dot(), g.SVG()} {
		if strings.Count(s, "grant b") == 0 {
			t.Errorf("grant b is lost: %s", s)
		}
	}
	elements(t, g.SVG())
}
