package caps

import (
	"context"
	"fmt"
)

// What a send needs of others is asked for structurally, so that it costs this package no
// names: a turn is a turning, a Target that can be sent to a poster, one that is a promise a
// promised.
type (
	turning interface {
		MayCall(to Ref) error
		Post(m Message) Ref
	}
	poster interface {
		// Post sends m, when it is certain that it will arrive, and returns its promise.
		Post(ctx context.Context, m Message) Ref
	}
	promised interface {
		Await(ctx context.Context, via Authority) (Reply, error)
		Then(ctx context.Context, via Authority, m Message) error
	}
)

func turnOf(ctx context.Context) turning {
	t, _ := ctx.Value(TurnKey{}).(turning)
	return t
}

// Send does it later, exactly once in effect, as a turn of its own. Messages from one sender
// to one target are delivered in the order in which they were sent.
//
// In a turn it leaves with the turn's commit, and is never heard of if the turn fails. A turn
// that sends what cannot be sent fails: to a null or a deep Ref, to another world, or more
// than may wait at one sender (ErrOverloaded). Outside of turns Send returns when it is on
// disk, and waits while too much is under way; what goes wrong, the promise says.
//
// The method's error breaks the promise, and the message is not delivered again.
func (m Method[A, R]) Send(ctx context.Context, to Ref, arg A) Promise[R] {
	return Promise[R]{m.To(to, arg).post(ctx)}
}

// To binds target and argument, for who sends it: a timer, a thread, a forwarder.
func (m Method[A, R]) To(to Ref, arg A) Message {
	msg, err := bind(to, string(m), arg)
	if err != nil {
		return Message{To: to, Method: string(m), err: err}
	}
	return msg
}

// Send is Method.Send without an argument.
func (m Query[R]) Send(ctx context.Context, to Ref) Promise[R] {
	return Promise[R]{m.To(to).post(ctx)}
}

// To is Method.To without an argument.
func (m Query[R]) To(to Ref) Message { return Method[Done, R](m).To(to, Done{}) }

// Send is Method.Send without a result.
func (m Command[A]) Send(ctx context.Context, to Ref, arg A) Promise[Done] {
	return Promise[Done]{m.To(to, arg).post(ctx)}
}

// To is Method.To without a result.
func (m Command[A]) To(to Ref, arg A) Message { return Method[A, Done](m).To(to, arg) }

// Send is Method.Send with neither argument nor result.
func (m Action) Send(ctx context.Context, to Ref) Promise[Done] {
	return Promise[Done]{m.To(to).post(ctx)}
}

// To is Method.To with neither argument nor result.
func (m Action) To(to Ref) Message { return Method[Done, Done](m).To(to, Done{}) }

// Send sends a bound message, see Method.Send.
func (m Message) Send(ctx context.Context) Promise[Value] { return Promise[Value]{m.post(ctx)} }

// Err is why the message cannot be sent: its argument has no stored form. nil: it can.
func (m Message) Err() error { return m.err }

// post hands m to the turn that ctx is, else to its target, and returns the promise.
func (m Message) post(ctx context.Context) Ref {
	if t := turnOf(ctx); t != nil {
		return t.Post(m)
	}
	p, ok := m.To.target.(poster)
	switch {
	case m.err != nil:
		return broken(m.err)
	case m.To.IsNull():
		return broken(nullError(m.Method))
	case !ok:
		return broken(&Error{Op: m.Method, Code: ErrWouldBlock, Text: m.To.String() + " takes calls only, no sends"})
	}
	return p.Post(ctx, m)
}

// Await returns the outcome when it is known and on disk. In a turn, which cannot wait, it is
// ErrWouldBlock: use Then. Of a promise that nobody has stored, a restart leaves nothing to
// wait for.
func (p Promise[R]) Await(ctx context.Context) (R, error) {
	var r R
	t, ok := p.ref.target.(promised)
	if !ok {
		return r, nullError("await")
	}
	reply, err := t.Await(ctx, p.ref.auth)
	if err != nil {
		return r, err
	}
	err = decodeReply(&r, "await", reply)
	return r, err
}

// Then has the outcome delivered: m is sent to to, once, when the promise is kept or broken,
// or at once if it is already. A restart does not lose it. With a turn as ctx it joins that
// turn, and what is wrong fails the turn.
func (p Promise[R]) Then(ctx context.Context, to Ref, m Command[Outcome[R]]) error {
	t, ok := p.ref.target.(promised)
	if !ok {
		return nullError("then")
	}
	return t.Then(ctx, p.ref.auth, Message{To: to, Method: string(m)})
}

// Ref stands for what the promise will come to: it can be stored, handed on and called before
// that is known. Sends queue and follow, in order; a Call waits, outside of turns. That the
// outcome is no object, or an error, is theirs too. The Ref of the zero Promise is null.
func (p Promise[R]) Ref() Ref { return p.ref }

// String is the promise's object; it says nothing of the outcome.
func (p Promise[R]) String() string { return "promise " + p.ref.String() }

// unsent is the promise of what could not be sent.
type unsent struct{ err error }

func broken(err error) Ref {
	return Ref{target: &unsent{err}, auth: Full()}
}

// Deliver fails as the send did.
func (u *unsent) Deliver(context.Context, Ref, Message) (Reply, error) { return Reply{}, u.err }

// Post fails as the send did.
func (u *unsent) Post(context.Context, Message) Ref { return broken(u.err) }

// Await returns why the send failed.
func (u *unsent) Await(context.Context, Authority) (Reply, error) { return Reply{}, u.err }

// Then returns why the send failed: nobody is there who could deliver it.
func (u *unsent) Then(context.Context, Authority, Message) error { return u.err }

// String is what a Ref prints of its object.
func (u *unsent) String() string { return "broken" }

// decodeReply reads a result into r.
func decodeReply[R any](r *R, op string, reply Reply) error {
	c, err := codecOf[R]()
	if err == nil {
		err = c.Decode(pointerTo(r), reply.Body, reply.Slots)
	}
	if err != nil {
		return &Error{Op: op, Code: ErrBadResult, Text: fmt.Sprintf("executed, but its result is not what this descriptor says: %v", err)}
	}
	return nil
}
