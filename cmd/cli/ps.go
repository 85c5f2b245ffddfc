package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type psCmd struct {
	world
	Stacks bool `help:"Tell below the list where each thread waits, and why one does not go on, with the stack of its panic."`
	Full   bool `help:"Do not shorten lines."`
}

// Help is what ps --help says below the usage.
func (psCmd) Help() string {
	return `A thread that has not ended is a line: its number, the object that it runs on, its program, what it does, the step that it waits in and for what, since when, when the wait is over by itself, how many messages it has not received yet, and why it does not go on, if it does not: the error that parked it, or the threads that wait for each other in a ring, of which one has to be canceled. A thread is parked when its program failed or panicked, or is not known to who has the world open.

Nothing runs to look. repl -w resumes a parked thread: resume(thread("1f")).`
}

func (c *psCmd) run(ctx context.Context, a *app) error {
	return c.see(ctx, a, nil, func(ctx context.Context, w look.World) error { return c.print(ctx, a, w) })
}

func (c *psCmd) print(ctx context.Context, a *app, w look.World) error {
	l := lister{a: a, width: width(c.Full)}
	defer l.flush()
	l.add("THREAD", "OBJECT", "PROGRAM", "STATE", "STEP", "WAITS FOR", "SINCE", "UNTIL", "MAIL", "TROUBLE")
	for t, err := range w.Activity().Threads(ctx) {
		if err != nil {
			return err
		}
		l.add(t.ID, text.Line(t.Object), text.Line(t.Program), look.Condition(t), dash(text.Line(t.Step)), dash(text.Line(t.Waits)),
			moment(t.Since), moment(t.Until), text.Int(t.Mail), dash(text.Line(look.Trouble(t))))
	}
	if !c.Stacks {
		return nil
	}
	l.flush()
	for t, err := range w.Activity().Threads(ctx) {
		if err != nil {
			return err
		}
		printStack(a, t)
	}
	return nil
}

// printStack says where a thread stands, if it stands.
func printStack(a *app, t sturdy.ThreadInfo) {
	if t.Error == nil && t.At == "" {
		return
	}
	fmt.Fprintf(a.out, "\nthread %s: %s of %s, %s\n", t.ID, text.Line(t.Program), text.Line(t.Object), look.Condition(t))
	for _, part := range []string{look.Trouble(t), t.At, t.Stack} {
		if part != "" {
			fmt.Fprintf(a.out, "    %s\n", strings.ReplaceAll(strings.TrimRight(stackText(part), "\n"), "\n", "\n    "))
		}
	}
}

// stackText is a text of several lines, fit for a terminal. The tabs of a stack stay apart
// from what a terminal might obey.
func stackText(s string) string { return text.Clean(strings.ReplaceAll(s, "\t", "  ")) }
