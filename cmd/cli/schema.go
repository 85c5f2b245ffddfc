package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/objstore"
	"github.com/sturdyrt/sturdy/rpc/foreign"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type schemaCmd struct {
	Where     string   `arg:"" optional:"" name:"DIR" help:"The directory of the world; or sturdy://…, for the kind of what that opens."`
	Kind      []string `arg:"" optional:"" name:"KIND" help:"Print these only, by the whole name or the part behind the last slash."`
	All       bool     `help:"Also print every kind that comes with the runtime."`
	Base      bool     `help:"Print sturdy.capnp, which the other schemas import, and no kinds."`
	Namespace string   `placeholder:"NAME" help:"The C++ namespace of what is made of the schema, as in bank or example::bank."`
	Out       string   `short:"o" placeholder:"FILE" help:"Write it into this file."`
	Peer      peers    `placeholder:"HOST=ADDR" help:"Where another host is; may be repeated."`
}

// Help is what schema --help says below the usage.
func (schemaCmd) Help() string {
	return `Programs in C++, JavaScript or another language that has Cap'n Proto call the objects of a world as their own, with an interface for each kind:

  sturdy schema --base -o sturdy.capnp
  sturdy schema world -o world.capnp
  capnp compile -oc++ sturdy.capnp world.capnp

Methods and fields have the numbers that the world has given them. They stay what they are when kinds get more or other ones, so that a program which was made with an older schema goes on; what is no more is called obsolete. Kinds that come with the runtime are left out but for directories and collections, unless they are named or --all is given.

The kinds need not be known to this command, and the world may be open in a program that listens, as serve does.`
}

func (c *schemaCmd) run(ctx context.Context, a *app) error {
	if err := c.sensible(); err != nil {
		return err
	}
	var out strings.Builder
	if c.Base {
		out.WriteString(foreign.Base(c.Namespace))
	} else {
		ctx, stop := interruptible(ctx)
		defer stop()
		kinds, err := c.kinds(ctx, a)
		if err == nil {
			kinds, err = c.wanted(kinds)
		}
		if err == nil {
			err = foreign.Schema(&out, kinds, c.Namespace)
		}
		if err != nil {
			return err
		}
	}
	if c.Out != "" {
		return os.WriteFile(c.Out, []byte(out.String()), 0o644)
	}
	_, err := fmt.Fprint(a.out, out.String())
	return err
}

// sensible reports what of the arguments makes no sense.
func (c *schemaCmd) sensible() error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	for part := range strings.SplitSeq(c.Namespace, "::") {
		if c.Namespace != "" && (part == "" || strings.Trim(part, letters+"0123456789") != "" || !strings.Contains(letters, part[:1])) {
			return fmt.Errorf("--namespace wants a name like bank or example::bank, not %q", c.Namespace)
		}
	}
	switch {
	case c.Base && c.Where != "":
		return errors.New("--base is the same for every world: leave the world away")
	case !c.Base && c.Where == "":
		return errors.New("say which world, as in: sturdy schema DIR; or --base")
	case isSturdyRef(c.Where) && len(c.Kind) > 0:
		return errors.New("a sturdy ref opens one object, which has one kind: leave KIND away")
	}
	return nil
}

// kinds are those of the world, or the one of the object.
func (c *schemaCmd) kinds(ctx context.Context, a *app) (kinds []sturdy.KindInfo, err error) {
	if isSturdyRef(c.Where) {
		return c.kindOf(ctx, a)
	}
	rt, err := world{c.Where}.open(a, a.kinds, false)
	if errors.Is(err, objstore.ErrInUse) {
		return c.running(ctx, a, err)
	}
	if err != nil {
		return nil, err
	}
	defer closing(rt, &err)
	return rt.Kinds(ctx)
}

// kindOf is the kind of what a sturdy ref opens.
func (c *schemaCmd) kindOf(ctx context.Context, a *app) (kinds []sturdy.KindInfo, err error) {
	there := replCmd{Where: c.Where, Peer: c.Peer}
	p, err := there.restore(ctx, a)
	if err != nil {
		return nil, err
	}
	defer closing(p, &err)
	info, err := p.rt.Describe(ctx, p.it)
	return []sturdy.KindInfo{info.Kind}, err
}

// running are the kinds of a world that somebody has open; inUse says who.
func (c *schemaCmd) running(ctx context.Context, a *app, inUse error) (kinds []sturdy.KindInfo, err error) {
	p, err := world{c.Where}.attach(ctx, a, c.Peer, inUse)
	if err != nil {
		return nil, err
	}
	defer closing(p, &err)
	return p.operator.Kinds(ctx)
}

// wanted are the kinds that were asked for.
func (c *schemaCmd) wanted(kinds []sturdy.KindInfo) (list []sturdy.KindInfo, err error) {
	if len(c.Kind) == 0 {
		list = slices.DeleteFunc(kinds, func(k sturdy.KindInfo) bool {
			own, met := strings.HasPrefix(k.Name, "sturdy/"), k.Name == look.Directory || look.IsCollection(k.Name)
			return own && !met && !c.All && !isSturdyRef(c.Where)
		})
		return list, nil
	}
	for _, name := range c.Kind {
		found := slices.DeleteFunc(slices.Clone(kinds), func(k sturdy.KindInfo) bool {
			return k.Name != name && k.Name[strings.LastIndexByte(k.Name, '/')+1:] != name
		})
		if len(found) == 0 {
			return nil, &caps.Error{Op: "schema", Object: text.Line(name), Code: caps.ErrUnknownKind, Text: "the world has no kind " + text.Line(name) + "; the command kinds lists those that it has"}
		}
		list = append(list, found...)
	}
	return list, nil
}
