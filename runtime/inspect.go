package sturdy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// What stands in this file is for who operates a world: tools, tests and the REPL. It needs
// no Ref, and shows what Refs hide. Holding a Runtime is that authority.

// MethodInfo describes one method of a kind, as the world remembers it.
type MethodInfo struct {
	Name   string      `msgpack:"name"`
	Needs  caps.Rights `msgpack:"needs"`
	Arg    caps.Shape  `msgpack:"arg"`    // Class "done" if it takes nothing
	Result caps.Shape  `msgpack:"result"` // Class "done" if it returns nothing
	// Outside: it was bound with [Outside], runs in no turn and can be called in none. What
	// needs x and is not Outside starts a thread, see [Runs].
	Outside bool `msgpack:"outside,omitempty"`
}

// same also looks at the names of types, as numbers go by them.
func (m MethodInfo) same(o MethodInfo) bool { return reflect.DeepEqual(m, o) }

// KindInfo describes one version of a kind, as the world remembers it.
type KindInfo struct {
	Name    string
	Version int
	Known   bool // this process can call its objects
	Objects int64
	State   caps.Shape
	Methods []MethodInfo
	// Ordinals are the numbers that programs in other languages know methods and fields by: one
	// for each that any program has ever shown in this world, in the order in which the world
	// first saw them. They only get more. What stands in them is in ordinals.go.
	Ordinals []string
}

// ObjectInfo describes an object and what a Ref to it allows.
type ObjectInfo struct {
	ID     string // short: the object's number in its vat, hexadecimal
	Host   string // whose it is, if it is on another host; empty: this world's
	Kind   KindInfo
	Rights caps.Authority
	Allows []string    // the methods that this very Ref lets its holder call now
	Grants []GrantInfo // that the Ref came through, from the nearest up
	LSN    uint64      // of the turn that wrote it last
	Bytes  int         // of memory, about
}

func (d *definition) describe() (ms []MethodInfo) {
	for _, m := range d.methods {
		ms = append(ms, MethodInfo{Name: m.name, Needs: m.need, Arg: m.arg.Shape(), Result: m.result.Shape(), Outside: m.outside})
	}
	return ms
}

// Kinds lists the kinds that the world has objects of, or that the program knows, by name
// and version. The counts are those on disk.
func (rt *Runtime) Kinds(ctx context.Context) (ks []KindInfo, err error) {
	err = rt.View(ctx, func(t *ReadTurn) error {
		ks = nil
		src := t.sources()
		defer src.done()
		for _, r := range slices.SortedFunc(maps.Values(rt.world.rows), func(a, b *kindRow) int { return cmp.Compare(a.no, b.no) }) {
			n, err := readCount(src.store, r.no)
			if err != nil {
				return err
			}
			ks = append(ks, r.info(n))
		}
		return nil
	})
	slices.SortStableFunc(ks, func(a, b KindInfo) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return ks, err
}

func (r *kindRow) info(objects int64) KindInfo {
	return KindInfo{Name: r.Name, Version: r.Version, Known: r.load != nil, Objects: objects, State: r.Shape, Methods: r.Methods, Ordinals: r.Ordinals}
}

// Describe describes the object that ref designates. In KindInfo, Objects is not counted.
func (rt *Runtime) Describe(ctx context.Context, ref caps.Ref) (info ObjectInfo, err error) {
	if h, a, ok := rt.open(ref); ok && h.vat.rt == rt && h.away.Load() {
		return h.describeRemote(ctx, a)
	}
	err = rt.look(ctx, ref, func(t *ReadTurn, h *handle, a caps.Authority, v *version) error {
		no := v.row
		if v.kind.def != nil {
			no = v.kind.no
		}
		info = ObjectInfo{ID: strconv.FormatUint(h.oid.N, 16), Kind: rt.world.rows[no].info(0), Rights: a, LSN: v.lsn, Bytes: v.size}
		info.Allows = t.allowed(v.kind, a)
		info.Grants, err = t.grantsUp(a)
		return err
	})
	return info, err
}

// State returns the state of the object that ref designates, whatever rights ref carries,
// and also if this process does not know the kind. That of an object on another host is not here:
// ErrNotDelivered, or the stand-in's own, if somebody has stored it.
func (rt *Runtime) State(ctx context.Context, ref caps.Ref) (state caps.Value, err error) {
	err = rt.look(ctx, ref, func(t *ReadTurn, _ *handle, _ caps.Authority, v *version) error {
		var body []byte
		var refs []caps.Ref
		if v.kind.def == nil {
			r := (*raw)(v.state)
			body, refs = r.rec.Body, rt.refs(r.rec.Slots)
		} else {
			body, refs = v.kind.def.codec.Append(nil, nil, v.state)
		}
		return elemTypeOf[caps.Value](rt).codec.Load(unsafe.Pointer(&state), body, refs)
	})
	return state, err
}

func (rt *Runtime) look(ctx context.Context, ref caps.Ref, fn func(*ReadTurn, *handle, caps.Authority, *version) error) error {
	h, a, ok := rt.open(ref)
	if !ok || h.vat.rt != rt {
		return notHere("describe", ref)
	}
	return rt.View(ctx, func(t *ReadTurn) error {
		v, err := t.state(h)
		if err != nil {
			return err
		}
		if v.kind == h.vat.latent || v.kind == h.vat.latentTimer {
			return &caps.Error{Op: "describe", Object: h.name(), Code: caps.ErrGone, Text: h.name() + " is no object: nobody has stored it"}
		}
		if v.kind == h.vat.latentRemote {
			return &caps.Error{Op: "state", Object: h.name(), Code: caps.ErrNotDelivered, Text: "it is on another host, which alone has its state"}
		}
		return fn(t, h, a, v)
	})
}

// Object returns the object with the given ID, as ObjectInfo and every listing print it,
// with every right. ErrGone if there is none.
func (rt *Runtime) Object(ctx context.Context, id string) (caps.Ref, error) {
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return caps.Ref{}, &caps.Error{Op: "object", Code: caps.ErrBadArgument, Text: fmt.Sprintf("%q is no ID: they are hexadecimal numbers", id)}
	}
	ref := rt.ref(rt.vat.table.get(rt.vat, objstore.OID{Vat: rt.vat.id, N: n}), caps.Full())
	_, err = rt.Describe(ctx, ref)
	if err != nil {
		return caps.Ref{}, err
	}
	return ref, nil
}

