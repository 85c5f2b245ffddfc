package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"log"
	"net/http"
	"path"
	"time"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS string

// site is the web site. It holds no capability to the document: every request brings its
// own. Safe for concurrent use.
type site struct {
	rt    *sturdy.Runtime
	plain bool // see config
	now   func() time.Time
	log   *log.Logger
	page  *template.Template
}

func newSite(rt *sturdy.Runtime, plain bool, now func() time.Time, l *log.Logger) *site {
	page := template.Must(template.New("page").Funcs(template.FuncMap{"style": func() template.CSS { return template.CSS(styleCSS) }}).Parse(pageHTML))
	return &site{rt, plain, now, l, page}
}

// handler serves the site. A key stands in the cookie and in the bodies of POST requests,
// never in a URL: URLs get into logs, histories and Referer headers.
func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.show)
	mux.HandleFunc("POST /in", s.does(s.in))
	mux.HandleFunc("POST /out", s.does(s.out))
	mux.HandleFunc("GET /doc", s.does(s.doc))
	mux.HandleFunc("POST /edit", s.does(s.edit))
	mux.HandleFunc("POST /comment", s.does(s.comment))
	mux.HandleFunc("POST /share", s.does(s.share))
	// SameSite=Strict keeps the cookie from what other sites start, this keeps out the rest:
	// a form elsewhere could log its visitor in with a key of the form's owner.
	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say(w, http.StatusForbidden, "this came from another site")
	}))
	return s.logged(headers(exact(own.Handler(mux))))
}

// headers sets what holds for every response.
func headers(next http.Handler) http.Handler {
	sum := sha256.Sum256([]byte(styleCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// exact refuses paths that the mux would clean and redirect to: the answer would quote them,
// and a key that somebody pasted behind the address is such a path.
func exact(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; r.Method == http.MethodConnect || p == "" || path.Clean(p) != p {
			say(w, http.StatusNotFound, "there is no such page")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// logged writes a line for each request: the route and the status, nothing that the client
// chose.
func (s *site) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		route := r.Pattern
		if route == "" {
			route = "-"
		}
		s.log.Printf("%s %d", route, rec.status)
	})
}

// recorder remembers the status of a response.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the first status.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func say(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }
