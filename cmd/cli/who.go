package cli

import (
	"context"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type whoCmd struct {
	world
	Path string `arg:"" name:"PATH" help:"Of the object: names from the root, like accounts/alice."`
	Full bool   `help:"Do not shorten lines."`
}

// Help is what who --help says below the usage.
func (whoCmd) Help() string {
	return `Each line is one reference to the object as it is stored somewhere: where, with which rights and through which grant, and since when. A grant of the object is a line, too: it says on which terms the object is given away.`
}

func (c *whoCmd) run(ctx context.Context, a *app) error {
	return c.look(ctx, a, func(ctx context.Context, rt *sturdy.Runtime) error { return c.print(ctx, a, rt) })
}

func (c *whoCmd) print(ctx context.Context, a *app, rt *sturdy.Runtime) error {
	ref, err := at(ctx, rt, c.Path)
	if err != nil {
		return err
	}
	l := lister{a: a, width: width(c.Full)}
	l.add("HOLDER", "RIGHTS", "SINCE")
	rows := 0
	for h, err := range rt.Holders(ctx, ref) {
		if err != nil {
			l.flush()
			return err
		}
		info, err := look.Describe(ctx, rt, h.Ref)
		if err != nil {
			return err
		}
		rights := info.Rights.String()
		if h.Grant != nil {
			rights = look.GrantRights(*h.Grant)
		}
		l.add(text.Line(look.Place(ctx, rt, h, rows < searched)), text.Line(rights), moment(h.Since))
		rows++
	}
	l.flush()
	return nil
}

// searched is for how many lines a way from the root is looked for, which takes time for each.
const searched = 100
