package sturdy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Outcomes that only this package knows.
const (
	ErrNoName     caps.Code = "no such name"                   // Directory.Get: nothing stands under it
	ErrTurnOver   caps.Code = "the turn has ended"             // a turn was kept beyond its end
	ErrTurnShared caps.Code = "the turn is not its own"        // used from another goroutine, or a panic in it was swallowed
	ErrStopped    caps.Code = "writes have stopped"            // a commit failed: reopen the world
	ErrDiskFull   caps.Code = "the disk is full"               // nothing happened; works again when there is room
	ErrClosed     caps.Code = "the world is closed"            // after Close
	ErrTooLarge   caps.Code = "too large"                      // a limit on states, arguments or turns
	ErrTimeout    caps.Code = "it took too long"               // it goes on; only the waiting ended
	ErrCycle      caps.Code = "a ring of waits"                // each waits for the next, so none would ever end
	ErrCanceled   caps.Code = "the thread was canceled"        // a step of a thread that is to end, once
	ErrMeter      caps.Code = "the meter is empty"             // of a thread: refill it, and the thread goes on
	ErrTooOld     caps.Code = "the turn's snapshot is too old" // a read turn took longer than snapshots are kept
	ErrImpure     caps.Code = "the turn is not deterministic"  // Checked mode: two runs of one turn differed
)

// errMissed makes a write turn run again: what it needs is being loaded.
var errMissed = errors.New("not in memory")

// outcome is the error that a call tells to Go code outside of turns: always an *Error.
func outcome(op string, h *handle, err error) error {
	if err == nil {
		return nil
	}
	c := caps.Error{Op: op, Object: h.name(), Code: caps.ErrFailed, Text: err.Error()}
	if e, ok := err.(*caps.Error); ok {
		c = *e
		c.Op, c.Object = cmp.Or(c.Op, op), cmp.Or(c.Object, h.name())
		return &c
	}
	inner, code := (*caps.Error)(nil), caps.Code("")
	switch {
	case errors.As(err, &inner): // an error of a nested call, with words of the method's own
		c.Code, c.Cause = inner.Code, inner.Cause
	case errors.As(err, &code):
		c.Code = code
	default:
		c.Cause = caps.CauseOf(err)
	}
	return &c
}

func (h *handle) name() string {
	if h == nil {
		return ""
	}
	name := "object"
	if v := h.cur.Load(); v != nil && v.kind == h.vat.latentRemote {
		return (*standIn)(v.state).of.String()
	} else if v != nil && v.state != nil && v.kind.def == h.vat.rt.foreign.def {
		return (*remote)(v.state).String()
	} else if v != nil && v.kind.name != "" {
		name = shortKind(v.kind.name)
	}
	return fmt.Sprintf("%s %x", name, h.oid.N)
}

// String is what a Ref prints of its object.
func (h *handle) String() string { return h.name() }

