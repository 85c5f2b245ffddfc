package sturdy

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Who holds what. Like the rest of inspect.go this is for who operates a world, who needs no
// Ref for it; the answers are about what is on disk, and come page by page from the index of
// references, so they cost what they say and not what the world has.

// Holder is one reference as it is stored somewhere.
type Holder struct {
	By    caps.Ref   // the object that holds it, with every right
	Name  string     // of By, without loading it: kind and short ID
	In    string     // for people, the name or key of the element of By that holds it; empty: its state does
	Ref   caps.Ref   // as it is held
	Since time.Time  // since when By has held, there, any reference to what the question is about, or through it
	Grant *GrantInfo // what By says if it is a grant; else nil
}

// Holders yields who holds a reference to the object that of designates, whatever rights of
// carries: directly, or through grants, which the authority of Holder.Ref names. The grants
// that were made of such a reference are among them; holding a Grant gives no access. They
// come in the order in which the objects that hold were made. It is no turn: it goes on page
// by page, and what changes meanwhile may be missed. An error is the last that is yielded.
func (rt *Runtime) Holders(ctx context.Context, of caps.Ref) iter.Seq2[Holder, error] {
	return func(yield func(Holder, error) bool) {
		h, _, ok := rt.open(of)
		if !ok || h.vat.rt != rt {
			yield(Holder{}, notHere("holders", of))
			return
		}
		rt.eachHolder(ctx, h.oid, func(_ *ReadTurn, s objstore.Slot) bool { return s.OID == h.oid }, yield)
	}
}

// holderPage is how many rows of the index one turn reads.
const holderPage = 256

// eachHolder yields the slots in the rows of target that keep lets through. It reports
// whether to go on.
func (rt *Runtime) eachHolder(ctx context.Context, target objstore.OID, keep func(*ReadTurn, objstore.Slot) bool, yield func(Holder, error) bool) bool {
	lo, hi := objstore.RefRange(target)
	for more := true; more; {
		var page []Holder
		var next objstore.Key
		err := rt.View(ctx, func(t *ReadTurn) (err error) {
			page = page[:0]
			next, more, err = t.rows(lo, hi, holderPage, func(p objstore.KeyParts, rec objstore.Record) error {
				return t.holders(&page, p, rec, keep)
			})
			return err
		})
		if err != nil {
			yield(Holder{}, err)
			return false
		}
		for _, h := range page {
			if !yield(h, nil) {
				return false
			}
		}
		lo = next
	}
	return true
}

// rows calls visit for at most limit durable rows from lo on and below hi, and returns where
// to go on.
func (t *ReadTurn) rows(lo, hi objstore.Key, limit int, visit func(objstore.KeyParts, objstore.Record) error) (next objstore.Key, more bool, err error) {
	src := t.sources()
	defer src.done()
	next = lo
	var bad error
	err = src.store.Scan(lo, hi, func(k objstore.Key, rec objstore.Record) bool {
		if limit == 0 {
			more = true
			return false
		}
		limit--
		next = k + "\x00"
		p, err := objstore.ParseKey(k)
		if err == nil {
			err = visit(p, rec)
		}
		bad = err
		return err == nil
	})
	if err == nil {
		err = bad
	}
	return next, more, err
}

// holders appends to dst what a row of the index says.
func (t *ReadTurn) holders(dst *[]Holder, p objstore.KeyParts, rec objstore.Record, keep func(*ReadTurn, objstore.Slot) bool) error {
	rt := t.vat.rt
	if p.OID == rt.ledger.oid {
		return nil // the texts of grants, which are grants themselves
	}
	var says *GrantInfo
	for _, s := range rec.Slots {
		if !keep(t, s) {
			continue
		}
		by := t.vat.table.get(t.vat, p.OID)
		if says == nil && rt.isGrant(p, rec) {
			info, err := t.grantInfo(by)
			if err != nil {
				return err
			}
			says = &info
		}
		held := rt.refs([]objstore.Slot{s})[0]
		*dst = append(*dst, Holder{rt.ref(by, caps.Full()), rt.holderName(p, rec), rt.place(p, rec), held, sinceOf(rec), says})
	}
	return nil
}

