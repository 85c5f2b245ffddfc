package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

const (
	eachAtOnce = 8                // calls of f under way
	eachWithin = 30 * time.Second // one call of f
	maxEach    = 10_000           // of what f is called with
)

// each calls f with many objects at once, and returns a row for each: one that fails, or whose
// host does not answer in time, keeps none of the others from it.
//
// Starlark itself runs in one goroutine at a time: who waits for an object lets the others go on,
// see aside. So what f shares with the rest of the session needs no care.
func (s *Session) each(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var xs starlark.Iterable
	var f starlark.Callable
	var within starlark.Value
	atOnce := eachAtOnce
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "xs", &xs, "f", &f, "parallel?", &atOnce, "timeout??", &within); err != nil {
		return nil, err
	}
	limit := eachWithin
	switch {
	case s.inTurn:
		return nil, &caps.Error{Op: b.Name(), Code: caps.ErrWouldBlock, Text: "a turn makes one call after the other; call it before or after atomically"}
	case s.crowd != nil:
		return nil, errors.New("each: it cannot be called within each")
	case atOnce < 1 || atOnce > maxEach:
		return nil, fmt.Errorf("each: parallel is %d", atOnce)
	case within != nil:
		var err error
		if limit, err = interval(within); err != nil {
			return nil, fmt.Errorf("each: timeout: %w", err)
		}
	}
	tasks, err := s.tasks(xs)
	if err != nil {
		return nil, err
	}
	s.crowded(tasks, atOnce, func(t *task) { s.perform(t, f, limit) })
	return taskRows(tasks), s.ctx.Err()
}

// task is one call of f, and what it came to.
type task struct {
	name   starlark.Value
	x      starlark.Value
	result starlark.Value
	failed string
}

// tasks are what f is to be called with: the entries of a directory or a dict by their names,
// else what xs holds. A text is what it opens.
func (s *Session) tasks(xs starlark.Iterable) (list []*task, err error) {
	add := func(name, x starlark.Value) error {
		if len(list) == maxEach {
			return fmt.Errorf("each: more than %s at once", text.Int(maxEach))
		}
		list = append(list, &task{name: name, x: x, result: starlark.None})
		return nil
	}
	switch xs := xs.(type) {
	case starlark.IterableMapping:
		for _, item := range xs.Items() {
			if err := add(item[0], item[1]); err != nil {
				return nil, err
			}
		}
		return list, nil
	case *refValue:
		for n, err := range look.Names(s.ctx, xs.ref) {
			if err == nil {
				err = add(starlark.String(n.Name), s.ref(n.Ref))
			}
			if err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	for x := range starlark.Elements(xs) {
		name := x
		if str, ok := x.(starlark.String); ok && strings.HasPrefix(string(str), "sturdy:") {
			u, err := sturdyRef("each", x)
			if err != nil {
				return nil, err
			}
			name, x = starlark.String(look.SturdyName(u)), s.sturdy(u)
		}
		if err := add(name, x); err != nil {
			return nil, err
		}
	}
	return list, s.stopped
}

// crowded performs tasks, so many at once, with the session's lock held for one of them.
func (s *Session) crowded(tasks []*task, atOnce int, perform func(*task)) {
	outer, did := s.flow, s.effects
	s.crowd = &sync.Mutex{}
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(atOnce, len(tasks)) {
		all.Go(func() {
			for n := next.Add(1); n <= int64(len(tasks)) && outer.ctx.Err() == nil; n = next.Add(1) {
				s.crowd.Lock()
				s.flow = flow{ctx: outer.ctx}
				perform(tasks[n-1])
				did.turns, did.acted, did.spent = did.turns+s.turns, did.acted+s.acted, did.spent+s.spent
				s.crowd.Unlock()
			}
		})
	}
	all.Wait()
	s.crowd, s.flow = nil, outer
	s.effects = did
}

// perform calls f for t.
func (s *Session) perform(t *task, f starlark.Callable, limit time.Duration) {
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	thread := s.thread("each")
	defer context.AfterFunc(ctx, func() { thread.Cancel(interrupted) })()
	s.ctx, s.running = ctx, thread
	x, err := t.x, error(nil)
	if u, ok := x.(*sturdyValue); ok {
		var ref caps.Ref
		ref, err = s.restored(u.ref)
		x = s.ref(ref)
	}
	if err == nil {
		t.result, err = starlark.Call(thread, f, starlark.Tuple{x}, nil)
	}
	if err == nil {
		err = s.stopped
	}
	if err == nil {
		return
	}
	t.result, t.failed = starlark.None, s.failure(err).Text
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.failed = Late(limit, t.failed)
	}
}

// Late is what is said of a failure that a deadline is the cause of.
func Late(limit time.Duration, failed string) string {
	said := "not done within " + text.Length(limit)
	if failed == "" || strings.HasPrefix(failed, interrupted) {
		return said
	}
	return said + ": " + failed
}

// taskRows is the table of what tasks came to. Results that are structs with the same fields are
// columns; why one failed stands on a line below its row.
func taskRows(tasks []*task) *starlark.List {
	fields, same := []string(nil), true
	for _, t := range tasks {
		r, ok := t.result.(*record)
		switch {
		case t.failed != "":
		case !ok:
			same = false
		case fields == nil:
			fields = r.fields
		default:
			same = same && slices.Equal(fields, r.fields)
		}
	}
	rows := make([]starlark.Value, len(tasks))
	for i, t := range tasks {
		row := newRecord("Of", t.name)
		if same && fields != nil {
			r, _ := t.result.(*record)
			for n, name := range fields {
				var val starlark.Value = starlark.None
				if r != nil {
					val = r.vals[n]
				}
				row.add(name, val)
			}
		} else {
			row.add("Result", t.result)
		}
		row.columns, row.below = len(row.fields), t.failed
		row.add("Error", orNone(t.failed))
		rows[i] = row
	}
	return starlark.NewList(rows)
}

// flow is what belongs to the statement that runs or, within each, to one call of it.
type flow struct {
	// ctx is what calls run in: that of the running input or, inside atomically, the turn.
	ctx context.Context
	// inTurn: ctx is a turn.
	inTurn bool
	// running is the thread of the running statement.
	running *starlark.Thread
	// stopped is why an iterator ended the thread: iterators cannot return errors.
	stopped error
	effects
}

// aside does what takes long and needs nothing of the session. Within each the others go on
// meanwhile.
func (s *Session) aside(do func()) {
	if s.crowd == nil {
		do()
		return
	}
	mine := s.flow
	s.crowd.Unlock()
	defer func() {
		s.crowd.Lock()
		s.flow = mine
	}()
	do()
}
