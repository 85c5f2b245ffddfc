package sturdy

import (
	"cmp"
	"time"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// A thread is an object of kind sturdy/thread: which object it runs on, which of its methods,
// and what it waits for. Beside that it has, as elements, what it has done:
//
//	s path   a step: what came of it, see steps.go
//	l path   a loop: the number of the round it is in, see loop.go
//
// A thread that runs has a goroutine; one that has waited for a while has none. When it goes
// on, after a wait or after a restart, its program begins anew, and each step that is done
// returns at once what is recorded. So a program must come to its steps in the same way each
// time: by what steps returned, not by a clock, a random number or the state as it is now.
// What it does outside of steps is done again. There is no history to be replayed: what steps
// have called, sent or seen is not recorded, only what they returned.
//
// One step, walked through:
//
//	th.Turn("reserve", fn)         (*strand).begin finds that it is not done
//	(*strand).attempt              a write turn that asks first whether the thread is paused
//	                               or canceled, runs fn on the object, and records the step
//	(*vat).commit                  all of it or nothing
//
// Invariant: a thread that has not ended has a p element of the activity, and one that could
// run now, if it had a goroutine, an r element. Opening a world starts those, and no others.

// Thread is a running thread on an object with state S, as its program sees it. It belongs to
// the goroutine of the program. It is no context: what it does it does in steps, so that
// nothing is done twice. Used from another goroutine, or inside a function that was given to
// Turn or View, its steps fail, and nothing is recorded.
//
// When the host closes, or the thread is paused, the step it waits in does not return: the
// goroutine ends, and its deferred functions run. A step in one of them does nothing, and ends
// that deferred function there: what stands behind it in the same function, an Unlock for one,
// does not run. The other deferred functions do. So a deferred function has no steps, or has
// them last.
type Thread[S any] struct{ s *strand }

// Runs binds the program of a thread: it runs on one when somebody spawns it, see
// WriteTurn.Spawn. Calling the action spawns, too. It needs x. The error that the program
// returns, or its panic, parks the thread: it can be looked at, and resumed, which tries
// again the steps that failed.
func Runs[S any](m caps.Action, program func(*Thread[S]) error) Part[S] {
	return part[S]{func(d *definition) {
		t, ok := newTyped[caps.Done, caps.Done](d, m.Name(), caps.Run)
		if !ok {
			return
		}
		t.method.program = func(s *strand) error { return program(&Thread[S]{s}) }
		entry := func(f caps.Frame, _ caps.Done) (caps.Done, error) { return caps.Done{}, spawnNow(f, m.Name()) }
		t.method.entry = entry
		t.method.deliver = t.deliverThrough(entry)
	}}
}

// spawnNow is a call of what runs on a thread.
func spawnNow(f caps.Frame, method string) error {
	h := f.Object.(*handle)
	spawn := func(t *WriteTurn) error {
		_, err := t.spawn(h, f.Via, method, Domain{})
		return err
	}
	if t, ok := f.Turn.(*WriteTurn); ok {
		return spawn(t)
	}
	return h.vat.rt.update(f.Turn, h.vat.rt.opOf(h, method), spawn)
}

// ThreadState is where a thread is in its life.
type ThreadState string

// The states. Done and canceled threads have ended; a parked one can be resumed.
const (
	ThreadRunning  ThreadState = "running"
	ThreadWaiting  ThreadState = "waiting"
	ThreadParked   ThreadState = "parked" // its program failed, panicked, or is not known here
	ThreadDone     ThreadState = "done"
	ThreadCanceled ThreadState = "canceled"
)

// thread is the state.
type thread struct {
	Of     caps.Ref // the object, as it was held by who spawned
	Method string
	Parent caps.Ref // the thread on which it was spawned; null: no thread
	Domain caps.Ref // what it may do; null: anything
	Holds  map[string]caps.Ref
	State  ThreadState
	Paused bool
	Cancel string // why it is to end; empty: it is not
	// Noticed: a step has returned ErrCanceled, and what runs now is undoing.
	Noticed bool
	Since   int64 // when State came to be, in nanoseconds since 1970
	Born    int64
	Step    string   // that it waits in
	Waits   string   // for what, for people: "message approve"
	For     string   // method of the message that it waits for
	On      caps.Ref // what it has asked, and whose answer it waits for
	Place   string   // file and line where it waits
	Err     *caps.Error
	Failed  []string // of a parked thread: the steps that a Resume tries again
	Stack   string   // of its panic
}

func (st *thread) ended() bool { return st.State == ThreadDone || st.State == ThreadCanceled }

// set changes the state, and forgets what belonged to the one before.
func (st *thread) set(s ThreadState, now time.Time) {
	st.State, st.Since = s, now.UnixNano()
	st.Paused = st.Paused && !st.ended()
	st.Step, st.Waits, st.For, st.Place, st.Err, st.Stack, st.On = "", "", "", "", nil, "", caps.Ref{}
}

// Spawn starts a thread when the turn commits: m is made by To of an Action that Runs binds.
// Whoever spawns needs x on the object, and the thread holds it with the authority that m.To
// carries; d says what else it holds, and what it may do. What cannot be spawned fails the
// turn, with ErrNoRight if the thread might do more than who spawns it.
func (t *WriteTurn) Spawn(m caps.Message, d Domain) ThreadRef {
	t.r.check()
	t.r.depth++ // see openColl
	h, a, ok := t.r.vat.rt.open(m.To)
	err := t.sendable(m)
	if err == nil && ok {
		var ref caps.Ref
		if ref, err = t.spawn(h, a, m.Method, d); err == nil {
			t.r.depth--
			return ThreadRef{ref}
		}
	}
	panic(unwind{cmp.Or(err, error(&caps.Error{Op: "spawn " + m.Method, Code: caps.ErrBadArgument, Text: m.To.String() + " is not of this world"}))})
}

func (t *WriteTurn) spawn(h *handle, a caps.Authority, method string, d Domain) (ref caps.Ref, err error) {
	v := t.r.vat
	_, m, _, err := h.admit(t, a, method)
	switch {
	case err != nil:
		return ref, err
	case m.program == nil:
		return ref, &caps.Error{Op: m.op, Object: h.name(), Code: caps.ErrBadArgument, Text: "it is no program of a thread: it was not bound with sturdy.Runs"}
	}
	now := t.Now()
	st := thread{Of: v.rt.ref(h, a), Method: method, State: ThreadRunning, Since: now.UnixNano(), Born: now.UnixNano()}
	if by := t.spawner(); by != nil {
		st.Parent = v.rt.ref(by.h, caps.Full())
	}
	if err := t.settleIn(&st, d); err != nil {
		return ref, err
	}
	ref = v.rt.threads.New(t, st)
	th, _, _ := v.rt.open(ref)
	t.listThread(th.oid.N)
	t.startThread(th.oid.N)
	return ref, nil
}

// listThread makes the thread one of those that have not ended.
func (t *WriteTurn) listThread(n uint64) {
	t.change(&element{key: objstore.ElementKey(t.r.vat.activityOID(), activityElem('p', n))})
}

// runnable says whether the thread n could run if it had a goroutine.
func (t *WriteTurn) runnable(n uint64, now bool) {
	t.change(&element{key: objstore.ElementKey(t.r.vat.activityOID(), activityElem('r', n)), dead: !now})
}

// threadAt returns the state of a thread for writing.
func (t *WriteTurn) threadAt(h *handle) (*thread, error) {
	s, err := t.ownOf(h, t.r.vat.rt.threads.def)
	return (*thread)(s), err
}

// threadState returns the state of the thread h as this turn sees it.
func (t *ReadTurn) threadState(h *handle) (*thread, error) {
	s, err := t.stateOf(h, t.vat.rt.threads.def)
	return (*thread)(s), err
}

// stateOf is the state of an object that was stored as a number or a Ref, and that has to be of
// kind d. In a damaged world it may be anything, and nil is what a null Ref opens to.
func (t *ReadTurn) stateOf(h *handle, d *definition) (unsafe.Pointer, error) {
	if h == nil {
		return nil, &caps.Error{Code: caps.ErrDamaged, Text: "damaged: no " + shortKind(d.name) + " is named where one should be"}
	}
	v, err := t.state(h)
	if err != nil {
		return nil, err
	}
	if v.kind.def != d {
		return nil, &caps.Error{Object: h.name(), Code: caps.ErrDamaged, Text: "damaged: " + h.name() + " should be a " + shortKind(d.name)}
	}
	return v.state, nil
}

// ownOf is stateOf for writing.
func (t *WriteTurn) ownOf(h *handle, d *definition) (unsafe.Pointer, error) {
	if _, err := t.r.stateOf(h, d); err != nil {
		return nil, err
	}
	return t.own(h)
}

// Self is the object that the thread runs on, with the authority that it was spawned with.
func (th *Thread[S]) Self() caps.Ref { return th.s.ref }

// Thread is the thread itself, with every right: what others send it messages through.
func (th *Thread[S]) Thread() ThreadRef { return ThreadRef{th.s.rt.ref(th.s.h, caps.Full())} }

// Turn is the step name, done as one turn: exactly once, whatever happens. fn works on the
// thread's object like the body of a method, and may be run more than once before one run
// takes effect. If it returns an error nothing happened but that the error is recorded, and
// Turn returns it, now and whenever the program comes here again.
func (th *Thread[S]) Turn(name string, fn func(*WriteTurn, *S) error) error {
	s := th.s
	return s.turn(name, func(t *WriteTurn) error {
		if err := cmp.Or(t.r.alive(s.via), t.r.may.refuses(s.of, s.op, caps.Write)); err != nil {
			return outcome(s.op, s.of, err)
		}
		p, err := t.own(s.of)
		if err != nil {
			return err
		}
		defer t.r.restore(t.r.enter(s.of))
		err = fn(t, (*S)(p))
		t.r.depth--
		return err
	})
}

// View looks at the state, in a read turn; it is no step, and sees what is there now. fn gets
// a copy.
func (th *Thread[S]) View(fn func(*ReadTurn, *S) error) error {
	s := th.s
	if err := s.usable(); err != nil {
		return err
	}
	return s.view(func(t *ReadTurn) error {
		if err := cmp.Or(t.alive(s.via), t.may.refuses(s.of, s.op, caps.Read)); err != nil {
			return outcome(s.op, s.of, err)
		}
		v, err := t.state(s.of)
		if err != nil {
			return err
		}
		defer s.keepStack()
		state := *(*S)(v.state)
		if codec := v.kind.def.codec; !codec.Flat() {
			if err := codec.Own(unsafe.Pointer(&state), caps.Full()); err != nil {
				return err
			}
		}
		defer s.within()()
		return fn(t, &state)
	})
}
