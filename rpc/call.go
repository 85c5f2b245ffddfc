package rpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// asked is what this side has asked and the peer has not answered.
type asked struct {
	last     uint64 // the newest id
	calls    map[uint64]*pending
	canceled map[uint64]struct{} // nobody waits for these any more; the peer answers them all the same
	keeps    map[uint64]*keeping // results that can be called before they are here
	ended    []func()            // what is to be told that it is answered
	telling  bool                // somebody does. Invariant: ended is empty otherwise
}

// maxCanceled is how many requests, for each that the peer may serve at once, may be canceled
// and not answered before no new ones are made. An honest peer answers a cancel at once.
const maxCanceled = 4

// pending is a request that somebody waits for. Whoever takes it out of the table settles it.
type pending struct {
	done   chan struct{} // gets one value when it is settled by another than the caller
	op     op
	method string
	r      response
	err    error
	goal   *goal    // of a call that was begun; nil: somebody waits for the answer
	keep   *keeping // how the peer keeps the result; nil: it does not
	on     *keeping // the result that is called; nil: there is none
	kindAt int64    // the offset of its frame's kind
	end    int64    // the offset of its frame's end
}

// call asks the peer, and waits for the answer until ctx ends. The error says what has
// become of the request: caps.ErrNotDelivered and caps.ErrOverloaded, nothing happened;
// caps.ErrMaybeExecuted, it may have; anything else is the peer's answer.
func (l *link) call(ctx context.Context, q request) (response, error) {
	id, p, err := l.put(ctx, &q)
	if err != nil {
		return response{}, err
	}
	return l.await(ctx, id, p)
}

// put is the first half of call. The other is to be done once, and soon: only await sees
// that ctx has ended.
func (l *link) put(ctx context.Context, q *request) (id uint64, p *pending, err error) {
	left, err := l.ready(ctx, q)
	if err != nil {
		return 0, nil, err
	}
	p = l.spares.Get().(*pending)
	if q.op == opBegin {
		p.goal = &goal{}
	}
	if id, err = l.submit(ctx, p, q, left); err != nil {
		l.recycle(p)
		return 0, nil, err
	}
	return id, p, nil
}

// await is the second half of call.
func (l *link) await(ctx context.Context, id uint64, p *pending) (response, error) {
	defer l.recycle(p)
	over := ctx.Done()
	if over == nil {
		<-p.done // half of what a select costs
		return p.r, p.err
	}
	select {
	case <-p.done:
	case <-over:
		if !l.abandon(id, p, ctx.Err()) {
			<-p.done // the answer was faster
		}
	}
	return p.r, p.err
}

func (l *link) recycle(p *pending) {
	p.method, p.r, p.err, p.goal, p.keep, p.on = "", response{}, nil, nil, nil, nil
	l.spares.Put(p)
}

