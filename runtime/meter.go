package sturdy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Meter is the capability to see what threads have used, and to give them more. A thread draws
// on the meter of its domain, and that on the one of the domain in which it was made, and so
// on: what a child may use is never more than its parent has. What is used is counted in the
// turn that uses it, so no crash loses it.
//
// A thread whose meter is empty is parked, with ErrMeter; a message that it has sent and that
// cannot be paid for becomes a dead letter. Whoever the meter was made for is told, with
// MeterEmpty. A Refill lets the threads go on, however many they are.
type Meter struct{ caps.Ref }

// Budget is an amount of what is metered. In a new meter 0 means that it does not count that.
type Budget struct {
	Turns    int64         // write turns, deliveries among them
	Bytes    int64         // written to states and elements, encoded
	Messages int64         // sent, those of timers when they go off
	Time     time.Duration // of the clock while the thread does not wait
}

// MeterInfo is what a meter says.
type MeterInfo struct {
	ID      string
	Left    Budget // 0 of what is not counted, too
	Used    Budget
	Limited Budget // all that was ever given; 0: not counted
	Parked  int64  // threads that wait for a Refill
}

// MeterEmpty is sent to whom a meter was made for when somebody wanted more than was left:
// once, until it is refilled.
const MeterEmpty caps.Command[MeterInfo] = "meter empty"

// What can be asked of a meter.
const (
	meterRefill caps.Command[Budget]  = "refill"
	meterInfo   caps.Query[MeterInfo] = "info"
	meterGoOn   caps.Command[uint64]  = "go on" // of the threads from that number on; it sends this to itself
)

// meter is the state. The threads that wait for a Refill are elements beside it, so that there
// may be any number of them:
//
//	p  thread u64  it was parked because this meter was empty
type meter struct {
	Given, Used Budget
	Up          caps.Ref // the meter that this one draws on; null: none
	Tell        caps.Ref // whom to tell; null: nobody
	May         caps.Ref // the domain in which it was made, and under which he is told; null: none
	Told        bool
}

func newMeterKind() *KindOf[meter] {
	return Define("sturdy/meter", Command(meterRefill, (*meter).refill), Query(meterInfo, (*meter).info), Command(meterGoOn, (*meter).goOn))
}

// NewMeter makes a meter with that much on it, below the one that this turn draws on. tell, if
// it is not null, is sent MeterEmpty.
func (t *WriteTurn) NewMeter(b Budget, tell caps.Ref) Meter {
	t.r.check()
	m := meter{Given: b, Tell: tell}
	if up := t.here(); up != nil {
		m.Up, m.May = up.Meter, up.ref(t.r.vat.rt)
	}
	if b.negative() {
		panic(unwind{&caps.Error{Op: "meter", Code: caps.ErrBadArgument, Text: "a negative amount"}})
	}
	if t.metersAbove(m.Up) >= maxMeters {
		panic(unwind{tooLarge("more than %d meters above each other: each turn writes them all", maxMeters)})
	}
	return Meter{t.r.vat.rt.meters.New(t, m)}
}

// metersAbove is how many meters there are from up on, as far as maxMeters.
func (t *WriteTurn) metersAbove(up caps.Ref) (n int) {
	for ; !up.IsNull() && n < maxMeters; n++ {
		h, _, _ := t.r.vat.rt.open(up)
		s, err := t.r.stateOf(h, t.r.vat.rt.meters.def)
		if err != nil {
			panic(unwind{err})
		}
		up = (*meter)(s).Up
	}
	return n
}

// meterAt is the state of the meter h for writing.
func (t *WriteTurn) meterAt(h *handle) (*meter, error) {
	s, err := t.ownOf(h, t.r.vat.rt.meters.def)
	return (*meter)(s), err
}

// maxMeters is how many meters may draw on each other in a row.
const maxMeters = 100

// Refill adds to the meter, and lets those go on that were parked because it was empty. What
// the meter does not count it goes on not counting. It needs w.
func (m Meter) Refill(ctx context.Context, more Budget) error {
	return meterRefill.Call(ctx, m.Ref, more)
}

// Info returns what the meter says. It needs r.
func (m Meter) Info(ctx context.Context) (MeterInfo, error) { return meterInfo.Call(ctx, m.Ref) }

func (b Budget) negative() bool { return b.Turns < 0 || b.Bytes < 0 || b.Messages < 0 || b.Time < 0 }

func (b Budget) plus(o Budget) Budget {
	return Budget{b.Turns + o.Turns, b.Bytes + o.Bytes, b.Messages + o.Messages, b.Time + o.Time}
}

