package console

import (
	"slices"
	"strings"
	"testing"
)

func TestATabKnowsWhatComesNext(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	run(t, s, out, "shelf = root.shelf; p = shelf.store(None, 1, '', []); g = grant(shelf); u = save(shelf); sent = shelf.send.weigh()")
	for line, want := range map[string][]string{
		"roo":                          {"root"},
		"ro":                           {"root", "rows"},
		"x = she":                      {"shelf"},
		"root.":                        {"root.inner", "root.rows", "root.shelf"},
		"root.s":                       {"root.shelf"},
		`root["sh`:                     nil,
		`root["shelf"].w`:              {`root["shelf"].weigh(`},
		"shelf.":                       {"shelf.weigh(", "shelf.store(", "shelf.clear(", "shelf.keep(", "shelf.attenuate(", "shelf.send."},
		"shelf.send.cl":                {"shelf.send.clear("},
		"shelf.send.store(n":           {"note=", "notes="},
		"sent.w":                       {"sent.wait"},
		"watch(mail, ti":               {"times="},
		"tim":                          {"time", "timers"},
		"[shelf.cl":                    {"shelf.clear("},
		"shelf.store(":                 {"to=", "grams=", "note=", "notes="},
		"shelf.store(n":                {"note=", "notes="},
		"shelf.store(to=root.inner, g": {"grams="},
		"shelf.store(to=root.i":        {"root.inner"},
		"shelf.store(root.rows[1], g":  {"grams="},
		"shelf.store(f(1)[2], 'x', g":  {"grams="},
		"shelf.store(to=roo":           {"root"},
		"p.g":                          {"p.grams"},
		"root.inner.":                  nil,
		"'a string with roo":           nil,
		"# a comment with roo":         nil,
		"nothing.x":                    nil,
		"root.shelf.weigh().":          nil,
		"":                             nil,
		"a\nroot.sh":                   {"root.shelf"},
		"atom":                         {"atomically"},
		"grant(shelf, ":                {"to=", "until=", "only=", "deep="},
		"save(shelf, to='x', u":        {"until="},
		"grant(roo":                    {"root"},
		"ls(roo":                       {"root"},
		"g.re":                         {"g.ref"},
		"g.ref.cl":                     {"g.ref.clear("},
		"u.re":                         {"u.reveal"},
		"u.a":                          {"u.attenuate", "u.at"},
		"rev":                          {"reversed", "revoke"},
	} {
		_, list := s.Complete(t.Context(), line)
		var got []string
		for _, c := range list {
			got = append(got, c.Text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q goes on with %q, want %q", line, got, want)
		}
	}
}

// FuzzWordAt: the word is the end of the line, its last part the end of the word, and
// completing runs into nothing that panics.
func FuzzWordAt(f *testing.F) {
	for _, line := range []string{`root["a"].b.c`, "f(x, y=z.", "'''", `a["`, "])}", "a..b", "ä.ö", "# x", `x["a\"].`, "1.5.x"} {
		f.Add(line)
	}
	s, _ := begin(f, Options{})
	f.Fuzz(func(t *testing.T, line string) {
		w := wordAt(line)
		if w.open {
			return
		}
		if !strings.HasSuffix(line, w.text) || !strings.HasSuffix(w.text, w.last) {
			t.Fatalf("wordAt(%q) = %+v", line, w)
		}
		typed, list := s.Complete(t.Context(), line)
		for _, c := range list {
			if !strings.HasPrefix(c.Text, strings.TrimSuffix(typed, w.last)) {
				t.Fatalf("%q: %q does not go on from %q", line, c.Text, typed)
			}
		}
	})
}
