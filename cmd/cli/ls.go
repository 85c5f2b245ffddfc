package cli

import (
	"context"
	"fmt"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type lsCmd struct {
	world
	Path string `arg:"" optional:"" name:"PATH" help:"Names from the root, like accounts/alice."`
	Full bool   `help:"Do not shorten lines."`
}

// Help is what ls --help says below the usage.
func (lsCmd) Help() string {
	return `A directory is listed by name, a collection by row, any other object with its methods and its state. A slash that is part of a name is written \/.`
}

func (c *lsCmd) run(ctx context.Context, a *app) error {
	return c.see(ctx, a, nil, func(ctx context.Context, w look.World) error { return c.print(ctx, a, w) })
}

func (c *lsCmd) print(ctx context.Context, a *app, w look.World) error {
	ref, info, err := patiently(ctx, w, c.Path)
	if err != nil {
		return err
	}
	l := lister{a: a, w: w, width: width(c.Full)}
	return l.list(ctx, ref, info)
}

// lineWidth is how wide a line gets without --full.
const lineWidth = 160

func width(full bool) int {
	if full {
		return 0
	}
	return lineWidth
}

// lister prints what is in an object.
type lister struct {
	a     *app
	w     look.World
	width int
	rows  [][]string

	patience look.Patience
}

func (l *lister) list(ctx context.Context, ref caps.Ref, info sturdy.ObjectInfo) error {
	switch {
	case info.Kind.Name == look.Directory:
		for n, err := range look.Names(ctx, ref) {
			if err != nil {
				return err
			}
			l.entry(ctx, n)
		}
	case look.IsCollection(info.Kind.Name):
		for e, err := range look.Rows(ctx, ref) {
			if err != nil {
				return err
			}
			l.add(l.literal(e.Key), l.literal(e.Val))
		}
	default:
		return l.object(ctx, ref, info)
	}
	l.flush()
	return nil
}

// entry adds the line of one name. An object that cannot be read does not hide the others.
func (l *lister) entry(ctx context.Context, n look.Name) {
	name := text.Line(look.JoinPath(n.Name))
	info, err := l.patience.Ask(ctx, func(ctx context.Context) (sturdy.ObjectInfo, error) { return look.Describe(ctx, l.w, n.Ref) })
	if err != nil {
		l.add(name, "-", "-", oneLine(err))
		return
	}
	if info.Kind.Name == look.Directory {
		name += "/"
	}
	l.add(name, objectName(info), info.Rights.String())
}

func objectName(info sturdy.ObjectInfo) string {
	return text.Line(look.Short(info.Kind.Name)) + " " + info.ID
}

func (l *lister) object(ctx context.Context, ref caps.Ref, info sturdy.ObjectInfo) error {
	defer l.flush()
	l.add("object", objectName(info))
	away := info.Host != "" && info.Host != l.w.Host()
	if away && info.Kind.Version == 0 { // nobody was asked
		l.add("rights", info.Rights.String())
		l.add("host", look.ShortHost(info.Host)+"…, another one; "+l.a.name+" repl -w asks it")
		return nil
	}
	l.add("kind", fmt.Sprintf("%s, version %d", text.Line(info.Kind.Name), info.Kind.Version))
	l.add("rights", info.Rights.String())
	l.add("methods", text.Line(look.Allowed(info)))
	if away {
		l.add("host", info.Host)
		return nil
	}
	state, err := l.w.State(ctx, ref)
	if err != nil {
		return err
	}
	l.add("state", l.literal(state))
	return nil
}

func (l *lister) literal(v caps.Value) string { return text.Line(look.Literal(v, l.width)) }

// batch is how many lines are laid out together: a directory of a million names is printed
// while it is read.
const batch = 1000

func (l *lister) add(cells ...string) {
	if l.rows = append(l.rows, cells); len(l.rows) == batch {
		l.flush()
	}
}

func (l *lister) flush() {
	fmt.Fprint(l.a.out, text.Table(l.rows, l.width))
	l.rows = nil
}
