package sturdy

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Turn is a running turn, read or write. It is a context that a Call joins. It belongs to
// the goroutine that runs it and ends with it: using it later is ErrTurnOver. Using it from
// another goroutine is a mistake that fails the turn with ErrTurnShared where it is noticed:
// always in Checked mode, otherwise if the other goroutine is inside a call when the turn
// ends. Only this package implements it.
type Turn interface {
	context.Context
	// Self is the object whose method runs, with every right; null in Update and View.
	Self() caps.Ref
	// Now is the time of the turn: the same, however often it is asked or run.
	Now() time.Time
	reads() *ReadTurn
}

// ReadTurn is a turn that cannot write, through any capability.
type ReadTurn struct {
	ctx   context.Context
	vat   *vat
	w     *WriteTurn // the write turn that this is the reading side of; nil in a read turn
	snap  *snapshot  // what a read turn reads; nil in a write turn
	self  *handle
	now   int64         // nanoseconds since 1970; 0: nobody has asked
	gid   uint64        // the goroutine it belongs to; only in Checked mode
	depth int32         // Invariant: the number of methods on the stack; 0 when the turn ends well
	spent atomic.Uint32 // why it cannot simply go on; 0: it can
	// behind: a read turn has met an object that was made after its snapshot.
	behind bool
	// refused: a call was, for a grant that is revoked or has run out.
	refused bool
	calls   uint32     // how many that through has not been told of
	through *caps.Gate // what the latest calls came through; nil: none did
	may     *may       // do at most; nil: anything
}

// Why a turn cannot simply go on.
const (
	over   = 1 << iota // it has ended
	shared             // another goroutine has used it
	asks               // its context or Checked mode has to be asked at each call
)

// WriteTurn is a turn that may write and create objects. It reads what it has written.
type WriteTurn struct {
	r     ReadTurn
	op    string
	wset  []*handle // whose work is this turn's, in the order of their first write
	few   [4]*handle
	elems []change
	first uint64  // the number of the first object it creates
	bytes int     // of elements written
	rand  *random // nil until the turn asks for randomness
	// strand is the thread that the turn is a step of; nil: it is none.
	strand *strand
	// unmetered: it is the runtime's own doing.
	unmetered bool
	// seldom is nil in most turns, see grant.go.
	seldom *seldom

	// What follows tells end that the turn has to be run again, and begin what to keep.
	again  bool
	missed *handle // what was not in memory
	misses int     // how often that has happened to this turn
	trial  *trial  // the first of two runs, in Checked mode
	// abandoned: the goroutine of the turn is ending.
	abandoned bool
}

// change is one write of an element. now is nil if the row of before was taken away as if it
// had never been.
type change struct{ now, before *element }

// turnKey finds the turn in a context derived from it.
type turnKey struct{}

// Deadline, Done, Err and Value make a turn the context of what it calls.
func (t *ReadTurn) Deadline() (time.Time, bool) { return t.ctx.Deadline() }

// Done is that of the context that the turn was started with.
func (t *ReadTurn) Done() <-chan struct{} { return t.ctx.Done() }

// Err is ErrTurnOver once the turn has ended, before that the context's.
func (t *ReadTurn) Err() error {
	if t.spent.Load()&over != 0 {
		return ErrTurnOver
	}
	return t.ctx.Err()
}

// Value is the context's.
func (t *ReadTurn) Value(key any) any {
	switch key.(type) {
	case turnKey:
		return t
	case caps.TurnKey:
		return looking{t}
	}
	return t.ctx.Value(key)
}

// mayCall refuses what is not of this world: the turn would wait for it.
func (t *ReadTurn) mayCall(r caps.Ref) error {
	if h, _, ok := t.vat.rt.open(r); !ok || h.vat != t.vat {
		return &caps.Error{Object: r.String(), Code: caps.ErrWouldBlock, Text: "a turn cannot wait for " + r.String() + ", which is not of this world; call it outside of the turn"}
	}
	return nil
}

// Self is the object whose method runs, with every right; null in View.
func (t *ReadTurn) Self() caps.Ref { return t.vat.rt.ref(t.self, caps.Full()) }

// Now is the time at which the turn first asked.
func (t *ReadTurn) Now() time.Time {
	if t.now == 0 {
		t.now = t.vat.rt.clock().UnixNano()
	}
	return time.Unix(0, t.now).UTC()
}

func (t *ReadTurn) reads() *ReadTurn { return t }

// Deadline is that of the context that the turn was started with.
func (t *WriteTurn) Deadline() (time.Time, bool) { return t.r.Deadline() }

// Done is that of the context that the turn was started with.
func (t *WriteTurn) Done() <-chan struct{} { return t.r.Done() }

// Err is ErrTurnOver once the turn has ended, before that the context's.
func (t *WriteTurn) Err() error { return t.r.Err() }

// Value is the context's.
func (t *WriteTurn) Value(key any) any {
	switch key.(type) {
	case turnKey:
		return t
	case caps.TurnKey:
		return turning{t}
	}
	return t.r.Value(key)
}

// Self is the object whose method runs, with every right; null in Update.
func (t *WriteTurn) Self() caps.Ref { return t.r.Self() }

// Now is the time at which the turn first asked.
func (t *WriteTurn) Now() time.Time { return t.r.Now() }

// Random fills p: the same bytes each time that the turn is run.
func (t *WriteTurn) Random(p []byte) { _, _ = t.random().Read(p) } // it never fails

func (t *WriteTurn) reads() *ReadTurn { return &t.r }

