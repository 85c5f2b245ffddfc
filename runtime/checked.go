package sturdy

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	goruntime "runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Checked mode finds the mistakes that the language cannot: it runs every write turn twice
// and compares, runs every read method on a copy and compares, and knows which goroutine a
// turn belongs to. It is for tests; it makes turns several times slower.

// trial is what the first run of a write turn came to.
type trial struct{ digest string }

// claim notes the goroutine that t belongs to, and what has to be asked at each call.
func (t *ReadTurn) claim() {
	if t.vat.rt.checked {
		t.gid = goroutineID()
	}
	if t.gid != 0 || t.ctx.Done() != nil {
		t.spent.Store(asks)
	}
}

// selfDeadlock finds a call that would wait for the turn it is made in.
func (rt *Runtime) selfDeadlock(v *vat, op string) error {
	if !rt.checked {
		return nil
	}
	if t := v.running.Load(); t != nil && t.r.gid == goroutineID() {
		return &caps.Error{Op: op, Code: caps.ErrWouldBlock, Text: "called inside turn " + t.op + " with another context than that turn: pass it the turn (t)"}
	}
	return nil
}

// rehearse makes a turn run twice and compares what the runs came to.
func (t *WriteTurn) rehearse(err error) error {
	digest := t.digest(err)
	switch {
	case t.trial == nil:
		t.trial, t.again = &trial{digest}, true
		return err
	case t.trial.digest != digest:
		return &caps.Error{Op: t.op, Code: ErrImpure, Text: "two runs of the turn differ, so it depends on more than its arguments and objects (a captured variable? a clock? the order of a map?):\n" + firstDifference(t.trial.digest, digest)}
	}
	return err
}

// digest is what the turn did, as text. New objects are told by their order.
func (t *WriteTurn) digest(err error) string {
	var b strings.Builder
	if err != nil {
		// Not its text: that may name a new object, whose number differs.
		return fmt.Sprintf("error %T %s", err, caps.CauseOf(err))
	}
	rt := t.r.vat.rt
	name := func(o objstore.OID) string {
		if o.N >= t.first {
			return fmt.Sprintf("new object %d", o.N-t.first)
		}
		return o.String()
	}
	slots := func(ss []objstore.Slot) {
		for _, s := range ss {
			fmt.Fprintf(&b, " (%s %x", name(s.OID), s.Rights)
			for _, n := range rt.gates.Open(s.Path).Grants() {
				b.WriteString(" " + name(objstore.OID{Vat: t.r.vat.id, N: n}))
			}
			b.WriteByte(')')
		}
	}
	for _, h := range t.wset {
		if h.work.kind == h.vat.gone {
			fmt.Fprintf(&b, "removed %s\n", name(h.oid))
			continue
		}
		state := h.work.state
		if h.work.kind.def == rt.promises.def { // it prints a number, which may be that of a new object
			p := *(*promise)(state)
			p.Target, state = "", unsafe.Pointer(&p)
		}
		body, refs := h.work.kind.def.codec.Append(nil, nil, state)
		fmt.Fprintf(&b, "%s %s: %s", h.work.kind.name, name(h.oid), showBody(body))
		slots(rt.slots(nil, refs))
		b.WriteByte('\n')
	}
	for _, c := range t.elems {
		now, dead := cmp.Or(c.now, c.before), c.now == nil || c.now.dead
		key, _ := objstore.ParseKey(now.key)
		if key.OID == rt.ledger.oid {
			continue // its keys name new objects, and say no more than their states
		}
		if key.OID == rt.activity.oid { // its keys number letters anew in each run
			l, _ := parseLetter(0, "", now.rec)
			fmt.Fprintf(&b, "letter %q: dead %v %s %d %s", key.Elem[:1], dead, l.method, l.every, showBody(l.body))
			slots(l.slots)
			b.WriteByte('\n')
			continue
		}
		fmt.Fprintf(&b, "element %q of %s: dead %v %s", key.Elem, name(key.OID), dead, showBody(now.rec.Body))
		slots(now.rec.Slots)
		b.WriteByte('\n')
	}
	return b.String()
}

// showBody prints an encoded value.
func showBody(body []byte) string { return fmt.Sprintf("%q", body) }

func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return "first:  " + as[i] + "\nsecond: " + bs[i]
		}
	}
	return fmt.Sprintf("first:  %d lines\nsecond: %d lines", len(as), len(bs))
}

// checkRead runs body on a copy of h's state and reports whether body wrote to it.
func (t *ReadTurn) checkRead(m *method, h *handle, state unsafe.Pointer, body func(unsafe.Pointer) error) error {
	v, err := t.state(h)
	if err != nil {
		return err
	}
	codec := v.kind.def.codec
	before, _ := codec.Append(nil, nil, state)
	w := v.kind.def.copy(&version{state: state})
	if err := codec.Own(w.state, caps.Full()); err != nil {
		return err
	}
	err = body(w.state)
	after, _ := codec.Append(nil, nil, w.state)
	if bytes.Equal(before, after) {
		return err
	}
	return &caps.Error{Op: m.op, Object: h.name(), Code: ErrImpure, Text: fmt.Sprintf("it wrote its state in a read turn: %s became %s. Bind it with a *sturdy.WriteTurn.", showState(before), showState(after))}
}

// showState prints an encoded state; Refs in it are left out.
func showState(body []byte) string {
	var v caps.Value
	values, err := caps.CodecFor(reflect.TypeFor[caps.Value]())
	if err == nil {
		err = values.Load(unsafe.Pointer(&v), body, make([]caps.Ref, 256))
	}
	if err != nil {
		return showBody(body)
	}
	return v.String()
}

// goroutineID is the number in "goroutine 7 [running]:"; there is no cheap way to it.
func goroutineID() uint64 {
	var buf [64]byte
	s := strings.TrimPrefix(string(buf[:goruntime.Stack(buf[:], false)]), "goroutine ")
	id, _ := strconv.ParseUint(s[:max(strings.IndexByte(s, ' '), 0)], 10, 64)
	return id
}
