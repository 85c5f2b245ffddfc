package cli

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type checkCmd struct{ world }

// Help is what check --help says below the usage.
func (checkCmd) Help() string {
	return `Every row, page and journal entry is read and held against its checksum and against the numbered invariants of the store. Then every object is loaded, every reference followed, and the rows of collections are counted. Nothing is changed. The exit code is 1 if anything is wrong.`
}

func (c *checkCmd) run(ctx context.Context, a *app) (err error) {
	rt, err := c.open(a, nil, false)
	if errors.Is(err, objstore.ErrDamaged) {
		return a.findings([]error{fmt.Errorf("it cannot be opened: %w", err)})
	}
	if errors.Is(err, objstore.ErrInUse) {
		return fmt.Errorf("check reads the files of the world, and needs it for itself: %w", err)
	}
	if err != nil {
		return err
	}
	defer closing(rt, &err)
	ctx, stop := interruptible(ctx)
	defer stop()
	total, err := objectCount(ctx, rt)
	if err != nil {
		return err
	}
	var seen atomic.Int64
	defer a.progress(total, &seen)()
	found, err := look.Check(ctx, rt, seen.Store)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		_, err = fmt.Fprintf(a.out, "%s, no faults found\n", text.Count(total, "object"))
		return err
	}
	return a.findings(found)
}

func (a *app) findings(found []error) error {
	fmt.Fprint(a.out, look.Findings(found))
	return errSaid
}

func objectCount(ctx context.Context, rt *sturdy.Runtime) (n int64, err error) {
	ks, err := rt.Kinds(ctx)
	for _, k := range ks {
		n += k.Objects
	}
	return n, err
}

// patience is after how long, and how often, a command says how far it is.
const patience = 2 * time.Second

// progress reports how much of total is seen until the function that it returns is called.
func (a *app) progress(total int64, seen *atomic.Int64) (stop func()) {
	return repeatedly(patience, func() { fmt.Fprintln(a.err, progressLine(seen.Load(), total)) })
}

// repeatedly calls say again and again until the function that it returns is called.
func repeatedly(after time.Duration, say func()) (stop func()) {
	tick, done, over := time.NewTicker(after), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-tick.C:
				say()
			case <-done:
				return
			}
		}
	}()
	return func() {
		tick.Stop()
		close(done)
		<-over
	}
}

func progressLine(seen, total int64) string {
	if seen == 0 {
		return "verifying the files"
	}
	return fmt.Sprintf("%s of %s", text.Int(seen), text.Count(total, "object"))
}
