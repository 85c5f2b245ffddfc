package cli

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/picture"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type grantsCmd struct {
	world
	Path     string `arg:"" optional:"" name:"PATH" help:"Of the object that was granted: names from the root, like accounts/alice. Without it all grants are listed."`
	Tree     bool   `xor:"form" help:"As a tree, in text."`
	Dot      bool   `xor:"form" help:"As a tree, for Graphviz."`
	Svg      bool   `xor:"form" help:"As a tree, an SVG file."`
	Expiring string `xor:"form" placeholder:"7d" help:"Those that run out within so long: 7d, 36h, or before a date."`
	Full     bool   `help:"Do not shorten lines."`
}

// Help is what grants --help says below the usage.
func (grantsCmd) Help() string {
	return `A grant is a line: its number; its state, which is alive, revoked, ran out, or dead above, if it is a grant above it that ended; what was granted, the rights and methods, to whom or for what, until when, by whom, the grants above it, since when, how often it was used and when last.

A tree shows each grant below the one that it was derived from, up to 2,000 of them. Membranes have a double border; what was revoked is struck through, and what is dead is grey.`
}

func (c *grantsCmd) run(ctx context.Context, a *app) error {
	return c.look(ctx, a, func(ctx context.Context, rt *sturdy.Runtime) error { return c.print(ctx, a, rt) })
}

func (c *grantsCmd) print(ctx context.Context, a *app, rt *sturdy.Runtime) error {
	now, err := look.Now(ctx, rt)
	if err != nil {
		return err
	}
	var of caps.Ref
	if c.Path != "" {
		if of, err = at(ctx, rt, c.Path); err != nil {
			return err
		}
	}
	switch {
	case c.Tree || c.Dot || c.Svg:
		return c.draw(ctx, a, rt, of, now)
	case c.Expiring != "":
		return c.expiring(ctx, a, rt, of, now)
	}
	return c.table(a, rt.Grants(ctx, of), now)
}

// at is what stands under a path as it was typed.
func at(ctx context.Context, w look.World, path string) (ref caps.Ref, err error) {
	names, err := look.ParsePath(path)
	if err != nil {
		return ref, err
	}
	return look.At(ctx, w, names)
}

// patiently is at for a world of which parts may be on other hosts, and describes what is there.
func patiently(ctx context.Context, w look.World, path string) (ref caps.Ref, info sturdy.ObjectInfo, err error) {
	near, done := context.WithTimeout(ctx, look.LookWithin)
	defer done()
	if ref, err = at(near, w, path); err == nil {
		info, err = look.Describe(near, w, ref)
	}
	if err != nil && near.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: a host on the way does not answer within %s: %w", cmp.Or(path, "the root"), text.Length(look.LookWithin), err)
	}
	return ref, info, err
}

func (c *grantsCmd) draw(ctx context.Context, a *app, rt *sturdy.Runtime, of caps.Ref, now time.Time) error {
	g, err := picture.Load(ctx, rt, of, now)
	if err != nil {
		return err
	}
	drawn := g.Text
	switch {
	case c.Dot:
		drawn = g.Dot
	case c.Svg:
		drawn = g.SVG
	}
	_, err = fmt.Fprint(a.out, drawn())
	return err
}

// expiring lists what runs out in time, of one object if there is a path.
func (c *grantsCmd) expiring(ctx context.Context, a *app, rt *sturdy.Runtime, of caps.Ref, now time.Time) error {
	before, err := text.Moment(c.Expiring, now)
	if err != nil {
		return fmt.Errorf("--expiring: %w", err)
	}
	all := rt.Expiring(ctx, before)
	if of.IsNull() {
		return c.table(a, all, now)
	}
	info, err := look.Describe(ctx, rt, of)
	if err != nil {
		return err
	}
	return c.table(a, func(yield func(sturdy.GrantInfo, error) bool) {
		for g, err := range all {
			mine := err != nil || strings.HasSuffix(g.Object, " "+info.ID)
			if mine && !yield(g, err) {
				return
			}
		}
	}, now)
}

// table prints a line for each grant.
func (c *grantsCmd) table(a *app, all iter.Seq2[sturdy.GrantInfo, error], now time.Time) error {
	l := lister{a: a, width: width(c.Full)}
	l.add("GRANT", "STATE", "OBJECT", "RIGHTS", "METHODS", "TO", "UNTIL", "BY", "ABOVE", "SINCE", "USES", "USED")
	for g, err := range all {
		if err != nil {
			l.flush()
			return err
		}
		l.add(g.ID, look.GrantState(g, now), text.Line(g.Object), look.GrantRights(g), text.Line(look.GrantMethods(g)), dash(text.Line(g.For)),
			moment(g.Until), dash(text.Line(g.By)), dash(strings.Join(g.Above, ", ")), moment(g.Since), text.Int(g.Uses), moment(g.Used))
	}
	l.flush()
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// moment is a time to the second; that of what never was is a dash.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
