package gitgraph

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const usage = `usage: gitgraph [COMMAND] [-repo DIR] [-world DIR]

Turns the history of a git repository into a graph of objects, and asks it.

  import            bring the graph up to date; the default. It can be stopped at any time
  log [REV]         the newest commits that REV reaches; HEAD if there is none
  who FILE          who touched FILE
  diff A B          commits that A reaches and B does not
  together          the pairs of files that change together most often
  stats             how large the graph is

A revision is the name of a ref or the beginning of a hash.

`

// Command runs the gitgraph command with the given arguments, and returns its exit code: 0,
// 1 for what failed, 2 for what was asked wrongly, and 130 if ctx was canceled.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &command{stdout: stdout, stderr: stderr}
	args, code, ok := c.parse(args)
	if !ok {
		return code
	}
	err := c.run(ctx, args)
	var wrong *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wrong):
		return c.wrong(err)
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "stopped; nothing is lost. To go on, run the same command again.")
		return 130
	}
	fmt.Fprintln(stderr, "gitgraph:", err)
	return 1
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func wrongUsage(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

type command struct {
	repo, world    string
	n              int
	stdout, stderr io.Writer
}

// parse takes the flags out of args, wherever they stand; if ok is false the command ends
// with code.
func (c *command) parse(args []string) (rest []string, code int, ok bool) {
	fl := flag.NewFlagSet("gitgraph", flag.ContinueOnError)
	fl.StringVar(&c.repo, "repo", ".", "the `directory` of the git repository")
	fl.StringVar(&c.world, "world", "world", "the `directory` of the world; made if absent")
	fl.IntVar(&c.n, "n", 20, "the `number` of lines that log and together print at most")
	fl.SetOutput(io.Discard)
	for {
		switch err := fl.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			fmt.Fprint(c.stdout, usage)
			fl.SetOutput(c.stdout)
			fl.PrintDefaults()
			return nil, 0, false
		case err != nil:
			return nil, c.wrong(err), false
		case c.n < 1:
			return nil, c.wrong(errors.New("-n takes a number above 0")), false
		case fl.NArg() == 0:
			return rest, 0, true
		}
		rest, args = append(rest, fl.Arg(0)), fl.Args()[1:]
	}
}

func (c *command) wrong(err error) int {
	fmt.Fprintf(c.stderr, "gitgraph: %v\ngitgraph -help says what there is\n", err)
	return 2
}

func (c *command) run(ctx context.Context, args []string) error {
	what := "import"
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	switch {
	case what == "import" && len(args) == 0:
		return c.imports(ctx)
	case what == "log" && len(args) <= 1:
		return c.ask(ctx, func(q *question) error { return q.log(strings.Join(args, ""), c.n) })
	case what == "who" && len(args) == 1:
		return c.ask(ctx, func(q *question) error { return q.who(args[0]) })
	case what == "diff" && len(args) == 2:
		return c.ask(ctx, func(q *question) error { return q.diff(args[0], args[1]) })
	case what == "together" && len(args) == 0:
		return c.together(ctx)
	case what == "stats" && len(args) == 0:
		return c.ask(ctx, (*question).stats)
	}
	return wrongUsage("%s with %d arguments is no command", what, len(args))
}

func (c *command) imports(ctx context.Context) error {
	// A world that is made for nothing would be in the way.
	if _, err := openRepository(ctx, c.repo); err != nil {
		return err
	}
	rt, err := sturdy.Open(c.world, Kinds)
	if err != nil {
		return err
	}
	p := newProgress(c.stderr)
	report, err := Import(ctx, rt, c.repo, Options{Progress: p.show})
	p.end()
	if err = errors.Join(err, rt.Close()); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%d commits imported; %d commits and %d refs in the graph\n", report.Imported, report.Total, report.Refs)
	return nil
}

// reading opens the world for reading.
func (c *command) reading(ctx context.Context, fn func(*sturdy.Runtime, Graph) error) error {
	if _, err := os.Stat(c.world); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no world in %s yet; import a repository first", c.world)
	}
	rt, err := sturdy.Options{Dir: c.world, Kinds: []sturdy.Kind{Kinds}, ReadOnly: true}.Open()
	if err != nil {
		return err
	}
	g, err := Of(ctx, rt)
	if errors.Is(err, sturdy.ErrNoName) {
		err = fmt.Errorf("the world in %s holds no graph yet; import a repository first", c.world)
	}
	if err == nil {
		err = fn(rt, g)
	}
	return errors.Join(err, rt.Close())
}

// ask has ask print to a buffer, as a turn may run more than once, and shows it at the end.
func (c *command) ask(ctx context.Context, ask func(*question) error) error {
	return c.reading(ctx, func(rt *sturdy.Runtime, g Graph) error {
		var q *question
		err := rt.View(ctx, func(t *sturdy.ReadTurn) (err error) {
			q = &question{t: t}
			if q.Parts, err = g.Contents(t); err != nil {
				return err
			}
			return ask(q)
		})
		if err != nil {
			return err
		}
		_, err = q.out.WriteTo(c.stdout)
		return err
	})
}

func (c *command) together(ctx context.Context) error {
	return c.reading(ctx, func(rt *sturdy.Runtime, g Graph) error {
		pairs, err := Together(ctx, rt, g, c.n)
		for _, p := range pairs {
			fmt.Fprintf(c.stdout, "%6d  %s  %s\n", p.Commits, printable(p.A), printable(p.B))
		}
		return err
	})
}
