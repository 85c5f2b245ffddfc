package sturdy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// A sturdy ref names a grant and proves the right to it with a secret that the host derives
// from its key whenever it is asked: nothing of it is stored. A weaker text, made by whoever
// held a stronger one, proves the same and lists what was given up. Fewer rights need no
// record; fewer methods, an earlier end or a purpose become a grant below the first, made when
// the text is first restored, so that Refs under it can be stored, listed and revoked.

// Host is the host's name in sturdy refs; empty in a world that is only read and has no key.
func (rt *Runtime) Host() string {
	if rt.key == nil {
		return ""
	}
	return rt.key.host
}

// Save grants ref under terms and returns the grant as text: whoever has the text has the
// authority. The secret is not stored; a text that is lost cannot be told again. With a turn
// as ctx the grant is part of that turn, and what WriteTurn.Grant refuses fails the turn.
func (rt *Runtime) Save(ctx context.Context, ref caps.Ref, terms caps.Terms) (s caps.SturdyRef, g Grant, err error) {
	if rt.key == nil {
		return s, g, noKey("save")
	}
	err = rt.Update(ctx, func(t *WriteTurn) error {
		_, g = t.Grant(ref, terms)
		return nil
	})
	if err != nil {
		return s, Grant{}, err
	}
	h, _, _ := rt.open(g.Ref)
	s, err = caps.NewSturdyRef(rt.key.host, h.oid.N, rt.secret(h.oid.N, rt.incarnation))
	if w := rt.wire.Load(); w != nil && (*w).Address() != "" {
		s = s.At((*w).Address())
	}
	return s, g, err
}

// secret is what the sturdy ref of a grant proves that somebody knows.
func (rt *Runtime) secret(n, incarnation uint64) []byte {
	return rt.key.root(rt.worldID, rt.lineages.Load().of(n), n, incarnation)
}

// Restore turns a text back into a capability. ErrRevoked says that it opens nothing: not
// whether it is wrong, was revoked or has run out, which is nobody's business who does not
// hold the grant. Texts of other hosts are ErrNotDelivered.
//
// A text that names methods, a time or a party becomes a grant of its own when it is first
// restored. That is a write: in a View it is ErrNoRight, in a world that is only read
// ErrStopped; and ErrOverloaded if there are 1,000 such of one Save that have not run out.
//
// A world that was copied refuses the texts of the original, until Adopt: it cannot know
// which of them have been revoked there since.
func (rt *Runtime) Restore(ctx context.Context, s caps.SturdyRef) (caps.Ref, error) {
	switch {
	case s.IsZero():
		return caps.Ref{}, &caps.Error{Op: "restore", Code: caps.ErrNull, Text: "the zero SturdyRef opens nothing: it was never set, or Only, Until, For or Attenuate were given what cannot be written"}
	case rt.key == nil:
		return caps.Ref{}, noKey("restore")
	case s.Host() != rt.key.host:
		return rt.restoreElsewhere(ctx, s)
	}
	turn, _ := turnOf(ctx)
	if turn != nil {
		if err := turn.usableIn(rt); err != nil {
			return caps.Ref{}, err
		}
	}
	sum := sha256.Sum256([]byte(s.Reveal()))
	if ref, ok := rt.texts.get(sum); ok {
		if _, a, _ := rt.open(ref); a.Gate.Alive(nil) == nil {
			return ref, nil
		}
		rt.texts.drop(sum) // and look again: it may have been made by a commit that failed
	}
	ref, err := rt.restore(ctx, turn, s)
	if err != nil {
		return caps.Ref{}, rt.refuse(ctx, turn, err)
	}
	if turn == nil { // what a turn restores may be a grant that it makes and that never was
		rt.texts.put(sum, ref)
	}
	return ref, nil
}

// restoreElsewhere asks the host that s is of.
func (rt *Runtime) restoreElsewhere(ctx context.Context, s caps.SturdyRef) (caps.Ref, error) {
	if t, _ := turnOf(ctx); t != nil {
		return caps.Ref{}, &caps.Error{Op: "restore", Code: caps.ErrWouldBlock, Text: fmt.Sprintf("the sturdy ref is of host %s, and this is %s; a turn cannot wait for another host, so restore it outside of the turn", s.Host(), rt.key.host)}
	}
	w := rt.wire.Load()
	if w == nil {
		return caps.Ref{}, &caps.Error{Op: "restore", Code: caps.ErrNotDelivered, Text: fmt.Sprintf("the sturdy ref is of host %s, and this is %s, which is not connected to any other; see rpc.Attach", s.Host(), rt.key.host)}
	}
	return (*w).Restore(ctx, s)
}

