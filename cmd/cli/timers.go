package cli

import (
	"context"
	"time"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

type timersCmd struct {
	world
	Full bool `help:"Do not shorten lines."`
}

// Help is what timers --help says below the usage.
func (timersCmd) Help() string {
	return `A message that waits for its time is a line: its number, to whom, which method, when it is due, how often it goes off again, if it does, and who set it. One without a method wakes the thread that it is for. What came due while no program had the world open goes off when one does.`
}

func (c *timersCmd) run(ctx context.Context, a *app) error {
	return c.see(ctx, a, nil, func(ctx context.Context, w look.World) error { return c.print(ctx, a, w) })
}

func (c *timersCmd) print(ctx context.Context, a *app, w look.World) error {
	l := lister{a: a, width: width(c.Full)}
	l.add("TIMER", "TO", "METHOD", "DUE", "EVERY", "FROM")
	for t, err := range look.Timers(ctx, w) {
		if err != nil {
			l.flush()
			return err
		}
		l.add(t.ID, dash(text.Line(t.To)), dash(text.Line(t.Method)), moment(t.Due), dash(every(t.Every)), dash(text.Line(t.From)))
	}
	l.flush()
	return nil
}

// every is how often a timer goes off; empty: once.
func every(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return text.Length(d)
}
