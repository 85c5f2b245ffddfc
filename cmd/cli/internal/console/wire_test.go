package console

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// server is a world with a shelf, a bell and a thread, that listens at its socket.
type server struct {
	t    testing.TB
	dir  string
	rt   *sturdy.Runtime
	node *rpc.Node
}

func serve(t testing.TB) *server {
	dir, err := os.MkdirTemp("", "s") // not t.TempDir: the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	v := &server{t: t, dir: filepath.Join(dir, "w")}
	t.Cleanup(func() {
		v.stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	v.start()
	err = v.rt.Update(context.Background(), func(turn *sturdy.WriteTurn) error {
		root := v.rt.Root()
		if err := root.Put(turn, "bell", bellKind.New(turn, bell{})); err != nil {
			return err
		}
		return root.Put(turn, "shelf", shelfKind.New(turn, shelf{}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *server) start() {
	v.t.Helper()
	rt, err := sturdy.Options{Dir: v.dir, Kinds: []sturdy.Kind{shelfKind, bellKind, robotKind}, Log: slog.New(slog.DiscardHandler)}.Open()
	if err != nil {
		v.t.Fatal(err)
	}
	v.rt = rt
	if v.node, err = rpc.Attach(rt, rpc.Options{}); err != nil {
		v.t.Fatal(err)
	}
}

func (v *server) stop() {
	v.t.Helper()
	if err := v.node.Close(); err != nil {
		v.t.Error(err)
	}
	if err := v.rt.Close(); err != nil {
		v.t.Error(err)
	}
}

// guest is a world in memory that knows kinds, and reaches the servers vs at their sockets.
func guest(t testing.TB, vs []*server, kinds ...sturdy.Kind) (*sturdy.Runtime, *rpc.Node) {
	t.Helper()
	rt, err := sturdy.Options{Kinds: kinds, Log: slog.New(slog.DiscardHandler)}.Open()
	if err != nil {
		t.Fatal(err)
	}
	peers := map[string]string{}
	for _, v := range vs {
		peers[v.rt.Host()] = rpc.SocketOf(v.dir)
	}
	node, err := rpc.Attach(rt, rpc.Options{Peers: peers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	return rt, node
}

// visit begins a session that is attached to v, or at what u stands for. It knows none of v's
// kinds.
func visit(t testing.TB, v *server, o Options, u ...caps.SturdyRef) (*Session, *bytes.Buffer) {
	rt, node := guest(t, []*server{v})
	var err error
	var out bytes.Buffer
	o.Runtime, o.Out, o.Connected, o.Away = rt, &out, true, "elsewhere: sturdy repl there"
	if len(u) > 0 {
		o.It, err = rt.Restore(t.Context(), u[0])
	} else {
		o.Root, err = node.Root(t.Context(), rpc.SocketOf(v.dir))
	}
	if err != nil {
		t.Fatal(err)
	}
	return New(o), &out
}

// fails runs src, which must fail and say what is wanted.
func fails(t testing.TB, s *Session, src, want string) {
	t.Helper()
	err := s.Run(context.Background(), "test", src)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v; want %q on one line", src, err, want)
	}
}

func TestObjectsOfARunningHostAreThere(t *testing.T) {
	v := serve(t)
	s, out := visit(t, v, Options{Writable: true})
	host := v.rt.Host()[:8]
	for _, c := range [][2]string{
		{"root", "directory 1 at " + host + "  rwx   bell shelf\n"},
		{"root.shelf.weigh()", "0\n"},
		{`root.shelf.store(to=root.shelf, grams=5, note="n", notes=["a"]).to.weigh()`, "1\n"},
		{"root.bell.ring(True)", "\"ding\"\n"},
		{"root.shelf.clear()", ""},
		{"len(root)", "2\n"},
		{`same(root.shelf, root["shelf"]), root.shelf == root.shelf, len({root.shelf: 1})`, "(True, True, 1)\n"},
		{"rows(ls())", "name   object\nbell   bell "},
		{"help(root.shelf)", "test.example/shelf, version 1; this reference carries rwx\n  r  weigh() int64\n"},
		{"describe(root.shelf)", "kind     test.example/shelf\n"},
		{"[m.needs for m in allows(root.bell)]", `["x"]`},
		{"try_(lambda: root.shelf.attenuate('r').clear())[1].code", string(caps.ErrNoRight)},
	} {
		src, want := c[0], c[1]
		if got := run(t, s, out, src); !strings.Contains(got, want) {
			t.Errorf("%s: it says %q, want %q", src, got, want)
		}
	}
	fails(t, s, "root.shelf.wiegh()", "shelf has no method wiegh; weigh()?")
	fails(t, s, "root.shelff", `nothing stands under "shelff"; "shelf"?`)
	fails(t, s, "root.bell.ring(False)", "nobody has heard it")
	fails(t, s, "thread(root.shelf)", "is no thread")
}

func TestASessionThatReadsOnlyReadsThereToo(t *testing.T) {
	s, out := visit(t, serve(t), Options{Writing: "sturdy repl -w w"})
	for _, src := range []string{"root.shelf.clear()", "put(root, 'x', root.shelf)", "drop(root, 'shelf')", "root.shelf.send.clear()", "root.bell.ring(True)"} {
		fails(t, s, src, "start it with: sturdy repl -w w")
	}
	if got := run(t, s, out, "root"); !strings.HasSuffix(got, " bell shelf\n") {
		t.Errorf("it says %q", got)
	}
}

func TestWhatNeedsTheWorldItselfSaysWhereItIs(t *testing.T) {
	s, out := visit(t, serve(t), Options{Writable: true})
	help := run(t, s, out, "help()")
	here, away, _ := strings.Cut(help, "not available over the wire:")
	for _, v := range s.verbs {
		known := slices.Contains(overWire(), v.name)
		if strings.Contains(here, "  "+v.name+"(") != known || slices.Contains(strings.Fields(away), v.name) == known {
			t.Errorf("help is wrong about %s", v.name)
		}
		_, list := s.Complete(t.Context(), v.name)
		if slices.ContainsFunc(list, func(c Candidate) bool { return c.Text == v.name }) != known {
			t.Errorf("%s is completed, or not", v.name)
		}
		if !known {
			fails(t, s, v.name+"(root)", v.name+" is not available over the wire: it needs the world itself; elsewhere: sturdy repl there")
		}
	}
	for _, name := range overWire() {
		if !slices.ContainsFunc(s.verbs, func(v verb) bool { return v.name == name }) {
			t.Errorf("there is no function %s", name)
		}
	}
	fails(t, s, "top()", "elsewhere: sturdy repl there")
	fails(t, s, "pause('1f')", "elsewhere: sturdy repl there")
}

func TestNamesAndMethodsOfAnotherHostAreCompleted(t *testing.T) {
	s, _ := visit(t, serve(t), Options{})
	for line, want := range map[string]string{
		"root.sh": "root.shelf", "root.shelf.we": "root.shelf.weigh(", "root.shelf.store(gr": "grams=", "root.bell.": "root.bell.ring(",
	} {
		_, list := s.Complete(t.Context(), line)
		if len(list) == 0 || list[0].Text != want {
			t.Errorf("%s goes on with %v, want %s", line, list, want)
		}
	}
}

func TestAHostThatHasGoneIsFoundAgain(t *testing.T) {
	v := serve(t)
	s, out := visit(t, v, Options{Writable: true})
	run(t, s, out, "x = root.shelf")
	v.stop()
	fails(t, s, "x.weigh()", "host "+v.rt.Host()+" cannot be reached")
	fails(t, s, "root", "   (nothing happened)")
	if _, list := s.Complete(t.Context(), "root."); len(list) > 0 {
		t.Errorf("completed with %v", list)
	}
	v.start()
	if got := run(t, s, out, "x.weigh()"); got != "0\n" {
		t.Errorf("it says %q", got)
	}
}

func TestASturdyRefOfAnotherHostIsIt(t *testing.T) {
	v := serve(t)
	shelf, err := v.rt.Root().Get(t.Context(), "shelf")
	if err != nil {
		t.Fatal(err)
	}
	u, _, err := v.rt.Save(t.Context(), shelf.Attenuate(caps.Read), caps.Terms{For: "visitor"})
	if err != nil {
		t.Fatal(err)
	}
	first, out := visit(t, v, Options{})
	run(t, first, out, `x = restore("`+u.Reveal()+`")`)
	if got := run(t, first, out, "x.weigh(), same(x, root.shelf)"); got != "(0, True)\n" {
		t.Errorf("it says %q", got)
	}
	s, out := visit(t, v, Options{}, u)
	if _, ok := s.globals["root"]; ok || !strings.HasPrefix(run(t, s, out, "help()"), "it is what was restored") {
		t.Error("there is a root")
	}
	fails(t, s, "root", "undefined: root")
	fails(t, s, "ls()", "ls: a shelf is neither directory nor collection")
	stranger := "sturdy://" + strings.Repeat("a", 32) + "/1/" + strings.Repeat("a", 32)
	fails(t, first, `restore("`+stranger+`")`, "--peer "+strings.Repeat("a", 32)+"=ADDR")

	local, _ := begin(t, Options{Writing: "sturdy repl -w w"})
	fails(t, local, `restore("`+u.Reveal()+`")`, "only reads the files of a world reaches none. To reach it, start it with: sturdy repl -w w")
}
