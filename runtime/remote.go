package sturdy

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
	"unsafe"
	"weak"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// An object on another host is held as a Ref to a stand-in here: an object of the kind
// sturdy/remote, whose state is what the other host said it is, and the token that opens it
// there. So it is stored, attenuated, granted, revoked and put under a membrane like any
// other, and a call of it goes out through the Wire. A stand-in becomes an object when
// somebody stores a Ref to it; most are dropped before.
//
// Two tokens for one object, with different rights or through different grants, have two
// stand-ins. They are the same object for Same, and for nothing else.
//
// Rejected: one stand-in for an object and the token in the Ref. A Ref would be twice its size
// in every state and argument of programs that have no other host.
type remote struct {
	Host   string // whose it is
	Object uint64 // its number there
	Kind   string // its kind there, for people
	Token  []byte // what opens it there, for this host alone; see token.go
	At     string // where the host was found when that came from there; empty: it called us
}

func newRemoteKind() *KindOf[remote] { return Define[remote]("sturdy/remote") }

// standIn is a stand-in that is no object yet, in one allocation.
type standIn struct {
	h      handle
	latent version
	of     remote
}

// remotes are the stand-ins of this process that are held by somebody.
type remotes struct {
	mu    sync.Mutex
	by    map[string]weak.Pointer[standIn] // by host and token
	swept int                              // how many there were after the last sweep
	next  uint64                           // the next number that is kept for one
	end   uint64                           // the first behind those
	rooms rooms
}

// takeNumber returns a number for an object; with mu held.
func (m *remotes) takeNumber(v *vat) uint64 {
	if m.next == m.end {
		v.w.lockInternal()
		m.next, m.end = v.next, v.next+64
		v.next = m.end
		v.w.unlock()
	}
	m.next++
	return m.next - 1
}

// standInFor returns the stand-in for r; there is one for each token.
func (rt *Runtime) standInFor(r remote) *handle {
	m, key := &rt.remotes, r.Host+string(r.Token)
	m.mu.Lock()
	s := m.by[key].Value()
	m.mu.Unlock()
	if s != nil {
		return &s.h
	}
	if h := rt.storedStandIn(&r); h != nil {
		return h
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.by[key].Value(); s != nil {
		return &s.h
	}
	v := rt.vat
	r.Token = bytes.Clone(r.Token) // it is a part of the whole message
	s = &standIn{of: r}
	s.h.oid, s.h.vat = objstore.OID{Vat: v.id, N: m.takeNumber(v)}, v
	s.h.away.Store(true)
	s.latent.kind, s.latent.state = v.latentRemote, unsafe.Pointer(s)
	s.h.cur.Store(&s.latent)
	if len(m.by) > 2*m.swept+1024 {
		m.sweep()
	}
	m.by[key] = weak.Make(s)
	return &s.h
}

// sweep drops what stands for stand-ins that nobody holds any more; with mu held. A map that was
// large keeps its room, so what is left of one gets another.
func (m *remotes) sweep() {
	was := len(m.by)
	for k, w := range m.by {
		if w.Value() == nil {
			delete(m.by, k)
		}
	}
	if m.swept = len(m.by); was > 2*m.swept+1024 {
		by := make(map[string]weak.Pointer[standIn], m.swept)
		maps.Copy(by, m.by)
		m.by = by
	}
}

// tidy is sweep for when no more are made.
func (m *remotes) tidy() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
}

// standInKey is the row of the activity that names the object which a stand-in became. Without
// it the same token would make another one after a restart.
func (v *vat) standInKey(r *remote) objstore.Key {
	sum := sha256.Sum256([]byte(r.Host + "\x00" + string(r.Token)))
	return objstore.ElementKey(v.activityOID(), "s"+string(sum[:20]))
}

// storedStandIn is the stand-in for r that is an object, if there is one and it is not in m.by:
// its handle was made when a Ref to it was read. What is not durable yet is in m.by.
func (rt *Runtime) storedStandIn(r *remote) *handle {
	v := rt.vat
	s := v.snaps.acquire(&v.snaps.durable)
	rec, ok, err := s.store.Get(v.standInKey(r))
	v.snaps.release(s)
	n, size := binary.Uvarint(rec.Body)
	if err != nil || !ok || size <= 0 {
		return nil
	}
	h := v.handleOf(n)
	is, err := h.remote()
	if err != nil || is == nil || is.Host != r.Host || !bytes.Equal(is.Token, r.Token) {
		return nil
	}
	h.away.Store(true)
	return h
}

