package caps

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Gate is what stands between a granted Ref and its object: the grants that the Ref came
// through. A Ref that was granted has the gate of that grant, behind which stand the grants
// above it; a Ref that has also crossed membranes has a gate of several parts. Nothing of a
// grant is loaded before the gate is first checked.
//
// A check costs a few loads while nothing has been revoked: a gate remembers the epoch in
// which it found its whole path alive, and whoever revokes a grant begins a new epoch. So
// revoking costs the same however many Refs hang below, and reaches those that are in a
// file. Marking the subtree instead would have to find it. Safe for concurrent use.
type Gate struct {
	home   *Gates
	path   string // the numbers of the parts, see pass; Invariant: sorted, none twice
	okAt   atomic.Uint64
	facts  atomic.Pointer[facts] // nil: not loaded yet
	uses   atomic.Int64          // since they were last collected; of a single grant
	usedAt int64                 // first of those uses; guarded by home.mu
}

// Granted is what a grant says, as its host keeps it.
type Granted struct {
	// Authority is that of the Ref that was granted. Its Gate is what stands above.
	Authority Authority
	Only      []string // nil: every method
	Until     time.Time
	Deep      bool
	Revoked   bool
	For       string
}

// facts are what a gate comes to. Invariant: they do not change; a revocation replaces them.
type facts struct {
	parts   []pass // of a gate of several; else nil
	parent  *Gate  // above a single grant; nil at the top
	revoked bool
	clear   bool     // neither until nor only forbid anything
	until   int64    // the earliest on the whole path, in nanoseconds since 1970; 0: never
	limited bool     // only counts
	only    []string // the methods that every grant of the path allows
	covers  []pass   // the membranes that results come out through
	inward  *Gate    // through which arguments go in; nil if there are no membranes
	rights  Authority
	depth   int
	label   string
}

// pass is one crossing: out of what a grant covers, or into it. Its number is that of the
// grant, doubled, plus one if in.
type pass struct {
	gate *Gate // of the single grant
	in   bool
}

const (
	// maxGrants is how many grants may stand above each other.
	maxGrants = 64
	// maxParts is how many membranes a Ref may have crossed that do not contain each other.
	maxParts = 16
)

// Clear reports whether Check would let every method through, as far as it can be seen at
// once: the check for the hot path. False says nothing.
func (g *Gate) Clear() bool {
	f := g.facts.Load()
	return f != nil && f.clear && g.okAt.Load() == g.home.epoch.Load()
}

// Check reports why method may not be called through g: ErrRevoked, ErrNoMethod, or what
// keeps the grant from being read. A nil gate stops nothing.
//
// now is the time in nanoseconds since 1970, read from the clock if it is nil or 0, and
// needed. So a turn asks the clock once: whether a grant has run out is judged by the turn's time.
func (g *Gate) Check(method string, now *int64) error {
	if g == nil {
		return nil
	}
	f := g.facts.Load()
	if f == nil || g.okAt.Load() != g.home.epoch.Load() {
		var err error
		if f, err = g.alive(); err != nil {
			return err
		}
	}
	if f.until != 0 && g.home.reached(f.until, now) {
		return g.expired(f)
	}
	if f.limited && !slices.Contains(f.only, method) {
		return g.hidden(f, method)
	}
	return nil
}

// Use counts calls that came through g, which has been checked.
func (g *Gate) Use(calls int64) {
	f, err := g.load()
	if err != nil {
		return
	}
	if f.parts == nil && g.uses.Add(calls) == calls {
		g.home.touch(g)
	}
	for _, p := range f.parts {
		p.gate.Use(calls)
	}
}

// Alive is Check without a method: it reports whether a grant on the path was revoked or ran
// out, at the time now.
func (g *Gate) Alive(now *int64) error {
	if g == nil {
		return nil
	}
	f, err := g.alive()
	if err == nil && f.until != 0 && g.home.reached(f.until, now) {
		return g.expired(f)
	}
	return err
}

// alive walks up the path, unless that was done in this epoch.
func (g *Gate) alive() (*facts, error) {
	for {
		epoch := g.home.epoch.Load()
		dead, err := g.walk(epoch)
		switch {
		case err != nil:
			return nil, err
		case dead != nil:
			return nil, g.revokedError(dead)
		}
		if f := g.facts.Load(); f != nil && g.okAt.Load() == epoch {
			return f, nil
		}
	}
}

// walk returns the gate on the path that is revoked, or nil. The epoch is that from before
// anything was looked at: what is revoked meanwhile has begun a later one.
func (g *Gate) walk(epoch uint64) (dead *Gate, err error) {
	f, err := g.load()
	if err != nil || g.okAt.Load() == epoch {
		return nil, err
	}
	if f.revoked {
		return g, nil
	}
	if f.parent != nil {
		dead, err = f.parent.walk(epoch)
	}
	for i := 0; i < len(f.parts) && dead == nil && err == nil; i++ {
		dead, err = f.parts[i].gate.walk(epoch)
	}
	if dead == nil && err == nil {
		g.okAt.Store(epoch)
	}
	return dead, err
}

