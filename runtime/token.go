package sturdy

import (
	"context"
	"encoding/binary"

	"github.com/sturdyrt/sturdy/caps"
)

// A token is a Ref on its way from one host to another. It is proof by itself: nothing is kept
// here about what was given to whom, so a Ref that another host has stored still opens when
// both have been restarted, and a peer cannot fill our memory with what it was given. Only the
// host for which it was made can use it, as that is under the tag and proven by the
// connection; whoever reads it in that host's store can do nothing with it.
//
// What is revoked or runs out is looked up in the grants on the token's path, for each call,
// so it needs no list of its own either, and no lease: see forget.go.
//
//	ours  1, object, lineage  uvarints; of what Export gives away
//	      rights              a byte, with deepBit
//	      path, kind          with their length in front; kind is for people, and not under the tag
//	      tag                 20 bytes, to the end
//	home  2, rights           of what goes back to the host that made it: what its holder has left
//	      token               as that host has made it, to the end
//
// The null Ref is an empty token.
//
// Rejected: a table of exports for each peer, as Cap'n Proto has. It is lost with the process,
// so that stored Refs need a second mechanism, and it must be bounded, leased and collected.
const (
	tokenOurs = 1
	tokenHome = 2

	maxToken = 4 << 10
	maxPath  = 1 << 10 // 16 membranes are less than 200 bytes
	maxKind  = 256
)

// Export makes a token of ref for host, which is not to be changed. It waits until what it says is durable; a promise or a
// timer that is no object yet becomes one.
func (rt *Runtime) Export(ctx context.Context, ref caps.Ref, host string) ([]byte, error) {
	if ref.IsNull() {
		return nil, nil
	}
	h, a, ok := rt.open(ref)
	if !ok || h.vat.rt != rt || !a.Gate.Of(rt.gates) {
		return nil, notHere("export", ref)
	}
	if rt.key == nil {
		return nil, noKey("export")
	}
	if a.Gate == nil && h.away.Load() {
		if r, err := h.remote(); err != nil {
			return nil, err
		} else if r != nil && r.Host == host {
			return homeToken(r.Token, a), nil
		}
	}
	if err := rt.settleForExport(ctx, h, ref); err != nil {
		return nil, err
	}
	return rt.tokenOf(ref, host), nil
}

// tokenOf is the token, for host, of a Ref to an object that is durable.
func (rt *Runtime) tokenOf(ref caps.Ref, host string) []byte {
	h, a, ok := rt.open(ref)
	if !ok || rt.key == nil {
		return nil
	}
	kind := ""
	if v := h.cur.Load(); v != nil {
		kind = v.kind.name
	}
	if h.away.Load() {
		if r, err := h.remote(); err == nil && r != nil {
			if a.Gate == nil && r.Host == host { // through a grant of ours it must come by here
				return homeToken(r.Token, a)
			}
			kind = r.Kind
		}
	}
	return rt.proofOf(token{object: h.oid.N, lineage: rt.lineages.Load().Current, rights: storedRights(a), path: a.Gate.Path(), kind: kind}, host)
}

// settleForExport makes h an object, and waits until all that was committed is durable: what
// is relaxed does not leave the host.
func (rt *Runtime) settleForExport(ctx context.Context, h *handle, ref caps.Ref) error {
	switch v := h.cur.Load(); {
	case v == nil:
	case v.kind == rt.vat.latent, v.kind == rt.vat.latentTimer, v.kind == rt.vat.latentRemote:
		return rt.update(ctx, "export", func(t *WriteTurn) error { return t.storable(ref) })
	}
	if rt.vat.queued.Load() == 0 {
		return nil
	}
	return rt.vat.catchUp(ctx, "export")
}

