package console

import (
	"errors"
	"fmt"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// allRows prints without the usual bound on rows.
type allRows struct{ of starlark.Iterable }

func (a *allRows) String() string        { return a.of.String() }
func (a *allRows) Type() string          { return "rows" }
func (a *allRows) Freeze()               {}
func (a *allRows) Truth() starlark.Bool  { return a.of.Truth() }
func (a *allRows) Hash() (uint32, error) { return 0, fmt.Errorf("rows cannot be a key") }

// Iterate goes through what is printed.
func (a *allRows) Iterate() starlark.Iterator { return a.of.Iterate() }

func (s *Session) rows(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Iterable
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &x); err != nil {
		return nil, err
	}
	if _, ok := x.(*refValue); ok {
		v, err := s.ls(nil, b, starlark.Tuple{x}, nil)
		if err != nil {
			return nil, err
		}
		x = v.(starlark.Iterable)
	}
	return &allRows{x}, nil
}

func (s *Session) sum(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var xs starlark.Iterable
	var total starlark.Value = starlark.MakeInt(0)
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "xs", &xs, "start?", &total); err != nil {
		return nil, err
	}
	n := 0
	for x := range starlark.Elements(xs) {
		var err error
		if total, err = starlark.Binary(syntax.PLUS, total, x); err != nil {
			return nil, err
		}
		if err := s.goOn(n); err != nil {
			return nil, err
		}
		n++
	}
	return total, s.stopped
}

// goOn looks, every now and then in a loop that Starlark does not count, whether it should
// go on.
func (s *Session) goOn(n int) error {
	if n%1024 != 0 {
		return nil
	}
	return s.ctx.Err()
}

func (s *Session) top(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var xs starlark.Iterable
	var key starlark.Value
	n := 10
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "xs?", &xs, "n?", &n, "key?", &key); err != nil {
		return nil, err
	}
	if len(args)+len(kwargs) == 0 {
		return s.busiest()
	}
	if xs == nil {
		return nil, errors.New("top: it takes what to choose from: top(xs, 3)")
	}
	if n < 0 {
		return nil, fmt.Errorf("top: n is %d", n)
	}
	var best []ranked
	seen := 0
	for x := range starlark.Elements(xs) {
		if err := s.goOn(seen); err != nil {
			return nil, err
		}
		seen++
		k, err := s.keyOf(thread, x, key)
		if err != nil {
			return nil, err
		}
		if best, err = insert(best, ranked{k, x}, n); err != nil {
			return nil, err
		}
	}
	list := make([]starlark.Value, len(best))
	for i, r := range best {
		list[i] = r.x
	}
	return starlark.NewList(list), s.stopped
}

// ranked is an element of top with what it is ranked by.
type ranked struct{ key, x starlark.Value }

// insert keeps best, at most n long, in descending order; of equals the first stays first.
func insert(best []ranked, r ranked, n int) ([]ranked, error) {
	at := len(best)
	for at > 0 {
		larger, err := starlark.Compare(syntax.GT, r.key, best[at-1].key)
		if err != nil {
			return nil, err
		}
		if !larger {
			break
		}
		at--
	}
	if at >= n {
		return best, nil
	}
	best = slices.Insert(best, at, r)
	return best[:min(len(best), n)], nil
}

// keyOf applies a function, or takes a field: of a struct, or of the struct of a pair.
func (s *Session) keyOf(thread *starlark.Thread, x, key starlark.Value) (starlark.Value, error) {
	switch k := key.(type) {
	case nil, starlark.NoneType:
		return x, nil
	case starlark.String:
		if pair, ok := x.(starlark.Tuple); ok && len(pair) == 2 {
			x = pair[1]
		}
		r, ok := x.(starlark.HasAttrs)
		if !ok {
			return nil, fmt.Errorf("top: a %s has no field %s", x.Type(), string(k))
		}
		v, err := r.Attr(string(k))
		if err == nil && v == nil {
			err = fmt.Errorf("top: a %s has no field %s", x.Type(), string(k))
		}
		return v, err
	}
	return starlark.Call(thread, key, starlark.Tuple{x}, nil)
}
