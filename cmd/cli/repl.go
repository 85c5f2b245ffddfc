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
	world
	Write bool   `short:"w" help:"Let writes through. Without it the world is opened to look only."`
	File  string `short:"f" name:"file" placeholder:"SCRIPT" help:"Run this script instead of asking. A script also comes from a pipe."`
	Steps uint64 `default:"1000000000" help:"Of Starlark, that one input may take (${default})."`
}

// Help is what repl --help says below the usage.
func (replCmd) Help() string {
	return `The language is Starlark, which looks like Python. root is the root directory; help() lists the rest. The prompt is r> when the world is open to look only, and w> with -w.

  r> root.accounts.alice.balance()
  w> root.accounts.alice.transfer(to=root.accounts.bob, amount=500, note="rent")

A field of an argument that is not given is an error; exit, quit and Ctrl-D leave.

With -w the world is open for writing, as its program would have it: messages that wait are delivered, and timers go off.

A script stops at its first error, and the exit code is 1. In a script the value of an expression that stands alone is printed, as at the prompt.`
}

func (c *replCmd) run(ctx context.Context, a *app) (err error) {
	script, name, err := c.script(a)
	if err != nil {
		return err
	}
	rt, err := c.open(a, a.kinds, c.Write)
	if err != nil {
		return err
	}
	defer closing(rt, &err)
	s := console.New(console.Options{
		Runtime: rt, Out: a.out, Writable: c.Write, Steps: c.Steps,
		Writing: fmt.Sprintf("%s repl -w %s", a.name, quoted(c.Dir)),
		Timing:  script == nil, Screen: script == nil && a.isSeen(), Width: columns(a.in),
	})
	if script != nil {
		return a.runScript(ctx, s, name, *script)
	}
	if err := c.banner(ctx, a, rt); err != nil {
		return err
	}
	return converse(ctx, a, s, c.Write)
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

// banner says what world this is, and what this command cannot do in it.
func (c *replCmd) banner(ctx context.Context, a *app, rt *sturdy.Runtime) error {
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
	fmt.Fprintf(a.out, "%s · %s", text.Line(c.Dir), text.Count(objects, "object"))
	if len(names) > 0 {
		fmt.Fprintf(a.out, " · %s", strings.Join(names, ", "))
	}
	fmt.Fprintln(a.out)
	if len(unknown) > 0 {
		fmt.Fprint(a.out, unknownKinds(a.name, unknown))
	}
	fmt.Fprintln(a.out, "help() lists what there is, Tab completes, Ctrl-D leaves.")
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
