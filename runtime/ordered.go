package sturdy

import (
	"context"
	"sync/atomic"

	"github.com/sturdyrt/sturdy/caps"
)

// Deliver is ref.Deliver for who passes on the calls of somebody who does not wait between
// them, and expects them to take effect in the order in which he made them: package rpc. It
// calls begun once, as soon as whatever is done next by a write turn comes after this call:
// that is when its turn is committed, before that is durable and long before the outcome is
// back. So a hundred calls in a row become durable together.
//
// What only reads comes after the call when Deliver has returned, not before: it runs on what
// is durable. begun is called at the latest when Deliver returns, and must not block.
func (rt *Runtime) Deliver(ctx context.Context, ref caps.Ref, m caps.Message, begun func()) (caps.Reply, error) {
	o := &ordered{Context: ctx, begun: begun}
	defer o.Begun()
	return ref.Deliver(o, m)
}

// ordered is the context of a call whose caller wants to know when it has begun.
type ordered struct {
	context.Context
	begun func()
	told  atomic.Bool
}

// Begun is for what is called and not of this world: it is asked for structurally. The first time
// counts.
func (o *ordered) Begun() {
	if !o.told.Swap(true) {
		o.begun()
	}
}

// hasBegun tells who made the call with ctx that the next may follow.
func hasBegun(ctx context.Context) {
	if o, ok := ctx.(*ordered); ok {
		o.Begun()
	}
}
