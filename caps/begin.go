package caps

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// beginner is a Target of which calls can be begun. It is asked for structurally, as in send.go;
// a Target that is none is called before Begin returns.
type beginner interface {
	// Begin is Ref.Begin.
	Begin(ctx context.Context, via Ref, m Message, keep bool) (wait func() (Reply, error), line any)
	// Room waits until one more call may be under way there. leave says that it is over.
	Room(ctx context.Context) (leave func(), err error)
}

// line leads to the host of a result.
type line interface {
	// Begin is Ref.Begin of the result, of which the caller has these rights. wait is nil if
	// that way is closed: the result is here or about to be, and all that was begun is over.
	Begin(ctx context.Context, to Rights, m Message, keep bool) (wait func() (Reply, error), next any)
	// Ended has fn called, once and on whatever goroutine, when the outcome is there.
	Ended(fn func())
}

// orderly is a Target that says when a call of it has started: what is called then comes after.
type orderly interface {
	InOrder(ctx context.Context, via Ref, m Message, started func()) (Reply, error)
}

// Begin makes the call now, at most once, and does not wait for its outcome, which is what
// Call would have returned: Await has it. Nothing of it is stored, so it cannot have a Then,
// and in a turn it is ErrWouldBlock: there a Call joins the turn, and a Send leaves with it.
//
// The promise's Ref stands for the result. Calls and Begins of it do not wait for that, and run
// when it is there: a chain of calls to another host costs one way there and back. What is begun
// leaves together, when something is waited for, or after a tenth of a millisecond. If there
// is no result, they were not made: ErrNotDelivered, with the reason's code as Cause. Those that
// are begun before the result is known take effect in the order in which they were begun, unless
// the result is itself the promise of a call that was begun elsewhere and is not known either. As an
// argument the Ref is waited for; it can be stored once the result is known, and stands for
// nothing in a turn before.
//
// ctx bounds the call, not what is called on its result. Begin waits, until ctx ends, while a
// host is being connected to, or too many calls of it are under way.
func (m Method[A, R]) Begin(ctx context.Context, to Ref, arg A) Promise[R] {
	msg, err := bind(to, string(m), arg)
	if err != nil {
		return Promise[R]{Message{Method: string(m)}.begunBroken(err)}
	}
	c, err := codecOf[R]()
	if err != nil {
		return Promise[R]{msg.begunBroken(err)}
	}
	return Promise[R]{msg.begin(ctx, c.root.op == opRef || c.root.op == opValue)}
}

// Begin is Method.Begin without an argument.
func (m Query[R]) Begin(ctx context.Context, to Ref) Promise[R] {
	return Method[Done, R](m).Begin(ctx, to, Done{})
}

// Begin is Method.Begin without a result.
func (m Command[A]) Begin(ctx context.Context, to Ref, arg A) Promise[Done] {
	return Method[A, Done](m).Begin(ctx, to, arg)
}

// Begin is Method.Begin with neither argument nor result.
func (m Action) Begin(ctx context.Context, to Ref) Promise[Done] {
	return Method[Done, Done](m).Begin(ctx, to, Done{})
}

// begin begins m, and returns the Ref of its outcome. Unless keep, that is no Ref.
func (m Message) begin(ctx context.Context, keep bool) Ref {
	if turnOf(ctx) != nil {
		return m.begunBroken(beginInTurn(m))
	}
	host, ok := m.To.target.(beginner)
	if on, is := host.(*begun); is && on.host != nil { // not by way of on, which nobody may need any more
		host = on.host
	}
	b := &begun{method: m.Method, host: host, done: make(chan struct{})}
	leave := func() {}
	if ok {
		var err error
		if leave, err = host.Room(ctx); err != nil {
			return m.begunBroken(&Error{Op: m.Method, Object: m.To.String(), Code: ErrOverloaded, Cause: CauseOf(err), Text: fmt.Sprintf("overloaded, not begun: too many calls are under way: %v", err)})
		}
	}
	wait, next := m.To.Begin(ctx, m, keep)
	switch b.line, _ = next.(line); {
	case b.line != nil:
		b.follow(ctx, wait, leave)
	case ok:
		go b.run(wait, leave)
	default:
		b.run(wait, leave)
	}
	return Ref{target: b, auth: Full()}
}

// follow waits for the outcome when it is there, or ctx ends. A goroutine that waited from the
// start would cost more than the call.
func (b *begun) follow(ctx context.Context, wait func() (Reply, error), leave func()) {
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() { b.run(wait, leave) })
	}
	b.line.Ended(func() {
		if stop() { // else that runs it
			b.run(wait, leave)
		}
	})
}

