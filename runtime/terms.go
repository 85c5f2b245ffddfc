package sturdy

import (
	"fmt"
	"slices"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// Limits on the terms of a grant.
const (
	maxPurpose = 256 // bytes of Terms.For
	maxOnly    = 64  // methods in Terms.Only
)

// terms checks the terms on which h is granted with authority a. See grant for strict.
func (t *WriteTurn) terms(h *handle, a caps.Authority, terms caps.Terms, strict bool) (says caps.Granted, err error) {
	rt := t.r.vat.rt
	bad := func(format string, args ...any) (caps.Granted, error) {
		return says, &caps.Error{Op: "grant", Object: h.name(), Code: caps.ErrBadArgument, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(terms.For) > maxPurpose || !caps.Printable(terms.For):
		return bad("the purpose of a grant is printable text of at most %d bytes", maxPurpose)
	case terms.Only != nil && len(terms.Only) == 0:
		return bad("an empty list of methods would allow nothing; leave Only nil to allow all")
	case len(terms.Only) > maxOnly:
		return bad("a grant names at most %d methods; attenuate the reference instead", maxOnly)
	case !terms.Until.IsZero() && !terms.Until.After(t.Now()):
		return bad("a grant until %s has run out before it is made; it is %s", terms.Until.UTC().Format(time.RFC3339), t.Now().Format(time.RFC3339))
	case !terms.Until.IsZero() && !terms.Until.After(rt.gates.Latest()):
		return bad("the clock has gone back: at %s something was seen to have run out, and a grant until %s would be dead already", rt.gates.Latest().Format(time.RFC3339), terms.Until.UTC().Format(time.RFC3339))
	case !terms.Until.IsZero() && terms.Until.Year() > maxYear:
		return bad("a grant runs out before the year %d, or with a zero Until not at all", maxYear)
	}
	says = caps.Granted{Authority: a, Deep: terms.Deep, For: terms.For}
	if !terms.Until.IsZero() {
		says.Until = terms.Until.Round(0).UTC()
	}
	for _, m := range terms.Only {
		if m == nil || m.Name() == "" {
			return bad("a method of Only has no name")
		}
		if strict && !terms.Deep && !h.away.Load() { // what another host has only that one knows
			if err := t.knows(h, m.Name()); err != nil {
				return says, err
			}
		}
		says.Only = append(says.Only, m.Name())
	}
	slices.Sort(says.Only)
	says.Only = slices.Compact(says.Only)
	return says, nil
}

// maxYear bounds times that are kept as nanoseconds.
const maxYear = 2200

// knows refuses a method that h does not have: a list that allows nothing is a slip. It is
// not asked for membranes: what they cover may be of any kind.
func (t *WriteTurn) knows(h *handle, method string) error {
	v, err := t.r.state(h)
	if err != nil || v.kind.def == nil || slices.Contains(t.r.vat.rt.typedOps(v.kind.def), method) {
		return err
	}
	if v.kind.def.method(method) == nil {
		return noMethod(h, v.kind.def, method)
	}
	return nil
}
