package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// load is what this side serves for the peer.
type load struct {
	last    uint64               // the newest id
	serving map[uint64]*incoming // what is not answered; a canceled request is answered before it ends
	running int                  // handlers, also of what was canceled
	held    int                  // bytes of their requests
	begun   int                  // handlers that have begun and not returned
	large   int                  // bytes of the largest result, of late
	done    int                  // bytes of results for which there is no room yet
	kept    map[uint64]*kept     // results that may be called
	crew    crew
	late    *time.Timer   // has those look who have results for which there is no room; nil: there is no need
	ready   int           // requests that were handed over and have not begun
	moved   chan struct{} // of capacity 1: some have
	refused int           // requests, since the reader paused
}

const (
	// maxReady is how many requests of one peer wait for a processor. If the reader went on, those
	// of a peer that asks without end would all stand before the next one of another.
	maxReady = 32
	// maxRefused is after how many refusals the reader pauses, and refusalPause for how long: a
	// refusal costs the peer less than this host.
	maxRefused   = 16
	refusalPause = time.Millisecond
	// largeAges is for how many smaller results a large one is remembered, about.
	largeAges = 64
	// stuckFor is how long a peer may take for what one write is given, before results are dropped.
	stuckFor = time.Second
)

// paces has the reader wait until what was read has begun, as far as that takes a processor and
// nothing else: of the peer it asks nothing, so two readers never wait for each other.
func (l *link) paces() {
	l.mu.Lock()
	for l.load.ready >= maxReady && l.ended == nil {
		l.mu.Unlock()
		if c, ok := carrier(l.conn).(*watched); ok {
			c.look.alert()
		}
		select {
		case <-l.load.moved:
		case <-l.broken:
		}
		l.mu.Lock()
	}
	pause := l.load.refused >= maxRefused
	if pause {
		l.load.refused = 0
	}
	l.mu.Unlock()
	if pause {
		time.Sleep(refusalPause)
	}
}

// begins notes that a request which was handed over has begun, with mu held.
func (l *link) begins() {
	if l.load.ready--; l.load.ready == maxReady/2 {
		select {
		case l.load.moved <- struct{}{}:
		default:
		}
	}
}

// space gives up the lock until the peer has read so much of what was answered that there is room
// for more: for one that does not read, nothing is done. What will be answered is not known, and is
// taken for as large as what was; but only while much waits for the peer, as else what has begun may
// wait for this one.
func (l *link) space(in *incoming) {
	for l.load.serving[in.id] == in {
		waits := l.out.waiting() + l.load.done
		crowded := waits > l.lim.BytesInFlight/2 && waits+l.load.begun*l.load.large > l.lim.BytesInFlight
		if !crowded && !l.full(leastMessage) {
			break
		}
		l.awaitRoom(nil)
	}
	l.load.begun++
}

// made notes that a handler has returned a result of that size.
func (l *link) made(size int) {
	l.load.begun--
	l.load.large = max(size, l.load.large-l.load.large/largeAges-1)
}

// incoming is a request that is served, and the context of its handler: one allocation
// instead of four. Its timer and its channel are made when somebody waits for them.
type incoming struct {
	l    *link
	id   uint64
	q    request
	size int // of the frame that q is part of
	due  time.Time

	begun bool // what is called on the same result can begin. Guarded by l.mu

	mu    sync.Mutex
	over  error // why the context has ended
	ended chan struct{}
	timer *time.Timer
}

// Deadline is that of the peer, if it sent one.
func (in *incoming) Deadline() (time.Time, bool) { return in.due, !in.due.IsZero() }

// Value has nothing to tell.
func (in *incoming) Value(any) any { return nil }

// Done is closed when the context ends.
func (in *incoming) Done() <-chan struct{} {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ended == nil {
		in.ended = make(chan struct{})
		switch {
		case in.over != nil:
			close(in.ended)
		case !in.due.IsZero():
			in.timer = time.AfterFunc(time.Until(in.due), func() { in.cancel(context.DeadlineExceeded) })
		}
	}
	return in.ended
}