// begunBroken is the Ref of what could not be begun.
func (m Message) begunBroken(err error) Ref {
	b := &begun{method: m.Method, err: err, done: make(chan struct{})}
	close(b.done)
	return Ref{target: b, auth: Full()}
}

func beginInTurn(m Message) error {
	return &Error{Op: m.Method, Object: m.To.String(), Code: ErrWouldBlock, Text: "a turn cannot begin what goes on without it. Call joins the turn, Send leaves with its commit"}
}

// Begin is the untyped call below every descriptor's Begin, for the wire: what it returns at
// once is how to wait for the outcome. wait is to be called once, also if nobody wants the
// outcome, and may be what makes the call. keep says that the result may be called before it
// is known, for which line is the way: nil, if there is none that is shorter than to wait.
func (r Ref) Begin(ctx context.Context, m Message, keep bool) (wait func() (Reply, error), line any) {
	m.To = r
	t, ok := r.target.(beginner)
	switch {
	case turnOf(ctx) != nil:
		return func() (Reply, error) { return Reply{}, beginInTurn(m) }, nil
	case !ok || anyBegun(m.Slots): // what is not known yet is waited for
		return func() (Reply, error) { return r.Deliver(ctx, m) }, nil
	}
	return t.Begin(ctx, r, m, keep)
}

// begun is the Target of the Ref of a call that was begun.
type begun struct {
	method string
	host   beginner // whom the call is of
	line   line     // on which calls of the result leave; nil: they wait here
	done   chan struct{}
	reply  Reply // Invariant: fixed, like err, before done is closed
	err    error
	mu     sync.Mutex
	last   chan struct{} // closed when who waits here as the last has started; nil: nobody does
}

// run waits for the outcome.
func (b *begun) run(wait func() (Reply, error), leave func()) {
	defer close(b.done)
	defer leave()
	b.err = &Error{Op: b.method, Code: ErrPanicked, Text: "the method ended its goroutine"}
	b.reply, b.err = wait()
}

func (b *begun) settled() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// On is what m is called on if that is the result of a call which came to r or to err. Whether
// that call happened is another question: m was not made if there is nothing to call.
func (m Message) On(r Reply, err error) (Ref, error) {
	if err != nil {
		return Ref{}, notMade(m.Method, "what it was to be called on", err)
	}
	to, ok := r.ref()
	switch {
	case !ok:
		return Ref{}, &Error{Op: m.Method, Code: ErrNoMethod, Text: "what it was to be called on came to a value, which has no methods; Await has it"}
	case to.IsNull():
		return Ref{}, nullError(m.Method)
	}
	return to, nil
}

// notMade is the error of a call that lacked something which came to err.
func notMade(method, what string, err error) error {
	return &Error{Op: method, Code: ErrNotDelivered, Cause: reason(err), Text: fmt.Sprintf("not delivered: %s failed: %v", what, err)}
}

// ref is the Ref that r is.
func (r Reply) ref() (to Ref, ok bool) {
	var v Value
	c, err := codecOf[Value]()
	if err != nil || len(r.Body) == 0 || len(r.Body) > maxRefBody || len(r.Slots) > 1 || c.Decode(pointerTo(&v), r.Body, r.Slots) != nil {
		return to, false
	}
	if v.v != nil {
		to, ok = v.v.(Ref)
		return to, ok
	}
	return to, true
}

// maxRefBody is the longest body of a message that is a Ref.
const maxRefBody = 6

// reason is the code of err, as the Cause of what failed because of it.
func reason(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CauseOf(err)
}

// as is what is left of r for who holds it with authority via, where r had been handed out with
// every right.
func (r Ref) as(via Authority) Ref {
	r.auth.Rights &= via.Rights
	return r.through(via)
}

// Settled is r, or, if r stands for the result of a call that was begun and has come to a Ref,
// that Ref.
func (r Ref) Settled() Ref {
	if b, ok := r.target.(*begun); ok && b.settled() && b.err == nil {
		if to, ok := b.reply.ref(); ok {
			return to.as(r.auth).Settled()
		}
	}
	return r
}

// Settle is Settled, for which it waits; in a turn it cannot: ErrWouldBlock. What has failed, or
// came to a value, is an error.
func (r Ref) Settle(ctx context.Context) (Ref, error) {
	b, ok := r.target.(*begun)
	if !ok {
		return r, nil
	}
	if err := b.await(ctx, "settle"); err != nil {
		return Ref{}, err
	}
	if r = r.Settled(); r.target != b {
		return r.Settle(ctx)
	}
	if b.err != nil {
		return Ref{}, b.err
	}
	return Ref{}, &Error{Op: "settle", Object: b.String(), Code: ErrBadArgument, Text: b.String() + " is a value and no object; Await has it"}
}

