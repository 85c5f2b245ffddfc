package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type mailCmd struct {
	world
	Path        string `arg:"" optional:"" name:"PATH" help:"Of the object that the messages are for: names from the root, like accounts/alice. Without it all are listed."`
	Discard     string `xor:"do" placeholder:"ID" help:"End the waiting of this one, which is for another host: its promise breaks."`
	DiscardHost string `xor:"do" placeholder:"HOST" help:"Do that with every message for this host, which is gone for good: its name or the first 8 characters. Outcomes that wait for it are dropped."`
	Full        bool   `help:"Do not shorten lines."`
}

// Help is what mail --help says below the usage.
func (mailCmd) Help() string {
	return `A message that was sent and not yet delivered is a line: its number, to whom, which method, from whom, since when, its size on disk, and why it is held back, if it would be also while its program runs. A kind that this command does not have is such a reason, as far as this command can tell.

A message for another host waits for as long as that takes: nobody here can tell a host that is gone from one that is switched off. --discard and --discard-host end it. Its sender finds that it was not delivered, or that it may have been, if that host may have got it; then it is a dead letter, which the command dead can send again.

Nothing is delivered to look: that is done by the program, while it has the world open, and by repl -w.`
}

func (c *mailCmd) run(ctx context.Context, a *app) error {
	switch {
	case c.Path != "" && c.Discard+c.DiscardHost != "":
		return errors.New("--discard and --discard-host say which messages are meant: leave PATH away")
	case c.Discard != "":
		return c.changeAlone(ctx, a, func(ctx context.Context, p *place) error {
			return discard(ctx, a, p.world(), c.Discard, "discarded")
		})
	case c.DiscardHost != "":
		return c.changeAlone(ctx, a, func(ctx context.Context, p *place) error { return c.abandon(ctx, a, p.world()) })
	}
	return c.see(ctx, a, a.kinds, func(ctx context.Context, w look.World) error { return c.print(ctx, a, w) })
}

// abandon ends the waiting for a host.
func (c *mailCmd) abandon(ctx context.Context, a *app, w look.World) error {
	n, err := w.Activity().DiscardHost(ctx, c.DiscardHost)
	if n > 0 {
		fmt.Fprintf(a.out, "%s for host %s discarded\n", text.Count(n, "letter"), text.Line(c.DiscardHost))
	}
	return err
}

func (c *mailCmd) print(ctx context.Context, a *app, w look.World) error {
	all := look.Letters(ctx, w)
	if c.Path != "" {
		ref, err := at(ctx, w, c.Path)
		if err != nil {
			return err
		}
		info, err := look.Describe(ctx, w, ref)
		if err != nil {
			return err
		}
		all = look.LettersTo(all, info.ID)
	}
	return letterTable(a, all, c.Full, "HELD", func(l sturdy.LetterInfo) string { return l.Held })
}

// letterTable prints a line for each letter; the last column says what keeps it from being
// delivered.
func letterTable(a *app, all iter.Seq2[sturdy.LetterInfo, error], full bool, last string, why func(sturdy.LetterInfo) string) error {
	l := lister{a: a, width: width(full)}
	l.add("LETTER", "TO", "METHOD", "FROM", "SENT", "BYTES", last)
	for m, err := range all {
		if err != nil {
			l.flush()
			return err
		}
		l.add(m.ID, dash(text.Line(m.To)), dash(text.Line(m.Method)), dash(text.Line(m.From)), moment(m.Sent), text.Int(m.Bytes), dash(text.Line(why(m))))
	}
	l.flush()
	return nil
}
