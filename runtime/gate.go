package sturdy

import (
	"cmp"
	"context"
	"errors"

	"github.com/sturdyrt/sturdy/caps"
)

// The output gate. A turn may build on another that is committed in memory and not yet on
// disk; what must not happen is that anybody outside learns of something that a crash then
// takes back. So everything that a write turn has to say, a result or an error, passes
// through reply, and waits there until all that the turn can have seen is durable.
//
// There is no gate for input: a turn cannot wait, so nothing comes in while one runs. And
// there is none for read turns: they run on a snapshot that is durable already.

// group is the turns that become durable together.
type group struct {
	done chan struct{} // closed when they are, or cannot be
	err  error         // set before done is closed
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// wait returns when the group is durable. On a nil group it returns at once.
func (g *group) wait(ctx context.Context) error {
	if g == nil {
		return nil
	}
	if ctx.Done() == nil {
		<-g.done
		return g.err
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return maybeExecuted(ended(ctx))
	}
}

// isDone reports whether wait would return at once.
func (g *group) isDone() bool {
	if g == nil {
		return true
	}
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// pending returns the group that has to become durable so that everything committed is, or
// nil; with w held.
func (v *vat) pending() *group {
	switch {
	case v.lsn == v.snaps.durable.Load().lsn, v.lsn == v.lost:
		return nil
	case v.lsn > v.cut:
		return v.group
	default:
		return v.flying
	}
}

// A refusal is an output, too: that a grant was revoked or ran out is told only when it
// stays so, whatever happens next.

// owe makes the next group carry the time at which something was seen to have run out, if
// it is news; with w held.
func (v *vat) owe() {
	if v.news() && v.lsn == v.cut && v.failed.Load() == nil {
		v.lsn++
		v.wake(v.soft) // as the next commit is not the first of its group any more
	}
}

func (v *vat) news() bool { return v.rt.gates.Latest().UnixNano() > v.marked.Load() }

// writable reports whether a batch can still be made durable: Close lets the last one go.
func (v *vat) writable() bool {
	f := v.failed.Load()
	return f == nil || f.err == error(ErrClosed)
}

// overBy reports whether err says that writes are refused for good, and means it of this world: a
// method may return what another one has said.
func (v *vat) overBy(err error) bool {
	return v.failed.Load() != nil && (errors.Is(err, ErrStopped) || errors.Is(err, ErrClosed))
}

// told returns a refusal when it may be told.
func (v *vat) told(ctx context.Context, op string, refusal error) error {
	if errors.Is(refusal, caps.ErrRevoked) {
		if err := v.settled(ctx, op); err != nil {
			return err
		}
	}
	return refusal
}

// settled waits until everything is durable that a refusal can rest on.
func (v *vat) settled(ctx context.Context, op string) error {
	if isRelaxed(ctx) {
		return nil
	}
	if err := v.w.lock(ctx, op, v.rt.clock); err != nil {
		return notStarted(op, err)
	}
	v.owe()
	g := v.pending()
	f := v.failed.Load()
	lost := f != nil && !v.store.Info().ReadOnly && v.news()
	v.w.unlock()
	switch {
	case lost: // that it ran out cannot be kept, so it is not told
		return notStarted(op, stoppedError(op, f.err))
	case g == nil:
		return nil
	}
	v.wake(v.kick)
	if err := g.wait(ctx); err != nil {
		return notStarted(op, err)
	}
	return nil
}

// reply holds back what a turn has come to until it may be told.
func (v *vat) reply(ctx context.Context, op string, g *group, err error) error {
	if err != nil {
		v.stats.aborted.Add(1)
	}
	if g == nil || isRelaxed(ctx) {
		return err
	}
	v.wake(v.kick)
	hasBegun(ctx)
	lost := g.wait(ctx)
	if lost != nil && err != nil {
		// What the turn failed on may never have been: its error must not be told either.
		return notStarted(op, lost)
	}
	return cmp.Or(lost, err)
}