// raised is b with more of what it counts: what it does not count stays so. What would be more
// than a number can say is as much as one can.
func (b Budget) raised(o Budget) Budget {
	return Budget{raised(b.Turns, o.Turns), raised(b.Bytes, o.Bytes), raised(b.Messages, o.Messages), raised(b.Time, o.Time)}
}

func raised[N int64 | time.Duration](n, more N) N {
	if n == 0 {
		return 0
	}
	return n + min(more, math.MaxInt64-n)
}

// short names what of cost is not left; empty: all of it is there.
func (m *meter) short(cost Budget) string {
	switch {
	case m.Given.Turns > 0 && m.Used.Turns+cost.Turns > m.Given.Turns:
		return fmt.Sprintf("all %d turns are used", m.Given.Turns)
	case m.Given.Bytes > 0 && m.Used.Bytes+cost.Bytes > m.Given.Bytes:
		return fmt.Sprintf("%d of %d bytes are used, and %d are asked for", m.Used.Bytes, m.Given.Bytes, cost.Bytes)
	case m.Given.Messages > 0 && m.Used.Messages+cost.Messages > m.Given.Messages:
		return fmt.Sprintf("%d of %d messages are used, and %d are asked for", m.Used.Messages, m.Given.Messages, cost.Messages)
	case m.Given.Time > 0 && m.Used.Time+cost.Time > m.Given.Time:
		return fmt.Sprintf("%s of %s are used", m.Used.Time, m.Given.Time)
	}
	return ""
}

// charge takes what the turn has used off the meters it draws on.
func (t *WriteTurn) charge() error {
	if t.r.may == nil || t.r.may.Meter.IsNull() || t.unmetered {
		return nil
	}
	cost := Budget{Turns: 1, Bytes: int64(t.bytes)}
	if t.seldom != nil {
		cost.Messages = t.seldom.posted
	}
	if t.strand != nil {
		cost.Time = max(t.Now().Sub(t.strand.metered), 0)
	}
	err := t.pay(t.r.may, cost)
	if e := (*emptyError)(nil); errors.As(err, &e) {
		if s := stepOf(t.r.ctx); s != nil {
			s.empty.Store(e)
		}
	}
	return err
}

// pay takes cost off the meter of d and those above it, or off none of them.
func (t *WriteTurn) pay(d *may, cost Budget) error {
	var chain []*handle
	for ref := d.Meter; !ref.IsNull(); {
		h, _, _ := t.r.vat.rt.open(ref)
		if v := h.cur.Load(); h.work == nil && t.misses < maxMisses && (v == nil || v.state == nil && v.kind != h.vat.gone) {
			t.missed = h // see newest; nobody may be there any more who would catch a panic
			return errMissed
		}
		m, err := t.meterAt(h)
		switch {
		case err != nil:
			return err
		case len(chain) == maxMeters:
			return &caps.Error{Op: t.op, Object: h.name(), Code: caps.ErrDamaged, Text: "damaged: more meters than there may be draw on each other"}
		}
		if short := m.short(cost); short != "" {
			return &emptyError{h, cost, &caps.Error{Op: t.op, Object: h.name(), Code: ErrMeter, Text: h.name() + " is empty: " + short + ". Refill it: threads that wait for that go on, and dead letters can be sent again."}}
		}
		chain, ref = append(chain, h), m.Up
	}
	for _, h := range chain {
		m := (*meter)(h.work.state)
		m.Used = m.Used.plus(cost)
		if err := h.work.kind.def.seal(h.work, t.r.vat.rt); err != nil {
			return err
		}
	}
	return nil
}

// sendFor sends l for who has asked for that in an earlier turn, and at his cost. What he
// cannot pay for becomes a dead letter.
func (t *WriteTurn) sendFor(l letter) error {
	if l.ceiling == 0 {
		t.enqueue(l)
		return nil
	}
	d, err := t.r.mayAt(t.r.vat.handleOf(l.ceiling))
	if err == nil {
		err = t.pay(d, Budget{Messages: 1})
	}
	empty := (*emptyError)(nil)
	switch {
	case err == nil:
		t.enqueue(l)
		return nil
	case err == errMissed:
		return err
	case errors.As(err, &empty):
		if err := t.empty(empty, nil); err != nil {
			return err
		}
	}
	return t.bury(l, err)
}

// emptyError says which meter is empty.
type emptyError struct {
	meter *handle
	cost  Budget // that it could not pay
	err   *caps.Error
}