// Under reports whether the grant of that number is on g's path. What cannot be read is
// taken to be.
func (g *Gate) Under(grant uint64) bool { return g.under(grant, map[*Gate]bool{}) }

// under keeps what it has seen: where membranes cross, there are many ways up.
func (g *Gate) under(grant uint64, seen map[*Gate]bool) bool {
	if g == nil || seen[g] {
		return false
	}
	seen[g] = true
	if slices.Contains(g.Grants(), grant) {
		return true
	}
	f, err := g.load()
	if err != nil {
		return true
	}
	return f.parent.under(grant, seen) || slices.ContainsFunc(f.parts, func(p pass) bool { return p.gate.under(grant, seen) })
}

// Room reports why no grant can stand below g: ErrOverloaded if 64 are above each other, or
// what keeps them from being read.
func (g *Gate) Room() error {
	if g == nil {
		return nil
	}
	f, err := g.load()
	if err == nil && f.depth >= maxGrants {
		err = tooManyGrants()
	}
	return err
}

// Ready reports whether g can be checked without reading anything.
func (g *Gate) Ready() bool { return g == nil || g.facts.Load() != nil }

// Methods returns the methods that the whole path allows; limited is false if it allows all.
func (g *Gate) Methods() (only []string, limited bool) {
	if g == nil {
		return nil, false
	}
	f, err := g.load()
	if err != nil {
		return nil, true
	}
	return slices.Clone(f.only), f.limited
}

// Grants returns the numbers of the grants that the Ref itself came through, not of those
// above them.
func (g *Gate) Grants() (numbers []uint64) {
	for _, n := range passes(g.Path()) {
		numbers = append(numbers, n>>1)
	}
	return slices.Compact(numbers)
}

// Of reports whether g is one of gs, which can store it. A nil gate is.
func (g *Gate) Of(gs *Gates) bool { return g == nil || g.home == gs }

// Path is the stored form of the gate, empty for nil. Gates.Open is the inverse.
func (g *Gate) Path() string {
	if g == nil {
		return ""
	}
	return g.path
}

// passes decodes a path; what is malformed ends it.
func passes(path string) (ns []uint64) {
	for b := []byte(path); len(b) > 0; {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			break
		}
		ns, b = append(ns, n), b[size:]
	}
	return ns
}

// pathOf is the path of sorted numbers.
func pathOf(ns []uint64) string {
	var b []byte
	for _, n := range ns {
		b = binary.AppendUvarint(b, n)
	}
	return string(b)
}

// cross returns what is left of a when it crosses the membranes that g's results come out
// through. What crosses a membrane outwards is under its grant from then on, whatever it is
// and wherever it came from. What crosses inwards is marked, so that what is handed to it
// later comes out through the same membrane: a callback is no hole.
//
// Rejected: to give back as it was what had come in, as membranes between two programs do.
// Here inside and outside are parties of one world, and somebody inside may hold a Ref of the
// outside; what he passes through it would be taken for a thing of the outside's.
//
// A Ref under grants of another host loses what it had: their numbers mean nothing here.
func (g *Gate) cross(a Authority) Authority {
	f, err := g.load()
	if err != nil || a.Gate != nil && a.Gate.home != g.home {
		return Authority{}
	}
	for _, p := range f.covers {
		if a = p.cross(a); a.Rights == 0 {
			break
		}
	}
	return a
}

func (p pass) cross(a Authority) Authority {
	if !p.in {
		f, err := p.gate.load()
		if err != nil {
			return Authority{}
		}
		if a.Rights &= f.rights.Rights; f.rights.Deep {
			a = a.Attenuate(Read)
		}
	}
	if !p.in && (a.Gate == nil || a.Gate == p.gate) { // as nearly always
		a.Gate = p.gate
		return a
	}
	was := passes(a.Gate.Path())
	at, crossed := slices.BinarySearch(was, p.number())
	switch {
	case crossed:
		return a
	case len(was) == maxParts:
		return Authority{}
	}
	a.Gate = p.gate.home.open(slices.Insert(was, at, p.number()))
	return a
}

func (p pass) number() uint64 {
	n := passes(p.gate.path)[0]
	if p.in {
		n |= 1
	}
	return n
}

// String says which grants these are, for errors: "grant 1c for auditor".
func (g *Gate) String() string {
	if g == nil {
		return "no grant"
	}
	var texts []string
	for _, n := range g.Grants() {
		texts = append(texts, g.home.grant(n).title())
	}
	return strings.Join(texts, " and ")
}
