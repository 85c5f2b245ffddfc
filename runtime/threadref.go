package sturdy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// ThreadRef is a capability to a thread. Sending it messages needs only that the Ref is not
// deep; they wait until the thread receives them.
type ThreadRef struct{ caps.Ref }

// ThreadInfo is what a thread is doing.
type ThreadInfo struct {
	ID      string
	Object  string // kind and short ID of the object that it runs on
	Program string // the action: "fulfil"
	State   ThreadState
	Paused  bool
	Cancel  string      // why it is to end; empty: it is not
	Step    string      // that it waits in, or that runs outside of turns
	Waits   string      // for what: "message approve", "time"
	On      string      // what it has asked, and whose answer it waits for: "thread 1f"
	Ring    []string    // the threads that wait for each other in a ring, this one first; empty: there is none
	Until   time.Time   // when the wait is over by itself; zero: never
	At      string      // file and line of the program where it waits
	Since   time.Time   // when State came to be
	Born    time.Time   // when it was spawned
	Parent  string      // ID of the thread that spawned it; empty: none did
	Mail    int64       // messages that it has not received yet
	Error   *caps.Error // why it is parked; without a State: it is damaged
	Stack   string      // of the panic that parked it; if that was in a turn, from within it
	Place   string      // where it stands among the others: what a page goes on behind
}

// StepInfo is what is recorded of a step.
type StepInfo struct {
	Name   string // with the rounds of the loops around it: "inbox/7/charge"
	State  string // begun, waits, done, failed; damaged: it cannot be read
	At     time.Time
	Tries  int64
	Until  time.Time // when its wait is over; zero: not by itself
	Result string    // as text, or the error
}

// ChildFailed is sent to the thread that spawned another when that is parked.
const ChildFailed caps.Command[ThreadInfo] = "child failed"

// What can be asked of a thread.
const (
	threadPause  caps.Action                       = "pause"
	threadResume caps.Action                       = "resume"
	threadCancel caps.Command[string]              = "cancel"
	threadInfo   caps.Query[ThreadInfo]            = "info"
	threadSteps  caps.Method[pageOf, []StepInfo]   = "steps"
	askThreads   caps.Method[pageOf, []ThreadInfo] = "threads"
)

func newThreadKind() *KindOf[thread] {
	return Define("sturdy/thread",
		Action(threadPause, (*thread).pause),
		Action(threadResume, (*thread).resume),
		Command(threadCancel, (*thread).cancel),
		Query(threadInfo, (*thread).info),
		Method(threadSteps, (*thread).steps),
	)
}

// Pause stops the thread at its next step, or where it waits, until it is resumed. It needs w.
func (r ThreadRef) Pause(ctx context.Context) error { return threadPause.Call(ctx, r.Ref) }

// Resume lets a paused thread go on, and starts a parked one again. What failed since its last
// step that did not is tried again then. It needs w.
func (r ThreadRef) Resume(ctx context.Context) error { return threadResume.Call(ctx, r.Ref) }

// Cancel asks the thread to end: the step that it is in, or comes to next, fails with
// ErrCanceled, once; what it does then is undoing, and it ends. A parked thread is resumed for
// that; one that is parked because undoing failed, or whose program is gone, ends at once.
//
// A paused thread stays paused: the context of a Step that it is still in ends at once, and
// everything else of the above comes when it is resumed. To end it now, Cancel and Resume it,
// in one turn if nothing may come between. It needs w.
func (r ThreadRef) Cancel(ctx context.Context, why string) error {
	return threadCancel.Call(ctx, r.Ref, why)
}

// Info returns what the thread is doing. It needs r.
func (r ThreadRef) Info(ctx context.Context) (ThreadInfo, error) { return threadInfo.Call(ctx, r.Ref) }

// Steps yields what is recorded of the thread's steps, by name. It needs r.
func (r ThreadRef) Steps(ctx context.Context) iter.Seq2[StepInfo, error] {
	return pages(ctx, r.Ref, threadSteps, func(s StepInfo) string { return fmt.Sprintf("%x", s.Name) })
}

// Wait returns when the thread has ended: nil, or ErrCanceled. A thread that is parked will not
// end by itself: Wait returns the error that parked it. In a turn it is ErrWouldBlock. A thread
// on another host is asked again and again, up to a second apart; while that host cannot be
// reached, Wait fails with caps.ErrNotDelivered. It needs r.
func (r ThreadRef) Wait(ctx context.Context) error {
	if err := outsideTurns(ctx, "wait"); err != nil {
		return err
	}
	rt, err := runtimeOf(r.Ref)
	if err != nil {
		return err
	}
	h, _, _ := rt.open(r.Ref)
	if h.away.Load() {
		return r.waitElsewhere(ctx, h)
	}
	news, done := rt.awaits.wait(h.oid.N)
	defer done()
	for {
		if err := rt.vat.catchUp(ctx, "wait"); err != nil && !takenBack(err) {
			return err
		}
		if over, err := r.over(ctx, h.name()); over || err != nil {
			return err
		}
		select {
		case g := <-news:
			if err := rt.vat.learn(ctx, g); err != nil && !takenBack(err) {
				return err
			}
		case <-ctx.Done():
			return &caps.Error{Op: "wait", Object: h.name(), Code: ErrTimeout, Cause: caps.CauseOf(ended(ctx)), Text: "the thread has not ended: " + ended(ctx).Error()}
		case <-rt.vat.ending:
			return &caps.Error{Op: "wait", Object: h.name(), Code: ErrClosed, Text: "the world was closed before the thread had ended"}
		}
	}
}

