package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

var seed = flag.Uint64("seed", rand.Uint64(), "of what is chosen at random")

// whatever is all that a response says.
func whatever(w *httptest.ResponseRecorder) string {
	return fmt.Sprint(w.Code, "\n", whole(w.Header()), w.Body)
}

// forgeries are texts made of a key that must not open what it opens.
func forgeries(key string) (texts []string) {
	for i := range key {
		for bit := range 8 {
			b := []byte(key)
			b[i] ^= 1 << bit
			if c := b[i]; c > ' ' && c != 0x7f && !strings.ContainsRune("\",;\\", rune(c)) {
				texts = append(texts, string(b))
			}
		}
	}
	at := strings.LastIndexByte(key, '/')
	body, tag := key[:at], key[at+1:]
	return append(
		texts,
		strings.ToUpper(key), body+"/"+strings.ToUpper(tag), "Sturdy"+key[6:],
		key+"=", key+"/", key+"a", key[:len(key)-1], key+"%00", strings.ReplaceAll(key, "/", "%2f"),
		body+"//"+tag, body+"/rights=rwx/"+tag, body+"/only=read/"+tag, body+"/until=2300-01-01T00:00:00Z/"+tag,
		strings.Replace(key, "sturdy:", "ｓturdy:", 1), body+"/"+strings.Replace(tag, tag[:1], "а", 1), key+"\u200b",
		strings.Repeat("sturdy://", 300), "sturdy://", "x", "=",
	)
}

func isASCII(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) }

func TestForgedKeysAreRefusedLikeRevokedOnes(t *testing.T) {
	s := newStage(t, sturdy.Options{})
	revoked := s.shares(s.owner, "gone", share.Editor)
	s.revoke("gone")
	for path, form := range forms() {
		want := whatever(s.expect(http.StatusForbidden, revoked, path, form))
		for _, key := range append(forgeries(s.owner), forgeries(revoked)...) {
			if !isASCII(key) {
				continue // net/http takes it for no cookie at all; the form below takes it
			}
			if got := whatever(s.visit(key, path, form)); got != want {
				t.Errorf("%s with the key %q answers\n%s\nand with a revoked one\n%s", path, key, got, want)
			}
		}
	}
	want := whatever(s.expect(http.StatusForbidden, "", "/in", url.Values{"key": {revoked}}))
	for _, key := range forgeries(s.owner) {
		if got := whatever(s.visit("", "/in", url.Values{"key": {key}})); got != want {
			t.Errorf("/in with the key %q answers\n%s\nand with a revoked one\n%s", key, got, want)
		}
	}
	s.expect(http.StatusOK, s.owner, "/doc", nil)
}

func TestNoCaveatComesOff(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	key, err := share.ReadKey(s.file)
	s.must(err)
	weak := key.Attenuate(caps.Read).Only(share.Read).Until(s.Now().Add(day)).Reveal()
	s.keep(weak)
	s.expect(http.StatusOK, weak, "/doc", nil)
	parts := strings.Split(weak, "/")
	for i := 4; i < len(parts)-1; i++ { // sturdy:, "", host, grant, caveats..., tag
		without := append(append([]string{}, parts[:i]...), parts[i+1:]...)
		s.expect(http.StatusForbidden, strings.Join(without, "/"), "/doc", nil)
	}
	s.expect(http.StatusForbidden, strings.Replace(weak, "rights=r/", "rights=rw/", 1), "/doc", nil)
	s.Pass(day)
	s.expect(http.StatusForbidden, weak, "/doc", nil)
}

func TestAHundredThousandGuesses(t *testing.T) {
	s := newStage(t, sturdy.Options{})
	t.Log("seed", *seed)
	rnd := rand.New(rand.NewPCG(*seed, 1))
	body := s.owner[:len(s.owner)-32]
	r := httptest.NewRequest(http.MethodGet, "/doc", nil)
	for range 100_000 {
		var tag [32]byte
		for i := range tag {
			tag[i] = "abcdefghijklmnopqrstuvwxyz234567"[rnd.IntN(32)]
		}
		r.Header.Set("Cookie", "__Host-key="+body+string(tag[:]))
		w := httptest.NewRecorder()
		if s.site.ServeHTTP(w, r); w.Code != http.StatusForbidden {
			t.Fatalf("the guess %s: status %d", tag, w.Code)
		}
	}
}

