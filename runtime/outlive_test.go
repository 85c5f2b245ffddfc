package sturdy

import (
	"errors"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// A write takes longer than its grant lasts, called from another host. Nothing happened, and
// nothing of it is told.
func TestAWriteThatOutlivesItsGrantIsUndone(t *testing.T) {
	c := newCables(t)
	var last time.Duration
	kind := Define("test.example/clockwork", Method(tallyAdd, func(s *tally, _ *WriteTurn, n int64) (int64, error) {
		s.N += n
		c.pass(last)
		return s.N, nil
	}))
	a, err := Options{Kinds: []Kind{kind}, Clock: c.clock}.Open()
	c.must(err)
	t.Cleanup(func() { c.must(a.Close()) })
	b, _ := c.open("")
	r, err := a.Root().Ensure(t.Context(), "clockwork", func(t *WriteTurn) caps.Ref { return kind.New(t, tally{}) })
	c.must(err)
	var through caps.Ref
	c.must(a.Update(t.Context(), func(t *WriteTurn) error {
		through, _ = t.Grant(r, caps.Terms{For: "b", Until: c.clock().Add(time.Hour)})
		return nil
	}))
	token, err := b.Export(t.Context(), c.give(a, through, b), a.Host())
	c.must(err)
	come, err := a.ImportOwn(token, b.Host()) // as b's call of it does
	c.must(err)
	if n, err := tallyAdd.Call(t.Context(), come, 1); n != 1 || err != nil {
		t.Error("in time:", n, err)
	}
	last = 2 * time.Hour
	if n, err := tallyAdd.Call(t.Context(), come, 1); n != 0 || !errors.Is(err, caps.ErrRevoked) {
		t.Error("when it had run out:", n, err)
	}
	last = 0
	c.holds(r, 1)
}

func TestTwoObjectsOfOneHostAreNotTheSame(t *testing.T) {
	c := newCables(t)
	a, r := c.open("")
	b, own := c.open("")
	one, weak, other := c.give(a, r, b), c.give(a, r.Attenuate(caps.Read), b), c.give(a, a.Root().Ref, b)
	if !one.Same(weak) {
		t.Error("one object, of which two are had")
	}
	for _, x := range []caps.Ref{other, own} {
		if x.Same(one) || one.Same(x) {
			t.Error(x, "is not", one)
		}
	}
}
