package caps

import "context"

// Call does it now, at most once: in the turn that ctx is, else in a turn of its own, whose
// effects are on disk when it returns. Its error is an *Error: ErrMaybeExecuted says that
// the outcome is not known, ErrBadResult that it happened and the result is of another type
// than the descriptor says, every other code that nothing happened.
func (m Method[A, R]) Call(ctx context.Context, to Ref, arg A) (R, error) {
	return call[A, R](ctx, to, string(m), arg)
}

// Name is the name on the wire and in the REPL.
func (m Method[A, R]) Name() string { return string(m) }

// Call is Method.Call without an argument.
func (m Query[R]) Call(ctx context.Context, to Ref) (R, error) {
	return call[Done, R](ctx, to, string(m), Done{})
}

// Name is the name on the wire and in the REPL.
func (m Query[R]) Name() string { return string(m) }

// Call is Method.Call without a result.
func (m Command[A]) Call(ctx context.Context, to Ref, arg A) error {
	_, err := call[A, Done](ctx, to, string(m), arg)
	return err
}

// Name is the name on the wire and in the REPL.
func (m Command[A]) Name() string { return string(m) }

// Call is Method.Call with neither argument nor result.
func (m Action) Call(ctx context.Context, to Ref) error {
	_, err := call[Done, Done](ctx, to, string(m), Done{})
	return err
}

// Name is the name on the wire and in the REPL.
func (m Action) Name() string { return string(m) }

// call is the one way from a descriptor to an object. The argument and the result keep
// their types all the way when the target is Local and was defined with the same ones.
func call[A, R any](ctx context.Context, to Ref, method string, arg A) (res R, err error) {
	l, ok := to.target.(Local)
	if !ok {
		return callEncoded[A, R](ctx, to, method, arg)
	}
	f, err := l.Enter(ctx, to.auth, method)
	if err != nil {
		return res, err
	}
	if entry, ok := f.Entry.(func(Frame, A) (R, error)); ok {
		return entry(f, arg)
	}
	return callEncoded[A, R](ctx, to, method, arg)
}

// callEncoded calls what does not take our types: a target elsewhere, or a method that was
// defined with types of the same shape and other names. It is kept out of call because it
// makes its argument and result escape.
//
//go:noinline
func callEncoded[A, R any](ctx context.Context, to Ref, method string, arg A) (res R, err error) {
	m, err := bind(to, method, arg)
	if err != nil {
		return res, err
	}
	reply, err := to.Deliver(ctx, m)
	if err != nil {
		return res, err
	}
	err = decodeReply(&res, method, reply)
	return res, err
}

// bind encodes arg.
func bind[A any](to Ref, method string, arg A) (Message, error) {
	c, err := codecOf[A]()
	if err != nil {
		return Message{}, err
	}
	p := pointerTo(&arg)
	if _, err := c.Seal(p); err != nil {
		return Message{}, err
	}
	body, slots := c.Append(nil, nil, p)
	return Message{To: to, Method: method, Body: body, Slots: slots}, nil
}
