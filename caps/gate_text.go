package caps

import (
	"fmt"
	"strings"
	"time"
)

// What a holder is told of the grants that stop him: those that his Ref itself came through
// by number and purpose, those above them not at all. They are somebody else's affair.

func (g *Gate) revokedError(dead *Gate) error {
	text := "a grant above " + g.String()
	for _, n := range g.Grants() {
		switch part := g.home.grant(n); {
		case part == dead:
			text = part.title()
		case part.Under(passes(dead.path)[0] >> 1):
			text = "a grant above " + part.title()
		}
	}
	return &Error{Code: ErrRevoked, Text: "revoked: " + text + " was taken back"}
}

func (g *Gate) expired(f *facts) error {
	return &Error{Code: ErrRevoked, Text: fmt.Sprintf("revoked: %s ran out at %s", g, timeText(f.until))}
}

func (g *Gate) hidden(f *facts, method string) error {
	allows := "nothing"
	if len(f.only) > 0 {
		allows = strings.Join(f.only, ", ")
	}
	return &Error{Code: ErrNoMethod, Text: fmt.Sprintf("%s is not among what %s allows: %s", method, g, allows)}
}

func tooManyGrants() error {
	return &Error{Code: ErrOverloaded, Text: "too many grants above each other; the limit is 64: grant what is further up instead"}
}

func (g *Gate) damaged(what string) error {
	return &Error{Code: ErrDamaged, Text: "damaged: " + g.String() + ": " + what}
}

// title is one grant's number and purpose, "grant 1c for auditor", and its time.
func (g *Gate) title() string {
	text := fmt.Sprintf("grant %x", passes(g.path)[0]>>1)
	f := g.facts.Load()
	if f == nil {
		return text
	}
	if f.label != "" {
		text += fmt.Sprintf(" for %q", f.label)
	}
	return text
}

func timeText(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }
