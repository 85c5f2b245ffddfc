package sturdy_test

import (
	"context"
	"io/fs"
	"log/slog"
	"path/filepath"
	goruntime "runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// pace is what the threads of the benchmarks run on.
type pace struct{ N int64 }

const (
	paceTurns   caps.Action         = "turns"
	paceWait    caps.Action         = "wait"
	paceReceive caps.Action         = "receive"
	paceNext    caps.Command[int64] = "next"
)

// paced is how many rounds a thread goes; then it says so.
type paced struct {
	rounds int64
	done   chan bool
}

func (b *paced) kind() *sturdy.KindOf[pace] {
	loop := func(round func(th *sturdy.Thread[pace]) error) func(*sturdy.Thread[pace]) error {
		return func(th *sturdy.Thread[pace]) error {
			n := int64(0)
			err := th.Loop("loop", func(uint64) (bool, error) { n++; return n < b.rounds, round(th) })
			b.done <- true
			return err
		}
	}
	return sturdy.Define("bench.example/pace",
		sturdy.Runs(paceTurns, loop(func(th *sturdy.Thread[pace]) error {
			return th.Turn("turn", func(_ *sturdy.WriteTurn, p *pace) error { p.N++; return nil })
		})),
		sturdy.Runs(paceReceive, loop(func(th *sturdy.Thread[pace]) error {
			_, err := sturdy.Receive(th, "next", paceNext, 0)
			return err
		})),
		sturdy.Runs(paceWait, func(th *sturdy.Thread[pace]) error {
			var hours int64
			if err := th.View(func(_ *sturdy.ReadTurn, p *pace) error { hours = p.N; return nil }); err != nil {
				return err
			}
			if _, err := sturdy.Receive(th, "next", paceNext, time.Duration(hours)*time.Hour); err != nil && hours == 0 {
				return err
			}
			return th.Turn("end", func(_ *sturdy.WriteTurn, p *pace) error { p.N = -1; return nil })
		}))
}

// BenchmarkThread is one thread alone.
func BenchmarkThread(b *testing.B) {
	for _, program := range []caps.Action{paceTurns, paceReceive} {
		b.Run(program.Name()+", in a loop", func(b *testing.B) {
			bench := &paced{rounds: int64(b.N), done: make(chan bool, 1)}
			kind := bench.kind()
			rt, err := sturdy.Options{Dir: b.TempDir() + "/world", Kinds: []sturdy.Kind{kind}}.Open()
			must(b, err)
			defer rt.Close()
			b.ResetTimer()
			var th sturdy.ThreadRef
			must(b, rt.Update(b.Context(), func(t *sturdy.WriteTurn) error {
				th = t.Spawn(program.To(kind.New(t, pace{})), sturdy.Domain{})
				return nil
			}))
			if program == paceReceive {
				for i := range int64(b.N) {
					paceNext.Send(sturdy.Relaxed(b.Context()), th.Ref, i)
				}
			}
			<-bench.done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rounds/s")
		})
	}
}

// BenchmarkWaitingThreads is 100,000 threads that wait, a tenth of them with a deadline: what
// they take on disk and in memory, how long the world takes to open, and how long those with
// the deadline take to wake.
func BenchmarkWaitingThreads(b *testing.B) {
	const n = 100_000
	var offset atomic.Int64
	clock := func() time.Time { return time.Unix(1_700_000_000+offset.Load(), 0) }
	kind := (&paced{}).kind()
	for range b.N {
		dir := b.TempDir() + "/world"
		options := sturdy.Options{Dir: dir, Kinds: []sturdy.Kind{kind}, Clock: clock, Log: slog.New(slog.DiscardHandler)}
		rt, err := options.Open()
		must(b, err)
		ctx := context.Background()
		empty := diskUse(b, dir)
		for from := 0; from < n; from += 1000 {
			must(b, rt.Update(sturdy.Relaxed(ctx), func(t *sturdy.WriteTurn) error {
				for i := range 1000 {
					t.Spawn(paceWait.To(kind.New(t, pace{N: int64(1 - min(i%10, 1))})), sturdy.Domain{})
				}
				return nil
			}))
			_, err := rt.Settle(ctx)
			must(b, err)
		}
		must(b, rt.Close())
		b.ReportMetric(float64(diskUse(b, dir)-empty)/n, "B/thread")

		rt = nil
		heap := heapInUse()
		begun := time.Now()
		rt, err = options.Open()
		must(b, err)
		b.ReportMetric(time.Since(begun).Seconds()*1000, "ms/open")
		b.ReportMetric(float64(heapInUse()-heap)/(1<<20), "MB")
		if left := goruntime.NumGoroutine(); left > 100 {
			b.Errorf("%d goroutines", left)
		}
		offset.Add(3700)
		begun = time.Now()
		_, err = rt.Settle(ctx)
		must(b, err)
		b.ReportMetric(time.Since(begun).Seconds()*1000, "ms/wake10000")
		left := 0
		for _, err := range rt.Activity().Threads(ctx) {
			must(b, err)
			left++
		}
		if left != n-n/10 {
			b.Errorf("%d threads are left", left)
		}
		must(b, rt.Close())
	}
}

// diskUse is how many bytes the files of a folder have.
func diskUse(b *testing.B, dir string) (sum int64) {
	must(b, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	}))
	return sum
}

func heapInUse() int64 {
	var m goruntime.MemStats
	goruntime.GC()
	goruntime.GC()
	goruntime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