// ready waits for the peer's greeting, and reports the milliseconds that ctx leaves, and what
// q has that the peer would not take. What every peer takes, and what may be repeated if it turns
// out to be none, is not kept back: to restore a sturdy ref at a host that is not connected takes
// a round trip less.
func (l *link) ready(ctx context.Context, q *request) (left uint64, err error) {
	sure := q.op.changesNothing() && len(q.slots) == 0 && q.size(math.MaxUint64)+maxHeader <= leastMessage
	if !sure && !l.greets.Load() {
		select {
		case <-l.greeted:
		case <-l.broken:
			return 0, outcome(q.op, q.method, false, l.err())
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, outcome(q.op, q.method, false, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		rest := time.Until(deadline)
		if rest <= 0 {
			return 0, outcome(q.op, q.method, false, context.DeadlineExceeded)
		}
		left = uint64((rest + time.Millisecond - 1) / time.Millisecond)
	}
	if !sure {
		if fault := l.tooLarge(q.size(left), q.slots); fault != nil {
			return 0, outcome(q.op, q.method, false, fault)
		}
	}
	if len(q.target) > maxToken || len(q.method) > maxMethod {
		return 0, outcome(q.op, q.method, false, fmt.Errorf("a target of %d bytes and a method of %d; at most %d and %d can be sent", len(q.target), len(q.method), maxToken, maxMethod))
	}
	return left, nil
}

// tooLarge is why the peer would not take a message whose fields take size bytes.
func (l *link) tooLarge(size int, slots [][]byte) error {
	if size+maxHeader > l.theirs.MessageBytes {
		return tooLarge("a message of %d bytes; the peer takes %d", size+maxHeader, l.theirs.MessageBytes)
	}
	if len(slots) > l.theirs.Slots {
		return tooLarge("%d capabilities in one message; the peer takes %d", len(slots), l.theirs.Slots)
	}
	for _, s := range slots {
		if len(s) > maxToken {
			return tooLarge("a capability of %d bytes; at most %d can be sent", len(s), maxToken)
		}
	}
	return nil
}

// tooLarge is an error that no repetition helps.
func tooLarge(format string, args ...any) error {
	return fmt.Errorf("%s (%w)", fmt.Sprintf(format, args...), caps.ErrBadArgument)
}

// submit queues q as p, and has it written.
func (l *link) submit(ctx context.Context, p *pending, q *request, left uint64) (id uint64, err error) {
	size := q.size(left) + maxHeader
	l.mu.Lock()
	for l.ended == nil && l.full(size) {
		if !l.awaitRoom(ctx.Done()) {
			l.mu.Unlock()
			return 0, overloaded(q.method, ctx.Err(), "the peer does not read as fast as it is sent to: %v", ctx.Err())
		}
	}
	if l.ended != nil || len(l.asked.canceled) >= maxCanceled*l.lim.Calls {
		defer l.mu.Unlock()
		if l.ended != nil {
			return 0, outcome(q.op, q.method, false, l.ended)
		}
		return 0, overloaded(q.method, nil, "the peer has not answered %d canceled requests", len(l.asked.canceled))
	}
	on := l.asked.keeps[q.on]
	if q.on != 0 && on == nil {
		defer l.mu.Unlock()
		return 0, errKnown
	}
	l.asked.last++
	id = l.asked.last
	p.op, p.method = q.op, q.method
	l.holds(id, p, q, on)
	p.kindAt = l.out.queued()
	l.out.buf = appendRequest(l.out.buf, id, q, left)
	p.end = l.out.queued()
	p.kindAt += int64(uvarintSize(uint64(1 + uvarintSize(id) + q.size(left))))
	l.asked.calls[id] = p
	if p.goal != nil { // more may follow, or it is waited for at once: see prompt
		l.soon()
		l.mu.Unlock()
		return id, nil
	}
	l.flush(l.out.buffered && len(l.asked.calls) == 1 && p.end-l.out.proven <= promptWrite)
	return id, nil
}

// abandon gives up p, because ctx ended, unless it is settled already.
func (l *link) abandon(id uint64, p *pending, cause error) bool {
	l.mu.Lock()
	if l.asked.calls[id] != p {
		l.mu.Unlock()
		return false
	}
	if !l.withdraw(id, p, cause) {
		l.asked.canceled[id] = struct{}{}
		l.out.buf = appendHeader(l.out.buf, kindCancel, id, 0)
		l.forget(p, true)
	}
	l.reaches(p)
	l.flush(false)
	return true
}

// withdraw takes p out of the table and sets its error. If its frame was not handed to the
// kernel it never will be: it becomes one that means nothing, which withdraw reports.
func (l *link) withdraw(id uint64, p *pending, cause error) bool {
	delete(l.asked.calls, id)
	unsent := p.end > l.out.taken
	if unsent {
		l.out.buf[p.kindAt-l.out.taken] = byte(kindVoid)
	}
	if unsent {
		l.forget(p, false)
	}
	p.err = outcome(p.op, p.method, !unsent, cause)
	return unsent
}

// answered settles what f answers.
func (l *link) answered(f *frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.asked.calls[f.id]
	if p == nil {
		if _, ok := l.asked.canceled[f.id]; !ok && l.ended == nil {
			return fmt.Errorf("an answer to request %d, which waits for none", f.id)
		}
		delete(l.asked.canceled, f.id)
		return nil
	}
	if p.end > l.out.taken {
		return fmt.Errorf("an answer to request %d, which was not sent yet", f.id)
	}
	if f.kind == kindError && len(f.failure[2]) == 0 {
		return errors.New("an error without a code")
	}
	delete(l.asked.calls, f.id)
	l.out.proven = max(l.out.proven, p.end)
	l.forget(p, true)
	if f.kind == kindError {
		p.err = f.err()
	} else {
		p.r = f.answer()
	}
	l.reaches(p)
	p.done <- struct{}{} // last: p is used again for another
	return nil
}
