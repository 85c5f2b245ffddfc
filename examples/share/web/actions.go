package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
)

// in makes the key of the form the browser's cookie, if it opens something.
func (s *site) in(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(r); err != nil {
		return err
	}
	key := strings.TrimSpace(r.PostForm.Get("key"))
	if _, err := s.open(r.Context(), key); err != nil {
		return err
	}
	s.set(w, key)
	return s.back(w, r)
}

// out makes the browser forget the key. Who has it elsewhere keeps it.
func (s *site) out(w http.ResponseWriter, r *http.Request) error {
	s.set(w, "")
	return s.back(w, r)
}

func (s *site) back(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// parseForm reads the form in the body. What stands in the URL is not looked at.
func parseForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fmt.Errorf("%w: %w", err, badInput("this is no form"))
	}
	return nil
}

func (s *site) doc(w http.ResponseWriter, r *http.Request) error {
	d, err := s.document(r)
	if err != nil {
		return err
	}
	page, err := d.Read(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(page)
}

// edit replaces title and text by those of the form, whose version says what they were made
// from.
func (s *site) edit(w http.ResponseWriter, r *http.Request) error {
	d, err := s.form(r)
	if err != nil {
		return err
	}
	version, err := strconv.ParseInt(r.PostForm.Get("version"), 10, 64)
	if err != nil || version < 1 {
		return badInput("the version is a number")
	}
	c := share.Change{Version: version, Title: r.PostForm.Get("title"), To: share.End, Text: paragraphs(r.PostForm.Get("text"))}
	if _, err := d.Edit(r.Context(), c); err != nil {
		return err
	}
	return s.back(w, r)
}

// paragraphs are separated by blank lines. Browsers end lines with CR LF.
func paragraphs(text string) (ps []string) {
	for p := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if p = strings.Trim(p, "\n"); p != "" {
			ps = append(ps, p)
		}
	}
	return ps
}

func (s *site) comment(w http.ResponseWriter, r *http.Request) error {
	d, err := s.form(r)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n")
	if err := d.Comment(r.Context(), share.Remark{By: r.PostForm.Get("by"), Text: text}); err != nil {
		return err
	}
	return s.back(w, r)
}

// form opens the document, and reads the form only if the key opens something.
func (s *site) form(r *http.Request) (share.Document, error) {
	d, err := s.document(r)
	if err != nil {
		return d, err
	}
	return d, parseForm(r)
}

// maxShares bounds how many grants that are alive may stand directly below one key: each is a
// record.
const maxShares = 1000

// share makes a key that can do less, for somebody, for some days. This answer is the only
// one that ever shows it.
func (s *site) share(w http.ResponseWriter, r *http.Request) error {
	d, err := s.form(r)
	if err != nil {
		return err
	}
	days, err := strconv.Atoi(r.PostForm.Get("days"))
	if err != nil || days < 1 || days > 365 {
		return badInput("a key is for 1 to 365 days")
	}
	ref, terms, err := share.Role(r.PostForm.Get("role")).Of(d, r.PostForm.Get("for"), s.now().AddDate(0, 0, days))
	if err != nil {
		return err
	}
	if err := s.mayShare(r.Context(), d); err != nil {
		return err
	}
	key, _, err := s.rt.Save(r.Context(), ref, terms)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = fmt.Fprintf(w, "%s\n", key.Reveal())
	return err
}

// mayShare refuses to share with one key too often: what stands directly below it counts, so
// that nobody uses up what others may. Taking back a branch makes room.
func (s *site) mayShare(ctx context.Context, d share.Document) error {
	info, err := s.rt.Describe(ctx, d.Ref)
	if err != nil {
		return err
	}
	alive := 0
	for g, err := range s.rt.Grants(ctx, d.Ref) {
		if err != nil {
			return err
		}
		if g.Alive && len(info.Grants) > 0 && slices.Contains(g.Above, info.Grants[0].ID) {
			alive++
		}
	}
	if alive >= maxShares {
		return fmt.Errorf("%w: %d keys are in use", caps.ErrOverloaded, alive)
	}
	return nil
}
