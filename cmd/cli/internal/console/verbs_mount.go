package console

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/rpc"
)

// mount lets another host's directory, or any object of it, stand under a path of this world. It
// is walked like what is here, and is an ordinary entry: drop takes it away.
func (s *Session) mount(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	var path string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &x, "path", &path); err != nil {
		return nil, err
	}
	names, err := look.ParsePath(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("mount: %w", err)
	case len(names) == 0:
		return nil, errors.New(`mount: it wants a path from the root, like "peers/b"`)
	case s.inTurn:
		return nil, &caps.Error{Op: b.Name(), Code: caps.ErrWouldBlock, Text: "a turn cannot wait for another host; call it before or after atomically"}
	}
	return starlark.None, s.writing(b.Name(), func() error {
		ref, err := s.mountable(b.Name(), x)
		switch {
		case err != nil:
			return err
		case s.Operator != nil:
			return s.Operator.Mount(s.ctx, names, ref)
		}
		return rpc.Mount(s.ctx, s.Runtime, names, ref)
	})
}

// mountable is what x stands for, as the world keeps it: the host that has that open reaches it
// by itself.
func (s *Session) mountable(what string, x starlark.Value) (ref caps.Ref, err error) {
	if r, ok := x.(*refValue); ok {
		if s.Operator != nil && reachedBy(r.ref) != look.ShortHost(s.Operator.Host()) {
			return ref, fmt.Errorf("mount: it would be reached through this session only, which ends: %s is on another host; mount the text that opens it", text.Line(r.ref.String()))
		}
		return r.ref, nil
	}
	u, err := sturdyRef(what, x)
	switch {
	case err != nil:
		return ref, err
	case s.Operator == nil:
		return s.restored(u)
	}
	ref, err = s.Operator.Restore(s.ctx, u)
	var e *caps.Error
	if errors.As(err, &e) && e.Code == caps.ErrNotDelivered && u.Host() != s.Operator.Host() {
		hinted := *e
		hinted.Text = fmt.Sprintf("it is opened by the host that this session is attached to, and %s: %s", s.lastingly(), e.Text)
		return ref, &hinted
	}
	return ref, err
}
