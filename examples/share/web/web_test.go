package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestWhatEachRoleMayDo(t *testing.T) {
	for role, may := range map[share.Role]string{
		share.Editor:    "/ /doc /share /edit /comment",
		share.Commenter: "/ /doc /share /comment",
		share.Reader:    "/ /doc /share",
		share.Auditor:   "/ /doc /share",
	} {
		s := newStage(t, sturdy.Options{Checked: true})
		key := s.shares(s.owner, string(role), role)
		for path, form := range forms() {
			want := http.StatusForbidden
			if strings.Contains(" "+may+" ", " "+path+" ") {
				want = http.StatusOK
				if path == "/edit" || path == "/comment" {
					want = http.StatusSeeOther
				}
			}
			s.expect(want, key, path, form)
			s.expect(http.StatusUnauthorized, "", path, form)
		}
		s.revoke(string(role))
		for path, form := range forms() {
			s.expect(http.StatusForbidden, key, path, form)
		}
	}
}

func TestAPageShowsWhatItsKeyAllows(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	s.expect(http.StatusSeeOther, s.owner, "/edit", url.Values{"version": {"1"}, "title": {"Minutes"}, "text": {"One\r\n\r\nTwo"}})
	for role, shown := range map[share.Role]string{
		share.Editor: "/comment /edit", share.Commenter: "/comment", share.Reader: "", share.Auditor: "The last edits",
	} {
		page := s.expect(http.StatusOK, s.shares(s.owner, string(role), role), "/", nil).Body.String()
		for _, part := range []string{"/comment", "/edit", "The last edits"} {
			if strings.Contains(page, part) != (part != "" && strings.Contains(shown, part)) {
				t.Errorf("%s: %s is not shown or hidden as it should be:\n%s", role, part, page)
			}
		}
		if !strings.Contains(page, "<p>One</p>\n<p>Two</p>") {
			t.Errorf("%s does not see the text:\n%s", role, page)
		}
	}
}

// A key whose holder may comment and not read: made of a text, as the site makes none.
func TestAKeyThatCannotRead(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	key, err := share.ReadKey(s.file)
	s.must(err)
	blind := key.Only(share.Comment).Reveal()
	page := s.expect(http.StatusOK, blind, "/", nil).Body.String()
	if strings.Contains(page, "Nothing yet.") || !strings.Contains(page, "/comment") {
		t.Error(page)
	}
	s.expect(http.StatusForbidden, blind, "/doc", nil)
	s.expect(http.StatusSeeOther, blind, "/comment", forms()["/comment"])
	s.expect(http.StatusForbidden, key.Only().Reveal(), "/", nil)
}

func TestASession(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	in := s.expect(http.StatusSeeOther, "", "/in", url.Values{"key": {" " + s.owner + "\r\n"}})
	cookie := in.Header().Get("Set-Cookie")
	if want := "__Host-key=" + s.owner + "; Path=/; HttpOnly; Secure; SameSite=Strict"; cookie != want {
		t.Errorf("the cookie is %s, want %s", cookie, want)
	}
	s.expect(http.StatusForbidden, "", "/in", url.Values{"key": {"sturdy://nonsense"}})
	s.expect(http.StatusForbidden, "", "/in?key="+url.QueryEscape(s.owner), url.Values{})
	out := s.expect(http.StatusSeeOther, s.owner, "/out", url.Values{})
	if got := out.Header().Get("Set-Cookie"); got != "__Host-key=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict" {
		t.Error("going out sets", got)
	}
}

func TestTheDocumentAsJSON(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	s.expect(http.StatusSeeOther, s.owner, "/comment", url.Values{"by": {"carl"}, "text": {"One\r\ntwo"}})
	w := s.expect(http.StatusOK, s.owner, "/doc", nil)
	var page share.Page
	s.must(json.Unmarshal(w.Body.Bytes(), &page))
	if page.Title != "Untitled" || page.Version != 1 || len(page.Notes) != 1 || page.Notes[0].Text != "One\ntwo" {
		t.Errorf("%+v", page)
	}
}

func TestTwoEditorsAtTheSameTime(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	form := forms()["/edit"]
	s.expect(http.StatusSeeOther, s.owner, "/edit", form)
	s.expect(http.StatusConflict, s.owner, "/edit", form)
	reader := s.shares(s.owner, "reader", share.Reader)
	s.expect(http.StatusForbidden, reader, "/edit", form)
}