// over reports whether a thread has ended or is parked, and as what.
func (r ThreadRef) over(ctx context.Context, name string) (over bool, err error) {
	info, err := r.Info(ctx)
	switch {
	case err != nil:
		return false, err
	case info.State == ThreadDone:
		return true, nil
	case info.State == ThreadCanceled:
		return true, &caps.Error{Op: "wait", Object: name, Code: ErrCanceled, Text: "the thread was canceled: " + info.Cancel}
	case info.State == ThreadParked && info.Error == nil:
		return true, &caps.Error{Op: "wait", Object: name, Code: caps.ErrDamaged, Text: "damaged: the thread is parked, and it is not recorded why"}
	case info.State == ThreadParked:
		return true, info.Error
	}
	return false, nil
}

// waitElsewhere is Wait for a thread on another host: nothing here is told when it ends. A call
// that stays open there until then was rejected: it holds one of the places that the host has
// for this one, for days.
func (r ThreadRef) waitElsewhere(ctx context.Context, h *handle) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		over, err := r.over(ctx, h.name())
		if over || err != nil && ctx.Err() == nil {
			return err
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return &caps.Error{Op: "wait", Object: h.name(), Code: ErrTimeout, Cause: caps.CauseOf(ended(ctx)), Text: "the thread has not ended: " + ended(ctx).Error()}
		case <-h.vat.ending:
			again.Stop()
			return &caps.Error{Op: "wait", Object: h.name(), Code: ErrClosed, Text: "this world was closed before the thread had ended"}
		}
	}
}

// takenBack reports whether err, of a group that was waited for, only says that what was in it
// never happened: a thread begins anew then, and whoever waits for it goes on waiting.
func takenBack(err error) bool {
	return errors.Is(err, ErrDiskFull) || errors.Is(err, ErrTooLarge)
}

// Threads yields the threads that have not ended, oldest first. It needs r.
func (a Activity) Threads(ctx context.Context) iter.Seq2[ThreadInfo, error] {
	return pages(ctx, a.Ref, askThreads, func(i ThreadInfo) string { return i.Place })
}

func (st *thread) pause(*WriteTurn) error {
	if st.ended() {
		return endedError(st)
	}
	st.Paused = true
	return nil
}

func (st *thread) resume(t *WriteTurn) error {
	if st.ended() {
		return endedError(st)
	}
	st.Paused = false
	h := t.r.self
	if st.State == ThreadParked {
		st.set(ThreadRunning, t.Now())
		t.forgetSteps(h, st)
	}
	t.startThread(h.oid.N)
	return nil
}

func (st *thread) cancel(t *WriteTurn, why string) error {
	h := t.r.self
	switch {
	case st.ended():
		return endedError(st)
	case st.Cancel != "" && st.State != ThreadParked:
		return nil
	}
	again := st.Cancel != ""
	if st.Cancel = why; why == "" {
		st.Cancel = "no reason was given"
	}
	if failure := st.Err; st.State == ThreadParked {
		if again || failure != nil && failure.Code == caps.ErrNoMethod {
			st.set(ThreadCanceled, t.Now())
			st.Err = failure
			t.endThread(h)
			return nil
		}
		st.set(ThreadRunning, t.Now())
		t.forgetSteps(h, st)
	}
	t.startThread(h.oid.N)
	t.rare().interrupts = append(t.rare().interrupts, h.oid.N)
	return nil
}

func endedError(st *thread) error {
	return &caps.Error{Code: caps.ErrGone, Text: "the thread has ended: " + string(st.State)}
}

// startThread makes the thread n run when the turn commits.
func (t *WriteTurn) startThread(n uint64) {
	t.runnable(n, true)
	t.rare().wakes = append(t.rare().wakes, n)
}

// forgetSteps makes the steps of h that parked it as if they had never been.
func (t *WriteTurn) forgetSteps(h *handle, st *thread) {
	for _, path := range st.Failed {
		t.change(&element{key: objstore.ElementKey(h.oid, "s"+path), dead: true, kind: t.r.vat.rt.bound(t.r.vat.rt.threads.def).no})
	}
	st.Failed = nil
}