func TestKeysInPlacesWhereTheyDoNotBelong(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	for _, path := range []string{"/?key=", "/doc?key=", "/in?key=", "/", "//", "/doc/", "/x/../"} {
		for _, text := range []string{s.owner, url.QueryEscape(s.owner), s.owner[9:]} {
			w := s.visit("", path+text, nil) // visit searches the answer and, when the test ends, the log
			if w.Code == http.StatusOK {
				t.Errorf("%s...: opens", path)
			}
		}
	}
	for _, cookies := range []string{"__Host-key=x; __Host-key=" + s.owner, "__Host-key=\"" + s.owner + "\"", "__Host-key="} {
		r := httptest.NewRequest(http.MethodGet, "/doc", nil)
		r.Header.Set("Cookie", cookies)
		if w := s.send(r); w.Code != http.StatusForbidden {
			t.Errorf("%.20s: status %d", cookies, w.Code)
		}
	}
	if r := httptest.NewRequest("X"+s.owner[len(s.owner)-32:], "/doc", nil); s.send(r).Code != http.StatusMethodNotAllowed {
		t.Error("a key as the method")
	}
}

func TestRequestsFromOtherSites(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	for _, from := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}},
		{"Origin": {"https://evil.example"}},
		{"Origin": {"null"}},
	} {
		for path, form := range forms() {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
			for name := range from {
				r.Header.Set(name, from.Get(name))
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Cookie", "__Host-key="+s.owner)
			if w := s.send(r); w.Code != http.StatusForbidden {
				t.Errorf("POST %s from %v: status %d", path, from, w.Code)
			}
		}
	}
	var page string
	if page = s.expect(http.StatusOK, s.owner, "/doc", nil).Body.String(); !strings.Contains(page, `"Version":1,"Notes":null`) {
		t.Error("something of it happened:", page)
	}
}

func TestWhatPeopleWriteIsNoHTML(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	const evil = `</textarea></title><script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`{{.}}"
	s.expect(http.StatusSeeOther, s.owner, "/edit", url.Values{"version": {"1"}, "title": {evil}, "text": {evil}})
	s.expect(http.StatusSeeOther, s.owner, "/edit", url.Values{"version": {"2"}, "title": {"x" + evil}, "text": {evil}})
	s.expect(http.StatusSeeOther, s.owner, "/comment", url.Values{"by": {`<b onclick="x">`}, "text": {evil}})
	for _, role := range []share.Role{share.Editor, share.Auditor} {
		page := s.expect(http.StatusOK, s.shares(s.owner, string(role), role), "/", nil).Body.String()
		for _, tag := range []string{"<script", "<img", "<b ", "alert(1)</script>", `onerror=alert(2)>`} {
			if strings.Contains(page, tag) {
				t.Errorf("the page of the %s holds %s:\n%s", role, tag, page)
			}
		}
		if !strings.Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;") {
			t.Errorf("the page of the %s does not show what was written:\n%s", role, page)
		}
	}
	if json := s.expect(http.StatusOK, s.owner, "/doc", nil); strings.Contains(json.Body.String(), "<") {
		t.Error(json.Body)
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	s := newStage(t, sturdy.Options{Checked: true})
	for _, w := range []*httptest.ResponseRecorder{
		s.visit(s.owner, "/", nil), s.visit("", "/", nil), s.visit(s.owner, "/doc", nil), s.visit("x", "/doc", nil),
		s.visit(s.owner, "/edit", url.Values{}), s.visit(s.owner, "/nothing", nil), s.visit(s.owner, "/doc", url.Values{}),
		s.visit(s.owner, "/share", forms()["/share"]), s.visit("", "//x", nil),
	} {
		h := w.Header()
		if h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("status %d: %v", w.Code, h)
		}
	}
}

// Visitors go on while what they were given is taken back. Who began after that is refused;
// the others are not disturbed.
func TestRevokingWhileEverybodyIsBusy(t *testing.T) {
	s := newStage(t, sturdy.Options{})
	ed := s.shares(s.owner, "ed", share.Editor)
	keys := map[string]bool{s.shares(s.owner, "carl", share.Commenter): true} // whether it stays
	for i := range 4 {
		keys[s.shares(ed, fmt.Sprint("intern ", i), share.Commenter)] = false
	}
	var revoked atomic.Bool
	var busy, visitors sync.WaitGroup
	busy.Add(len(keys))
	for key, stays := range keys {
		visitors.Go(func() {
			for range 10 {
				s.expect(http.StatusSeeOther, key, "/comment", forms()["/comment"])
			}
			busy.Done()
			for late := 0; late < 20; {
				was := revoked.Load()
				switch w := s.visit(key, "/comment", forms()["/comment"]); {
				case w.Code == http.StatusSeeOther && (stays || !was), w.Code == http.StatusForbidden && !stays:
				default:
					t.Errorf("revoked: %v, to stay: %v, status %d", was, stays, w.Code)
				}
				if was {
					late++
				}
			}
		})
	}
	busy.Wait()
	s.revoke("ed")
	revoked.Store(true)
	visitors.Wait()
}
