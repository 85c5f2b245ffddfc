package caps

import "sync/atomic"

// lastMaker numbers makers. It is an identity, not an authority: knowing a number is of no
// use, as only this package can write one into a Ref.
var lastMaker atomic.Uint32

// NewMaker returns a seal that no other Maker has.
func NewMaker() *Maker { return &Maker{lastMaker.Add(1)} }

// Make returns a Ref to t. Targets of one object should be one comparable value (a pointer),
// so that Same and == on Refs hold. A nil t gives the null Ref.
func (m *Maker) Make(t Target, a Authority) Ref {
	if t == nil {
		return Ref{}
	}
	a.maker = m.id
	return Ref{target: t, auth: a}
}

// Open returns what m.Make was given; ok is false if r is null or was made by another Maker.
func (m *Maker) Open(r Ref) (t Target, a Authority, ok bool) {
	if r.auth.maker != m.id || r.target == nil {
		return nil, Authority{}, false
	}
	a = r.auth
	a.maker = 0
	return r.target, a, true
}
