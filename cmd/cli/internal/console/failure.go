package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

// Failure is the end of an input: what went wrong, for people, fit for a terminal.
type Failure struct {
	Line int    // in the input, from 1; 0: not known
	Text string // without the line; several lines if it failed inside functions
	Err  error
}

// Error is the text.
func (f *Failure) Error() string { return f.Text }

// Unwrap returns what happened.
func (f *Failure) Unwrap() error { return f.Err }

// failure words err, which ended an input.
func (s *Session) failure(err error) *Failure {
	if s.stopped != nil {
		err = errors.Join(s.stopped, err)
	}
	f := &Failure{Err: err}
	var eval *starlark.EvalError
	var parse syntax.Error
	var names resolve.ErrorList
	var of *caps.Error
	switch {
	case errors.As(err, &parse):
		f.Line, f.Text = int(parse.Pos.Line), "syntax: "+parse.Msg
	case errors.As(err, &names):
		f.Line, f.Text = int(names[0].Pos.Line), s.undefined(names[0].Msg)
	case errors.Is(err, context.Canceled) && codeOf(err) != caps.ErrMaybeExecuted:
		f.Text = interrupted
	case errors.As(err, &of):
		f.Text = of.Error()
		if of.Code == caps.ErrNotDelivered { // each address that was tried has a line
			f.Text = strings.ReplaceAll(f.Text, "\n", "; ")
		}
	case s.stopped != nil:
		f.Text = s.stopped.Error()
	case errors.As(err, &eval):
		f.Text = strings.TrimPrefix(eval.Msg, "Starlark computation cancelled: ")
	default:
		f.Text = err.Error()
	}
	f.Text += s.consequence(err, f.Text == interrupted)
	if errors.As(err, &eval) {
		var in string
		f.Line, in = place(eval.CallStack)
		f.Text += in
	}
	f.Text = text.Clean(f.Text)
	return f
}

// consequence says what became of the input's writes.
func (s *Session) consequence(err error, stopped bool) string {
	code := codeOf(err)
	switch {
	case code == caps.ErrMaybeExecuted || s.unsure:
		return ""
	case s.turns+s.acted > 0:
		return fmt.Sprintf("   (nothing happened here; %s before it took effect)", s.before())
	case code != "" || stopped || s.undone:
		return "   (nothing happened)"
	}
	return ""
}

// before is what the input did before it failed.
func (s *Session) before() string {
	var did []string
	if s.turns > 0 {
		did = append(did, text.Count(int64(s.turns), "turn"))
	}
	if s.acted > 0 {
		did = append(did, text.Count(int64(s.acted), "call")+" outside")
	}
	return strings.Join(did, " and ")
}

// codeOf is the outcome that err stands for; empty if it comes from no object. In a turn
// the error of a method is what the method returned.
func codeOf(err error) (code caps.Code) {
	if e := (*caps.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	errors.As(err, &code)
	return code
}

// undefined adds to the message for an unknown name what may have been meant.
func (s *Session) undefined(msg string) string {
	name, ok := strings.CutPrefix(msg, "undefined: ")
	if !ok {
		return msg
	}
	name, _, _ = strings.Cut(name, " ")
	if slices.Contains(exits(), name) {
		return "undefined: " + name + "; the end of a script, and Ctrl-D at the prompt, leave"
	}
	msg = "undefined: " + name
	if near := text.Near(name, s.globals.Keys()); near != "" {
		return msg + "; " + near + "?"
	}
	return msg + "; help() lists what there is"
}

// exits are what somebody types who wants to leave.
func exits() []string { return []string{"exit", "quit"} }

// Leaves reports whether a line that was typed wants to leave: exit or quit, with parentheses
// or without. A variable of that name is only a variable.
func (s *Session) Leaves(line string) bool {
	name := strings.TrimSuffix(strings.TrimSpace(line), "()")
	return slices.Contains(exits(), name) && s.globals[name] == nil
}

// place is the line of the input that failed, and where inside functions.
func place(stack starlark.CallStack) (line int, in string) {
	for i, frame := range stack {
		if frame.Pos.Filename() == "<builtin>" {
			continue
		}
		if line == 0 {
			line = int(frame.Pos.Line)
		}
		if i > 0 {
			in += fmt.Sprintf("\n  in %s, line %d", frame.Name, frame.Pos.Line)
		}
	}
	return line, in
}
