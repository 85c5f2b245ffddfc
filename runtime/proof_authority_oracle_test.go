package sturdy_test

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// The oracle of authority: what every Ref may do, worked out from the records alone and in
// the plainest way, without memory of earlier answers. It shares no code with the runtime.
//
// A slot is what a stored Ref says: object, rights, deep, and a path, which is a set of
// crossings. A crossing is the number of a grant and a direction: out of what the grant
// covers, or into it. A grant's record says what slot was granted, and on which terms. The
// grants above a slot are those of its path, and those above what these grants gave.
//
//   - A slot is dead if one grant above it does not exist, was revoked, or has run out,
//     whatever the directions. Time is the clock's, but never before the last time at which
//     somebody was refused because a grant had run out.
//   - What is dead answers ErrRevoked; then a method that a list hides ErrNoMethod, like one
//     that the kind lacks; then a right that is missing ErrNoRight. The lists that count are
//     those of the grants above that are reached by crossings outwards only: what the
//     outside may do says nothing about what the inside does with the outside.
//   - Attenuate intersects the rights; what has neither w nor x left is deep unless Shallow
//     was asked for, and nothing takes deep away.
//   - A grant gives the same object, rights and deep, with itself as the only crossing.
//   - The membranes of a slot are the nearest on its path: each crossing inwards; of each
//     crossing outwards itself if its grant is a membrane, and in any case the membranes of
//     what was granted, without those outwards if the grant is a membrane, for then they
//     lie behind it.
//   - A result comes through the slot that was called: if that is deep, it keeps r at most
//     and is deep; then it crosses the membranes. Each crossing is added to its path, and
//     nothing ever takes one away: what had come in and goes out again is under the membrane
//     like all else. Outwards it also keeps the rights of the membrane at most. An argument
//     crosses the same membranes the other way, and deep does nothing to it.
//   - An element that is read or written goes the way of a result or an argument.
//
// What has no rights has no use: the oracle says that calls through it fail, not why.

// crossing is one element of a path.
type crossing struct {
	grant uint64
	in    bool
}

// slot is a Ref as a record holds it. Invariant: path is sorted and never changed.
type slot struct {
	obj    uint64 // 0: null
	rights caps.Rights
	deep   bool
	path   []crossing
}

func (c crossing) order() uint64 {
	if c.in {
		return 2*c.grant + 1
	}
	return 2 * c.grant
}

func (s slot) equal(o slot) bool {
	return s.obj == o.obj && s.rights == o.rights && (s.rights == 0 || s.deep == o.deep && slices.Equal(s.path, o.path))
}

// record is what a grant says. Invariant: it is never changed.
type record struct {
	of       slot
	only     []string // nil: every method
	until    time.Time
	membrane bool
	revoked  bool
}

// oracle answers from records.
type oracle struct {
	grants map[uint64]record
	clock  func() time.Time
	seen   *time.Time // the last time at which something was found to have run out
}

// maxCrossings is how many membranes a Ref can have crossed.
const maxCrossings = 16

// above adds to found the grants above a path, all of them or those outwards only.
func (o *oracle) above(path []crossing, outwards bool, found map[uint64]bool) map[uint64]bool {
	for _, c := range path {
		if found[c.grant] || c.in && outwards {
			continue
		}
		found[c.grant] = true
		o.above(o.grants[c.grant].of.path, outwards, found)
	}
	return found
}

func (o *oracle) now() time.Time {
	if now := o.clock(); now.After(*o.seen) {
		return now
	}
	return *o.seen
}

// revoked reports whether a grant above was taken back or never was.
func (o *oracle) revoked(path []crossing) bool {
	for n := range o.above(path, false, map[uint64]bool{}) {
		if g, ok := o.grants[n]; !ok || g.revoked {
			return true
		}
	}
	return false
}

// earliest is when the first grant above runs out; zero: none does.
func (o *oracle) earliest(path []crossing) (first time.Time) {
	for n := range o.above(path, false, map[uint64]bool{}) {
		if until := o.grants[n].until; !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return first
}

// past reports whether until is, and remembers when that was news.
func (o *oracle) past(until time.Time) bool {
	if until.IsZero() || o.now().Before(until) {
		return false
	}
	if o.seen.Before(until) {
		*o.seen = o.now()
	}
	return true
}

// dead is asked whenever the runtime looks: that something has run out is remembered.
func (o *oracle) dead(path []crossing) bool {
	if o.revoked(path) {
		return true
	}
	return o.past(o.earliest(path))
}

func (o *oracle) hidden(path []crossing, method string) bool {
	for n := range o.above(path, true, map[uint64]bool{}) {
		if only := o.grants[n].only; only != nil && !slices.Contains(only, method) {
			return true
		}
	}
	return false
}

// allowed is the code that a call fails with, empty if it is let in.
func (o *oracle) allowed(s slot, method string, need caps.Rights, exists bool) caps.Code {
	switch {
	case o.dead(s.path):
		return caps.ErrRevoked
	case o.hidden(s.path, method) || !exists:
		return caps.ErrNoMethod
	case s.rights&need != need:
		return caps.ErrNoRight
	}
	return ""
}

func (o *oracle) attenuate(s slot, to caps.Rights) slot {
	s.rights &= to & (caps.Read | caps.Write | caps.Run)
	if s.rights&(caps.Write|caps.Run) == 0 && to&caps.Shallow == 0 {
		s.deep = true
	}
	return s
}

// membranes of a path.
func (o *oracle) membranes(path []crossing) map[crossing]bool {
	found := map[crossing]bool{}
	for _, c := range path {
		if c.in {
			found[c] = true
			continue
		}
		g := o.grants[c.grant]
		for up := range o.membranes(g.of.path) {
			if up.in || !g.membrane {
				found[up] = true
			}
		}
		if g.membrane {
			found[c] = true
		}
	}
	return found
}

// result is what is left of s when it comes out of a call through via.
func (o *oracle) result(s, via slot) slot {
	if via.deep {
		s.rights, s.deep = s.rights&caps.Read, true
	}
	return o.crossAll(s, slices.Collect(maps.Keys(o.membranes(via.path))))
}

// argument is what is left of s when it goes into a call through via.
func (o *oracle) argument(s, via slot) slot {
	var inverse []crossing
	for c := range o.membranes(via.path) {
		inverse = append(inverse, crossing{c.grant, !c.in})
	}
	return o.crossAll(s, inverse)
}

func (o *oracle) crossAll(s slot, cs []crossing) slot {
	if s.obj == 0 {
		return s
	}
	for _, c := range cs {
		s = o.cross(s, c)
	}
	return s
}

func (o *oracle) cross(s slot, c crossing) slot {
	if g := o.grants[c.grant]; !c.in {
		s.rights &= g.of.rights
		if g.of.deep {
			s = o.attenuate(s, caps.Read)
		}
	}
	if slices.Contains(s.path, c) {
		return s
	}
	if len(s.path) == maxCrossings {
		return slot{obj: s.obj}
	}
	s.path = append(slices.Clone(s.path), c)
	slices.SortFunc(s.path, func(a, b crossing) int { return cmp.Compare(a.order(), b.order()) })
	return s
}
