package chat

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sturdyrt/sturdy/caps"
)

// Arguments come from whoever holds the capability: they are hostile until checked.
const (
	maxNick    = 20      // bytes
	maxText    = 1000    // bytes of a post
	maxSeats   = 100     // of a room: each post looks at them all
	maxPosts   = 100_000 // of a room
	maxHistory = 100     // posts
	maxBatch   = 32      // posts in one message to a screen
	maxSilence = 30 * 24 * time.Hour
	maxMissed  = 3 // knocks that a screen may leave without an answer

	// What may be said from one seat.
	burst    = 20
	interval = 500 * time.Millisecond
)

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", caps.ErrBadArgument, fmt.Sprintf(format, args...))
}

func (q Request) check() error {
	if q.Nick == "" || len(q.Nick) > maxNick || strings.ContainsFunc(q.Nick, notInNick) {
		return bad("a nickname is 1 to %d of a-z, A-Z, 0-9, _ and -", maxNick)
	}
	if !q.Screen.IsNull() && q.Screen.Rights()&caps.Write == 0 {
		return bad("a screen that nothing may be sent to: the reference lacks w")
	}
	if q.Back < 0 {
		return bad("%d earlier posts", q.Back)
	}
	return nil
}

// notInNick refuses all but ASCII: of two names that look the same, one lies.
func notInNick(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-')
}

// checkText refuses what could make a terminal show something else than what was said:
// control characters, and those that reverse the direction of what follows.
func checkText(text string) error {
	if strings.TrimSpace(text) == "" || len(text) > maxText {
		return bad("a line of %d bytes; it is 1 to %d and no blank", len(text), maxText)
	}
	if !utf8.ValidString(text) {
		return bad("the line is no UTF-8")
	}
	for _, r := range text {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return bad("the line holds the character %U", r)
		}
	}
	return nil
}
