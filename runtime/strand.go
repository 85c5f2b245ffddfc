package sturdy

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// strand is a thread while it has a goroutine. What is not marked otherwise belongs to that
// goroutine.
type strand struct {
	rt      *Runtime
	h       *handle  // the thread
	of      *handle  // the object that it runs on
	ref     caps.Ref // the same, as the thread holds it
	via     caps.Authority
	may     atomic.Pointer[may] // nil: anything. Others read it through the context of a Step
	holds   map[string]caps.Ref
	metered time.Time // until when its time is charged
	program func(*strand) error
	op      string // for errors: "shop.example/order.fulfil"
	memos   map[string]memo
	used    map[string]int // how often each name was used in this run
	rounds  map[string]uint64
	scope   string // of the round of the loops that it is in
	epoch   uint64 // of strands, when it began
	leaving bool   // its goroutine is ending
	gid     uint64 // its goroutine
	inside  bool   // a function that it has given to Turn or View runs
	// trail is the steps that failed since the last one that did not: what made the program
	// fail, if it does next.
	trail []string
	// acted: a Step has run, and what came of it is recorded even if the thread is paused.
	acted bool
	// said is what the last panic in a turn of the program said, and stack where that was.
	said, stack string

	wake chan struct{} // capacity 1

	empty atomic.Pointer[emptyError] // what a turn of the Step that runs could not be paid from

	// What follows is guarded by strands.mu.
	idle    bool               // it waits
	again   bool               // it is to be started again when it has left
	outside bool               // it runs a Step, which nothing can end
	cancel  context.CancelFunc // of the Step that it runs
	doomed  bool               // it was canceled, and no step has noticed
}

// strands are the threads of a world that have a goroutine.
type strands struct {
	mu      sync.Mutex
	quiet   sync.Cond // on mu: a strand has left
	by      map[uint64]*strand
	busy    int // strands that are not idle
	closing bool
	epoch   atomic.Uint64 // counts rollbacks: what a strand remembers may never have been
}

const (
	// residence is how long a thread that waits keeps its goroutine.
	residence = 10 * time.Second
	// afterLoss is how long a thread waits before it does again what a rollback has taken
	// back: as long as the disk is full that would be taken back at once.
	afterLoss = 50 * time.Millisecond
)

// wakeThread lets the thread n go on, with a goroutine if it has none.
func (rt *Runtime) wakeThread(n uint64) {
	m := &rt.strands
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return
	}
	s := m.by[n]
	if s == nil {
		m.start(rt, n, 0)
		return
	}
	if s.idle {
		s.idle = false
		m.busy++
	}
	s.again = true // in case it is just leaving
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// allIdle reports whether no thread runs.
func (m *strands) allIdle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.busy == 0
}

// start begins a strand, which does nothing for a while; with mu held.
func (m *strands) start(rt *Runtime, n uint64, after time.Duration) {
	s := &strand{
		rt: rt, h: rt.vat.handleOf(n), wake: make(chan struct{}, 1), epoch: m.epoch.Load(),
		memos: map[string]memo{}, used: map[string]int{}, rounds: map[string]uint64{},
	}
	m.by[n] = s
	m.busy++
	go s.main(after)
}

// wakeReceiver lets the thread or the port n look into its mailbox.
func (rt *Runtime) wakeReceiver(n uint64) {
	h := rt.vat.handleOf(n)
	v := h.cur.Load()
	switch {
	case v != nil && v.kind.def == rt.portKind.def:
		rt.ports.wake(n)
		return
	case h.away.Load(), v != nil && v.kind.def == rt.peers.def:
		rt.couriers.wake(h)
		return
	}
	rt.wakeThread(n)
}

// startThreads starts the threads that could run, when a world opens or after a rollback.
func (rt *Runtime) startThreads() error {
	all, err := rt.runnableThreads()
	for _, n := range all {
		rt.wakeThread(n)
	}
	return err
}

// runnableThreads are the numbers of the threads that could run.
func (rt *Runtime) runnableThreads() (all []uint64, err error) {
	v := rt.vat
	s := v.snaps.acquire(&v.snaps.durable)
	defer v.snaps.release(s)
	first, _ := objstore.ElementRange(v.activityOID())
	err = s.store.Scan(first+"r", first+"s", func(key objstore.Key, _ objstore.Record) bool {
		all = append(all, bigEndian(string(key[len(first)+1:])))
		return true
	})
	return all, err
}