// Import makes a Ref of a token that host has sent: of an object of that host, or of one of
// ours that comes home. at is where that host was found, or empty. ErrNoRight says that the
// token proves nothing.
func (rt *Runtime) Import(text []byte, host, at string) (caps.Ref, error) {
	switch {
	case len(text) == 0:
		return caps.Ref{}, nil
	case text[0] == tokenHome:
		return rt.ImportOwn(text, host)
	}
	t, err := parseToken(text)
	if err != nil {
		return caps.Ref{}, err
	}
	kind := t.kind
	if !caps.Printable(kind) {
		kind = ""
	}
	a := authorityOf(t.rights)
	return rt.ref(rt.standInFor(remote{Host: host, Object: t.object, Kind: kind, Token: text, At: at}), a), nil
}

// ImportOwn is Import for what must be an object of ours, as what is called must.
func (rt *Runtime) ImportOwn(text []byte, host string) (none caps.Ref, err error) {
	if len(text) < 2 || text[0] != tokenHome || rt.key == nil {
		return none, badToken()
	}
	t, ok := rt.proves(text[2:], host)
	if !ok {
		return none, badToken()
	}
	a := authorityOf(t.rights)
	left := authorityOf(text[1])
	if a.Rights &= left.Rights; left.Deep {
		a = a.Through(caps.Authority{Deep: true})
	}
	a.Gate = rt.gates.Open(t.path)
	return rt.ref(rt.vat.objectOf(t.object), a), nil
}

// badToken says nothing of why.
func badToken() error {
	return &caps.Error{Op: "import", Code: caps.ErrNoRight, Text: "a reference that the other host has sent proves nothing here: it was made for another host, by another world, or is wrong"}
}

// homeToken is the token of what goes back to the host that made it, of which a is left.
func homeToken(made []byte, a caps.Authority) []byte {
	return append(append(make([]byte, 0, 2+len(made)), tokenHome, storedRights(a)), made...)
}

// authorityOf is what stored rights say. Those of a stranger can say what no Ref may carry.
func authorityOf(rights uint8) caps.Authority {
	a := caps.Authority{Rights: caps.Rights(rights) & everything, Deep: rights&deepBit != 0}
	if a.Deep {
		a.Rights &= caps.Read
	}
	return a
}

type token struct {
	object, lineage uint64
	rights          uint8
	path, kind      string
	tag             []byte
}

func (t *token) append(tag []byte) []byte {
	b := binary.AppendUvarint([]byte{tokenOurs}, t.object)
	b = append(binary.AppendUvarint(b, t.lineage), t.rights)
	for _, s := range []string{t.path, t.kind[:min(len(t.kind), maxKind)]} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return append(b, tag...)
}

// parseToken reads a token of another host, or one of ours that it sends.
func parseToken(text []byte) (t token, err error) {
	if len(text) == 0 || len(text) > maxToken || text[0] != tokenOurs {
		return t, badToken()
	}
	p := letterParser{rest: text[1:]}
	t.object, t.lineage = p.uvarint(), p.uvarint()
	if rights := p.rest; len(rights) > 0 {
		t.rights = rights[0]
		p.skip(1)
	}
	t.path, t.kind, t.tag = p.str(""), p.str(""), p.rest
	if p.bad || t.object == 0 || len(t.path) > maxPath || len(t.kind) > maxKind || len(t.tag) != tagBytes {
		return token{}, badToken()
	}
	return t, nil
}

// tag proves that this host has made t for host. It cannot be the secret of a sturdy ref: those
// are over fewer bytes.
func (k *hostKey) tag(world, host string, t *token) []byte {
	b := make([]byte, 0, 256)
	b = append(append(append(b, "export\x00"...), world...), host...)
	for range 64 - len(host) {
		b = append(b, ' ')
	}
	for _, n := range []uint64{t.object, t.lineage} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return k.mac(append(append(b, t.rights), t.path...))[:tagBytes]
}

// honours reports whether what was given away in that lineage of the world holds in this one.
func (l *lineages) honours(lineage uint64) bool {
	if lineage == l.Current {
		return true
	}
	for _, s := range l.Honoured {
		if s.Lineage == lineage {
			return true
		}
	}
	return false
}
