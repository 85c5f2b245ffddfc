package console

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// attach begins a session that is attached to v, as the command repl is.
func attach(t testing.TB, v *server, o Options) (*Session, *bytes.Buffer) {
	rt, node := guest(t, []*server{v})
	var err error
	var out bytes.Buffer
	o.Runtime, o.Out, o.Connected, o.Away = rt, &out, true, "elsewhere: sturdy repl there"
	if o.Operator, err = node.Operate(t.Context(), rpc.SocketOf(v.dir)); err != nil {
		t.Fatal(err)
	}
	return New(o), &out
}

// pair are two hosts, the first of which knows where the second is, and a text of its root.
func pair(t testing.TB) (a, b *server, text string) {
	a, b = serve(t), serve(t)
	if err := a.node.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if a.node, err = rpc.Attach(a.rt, rpc.Options{Peers: map[string]string{b.rt.Host(): rpc.SocketOf(b.dir)}}); err != nil {
		t.Fatal(err)
	}
	u, _, err := b.rt.Save(context.Background(), b.rt.Root().Ref, caps.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	return a, b, u.Reveal()
}

func TestAnAttachedSessionHasWhatItsHostAnswers(t *testing.T) {
	s, out := attach(t, serve(t), Options{Writable: true})
	help := run(t, s, out, "help()")
	here, away, _ := strings.Cut(help, "not available over the wire:")
	known := append(overWire(), operated()...)
	for _, v := range s.verbs {
		want := slices.Contains(known, v.name)
		if strings.Contains(here, "  "+v.name+"(") != want || slices.Contains(strings.Fields(away), v.name) == want {
			t.Errorf("help is wrong about %s", v.name)
		}
	}
	for _, name := range known {
		if !slices.ContainsFunc(s.verbs, func(v verb) bool { return v.name == name }) {
			t.Errorf("there is no function %s", name)
		}
	}
	for src, want := range map[string]string{
		"state(root.shelf)":                 "(things=0)\n",
		"obj(describe(root.shelf).id)":      "shelf ",
		"same(obj('1'), root)":              "True\n",
		"len(ps()) + len(mail())":           "0\n",
		"len(dead()) + len(timers())":       "0\n",
		"len(top())":                        "0\n",
		"restore(save(root.shelf)).weigh()": "0\n",
	} {
		if got := run(t, s, out, src); !strings.HasPrefix(got, want) {
			t.Errorf("%s: it says %q", src, got)
		}
	}
	run(t, s, out, "u = save(root.shelf, to='x')\nrevoke(u)")
	fails(t, s, "restore(u)", "opens nothing here")
	fails(t, s, "obj('ffff')", "")
	fails(t, s, "resend('1')", `there is no dead letter "1"`)
}

func TestWhatIsMountedIsWalkedAsIfItWereHere(t *testing.T) {
	a, b, text := pair(t)
	s, out := attach(t, a, Options{Writable: true})
	run(t, s, out, `mount("`+text+`", "peers/b")`)
	host := b.rt.Host()[:8]
	for _, c := range [][2]string{
		{"root", "   bell peers/ shelf\n"},
		{"root.peers", "   b/\n"},
		{"root.peers.b", "directory 1 at " + host + "  rwx   bell shelf\n"},
		{"ls(root.peers)", "\nb     directory 1 at " + host + " rwx\n"},
		{"ls(root.peers.b)", " at " + host + " rwx\n"},
		{"root.peers.b.shelf.weigh()", "0\n"},
		{"where(root.peers.b)", `"` + b.rt.Host() + `"`},
		{"where(root)", `"` + a.rt.Host() + `"`},
		{"root.peers.b.bell.ring(True)", "\"ding\"\n"},
		{"describe(root.peers.b.shelf)", "kind     test.example/shelf\n"},
		{"each(root.peers, lambda r: r.shelf.weigh())", "of  result\nb        0\n"},
	} {
		if got := run(t, s, out, c[0]); !strings.Contains(got, c[1]) {
			t.Errorf("%s: it says %q, want %q", c[0], got, c[1])
		}
	}
	for line, want := range map[string]string{"root.peers.b.sh": "root.peers.b.shelf", "root.peers.b.shelf.we": "root.peers.b.shelf.weigh("} {
		if _, list := s.Complete(t.Context(), line); len(list) == 0 || list[0].Text != want {
			t.Errorf("%s goes on with %v", line, list)
		}
	}
	fails(t, s, `mount("`+text+`", "peers/b")`, `something stands under "b" already`)
	fails(t, s, `mount("`+text+`", "")`, "it wants a path from the root")
	fails(t, s, `mount("nonsense", "x")`, "not a sturdy ref")
	fails(t, s, "mount(1, 'x')", "it wants a text like")
	fails(t, s, "state(root.peers.b.shelf)", "it needs the world itself; do it where that is")
	b.stop()
	for _, c := range [][2]string{
		{"root", "   bell peers/ shelf\n"},
		{"root.peers", "   b\n"},
		{"ls(root.peers)", "  not reached\n"},
		{"[r.of for r in each({'a': root, 'b': root.peers.b}, lambda r: r.shelf.weigh()) if r.error]", "[\"b\"]\n"},
	} {
		if got := run(t, s, out, c[0]); !strings.Contains(got, c[1]) {
			t.Errorf("%s: it says %q, want %q", c[0], got, c[1])
		}
	}
	fails(t, s, "root.peers.b.shelf", "host "+b.rt.Host())
	run(t, s, out, "drop(root.peers, 'b')")
	b.start()
}

func TestAHostThatDoesNotAnswerDoesNotHideTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, out := begin(t, Options{})
		s.Connected = true
		asked := 0
		began := time.Now()
		for range 50 {
			_, err := s.patience.Ask(t.Context(), func(ctx context.Context) (sturdy.ObjectInfo, error) {
				asked++
				<-ctx.Done()
				return sturdy.ObjectInfo{}, ctx.Err()
			})
			if err == nil {
				t.Error("it answered")
			}
		}
		if took := time.Since(began); asked != 50 || took > 10*time.Second {
			t.Errorf("%d were asked in %s", asked, took)
		}
		if got := run(t, s, out, "ls(root.inner)"); !strings.Contains(got, "not a name") {
			t.Errorf("it says %q", got)
		}
	})
}
