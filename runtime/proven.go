package sturdy

import (
	"bytes"
	"crypto/hmac"
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// proven remembers tokens whose tags were found right: a program calls the same objects again
// and again, and computing a tag takes longer than the rest of a short call. A token that was
// right for a host stays so while this world honours the same lineages; what was revoked since
// is looked up in its grants, as ever.
//
// It is a table of fixed size where each token has one place. Who has many tokens pushes out
// others, which then cost what they did before there was a table.
type proven struct {
	seed maphash.Seed
	at   [provenPlaces]atomic.Pointer[proof]
}

const (
	provenPlaces = 4096
	provenBytes  = 512 // a longer token is not remembered
)

// proof is a token that the host has shown, and that is right.
type proof struct {
	host     string
	text     []byte
	token    token // parts of text
	lineages *lineages
}

func newProven() *proven { return &proven{seed: maphash.MakeSeed()} }

// proves returns what text says if this host has made it for host.
func (rt *Runtime) proves(text []byte, host string) (t token, ok bool) {
	honoured := rt.lineages.Load()
	place := &rt.proven.at[maphash.Bytes(rt.proven.seed, text)%provenPlaces]
	if p := place.Load(); p != nil && p.lineages == honoured && p.host == host && hmac.Equal(p.text, text) {
		return p.token, true
	}
	t, err := parseToken(text)
	if err != nil || !honoured.honours(t.lineage) || !hmac.Equal(t.tag, rt.key.tag(rt.worldID, host, &t)) {
		return token{}, false
	}
	if len(text) <= provenBytes { // both are parts of what the peer has sent
		p := &proof{host: strings.Clone(host), text: bytes.Clone(text), lineages: honoured}
		p.token, _ = parseToken(p.text)
		place.Store(p)
	}
	return t, true
}