// Err is why the context has ended, or nil.
func (in *incoming) Err() error {
	if !in.due.IsZero() && time.Until(in.due) <= 0 {
		in.cancel(context.DeadlineExceeded)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.over
}

func (in *incoming) cancel(why error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over != nil {
		return
	}
	in.over = why
	if in.ended != nil {
		close(in.ended)
	}
	if in.timer != nil {
		in.timer.Stop()
	}
}

// farthest is the longest deadline that is kept: a peer may name one beyond all reckoning.
const farthest = 100 * 365 * 24 * time.Hour

// begin serves f, whose frame has size bytes, or answers that this is too much at once.
func (l *link) begin(f *frame, method string, size int) error {
	l.paces()
	in := &incoming{l: l, id: f.id, size: size, q: request{
		op: f.op, sheds: f.sheds, on: f.on, has: f.has, keep: f.keep, target: f.target, method: method, body: f.body, slots: f.slots,
	}}
	if f.left > 0 {
		in.due = time.Now().Add(time.Duration(min(f.left, uint64(farthest/time.Millisecond))) * time.Millisecond)
	}
	l.mu.Lock()
	switch {
	case l.ended != nil:
		l.mu.Unlock()
		return nil
	case f.id <= l.load.last:
		defer l.mu.Unlock()
		return fmt.Errorf("request %d after request %d", f.id, l.load.last)
	}
	l.load.last = f.id
	if e := l.refuses(&in.q, size); e != nil {
		l.load.refused++
		l.out.buf = appendError(l.out.buf, f.id, e)
		l.flushReply()
		return nil
	}
	l.load.serving[f.id] = in
	l.load.running++
	l.load.held += size
	if l.links(in); f.on != 0 {
		in.q.of.advance()
		return nil
	}
	l.hand(in)
	l.mu.Unlock()
	return nil
}

// refuses is why q, whose frame has size bytes, is not served; with mu held.
func (l *link) refuses(q *request, size int) *caps.Error {
	switch {
	case l.load.running >= l.lim.Calls || l.load.running > 0 && l.load.held+size > l.lim.BytesInFlight:
		return overloaded(q.method, nil, "%d requests of this host are being served", l.load.running)
	case q.keep && len(l.load.kept) >= l.lim.Calls:
		return overloaded(q.method, nil, "%d results are kept for this host, which it has not released", len(l.load.kept))
	case q.on != 0 && l.load.kept[q.on] == nil:
		return &caps.Error{Op: q.method, Code: caps.ErrNotDelivered, Text: fmt.Sprintf("not delivered: it was to be called on the result of request %d, which failed or is not kept. Nothing happened.", q.on)}
	}
	return nil
}

// run calls the handler and answers. What was canceled, or came too late, before it could
// begin is not begun.
func (in *incoming) run() {
	if over := in.Err(); over != nil {
		err := outcome(in.q.op, in.q.method, false, over)
		in.l.answer(in, &response{}, err)
		in.q.is.settle(caps.Reply{}, err)
		in.q.of.next(in)
		return
	}
	r, err := response{}, error(&caps.Error{Op: in.q.method, Code: caps.ErrPanicked, Text: "the method panicked; the other host's log says where"})
	defer func() {
		if p := recover(); p != nil {
			in.l.log.Error("a request of a peer panicked", "peer", in.l.host, "method", in.q.method, "panic", p, "stack", string(debug.Stack()))
		}
		in.l.answer(in, &r, err)
		in.q.is.settle(caps.Reply{}, err) // if the handler has not; behind the answer, which says why
		in.q.of.next(in)
		in.cancel(context.Canceled)
	}()
	r, err = in.l.serve(in, in.l, in.q)
}

// answer sends what the handler returned, unless the request was canceled. Its place is free
// before the peer can know, so that a peer which keeps to the limit never exceeds it.
func (l *link) answer(in *incoming, r *response, err error) {
	if err == nil {
		if fault := l.tooLarge(r.size(), r.slots); fault != nil {
			err = &caps.Error{Op: in.q.method, Code: caps.ErrBadResult, Text: fmt.Sprintf("it happened, and the result cannot be sent: %v", fault)}
		}
	}
	var e *caps.Error
	size := leastMessage
	if err != nil {
		e = failure(err)
	} else {
		size = r.size() + maxHeader
	}
	l.mu.Lock()
	l.made(size)
	for l.load.serving[in.id] == in && l.full(size) {
		if e == nil && l.drops(size) {
			e = &caps.Error{Op: in.q.method, Code: caps.ErrBadResult, Text: fmt.Sprintf("it happened, and its result was dropped: nothing is read, and %d bytes of others wait", l.load.done)}
			*r, size = response{}, leastMessage
			continue
		}
		done := size
		if e != nil {
			done = 0
		}
		l.load.done += done
		l.awaitRoom(nil)
		l.load.done -= done
	}
	asked := l.load.serving[in.id] == in
	delete(l.load.serving, in.id)
	l.load.running--
	l.load.held -= in.size
	switch {
	case !asked:
		l.roomier() // nothing is written that would say it
		l.mu.Unlock()
		return
	case e != nil:
		l.out.buf = appendError(l.out.buf, in.id, e)
	default:
		l.out.buf = appendResponse(l.out.buf, in.id, r)
	}
	if in.q.is.ready() { // this goroutine goes on with that, and may have more to send at once
		l.soon()
		l.mu.Unlock()
		return
	}
	l.flush(l.load.running == 0)
}

// drops reports whether a result of that size is one too many to be kept for a peer that does not
// read. Of one that does none is dropped, however slow it is: that it reads bounds what begins.
func (l *link) drops(size int) bool {
	if l.load.done == 0 || l.load.done+size <= l.lim.BytesInFlight {
		return false
	}
	if since := time.Duration(l.blocked.Load()); since != 0 && time.Since(l.start)-(since-1) >= stuckFor {
		return true
	}
	if l.load.late == nil {
		l.load.late = time.AfterFunc(stuckFor, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.load.late = nil
			l.roomier()
		})
	}
	return false
}

