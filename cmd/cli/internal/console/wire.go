package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// This file is what is different for objects on other hosts.

// overWire are the functions that need nothing but references: they are there also in a
// session whose objects are all elsewhere.
func overWire() []string {
	return []string{
		"help", "ls", "describe", "same", "rows", "sum", "top", "try_", "each", "put", "drop", "allows", "restore",
		"hosts", "where", "foreign", "as_kind", "send", "watch", "thread", "steps", "pause", "resume", "cancel", "wait",
	}
}

// operated are those that need a world, and are there as well if a running host answers for its
// own. Every other one needs the world itself: to look into its files, or to make a turn of
// several calls.
func operated() []string {
	return []string{
		"state", "obj", "save", "mount", "revoke", "mail", "dead", "resend", "discard", "discard_host", "timers", "ps", "lsof",
	}
}

// isHere reports whether a function is there in this session.
func (s *Session) isHere(verb string) bool {
	return s.Away == "" || slices.Contains(overWire(), verb) || s.Operator != nil && slices.Contains(operated(), verb)
}

// here is what v runs in this session.
func (s *Session) here(v verb) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	if s.isHere(v.name) {
		return v.run
	}
	return func(_ *starlark.Thread, b *starlark.Builtin, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		return nil, s.notOverWire(b.Name())
	}
}

// notOverWire refuses what needs the world of an object, where that is elsewhere.
func (s *Session) notOverWire(what string) error {
	there := cmp.Or(s.Away, "do it where that is open")
	if s.isHere(what) { // for the world that the session is in
		there = "do it where that is"
	}
	return fmt.Errorf("%s is not available over the wire: it needs the world itself; %s", what, there)
}

// helpAway says which functions are not there.
func (s *Session) helpAway() string {
	var names []string
	for _, v := range s.verbs {
		if !s.isHere(v.name) {
			names = append(names, v.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "\nThese need the world itself, and are not available over the wire:\n  " + strings.Join(names, " ") +
		"\nFor them: " + s.Away + "\n"
}

// elsewhere reports whether it is of an object on another host: of those no state is known, not
// even its shape.
func elsewhere(info sturdy.ObjectInfo) bool { return info.Host != "" }

// at names the host of an object elsewhere, as errors do.
func at(info sturdy.ObjectInfo) string {
	if elsewhere(info) {
		return " at " + text.Line(look.ShortHost(info.Host))
	}
	return ""
}

// reachedBy is the host over which an object elsewhere is reached, in short; empty: it is here.
func reachedBy(ref caps.Ref) string {
	_, _, host, _ := look.Elsewhere(ref)
	return host
}

// looking runs what looks at an object, with a context that ends earlier where another host may be
// asked: nobody waits long to see what he typed. A turn asks no other host.
func (s *Session) looking(op string, ref caps.Ref, do func(context.Context) error) error {
	_, err := s.asking(op, ref, func(ctx context.Context) (sturdy.ObjectInfo, error) { return sturdy.ObjectInfo{}, do(ctx) })
	return err
}

// asking is looking, for what describes.
func (s *Session) asking(op string, ref caps.Ref, ask func(context.Context) (sturdy.ObjectInfo, error)) (info sturdy.ObjectInfo, err error) {
	if ctx := s.ctx; s.inTurn || !s.Connected {
		s.aside(func() { info, err = ask(ctx) })
		return info, s.unreached(err)
	}
	ctx, done := context.WithTimeout(s.ctx, look.LookWithin)
	defer done()
	s.aside(func() { info, err = ask(ctx) })
	if err != nil && ctx.Err() != nil && s.ctx.Err() == nil && reachedBy(ref) != "" {
		err = look.NoAnswer(op, ref, look.LookWithin)
	}
	return info, s.unreached(err)
}

// glance is describe for one of many that a picture shows: hosts that are away do not keep it for
// long, however many there are.
func (s *Session) glance(ref caps.Ref) (info sturdy.ObjectInfo, err error) {
	if _, foreign := s.ofForeign(ref); foreign || s.inTurn || !s.Connected {
		return s.describe(ref)
	}
	info, err = s.patience.Ask(s.ctx, func(ctx context.Context) (sturdy.ObjectInfo, error) { return s.Runtime.Describe(ctx, ref) })
	if info.Host != "" {
		info.Kind.Known = true
	}
	return info, s.unreached(err)
}

// unreached adds to err, of an object elsewhere, how it would be reached.
func (s *Session) unreached(err error) error {
	var e *caps.Error
	if s.Connected || s.Writable || !errors.As(err, &e) || e.Code != caps.ErrNotDelivered {
		return err
	}
	hinted := *e
	hinted.Text = "it is on another host, and a session that only reads the files of a world reaches none. To reach it, start it with: " + s.Writing
	return &hinted
}

// lasting refuses to put what is neither in this world nor where dir is: dir's host would reach
// it through this one, which is gone when the session ends.
func (s *Session) lasting(dir, x *refValue) error {
	if s.Away == "" || reachedBy(dir.ref) == reachedBy(x.ref) {
		return nil
	}
	return fmt.Errorf("put: it would be reached through this session only, which ends: %s is on another host than the directory; %s", x, s.lastingly())
}

// home is what ls() lists.
func (s *Session) home() (*refValue, error) {
	for _, ref := range []caps.Ref{s.Root, s.It} {
		if !ref.IsNull() {
			return &refValue{s, ref}, nil
		}
	}
	return nil, errors.New("ls: there is no root in this session; ls(x) lists x")
}

// lastingly says how what a text stands for is kept where the session is.
func (s *Session) lastingly() string {
	if s.Operator == nil {
		return "restore it there"
	}
	return "the host has to reach that one itself: serve --peer HOST=ADDR"
}

// opened is what a text stands for, by way of a host.
func (s *Session) opened(by func(context.Context, caps.SturdyRef) (caps.Ref, error), u caps.SturdyRef) (ref caps.Ref, err error) {
	ctx := s.ctx
	s.aside(func() { ref, err = by(ctx, u) })
	return ref, err
}

// foreign is what a text of another host stands for. In a session that is attached to a host, and
// writes, that host opens it if it can, so that it can be kept there.
func (s *Session) foreign(u caps.SturdyRef) (caps.Ref, error) {
	if s.Operator != nil && s.Writable {
		ref, err := s.opened(s.Operator.Restore, u)
		if err == nil || !errors.Is(err, caps.ErrNotDelivered) || s.ctx.Err() != nil {
			return ref, err
		}
	}
	ref, err := s.opened(s.Runtime.Restore, u)
	var e *caps.Error
	if errors.As(err, &e) && e.Code == caps.ErrNotDelivered && s.Connected && len(u.Addresses()) == 0 && s.Peers[u.Host()] == "" {
		hinted := *e
		hinted.Text += fmt.Sprintf(" (here: --peer %s=ADDR)", u.Host())
		err = &hinted
	}
	return ref, s.unreached(err)
}
