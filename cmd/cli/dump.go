package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type dumpCmd struct {
	world
	Full bool `help:"Do not shorten lines."`
}

// Help is what dump --help says below the usage.
func (dumpCmd) Help() string {
	return `A line for each object: number, kind and version, state, and after "->" what it refers to. The entries of directories and the rows of collections follow on lines of their own, indented. States are shown as they are stored.`
}

func (c *dumpCmd) run(ctx context.Context, a *app) error {
	return c.look(ctx, a, func(ctx context.Context, rt *sturdy.Runtime) error { return c.print(ctx, a, rt) })
}

func (c *dumpCmd) print(ctx context.Context, a *app, rt *sturdy.Runtime) error {
	d := dumper{a, rt, width(c.Full)}
	for ref, err := range rt.Objects(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			err = d.line("%v", err)
		} else {
			err = d.object(ctx, ref)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type dumper struct {
	a     *app
	rt    *sturdy.Runtime
	width int
}

func (d *dumper) line(format string, args ...any) error {
	s := text.Line(fmt.Sprintf(format, args...))
	if d.width > 0 {
		s = text.Cut(s, d.width)
	}
	_, err := fmt.Fprintln(d.a.out, s)
	return err
}

// object prints one object. One that cannot be read gets a line that says so.
func (d *dumper) object(ctx context.Context, ref caps.Ref) error {
	info, err := look.Describe(ctx, d.rt, ref)
	if err != nil {
		return d.line("%s  %v", ref, err)
	}
	if _, _, _, away := look.Elsewhere(ref); away { // what opens it there is for nobody's eyes
		return d.line("%s  on another host", d.name(ctx, ref))
	}
	state, err := d.rt.State(ctx, ref)
	if err != nil {
		return d.line("%s  %s v%d  %v", info.ID, info.Kind.Name, info.Kind.Version, err)
	}
	refers := d.refers(ctx, state)
	err = d.line("%s  %s v%d  %s%s", info.ID, info.Kind.Name, info.Kind.Version, look.Literal(state, d.width), refers)
	switch {
	case err != nil:
		return err
	case info.Kind.Name == look.Directory:
		for n, err := range look.Names(ctx, ref) {
			if err = d.row(fmt.Sprintf("%s -> %s", look.JoinPath(n.Name), d.name(ctx, n.Ref)), err); err != nil {
				return err
			}
		}
	case look.IsCollection(info.Kind.Name):
		for e, err := range look.Rows(ctx, ref) {
			refers := d.refers(ctx, e.Val)
			if err = d.row(fmt.Sprintf("%s: %s%s", look.Literal(e.Key, d.width), look.Literal(e.Val, d.width), refers), err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dumper) row(s string, err error) error {
	if err != nil {
		return d.line("    %v", err)
	}
	return d.line("    %s", s)
}

// name is how an object and what a reference to it carries are printed.
func (d *dumper) name(ctx context.Context, ref caps.Ref) string {
	info, err := look.Describe(ctx, d.rt, ref)
	if err != nil {
		return ref.String() + " (cannot be read)"
	}
	return objectName(info) + " " + info.Rights.String()
}

// refers lists what v refers to. It comes before v is printed: a reference names the kind of
// its object once that has been loaded.
func (d *dumper) refers(ctx context.Context, v caps.Value) string {
	var names []string
	for r := range look.Refs(v) {
		if name := d.name(ctx, r); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "  -> " + strings.Join(names, "; ")
}
