package sturdy

import (
	"io"
	"math/rand/v2"
)

// random is a turn's randomness: a generator whose seed is drawn once, so that the turn
// gets the same bytes when it is run again.
type random struct {
	seed [32]byte
	turn *WriteTurn // the run that src belongs to
	src  *rand.ChaCha8
}

// random returns the generator, at its beginning if this run has not asked before.
func (t *WriteTurn) random() *rand.ChaCha8 {
	if t.rand == nil {
		t.rand = new(random)
		if _, err := io.ReadFull(t.r.vat.rt.entropy, t.rand.seed[:]); err != nil {
			panic(unwind{err})
		}
	}
	if t.rand.turn != t {
		t.rand.turn, t.rand.src = t, rand.NewChaCha8(t.rand.seed)
	}
	return t.rand.src
}
