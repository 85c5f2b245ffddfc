package share

import (
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// Role is what somebody is usually given of a document.
type Role string

// The roles. Nobody has to be given one: any part of a document can be shared.
const (
	Editor    Role = "editor"    // reads, edits, comments
	Commenter Role = "commenter" // reads and comments
	Reader    Role = "reader"    // reads the page
	Auditor   Role = "auditor"   // reads the page, all comments and the history, and changes nothing
)

// Of returns what to give to somebody who is to have the role: what to grant and on which
// terms. Nobody gets more than d allows. who is for listings; until may be zero, which is
// until revoked. caps.ErrBadArgument if there is no such role, or if who is not a line of 1
// to 64 bytes of plain text.
//
// The lists of methods say what is given, not what is withheld, so a method that the kind
// gains later is not among them. The Auditor's grant has no list, as an auditor is to see
// whatever there is to see; instead it covers what he gets hold of.
func (r Role) Of(d Document, who string, until time.Time) (caps.Ref, caps.Terms, error) {
	terms := caps.Terms{For: who, Until: until}
	if err := checkLine("the name", who, maxName); err != nil {
		return caps.Ref{}, terms, err
	}
	switch r {
	case Editor:
		terms.Only = []caps.Named{Read, Edit, Comment}
		return d.Attenuate(caps.Read | caps.Write), terms, nil
	case Commenter:
		terms.Only = []caps.Named{Read, Comment}
		return d.Attenuate(caps.Read | caps.Write), terms, nil
	case Reader:
		terms.Only = []caps.Named{Read}
		return d.Attenuate(caps.Read), terms, nil
	case Auditor:
		terms.Deep = true
		return d.Attenuate(caps.Read), terms, nil
	}
	return caps.Ref{}, terms, bad("no role is called %q", string(r))
}
