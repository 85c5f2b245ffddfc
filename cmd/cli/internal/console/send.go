package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// sends is the name behind which the methods of an object stand to be sent.
const sends = "send"

// sendValue is x.send.
type sendValue struct{ r *refValue }

func (v *sendValue) String() string        { return "send to " + v.r.String() }
func (v *sendValue) Type() string          { return "send" }
func (v *sendValue) Freeze()               {}
func (v *sendValue) Truth() starlark.Bool  { return true }
func (v *sendValue) Hash() (uint32, error) { return 0, fmt.Errorf("a send cannot be a key") }

// Attr is a method; calling it sends.
func (v *sendValue) Attr(name string) (starlark.Value, error) {
	m, err := v.method(name)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// AttrNames are the methods.
func (v *sendValue) AttrNames() (names []string) {
	info, err := v.r.s.describe(v.r.ref)
	for i := 0; err == nil && i < len(info.Kind.Methods); i++ {
		names = append(names, info.Kind.Methods[i].Name)
	}
	return names
}

// takesAny reports whether anything can be sent to objects of a kind: which methods a promise
// will have is not known yet, and a thread or a port receives what its program asks for.
func takesAny(kind string) bool {
	return kind == look.Promise || kind == look.Thread || kind == look.Port
}

// method finds a method.
func (v *sendValue) method(name string) (*methodValue, error) {
	info, err := v.r.s.describe(v.r.ref)
	if err != nil {
		return nil, err
	}
	for _, m := range info.Kind.Methods {
		if m.Name == name {
			return &methodValue{r: v.r, kind: info.Kind, info: m, sent: true}, nil
		}
	}
	if !takesAny(info.Kind.Name) {
		return nil, noMethod(info.Kind, name)
	}
	return &methodValue{r: v.r, kind: info.Kind, info: sturdy.MethodInfo{Name: name, Arg: anything(), Result: anything()}, sent: true, untyped: true}, nil
}

// send sends a message. Any send is a write, also that of a method which only reads. It is
// a turn of its own: what cannot be sent is an error of the turn, and more than may wait at
// once is refused, where a send from outside of turns would wait.
func (m *methodValue) send(args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	s := m.r.s
	if m.untyped && len(args)+len(kwargs) == 0 {
		m.info.Arg = caps.Shape{Class: "done"}
	}
	arg, err := bindArgs(m.kind, m.info, args, kwargs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name(), err)
	}
	msg := caps.Method[caps.Value, caps.Value](m.info.Name).To(m.r.ref, arg)
	if m.info.Arg.Class == "done" {
		msg = caps.Query[caps.Value](m.info.Name).To(m.r.ref)
	}
	p := &promiseValue{s: s, info: m.info}
	err = s.writing(sends, func() error {
		return s.Runtime.Update(s.ctx, func(t *sturdy.WriteTurn) error {
			p.promise = msg.Send(t)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// promiseValue is what a send returns. Printed, it is what it came to, or that it is pending.
type promiseValue struct {
	s       *Session
	promise caps.Promise[caps.Value]
	info    sturdy.MethodInfo // that was sent
}

// String is the promise's number.
func (p *promiseValue) String() string {
	words := strings.Fields(p.promise.Ref().String())
	return text.Line(strings.Join(words[:min(len(words), 2)], " "))
}
func (p *promiseValue) Type() string          { return "promise" }
func (p *promiseValue) Freeze()               {}
func (p *promiseValue) Truth() starlark.Bool  { return true }
func (p *promiseValue) Hash() (uint32, error) { return 0, fmt.Errorf("a promise cannot be a key") }

// Attr is wait, or ref: what stands for what the promise will come to.
func (p *promiseValue) Attr(name string) (starlark.Value, error) {
	switch name {
	case "wait":
		return starlark.NewBuiltin(name, p.wait), nil
	case "ref":
		return p.s.ref(p.promise.Ref()), nil
	}
	return nil, nil
}

// AttrNames are the names that Attr knows.
func (p *promiseValue) AttrNames() []string { return []string{"ref", "wait"} }

func (p *promiseValue) wait(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(b.Name(), args, kwargs); err != nil {
		return nil, err
	}
	return p.outcome(p.s.ctx)
}

// outcome is what the promise came to, as soon as it has.
func (p *promiseValue) outcome(ctx context.Context) (starlark.Value, error) {
	var v caps.Value
	var err error
	p.s.aside(func() { v, err = p.promise.Await(ctx) })
	switch {
	case p.s.ctx.Err() != nil:
		return nil, p.s.ctx.Err()
	case err != nil:
		return nil, err
	case look.NoResult(p.info.Result):
		return starlark.None, nil
	}
	return p.s.fromValue(v, p.info.Result), nil
}

// patience is how long a promise that is printed is waited for.
const patience = time.Second

// show is what the promise came to. One that was broken ends the input as a call would.
func (p *promiseValue) show() (string, error) {
	ctx, cancel := context.WithTimeout(p.s.ctx, patience)
	defer cancel()
	v, err := p.outcome(ctx)
	switch {
	case err != nil && ctx.Err() != nil && p.s.ctx.Err() == nil && errors.Is(err, sturdy.ErrTimeout):
		return "pending: " + p.String(), nil
	case err != nil:
		return "", err
	case v == starlark.None:
		return "done", nil
	}
	return p.s.show(v)
}