// isGrant reports whether the holder of an index row is a grant, which holds what it grants.
func (rt *Runtime) isGrant(p objstore.KeyParts, rec objstore.Record) bool {
	return p.Elem == "" && rt.kindOfRow(rec.Kind).def == rt.grants.def
}

// kindOfRow is the kind that a record names.
func (rt *Runtime) kindOfRow(no uint32) *bound {
	if r := rt.world.rows[no]; r != nil {
		return r.bound
	}
	return rt.vat.gone
}

func (rt *Runtime) holderName(p objstore.KeyParts, rec objstore.Record) string {
	name := "object"
	if b := rt.kindOfRow(rec.Kind); b.name != "" {
		name = shortKind(b.name)
	}
	return fmt.Sprintf("%s %x", name, p.OID.N)
}

// place is Holder.In.
func (rt *Runtime) place(p objstore.KeyParts, rec objstore.Record) string {
	kind := rt.kindOfRow(rec.Kind).def
	switch {
	case p.Elem == "" || kind == rt.colls.cell.def:
		return ""
	case kind == rt.dirs.def:
		return p.Elem
	}
	k, ok := parseKey(p.Elem)
	if s, isText := k.(string); ok && (!isText || s != "") {
		return fmt.Sprint(k)
	}
	return fmt.Sprintf("%q", k)
}

func sinceOf(rec objstore.Record) time.Time {
	since, _ := binary.Varint(rec.Body)
	return time.Unix(since, 0).UTC()
}

// grantInfo is what the grant h says.
func (t *ReadTurn) grantInfo(h *handle) (info GrantInfo, err error) {
	v, err := t.state(h)
	if err != nil {
		return info, err
	}
	if v.kind.def != t.vat.rt.grants.def {
		return info, &caps.Error{Object: h.name(), Code: caps.ErrDamaged, Text: "damaged: " + h.name() + " is listed as a grant"}
	}
	was := t.self
	t.self = h
	info, err = (*grant)(v.state).info(t)
	t.self = was
	return info, err
}

func notHere(op string, ref caps.Ref) error {
	if ref.IsNull() {
		return &caps.Error{Op: op, Code: caps.ErrNull, Text: "null reference (the zero caps.Ref). Was the field ever set?"}
	}
	return &caps.Error{Op: op, Code: caps.ErrBadArgument, Text: ref.String() + " is not of this world"}
}

// PathTo returns the shortest chain of holders from the root to the object that ref
// designates, the root first: each holds the next, the last holds the object; empty for the
// root itself. What is held through a dead grant is no way to reach it, nor is a grant, which
// gives no access. ErrNoName if there is no chain, ErrTooLarge if 100,000 objects were looked
// at and none was found. It is no turn: what changes meanwhile may be missed.
func (rt *Runtime) PathTo(ctx context.Context, ref caps.Ref) ([]Holder, error) {
	h, _, ok := rt.open(ref)
	if !ok || h.vat.rt != rt {
		return nil, notHere("path", ref)
	}
	if _, err := rt.Describe(ctx, ref); err != nil {
		return nil, err
	}
	s := search{rt: rt, found: map[objstore.OID]step{h.oid: {}}, queue: []objstore.OID{h.oid}}
	for i := 0; i < len(s.queue) && s.queue[i] != rt.root.oid; i++ {
		if err := s.expand(ctx, s.queue[i]); err != nil {
			return nil, err
		}
	}
	if _, ok := s.found[rt.root.oid]; !ok {
		return nil, &caps.Error{Op: "path", Object: h.name(), Code: ErrNoName, Text: "nothing leads from the root to " + h.name()}
	}
	return s.path(ctx)
}

// search walks the index upwards, breadth first.
type search struct {
	rt    *Runtime
	found map[objstore.OID]step
	queue []objstore.OID
}