// Error is the text of what is told.
func (e *emptyError) Error() string { return e.err.Error() }

// Unwrap is what is told.
func (e *emptyError) Unwrap() error { return e.err }

// empty notes that the meter is empty, and for whom, and has it told.
func (t *WriteTurn) empty(e *emptyError, parked *handle) error {
	m, err := t.meterAt(e.meter)
	if err != nil {
		return err
	}
	if parked != nil {
		t.change(&element{key: parkedKey(e.meter, parked.oid.N)})
	}
	if m.Told || m.Tell.IsNull() {
		return nil
	}
	m.Told = true
	l, err := t.letter(MeterEmpty.To(m.Tell, t.r.meterInfo(e.meter, m)))
	if err != nil {
		return nil // whom to tell is no one that can be sent to: then nobody is told
	}
	l.sender, l.ceiling = e.meter.oid.N, 0
	if h, _, ok := t.r.vat.rt.open(m.May); ok {
		l.ceiling = h.oid.N // who made it could not do more by being told
	}
	t.enqueue(l)
	return nil
}

func parkedKey(m *handle, thread uint64) objstore.Key {
	return objstore.ElementKey(m.oid, activityElem('p', thread))
}

// meterInfo is what the meter h says. Parked is counted as far as maxRows, and leaves out those
// that somebody has resumed or canceled.
func (t *ReadTurn) meterInfo(h *handle, m *meter) MeterInfo {
	info := MeterInfo{ID: fmt.Sprintf("%x", h.oid.N), Left: m.left(), Used: m.Used, Limited: m.Given}
	t.scan(h, "p", "q", func(elem string, _ objstore.Record) bool {
		st, err := t.threadState(t.vat.handleOf(bigEndian(elem[1:])))
		if err == nil && st.broke() {
			info.Parked++
		}
		return info.Parked < maxRows
	})
	return info
}

func (m *meter) left() Budget {
	return Budget{
		max(m.Given.Turns-m.Used.Turns, 0), max(m.Given.Bytes-m.Used.Bytes, 0),
		max(m.Given.Messages-m.Used.Messages, 0), max(m.Given.Time-m.Used.Time, 0),
	}
}

func (m *meter) info(t *ReadTurn) (MeterInfo, error) {
	return t.meterInfo(t.self, m), nil
}

// broke reports whether the thread is parked because a meter was empty.
func (st *thread) broke() bool {
	return st.State == ThreadParked && st.Err != nil && st.Err.Code == ErrMeter
}

func (m *meter) refill(t *WriteTurn, more Budget) error {
	if more.negative() {
		h := t.r.self
		return &caps.Error{Op: t.r.vat.rt.opOf(h, meterRefill.Name()), Object: h.name(), Code: caps.ErrBadArgument, Text: "a negative amount"}
	}
	m.Given, m.Told = m.Given.raised(more), false
	return m.goOn(t, 0)
}

// letGo is how many threads one turn lets go on: it should not take long, and fits.
const letGo = 1000

// goOn lets the threads go on that were parked because the meter was empty, from the number
// from on: some of them, and the rest in a turn of its own, for which it sends itself a message.
// One that is parked again meanwhile is not let go on again, so it comes to an end.
func (m *meter) goOn(t *WriteTurn, from uint64) error {
	v, self := t.r.vat, t.r.self
	var parked []uint64
	t.r.scan(self, activityElem('p', from), "q", func(elem string, _ objstore.Record) bool {
		parked = append(parked, bigEndian(elem[1:]))
		return len(parked) <= letGo
	})
	for _, n := range parked[:min(len(parked), letGo)] {
		t.change(&element{key: parkedKey(self, n), dead: true})
		if err := t.letGoOn(v.handleOf(n)); err != nil {
			return err
		}
	}
	if len(parked) <= letGo {
		return nil
	}
	l, err := t.letter(meterGoOn.To(v.rt.ref(self, caps.Full()), parked[letGo]))
	if err != nil {
		return err
	}
	l.sender, l.ceiling = self.oid.N, 0
	t.enqueue(l)
	return nil
}

// letGoOn lets one thread go on. One that cannot be read does not keep the others.
func (t *WriteTurn) letGoOn(h *handle) error {
	st, err := t.threadAt(h)
	switch {
	case errors.Is(err, caps.ErrDamaged), errors.Is(err, caps.ErrGone):
		return nil // listings of threads say so
	case err != nil:
		return err
	case st.broke():
		st.set(ThreadRunning, t.Now())
		t.startThread(h.oid.N)
	}
	return nil
}
