package wire

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"
)

// TestEachPeerAnswers guards the comparison: each way to call is tried, by many at once.
func TestEachPeerAnswers(t *testing.T) {
	for _, p := range peers() {
		for _, road := range p.roads {
			t.Run(p.name+"/"+road, func(t *testing.T) {
				s := start(t, p, road)
				c := s.dial(t, p, road)
				var all sync.WaitGroup
				for caller := range int64(8) {
					all.Go(func() {
						ask := wants(t, p.adds, c.call)
						for i := range int64(50) {
							ask(caller<<32 + i)
						}
					})
				}
				all.Wait()
				must(t, c.leave())
				must(t, c.come(t.Context()))
				wants(t, p.adds, c.call)(1)
				if c, ok := c.(climber); ok {
					wants(t, number+rungs-1, c.wait)(2)
					wants(t, number+rungs-1, c.pipeline)(3)
				}
				if c, ok := c.(*sturdyClient); ok {
					for _, text := range s.texts(t, 2) {
						_, err := c.restore(t.Context(), text)
						must(t, err)
					}
				}
			})
		}
	}
}

// asks is a sort of call.
type asks func(ctx context.Context, n int64) (int64, error)

// wants makes a call whose answer has to be more by adds than its argument.
func wants(tb testing.TB, adds int64, ask asks) func(n int64) {
	return func(n int64) {
		if got, err := ask(context.Background(), n); err != nil || got != n+adds {
			tb.Errorf("asked with %d: %d, %v; want %d", n, got, err, n+adds)
		}
	}
}

// one is what was measured of a peer.
type one struct{ p50, each float64 }

// BenchmarkWire is a call: by one caller, whose median says how long it takes, and by 256, whose
// number says how many there can be.
func BenchmarkWire(b *testing.B) {
	results := map[string]one{}
	for _, road := range []string{"tcp", "tls", "unix"} {
		for _, p := range peers() {
			if !slices.Contains(p.roads, road) {
				continue
			}
			b.Run(p.name+"/"+road, func(b *testing.B) {
				c := start(b, p, road).dial(b, p, road)
				var r one
				b.Run("callers=1", func(b *testing.B) { r.p50, _ = spend(b, 1, wants(b, p.adds, c.call)) })
				b.Run("callers=256", func(b *testing.B) { _, r.each = spend(b, 256, wants(b, p.adds, c.call)) })
				results[p.name+"/"+road] = r
			})
		}
	}
	table(results)
}

// table shows how many times as long as Sturdy the others take; over TCP, as Sturdy over TLS.
func table(results map[string]one) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tp50 of 1 caller\tof sturdy's\tcalls/s of 256\tns each\tof sturdy's\t")
	for _, road := range []string{"tcp", "tls", "unix"} {
		base := results["sturdy/"+road]
		if road == "tcp" {
			base = results["sturdy/tls"]
		}
		for _, p := range peers() {
			if r, ok := results[p.name+"/"+road]; ok {
				fmt.Fprintf(w, "%s/%s\t%.1f µs\t%.2f\t%.0f\t%.0f\t%.2f\t\n", p.name, road, r.p50/1e3, r.p50/base.p50, 1e9/r.each, r.each, r.each/base.each)
			}
		}
	}
	_ = w.Flush()
}

// BenchmarkWireChain is ten calls, each of what the one before has returned; where there are no
// objects to return, each with the number that the one before has answered.
func BenchmarkWireChain(b *testing.B) {
	for _, road := range []string{"tls", "unix"} {
		for _, p := range peers() {
			if p.name == "sturdy-echo" {
				continue
			}
			b.Run(p.name+"/"+road, func(b *testing.B) {
				c := start(b, p, road).dial(b, p, road)
				chain, adds := asks(func(ctx context.Context, n int64) (_ int64, err error) {
					for range rungs {
						if n, err = c.call(ctx, n); err != nil {
							return 0, err
						}
					}
					return n, nil
				}), rungs*p.adds
				if c, ok := c.(climber); ok {
					chain, adds = c.wait, number+rungs-1
					b.Run("pipelined", func(b *testing.B) { spend(b, 1, wants(b, adds, c.pipeline)) })
				}
				b.Run("waiting", func(b *testing.B) { spend(b, 1, wants(b, adds, chain)) })
			})
		}
	}
}

// BenchmarkWireRestore opens a sturdy ref that was not opened before, over a connection and without
// one; and makes a connection and a call over it, after opening a sturdy ref or with nothing to open.
func BenchmarkWireRestore(b *testing.B) {
	for _, road := range []string{"tls", "unix"} {
		for _, p := range peers() {
			if p.name == "sturdy-echo" {
				continue
			}
			b.Run(p.name+"/"+road, func(b *testing.B) {
				s := start(b, p, road)
				c := s.dial(b, p, road)
				come := func(int64) { must(b, c.come(context.Background())) }
				leave := func() { must(b, c.leave()) }
				ask := wants(b, p.adds, c.call)
				b.Run("connecting, and a call", func(b *testing.B) {
					spendAfter(b, leave, 1, func(i int64) {
						come(i)
						ask(i)
					})
				})
				if c, ok := c.(*sturdyClient); ok {
					b.Run("connecting", func(b *testing.B) { spendAfter(b, leave, 1, come) })
					b.Run("connected", func(b *testing.B) {
						texts := s.texts(b, b.N)
						spend(b, 1, func(i int64) {
							if _, err := c.restore(context.Background(), texts[i]); err != nil {
								b.Error(err)
							}
						})
					})
				}
			})
		}
	}
}

// spend is spendAfter without anything before.
func spend(b *testing.B, callers int, call func(i int64)) (p50, each float64) {
	return spendAfter(b, func() {}, callers, call)
}

// spendAfter has b.N calls made by so many callers, and returns the nanoseconds of the median call and
// those that passed for each. What is done before each is in the second only.
func spendAfter(b *testing.B, before func(), callers int, call func(i int64)) (p50, each float64) {
	times := make([]time.Duration, b.N)
	var made atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for i := made.Add(1) - 1; i < int64(b.N); i = made.Add(1) - 1 {
				before()
				began := time.Now()
				call(i)
				times[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(times)
	p50 = float64(times[len(times)/2])
	each = float64(b.Elapsed()) / float64(b.N)
	b.ReportMetric(p50, "p50-ns")
	b.ReportMetric(float64(times[len(times)*99/100]), "p99-ns")
	b.ReportMetric(1e9/each, "calls/s")
	return p50, each
}
