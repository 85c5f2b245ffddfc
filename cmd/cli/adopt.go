package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

type adoptCmd struct {
	world
	Yes bool `help:"Do not ask. The original is gone."`
}

// Help is what adopt --help says below the usage.
func (adoptCmd) Help() string {
	return `A world that was copied, or brought back from a backup, refuses the sturdy refs that were made before: it cannot know which of them have been revoked in the original since. adopt makes it honour them.

The original must be gone for good. If both are used, what is revoked in one stays alive in the other; and what was revoked in the original after the copy was made is alive again in the copy: revoke it there, too.

In a world that is no copy this changes nothing.`
}

func (c *adoptCmd) run(ctx context.Context, a *app) (err error) {
	if !c.Yes {
		if err := c.confirm(a); err != nil {
			return err
		}
	}
	rt, err := c.open(a, a.kinds, true)
	if err != nil {
		return err
	}
	defer closing(rt, &err)
	ctx, stop := interruptible(ctx)
	defer stop()
	if !rt.Copied() {
		_, err = fmt.Fprintf(a.out, "%s is no copy, or was adopted before: nothing to do\n", text.Line(c.Dir))
		return err
	}
	if err := rt.Adopt(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s honours the sturdy refs that were made before it was copied\n", text.Line(c.Dir))
	return err
}

// confirm asks, where somebody can answer.
func (c *adoptCmd) confirm(a *app) error {
	if !isTerminal(a.in) {
		return errors.New("adopt asks whether the original is gone, and nobody is there to answer; --yes says that it is")
	}
	fmt.Fprintf(a.out, "Is the world that %s was copied from gone for good? What was revoked there since is alive here. Type yes: ", text.Line(c.Dir))
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	if err == nil && strings.TrimSpace(answer) == "yes" {
		return nil
	}
	return errors.New("nothing was changed")
}
