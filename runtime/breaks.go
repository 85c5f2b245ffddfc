package sturdy

import (
	"context"
	"encoding/binary"
	"iter"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Breaks yields what would stop working if g were revoked now: who holds a reference that
// came through g or through a grant below it, those grants among them, each reference once,
// from the nearest down. What is dead already is left out. It is no turn, see Holders.
func (rt *Runtime) Breaks(ctx context.Context, g Grant) iter.Seq2[Holder, error] {
	return func(yield func(Holder, error) bool) {
		h, err := rt.grantOf(ctx, g.Ref)
		if err != nil {
			yield(Holder{}, err)
			return
		}
		b := subtree{rt: rt, order: map[uint64]int{h.oid.N: 0}, queue: []uint64{h.oid.N}}
		for i := 0; i < len(b.queue); i++ {
			if !b.grant(ctx, i, yield) {
				return
			}
		}
	}
}

// grantOf returns the grant that ref designates.
func (rt *Runtime) grantOf(ctx context.Context, ref caps.Ref) (h *handle, err error) {
	err = rt.look(ctx, ref, func(_ *ReadTurn, on *handle, _ caps.Authority, v *version) error {
		if v.kind.def != rt.grants.def {
			return otherKind(on, v.kind.name, rt.grants.def.name)
		}
		h = on
		return nil
	})
	return h, err
}

// subtree is a walk down from a grant.
type subtree struct {
	rt    *Runtime
	queue []uint64
	order map[uint64]int // where each stands in queue
}

// grant yields what stands directly below the i-th grant.
func (b *subtree) grant(ctx context.Context, i int, yield func(Holder, error) bool) bool {
	rt, oid := b.rt, objstore.OID{Vat: b.rt.vat.id, N: b.queue[i]}
	return rt.eachHolder(ctx, oid,
		func(t *ReadTurn, s objstore.Slot) bool { return b.foremost(i, s) && t.slotAlive(s) },
		func(h Holder, err error) bool {
			if err == nil && h.Grant != nil {
				if !h.Grant.Alive {
					return true
				}
				by, _, _ := rt.open(h.By)
				if _, ok := b.order[by.oid.N]; !ok {
					b.order[by.oid.N] = len(b.queue)
					b.queue = append(b.queue, by.oid.N)
				}
			}
			return yield(h, err)
		})
}

// foremost reports whether s came through the i-th grant, and through none before that: a
// path may name several, and is in the row of each.
func (b *subtree) foremost(i int, s objstore.Slot) (ok bool) {
	for path := s.Path; path != ""; {
		var n uint64
		n, path = nextGrant(path)
		at, seen := b.order[n]
		if seen && at < i {
			return false
		}
		ok = ok || seen && at == i
	}
	return ok
}

// Grants yields the grants that were made on the object that of designates, or if of is null,
// every grant of the world; in the order in which they were made. It is no turn, see Holders.
func (rt *Runtime) Grants(ctx context.Context, of caps.Ref) iter.Seq2[GrantInfo, error] {
	return func(yield func(GrantInfo, error) bool) {
		if of.IsNull() {
			lo, hi := rt.ledgerRange('n', 0), rt.ledgerRange('n'+1, 0)
			rt.eachGrant(ctx, lo, hi, listed, yield)
			return
		}
		h, _, ok := rt.open(of)
		if !ok || h.vat.rt != rt {
			yield(GrantInfo{}, notHere("grants", of))
			return
		}
		lo, hi := objstore.RefRange(h.oid)
		rt.eachGrant(ctx, lo, hi, rt.granting, yield)
	}
}

// Expiring yields the grants that run out between now and the given time, by that time; not
// those that were revoked. A grant above one may be revoked or run out earlier. It is no
// turn, see Holders.
func (rt *Runtime) Expiring(ctx context.Context, before time.Time) iter.Seq2[GrantInfo, error] {
	return func(yield func(GrantInfo, error) bool) {
		lo, hi := rt.ledgerRange('x', uint64(max(rt.clock().UnixNano(), 0))), rt.ledgerRange('x'+1, 0)
		switch y := before.Year(); {
		case y < 1970:
			return
		case y <= maxYear:
			hi = rt.ledgerRange('x', uint64(before.UnixNano()))
		}
		rt.eachGrant(ctx, lo, hi, listed, yield)
	}
}

// ledgerRange is where the elements of a space of the ledger begin, from n on.
func (rt *Runtime) ledgerRange(space byte, n uint64) objstore.Key {
	return objstore.ElementKey(rt.ledger.oid, ledgerKey(space, n))
}

// listed is the number of the grant that an element of the ledger lists.
func listed(p objstore.KeyParts, _ objstore.Record) (n uint64, ok bool) {
	if len(p.Elem) < 9 {
		return 0, false
	}
	return binary.BigEndian.Uint64([]byte(p.Elem[len(p.Elem)-8:])), true
}

// granting is the number of the grant on the target that holds the row.
func (rt *Runtime) granting(p objstore.KeyParts, rec objstore.Record) (n uint64, ok bool) {
	if !rt.isGrant(p, rec) {
		return 0, false
	}
	for _, s := range rec.Slots {
		ok = ok || s.OID == p.Target
	}
	return p.OID.N, ok
}

// eachGrant yields the grants that the rows name.
func (rt *Runtime) eachGrant(ctx context.Context, lo, hi objstore.Key, number func(objstore.KeyParts, objstore.Record) (uint64, bool), yield func(GrantInfo, error) bool) {
	for more := true; more; {
		var page []GrantInfo
		var next objstore.Key
		err := rt.View(ctx, func(t *ReadTurn) (err error) {
			page = page[:0]
			next, more, err = t.rows(lo, hi, holderPage, func(p objstore.KeyParts, rec objstore.Record) error {
				n, ok := number(p, rec)
				if !ok {
					return nil
				}
				info, err := t.grantInfo(rt.vat.table.get(rt.vat, objstore.OID{Vat: rt.vat.id, N: n}))
				page = append(page, info)
				return err
			})
			return err
		})
		if err != nil {
			yield(GrantInfo{}, err)
			return
		}
		for _, info := range page {
			if !yield(info, nil) {
				return
			}
		}
		lo = next
	}
}
