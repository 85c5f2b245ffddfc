package caps

import (
	"cmp"
	"context"
	"fmt"
)

// Attenuate returns the same object with no more than the given rights. A result that can
// only read is deep, unless Shallow is given: whatever is obtained through it is read-only
// too. It makes no record and cannot fail.
func (r Ref) Attenuate(to Rights) Ref {
	r.auth = r.auth.Attenuate(to)
	return r
}

// through is what is left of r after it came through via. Null stays null.
func (r Ref) through(via Authority) Ref {
	if r.IsNull() {
		return r
	}
	maker := r.auth.maker
	r.auth = r.auth.Through(via)
	r.auth.maker = maker
	return r
}

// Rights reports the rights that r carries. Those of a Ref that only reads and is not deep
// include Shallow, so that s.Attenuate(r.Rights()) is as deep as r.
func (r Ref) Rights() Rights {
	if r.auth.Rights&(Write|Run) == 0 && !r.auth.Deep && !r.IsNull() {
		return r.auth.Rights | Shallow
	}
	return r.auth.Rights
}

// Same reports whether both designate the same object, whatever their rights. Two null
// Refs are the same.
func (r Ref) Same(o Ref) bool {
	if r.target == o.target {
		return true
	}
	s, ok := r.target.(interface{ SameAs(Target) bool })
	return ok && s.SameAs(o.target)
}

// IsNull reports whether r is the zero Ref.
func (r Ref) IsNull() bool { return r.target == nil }

// Deliver is the untyped call below every descriptor: for the REPL, scripts and the wire.
// m.To is ignored; r is called. Errors are as for a descriptor's Call.
func (r Ref) Deliver(ctx context.Context, m Message) (Reply, error) {
	if r.IsNull() {
		return Reply{}, nullError(m.Method)
	}
	m.To = r
	if anyBegun(m.Slots) {
		var err error
		if m.Slots, err = settleAll(ctx, m.Method, m.Slots); err != nil {
			return Reply{}, err
		}
	}
	if t := turnOf(ctx); t != nil {
		var err error
		if r, err = r.Settle(ctx); err != nil || r.IsNull() {
			return Reply{}, cmp.Or(err, nullError(m.Method))
		}
		m.To = r
		if err := t.MayCall(r); err != nil {
			return Reply{}, err
		}
	}
	return r.target.Deliver(ctx, r, m)
}

// String names the object and the rights, "counter 7f3a rwx"; it holds no secret.
func (r Ref) String() string {
	if r.IsNull() {
		return "null"
	}
	if s, ok := r.target.(fmt.Stringer); ok {
		return s.String() + " " + r.auth.String()
	}
	return fmt.Sprintf("%T %s", r.target, r.auth)
}

// GoString is String: %#v must not print what is inside.
func (r Ref) GoString() string { return r.String() }
