package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/reeflective/readline"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/console"
)

// converse asks for input and runs it until there is no more.
func converse(ctx context.Context, a *app, s *console.Session, write bool) error {
	shell, err := newShell()
	if err != nil {
		return err
	}
	prompt := "r> "
	if write {
		prompt = "w> "
	}
	shell.Prompt.Primary(func() string { return prompt })
	shell.Prompt.Secondary(func() string { return ".. " })
	shell.AcceptMultiline = func(line []rune) bool { return !console.Incomplete(string(line)) }
	shell.Completer = func(line []rune, cursor int) readline.Completions {
		word, list := s.Complete(ctx, string(line[:cursor]))
		return completions(word, list)
	}
	if h := openHistory(); h != nil {
		shell.History.Delete()
		shell.History.Add("history", h)
	}
	for {
		line, err := shell.Readline()
		switch {
		case errors.Is(err, io.EOF):
			fmt.Fprintln(a.out)
			return nil
		case errors.Is(err, readline.ErrInterrupt):
			continue
		case err != nil:
			return err
		}
		if s.Leaves(line) {
			return nil
		}
		input(ctx, a, s, line)
	}
}

// newShell makes an editor in which Tab first writes what all candidates begin with and lists
// them, and then goes through them.
func newShell() (*readline.Shell, error) {
	shell := readline.NewShell()
	if err := shell.Config.Set("menu-complete-display-prefix", true); err != nil {
		return nil, err
	}
	for _, keys := range []string{"emacs", "vi-insert"} {
		if err := shell.Config.Bind(keys, "\t", "menu-complete", false); err != nil {
			return nil, err
		}
	}
	return shell, nil
}

// input runs one input; what goes wrong is said and the conversation goes on.
func input(ctx context.Context, a *app, s *console.Session, line string) {
	ctx, stop := interruptible(ctx)
	defer stop()
	if err := s.Run(ctx, "input", line); err != nil {
		fmt.Fprintln(a.out, err)
	}
}

// completions replace word by one of list. What is inserted says itself how it goes on:
// "transfer(", "to=".
func completions(word string, list []console.Candidate) readline.Completions {
	values := make([]readline.Completion, len(list))
	for i, c := range list {
		values[i] = readline.Completion{Value: c.Text, Display: c.Shown, Description: c.Note}
	}
	c := readline.CompleteRaw(values)
	c.PREFIX = word
	return c
}
