package rpc_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
)

func TestWhoOperatesAHostSeesWhomItHasMet(t *testing.T) {
	a, b, _ := two(t)
	o, _ := operate(t, a)
	adds(t, a.opens(b.save(caps.Terms{})), 1, 1)
	all, err := o.Hosts(t.Context())
	must(t, err)
	here, err := a.node.Hosts(t.Context())
	must(t, err)
	if len(all) != len(here) {
		t.Fatalf("%v; the host itself says %v", all, here)
	}
	met := false
	for i, h := range all {
		if h.Host != here[i].Host || h.Connected != here[i].Connected || h.Address != here[i].Address || !h.Since.Equal(here[i].Since) {
			t.Errorf("%+v; the host itself says %+v", h, here[i])
		}
		met = met || h.Host == b.rt.Host() && h.Connected && h.RoundTrip > 0
	}
	if !met {
		t.Errorf("it has not met the other: %v", all)
	}
}

func TestTheCertificateOfAKeyIsThatOfItsHost(t *testing.T) {
	h := newHost(t, rpc.Options{})
	want, err := rpc.Certificate(h.rt)
	must(t, err)
	file, err := os.ReadFile(filepath.Join(h.dir, "key"))
	must(t, err)
	block, _ := pem.Decode(file)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(t, err)
	if got, err := rpc.CertificateOf(key.(ed25519.PrivateKey)); err != nil || string(got) != string(want) {
		t.Errorf("%s, %v", got, err)
	}
}
