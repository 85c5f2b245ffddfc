package peers

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

var seed = flag.Uint64("seed", 1, "of the keys that the benchmarks choose")

// objects is how many objects a store holds in the benchmarks.
const objects = 100_000

// TestAPeerKeepsWhatItAcknowledged guards the comparison: a peer that loses updates, or tears
// transfers, would be measured as a fast one.
func TestAPeerKeepsWhatItAcknowledged(t *testing.T) {
	for _, m := range Durable() {
		t.Run(m.Name, func(t *testing.T) {
			const callers, calls, objects = 8, 50, 3
			dir := t.TempDir()
			p := open(t, m, dir, objects)
			share(t, callers, callers*calls, func(_ *rand.Rand) error { return p.Add(1, 1) })
			share(t, callers, callers*calls, func(_ *rand.Rand) error { return p.Transfer(1, 2, 5) })
			wantSum(t, p, callers*calls)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}

			p = open(t, m, dir, objects)
			wantSum(t, p, callers*calls)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// BenchmarkCall is a call that stays in memory.
func BenchmarkCall(b *testing.B) {
	for _, m := range Memory() {
		b.Run(m.Name, func(b *testing.B) {
			c := m.New()
			defer c.Close()
			b.ResetTimer()
			c.Calls(b.N)
		})
	}
}

// BenchmarkDurable adds to objects all over the store.
func BenchmarkDurable(b *testing.B) {
	eachPeer(b, []int{1, 64, 256}, 1, func(p Peer, r *rand.Rand) error {
		return p.Add(r.IntN(objects), 1)
	})
}

// BenchmarkHot adds to one object.
func BenchmarkHot(b *testing.B) {
	eachPeer(b, []int{64}, 1, func(p Peer, _ *rand.Rand) error { return p.Add(7, 1) })
}

// BenchmarkTransfer moves an amount between two objects.
func BenchmarkTransfer(b *testing.B) {
	eachPeer(b, []int{64}, 0, func(p Peer, r *rand.Rand) error {
		from := r.IntN(objects)
		to := (from + 1 + r.IntN(objects-1)) % objects
		return p.Transfer(from, to, 1)
	})
}

// eachPeer measures do on every peer with each number of callers, and checks afterwards that
// each do has added grows to the sum of all numbers.
func eachPeer(b *testing.B, callers []int, grows int64, do func(Peer, *rand.Rand) error) {
	for _, m := range Durable() {
		b.Run(m.Name, func(b *testing.B) {
			p := open(b, m, b.TempDir(), objects)
			var did int64
			for _, n := range callers {
				b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) {
					share(b, n, b.N, func(r *rand.Rand) error { return do(p, r) })
					did += int64(b.N)
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
				})
			}
			wantSum(b, p, did*grows)
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// share has callers goroutines do total calls together, each with a source of its own.
func share(tb testing.TB, callers, total int, do func(*rand.Rand) error) {
	var left atomic.Int64
	left.Store(int64(total))
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(*seed, uint64(caller)))
			for left.Add(-1) >= 0 {
				if err := do(r); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func open(tb testing.TB, m Maker, dir string, objects int) Peer {
	tb.Helper()
	if memory, err := inMemory(dir); err != nil {
		tb.Fatal(err)
	} else if _, bench := tb.(*testing.B); memory && bench {
		tb.Skip("the temporary directory is in memory; set TMPDIR to one on a disk")
	}
	p, err := m.Open(dir, objects)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func wantSum(tb testing.TB, p Peer, want int64) {
	tb.Helper()
	if sum, err := p.Sum(); err != nil || sum != want {
		tb.Fatalf("sum %d, %v; want %d", sum, err, want)
	}
}
