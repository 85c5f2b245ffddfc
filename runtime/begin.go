package sturdy

import (
	"context"
	"sync"

	"github.com/sturdyrt/sturdy/caps"
)

// Calls that are begun and not waited for: what caps asks of a Target, see begin.go there. To
// objects of this world, and whatever has to be judged here, they are calls of a goroutine. To
// an object of another host they leave at once, and what is called on their results follows.

// beginning is a Wire that can begin a call. What it returns is as of [caps.Ref.Begin].
type beginning interface {
	Begin(ctx context.Context, host, at string, to []byte, m caps.Message, keep bool) (wait func() (caps.Reply, error), line any)
}

// following is a way to a result that is not known yet, as a Wire has it.
type following interface {
	Begin(ctx context.Context, to caps.Rights, m caps.Message, keep bool) (wait func() (caps.Reply, error), line any)
	// Ended has fn called, once and on whatever goroutine, when the outcome is there.
	Ended(fn func())
}

// maxBegun is how many calls of one host may be under way that were begun: half of what a host
// serves for another at once, if that has not said otherwise.
const maxBegun = 512

// rooms are how many calls are under way, by host; this world is the empty one.
type rooms struct {
	mu sync.Mutex
	by map[string]chan struct{}
}

func (r *rooms) of(host string) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[string]chan struct{}{}
	}
	if r.by[host] == nil {
		r.by[host] = make(chan struct{}, maxBegun)
	}
	return r.by[host]
}

// Room waits until one more call may be begun where h is.
func (h *handle) Room(ctx context.Context) (leave func(), err error) {
	host := ""
	if r, err := h.remote(); err == nil && r != nil {
		host = r.Host
	}
	room := h.vat.rt.remotes.rooms.of(host)
	select {
	case room <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.vat.ending:
		return nil, &caps.Error{Code: ErrClosed, Text: "the world was closed"}
	}
	return func() { <-room }, nil
}

// Begin implements what caps asks of a Target. Through a grant of this host, or a deep Ref, the
// call and what comes of it are judged here, and so they are under a domain's ceiling.
func (h *handle) Begin(ctx context.Context, via caps.Ref, m caps.Message, keep bool) (wait func() (caps.Reply, error), line any) {
	rt := h.vat.rt
	if r, err := h.remote(); err == nil && r != nil && sendsOn(ctx, rt, m) {
		_, a, ok := maker.Open(via)
		if w := rt.wire.Load(); ok && a.Gate == nil && !a.Deep && w != nil {
			if w, ok := (*w).(beginning); ok {
				wait, line = w.Begin(ctx, r.Host, r.At, homeToken(r.Token, a), m, keep)
				return wait, followedBy(rt, line)
			}
		}
	}
	return func() (caps.Reply, error) { return h.Deliver(ctx, via, m) }, nil
}

// Begin is ref.Begin for who passes on calls, as [Runtime.Deliver] is ref.Deliver. begun is
// called at the latest when wait returns.
func (rt *Runtime) Begin(ctx context.Context, ref caps.Ref, m caps.Message, keep bool, begun func()) (wait func() (caps.Reply, error), line any) {
	o := &ordered{Context: ctx, begun: begun}
	outcome, line := ref.Begin(o, m, keep)
	return func() (caps.Reply, error) {
		defer o.Begun()
		return outcome()
	}, line
}

// InOrder is Deliver, and tells when it has begun.
func (h *handle) InOrder(ctx context.Context, via caps.Ref, m caps.Message, started func()) (caps.Reply, error) {
	wait, _ := h.vat.rt.Begin(ctx, via, m, false, started)
	return wait()
}

// sendsOn reports whether m may leave for another host without being looked at again.
func sendsOn(ctx context.Context, rt *Runtime, m caps.Message) bool {
	return len(m.Body) <= maxMessage && len(m.Slots) <= maxSlots && mayOf(ctx, rt) == nil
}

// ahead is the way to a result that is not known yet.
type ahead struct {
	rt    *Runtime
	under following
}

// followedBy is line for who is in rt; nil if it is none.
func followedBy(rt *Runtime, line any) any {
	if l, ok := line.(following); ok {
		return ahead{rt, l}
	}
	return nil
}

// Ended is what caps asks of a line.
func (f ahead) Ended(fn func()) { f.under.Ended(fn) }

// Begin calls the result.
func (f ahead) Begin(ctx context.Context, to caps.Rights, m caps.Message, keep bool) (wait func() (caps.Reply, error), line any) {
	if !sendsOn(ctx, f.rt, m) {
		return nil, nil
	}
	wait, line = f.under.Begin(ctx, to, m, keep)
	return wait, followedBy(f.rt, line)
}