// errOpensNothing is a text that proves nothing.
var errOpensNothing = errors.New("opens nothing")

// refuse makes one error of everything that must not be told apart.
func (rt *Runtime) refuse(ctx context.Context, turn *ReadTurn, err error) error {
	refusal := &caps.Error{Op: "restore", Code: caps.ErrRevoked, Text: "this sturdy ref opens nothing here: it is wrong, was revoked or has run out"}
	switch {
	case errors.Is(err, errOpensNothing):
		return refusal
	case !errors.Is(err, caps.ErrRevoked):
		return err
	case turn != nil:
		turn.refused = true
		return refusal
	}
	return rt.vat.told(ctx, "restore", refusal)
}

// restore is Restore of a text that was not seen lately. What the secret has to be follows
// from the grant's record; a wrong text takes the same way as one of a revoked grant.
func (rt *Runtime) restore(ctx context.Context, turn *ReadTurn, s caps.SturdyRef) (caps.Ref, error) {
	n := s.Grant()
	g, unread := rt.grantState(turn, n)
	if errors.Is(unread, ErrClosed) {
		return caps.Ref{}, unread
	}
	if !s.Opens(rt.secret(n, g.Opening)) || g.Object.IsNull() {
		if unread != nil { // what is wrong with a record is nothing to tell a stranger
			rt.log.Error("a grant that a sturdy ref names cannot be read", "grant", n, "err", unread)
		}
		return caps.Ref{}, errOpensNothing
	}
	var err error
	of, a, _ := rt.open(g.Object)
	a.Gate = rt.gates.Grant(n)
	if err := rt.alive(turn, a); err != nil {
		return caps.Ref{}, err
	}
	narrow, terms := s.Narrow(a)
	if !terms.Until.IsZero() && rt.gates.Past(terms.Until) {
		return caps.Ref{}, caps.ErrRevoked
	}
	if terms.Only != nil || !terms.Until.IsZero() || terms.For != "" {
		terms.For = cmp.Or(terms.For, g.For)
		if narrow.Gate, err = rt.weaker(ctx, n, rt.ref(of, narrow), terms); err != nil {
			return caps.Ref{}, err
		}
		if err := rt.alive(turn, narrow); err != nil {
			return caps.Ref{}, err
		}
	}
	return rt.ref(of, narrow), nil
}

// alive reports whether a's grants let calls through, as turn sees them if there is one.
func (rt *Runtime) alive(turn *ReadTurn, a caps.Authority) error {
	if turn != nil {
		return turn.alive(a)
	}
	return a.Gate.Alive(nil)
}

// grantState returns the newest state of grant n, or what turn has made of it, and the zero
// grant if there is none. Whoever guesses numbers must not have objects loaded, so the kind
// is looked up first.
func (rt *Runtime) grantState(turn *ReadTurn, n uint64) (g grant, err error) {
	h := rt.vat.table.get(rt.vat, objstore.OID{Vat: rt.vat.id, N: n})
	if turn != nil && turn.w != nil && h.work != nil {
		if h.work.kind.def == rt.grants.def {
			g = *(*grant)(h.work.state)
		}
		return g, nil
	}
	if v := h.cur.Load(); v == nil || v.state == nil {
		s := rt.vat.snaps.acquire(&rt.vat.snaps.durable)
		rec, ok, err := s.store.Get(objstore.ObjectKey(h.oid))
		rt.vat.snaps.release(s)
		if err != nil || !ok || rt.kindOfRow(rec.Kind).def != rt.grants.def {
			return g, err
		}
	}
	v, err := h.load()
	switch {
	case errors.Is(err, caps.ErrGone):
		return g, nil
	case err == nil && v.kind.def == rt.grants.def:
		g = *(*grant)(v.state)
	}
	return g, err
}
