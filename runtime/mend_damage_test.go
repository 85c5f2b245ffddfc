package sturdy

import (
	"errors"
	goruntime "runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// bystander is an object that a damaged world names where it should name another.
type bystander struct{ N int64 }

const (
	bystanderLook caps.Query[int64] = "look"
	bystanderWork caps.Action       = "work"
)

func bystanderKind(work func(*Thread[bystander]) error) *KindOf[bystander] {
	return Define("mend/bystander",
		Query(bystanderLook, func(b *bystander, _ *ReadTurn) (int64, error) { return b.N, nil }),
		Runs(bystanderWork, work))
}

// newDamaged opens a world in memory with one bystander, that is on disk.
func newDamaged(t *testing.T, work func(*Thread[bystander]) error) (rt *Runtime, kind *KindOf[bystander], ref caps.Ref, h *handle) {
	t.Helper()
	kind = bystanderKind(work)
	rt, err := Options{Kinds: []Kind{kind}}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	ref, err = rt.Root().Ensure(t.Context(), "bystander", func(tn *WriteTurn) caps.Ref { return kind.New(tn, bystander{N: 7}) })
	if err != nil {
		t.Fatal(err)
	}
	h, _, _ = rt.open(ref)
	return rt, kind, ref, h
}

// unharmed fails the test if somebody took the bystander for what it is not.
func unharmed(t *testing.T, ref caps.Ref) {
	t.Helper()
	if n, err := bystanderLook.Call(t.Context(), ref); n != 7 || err != nil {
		t.Errorf("the bystander has %d, %v", n, err)
	}
}

func write(t *testing.T, rt *Runtime, fn func(*WriteTurn) error) {
	t.Helper()
	if err := rt.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestATimerThatNamesSomethingElseIsDroppedAndChangesNothing(t *testing.T) {
	rt, _, ref, h := newDamaged(t, nil)
	write(t, rt, func(tn *WriteTurn) error {
		l, err := tn.letter(bystanderLook.To(ref))
		l.number, l.wanted = h.oid.N, true // its object should be a timer
		tn.putAlarm(1, &l)
		return err
	})
	if _, err := rt.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	unharmed(t, ref)
	for timer, err := range rt.Activity().Timers(t.Context()) {
		t.Error("it is still there: ", timer, err)
	}
}

func TestANumberThatNamesTheWrongKindIsDamage(t *testing.T) {
	rt, _, ref, h := newDamaged(t, nil)
	empty := &emptyError{meter: h, cost: Budget{Turns: 1}, err: &caps.Error{Code: ErrMeter}}
	for what, use := range map[string]func(*WriteTurn) error{
		"a meter that is paid from": func(tn *WriteTurn) error { return tn.pay(&may{domain: &domain{Meter: ref}}, Budget{Turns: 1}) },
		"a meter that is empty":     func(tn *WriteTurn) error { return tn.empty(empty, nil) },
		"a promise that is asked":   func(tn *WriteTurn) error { _, _, err := tn.answered(ref); return err },
		"a promise that is null":    func(tn *WriteTurn) error { _, _, err := tn.answered(caps.Ref{}); return err },
		"a thread that is changed":  func(tn *WriteTurn) error { _, err := tn.threadAt(h); return err },
		"a meter above a new one":   func(tn *WriteTurn) error { tn.metersAbove(ref); return nil },
	} {
		if err := rt.Update(t.Context(), use); !errors.Is(err, caps.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	unharmed(t, ref)
}

func TestMetersThatDrawOnEachOtherInARingAreDamage(t *testing.T) {
	rt, _, _, _ := newDamaged(t, nil)
	var m Meter
	write(t, rt, func(tn *WriteTurn) error {
		m = tn.NewMeter(Budget{}, caps.Ref{})
		h, _, _ := rt.open(m.Ref)
		st, err := tn.meterAt(h)
		st.Up = m.Ref
		return err
	})
	err := rt.Update(t.Context(), func(tn *WriteTurn) error {
		return tn.pay(&may{domain: &domain{Meter: m.Ref}}, Budget{Turns: 1})
	})
	if !errors.Is(err, caps.ErrDamaged) {
		t.Error(err)
	}
}

func TestARefillPassesOverWhatIsNoThread(t *testing.T) {
	rt, _, ref, h := newDamaged(t, nil)
	var m Meter
	write(t, rt, func(tn *WriteTurn) error {
		m = tn.NewMeter(Budget{Turns: 1}, caps.Ref{})
		mh, _, _ := rt.open(m.Ref)
		tn.change(&element{key: parkedKey(mh, h.oid.N)})
		return nil
	})
	if err := m.Refill(t.Context(), Budget{Turns: 5}); err != nil {
		t.Error(err)
	}
	if info, err := m.Info(t.Context()); err != nil || info.Left.Turns != 6 || info.Parked != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	unharmed(t, ref)
}

// forge makes a thread as it stands on no disk that is sound.
func forge(t *testing.T, rt *Runtime, st thread) (ref ThreadRef) {
	t.Helper()
	write(t, rt, func(tn *WriteTurn) error {
		ref = ThreadRef{rt.threads.New(tn, st)}
		h, _, _ := rt.open(ref.Ref)
		tn.listThread(h.oid.N)
		return nil
	})
	return ref
}

func TestAThreadThatIsParkedForNoRecordedReasonCanBeCanceled(t *testing.T) {
	rt, _, ref, _ := newDamaged(t, nil)
	th := forge(t, rt, thread{Of: ref, Method: bystanderWork.Name(), State: ThreadParked, Cancel: "twice"})
	if err := th.Wait(t.Context()); !errors.Is(err, caps.ErrDamaged) {
		t.Errorf("who waits for it is told %v", err)
	}
	if err := th.Cancel(t.Context(), "it is damaged"); err != nil {
		t.Error(err)
	}
	if info, err := th.Info(t.Context()); err != nil || info.State != ThreadCanceled {
		t.Errorf("%+v, %v", info, err)
	}
	th = forge(t, rt, thread{Of: ref, Method: bystanderLook.Name(), State: ThreadParked})
	if err := th.Cancel(t.Context(), "once"); err != nil {
		t.Error(err)
	}
}

func TestAPausedThreadThatIsParkedAndCanceledIsPausedNoMore(t *testing.T) {
	rt, _, ref, _ := newDamaged(t, nil)
	th := forge(t, rt, thread{Of: ref, Method: "gone", State: ThreadParked, Paused: true, Err: &caps.Error{Code: caps.ErrNoMethod}})
	if err := th.Cancel(t.Context(), "its program is gone"); err != nil {
		t.Fatal(err)
	}
	if info, err := th.Info(t.Context()); err != nil || info.State != ThreadCanceled || info.Paused {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestADamagedThreadDoesNotHideTheOthers(t *testing.T) {
	rt, _, ref, h := newDamaged(t, nil)
	write(t, rt, func(tn *WriteTurn) error { tn.listThread(h.oid.N); return nil })
	sound := forge(t, rt, thread{Of: ref, Method: bystanderWork.Name(), State: ThreadParked, Err: &caps.Error{}})
	info, err := sound.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var states []ThreadState
	for listed, err := range rt.Activity().Threads(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if states = append(states, listed.State); (listed.State == "") != errors.Is(listed.Error, caps.ErrDamaged) {
			t.Errorf("%+v", listed)
		}
	}
	if len(states) != 2 || states[0] != "" || states[1] != info.State {
		t.Errorf("%q are listed", states)
	}
}

func TestADeadLetterThatIsNoneIsListedAndCanBeDiscarded(t *testing.T) {
	rt, _, ref, _ := newDamaged(t, nil)
	write(t, rt, func(tn *WriteTurn) error {
		for _, number := range []uint64{0x51, 0x52, 0x53} {
			l, err := tn.letter(bystanderLook.To(ref))
			l.number = number
			if err := errors.Join(err, tn.bury(l, caps.ErrGone)); err != nil {
				return err
			}
		}
		tn.change(&element{key: rt.vat.deadKey(0x52), rec: objstore.Record{Body: []byte{0xff}}})
		return nil
	})
	list := func(want ...string) {
		t.Helper()
		var ids []string
		for l, err := range rt.Activity().DeadLetters(t.Context()) {
			if err != nil || l.Error == "" || (l.Method == "") != (l.ID == "52") {
				t.Errorf("%+v, %v", l, err)
			}
			ids = append(ids, l.ID)
		}
		if len(ids) != len(want) {
			t.Errorf("%q are listed, want %q", ids, want)
		}
	}
	list("51", "52", "53")
	if err := rt.Activity().Resend(t.Context(), "52"); !errors.Is(err, caps.ErrDamaged) {
		t.Error("it is sent again:", err)
	}
	list("51", "52", "53")
	if err := rt.Activity().Discard(t.Context(), "52"); err != nil {
		t.Error(err)
	}
	list("51", "53")
	if err := rt.Activity().Discard(t.Context(), "52"); !errors.Is(err, ErrNoName) {
		t.Error("it is discarded twice:", err)
	}
}

// TestAStepWhoseSecondRunCannotBeginIsTriedAgain: the first run of a turn misses an object, and
// before the second somebody takes the writer and does not let go of it. That is no outcome of
// the step, as it is none if the first run cannot begin.
func TestAStepWhoseSecondRunCannotBeginIsTriedAgain(t *testing.T) {
	var rt *Runtime
	var other *handle
	var runs atomic.Int64
	holding, release := make(chan struct{}), make(chan struct{})
	work := func(th *Thread[bystander]) error {
		return th.Turn("look", func(tn *WriteTurn, b *bystander) error {
			if runs.Add(1) == 1 {
				go func() {
					_ = rt.Update(t.Context(), func(*WriteTurn) error { close(holding); <-release; return nil })
				}()
				for !getsItNext(&rt.vat.w, "update") {
					goruntime.Gosched()
				}
				rt.Evict()
			}
			_, err := tn.own(other)
			b.N = runs.Load()
			return err
		})
	}
	rt, kind, ref, _ := newDamaged(t, func(th *Thread[bystander]) error { return work(th) })
	o, err := rt.Root().Ensure(t.Context(), "other", func(tn *WriteTurn) caps.Ref { return kind.New(tn, bystander{}) })
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ = rt.open(o)
	var th ThreadRef
	err = rt.Update(Relaxed(t.Context()), func(tn *WriteTurn) error { th = tn.Spawn(bystanderWork.To(ref), Domain{}); return nil })
	if err != nil {
		t.Fatal(err)
	}
	h, _, _ := rt.open(th.Ref)
	<-holding
	for told := false; !told && runs.Load() == 1; goruntime.Gosched() {
		rt.vat.w.overdue(func(w *waiter) error {
			if w.internal {
				return nil
			}
			told = true
			return &caps.Error{Op: w.op, Code: caps.ErrNotDelivered, Text: "not delivered: the writer is held"}
		})
	}
	rt.wakeThread(h.oid.N)
	close(release)
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if runs.Load() < 2 {
		t.Error("it ran once")
	}
}

// getsItNext has whoever waits for the writer for op get it when it is let go of; false: nobody
// waits for that yet. It is called by who holds it.
func getsItNext(l *writer, op string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.queue, func(w *waiter) bool { return w.op == op })
	if i < 0 {
		return false
	}
	first := l.queue[i]
	l.queue = slices.Insert(slices.Delete(l.queue, i, i+1), 0, first)
	l.barged = handoffEvery
	return true
}