// loseThreads makes every strand begin anew: a rollback has taken back what they rely on.
func (rt *Runtime) loseThreads() {
	m := &rt.strands
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch.Add(1)
	for _, s := range m.by {
		s.again = true
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// closeThreads ends every goroutine of a thread but those that are in a Step, which get their
// context canceled and end when it returns.
func (rt *Runtime) closeThreads() {
	m := &rt.strands
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closing = true
	for _, s := range m.by {
		if s.cancel != nil {
			s.cancel()
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	for m.resident() > 0 {
		m.quiet.Wait()
	}
}

func (m *strands) resident() (n int) {
	for _, s := range m.by {
		if !s.outside {
			n++
		}
	}
	return n
}

// interrupt ends the Step that the thread n is in, if it is in one.
func (rt *Runtime) interrupt(n uint64) {
	m := &rt.strands
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.by[n]; s != nil {
		s.doomed = true
		if s.cancel != nil {
			s.cancel()
		}
	}
}

// main is the goroutine.
func (s *strand) main(after time.Duration) {
	defer s.left()
	s.gid = goroutineID()
	if after > 0 {
		s.pause(after)
	}
	returned := false
	var err error
	defer func() {
		switch p := recover(); {
		case p != nil:
			s.park(s.panicked(p), string(debug.Stack()))
		case returned:
			s.finish(err)
		case !s.leaving:
			s.park(&caps.Error{Op: s.op, Object: s.h.name(), Code: caps.ErrPanicked, Text: "the thread's program ended its goroutine (runtime.Goexit)"}, string(debug.Stack()))
		}
	}()
	if err = s.load(); err == nil {
		err = s.program(s)
	}
	returned = true
}

// usable reports why no step can begin here.
func (s *strand) usable() error {
	switch {
	case goroutineID() != s.gid:
		return &caps.Error{Code: ErrTurnShared, Text: "a thread belongs to the goroutine of its program, and this is another"}
	case s.inside:
		return &caps.Error{Op: s.op, Object: s.h.name(), Code: caps.ErrWouldBlock, Text: "a step inside a Turn or a View of the thread would wait for that; make it a step of its own, before or after"}
	}
	return nil
}

// within marks that a function of the program runs in a turn; what it returns ends that.
func (s *strand) within() (over func()) {
	s.inside = true
	return func() { s.inside = false }
}

func (s *strand) panicked(p any) error {
	if u, ok := p.(unwind); ok {
		return u.err
	}
	return &caps.Error{Op: s.op, Object: s.h.name(), Code: caps.ErrPanicked, Text: fmt.Sprintf("the thread's program panicked: %v", p)}
}

// keepStack is deferred around what the program does in a turn. The turn makes an error of its
// panic, and the stack would be lost: it is kept in case the program fails with that error.
func (s *strand) keepStack() {
	p := recover()
	if p == nil {
		return
	}
	said := fmt.Sprint(p)
	if u, ok := p.(unwind); ok {
		e, _ := u.err.(*caps.Error)
		if e == nil || e.Code != caps.ErrPanicked {
			panic(p)
		}
		said = e.Text
	}
	s.said, s.stack = said, string(debug.Stack())
	panic(p)
}

// left is the last thing that the goroutine does.
func (s *strand) left() {
	m := &s.rt.strands
	m.mu.Lock()
	defer m.mu.Unlock()
	if !s.idle {
		m.busy--
	}
	delete(m.by, s.h.oid.N)
	if s.again && !m.closing {
		after := time.Duration(0)
		if s.epoch != m.epoch.Load() {
			after = afterLoss
		}
		m.start(s.rt, s.h.oid.N, after)
	}
	m.quiet.Broadcast()
	s.rt.vat.wake(s.rt.vat.mail.kick) // for who waits until nothing runs
}

// leave ends the goroutine; the thread stays as it is recorded.
func (s *strand) leave() {
	m := &s.rt.strands
	m.mu.Lock()
	s.again = s.again || s.epoch != m.epoch.Load()
	m.mu.Unlock()
	s.leaving = true
	goruntime.Goexit()
}

// Why a turn of a thread is undone, and its goroutine ends.
var (
	errLeave = errors.New("the thread is paused, has ended, or begins anew")
	errStep  = errors.New("the step failed")
)

// load reads what the thread is and has done.
func (s *strand) load() error {
	var failed error
	err := s.view(func(t *ReadTurn) error {
		failed = nil
		st, err := t.threadState(s.h)
		if err != nil {
			return err
		}
		if st.Paused || st.ended() || st.State == ThreadParked {
			return errLeave
		}
		s.ref, s.holds, s.metered = st.Of, st.Holds, t.Now()
		s.of, s.via, _ = s.rt.open(st.Of)
		may, err := t.mayOfRef(st.Domain)
		if err != nil {
			return err
		}
		s.may.Store(may)
		s.op = s.rt.opOf(s.of, st.Method)
		if s.program, failed = t.programOf(s.of, st); failed != nil {
			return nil
		}
		return s.recall(t)
	})
	switch {
	case errors.Is(err, errLeave), errors.Is(err, caps.ErrGone):
		s.leave()
	case errors.Is(failed, caps.ErrUnknownKind): // another program may know it, and starts it then
		s.rt.log.Warn("a thread cannot go on in this process, which does not know its kind", "thread", s.h.name(), "err", failed)
		s.leave()
	case failed != nil:
		return failed
	}
	return err
}

// programOf finds what the thread runs, if it may.
func (t *ReadTurn) programOf(h *handle, st *thread) (func(*strand) error, error) {
	v, err := t.state(h)
	if err != nil {
		return nil, err
	}
	_, a, _ := t.vat.rt.open(st.Of)
	m, err := v.kind.find(h, a, st.Method)
	if err == nil && a.Gate != nil {
		err = t.granted(h, a.Gate, st.Method)
	}
	if err != nil {
		return nil, err
	}
	if m.program == nil {
		return nil, &caps.Error{Op: m.op, Object: h.name(), Code: caps.ErrNoMethod, Text: "it is no program of a thread any more"}
	}
	return m.program, nil
}

// opOf names a method for errors.
func (rt *Runtime) opOf(h *handle, method string) string {
	if v := h.cur.Load(); v != nil && v.kind.name != "" {
		return v.kind.name + "." + method
	}
	return method
}

// update runs fn as a write turn of the thread, unless it is paused or has ended. Nobody
// waits for the disk: the next step may build on this one.
func (s *strand) update(name string, fn func(*WriteTurn, *thread) error) error {
	if s.leaving {
		goruntime.Goexit()
	}
	for {
		var empty *emptyError
		begun, err := s.updateOnce(name, fn)
		switch {
		case err == nil:
			return nil
		case errors.As(err, &empty):
			s.broke(empty)
			continue
		case errors.Is(err, errLeave), s.rt.vat.overBy(err):
			s.leave()
		case begun:
			return err
		}
		s.pause(time.Second) // the writer is held by somebody who does not let go
	}
}

// updateOnce is one turn of the thread, run again as often as that takes. begun says that its
// last run could begin: an error from before that is none of the step's.
func (s *strand) updateOnce(name string, fn func(*WriteTurn, *thread) error) (begun bool, err error) {
	ctx, op, v := Relaxed(context.Background()), s.op+" "+name, s.rt.vat
	var before *WriteTurn
	for {
		t, err := v.begin(ctx, op, before)
		if err != nil {
			return false, err
		}
		now := t.Now()
		err = updateOnce(t, func(t *WriteTurn) error {
			t.strand, t.r.may = s, s.may.Load()
			st, err := t.r.threadState(s.h)
			if err != nil {
				return err
			}
			if st.Paused && !s.acted || st.ended() || st.State == ThreadParked || s.epoch != s.rt.strands.epoch.Load() {
				return errLeave
			}
			return fn(t, st)
		})
		g, err := v.end(t, err)
		if t.again {
			v.retry(t)
			before = t
			continue
		}
		if err == nil {
			s.metered = now
			t.logBuried()
		}
		return true, v.reply(ctx, op, g, err)
	}
}

// pause waits a while, or until the thread has to go on.
func (s *strand) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	}
}

func (s *strand) view(fn func(*ReadTurn) error) error {
	if s.leaving {
		goruntime.Goexit()
	}
	for {
		begun := false
		err := s.rt.View(Relaxed(context.Background()), func(t *ReadTurn) error {
			begun = true
			t.may = s.may.Load()
			return fn(t)
		})
		switch {
		case errors.Is(err, ErrClosed) && s.rt.vat.shut.Load(): // else it is an error of the program's own
			s.leave()
		case err == nil || begun:
			return err
		}
		s.pause(time.Second) // see update
	}
}

// noticed says that a step has returned ErrCanceled: what runs now is undoing, and is not cut
// short.
func (s *strand) noticed() {
	m := &s.rt.strands
	m.mu.Lock()
	defer m.mu.Unlock()
	s.doomed = false
}

// finish is the end of a program that returned.
func (s *strand) finish(err error) {
	if err != nil {
		stack := ""
		if errors.Is(err, caps.ErrPanicked) && s.stack != "" && strings.Contains(err.Error(), s.said) {
			stack = s.stack
		}
		s.park(err, stack)
		return
	}
	_ = s.update("end", func(t *WriteTurn, st *thread) error {
		t.unmetered = true
		return s.end(t, st.Noticed)
	})
}

// end is the end of the thread.
func (s *strand) end(t *WriteTurn, canceled bool) error {
	st, err := t.threadAt(s.h)
	if err != nil {
		return err
	}
	st.set(ThreadDone, t.Now())
	if canceled {
		st.set(ThreadCanceled, t.Now())
	}
	t.endThread(s.h)
	return nil
}

// endThread takes h out of the lists, and tells who waits for its end.
func (t *WriteTurn) endThread(h *handle) {
	n := h.oid.N
	t.change(&element{key: objstore.ElementKey(t.r.vat.activityOID(), activityElem('p', n)), dead: true})
	t.runnable(n, false)
	t.rare().resolved = append(t.rare().resolved, n)
	t.rare().released = append(t.rare().released, n) // what was sent to it has to be told
}

// park stops the thread where its program failed, and tells its parent.
func (s *strand) park(failure error, stack string) {
	failed := plain(failure)
	if failed.Op == "" {
		failed.Op, failed.Object = s.op, s.h.name()
	}
	failed.Text, stack = failed.Text[:min(len(failed.Text), maxStack)], stack[:min(len(stack), maxStack)]
	canceled := false
	_ = s.update("park", func(t *WriteTurn, was *thread) error {
		t.unmetered = true
		if canceled = was.Noticed && !s.failedUndoing(); canceled {
			err := s.end(t, true)
			if st, e := t.threadAt(s.h); e == nil && !errors.Is(failure, ErrCanceled) {
				st.Err, st.Stack = failed, stack
			}
			return err
		}
		st, err := t.threadAt(s.h)
		if err != nil {
			return err
		}
		st.set(ThreadParked, t.Now())
		st.Err, st.Stack, st.Failed = failed, stack, slices.Clone(s.trail)
		t.runnable(s.h.oid.N, false)
		t.rare().resolved = append(t.rare().resolved, s.h.oid.N)
		return t.tellParent(s.h, st)
	})
	if canceled {
		return
	}
	s.rt.log.Error("a thread is parked: its program failed; look at it, and resume or cancel it", "thread", s.h.name(), "program", s.op, "err", failed)
}

// broke parks the thread because its meter is empty, and ends its goroutine. It returns if the
// meter has been refilled meanwhile, as nobody would let the thread go on.
func (s *strand) broke(e *emptyError) {
	parked := false
	_ = s.update("park", func(t *WriteTurn, _ *thread) error {
		t.unmetered = true
		m, err := t.meterAt(e.meter)
		if err != nil {
			return err
		}
		if parked = m.short(e.cost) != ""; !parked {
			return nil
		}
		st, err := t.threadAt(s.h)
		if err != nil {
			return err
		}
		st.set(ThreadParked, t.Now())
		st.Err = e.err
		t.runnable(s.h.oid.N, false)
		t.rare().resolved = append(t.rare().resolved, s.h.oid.N)
		return t.empty(e, s.h)
	})
	if parked {
		s.leave()
	}
}

// maxStack is how much of a stack is kept.
const maxStack = 16 << 10