// Objects yields every object of the world, in the order in which they were made, with
// every right. It is no turn: it goes on page by page, and what is made meanwhile may be
// missed. An object whose record is damaged is yielded as an error, and the others follow;
// any other error is the last that is yielded.
func (rt *Runtime) Objects(ctx context.Context) iter.Seq2[caps.Ref, error] {
	return func(yield func(caps.Ref, error) bool) {
		lo, hi := objstore.ObjectRange()
		for {
			page, err := rt.objectPage(ctx, lo, hi)
			for _, h := range page {
				if !yield(rt.ref(h, caps.Full()), nil) {
					return
				}
				lo = objstore.ObjectKey(h.oid) + "\x00"
			}
			if err != nil && !yield(caps.Ref{}, err) {
				return
			}
			behind, ok := behindDamage(err, lo)
			if !ok && (err != nil || len(page) == 0) {
				return
			}
			lo = behind
		}
	}
}

// behindDamage is where to go on after err; ok is false if err is not a damaged record from
// lo on.
func behindDamage(err error, lo objstore.Key) (next objstore.Key, ok bool) {
	var d *objstore.DamagedError
	if !errors.As(err, &d) || d.OID().IsZero() {
		return lo, false
	}
	next = objstore.ObjectKey(d.OID()) + "\x00"
	return next, next > lo
}

// objectPage returns the next objects from lo on: also beside an error, those before it.
func (rt *Runtime) objectPage(ctx context.Context, lo, hi objstore.Key) (page []*handle, err error) {
	err = rt.View(ctx, func(t *ReadTurn) error {
		page = nil
		src := t.sources()
		defer src.done()
		return src.store.Scan(lo, hi, func(k objstore.Key, _ objstore.Record) bool {
			if p, err := objstore.ParseKey(k); err == nil {
				page = append(page, rt.vat.table.get(rt.vat, p.OID))
			}
			return len(page) < 256
		})
	})
	return page, err
}

// Check verifies what is on disk, all of it, against the store's numbered invariants and
// those of the index of references, see refcheck.go. Use goes on meanwhile.
func (rt *Runtime) Check(ctx context.Context) error {
	if err := rt.vat.store.Check(ctx); errors.Is(err, objstore.ErrClosed) || ctx.Err() != nil {
		return err
	} else {
		return errors.Join(err, rt.checkIndex(ctx))
	}
}

// Evict drops every state from memory that can be loaded again: for tests and measurements.
func (rt *Runtime) Evict() {
	rt.vat.tidies.Lock() // who was told that something is on disk may be faster than the flusher, which then lets the cache have it
	defer rt.vat.tidies.Unlock()
	rt.vat.cache.clear()
}
