package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// threadVerbs are the functions that show threads, and that stop them and let them go on.
func (s *Session) threadVerbs() []verb {
	return []verb{
		{"ps", "[state]", `the threads that have not ended; ps("parked"), "running", "waiting", "paused", "canceling", "ring". ps()[0] is all of one; watch(top) goes on showing them, worst first`, s.ps},
		{"thread", "id", `a thread by its number or its row: thread("1f"). Its messages stand behind th.send: th.send.approve(True)`, s.threadVerb},
		{"steps", "th", "what is recorded of a thread's steps", s.steps},
		{"lsof", "th", "what a thread has: its object, its parent, its mail and the timers it waits for", s.lsof},
		{"pause", "th", "stop a thread at its next step, or where it waits", s.pauseThread},
		{"resume", "th", "let a paused thread go on; start a parked one again: steps that failed are tried again", s.resumeThread},
		{"cancel", "th[, why=]", "ask a thread to undo what it did, and to end", s.cancelThread},
		{"wait", "th[, seconds=]", "wait until a thread has ended, or is parked: that is an error", s.waitThread},
	}
}

func (s *Session) ps(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	are := ""
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "state?", &are); err != nil {
		return nil, err
	}
	list, err := s.threads(are)
	if err != nil {
		return nil, err
	}
	return asRows(list), nil
}

// threads are rows of ps.
func (s *Session) threads(are string) (list []threadRow, err error) {
	all, err := look.ThreadsThat(s.World.Activity().Threads(s.ctx), are)
	if err != nil {
		return nil, err
	}
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	_, err = listed(s, all, func(t sturdy.ThreadInfo) *record {
		list = append(list, threadRow{look.Urgency(t), threadRecord(t, now)})
		return list[len(list)-1].row
	})
	return list, err
}

// threadRow is a row of ps with its place in what top shows.
type threadRow struct {
	urgency int
	row     *record
}

func asRows(list []threadRow) *starlark.List {
	rows := make([]starlark.Value, len(list))
	for i, t := range list {
		rows[i] = t.row
	}
	return starlark.NewList(rows)
}

// busiest is top without arguments: the threads, those first that need somebody.
func (s *Session) busiest() (starlark.Value, error) {
	if !s.isHere("ps") {
		return nil, s.notOverWire("top of all threads")
	}
	list, err := s.threads("")
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b threadRow) int { return cmp.Compare(a.urgency, b.urgency) })
	return asRows(list), nil
}

// threadRecord is a row of ps; what has no column there is told when the row is looked at by
// itself. In a table, why a thread does not go on stands on a line below its row.
func threadRecord(t sturdy.ThreadInfo, now time.Time) *record {
	r := newRecord(
		"ID", starlark.String(t.ID), "Object", starlark.String(t.Object), "Program", starlark.String(t.Program),
		"State", starlark.String(look.Condition(t)), "Step", orNone(t.Step), "Waits", orNone(t.Waits),
		"Since", moment(t.Since), "Until", moment(t.Until), "Mail", starlark.MakeInt64(t.Mail),
	)
	r.brief, r.columns, r.below = now, len(r.fields), look.Trouble(t)
	failed := ""
	if t.Error != nil {
		failed = r.below
	}
	r.add("Error", orNone(failed))
	r.add("Stack", orNone(t.Stack))
	r.add("At", orNone(t.At))
	r.add("On", orNone(t.On))
	r.add("Cancel", orNone(t.Cancel))
	r.add("Parent", orNone(t.Parent))
	r.add("Born", moment(t.Born))
	return r
}

// threadOf finds the thread that is meant by its Ref, by a row of a listing, or by its number
// as a text.
func (s *Session) threadOf(what string, x starlark.Value) (th sturdy.ThreadRef, err error) {
	id := numberOf(x)
	if x, ok := x.(*refValue); ok {
		th.Ref = x.ref
	}
	switch {
	case th.IsNull() && id == "":
		return th, fmt.Errorf("%s: it wants a thread: a row of ps(), or its number like %q; not the %s %s", what, "1f", x.Type(), repr(x, 40))
	case th.IsNull() && !s.isHere("ps"):
		return th, s.notOverWire(what + " of a number")
	case th.IsNull():
		if th.Ref, err = s.World.Object(s.ctx, id); err != nil {
			return th, err
		}
	}
	if info, err := s.describe(th.Ref); err != nil || info.Kind.Name != look.Thread {
		return th, errors.Join(err, fmt.Errorf("%s: %s is no thread; ps() lists them", what, text.Line(th.Ref.String())))
	}
	return th, nil
}

