package look

import (
	"context"
	"iter"
	"strings"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Kinds of what is sent to beside ordinary objects.
const (
	Promise = "sturdy/promise"
	Thread  = "sturdy/thread"
	Port    = "sturdy/port"
)

// Letters are those that wait to be delivered, with names that say kinds.
func Letters(ctx context.Context, w World) iter.Seq2[sturdy.LetterInfo, error] {
	return letters(ctx, w, w.Activity().Letters(ctx))
}

// DeadLetters are those that could not be delivered, with names that say kinds.
func DeadLetters(ctx context.Context, w World) iter.Seq2[sturdy.LetterInfo, error] {
	return letters(ctx, w, w.Activity().DeadLetters(ctx))
}

func letters(ctx context.Context, w World, all iter.Seq2[sturdy.LetterInfo, error]) iter.Seq2[sturdy.LetterInfo, error] {
	return mapped(all, func(l sturdy.LetterInfo) sturdy.LetterInfo {
		l.From = kinded(ctx, w, l.From)
		return l
	})
}

// Timers are the messages that wait for their time, with names that say kinds.
func Timers(ctx context.Context, w World) iter.Seq2[sturdy.TimerInfo, error] {
	return mapped(w.Activity().Timers(ctx), func(t sturdy.TimerInfo) sturdy.TimerInfo {
		t.From = kinded(ctx, w, t.From)
		return t
	})
}

// kinded is name, of an object: the runtime names a sender that nobody has loaded "object 5b".
// One that cannot be described keeps that name.
func kinded(ctx context.Context, w World, name string) string {
	id, bare := strings.CutPrefix(name, "object ")
	if !bare {
		return name
	}
	ref, err := w.Object(ctx, id)
	if err != nil {
		return name
	}
	info, err := Describe(ctx, w, ref)
	if err != nil {
		return name
	}
	return text.Line(Short(info.Kind.Name)) + " " + info.ID
}

// LettersTo are those of all that are for the object with that ID.
func LettersTo(all iter.Seq2[sturdy.LetterInfo, error], id string) iter.Seq2[sturdy.LetterInfo, error] {
	return those(all, func(l sturdy.LetterInfo) bool { return strings.HasSuffix(l.To, " "+id) })
}

// TimersTo are those of all that are for the object with that ID.
func TimersTo(all iter.Seq2[sturdy.TimerInfo, error], id string) iter.Seq2[sturdy.TimerInfo, error] {
	return those(all, func(t sturdy.TimerInfo) bool { return strings.HasSuffix(t.To, " "+id) })
}

// those are what of all is meant, and the errors.
func those[T any](all iter.Seq2[T, error], meant func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for x, err := range all {
			if (err != nil || meant(x)) && !yield(x, err) {
				return
			}
		}
	}
}

// mapped is what f makes of all; errors stay as they are.
func mapped[T any](all iter.Seq2[T, error], f func(T) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for x, err := range all {
			if err == nil {
				x = f(x)
			}
			if !yield(x, err) {
				return
			}
		}
	}
}