// step says where an object holds the next one on the way down.
type step struct {
	down objstore.OID // zero: it is what is searched for
	elem string
}

// maxSearch bounds what a search looks at.
const maxSearch = 100_000

// expand queues the objects that hold oid.
func (s *search) expand(ctx context.Context, oid objstore.OID) error {
	lo, hi := objstore.RefRange(oid)
	for more := true; more; {
		var by []objstore.KeyParts
		err := s.rt.View(ctx, func(t *ReadTurn) (err error) {
			by = by[:0]
			lo, more, err = t.rows(lo, hi, holderPage, func(p objstore.KeyParts, rec objstore.Record) error {
				if s.rt.leads(t, p, rec) {
					by = append(by, p)
				}
				return nil
			})
			return err
		})
		if err != nil {
			return err
		}
		for _, p := range by {
			if _, ok := s.found[p.OID]; ok {
				continue
			}
			if len(s.queue) == maxSearch {
				return tooLarge("what holds the object, directly or not, is more than %d objects, and none of those looked at is the root", maxSearch)
			}
			s.found[p.OID] = step{oid, p.Elem}
			s.queue = append(s.queue, p.OID)
			if p.OID == s.rt.root.oid {
				return nil
			}
		}
	}
	return nil
}

// leads reports whether a row is a way from its holder to its target.
func (rt *Runtime) leads(t *ReadTurn, p objstore.KeyParts, rec objstore.Record) bool {
	if rt.isGrant(p, rec) || p.OID == rt.ledger.oid {
		return false
	}
	_, ok := rt.way(t, p, rec)
	return ok
}

// way returns a slot through which the target can be reached now.
func (rt *Runtime) way(t *ReadTurn, p objstore.KeyParts, rec objstore.Record) (objstore.Slot, bool) {
	for _, s := range rec.Slots {
		if s.OID == p.Target && t.slotAlive(s) {
			return s, true
		}
	}
	return objstore.Slot{}, false
}

// slotAlive reports whether calls come through a stored reference.
func (t *ReadTurn) slotAlive(s objstore.Slot) bool {
	return s.Path == "" || t.alive(caps.Authority{Gate: t.vat.rt.gates.Open(s.Path)}) == nil
}

// path goes down from the root.
func (s *search) path(ctx context.Context) (path []Holder, err error) {
	err = s.rt.View(ctx, func(t *ReadTurn) error {
		path = nil
		src := t.sources()
		defer src.done()
		for at := s.rt.root.oid; ; {
			down := s.found[at]
			if down.down.IsZero() {
				return nil
			}
			key := objstore.RefKey(down.down, at, down.elem)
			rec, _, err := src.store.Get(key)
			if err != nil {
				return err
			}
			p := objstore.KeyParts{OID: at, Target: down.down, Elem: down.elem}
			slot, ok := s.rt.way(t, p, rec)
			if !ok {
				return &caps.Error{Op: "path", Code: ErrNoName, Text: "the way that was found has changed meanwhile; try again"}
			}
			err = t.holders(&path, p, rec, func(_ *ReadTurn, o objstore.Slot) bool { return o == slot })
			if err != nil {
				return err
			}
			at = down.down
		}
	})
	return path, err
}

// PathText writes a path of PathTo for people, as in "root/accounts/alice": names and keys
// where there are any; what stands in the state of an object, by kind and short ID.
func PathText(path []Holder) string {
	var b strings.Builder
	b.WriteString("root")
	for i, h := range path {
		b.WriteByte('/')
		switch {
		case h.In != "":
			b.WriteString(h.In)
		case i+1 < len(path):
			b.WriteString(path[i+1].Name)
		default:
			b.WriteString(targetName(h.Ref))
		}
	}
	return b.String()
}

// targetName is the name of what ref designates, without its rights.
func targetName(ref caps.Ref) string {
	if t, _, ok := maker.Open(ref); ok {
		if s, ok := t.(fmt.Stringer); ok {
			return s.String()
		}
	}
	return ref.String()
}
