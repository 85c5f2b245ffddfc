package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// does makes a handler of one that may fail.
func (s *site) does(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := h(w, r); err != nil {
			status, text := s.answer(err)
			say(w, status, text)
		}
	}
}

// maxBody bounds a request: the longest document, each byte of it escaped.
const maxBody = 3*48<<10 + 4<<10

// badInput is a mistake of who filled in a form; its text is fit for him to read.
type badInput string

// Error is the text.
func (e badInput) Error() string { return string(e) }

// answer is what a failed request is told. Texts of errors name objects and grants, so only
// those of the document's own refusals are passed on. Why a key opens nothing
// is one answer: who holds a wrong key learns nothing from it.
func (s *site) answer(err error) (status int, text string) {
	is := func(codes ...error) bool {
		for _, c := range codes {
			if errors.Is(err, c) {
				return true
			}
		}
		return false
	}
	var bad badInput
	var long *http.MaxBytesError
	switch {
	case is(errNoKey):
		return http.StatusUnauthorized, "give a key first"
	case is(errNotYours, caps.ErrRevoked):
		return http.StatusForbidden, "your key does not open this"
	case is(caps.ErrNoRight, caps.ErrNoMethod): // the key is right, and no secret to who has it
		return http.StatusForbidden, "your key does not allow this"
	case errors.As(err, &long):
		return http.StatusRequestEntityTooLarge, "this is too long"
	case errors.As(err, &bad):
		return http.StatusBadRequest, bad.Error()
	case is(share.ErrChanged):
		return http.StatusConflict, "somebody else has changed the document meanwhile: read it again"
	case is(caps.ErrBadArgument):
		return http.StatusBadRequest, "this cannot be: empty, too long, or with characters that are no text"
	case is(caps.ErrMaybeExecuted):
		return http.StatusServiceUnavailable, "this may have happened or not: look before you repeat it"
	case is(caps.ErrOverloaded, caps.ErrNotDelivered, sturdy.ErrDiskFull, sturdy.ErrStopped, sturdy.ErrClosed, context.Canceled):
		return http.StatusServiceUnavailable, "nothing happened; try again later"
	}
	s.log.Printf("internal error: %q", err.Error()) // quoted: it may hold what a client sent
	return http.StatusInternalServerError, "internal error"
}
