package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/objstore"
	"github.com/sturdyrt/sturdy/rpc"
)

type hostsCmd struct {
	world
	Full bool `help:"Do not shorten lines."`
}

// Help is what hosts --help says below the usage.
func (hostsCmd) Help() string {
	return `Each line is another host: its name, where it was found (- if it came by itself), whether it is connected, since when it is or is not, how long a sign of life took, how many messages and outcomes of messages wait here to be brought there, and why it was lost last or could not be reached.

A program that has the world open, and listens, as serve does, is asked. If no program has, only the hosts are listed that something waits for. What waits for one that is gone for good, mail --discard-host ends.`
}

func (c *hostsCmd) run(ctx context.Context, a *app) (err error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	rt, err := c.open(a, nil, false)
	switch {
	case err == nil:
		defer closing(rt, &err)
		all, err := look.Awaited(ctx, rt)
		if err != nil {
			return err
		}
		c.print(a, all)
		fmt.Fprintln(a.err, "No program has the world open, so no host is connected.")
		return nil
	case !errors.Is(err, objstore.ErrInUse):
		return err
	}
	p, err := c.attach(ctx, a, nil, err)
	if err != nil {
		return err
	}
	defer closing(p, &err)
	all, err := p.operator.Hosts(ctx)
	if err != nil {
		return err
	}
	c.print(a, all)
	return nil
}

func (c *hostsCmd) print(a *app, all []rpc.HostInfo) {
	l := lister{a: a, width: width(c.Full)}
	l.add("HOST", "ADDRESS", "STATE", "SINCE", "ROUND TRIP", "WAITING", "LAST ERROR")
	for _, h := range all {
		trip := ""
		if h.RoundTrip > 0 {
			trip = text.Took(h.RoundTrip)
		}
		l.add(text.Line(h.Host), dash(text.Line(h.Address)), look.HostState(h), moment(h.Since), dash(trip), text.Int(int64(h.Waiting)), dash(text.Line(h.Error)))
	}
	l.flush()
}
