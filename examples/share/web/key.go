package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
)

// errNoKey is a request without a cookie; errNotYours one whose key opens nothing, whatever
// the reason.
var (
	errNoKey    = errors.New("no key")
	errNotYours = errors.New("not yours")
)

// cookie is the cookie's name. The prefix makes browsers refuse it from other hosts of the
// domain, and without TLS.
func (s *site) cookie() string {
	if s.plain {
		return "key"
	}
	return "__Host-key"
}

// document is all the authorization there is: no cookie, no document.
func (s *site) document(r *http.Request) (share.Document, error) {
	key, err := s.key(r)
	if err != nil {
		return share.Document{}, err
	}
	return s.open(r.Context(), key)
}

func (s *site) key(r *http.Request) (string, error) {
	switch cs := r.CookiesNamed(s.cookie()); {
	case len(cs) == 0:
		return "", errNoKey
	case len(cs) > 1 || cs[0].Quoted:
		return "", errNotYours
	default:
		return cs[0].Value, nil
	}
}

// open makes one refusal of what is no key, of another world, wrong, revoked, or run out.
func (s *site) open(ctx context.Context, text string) (share.Document, error) {
	key, err := caps.ParseSturdyRef(text)
	if err != nil {
		return share.Document{}, errNotYours
	}
	ref, err := s.rt.Restore(ctx, key)
	if errors.Is(err, caps.ErrNotDelivered) && ctx.Err() == nil {
		err = errNotYours
	}
	return share.Document{Ref: ref}, err
}

// set gives the browser a key, or with an empty one takes it away.
func (s *site) set(w http.ResponseWriter, key string) {
	c := &http.Cookie{
		Name: s.cookie(), Value: key, Path: "/",
		HttpOnly: true, Secure: !s.plain, SameSite: http.SameSiteStrictMode,
	}
	if key == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
