package console

import (
	"bytes"
	"context"
	"errors"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// atomically runs f in one turn; in a session that only reads, in one read turn. f may run
// more than once: what it prints is kept back, and that of the last run comes out.
func (s *Session) atomically(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (v starlark.Value, err error) {
	var f starlark.Callable
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "f", &f); err != nil {
		return nil, err
	}
	if s.inTurn {
		return starlark.Call(thread, f, nil, nil)
	}
	if s.crowd != nil {
		return nil, errors.New("atomically: it cannot be called within each")
	}
	ctx, out := s.ctx, s.Out
	var printed bytes.Buffer
	defer func() {
		s.ctx, s.Out, s.inTurn, s.wrote = ctx, out, false, false
		if _, failed := out.Write(printed.Bytes()); err == nil {
			err = failed
		}
	}()
	run := func(turn context.Context) (err error) {
		printed.Reset()
		s.ctx, s.Out, s.inTurn, s.wrote = turn, &printed, true, false
		v, err = starlark.Call(thread, f, nil, nil)
		return err
	}
	if !s.Writable {
		return v, s.Runtime.View(ctx, func(t *sturdy.ReadTurn) error { return run(t) })
	}
	err = s.timed(func() error {
		return s.Runtime.Update(ctx, func(t *sturdy.WriteTurn) error { return run(t) })
	})
	return v, err
}

// try runs f and returns its value and None, or None and the error as a struct.
func (s *Session) try(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var f starlark.Callable
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "f", &f); err != nil {
		return nil, err
	}
	v, err := starlark.Call(thread, f, nil, nil)
	if s.ctx.Err() != nil {
		return nil, errors.Join(s.ctx.Err(), err)
	}
	if s.stopped != nil {
		err, s.stopped = s.stopped, nil
		thread.Uncancel()
	}
	if err == nil {
		return starlark.Tuple{v, starlark.None}, nil
	}
	return starlark.Tuple{starlark.None, asRecord(err)}, nil
}

// asRecord is an error as a value: code, what was tried, and text.
func asRecord(err error) *record {
	var e *caps.Error
	if errors.As(err, &e) {
		return newRecord("Code", starlark.String(e.Code), "Op", starlark.String(e.Op), "Object", starlark.String(e.Object), "Text", starlark.String(e.Text))
	}
	return newRecord("Code", starlark.String(codeOf(err)), "Op", starlark.String(""), "Object", starlark.String(""), "Text", starlark.String(err.Error()))
}
