package console

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// reaching begins a session in a world in memory that reaches vs.
func reaching(t testing.TB, o Options, vs []*server, kinds ...sturdy.Kind) (*Session, *bytes.Buffer) {
	rt, node := guest(t, vs, kinds...)
	var out bytes.Buffer
	o.Runtime, o.Out, o.Connected, o.Node = rt, &out, true, node
	return New(o), &out
}

// says fails unless each input says what it should begin with or, after "…", hold.
func says(t testing.TB, s *Session, out *bytes.Buffer, list ...string) {
	t.Helper()
	for i := 0; i < len(list); i += 2 {
		got := strings.ReplaceAll(run(t, s, out, list[i]), "/sock~", "/sock") // the name under which a host makes its own
		want, within := strings.CutPrefix(list[i+1], "…")
		if !strings.HasPrefix(got, want) && !within || !strings.Contains(got, want) {
			t.Errorf("%s: it says %q, want %q", list[i], got, list[i+1])
		}
	}
}

// TestAForeignProgramIsCalledByItsSchema: any Cap'n Proto server will do, so it is one of ours,
// as its sturdy.capnp describes it.
func TestAForeignProgramIsCalledByItsSchema(t *testing.T) {
	v := serve(t)
	s, out := reaching(t, Options{Writable: true}, nil, shelfKind)
	at := rpc.SocketOf(v.dir)
	where := strings.TrimPrefix(at, "unix:")
	says(t, s, out,
		`h = foreign("`+at+`", schema="testdata/sturdy.bin", interface="Host")`, "",
		"h", "sturdy.capnp:Host 0 at "+where+"  rwx   w: restore(sturdyRef) root()\n",
		"help(h)", "sturdy.capnp:Host of the foreign program at "+where+"; this reference carries rwx\n  w  restore(sturdyRef string) struct{ref ref}\n",
		"describe(h).allows", `["restore", "root"]`,
		"where(h)", `"the foreign program at `+where,
		"where(root) == where(h), same(h, h), len({h: 1})", "(False, True, 1)\n",
		"help(h.restore)", "sturdy.capnp:Host.restore: ",
		"r = h.root().ref", "",
		"r", "capability 1 at "+where+"  rwx",
		"help(r)", "…Nobody has said what interface it has",
		`r = foreign(r, schema="testdata/sturdy.bin", interface="sturdy.capnp:Ref")`, "",
		"r.describe().description.kind", "\"sturdy/directory\"\n",
		"[m.name for m in r.describe().description.methods if m.needs == 'w'][0]", "\"put\"\n",
		`sh = as_kind(r.call(method="get", argument="shelf").ref, "test.example/shelf")`, "",
		"sh", "shelf ",
		"sh.weigh()", "0\n",
		`sh.store(to=None, grams=5, note="n", notes=["a"]).notes`, "[\"a\"]\n",
		"sh.weigh()", "1\n",
		`h2 = foreign(h, schema="testdata/sturdy.bin", interface="Host")`, "",
		"same(h, h2)", "True\n",
		"try_(lambda: atomically(lambda: foreign('"+at+"')))[1].code", `"a turn cannot wait"`,
	)
	for line, want := range map[string]string{"h.re": "h.restore(", "h.restore(stu": "sturdyRef=", "sh.we": "sh.weigh(", "r.grant(": "terms="} {
		if _, list := s.Complete(t.Context(), line); len(list) == 0 || list[0].Text != want {
			t.Errorf("%s goes on with %v, want %s", line, list, want)
		}
	}
	fails(t, s, "h.rot()", "has no method rot; root()?")
	fails(t, s, "h.restore('x', 1)", "it takes sturdyRef; there are 2")
	fails(t, s, "h.restore('x')", "not a sturdy ref")
	fails(t, s, "state(h)", "foreign program, which alone has its state")
	fails(t, s, "put(root, 'h', h)", "cannot be stored")
}

