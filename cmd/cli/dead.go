package cli

import (
	"context"
	"fmt"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type deadCmd struct {
	world
	Resend  string `xor:"do" placeholder:"ID" help:"Send this one again. It is delivered when its program has the world open."`
	Discard string `xor:"do" placeholder:"ID" help:"Forget this one."`
	Full    bool   `help:"Do not shorten lines."`
}

// Help is what dead --help says below the usage.
func (deadCmd) Help() string {
	return `A message that could not be delivered for good is a line: its number, to whom, which method, from whom, since when, its size on disk, and why: what it was for is not there, or the reference did not allow it. The newest 10,000 are kept. A method that ran and failed has answered its sender; that is not listed.`
}

func (c *deadCmd) run(ctx context.Context, a *app) error {
	if c.Resend == "" && c.Discard == "" {
		return c.see(ctx, a, nil, func(ctx context.Context, w look.World) error {
			return letterTable(a, look.DeadLetters(ctx, w), c.Full, "ERROR", func(l sturdy.LetterInfo) string { return l.Error })
		})
	}
	return c.change(ctx, a, nil, func(ctx context.Context, p *place) error { return c.settle(ctx, a, p.world()) })
}

// settle sends again or forgets.
func (c *deadCmd) settle(ctx context.Context, a *app, w look.World) error {
	if c.Resend != "" {
		if err := w.Activity().Resend(ctx, c.Resend); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "letter %s is sent again, as a new one\n", text.Line(c.Resend))
		return nil
	}
	return discard(ctx, a, w, c.Discard, "forgotten")
}

// discard forgets a letter, and says what it is now.
func discard(ctx context.Context, a *app, w look.World, id, now string) error {
	if err := w.Activity().Discard(ctx, id); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "letter %s is %s\n", text.Line(id), now)
	return nil
}