// shortKind is a kind's name without whose it is: "counter" of "example.org/counter".
func shortKind(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func (h *handle) goneError() error {
	return &caps.Error{Object: h.name(), Code: caps.ErrGone, Text: fmt.Sprintf("object %x is gone: its turn did not commit, or it was removed", h.oid.N)}
}

// ended is why ctx has ended: its error, and its cause where that is another.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}

func maybeExecuted(cause error) error {
	return &caps.Error{Code: caps.ErrMaybeExecuted, Cause: caps.CauseOf(cause), Text: fmt.Sprintf("maybe executed: the turn took effect here, and was not yet on disk: %v", cause)}
}

func notStarted(op string, cause error) error {
	if e, ok := cause.(*caps.Error); ok && e.Code != caps.ErrMaybeExecuted {
		return cause
	}
	return &caps.Error{Op: op, Code: caps.ErrNotDelivered, Cause: caps.CauseOf(cause), Text: fmt.Sprintf("not delivered: %v", cause)}
}

func overloaded(op string, cause error) error {
	return &caps.Error{Op: op, Code: caps.ErrOverloaded, Cause: caps.CauseOf(cause), Text: "overloaded: the disk is behind, and the call was not started"}
}

func stoppedError(op string, cause error) error {
	if errors.Is(cause, ErrClosed) {
		return &caps.Error{Op: op, Code: ErrClosed}
	}
	return &caps.Error{Op: op, Code: ErrStopped, Text: fmt.Sprintf("writes have stopped: %v. Reopen the world.", cause)}
}

// refused is for a batch that the store has certainly not executed.
func refused(cause error) error {
	if errors.Is(cause, objstore.ErrBatch) {
		return &caps.Error{Code: ErrTooLarge, Text: fmt.Sprintf("nothing happened: too much was written at once: %v", cause)}
	}
	return &caps.Error{Code: ErrDiskFull, Text: fmt.Sprintf("nothing happened: %v. Make room; no restart is needed.", cause)}
}

func notYet(h *handle) error {
	return &caps.Error{Object: h.name(), Code: caps.ErrNotDelivered, Text: fmt.Sprintf("object %x was made after this turn's snapshot; begin a new turn", h.oid.N)}
}

func tooLarge(format string, args ...any) error {
	return &caps.Error{Code: ErrTooLarge, Text: "too large: " + fmt.Sprintf(format, args...)}
}

// stateError says whose state a turn could not be committed with.
func stateError(h *handle, err error) error {
	k := h.work.kind
	e := &caps.Error{Object: fmt.Sprintf("%s %x", shortKind(k.name), h.oid.N), Code: caps.ErrFailed, Text: fmt.Sprintf("%s: %v", k.name, err)}
	if cause := (*caps.Error)(nil); errors.As(err, &cause) {
		e.Code = cause.Code
	}
	return e
}

func argumentError(m *method, err error) error {
	var e *caps.Error
	if errors.As(err, &e) {
		c := *e
		c.Op = m.op
		return &c
	}
	return &caps.Error{Op: m.op, Code: caps.ErrBadArgument, Text: err.Error()}
}

func turnOver(t *ReadTurn) error {
	return &caps.Error{Code: ErrTurnOver, Text: fmt.Sprintf("this turn (%s) has ended; t must not be kept in a goroutine or variable", t.name())}
}

func turnShared(op string) error {
	return &caps.Error{Op: op, Code: ErrTurnShared, Text: "the turn was used from another goroutine, or a panic in it was swallowed; nothing of it happened"}
}

func inReadTurn(m *method) error {
	return &caps.Error{Op: m.op, Code: caps.ErrNoRight, Text: "it writes, and this is a read turn, from which no write can start"}
}

func otherWorld(h *handle, method string) error {
	return &caps.Error{Op: method, Object: h.name(), Code: caps.ErrWouldBlock, Text: "a turn cannot wait for an object of another world; call it outside of the turn"}
}

func noRight(m *method, h *handle, via caps.Authority) error {
	return &caps.Error{Op: m.op, Object: h.name(), Code: caps.ErrNoRight, Text: fmt.Sprintf("needs %s; this reference carries %s", m.need, via)}
}

func unknownKind(h *handle, b *bound, method string) error {
	return &caps.Error{
		Op: b.name + "." + method, Object: h.name(), Code: caps.ErrUnknownKind,
		Text: "this process does not know the kind; the object keeps its bytes. Pass the kind to sturdy.Open.",
	}
}

func notPassed(d *definition) error {
	return &caps.Error{Op: d.name, Code: caps.ErrUnknownKind, Text: fmt.Sprintf("the kind (%s) was not passed to sturdy.Open", d.place)}
}

// noMethod names what there is, and what may have been meant.
func noMethod(h *handle, d *definition, name string) error {
	var has []string
	text := fmt.Sprintf("%s has no method %s", d.name, name)
	for _, m := range d.methods {
		has = append(has, m.name)
		if near(m.name, name) {
			return &caps.Error{Op: d.name + "." + name, Object: h.name(), Code: caps.ErrNoMethod, Text: text + "; " + m.name + "?"}
		}
	}
	text += "; it has " + strings.Join(has, ", ")
	if d == h.vat.rt.threads.def {
		text += ". What a thread is to receive cannot be called: send it"
	}
	return &caps.Error{Op: d.name + "." + name, Object: h.name(), Code: caps.ErrNoMethod, Text: text}
}

// near reports whether b could be a slip of the pen for a: one letter more, less or other,
// or two swapped.
func near(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || len(b) < 3 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	swapped := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	return i == len(a) || a[i+1:] == b[i+1:] || swapped
}

func panicked(op string, h *handle, p any) error {
	return &caps.Error{Op: op, Object: h.name(), Code: caps.ErrPanicked, Text: fmt.Sprintf("the method panicked, and nothing of its turn happened: %v", p)}
}

// storeError says of what the store reports which outcome it is.
func storeError(h *handle, err error) error {
	switch {
	case errors.Is(err, objstore.ErrDamaged):
		return &caps.Error{Object: h.name(), Code: caps.ErrDamaged, Text: fmt.Sprintf("%v. Other objects are not affected; restore this one from a backup.", err)}
	case errors.Is(err, objstore.ErrSnapshotTooOld):
		return &caps.Error{Object: h.name(), Code: ErrTooOld, Text: "the read turn has taken too long, and its snapshot is gone; read in several turns"}
	case errors.Is(err, objstore.ErrClosed):
		return &caps.Error{Object: h.name(), Code: ErrClosed, Text: "the world is closed"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &caps.Error{Object: h.name(), Code: caps.ErrFailed, Text: err.Error()}
}
