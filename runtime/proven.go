package sturdy

import (
	"bytes"
	"crypto/hmac"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
)

// proven remembers tokens, those whose tags were found right and those that were made: a program
// calls the same objects again and again, and computing a tag takes longer than the rest of a
// short call. A token that was right for a host stays so while this world honours the same
// lineages; what was revoked since is looked up in its grants, as ever.
//
// They are tables of fixed size where each token has one place. Who has many tokens pushes out
// others, which then cost what they did before there was a table.
type proven struct {
	seed maphash.Seed
	at   [provenPlaces]atomic.Pointer[proof] // those that were shown
	made [provenPlaces]atomic.Pointer[proof]
}

const (
	provenPlaces = 2048
	provenBytes  = 512 // a longer token is not remembered
)

// proof is a token of that host, and right. Invariant: nothing of it is ever changed.
type proof struct {
	host     string
	text     []byte
	token    token // parts of text
	lineages *lineages
}

// sameAs reports whether t and o say the same, whatever their tags.
func (t *token) sameAs(o *token) bool {
	return t.object == o.object && t.lineage == o.lineage && t.rights == o.rights && t.path == o.path && t.kind == o.kind
}

// proofOf is the text of t for host, which nobody changes.
func (rt *Runtime) proofOf(t token, host string) []byte {
	place := &rt.proven.made[(t.object+uint64(t.rights)<<7)%provenPlaces]
	if p := place.Load(); p != nil && p.host == host && p.token.sameAs(&t) {
		return p.text
	}
	text := t.append(rt.key.tag(rt.worldID, host, &t))
	if text = slices.Clip(text); len(text) <= provenBytes {
		place.Store(&proof{host: host, text: text, token: t})
	}
	return text
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
