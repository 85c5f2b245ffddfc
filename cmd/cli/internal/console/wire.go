package console

import (
	"cmp"
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
// session whose objects are all elsewhere. Every other one needs the world: to look into its
// files, to make a turn of several calls, or to keep something in it.
func overWire() []string {
	return []string{
		"help", "ls", "describe", "same", "rows", "sum", "top", "try_", "put", "drop", "allows", "restore",
		"send", "watch", "thread", "steps", "pause", "resume", "cancel",
	}
}

// isHere reports whether a function is there in this session.
func (s *Session) isHere(verb string) bool {
	return s.Away == "" || slices.Contains(overWire(), verb)
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
	return fmt.Errorf("%s is not available over the wire: it needs the world itself; %s", what, cmp.Or(s.Away, "do it where that is open"))
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
func elsewhere(info sturdy.ObjectInfo) bool { return info.Kind.State.Class == "" }

// at names the host of an object elsewhere, as errors do.
func at(ref caps.Ref) string {
	if _, _, host, away := look.Elsewhere(ref); away {
		return " at " + text.Line(host)
	}
	return ""
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
	if s.Away == "" || at(dir.ref) == at(x.ref) {
		return nil
	}
	return fmt.Errorf("put: it would be reached through this session only, which ends: %s is on another host than the directory; restore it there", x)
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

// foreign is what a text of another host stands for.
func (s *Session) foreign(u caps.SturdyRef) (caps.Ref, error) {
	ref, err := s.Runtime.Restore(s.ctx, u)
	var e *caps.Error
	if errors.As(err, &e) && e.Code == caps.ErrNotDelivered && s.Connected && len(u.Addresses()) == 0 && s.Peers[u.Host()] == "" {
		hinted := *e
		hinted.Text += fmt.Sprintf(" (here: --peer %s=ADDR)", u.Host())
		err = &hinted
	}
	return ref, s.unreached(err)
}
