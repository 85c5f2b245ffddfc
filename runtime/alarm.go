package sturdy

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Timer is a message that waits for its time. It survives restarts, and goes off by the
// wall clock of whatever host has the world open then: what came due meanwhile goes off at
// once, in the order of the times. Where the clock jumps ahead, so do the timers; where it is
// set back, they wait for it to come around. What goes off is delivered like any other
// message, in turn with all that waits, so that many timers due at once hold up nobody.
type Timer struct{ caps.Ref }

// TimerInfo is what a timer is about to do.
type TimerInfo struct {
	ID     string
	To     string // kind and short ID of the target
	Method string
	Due    time.Time
	Every  time.Duration // 0: once
	From   string        // kind and short ID of the object whose method set it, or "the program"
	Place  string        // where it stands among the others: what a page goes on behind
	Error  string        // that it is damaged: it is dropped when it is due; empty: it is not
}

// What can be asked of a timer.
const (
	timerStop caps.Query[bool]      = "stop"
	timerInfo caps.Query[TimerInfo] = "info"
)

// timer is the state of a timer that somebody can still reach. As with promises, one that
// nobody has stored is no object; those that go off again and again always are.
type timer struct{ Due int64 } // nanoseconds since 1970

func newTimerKind() *KindOf[timer] {
	return Define("sturdy/timer", Query(timerStop, (*timer).stop), Query(timerInfo, (*timer).info))
}

// After sends m when d has passed. What cannot be sent fails the turn, see caps.Method.Send.
func (t *WriteTurn) After(d time.Duration, m caps.Message) Timer {
	return t.alarm(t.Now().Add(max(d, 0)), 0, m)
}

// At sends m at the given time; at once if that is past.
func (t *WriteTurn) At(when time.Time, m caps.Message) Timer { return t.alarm(when, 0, m) }

// Every sends m when d has passed, and again each time that it has, counted from the first.
// Times that were missed, because the world was closed or the clock jumped, count as one.
// What is sent while its last is still undelivered queues. d must be at least a millisecond.
func (t *WriteTurn) Every(d time.Duration, m caps.Message) Timer {
	if d < time.Millisecond {
		t.r.check()
		panic(unwind{sendError(m, &caps.Error{Code: caps.ErrBadArgument, Text: fmt.Sprintf("a timer every %s: the shortest is a millisecond", d)})})
	}
	return t.alarm(t.Now().Add(d), d, m)
}

func (t *WriteTurn) alarm(due time.Time, every time.Duration, m caps.Message) Timer {
	t.r.check()
	t.r.depth++ // see openColl
	h, err := t.setAlarm(due, every, m)
	if err != nil {
		panic(unwind{sendError(m, err)})
	}
	t.r.depth--
	return Timer{t.r.vat.rt.ref(h, caps.Full())}
}

func (t *WriteTurn) setAlarm(due time.Time, every time.Duration, m caps.Message) (*handle, error) {
	if due.Year() < 1970 || due.Year() > maxYear {
		return nil, &caps.Error{Code: caps.ErrBadArgument, Text: fmt.Sprintf("a timer for the year %d", due.Year())}
	}
	l, err := t.letter(m)
	if err != nil {
		return nil, err
	}
	v := t.r.vat
	l.every = int64(every)
	l.wanted = every > 0
	a := &alarm{due: due.UnixNano()}
	a.h.oid, a.h.vat = objstore.OID{Vat: v.id, N: l.number}, v
	a.latent.kind, a.latent.state = v.latentTimer, unsafe.Pointer(a)
	a.h.cur.Store(&a.latent)
	t.putAlarm(a.due, &l)
	if every > 0 {
		err = t.materialiseTimer(&a.h)
	}
	return &a.h, err
}

// alarm is a timer that is no object, with its handle, in one allocation.
type alarm struct {
	h      handle
	latent version
	due    int64
}

// putAlarm writes the row of an alarm.
func (t *WriteTurn) putAlarm(due int64, l *letter) {
	v := t.r.vat
	t.change(&element{key: v.alarmKey(due, l.number), rec: l.record(), kind: v.activityKind})
	t.rare().alarms = append(t.rare().alarms, due)
}

func (t *WriteTurn) dropAlarm(due int64, number uint64) {
	t.change(&element{key: t.r.vat.alarmKey(due, number), dead: true, kind: t.r.vat.activityKind})
}

func (v *vat) alarmKey(due int64, number uint64) objstore.Key {
	return objstore.ElementKey(v.activityOID(), activityElem('a', uint64(due), number))
}

// materialiseTimer makes an object of the latent timer h.
func (t *WriteTurn) materialiseTimer(h *handle) error {
	v := t.r.vat
	c := h.cur.Load()
	if c == nil || c.kind != v.latentTimer || h.work != nil {
		return nil
	}
	due := (*alarm)(c.state).due
	if rec, ok := t.r.element(v.rt.activity, activityElem('a', uint64(due), h.oid.N)); ok {
		l, err := parseLetter(h.oid.N, "", rec)
		if err != nil {
			return err
		}
		l.wanted = true
		t.putAlarm(due, &l)
	}
	w := newBox[timer]()
	(*timer)(w.state).Due = due
	w.kind = v.rt.bound(v.rt.timers.def)
	w.prev.Store(c)
	h.work = w
	v.table.add(h)
	t.wset = append(t.wset, h)
	return nil
}

