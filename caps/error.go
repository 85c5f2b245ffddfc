package caps

import (
	"context"
	"errors"
	"fmt"
)

// Error makes a Code usable as an error of its own.
func (c Code) Error() string { return string(c) }

// causes are the errors of the standard library that a Cause stands for, so that errors.Is
// finds them on the other side of a wire.
var causes = []struct {
	code Code
	err  error
}{
	{"deadline exceeded", context.DeadlineExceeded},
	{"canceled", context.Canceled},
}

// Error is the operation, then the text, or the code when there is no text.
func (e *Error) Error() string {
	text := e.Text
	if text == "" {
		text = string(e.Code)
	}
	if e.Op == "" {
		return text
	}
	return e.Op + ": " + text
}

// Is reports whether target is the code or the cause of e.
func (e *Error) Is(target error) bool {
	if c, ok := target.(Code); ok {
		return c != "" && (c == e.Code || c == e.Cause)
	}
	for _, c := range causes {
		if c.code == e.Cause && c.err == target {
			return true
		}
	}
	return false
}

// CauseOf returns the Code that stands for err as a Cause: that of a deadline, of a
// cancellation, or the innermost Code that err wraps; empty if there is none.
func CauseOf(err error) Code {
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	var c Code
	errors.As(err, &c)
	return c
}

func nullError(method string) error {
	return &Error{Op: method, Code: ErrNull, Text: "null reference (the zero caps.Ref). Was the field ever set?"}
}

// badArgument is how the codec reports what does not decode.
func badArgument(format string, args ...any) error {
	return &Error{Code: ErrBadArgument, Text: fmt.Sprintf(format, args...)}
}