func TestASlipWithAForeignProgramSaysWhatToDo(t *testing.T) {
	v := serve(t)
	at := rpc.SocketOf(v.dir)
	s, _ := reaching(t, Options{Writing: "sturdy repl -w w"}, nil, shelfKind)
	text := filepath.Join(t.TempDir(), "calc.capnp")
	if err := os.WriteFile(text, []byte("@0xb5d1c2a3e4f50617;\ninterface Calc { add @0 () -> (); }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := strings.TrimSuffix(text, ".capnp") + ".bin"
	for src, want := range map[string]string{
		`foreign("` + at + `", schema="` + text + `", interface="Calc")`:        "capnp compile -o- " + text + " > " + bin,
		`foreign("` + at + `", interface="Calc")`:                               "capnp compile -o- calc.capnp > calc.bin",
		`foreign("` + at + `", schema="testdata/sturdy.bin", interface="Calc")`: `no interface "Calc"; it has: `,
		`foreign("` + at + `", schema="testdata/sturdy.bin")`:                   "it has: Ref, Host, Grant",
		`foreign("` + at + `", schema="nowhere.bin", interface="Calc")`:         "no such file",
		`foreign(5)`:                          `"tcp:localhost:7000"`,
		`foreign("unix:nowhere")`:             "no such file",
		`foreign(root)`:                       "",
		`as_kind(root, "test.example/shelf")`: "did not come from a foreign program",
		`foreign("` + at + `", schema="testdata/sturdy.bin", interface="Host").root()`: "this session only reads. To let it, start it with: sturdy repl -w w",
		`as_kind(foreign("` + at + `"), "test.example/none")`:                          `no kind "test.example/none"`,
	} {
		if want != "" {
			fails(t, s, src, want)
		}
	}
	alone, _ := begin(t, Options{Writing: "sturdy repl -w w"})
	fails(t, alone, `foreign("`+at+`")`, "start it with: sturdy repl -w w")
}

// TestTheCompiledSchemaIsThatOfThisHost: sturdy.bin is what the compiler makes of sturdy.capnp.
func TestTheCompiledSchemaIsThatOfThisHost(t *testing.T) {
	tool, err := exec.LookPath("capnp")
	if err != nil {
		t.Skip("SKIPPED: there is no capnp compiler (apt install capnproto)")
	}
	c := exec.Command(tool, "compile", "-o-", "sturdy.capnp")
	c.Dir = "../../../../rpc/foreign"
	want, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile("testdata/sturdy.bin"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("compile it anew: capnp compile -o- sturdy.capnp (%v)", err)
	}
}

// TestHostsAreListedAndGivenUp: one is connected, the other is gone, and a message waits for it.
func TestHostsAreListedAndGivenUp(t *testing.T) {
	a, b := serve(t), serve(t)
	s, out := reaching(t, Options{Writable: true}, []*server{a, b})
	for name, v := range map[string]*server{"a": a, "b": b} {
		shelf, err := v.rt.Root().Get(t.Context(), "shelf")
		if err != nil {
			t.Fatal(err)
		}
		u, _, err := v.rt.Save(t.Context(), shelf, caps.Terms{})
		if err != nil {
			t.Fatal(err)
		}
		run(t, s, out, name+` = restore("`+u.Reveal()+`")`)
	}
	says(t, s, out,
		"sorted([h.state for h in hosts()])", `["connected", "connected"]`,
		"where(b)", `"`+b.rt.Host()+`"`,
		"where(root)", `"`+s.Runtime.Host()+`"`,
	)
	run(t, s, out, "clear = b.send.clear") // which asks what b is
	b.stop()
	says(t, s, out,
		"p = clear()\nq = clear()", "",
		"[(h.host == where(b), h.state, h.waiting) for h in hosts() if h.waiting]", `[(True, "lost", 2)]`,
		"len(mail())", "2\n",
		"discard(mail()[0])", "",
		"try_(p.wait)[1].code in ('not delivered', 'maybe executed')", "True\n",
		"discard_host(where(b)[:8])", "1\n",
		"len(mail()), [h.waiting for h in hosts()]", "(0, [0, 0])\n",
	)
	fails(t, s, "discard_host(where(b))", "nothing waits for host")
	fails(t, s, "discard_host('abc')", "too short")
	fails(t, s, "discard_host(5)", "it wants the name of a host")
	b.start()

	// The host that a session is attached to is asked for its own.
	there, out := attach(t, a, Options{})
	says(t, there, out, "len([h for h in hosts() if h.state == 'connected']) > 0", "True\n")
	fails(t, there, "discard_host('"+b.rt.Host()+"')", "this session only reads")
	alone, out := begin(t, Options{})
	says(t, alone, out, "hosts()", "", "where(root) == where(root.shelf)", "True\n")
}
