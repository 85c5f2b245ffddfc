package objstore

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

// Flags of the random tests of both test packages.
var (
	seedFlag  = flag.Uint64("seed", 0, "of the random tests; 0: a new one each time")
	stepsFlag = flag.Int("steps", 1000, "of the random model test")
)

// RandomFor is the source of a random test. It prints its seed.
func RandomFor(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Steps is the length of the random model test.
func Steps() int { return *stepsFlag }
