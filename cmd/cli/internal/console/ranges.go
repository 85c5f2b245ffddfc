package console

import (
	"fmt"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
)

// rangeValue is a part of a collection, read page by page while it is gone through: pairs of
// key and value. Outside of atomically each page is a turn of its own.
type rangeValue struct {
	r    *refValue
	part look.RowCursor // where to start; copied for each time it is gone through
}

func (v *rangeValue) String() string        { return "rows of " + v.r.String() }
func (v *rangeValue) Type() string          { return "rows" }
func (v *rangeValue) Freeze()               {}
func (v *rangeValue) Truth() starlark.Bool  { return true }
func (v *rangeValue) Hash() (uint32, error) { return 0, fmt.Errorf("rows cannot be a key") }

// Iterate goes through pairs.
func (v *rangeValue) Iterate() starlark.Iterator {
	s, c := v.r.s, v.part
	return &iterator{s: s, fetch: func() ([]starlark.Value, error) {
		page, err := c.Next(s.ctx)
		return convert(page, s.pair), err
	}}
}

func (s *Session) pair(e caps.Entry) starlark.Value {
	return starlark.Tuple{s.fromValue(e.Key, anything()), s.fromValue(e.Val, anything())}
}

// Iterate goes through the names of a directory or the keys of a collection.
func (r *refValue) Iterate() starlark.Iterator {
	s := r.s
	info, err := s.describe(r.ref)
	it := &iterator{s: s}
	switch {
	case err != nil:
		it.fetch = func() ([]starlark.Value, error) { return nil, err }
	case info.Kind.Name == look.Directory:
		c := look.NameCursor{Dir: r.ref}
		it.fetch = func() ([]starlark.Value, error) {
			page, err := c.Next(s.ctx)
			return convert(page, func(n look.Name) starlark.Value { return starlark.String(n.Name) }), err
		}
	case look.IsCollection(info.Kind.Name):
		c := look.RowCursor{Coll: r.ref}
		it.fetch = func() ([]starlark.Value, error) {
			page, err := c.Next(s.ctx)
			return convert(page, func(e caps.Entry) starlark.Value { return s.fromValue(e.Key, anything()) }), err
		}
	default:
		it.fetch = func() ([]starlark.Value, error) {
			return nil, fmt.Errorf("a %s has no rows to go through", look.Short(info.Kind.Name))
		}
	}
	return it
}

func convert[T any](page []T, to func(T) starlark.Value) []starlark.Value {
	out := make([]starlark.Value, len(page))
	for i, e := range page {
		out[i] = to(e)
	}
	return out
}

// iterator goes through pages. It reads each on the goroutine of who asks, as a turn wants
// it. Iterators cannot return errors: one ends the statement.
type iterator struct {
	s     *Session
	page  []starlark.Value
	fetch func() ([]starlark.Value, error) // none: the end
}

// Next is the next element.
func (i *iterator) Next(p *starlark.Value) bool {
	if len(i.page) == 0 && i.fetch != nil {
		var err error
		if i.page, err = i.fetch(); err != nil {
			i.s.stop(err)
			i.page = nil
		}
	}
	if len(i.page) == 0 {
		i.fetch = nil
		return false
	}
	*p = i.page[0]
	i.page = i.page[1:]
	return true
}

// Done has nothing to let go.
func (i *iterator) Done() {}
