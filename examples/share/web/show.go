package main

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
)

// view is what page.html shows.
type view struct {
	Refused string // why there is nothing else; empty: there is
	Page    share.Page
	History []share.Edition // newest first
	allows  []string
}

// Can reports whether the key allows a method.
func (v view) Can(method string) bool { return slices.Contains(v.allows, method) }

// Whole is the text as it stands in the form.
func (v view) Whole() string { return strings.Join(v.Page.Text, "\n\n") }

// Time prints a time for people.
func (v view) Time(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04 UTC") }

// show shows as much of the document as the key allows, and forms for what can be done.
func (s *site) show(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	v, err := s.look(r)
	if err != nil {
		v = view{}
		status, v.Refused = s.answer(err)
	}
	var b bytes.Buffer
	if err := s.page.Execute(&b, v); err != nil {
		s.log.Printf("page.html: %v", err)
		say(w, http.StatusInternalServerError, "internal error")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// recent is how many edits a page shows.
const recent = 20

func (s *site) look(r *http.Request) (v view, err error) {
	d, err := s.document(r)
	if err != nil {
		return v, err
	}
	ctx := r.Context()
	info, err := s.rt.Describe(ctx, d.Ref)
	if err != nil {
		return v, err
	}
	v.allows = info.Allows
	if len(v.allows) == 0 {
		return v, caps.ErrNoMethod
	}
	if v.Can(share.Read.Name()) {
		if v.Page, err = d.Read(ctx); err != nil {
			return v, err
		}
	}
	if v.Can(share.History.Name()) {
		v.History, err = s.history(ctx, d)
	}
	return v, err
}

func (s *site) history(ctx context.Context, d share.Document) ([]share.Edition, error) {
	list, err := d.History(ctx)
	if err != nil {
		return nil, err
	}
	es, err := share.Newest(ctx, s.rt, list, recent)
	slices.Reverse(es)
	return es, err
}