// anyBegun reports whether any of refs has to be settled before it is sent.
func anyBegun(refs []Ref) bool {
	for _, r := range refs {
		if _, ok := r.target.(*begun); ok {
			return true
		}
	}
	return false
}

// settleAll is the arguments of method, settled.
func settleAll(ctx context.Context, method string, refs []Ref) (settled []Ref, err error) {
	for _, r := range refs {
		if r, err = r.Settle(ctx); err != nil {
			return nil, notMade(method, "a call whose result is an argument", err)
		}
		settled = append(settled, r)
	}
	return settled, nil
}

// stillPending is the code of the runtime for a wait that ended before what it was for.
const stillPending Code = "it took too long"

// await waits until b is settled.
func (b *begun) await(ctx context.Context, op string) error {
	if b.settled() {
		return nil
	}
	if turnOf(ctx) != nil {
		return &Error{Op: op, Object: b.String(), Code: ErrWouldBlock, Text: b.String() + " is not known yet, and a turn cannot wait"}
	}
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return &Error{Op: op, Object: b.String(), Code: stillPending, Cause: CauseOf(ctx.Err()), Text: b.String() + " is not known yet: " + ctx.Err().Error()}
	}
}

// Room is that of the host, or of the result if the host has none.
func (b *begun) Room(ctx context.Context) (leave func(), err error) {
	if b.host != nil {
		return b.host.Room(ctx)
	}
	r := Ref{target: b}.Settled()
	if t, ok := r.target.(beginner); ok && t != beginner(b) {
		return t.Room(ctx)
	}
	return func() {}, nil
}

// Begin sends m after the call whose result it is for. What the caller has of the result by way
// of a grant of this host, or deep, is judged here, so it waits here.
func (b *begun) Begin(ctx context.Context, via Ref, m Message, keep bool) (wait func() (Reply, error), next any) {
	if l := b.line; l != nil && !(b.settled() && b.err != nil) && via.auth.Gate == nil && !via.auth.Deep {
		if answer, next := l.Begin(ctx, via.Rights(), m, keep); answer != nil {
			return func() (Reply, error) {
				r, err := answer()
				return r, b.blame(m, err)
			}, next
		}
	}
	late := b.settled()
	before, mine := b.queue()
	return func() (Reply, error) {
		started := sync.OnceFunc(func() { close(mine) })
		defer started()
		if err := b.await(ctx, m.Method); err != nil {
			return Reply{}, &Error{Op: m.Method, Object: b.String(), Code: ErrNotDelivered, Cause: CauseOf(ctx.Err()), Text: fmt.Sprintf("not delivered: %v", err)}
		}
		to, err := m.On(b.reply, b.err)
		if err != nil {
			return Reply{}, err
		}
		select {
		case <-before:
		case <-ctx.Done(): // as it is told where it is called
		}
		to = to.as(via.auth).Settled()
		if t, ok := to.target.(orderly); ok && !late {
			return t.InOrder(ctx, to, m, started)
		}
		started()
		return to.Deliver(ctx, m)
	}, nil
}

// queue has somebody wait here, until who came before has started, and who comes next until
// started is closed.
func (b *begun) queue() (before <-chan struct{}, started chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil {
		b.last = b.done
	}
	before, b.last = b.last, make(chan struct{})
	return before, b.last
}

// blame is err, with what is known here about why: the other host may have been told less.
func (b *begun) blame(m Message, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if b.settled() && b.err != nil && errors.As(err, &e) && e.Code == ErrNotDelivered {
		_, err = m.On(Reply{}, b.err)
	}
	return err
}

// Deliver calls the result.
func (b *begun) Deliver(ctx context.Context, via Ref, m Message) (Reply, error) {
	wait, _ := b.Begin(ctx, via, m, false)
	return wait()
}

// Post sends to the result, when it is known.
func (b *begun) Post(ctx context.Context, m Message) Ref {
	to, err := m.To.Settle(ctx)
	if err != nil {
		return broken(err)
	}
	m.To = to
	return m.post(ctx)
}

// Await returns the outcome.
func (b *begun) Await(ctx context.Context, _ Authority) (Reply, error) {
	if err := b.await(ctx, "await"); err != nil {
		return Reply{}, err
	}
	return b.reply, b.err
}

// Then fails: nobody would remember to deliver it.
func (b *begun) Then(context.Context, Authority, Message) error {
	return &Error{Op: "then", Object: b.String(), Code: ErrNotDelivered, Text: "nothing is stored of a call that was begun, so its outcome can be awaited only. Send it instead"}
}

// String is what a Ref prints of its object.
func (b *begun) String() string { return "the result of " + b.method }
