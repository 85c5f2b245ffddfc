package main

import (
	"bytes"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// stage is a site in a test world, whose log and responses are searched for keys.
type stage struct {
	*runtimetest.World
	t     *testing.T
	site  http.Handler
	owner string // the owner's key
	file  string // where it is kept

	mu   sync.Mutex
	log  bytes.Buffer
	tags []string // the secret part of every key that was made, guarded by mu
}

func newStage(t *testing.T, o sturdy.Options) *stage {
	t.Helper()
	o.Kinds = []sturdy.Kind{share.Kind}
	s := &stage{World: runtimetest.OpenOptions(t, o), t: t, file: filepath.Join(t.TempDir(), "owner.key")}
	s.open()
	t.Cleanup(func() { s.clean("the log", s.logged()) })
	return s
}

// open starts the site, as after a restart.
func (s *stage) open() {
	s.t.Helper()
	_, err := prepare(s.t.Context(), s.Runtime, s.file)
	s.must(err)
	key, err := share.ReadKey(s.file)
	s.must(err)
	s.owner = key.Reveal()
	s.keep(s.owner)
	s.site = newSite(s.Runtime, false, s.Now, log.New(s, "", 0)).handler()
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// Write takes a line of the log.
func (s *stage) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

func (s *stage) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// keep remembers what must be seen nowhere.
func (s *stage) keep(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tags = append(s.tags, key[strings.LastIndexByte(key, '/')+1:])
}

func (s *stage) clean(what, text string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tag := range s.tags {
		if strings.Contains(text, tag) {
			s.t.Errorf("%s holds the secret of a key:\n%s", what, text)
		}
	}
}

// visit sends a request with a key, or none if it is empty. A form makes it a POST.
func (s *stage) visit(key, path string, form url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if form != nil {
		r = httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if key != "" {
		r.Header.Set("Cookie", "__Host-key="+key)
	}
	return s.send(r)
}

func (s *stage) send(r *http.Request) *httptest.ResponseRecorder {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.site.ServeHTTP(w, r)
	if w.Code != http.StatusOK || r.URL.Path != "/share" {
		s.clean("the answer to "+r.URL.Path, w.Body.String())
	}
	if r.URL.Path != "/in" {
		s.clean("a header of "+r.URL.Path, whole(w.Header()))
	}
	return w
}

func whole(h http.Header) string {
	var b strings.Builder
	if err := h.Write(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

// expect sends a request and checks its status.
func (s *stage) expect(status int, key, path string, form url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	w := s.visit(key, path, form)
	if w.Code != status {
		s.t.Errorf("%s %v: status %d, want %d: %.200s", path, form, w.Code, status, w.Body)
	}
	return w
}

// shares lets the holder of a key make another.
func (s *stage) shares(key, who string, role share.Role) string {
	s.t.Helper()
	w := s.expect(http.StatusOK, key, "/share", url.Values{"for": {who}, "role": {string(role)}, "days": {"7"}})
	made := strings.TrimSpace(w.Body.String())
	if _, err := caps.ParseSturdyRef(made); err != nil {
		s.t.Fatal(err)
	}
	s.keep(made)
	return made
}

// revoke takes back what was granted to somebody.
func (s *stage) revoke(who string) {
	s.t.Helper()
	for g, err := range s.Grants(s.t.Context(), caps.Ref{}) {
		s.must(err)
		if g.For == who {
			ref, err := s.Object(s.t.Context(), g.ID)
			s.must(err)
			s.must(sturdy.Grant{Ref: ref}.Revoke(s.t.Context()))
			return
		}
	}
	s.t.Fatal("nothing was granted to", who)
}

// forms are requests that every role may try.
func forms() map[string]url.Values {
	return map[string]url.Values{
		"/":        nil,
		"/doc":     nil,
		"/edit":    {"version": {"1"}, "title": {"Title"}, "text": {"One\r\n\r\nTwo"}},
		"/comment": {"by": {"somebody"}, "text": {"Hm."}},
		"/share":   {"for": {"a friend"}, "role": {"reader"}, "days": {"7"}},
	}
}

const day = 24 * time.Hour