// tellParent sends the thread that spawned h what has become of it.
func (t *WriteTurn) tellParent(h *handle, st *thread) error {
	v := t.r.vat
	if st.Parent.IsNull() || v.mail.accounts[h.oid.N].full() {
		return nil
	}
	ph, _, _ := v.rt.open(st.Parent)
	parent, err := t.r.threadState(ph)
	switch {
	case errors.Is(err, caps.ErrDamaged), err == nil && parent.ended():
		return nil // there is nobody to tell
	case err != nil:
		return err
	}
	info, err := t.r.infoOf(h, st)
	if err != nil {
		return err
	}
	l, err := t.letter(ChildFailed.To(st.Parent, info))
	if err != nil {
		return err
	}
	l.sender, l.ceiling = h.oid.N, 0
	t.enqueue(l)
	return nil
}

func (st *thread) info(t *ReadTurn) (ThreadInfo, error) { return t.infoOf(t.self, st) }

func (t *ReadTurn) infoOf(h *handle, st *thread) (info ThreadInfo, err error) {
	of, _, _ := t.vat.rt.open(st.Of)
	_, _ = t.state(of) // its name says its kind when it is loaded
	info = ThreadInfo{
		ID: strconv.FormatUint(h.oid.N, 16), Object: of.name(), Program: st.Method, State: st.State, Paused: st.Paused,
		Cancel: st.Cancel, Step: st.Step, Waits: st.Waits, At: st.Place, Error: st.Err, Stack: st.Stack,
		Since: time.Unix(0, st.Since).UTC(), Born: time.Unix(0, st.Born).UTC(),
	}
	if ph, _, ok := t.vat.rt.open(st.Parent); ok {
		info.Parent = strconv.FormatUint(ph.oid.N, 16)
	}
	if on, _, ok := t.vat.rt.open(st.On); ok {
		info.On, info.Ring = on.name(), t.ring(h)
	}
	if st.State == ThreadRunning {
		info.Step = t.stepRunning(h)
	}
	if st.State == ThreadWaiting {
		if rec, ok := t.element(h, "s"+st.Step); ok {
			if m := decodeElement[memo](t.vat.rt, elemTypeOf[memo](t.vat.rt), rec, caps.Full()); m.Until > 0 {
				info.Until = time.Unix(0, m.Until).UTC()
			}
		}
	}
	box := activityElem('m', h.oid.N)
	t.scan(t.vat.rt.activity, box, box+"\xff", func(string, objstore.Record) bool {
		info.Mail++
		return info.Mail < maxRows
	})
	return info, nil
}

// stepRunning is the Step of h that has begun and is not over; empty: there is none. It is not
// in the thread's state, as that would have to be written twice more for each Step. Of several,
// which only a changed program leaves behind, it is the last.
func (t *ReadTurn) stepRunning(h *handle) (path string) {
	et, last, seen := elemTypeOf[memo](t.vat.rt), int64(0), 0
	t.scan(h, "s", "t", func(elem string, rec objstore.Record) bool {
		if m := decodeElement[memo](t.vat.rt, et, rec, caps.Full()); m.State == stepBegun && m.At >= last {
			path, last = elem[1:], m.At
		}
		seen++
		return seen < maxRows
	})
	return path
}

func (st *thread) steps(t *ReadTurn, q pageOf) (infos []StepInfo, err error) {
	rt := t.vat.rt
	et := elemTypeOf[memo](rt)
	err = t.page('s', q, func(_, elem string, rec objstore.Record) error {
		if len(rec.Body) == 0 {
			infos = append(infos, StepInfo{Name: elem[1:], State: "damaged"})
			return nil
		}
		m := decodeElement[memo](rt, et, rec, caps.Full())
		info := StepInfo{Name: elem[1:], State: string(m.State), At: time.Unix(0, m.At).UTC(), Tries: m.Tries}
		switch {
		case m.Until > 0:
			info.Until = time.Unix(0, m.Until).UTC()
		case m.Err != nil:
			info.Result = m.Err.Error()
		case len(m.Body) > 0:
			info.Result = showResult(rt, m)
		}
		infos = append(infos, info)
		return nil
	})
	return infos, err
}

// showResult prints what a step returned, not more than fits a line.
func showResult(rt *Runtime, m memo) string {
	body := objstore.Record{Body: m.Body, Slots: rt.slots(nil, m.Slots)}
	text := decodeElement[caps.Value](rt, elemTypeOf[caps.Value](rt), body, caps.Full()).String()
	if text = strings.ToValidUTF8(text, "?"); len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	return text
}

const maxShown = 200 // bytes of a step's result that are listed

func (*activity) threads(t *ReadTurn, q pageOf) (infos []ThreadInfo, err error) {
	err = t.page('p', q, func(place, elem string, _ objstore.Record) error {
		h := t.vat.handleOf(bigEndian(elem[1:]))
		st, err := t.threadState(h)
		var info ThreadInfo
		if err == nil {
			info, err = t.infoOf(h, st)
		}
		if e := (*caps.Error)(nil); errors.As(err, &e) && e.Code == caps.ErrDamaged {
			info, err = ThreadInfo{ID: strconv.FormatUint(h.oid.N, 16), Error: e}, nil // and the others
		}
		info.Place = place
		infos = append(infos, info)
		return err
	})
	return infos, err
}