// remote is what h stands in for; nil if it is an object of this world.
func (h *handle) remote() (*remote, error) {
	v := h.cur.Load()
	if v != nil && v.kind == h.vat.latentRemote {
		return &(*standIn)(v.state).of, nil
	}
	if v == nil || v.state == nil {
		var err error
		if v, err = h.load(); err != nil {
			return nil, err
		}
	}
	if v.kind.def != h.vat.rt.foreign.def {
		return nil, nil
	}
	return (*remote)(v.state), nil
}

// objectOf is the object of that number for who makes a Ref of the number: a slot says of what it
// holds whether that is on another host, so this has to be known before the Ref is stored or sent to.
func (v *vat) objectOf(n uint64) *handle {
	h := v.handleOf(n)
	if c := h.cur.Load(); (c == nil || c.state == nil) && !h.away.Load() {
		_, _ = h.load() // what fails here fails when it is called, too
	}
	return h
}

// materialiseRemote makes an object of the stand-in h.
func (t *WriteTurn) materialiseRemote(h *handle) error {
	v := t.r.vat
	c := h.cur.Load()
	if c == nil || c.kind != v.latentRemote || h.work != nil {
		return nil
	}
	w := newBox[remote]()
	*(*remote)(w.state) = (*standIn)(c.state).of
	w.kind = v.rt.bound(v.rt.foreign.def)
	w.prev.Store(c)
	h.work = w
	t.change(&element{key: v.standInKey((*remote)(w.state)), rec: objstore.Record{Body: binary.AppendUvarint(nil, h.oid.N)}, kind: v.activityKind})
	v.table.add(h)
	t.wset = append(t.wset, h)
	return nil
}

// errRemote is what is found instead of a method of a stand-in.
var errRemote = errors.New("on another host")

// SameAs reports whether both stand for one object on another host. It is asked of targets
// that are not the same.
func (h *handle) SameAs(o caps.Target) bool {
	other, ok := o.(*handle)
	if !ok || !h.away.Load() || !other.away.Load() {
		return false
	}
	a, err := h.remote()
	b, err2 := other.remote()
	return err == nil && err2 == nil && a != nil && b != nil && a.Host == b.Host && a.Object == b.Object
}

// callRemote calls what h stands in for. via is what the caller has of it, which the other
// host is told: it intersects it with what the token carries.
func (h *handle) callRemote(ctx context.Context, via caps.Authority, m caps.Message) (none caps.Reply, err error) {
	rt := h.vat.rt
	r, err := h.remote()
	if err != nil || r == nil {
		return none, cmp.Or(err, noMethod(h, rt.foreign.def, m.Method))
	}
	if t, _ := turnOf(ctx); t != nil {
		return none, &caps.Error{Op: m.Method, Object: r.String(), Code: caps.ErrWouldBlock, Text: "a turn cannot wait for another host; call it outside of the turn"}
	}
	w := rt.wire.Load()
	if w == nil {
		return none, notWired(m.Method, r.String())
	}
	if via.Narrows() {
		m.Slots = narrowed(m.Slots, via.Inward())
	}
	via.Rights &= mayOf(ctx, rt).of(h)
	reply, err := (*w).Deliver(ctx, r.Host, r.At, homeToken(r.Token, via), m)
	if revoked := via.Gate.Alive(nil); revoked != nil { // here, while it was under way
		return none, h.vat.told(ctx, m.Method, outcome(m.Method, h, whileItRan(revoked)))
	}
	if err != nil {
		return none, err
	}
	return settled{reply: reply}.as(via).reply, nil
}

// String is what errors and listings call it.
func (r *remote) String() string {
	return fmt.Sprintf("%s %x at %s", cmp.Or(shortKind(r.Kind), "object"), r.Object, shortHost(r.Host))
}

// shortHost is as much of a host's name as people compare.
func shortHost(host string) string { return host[:min(len(host), 8)] }
