package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

type saveCmd struct {
	world
	Path   string   `arg:"" optional:"" name:"PATH" help:"Of the object: names from the root, like accounts/alice. Without it, the root."`
	To     string   `help:"Who or what it is for; listings of grants show it."`
	Rights string   `help:"No more than these: r, rw, …; without it, all."`
	Only   []string `placeholder:"METHOD,…" help:"No other methods than these."`
	Until  string   `placeholder:"7d" help:"For so long: 7d, 36h, or until a date."`
	Deep   bool     `help:"A membrane: whatever is obtained through it ends with it."`
	At     string   `placeholder:"ADDR" help:"Where the host is found, if it does not say so itself."`
}

// Help is what save --help says below the usage.
func (saveCmd) Help() string {
	return `It prints a sturdy ref: a text that opens the object, for whoever has it. It is a secret, is stored nowhere and not shown again; the command grants lists that it was given away, and repl -w takes it back with revoke.

The text says where the host listens, if it does: serve --listen, while the text is made. To others it is of use as long as the host can be reached.`
}

func (c *saveCmd) run(ctx context.Context, a *app) error {
	rights, err := rightsOf(c.Rights)
	if err != nil {
		return err
	}
	terms := caps.Terms{For: c.To, Deep: c.Deep}
	if c.Until != "" {
		if terms.Until, err = text.Moment(c.Until, time.Now()); err != nil {
			return fmt.Errorf("--until: %w", err)
		}
	}
	for _, name := range c.Only {
		terms.Only = append(terms.Only, caps.Action(name))
	}
	return c.change(ctx, a, nil, func(ctx context.Context, p *place) error {
		ref, err := at(ctx, p.world(), c.Path)
		if err != nil {
			return err
		}
		if c.Rights != "" {
			ref = ref.Attenuate(rights)
		}
		return c.print(ctx, a, p, ref, terms)
	})
}

func (c *saveCmd) print(ctx context.Context, a *app, p *place, ref caps.Ref, terms caps.Terms) (err error) {
	var u caps.SturdyRef
	if p.operator != nil {
		u, err = p.operator.Save(ctx, ref, terms)
	} else {
		u, _, err = p.rt.Save(ctx, ref, terms)
	}
	if err != nil {
		return err
	}
	if c.At != "" {
		if u = u.At(c.At); u.IsZero() {
			return fmt.Errorf("--at %s: that is no address", text.Line(c.At))
		}
	}
	if len(u.Addresses()) == 0 {
		fmt.Fprintf(a.err, "The text does not say where this host is: serve --listen makes it, or --at ADDR; else whoever opens it has to know, as --peer %s=ADDR says.\n", u.Host())
	}
	_, err = fmt.Fprintln(a.out, u.Reveal())
	return err
}

// rightsOf are rights as letters.
func rightsOf(letters string) (r caps.Rights, err error) {
	of := map[rune]caps.Rights{'r': caps.Read, 'w': caps.Write, 'x': caps.Run, 's': caps.Shallow}
	for _, c := range letters {
		if of[c] == 0 {
			return 0, fmt.Errorf(`--rights: rights are letters of "rwx", and "s" for what stays shallow; not %q`, strings.ToValidUTF8(letters, "?"))
		}
		r |= of[c]
	}
	return r, nil
}
