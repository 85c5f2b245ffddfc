package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/examples/internal/program"
	"github.com/sturdyrt/sturdy/examples/internal/programtest"
)

func TestFlags(t *testing.T) {
	for line, ok := range map[string]bool{
		"":                                      true,
		"-addr 127.0.0.1:80":                    true,
		"-addr [::1]:80":                        true,
		"-plain":                                true,
		"-plain -addr 127.0.0.1:0":              true,
		"-addr 0.0.0.0:443 -cert c -key k":      true,
		"-addr :443 -cert c -key k":             true,
		"-addr :80 -insecure":                   true,
		"-cert c -key k":                        true,
		"-addr :80":                             false,
		"-addr 0.0.0.0:80":                      false,
		"-addr 192.0.2.1:80":                    false,
		"-addr example.org:80":                  false,
		"-addr localhost.example.org:80":        false,
		"-addr [::]:80":                         false,
		"-addr :80 -plain":                      false,
		"-addr :80 -plain -insecure":            false,
		"-plain -cert c -key k":                 false,
		"-cert c":                               false,
		"-key k":                                false,
		"-addr localhost":                       false,
		"-addr :80 -cert c -key k -no-such":     false,
		"localhost:80":                          false,
		"-addr 127.0.0.1.example.org:80 -plain": false,
	} {
		var out bytes.Buffer
		_, err := parse(strings.Fields(line), &out)
		if (err == nil) != ok || ok == (out.Len() > 0) {
			t.Errorf("web %s: %v: %s", line, err, &out)
		}
	}
	var help bytes.Buffer
	if _, err := parse([]string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-insecure") {
		t.Error(err, &help)
	}
}

// start runs the program with config c on a free port, until stop.
func start(t *testing.T, c config) (addr string, stop func() string) {
	t.Helper()
	return programtest.Start(t, func(ctx context.Context, l *log.Logger) error { return run(ctx, c, l) })
}

func TestTheProgramRunsTwice(t *testing.T) {
	dir := t.TempDir()
	c := config{addr: "localhost:0", world: filepath.Join(dir, "world"), owner: filepath.Join(dir, "owner.key"), plain: true}
	for i := range 2 {
		addr, stop := start(t, c)
		key, err := os.ReadFile(c.owner)
		if err != nil {
			t.Fatal(err)
		}
		secret := strings.TrimSpace(string(key))
		answer := fetch(t, http.DefaultClient, "http://"+addr+"/doc", "key="+secret)
		said := stop()
		if !strings.HasPrefix(answer, `{"Title":"Untitled"`) {
			t.Error(answer)
		}
		if strings.Contains(said, "the owner's key is in") != (i == 0) || !strings.Contains(said, "GET /doc 200") {
			t.Errorf("run %d said:\n%s", i, said)
		}
		if strings.Contains(said, secret[len(secret)-32:]) {
			t.Error("the log holds the key")
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func fetch(t *testing.T, client *http.Client, url, cookie string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	w, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	c := config{addr: "localhost:0", world: filepath.Join(dir, "world"), owner: filepath.Join(dir, "owner.key")}
	var roots *x509.CertPool
	c.cert, c.key, roots = certificate(t, dir)
	addr, stop := start(t, c)
	key, err := os.ReadFile(c.owner)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	answer := fetch(t, &http.Client{Transport: transport}, "https://"+addr+"/doc", "__Host-key="+strings.TrimSpace(string(key)))
	if !strings.HasPrefix(answer, `{"Title":"Untitled"`) {
		t.Error(answer)
	}
	transport.CloseIdleConnections()
	stop()
}

// certificate makes one for this machine, good for an hour.
func certificate(t *testing.T, dir string) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(
		os.WriteFile(cert, certPEM, 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return cert, key, roots
}

func TestRequestsUnderWayMayFinish(t *testing.T) {
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stop()
		for refused := false; !refused; { // until nobody listens
			c, err := net.Dial("tcp", ln.Addr().String())
			if refused = err != nil; !refused {
				_ = c.Close()
			}
		}
		_, _ = io.WriteString(w, "done")
	})
	ended := make(chan error, 1)
	go func() { ended <- serveOn(ctx, ln, config{}, h, log.New(io.Discard, "", 0)) }()
	if got := fetch(t, http.DefaultClient, "http://"+ln.Addr().String(), ""); got != "done" {
		t.Error(got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAnAddressThatIsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	c := config{addr: ln.Addr().String(), world: filepath.Join(dir, "world"), owner: filepath.Join(dir, "owner.key")}
	if err := run(t.Context(), c, log.New(io.Discard, "", 0)); err == nil {
		t.Error("two listen on one address")
	}
}

func TestLoopback(t *testing.T) {
	local := slices.DeleteFunc([]string{"localhost", "127.0.0.1", "127.8.8.8", "::1", "", "0.0.0.0", "::", "10.0.0.1", "LOCALHOST.evil.example"}, func(h string) bool { return !program.Loopback(h) })
	if !slices.Equal(local, []string{"localhost", "127.0.0.1", "127.8.8.8", "::1"}) {
		t.Error(local)
	}
}
