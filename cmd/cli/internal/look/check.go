package look

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// maxFindings is how many faults a check reports.
const maxFindings = 100

// Check verifies a world: the store's invariants, then that every object loads, that every
// reference in a state or a row leads to an object (those on other hosts are not asked for), and that collections hold as many rows
// as they say. It returns what is wrong, at most a hundred findings; an error says why it
// could not go on. progress is told now and then how many objects have been seen.
func Check(ctx context.Context, rt *sturdy.Runtime, progress func(objects int64)) (found []error, err error) {
	c := checker{ctx: ctx, rt: rt}
	if err := rt.Check(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.found = split(err)
	}
	damaged := len(c.found) > 0
	for ref, err := range rt.Objects(ctx) {
		switch {
		case ctx.Err() != nil:
			return c.found, ctx.Err()
		case err == nil:
			c.object(ref)
		case !damaged: // else the store has told
			c.add("listing the objects: %w", err)
		}
		if c.seen++; c.seen%1000 == 0 {
			progress(c.seen)
		}
	}
	return c.found, ctx.Err()
}

// split takes joined errors apart.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && !errors.As(err, new(*caps.Error)) {
		return joined.Unwrap()
	}
	return []error{err}
}

type checker struct {
	ctx   context.Context
	rt    *sturdy.Runtime
	seen  int64
	found []error
}

func (c *checker) add(format string, args ...any) {
	if len(c.found) < maxFindings {
		c.found = append(c.found, fmt.Errorf(format, args...))
	}
}

// object checks one object and what it holds.
func (c *checker) object(ref caps.Ref) {
	info, err := Describe(c.ctx, c.rt, ref)
	if err != nil {
		c.add("%s: %w", ref, err)
		return
	}
	if _, _, _, away := Elsewhere(ref); away {
		return // the rest is on its host
	}
	name := Short(info.Kind.Name) + " " + info.ID
	state, err := c.rt.State(c.ctx, ref)
	if err != nil {
		c.add("%s: %w", name, err)
		return
	}
	for r := range Refs(state) {
		c.leads(name, r)
	}
	if info.Kind.Name == Directory || IsCollection(info.Kind.Name) {
		c.rows(name, info.Kind.Name, ref)
	}
}

// leads checks that a reference held by the object called name leads somewhere.
func (c *checker) leads(name string, r caps.Ref) {
	if _, err := Describe(c.ctx, c.rt, r); err != nil {
		c.add("%s refers to %s: %w", name, r, err)
	}
}

func (c *checker) rows(name, kind string, ref caps.Ref) {
	var n int64
	var failed error
	if kind == Directory {
		for e, err := range Names(c.ctx, ref) {
			if failed = err; err == nil {
				n++
				c.leads(fmt.Sprintf("%s, entry %q,", name, e.Name), e.Ref)
			}
		}
	} else {
		for e, err := range Rows(c.ctx, ref) {
			if failed = err; err == nil {
				n++
				for r := range Refs(e.Val) {
					c.leads(fmt.Sprintf("%s, row %s,", name, e.Key), r)
				}
			}
		}
	}
	if failed != nil {
		c.add("%s: %w", name, failed)
		return
	}
	if says, err := Len(c.ctx, ref); err != nil {
		c.add("%s: %w", name, err)
	} else if says != n && kind != Cell {
		c.add("%s says that it holds %d rows; it holds %d", name, says, n)
	}
}

// Refs yields the references in v, as often as they stand there; null ones are left out.
func Refs(v caps.Value) iter.Seq[caps.Ref] {
	return func(yield func(caps.Ref) bool) { eachRef(v, yield) }
}

func eachRef(v caps.Value, yield func(caps.Ref) bool) bool {
	switch x := v.Any().(type) {
	case caps.Ref:
		return x.IsNull() || yield(x)
	case []caps.Value:
		for _, e := range x {
			if !eachRef(e, yield) {
				return false
			}
		}
	case []caps.Entry:
		for _, e := range x {
			if !eachRef(e.Val, yield) {
				return false
			}
		}
	}
	return true
}

// Findings is what a check found, numbered, a line each.
func Findings(found []error) string {
	if len(found) == 0 {
		return "no faults found\n"
	}
	var b strings.Builder
	for i, err := range found {
		fmt.Fprintf(&b, "%d. %s\n", i+1, text.Line(err.Error()))
	}
	if len(found) >= maxFindings {
		b.WriteString("and perhaps more\n")
	}
	return b.String()
}
