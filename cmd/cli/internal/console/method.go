package console

import (
	"context"
	"fmt"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// methodValue is a method of an object, to be called.
type methodValue struct {
	r    *refValue
	kind sturdy.KindInfo
	info sturdy.MethodInfo
	sent bool // it is sent, not called
	// untyped: it is none of the kind's, so it is not known what it takes.
	untyped bool
}

func (m *methodValue) String() string {
	if m.untyped {
		return text.Line(m.info.Name) + "(…)   " + m.promised()
	}
	return look.Typed(m.info) + "   needs " + m.info.Needs.String()
}

// promised is what is known of a message whose argument has no shape that is known here.
func (m *methodValue) promised() string {
	if m.kind.Name == look.Promise {
		return "the promise does not say yet what it takes"
	}
	const checked = "; its program says what it takes, and refuses anything else when it receives it"
	if m.kind.Name != look.Thread {
		return look.Short(m.kind.Name) + checked
	}
	th, err := sturdy.ThreadRef{Ref: m.r.ref}.Info(m.r.s.ctx)
	switch {
	case err != nil || th.Waits == "message "+m.info.Name:
		return "the thread waits for it" + checked
	case th.Waits != "":
		return "the thread waits for " + text.Line(th.Waits) + "; it receives this one when it asks for it" + checked
	}
	return "the thread does not wait for it now" + checked
}

func (m *methodValue) Name() string          { return look.Short(m.kind.Name) + "." + m.info.Name }
func (m *methodValue) Type() string          { return "method" }
func (m *methodValue) Freeze()               {}
func (m *methodValue) Truth() starlark.Bool  { return true }
func (m *methodValue) Hash() (uint32, error) { return 0, fmt.Errorf("a method cannot be a key") }

// CallInternal calls the object.
func (m *methodValue) CallInternal(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	s := m.r.s
	if m.sent {
		return m.send(args, kwargs)
	}
	if m.info.Name == "range" && look.IsCollection(m.kind.Name) {
		return m.rows(args, kwargs)
	}
	arg, err := bindArgs(m.kind, m.info, args, kwargs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name(), err)
	}
	var res caps.Value
	call := func() (err error) {
		ctx := s.ctx
		s.aside(func() { res, err = deliver(ctx, m.r.ref, m.info, arg) })
		return err
	}
	switch reads := m.info.Needs&^caps.Read == 0; {
	case reads || !m.kind.Known:
		err = call()
	case m.info.Needs&caps.Run != 0 || m.info.Outside && m.foreign():
		err = s.acting(m.Name(), call)
	default:
		err = s.writing(m.Name(), call)
	}
	if err != nil {
		return nil, err
	}
	return s.fromValue(res, m.info.Result), nil
}

// foreign reports whether the method is one of a foreign program's, whose call is no turn of
// anybody.
func (m *methodValue) foreign() bool {
	_, is := m.r.s.ofForeign(m.r.ref)
	return is
}

// deliver calls a method through the descriptor of its form, with Values for types.
func deliver(ctx context.Context, to caps.Ref, m sturdy.MethodInfo, arg caps.Value) (res caps.Value, err error) {
	takes, returns := m.Arg.Class != "done", !look.NoResult(m.Result)
	switch {
	case takes && returns:
		return caps.Method[caps.Value, caps.Value](m.Name).Call(ctx, to, arg)
	case returns:
		return caps.Query[caps.Value](m.Name).Call(ctx, to)
	case takes:
		return res, caps.Command[caps.Value](m.Name).Call(ctx, to, arg)
	}
	return res, caps.Action(m.Name).Call(ctx, to)
}

// rows is the method range of a collection, without the bound on how much it returns.
func (m *methodValue) rows(args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	vals, err := assign(look.Params(m.info.Arg), args, kwargs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name(), err)
	}
	part := look.RowCursor{Coll: m.r.ref}
	if part.From, err = optional(vals[0], "from"); err != nil {
		return nil, err
	}
	if part.To, err = optional(vals[1], "to"); err != nil {
		return nil, err
	}
	if vals[2] != nil {
		if err := starlark.AsInt(vals[2], &part.Limit); err != nil || part.Limit < 0 {
			return nil, fmt.Errorf("%s: limit: wants a number of rows, not %s", m.Name(), vals[2])
		}
	}
	return &rangeValue{m.r, part}, nil
}

func optional(v starlark.Value, name string) (caps.Value, error) {
	if v == nil {
		return caps.Value{}, nil
	}
	return toValue(v, anything(), name)
}
