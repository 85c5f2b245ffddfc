package look

import (
	"iter"
	"strings"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Kinds of what is sent to beside ordinary objects.
const (
	Promise = "sturdy/promise"
	Thread  = "sturdy/thread"
	Port    = "sturdy/port"
)

// LettersTo are those of all that are for the object with that ID.
func LettersTo(all iter.Seq2[sturdy.LetterInfo, error], id string) iter.Seq2[sturdy.LetterInfo, error] {
	return func(yield func(sturdy.LetterInfo, error) bool) {
		for l, err := range all {
			mine := err != nil || strings.HasSuffix(l.To, " "+id)
			if mine && !yield(l, err) {
				return
			}
		}
	}
}