// Stop takes the timer back; false if it has gone off, or was stopped already. One that goes
// off again and again is stopped for good; what it has sent already is delivered. It needs w.
func (tm Timer) Stop(ctx context.Context) (bool, error) { return timerStop.Call(ctx, tm.Ref) }

// Info returns what the timer is about to do; ErrGone if it has gone off. It needs r.
func (tm Timer) Info(ctx context.Context) (TimerInfo, error) { return timerInfo.Call(ctx, tm.Ref) }

func (m *timer) stop(t *WriteTurn) (bool, error) {
	n := t.r.self.oid.N
	if _, ok := t.r.element(t.r.vat.rt.activity, activityElem('a', uint64(m.Due), n)); !ok {
		return false, nil
	}
	t.dropAlarm(m.Due, n)
	return true, nil
}

func (m *timer) info(t *ReadTurn) (TimerInfo, error) {
	n := t.self.oid.N
	rec, ok := t.element(t.vat.rt.activity, activityElem('a', uint64(m.Due), n))
	if !ok {
		return TimerInfo{}, &caps.Error{Code: caps.ErrGone, Text: "the timer has gone off, or was stopped"}
	}
	l, err := parseLetter(n, "", rec)
	if err != nil {
		return TimerInfo{}, err
	}
	return t.timerInfo(m.Due, &l), nil
}

func (t *ReadTurn) timerInfo(due int64, l *letter) TimerInfo {
	h := t.vat.handleOf(l.to())
	_, _ = t.state(h) // its name says its kind when it is loaded
	return TimerInfo{
		ID: strconv.FormatUint(l.number, 16), To: h.name(), Method: l.method, From: t.vat.rt.senderName(l.sender),
		Due: time.Unix(0, due).UTC(), Every: time.Duration(l.every),
	}
}

const (
	// fullAgain is when a timer is tried again whose sender has too much waiting already. One
	// that goes off again and again counts that as missed.
	fullAgain = time.Second

	maxRings = 256 // alarms that one turn sends
	// maxBacklog is how many mailboxes may wait to be served before alarms wait, too.
	maxBacklog = 1024
)

// ring sends what is due. It returns how long it is until something else is.
func (v *vat) ring() (wait time.Duration) {
	for {
		now, due := v.rt.clock().UnixNano(), v.mail.due.Load()
		if due > now {
			return min(idleFor, time.Duration(due-now))
		}
		if v.backlogged() {
			return idleFor // whoever takes something out of a mailbox comes by here again
		}
		err := v.rt.update(Relaxed(context.Background()), "ring", func(t *WriteTurn) error { return t.ringDue(now) })
		if err != nil {
			return idleFor
		}
	}
}

// backlogged reports whether alarms have to wait.
func (v *vat) backlogged() bool {
	v.w.lockInternal()
	defer v.w.unlock()
	return len(v.mail.ready) >= maxBacklog
}

// ringDue makes letters of the first alarms that are due.
func (t *WriteTurn) ringDue(now int64) error {
	v := t.r.vat
	rung, next := 0, int64(math.MaxInt64)
	var failed error
	t.r.scanDamaged(v.rt.activity, "a", "b", func(elem string, rec objstore.Record) bool {
		due, number, ok := parseNumbers(elem[1:])
		if !ok {
			v.rt.logAside(slog.LevelError, "damaged: the key of a timer is none; it was dropped", "key", elem)
			t.change(&element{key: objstore.ElementKey(v.activityOID(), elem), dead: true, kind: v.activityKind})
			return true
		}
		if rung++; rung > maxRings || int64(due) > now {
			next = int64(due)
			return false
		}
		failed = t.ringOne(int64(due), number, rec, now)
		return failed == nil
	})
	t.rare().rung, t.rare().nextDue = true, next
	return failed
}

func (t *WriteTurn) ringOne(due int64, number uint64, rec objstore.Record, now int64) error {
	v := t.r.vat
	t.dropAlarm(due, number)
	l, err := parseLetter(number, "", rec)
	if err != nil {
		v.rt.logAside(slog.LevelError, "a timer is damaged, and was dropped", "err", err)
		return nil
	}
	if l.method == "" {
		return t.ringThread(v.handleOf(number))
	}
	full := v.mail.accounts[l.sender].full()
	switch {
	case l.every > 0:
		due += (now - due + l.every) / l.every * l.every
		t.putAlarm(due, &l)
	case full:
		due = now + int64(fullAgain)
		t.putAlarm(due, &l)
	}
	if l.wanted {
		s, err := t.ownOf(v.handleOf(number), v.rt.timers.def)
		if err != nil {
			v.rt.logAside(slog.LevelError, "a timer's object cannot be read; the timer was dropped", "err", err)
			t.dropAlarm(due, number)
			return nil
		}
		(*timer)(s).Due = due
	}
	if full {
		return nil // a timer does not add to what waits at its sender without end
	}
	l.number, l.wanted, l.every, l.at = v.next, false, 0, now
	v.next++
	return t.sendFor(l)
}
