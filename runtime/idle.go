package sturdy

import (
	"context"
	"math"
	"time"
)

// Settle returns when nothing more can happen in the world without time passing or somebody
// calling: every message is delivered that can be, and every timer has gone off that is due.
// next is when the next timer is due; the zero time: there is none. Whoever goes on calling
// meanwhile is waited for, too. For tests, and for scripts that want to see the end of what
// they began.
func (rt *Runtime) Settle(ctx context.Context) (next time.Time, err error) {
	if err := outsideTurns(ctx, "settle"); err != nil {
		return next, err
	}
	v := rt.vat
	quiet := make(chan int64, 1)
	if err := rt.selfDeadlock(v, "settle"); err != nil {
		return next, err
	}
	if err := v.w.lock(ctx, "settle", rt.clock); err != nil {
		return next, notStarted("settle", err)
	}
	v.mail.quiet = append(v.mail.quiet, quiet)
	v.w.unlock()
	v.wake(v.mail.kick)
	select {
	case due := <-quiet:
		if due < math.MaxInt64 {
			next = time.Unix(0, due).UTC()
		}
		return next, rt.Sync(ctx)
	case <-v.retired:
		return next, stoppedError("settle", ErrClosed)
	case <-ctx.Done():
		return next, notStarted("settle", ended(ctx))
	}
}
