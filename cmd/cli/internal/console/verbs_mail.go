package console

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// mailVerbs are the functions that send, and that show what is under way.
func (s *Session) mailVerbs() []verb {
	return []verb{
		{"send", `x, "method", args…`, "the same as x.send.method(args): a message, delivered later, exactly once. Prints what it came to if that is known within a second; p.wait() waits", s.send},
		{"mail", "[x]", `the messages that wait to be delivered, to x or to anybody; mail("1c") is all of one`, s.mail},
		{"dead", "[x]", `the messages that could not be delivered for good, to x or to anybody; dead("1c") is all of one`, s.dead},
		{"resend", "id", "send a dead letter again", s.resend},
		{"discard", "id", "forget a dead letter; of a message that waits for another host, end the waiting: its promise breaks", s.discard},
		{"timers", "", "the messages that wait for their time", s.timers},
		{"settle", "", "wait until every message is delivered that can be", s.settle},
		{"watch", `f[, every=][, times=]`, "call f and show what it returns, every 2 seconds, until Ctrl-C: watch(mail), watch(lambda: mail(x), every=5)", s.watch},
	}
}

func (s *Session) mail(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	all := look.Letters(s.ctx, s.World)
	return s.someLetters(b, args, kwargs, all, "Held", func(l sturdy.LetterInfo) string { return l.Held })
}

func (s *Session) dead(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	all := look.DeadLetters(s.ctx, s.World)
	return s.someLetters(b, args, kwargs, all, "Error", func(l sturdy.LetterInfo) string { return l.Error })
}

// someLetters are those of all that are for an object, or the one with a number; without an
// argument, all.
func (s *Session) someLetters(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple, all iter.Seq2[sturdy.LetterInfo, error], last string, why func(sturdy.LetterInfo) string) (starlark.Value, error) {
	var x starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x??", &x); err != nil {
		return nil, err
	}
	switch x := x.(type) {
	case nil:
	case *refValue:
		info, err := s.describe(x.ref)
		if err != nil {
			return nil, err
		}
		all = look.LettersTo(all, info.ID)
	case starlark.String:
		return s.oneOf(b.Name(), string(x), all, last, why)
	default:
		return nil, fmt.Errorf("%s: it wants an object, or the number of a letter like %q; not the %s %s", b.Name(), "1c", x.Type(), repr(x, 40))
	}
	return s.letters(all, last, why)
}

// oneOf is the letter of all with that number, with all that is known of it.
func (s *Session) oneOf(what, id string, all iter.Seq2[sturdy.LetterInfo, error], last string, why func(sturdy.LetterInfo) string) (starlark.Value, error) {
	for l, err := range all {
		switch {
		case err != nil:
			return nil, err
		case l.ID == id:
			return letterRow(l, last, why), nil
		}
	}
	return nil, fmt.Errorf("%s: there is no letter %q; %s() lists them", what, text.Line(id), what)
}

// letters is a listing; the last column says what keeps a letter from being delivered.
func (s *Session) letters(all iter.Seq2[sturdy.LetterInfo, error], last string, why func(sturdy.LetterInfo) string) (starlark.Value, error) {
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	return listed(s, all, func(l sturdy.LetterInfo) *record {
		r := letterRow(l, last, why)
		r.brief = now
		return r
	})
}

func letterRow(l sturdy.LetterInfo, last string, why func(sturdy.LetterInfo) string) *record {
	return newRecord(
		"ID", starlark.String(l.ID), "To", starlark.String(l.To), "Method", starlark.String(l.Method), "From", starlark.String(l.From),
		"Sent", moment(l.Sent), "Bytes", starlark.MakeInt64(l.Bytes), last, orNone(why(l)),
	)
}

func (s *Session) timers(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(b.Name(), args, kwargs); err != nil {
		return nil, err
	}
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	return listed(s, look.Timers(s.ctx, s.World), func(t sturdy.TimerInfo) *record { return timerRow(t, now) })
}

func timerRow(t sturdy.TimerInfo, now time.Time) *record {
	var every starlark.Value = starlark.None
	if t.Every > 0 {
		every = starlarktime.Duration(t.Every)
	}
	r := newRecord(
		"ID", starlark.String(t.ID), "To", starlark.String(t.To), "Method", orNone(t.Method),
		"Due", moment(t.Due), "Every", every, "From", starlark.String(t.From),
	)
	r.brief = now
	return r
}

func (s *Session) resend(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	id, err := oneLetter(b, args, kwargs, "a dead letter: a row of dead()")
	if err != nil {
		return nil, err
	}
	return starlark.None, s.writing(b.Name(), func() error { return s.World.Activity().Resend(s.ctx, id) })
}

func (s *Session) discard(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	id, err := oneLetter(b, args, kwargs, "a letter: a row of dead() or mail()")
	if err != nil {
		return nil, err
	}
	return starlark.None, s.writing(b.Name(), func() error { return s.World.Activity().Discard(s.ctx, id) })
}

func (s *Session) settle(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return s.outside(b, args, kwargs, func(ctx context.Context) error {
		if !s.Writable {
			return fmt.Errorf("settle: nothing is delivered in a session that only reads. For that, start it with: %s", s.Writing)
		}
		_, err := s.Runtime.Settle(ctx)
		return err
	})
}

// oneLetter is the argument of what takes one letter, as wanted says: a row, or its number.
func oneLetter(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple, wanted string) (id string, err error) {
	var x starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "id", &x); err != nil {
		return "", err
	}
	if id = numberOf(x); id == "" {
		return "", fmt.Errorf("%s: it wants %s, or its number like %q; not the %s %s", b.Name(), wanted, "1c", x.Type(), repr(x, 40))
	}
	return id, nil
}

// send is send(x, "method", args…), for methods whose name is made by a program.
func (s *Session) send(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) < 2 {
		return nil, errors.New(`send: it takes an object, the name of a method and its arguments: send(x, "deposit", 5)`)
	}
	x, ok := args[0].(*refValue)
	if !ok {
		return nil, fmt.Errorf("send: for parameter x: got %s, want ref", args[0].Type())
	}
	name, ok := starlark.AsString(args[1])
	if !ok {
		return nil, fmt.Errorf("send: it wants the name of a method, not the %s %s", args[1].Type(), repr(args[1], 40))
	}
	m, err := (&sendValue{x}).method(name)
	if err != nil {
		return nil, err
	}
	return m.CallInternal(nil, args[2:], kwargs)
}
