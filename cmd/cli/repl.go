package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/console"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type replCmd struct {
	Where string `arg:"" name:"DIR" help:"The directory of the world; or sturdy://…, a text that somebody has given you."`
	Write bool   `short:"w" help:"Let writes through. Without it the world is opened to look only."`
	File  string `short:"f" name:"file" placeholder:"SCRIPT" help:"Run this script instead of asking. A script also comes from a pipe."`
	Peer  peers  `placeholder:"HOST=ADDR" help:"Where another host is; may be repeated."`
	Steps uint64 `default:"1000000000" help:"Of Starlark, that one input may take (${default})."`

	among bool // it is one of many, and what Peer says need not be of use to it
}

// Help is what repl --help says below the usage.
func (replCmd) Help() string {
	return `The language is Starlark, which looks like Python. root is the root directory; help() lists the rest. The prompt is r> when the world is open to look only, and w> with -w.

  r> root.accounts.alice.balance()
  w> root.accounts.alice.transfer(to=root.accounts.bob, amount=500, note="rent")

A field of an argument that is not given is an error; exit, quit and Ctrl-D leave.

With -w the world is open for writing, as its program would have it: messages that wait are delivered, and timers go off. restore("sturdy://…") then also opens what other hosts have given.

If a program has the world open, and listens, as serve does, repl attaches to it: root is its root, and ps, mail and the like show what is under way there. What needs the files of the world, like check and atomically, is not there then.

mount("sturdy://…", "peers/b") lets what another host gives stand under a path here, to be walked as if it were here: root.peers.b.accounts. each(hosts, f) calls f for many at once; the command each does so for many worlds.

With a session that reaches others, foreign("unix:calc.sock", schema="calc.bin", interface="Calculator") is what a Cap'n Proto server gives to whoever comes; hosts() lists the hosts that this one has met.

Instead of DIR a sturdy ref can be given: what it stands for is it. Other users of the machine can see the arguments of a command; they do not see what is typed at a prompt: restore("sturdy://…").

A script stops at its first error, and the exit code is 1. In a script the value of an expression that stands alone is printed, as at the prompt.`
}

func (c *replCmd) run(ctx context.Context, a *app) (err error) {
	script, name, err := c.script(a)
	if err != nil {
		return err
	}
	p, err := c.arrive(ctx, a)
	if err != nil {
		return err
	}
	defer closing(p, &err)
	s := console.New(console.Options{
		Runtime: p.rt, Operator: p.operator, It: p.it, Away: p.away, Connected: p.node != nil, Node: p.node, Peers: c.Peer,
		Out: a.out, Writable: c.Write, Steps: c.Steps,
		Writing: fmt.Sprintf("%s repl -w %s", a.name, c.shown()),
		Timing:  script == nil, Screen: script == nil && a.isSeen(), Width: columns(a.in),
	})
	if p.operator != nil {
		fmt.Fprintf(a.lookedAt(script), "attached to the running host %s\n", p.operator.Host())
	}
	if script != nil {
		return a.runScript(ctx, s, name, *script)
	}
	if err := c.banner(ctx, a, s, p); err != nil {
		return err
	}
	return converse(ctx, a, s, c.Write)
}

// arrive is place, for somebody who may lose patience.
func (c *replCmd) arrive(ctx context.Context, a *app) (*place, error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	return c.place(ctx, a)
}

// shown is where the session is, as it would be typed. A sturdy ref is not repeated.
func (c *replCmd) shown() string {
	if isSturdyRef(c.Where) {
		return "sturdy://…"
	}
	return quoted(c.Where)
}

// lookedAt is where a person looks: what a script prints is for whoever asked for that.
func (a *app) lookedAt(script *string) io.Writer {
	if script != nil {
		return a.err
	}
	return a.out
}

// script is what is to be run, nil if somebody types.
func (c *replCmd) script(a *app) (script *string, name string, err error) {
	var content []byte
	switch {
	case c.File != "":
		name = c.File
		content, err = os.ReadFile(c.File)
	case isTerminal(a.in):
		return nil, "", nil
	default:
		name = "stdin"
		content, err = io.ReadAll(a.in)
	}
	s := string(content)
	return &s, name, err
}

// isSeen reports whether somebody looks at what is printed.
func (a *app) isSeen() bool {
	f, ok := a.out.(*os.File)
	return ok && isTerminal(f)
}

// runScript runs a script. Its error names the line.
func (a *app) runScript(ctx context.Context, s *console.Session, name, script string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	if err := s.Run(ctx, name, script); err != nil {
		return located(name, err)
	}
	return nil
}

// located is a failure with where it was.
func located(name string, err error) error {
	f, ok := err.(*console.Failure)
	if !ok || f.Line == 0 {
		return fmt.Errorf("%s: %w", name, err)
	}
	return fmt.Errorf("%s:%d: %w", name, f.Line, err)
}

// banner says where this is, and what this command cannot do there.
func (c *replCmd) banner(ctx context.Context, a *app, s *console.Session, p *place) error {
	switch {
	case p.operator != nil:
	case !p.it.IsNull():
		input(ctx, a, s, "it")
	default:
		if err := c.worldBanner(ctx, a, p.rt); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.out, "help() lists what there is, Tab completes, Ctrl-D leaves.")
	return nil
}

// worldBanner says what world this is, and what this command cannot do in it.
func (c *replCmd) worldBanner(ctx context.Context, a *app, rt *sturdy.Runtime) error {
	ks, err := rt.Kinds(ctx)
	if err != nil {
		return err
	}
	var objects int64
	var names, unknown []string
	for _, k := range ks {
		objects += k.Objects
		if k.Objects == 0 || strings.HasPrefix(k.Name, "sturdy/") {
			continue
		}
		name := text.Line(fmt.Sprintf("%s v%d", k.Name, k.Version))
		names = append(names, name)
		if !k.Known {
			unknown = append(unknown, name)
		}
	}
	fmt.Fprintf(a.out, "%s · %s", text.Line(c.Where), text.Count(objects, "object"))
	if len(names) > 0 {
		fmt.Fprintf(a.out, " · %s", strings.Join(names, ", "))
	}
	fmt.Fprintln(a.out)
	if len(unknown) > 0 {
		fmt.Fprint(a.out, unknownKinds(a.name, unknown))
	}
	return nil
}

// unknownKinds says what cannot be done with objects whose code is not here, and what to do.
func unknownKinds(command string, unknown []string) string {
	return fmt.Sprintf(`%s does not have the code of
  %s
state(x) and describe(x) work on them, calls do not. For calls make your own command, with
your kinds:
  package main
  import "%s/cmd/cli"
  func main() { cli.Main(yours.Kind) }
`, command, strings.Join(unknown, ", "), modulePath)
}
