package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type mountCmd struct {
	world
	Path string `arg:"" name:"PATH" help:"Where it is to stand: names from the root, like peers/b. What is missing on the way is made."`
	Ref  string `arg:"" name:"REF" help:"sturdy://…, a text that another host has given, as its command save does. With - it is read from the standard input: other users of the machine can see the arguments of a command."`
	Peer peers  `placeholder:"HOST=ADDR" help:"Where another host is; may be repeated. A program that has the world open has to know itself."`
}

// Help is what mount --help says below the usage.
func (mountCmd) Help() string {
	return `What the text stands for, a directory or any other object of another host, then stands under a name of this world and is used as if it were here: repl walks it, and ls does while serve has the world open. It is kept when the other host is away, and works again when that is back. Nothing is replaced; unmount takes it away.`
}

func (c *mountCmd) run(ctx context.Context, a *app) error {
	names, err := pathOf(c.Path)
	if err != nil {
		return err
	}
	given, err := a.given(c.Ref)
	if err != nil {
		return err
	}
	u, err := caps.ParseSturdyRef(given)
	if err != nil {
		return err
	}
	return c.change(ctx, a, c.Peer, func(ctx context.Context, p *place) error {
		info, err := mounted(ctx, p, names, u)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.out, "%s is %s of host %s\n", text.Line(look.JoinPath(names...)), text.Line(look.Short(info.Kind.Name))+" "+info.ID, info.Host)
		return err
	})
}

// pathOf is a path of at least one name.
func pathOf(path string) ([]string, error) {
	names, err := look.ParsePath(path)
	if err == nil && len(names) == 0 {
		err = errors.New("PATH is empty: it is the root itself")
	}
	return names, err
}

// maxGiven is how long a line from the standard input may be.
const maxGiven = 64 << 10

// given is an argument, or a line of the standard input.
func (a *app) given(arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	line, err := bufio.NewReader(io.LimitReader(a.in, maxGiven)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

// mounted restores u and lets it stand under names, and describes it.
func mounted(ctx context.Context, p *place, names []string, u caps.SturdyRef) (info sturdy.ObjectInfo, err error) {
	restore, mount := p.rt.Restore, func(ctx context.Context, names []string, ref caps.Ref) error { return rpc.Mount(ctx, p.rt, names, ref) }
	if p.operator != nil {
		restore, mount = p.operator.Restore, p.operator.Mount
	}
	if u.Host() == p.world().Host() {
		return info, fmt.Errorf("the text is one of this world itself (host %s)", u.Host())
	}
	ref, err := restore(ctx, u)
	if errors.Is(err, caps.ErrNotDelivered) && p.operator != nil {
		return info, &hostApart{p.operator.Host(), err}
	}
	if err != nil {
		return info, err
	}
	if info, err = p.world().Describe(ctx, ref); err != nil {
		return info, err
	}
	return info, mount(ctx, names, ref)
}

// hostApart says that a running host, which is to reach another one, does not.
type hostApart struct {
	host string
	of   error
}

func (e *hostApart) Error() string {
	return fmt.Sprintf("the running host %s opens it, and does not reach the other: %s", e.host, oneLine(e.of))
}

func (e *hostApart) Unwrap() error { return e.of }

type unmountCmd struct {
	world
	Path string `arg:"" name:"PATH" help:"Of what was mounted: names from the root, like peers/b."`
}

// Help is what unmount --help says below the usage.
func (unmountCmd) Help() string {
	return `The name is taken away, and nothing is asked of the other host. What is of this world stays where it is: repl -w takes away such names, with drop.`
}

func (c *unmountCmd) run(ctx context.Context, a *app) error {
	names, err := pathOf(c.Path)
	if err != nil {
		return err
	}
	return c.change(ctx, a, nil, func(ctx context.Context, p *place) error {
		last := len(names) - 1
		dir, err := look.At(ctx, p.world(), names[:last])
		if err != nil {
			return err
		}
		ref, err := look.Get(ctx, dir, names[last])
		if err != nil {
			return err
		}
		info, err := look.Describe(ctx, p.world(), ref)
		switch {
		case errors.Is(err, caps.ErrNotDelivered): // it is on another host, which is away
		case err != nil:
			return err
		case info.Host == "" || info.Host == p.world().Host():
			return fmt.Errorf("%s is of this world, and not mounted; %s repl -w takes the name away with drop", text.Line(look.JoinPath(names...)), a.name)
		}
		return sturdy.Directory{Ref: dir}.Delete(ctx, names[last])
	})
}
