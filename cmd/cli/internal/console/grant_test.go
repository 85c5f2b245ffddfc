package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
)

// tagOf is the part of a sturdy ref that is secret.
func tagOf(t *testing.T, s *Session, name string) string {
	t.Helper()
	text := s.globals[name].(*sturdyValue).ref.Reveal()
	return text[strings.LastIndexByte(text, '/')+1:]
}

func TestASturdyRefIsShownByTheStatementThatMakesItOnly(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	run(t, s, out, `u = save(root.shelf, to="web")`)
	tag := tagOf(t, s, "u")
	for _, src := range []string{
		"u", "_", "[u]", "(u, u)", "{1: u}", "print(u)", "str(u)", "repr(u)", `"%s %r" % (u, u)`, `"{}".format(u)`, "ls", "u.grant", "help(u)", "type(u)", "dir(u)", "[u.attenuate('r')]",
		"u.attenuate('r')", "u.only('weigh')", "u.until('1d')", "grants()", "tree()", "who(root.shelf)", "describe(u.grant)", "state(u.grant)", "rows([u])", "top([1], key=lambda x: x)", "restore(u)", "try_(lambda: u)",
	} {
		if got := run(t, s, out, src); strings.Contains(got, tag) {
			t.Errorf("%s prints %q", src, got)
		}
	}
	for _, src := range []string{
		"{u: 1}", "root[u]", "u.nothing", "u + 1", "u < u", "fail(u)", "1 // u", "root.shelf.keep(u)", "put(root, u, root)", "put(root, u.reveal, root)", "grant(root, to=u)", "obj(u)",
		"revoke(u).x", "sum([u])", "top([u, u])", "restore(u, 1)", "load(u)", "int(u)", "rows(u)", "u()",
	} {
		err := s.Run(t.Context(), "test", src)
		if err == nil {
			t.Errorf("%s runs", src)
		} else if strings.Contains(err.Error(), tag) || strings.Contains(out.String(), tag) {
			t.Errorf("%s: %v", src, err)
		}
	}
	v := s.globals["u"]
	for _, printed := range []string{fmt.Sprint(v), fmt.Sprintf("%+v %#v %q %d", v, v, v, v)} {
		if strings.Contains(printed, tag) {
			t.Errorf("Go prints %s", printed)
		}
	}
	if b, err := json.Marshal(v); strings.Contains(string(b), tag) {
		t.Errorf("JSON is %s, %v", b, err)
	}
	if got := run(t, s, out, "u.reveal()"); !strings.Contains(got, tag) {
		t.Errorf("reveal shows %q", got)
	}
	got := run(t, s, out, `save(root.shelf)`)
	if tag := tagOf(t, s, "_"); !strings.Contains(got, tag) {
		t.Errorf("save shows %q", got)
	}
	if got := run(t, s, out, `u = save(root.shelf); u`); strings.Contains(got, tagOf(t, s, "u")) {
		t.Errorf("the next statement shows %q", got)
	}
}

func TestAReadingSessionMakesNoRecord(t *testing.T) {
	writer, out := begin(t, Options{Writable: true})
	run(t, writer, out, `u = save(root.shelf); weak = u.only("weigh"); used = u.until("1d"); restore(used)`)
	s := New(Options{Runtime: writer.Runtime, Out: out, Writing: "with -w"})
	for _, name := range []string{"u", "weak", "used"} {
		v := *writer.globals[name].(*sturdyValue)
		v.s = s
		s.globals[name] = &v
	}
	before := run(t, s, out, "len(grants())")
	for src, want := range map[string]string{
		"grant(root.shelf)":                          "grant writes, and this session only reads. To write, start it with: with -w",
		"save(root.shelf)":                           "save writes, and this session only reads",
		"revoke(u)":                                  "revoke writes, and this session only reads",
		"restore(weak)":                              "for the first time writes, and this session only reads",
		"atomically(lambda: restore(weak))":          "for the first time writes, and this session only reads",
		`restore("sturdy://")`:                       "not a sturdy ref",
		`restore(u.until("1d").reveal() + "a")`:      "not a sturdy ref",
		`atomically(lambda: grant(root.shelf).ref)`:  "grant writes, and this session only reads",
		`try_(lambda: revoke(grants()[0]))[1].items`: "it has no field items",
	} {
		if err := s.Run(t.Context(), "test", src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", src, err, want)
		}
	}
	for _, src := range []string{"restore(u).weigh()", "restore(used).weigh()", `restore(u.attenuate("r")).weigh()`, "atomically(lambda: restore(u).weigh())"} {
		if got := run(t, s, out, src); got != "0\n" {
			t.Errorf("%s is %q", src, got)
		}
	}
	if after := run(t, s, out, "len(grants())"); after != before {
		t.Errorf("there are %q grants, there were %q", after, before)
	}
}

func TestAGrantIsMeantInManyWays(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	for _, how := range []string{"g", "g.grant", "g.id", "grants()[-1]", "grants(root.shelf)[-1]", "obj(g.id)"} {
		run(t, s, out, "g = grant(root.shelf)")
		run(t, s, out, "revoke("+how+")")
		err := s.Run(t.Context(), "test", "g.ref.weigh()")
		if !errors.Is(err, caps.ErrRevoked) || !strings.Contains(err.Error(), "was taken back   (nothing happened)") {
			t.Errorf("after revoke(%s): %v", how, err)
		}
		if got := run(t, s, out, "g.state"); got != "\"revoked\"\n" {
			t.Errorf("after revoke(%s) it is %q", how, got)
		}
	}
	for _, how := range []string{"None", "root", "'1'", "'x'", "''", "struct", "[g]", "describe(root.shelf)", "1"} {
		if err := s.Run(t.Context(), "test", "revoke("+how+")"); err == nil {
			t.Errorf("revoke(%s) runs", how)
		}
	}
}

func TestTheTurnThatGrantsSeesTheGrantAndTheOneThatFailsMakesNone(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	got := run(t, s, out, `
def f():
    g = grant(root.shelf, to="here")
    g.ref.clear()
    revoke(g)
    return try_(lambda: g.ref.clear())[1].code, g.to, g.state

atomically(f)
_, err = try_(lambda: atomically(lambda: [save(root.shelf, to="never"), 1 // 0]))
[g.to for g in grants()]
`)
	if want := "(\"revoked\", \"here\", \"revoked\")\n[\"here\"]\n"; got != want {
		t.Errorf("%q", got)
	}
}

func TestListingsAreAsLongAsTheyMayBe(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	got := run(t, s, out, `
def many():
    for i in range(3000):
        grant(root.shelf, to=str(i))

atomically(many)
len(grants()), len(who(root.shelf))
tree()`)
	if !strings.HasPrefix(got, "(3000, 3001)\nshelf ") || !strings.HasSuffix(got, "\n1,000 grants more not drawn\n") {
		t.Errorf("%q … %q", got[:40], got[len(got)-40:])
	}
}