// oneThread is the argument of what takes one thread and nothing else.
func (s *Session) oneThread(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (th sturdy.ThreadRef, err error) {
	var x starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "th", &x); err != nil {
		return th, err
	}
	return s.threadOf(b.Name(), x)
}

func (s *Session) threadVerb(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "id", &x); err != nil {
		return nil, err
	}
	th, err := s.threadOf(b.Name(), x)
	if err != nil {
		return nil, err
	}
	return s.ref(th.Ref), nil
}

// steps lists them in the order in which they came to what they are: that is how they are
// read, where the record has them by name.
func (s *Session) steps(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	th, err := s.oneThread(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	var all []stepRow
	if _, err := listed(s, th.Steps(s.ctx), func(i sturdy.StepInfo) *record {
		all = append(all, stepRow{i.At, stepRecord(i, now)})
		return all[len(all)-1].row
	}); err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b stepRow) int { return a.at.Compare(b.at) })
	rows := make([]starlark.Value, len(all))
	for i, r := range all {
		rows[i] = r.row
	}
	return starlark.NewList(rows), nil
}

// stepRow is a row of steps with its place among the others.
type stepRow struct {
	at  time.Time
	row *record
}

func stepRecord(i sturdy.StepInfo, now time.Time) *record {
	r := newRecord(
		"Name", starlark.String(i.Name), "State", starlark.String(i.State), "At", moment(i.At),
		"Until", moment(i.Until), "Tries", starlark.MakeInt64(i.Tries), "Result", orNone(i.Result),
	)
	r.brief = now
	return r
}

func (s *Session) pauseThread(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	th, err := s.oneThread(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	return starlark.None, s.writing(b.Name(), func() error { return th.Pause(s.ctx) })
}

func (s *Session) resumeThread(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	th, err := s.oneThread(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	return starlark.None, s.writing(b.Name(), func() error { return th.Resume(s.ctx) })
}

func (s *Session) cancelThread(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	why := ""
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "th", &x, "why?", &why); err != nil {
		return nil, err
	}
	th, err := s.threadOf(b.Name(), x)
	if err != nil {
		return nil, err
	}
	return starlark.None, s.writing(b.Name(), func() error { return th.Cancel(s.ctx, why) })
}

// waitThread returns what the thread ended as. What it has done stays, however it ended, so
// that its error does not say that nothing happened.
func (s *Session) waitThread(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, seconds starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "th", &x, "seconds??", &seconds); err != nil {
		return nil, err
	}
	th, err := s.threadOf(b.Name(), x)
	if err != nil {
		return nil, err
	}
	ctx := s.ctx
	if seconds != nil {
		d, err := interval(seconds)
		if err != nil {
			return nil, fmt.Errorf("wait: seconds: %w", err)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	if !s.Writable {
		return nil, fmt.Errorf("wait: no thread runs in a session that only reads. For that, start it with: %s", s.Writing)
	}
	s.aside(func() { err = th.Wait(ctx) })
	s.undone, s.unsure = false, err != nil
	if err == nil {
		return starlark.String(sturdy.ThreadDone), nil
	}
	return nil, s.waited(th, err)
}

// waited is what a wait that failed says.
func (s *Session) waited(th sturdy.ThreadRef, err error) error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	info, failed := th.Info(s.ctx)
	e := (*caps.Error)(nil)
	if failed != nil || !errors.As(err, &e) {
		return err
	}
	switch {
	case info.State == sturdy.ThreadParked:
		return &caps.Error{Op: "wait", Object: "thread " + info.ID, Code: e.Code, Cause: e.Cause, Text: "the thread is parked: " + e.Error()}
	case e.Code == sturdy.ErrTimeout:
		return &caps.Error{Op: "wait", Object: "thread " + info.ID, Code: e.Code, Text: "the thread has not ended: it is " + look.Doing(info)}
	}
	return err
}
