package console

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// sturdyValue is a capability as text. It prints redacted, in tables, in f-strings and by
// print; reveal() tells the text. The statement that makes it prints it if it is the
// statement's value: that is how save(x) hands the text over.
type sturdyValue struct {
	s    *Session
	ref  caps.SturdyRef // not zero
	made int            // in which statement
}

func (s *Session) sturdy(ref caps.SturdyRef) *sturdyValue { return &sturdyValue{s, ref, s.statements} }

func (v *sturdyValue) String() string       { return text.Line(v.ref.String()) }
func (v *sturdyValue) Type() string         { return "sturdy ref" }
func (v *sturdyValue) Freeze()              {}
func (v *sturdyValue) Truth() starlark.Bool { return true }

// Hash refuses: a table of texts would have to compare them.
func (v *sturdyValue) Hash() (uint32, error) { return 0, fmt.Errorf("a sturdy ref cannot be a key") }

// sturdyHint goes with a text that is printed.
const sturdyHint = `Whoever has this text has what it stands for. It is stored nowhere and is not shown again;
u = save(…) keeps it as long as this session lasts, and u.reveal() shows it.`

// show is the text itself in the statement that made it, and redacted afterwards.
func (v *sturdyValue) show() string {
	if v.made == v.s.statements {
		return v.ref.Reveal() + "\n" + sturdyHint
	}
	return v.String() + "   .reveal() shows it"
}

// Attr is what can be done with the text without asking anybody, and the grant it is of.
func (v *sturdyValue) Attr(name string) (starlark.Value, error) {
	if name == "grant" {
		g, err := v.s.grantOf(name, v)
		if err != nil {
			return nil, err
		}
		return v.s.ref(g.Ref), nil
	}
	for _, m := range v.methods() {
		if m.name == name {
			return starlark.NewBuiltin(name, m.run), nil
		}
	}
	return nil, nil
}

// AttrNames are the names that Attr knows.
func (v *sturdyValue) AttrNames() []string {
	names := []string{"grant"}
	for _, m := range v.methods() {
		names = append(names, m.name)
	}
	return names
}

func (v *sturdyValue) methods() []verb {
	return []verb{
		{"attenuate", "rights", "a text with fewer rights", v.attenuate},
		{"only", "methods…", "a text for these methods only", v.only},
		{"until", "time", "a text that ends earlier", v.until},
		{"at", "address", "a text that says where its host is found", v.at},
		{"reveal", "", "the text, which is a secret", v.reveal},
	}
}

// weaker is a text made of this one. It is as fresh as this one.
func (v *sturdyValue) weaker(ref caps.SturdyRef) (starlark.Value, error) {
	if ref.IsZero() {
		return nil, errors.New("the text would get too long, or say what no text can; a new save(…) has room again")
	}
	return &sturdyValue{v.s, ref, v.made}, nil
}

func (v *sturdyValue) attenuate(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	to, err := oneRights(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	return v.weaker(v.ref.Attenuate(to))
}

// at is for hosts that do not say so themselves, or are found elsewhere.
func (v *sturdyValue) at(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var address string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "address", &address); err != nil {
		return nil, err
	}
	return v.weaker(v.ref.At(address))
}

// only takes names one by one, or one list of them.
func (v *sturdyValue) only(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(kwargs) > 0 {
		return nil, fmt.Errorf("%s: it takes names of methods", b.Name())
	}
	var list starlark.Value = args
	if len(args) == 1 {
		list = args[0]
	}
	names, err := methodNames(list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return v.weaker(v.ref.Only(names...))
}

func (v *sturdyValue) until(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "time", &x); err != nil {
		return nil, err
	}
	t, err := v.s.until(x)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return v.weaker(v.ref.Until(t))
}

func (v *sturdyValue) reveal(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return starlark.String(v.ref.Reveal()), starlark.UnpackArgs(b.Name(), args, kwargs)
}

func (s *Session) save(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	ref, terms, err := s.terms(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	var u caps.SturdyRef
	err = s.writing(b.Name(), func() (err error) {
		if s.Operator != nil {
			u, err = s.Operator.Save(s.ctx, ref, terms)
			return err
		}
		u, _, err = s.Runtime.Save(s.ctx, ref, terms)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.sturdy(u), nil
}

func (s *Session) restore(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &x); err != nil {
		return nil, err
	}
	u, err := sturdyRef(b.Name(), x)
	if err != nil {
		return nil, err
	}
	ref, err := s.restored(u)
	if err != nil {
		return nil, err
	}
	return s.ref(ref), nil
}

// sturdyRef is the text that is meant.
func sturdyRef(what string, x starlark.Value) (caps.SturdyRef, error) {
	switch x := x.(type) {
	case *sturdyValue:
		return x.ref, nil
	case starlark.String:
		return caps.ParseSturdyRef(string(x))
	}
	return caps.SturdyRef{}, fmt.Errorf(`%s: it wants a text like "sturdy://…", not a %s`, what, x.Type())
}

// restored is what u stands for. That of a weaker text may have to be recorded, the first
// time, which only a session that writes can do.
func (s *Session) restored(u caps.SturdyRef) (ref caps.Ref, err error) {
	if u.Host() != s.Runtime.Host() {
		return s.foreign(u)
	}
	if s.Writable {
		return s.Runtime.Restore(s.ctx, u)
	}
	err = s.Runtime.View(s.ctx, func(t *sturdy.ReadTurn) error {
		ref, err = s.Runtime.Restore(t, u)
		return err
	})
	if errors.Is(err, caps.ErrNoRight) {
		err = s.writing("to restore a weaker text for the first time", func() error { return err })
	}
	return ref, err
}