// failure is err as it is sent.
func failure(err error) *caps.Error {
	if e, ok := err.(*caps.Error); ok && e.Code != "" {
		return e
	}
	e := &caps.Error{Code: caps.ErrFailed, Text: err.Error(), Cause: caps.CauseOf(err)}
	if inner := (*caps.Error)(nil); errors.As(err, &inner) {
		e.Code, e.Cause = inner.Code, inner.Cause
	} else if code := caps.Code(""); errors.As(err, &code) {
		e.Code, e.Cause = code, ""
	}
	if e.Code == "" {
		e.Code = caps.ErrFailed
	}
	return e
}

// cancelRequest ends a request's context and answers it, so that the peer can forget it even
// if the handler does not heed its context.
func (l *link) cancelRequest(id uint64) error {
	l.mu.Lock()
	in := l.load.serving[id]
	if in == nil {
		defer l.mu.Unlock()
		if id > l.load.last {
			return fmt.Errorf("a cancel of request %d, which was not made", id)
		}
		return nil // answered meanwhile
	}
	delete(l.load.serving, id)
	e := caps.Error{Code: caps.ErrMaybeExecuted, Text: "canceled", Cause: caps.CauseOf(context.Canceled)}
	dropped := in.q.of.drop(in)
	if dropped {
		l.load.running--
		l.load.held -= in.size
		e.Code, e.Text = caps.ErrNotDelivered, "not delivered: canceled, before there was what it was to be called on"
	}
	l.out.buf = appendError(l.out.buf, id, &e)
	l.flushReply()
	in.cancel(context.Canceled)
	if is := in.q.is; dropped && is != nil {
		is.settle(caps.Reply{}, &e)
		l.mu.Lock()
		is.advance()
	}
	return nil
}
