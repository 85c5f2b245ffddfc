package foreign

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// offence is what a peer must not do. It ends the connection.
type offence struct{ error }

func offend(format string, args ...any) error { return offence{fmt.Errorf(format, args...)} }

const (
	maxReason = 4 << 10
	maxCode   = 256
)

// raised is an exception of a program that passes through here to another: as it was, for those
// two may have their own ways to say things.
type raised struct {
	means  *caps.Error
	kind   rpccp.Exception_Type
	reason string
}

// Error is what it means here.
func (r *raised) Error() string { return r.means.Error() }

// Unwrap is what it means here.
func (r *raised) Unwrap() error { return r.means }

// thrown is err as an exception: its type, and the reason, which begins with the code.
func thrown(err error) (rpccp.Exception_Type, string) {
	if r, ok := err.(*raised); ok {
		return r.kind, r.reason
	}
	code, text := caps.ErrFailed, err.Error()
	var e *caps.Error
	if errors.As(err, &e) && e.Code != "" {
		code, text = e.Code, e.Error()
	} else if c := caps.CauseOf(err); c != "" {
		code = c
	}
	text = strings.TrimPrefix(text, string(code)+": ")
	kind := rpccp.Exception_Type_failed
	switch code {
	case caps.ErrOverloaded:
		kind = rpccp.Exception_Type_overloaded
	case caps.ErrNotDelivered:
		kind = rpccp.Exception_Type_disconnected
	case caps.ErrNoMethod:
		kind = rpccp.Exception_Type_unimplemented
	}
	if text == string(code) {
		return kind, clean(text, maxReason)
	}
	return kind, clean(string(code)+": "+text, maxReason)
}

// clean is s as it can be shown and sent: UTF-8 without controls, of no more than most bytes.
func clean(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == ' ':
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, s)
}

// caught is an exception as an error of the call op of object.
func caught(op, object string, kind rpccp.Exception_Type, reason string) *caps.Error {
	e := &caps.Error{Op: op, Object: object, Code: caps.ErrFailed, Text: clean(reason, maxReason)}
	if code, text, ok := codeOf(e.Text); ok {
		e.Code, e.Text = code, text
		return e
	}
	switch kind {
	case rpccp.Exception_Type_overloaded:
		e.Code = caps.ErrOverloaded
	case rpccp.Exception_Type_disconnected: // from what, and when, it does not say
		e.Code = caps.ErrMaybeExecuted
	case rpccp.Exception_Type_unimplemented:
		e.Code = caps.ErrNoMethod
	}
	return e
}

// codeOf finds the code at the beginning of a reason: one of ours, or one of an application,
// which has a slash in it and no space. A peer's "not delivered" is about what it was asked, which
// may have been to ask somebody else.
func codeOf(reason string) (caps.Code, string, bool) {
	code, text, _ := strings.Cut(reason, ": ")
	switch c := caps.Code(code); c {
	case caps.ErrMaybeExecuted, caps.ErrFailed, caps.ErrRevoked, caps.ErrNoRight, caps.ErrNoMethod,
		caps.ErrGone, caps.ErrNull, caps.ErrOverloaded, caps.ErrWouldBlock, caps.ErrUnknownKind, caps.ErrBadArgument,
		caps.ErrBadResult, caps.ErrPanicked, caps.ErrDamaged, caps.ErrNotDelivered:
		return c, text, true
	}
	if strings.Contains(code, "/") && !strings.HasPrefix(code, "/") && len(code) <= maxCode && !strings.ContainsAny(code, " \"'()") {
		return caps.Code(code), text, true
	}
	return "", "", false
}

func tooMany(limit, format string, args ...any) *caps.Error {
	return &caps.Error{Code: caps.ErrOverloaded, Text: fmt.Sprintf(format, args...) + "; see Limits." + limit + " of package foreign"}
}

func badArgument(format string, args ...any) *caps.Error {
	return &caps.Error{Code: caps.ErrBadArgument, Text: fmt.Sprintf(format, args...)}
}

func unimplemented(format string, args ...any) *caps.Error {
	return &caps.Error{Code: caps.ErrNoMethod, Text: fmt.Sprintf(format, args...)}
}

// happened is the error of a call that was made and whose result cannot be handed over.
func happened(why error) *caps.Error {
	return &caps.Error{Code: caps.ErrBadResult, Cause: caps.CauseOf(why), Text: fmt.Sprintf("it happened; its result cannot be handed over: %v", why)}
}

func canceled() *caps.Error {
	return &caps.Error{Code: caps.ErrNotDelivered, Cause: caps.CauseOf(context.Canceled), Text: "the caller is not interested any more"}
}