// enter notes that a method of h runs, and returns whose ran before, for restore. The depth
// is taken back where the method has returned, and not deferred: one that is left over is
// how a panic that somebody swallowed is found.
func (t *ReadTurn) enter(h *handle) (was *handle) {
	was = t.self
	t.self = h
	t.depth++
	return was
}

// use begins to count calls through g, nil for bare ones. Counting at the gate would cost each
// call as much as all else that the gate does, so that is done once for all calls of a turn
// that follow each other.
func (t *ReadTurn) use(g *caps.Gate) {
	t.tell()
	t.through, t.calls = g, 0
}

// tell tells through what has been counted.
func (t *ReadTurn) tell() {
	if t.through != nil {
		t.through.Use(int64(t.calls))
	}
}

// restore is deferred, as who swallows a panic must not be taken for the one who panicked.
func (t *ReadTurn) restore(was *handle) { t.self = was }

// state returns h's state as this turn sees it.
func (t *ReadTurn) state(h *handle) (*version, error) {
	if t.w != nil {
		if h.work != nil {
			return h.work, nil
		}
		return t.w.newest(h)
	}
	v := h.cur.Load()
	if v == nil || v.state == nil {
		var err error
		if v, err = h.load(); err != nil {
			return nil, err
		}
	} else if !h.used.Load() {
		h.used.Store(true)
	}
	for v.lsn > t.snap.lsn {
		if v = v.prev.Load(); v == nil {
			t.behind = true
			return nil, notYet(h)
		}
	}
	return v, nil
}

// newest returns the committed version that a write turn builds on. What is not in memory is
// not waited for with the lock held: the turn is undone, the object loaded, the turn run
// again. After a few such runs it is loaded here, so that a turn that reads much ends.
func (t *WriteTurn) newest(h *handle) (*version, error) {
	v := h.cur.Load()
	if v != nil && v.state != nil {
		if !h.used.Load() {
			h.used.Store(true)
		}
		return v, nil
	}
	if t.misses < maxMisses && (v == nil || v.kind != h.vat.gone) {
		t.missed = h
		panic(unwind{errMissed})
	}
	return h.load()
}

// own returns h's state for writing: the first time in a turn, a copy.
func (t *WriteTurn) own(h *handle) (unsafe.Pointer, error) {
	if h.work != nil {
		return h.work.state, nil
	}
	base, err := t.newest(h)
	if err != nil {
		return nil, err
	}
	w, err := base.kind.def.clone(base)
	if err != nil {
		return nil, err
	}
	h.work = w
	t.wset = append(t.wset, h)
	if len(t.wset) > maxWrites {
		return nil, tooLarge("a turn that writes more than %d objects", maxWrites)
	}
	return w.state, nil
}

// newObject makes a handle for an object that exists once the turn commits.
func (t *WriteTurn) newObject(w *version) *handle {
	v := t.r.vat
	h := &handle{oid: objstore.OID{Vat: v.id, N: v.next}, vat: v, work: w}
	v.next++
	v.table.add(h)
	t.wset = append(t.wset, h)
	if len(t.wset) > maxWrites {
		panic(unwind{tooLarge("a turn that writes more than %d objects", maxWrites)})
	}
	return h
}

// seal bounds every state that was written, so that encoding it cannot fail later.
func (t *WriteTurn) seal() error {
	for i := 0; i < len(t.wset); i++ { // storing a promise's Ref makes it an object, so one more
		h := t.wset[i]
		if h.work.kind == h.vat.gone {
			continue
		}
		err := h.work.kind.def.seal(h.work, t.r.vat.rt)
		if err == nil && h.work.kind.def.codec.HasRefs() {
			err = h.work.kind.def.codec.EachRef(h.work.state, func(r caps.Ref) error {
				_, a, _ := t.r.vat.rt.open(r)
				h.work.size += rowBytes(0, a.Gate.Path())
				return t.storable(r)
			})
		}
		if t.bytes += h.work.encoded(); err == nil && t.bytes > maxTurn {
			err = tooLarge("a turn that writes %d bytes; the limit is %d", t.bytes, maxTurn)
		}
		if err != nil {
			return stateError(h, err)
		}
	}
	return nil
}

// undo forgets everything that the turn wrote.
func (t *WriteTurn) undo() {
	for _, h := range t.wset {
		if h.work.prev.Load() == nil {
			h.cur.Store(&version{kind: h.vat.gone}) // it was made in this turn, and never was
		}
		h.work = nil
	}
	v := t.r.vat
	for _, c := range slices.Backward(t.elems) {
		v.young.undo(c)
	}
	if t.seldom != nil { // what it granted never was
		for _, g := range t.seldom.gates {
			v.rt.gates.Revoke(g.Grants()...)
		}
		t.unmailed()
	}
}

// mayCommit reports what forbids the turn to take effect although its code wants it.
func (t *WriteTurn) mayCommit() error {
	if t.r.depth != 0 || t.r.spent.Load()&shared != 0 {
		return turnShared(t.op)
	}
	return nil
}

// unwind is how a failure leaves a turn from where no error can be returned.
type unwind struct{ err error }

// Error is what is printed when there is no turn around that would catch it.
func (u unwind) Error() string { return u.err.Error() }

const (
	refBytes  = 96      // of a row of the index, beside the key of an element and a path
	maxWrites = 1 << 20 // objects that one turn may write
	maxDepth  = 1000    // methods on the stack of one turn
	maxMisses = 3       // runs that end early because an object is not in memory
)