func TestABranchIsTakenBackInTheMiddle(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	ed := s.shares(s.owner, "ed", share.Editor)
	ian := s.shares(ed, "ian", share.Commenter)
	carl := s.shares(s.owner, "carl", share.Commenter)
	for _, key := range []string{ed, ian, carl} {
		s.expect(http.StatusSeeOther, key, "/comment", forms()["/comment"])
	}
	s.revoke("ed")
	for range 2 {
		s.expect(http.StatusForbidden, ed, "/comment", forms()["/comment"])
		s.expect(http.StatusForbidden, ian, "/", nil)
		s.expect(http.StatusForbidden, "", "/in", url.Values{"key": {ian}})
		s.expect(http.StatusSeeOther, carl, "/comment", forms()["/comment"])
		s.Crash()
		s.open()
	}
}

func TestAKeyRunsOut(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	key := s.shares(s.owner, "reader", share.Reader)
	s.Pass(7*day - 1)
	s.expect(http.StatusOK, key, "/doc", nil)
	s.Pass(1)
	s.expect(http.StatusForbidden, key, "/doc", nil)
	s.Reopen()
	s.open()
	s.expect(http.StatusForbidden, key, "/doc", nil)
}

func TestBadInput(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	long := strings.Repeat("x", maxBody)
	for i, c := range []struct {
		status int
		path   string
		form   url.Values
	}{
		{400, "/edit", url.Values{"version": {"one"}, "title": {"x"}}},
		{400, "/edit", url.Values{"title": {"x"}}},
		{400, "/edit", url.Values{"version": {"-1"}, "title": {"x"}}},
		{400, "/edit", url.Values{"version": {"1"}, "title": {"\x00"}}},
		{400, "/comment", url.Values{"by": {"x"}}},
		{400, "/comment", url.Values{"by": {"x"}, "text": {"\xff"}}},
		{400, "/comment?by=x&text=y", url.Values{}},
		{400, "/share", url.Values{"for": {"x"}, "role": {"reader"}, "days": {"0"}}},
		{400, "/share", url.Values{"for": {"x"}, "role": {"reader"}, "days": {"366"}}},
		{400, "/share", url.Values{"for": {""}, "role": {"reader"}, "days": {"7"}}},
		{400, "/share", url.Values{"for": {"\x1b"}, "role": {"reader"}, "days": {"7"}}},
		{400, "/share", url.Values{"for": {"x"}, "role": {"owner"}, "days": {"7"}}},
		{413, "/comment", url.Values{"by": {"x"}, "text": {long}}},
		{413, "/in", url.Values{"key": {long}}},
		{404, "/nothing", nil},
		{404, "//doc", nil},
		{404, "/./doc", nil},
		{405, "/doc", url.Values{}},
		{405, "/edit", nil},
	} {
		if w := s.visit(s.owner, c.path, c.form); w.Code != c.status {
			t.Errorf("case %d, %s: status %d, want %d: %s", i, c.path, w.Code, c.status, w.Body)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/comment", strings.NewReader("%zz"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", "__Host-key="+s.owner)
	if w := s.send(r); w.Code != 400 {
		t.Error("a form that is none:", w.Code)
	}
}

func TestAWorldThatIsClosed(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	s.expect(http.StatusOK, s.owner, "/doc", nil)
	s.must(s.Close())
	for path, form := range forms() {
		s.expect(http.StatusServiceUnavailable, s.owner, path, form)
	}
	s.Reopen()
}

func TestKeysAreNotMadeWithoutEnd(t *testing.T) {
	s := newStage(t, sturdy.Options{})
	text, err := caps.ParseSturdyRef(s.shares(s.owner, "ed", share.Editor))
	s.must(err)
	ed, err := s.Restore(t.Context(), text)
	s.must(err)
	s.must(s.Update(t.Context(), func(turn *sturdy.WriteTurn) error {
		for range maxShares - 1 {
			turn.Grant(ed, caps.Terms{For: "a friend"})
		}
		return nil
	}))
	s.expect(http.StatusOK, text.Reveal(), "/share", forms()["/share"])
	s.expect(http.StatusServiceUnavailable, text.Reveal(), "/share", forms()["/share"])
	s.expect(http.StatusOK, s.owner, "/share", forms()["/share"]) // ed uses up what is his
}
