package sturdy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// flat is an object of 100 bytes, as the figures in ARCHITECTURE.md are measured with.
type flat struct {
	N   int64
	Pad [92]byte
}

func (f *flat) get(*sturdy.ReadTurn) (int64, error)              { return f.N, nil }
func (f *flat) add(_ *sturdy.WriteTurn, by int64) (int64, error) { f.N += by; return f.N, nil }

var flatKind = sturdy.Define("bench.example/flat",
	sturdy.Query(counterGet, (*flat).get),
	sturdy.Method(counterAdd, (*flat).add),
)

// openFlat opens a world with n flat objects.
func openFlat(b *testing.B, dir string, n int) (*sturdy.Runtime, []caps.Ref) {
	b.Helper()
	rt, err := sturdy.Options{Dir: dir, Kinds: []sturdy.Kind{flatKind}, Cache: 4 << 30}.Open()
	if err != nil {
		b.Fatal(err)
	}
	refs := make([]caps.Ref, n)
	var all sturdy.List[caps.Ref]
	for lo := 0; lo < n; lo += 10_000 {
		err := rt.Update(b.Context(), func(t *sturdy.WriteTurn) error {
			if lo == 0 {
				all = sturdy.NewList[caps.Ref](t)
				if err := rt.Root().Put(t, "all", all.Ref); err != nil {
					return err
				}
			}
			for i := lo; i < min(n, lo+10_000); i++ {
				refs[i] = flatKind.New(t, flat{Pad: [92]byte{byte(i), byte(i >> 8), byte(i >> 16)}})
				all.Append(t, refs[i])
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return rt, refs
}

// inParallel splits b.N calls among goroutines and reports calls per second.
func inParallel(b *testing.B, callers int, call func(*rand.Rand)) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for c := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(c)))
			for left.Add(-1) >= 0 {
				call(r)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkRelaxed is write turns on 100,000 objects whose callers do not wait for the disk.
func BenchmarkRelaxed(b *testing.B) {
	rt, refs := openFlat(b, b.TempDir()+"/world", 100_000)
	defer rt.Close()
	ctx := sturdy.Relaxed(context.Background())
	for _, callers := range []int{1, 2, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			inParallel(b, callers, func(r *rand.Rand) {
				if _, err := counterAdd.Call(ctx, refs[r.IntN(len(refs))], 1); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkScan is one read turn over a million live objects, alone and beside writers, and
// the writers' rate with and without scans beside them.
func BenchmarkScan(b *testing.B) {
	const n = 1_000_000
	rt, refs := openFlat(b, b.TempDir()+"/world", n)
	defer rt.Close()
	scan := func() {
		err := rt.View(context.Background(), func(t *sturdy.ReadTurn) error {
			for _, r := range refs {
				if _, err := counterGet.Call(t, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Error(err)
		}
	}
	scan() // loads what is not in memory
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			scan()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/object")
	})
	b.Run("beside writers", func(b *testing.B) {
		stop, written := startWriters(rt, refs)
		for b.Loop() {
			scan()
		}
		took := b.Elapsed()
		stop()
		b.ReportMetric(float64(took.Nanoseconds())/float64(b.N)/n, "ns/object")
		b.ReportMetric(float64(written.Load())/took.Seconds(), "writes/s")
	})
	b.Run("writers alone", func(b *testing.B) {
		stop, written := startWriters(rt, refs)
		for b.Loop() {
			<-time.After(100 * time.Millisecond)
		}
		took := b.Elapsed()
		stop()
		b.ReportMetric(float64(written.Load())/took.Seconds(), "writes/s")
	})
}

// startWriters keeps 16 callers writing durably until stop is called.
func startWriters(rt *sturdy.Runtime, refs []caps.Ref) (stop func(), written *atomic.Int64) {
	ctx, cancel := context.WithCancel(context.Background())
	written = new(atomic.Int64)
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(c)))
			for ctx.Err() == nil {
				if _, err := counterAdd.Call(context.Background(), refs[r.IntN(len(refs))], 1); err == nil {
					written.Add(1)
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }, written
}

// BenchmarkOpen is opening a world of a million objects: after Close, and as a killed process
// leaves it, with what has not been moved out of the journal.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	world, image := filepath.Join(dir, "world"), filepath.Join(dir, "image")
	rt, refs := openFlat(b, world, 1_000_000)
	for i := range 300_000 {
		if _, err := counterAdd.Call(sturdy.Relaxed(b.Context()), refs[i], 1); err != nil {
			b.Fatal(err)
		}
	}
	if err := rt.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := os.CopyFS(image, os.DirFS(world)); err != nil { // what kill -9 would leave
		b.Fatal(err)
	}
	if err := rt.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("after close", func(b *testing.B) { openAgain(b, world) })
	b.Run("after kill", func(b *testing.B) {
		b.StopTimer()
		for i := range b.N {
			killed := fmt.Sprintf("%s-%d-%d", image, b.N, i)
			if err := os.CopyFS(killed, os.DirFS(image)); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			rt, err := sturdy.Open(killed, flatKind)
			b.StopTimer()
			if err != nil {
				b.Fatal(err)
			}
			if err := rt.Close(); err != nil {
				b.Fatal(err)
			}
			if err := os.RemoveAll(killed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func openAgain(b *testing.B, dir string) {
	for b.Loop() {
		rt, err := sturdy.Open(dir, flatKind)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := rt.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkCold is the first call of an object that is on disk only, in the page cache.
func BenchmarkCold(b *testing.B) {
	dir := b.TempDir() + "/world"
	rt, _ := openFlat(b, dir, 200_000)
	if err := rt.Close(); err != nil {
		b.Fatal(err)
	}
	rt, refs := reopenFlat(b, dir)
	defer rt.Close()
	r := rand.New(rand.NewPCG(3, 3))
	r.Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
	b.ResetTimer()
	for i := range b.N {
		if i%len(refs) == 0 && i > 0 {
			b.StopTimer()
			rt.Evict()
			b.StartTimer()
		}
		if _, err := counterGet.Call(context.Background(), refs[i%len(refs)]); err != nil {
			b.Fatal(err)
		}
	}
}

func reopenFlat(b *testing.B, dir string) (*sturdy.Runtime, []caps.Ref) {
	rt, err := sturdy.Options{Dir: dir, Kinds: []sturdy.Kind{flatKind}, Cache: 4 << 30}.Open()
	if err != nil {
		b.Fatal(err)
	}
	list, err := rt.Root().Get(b.Context(), "all")
	if err != nil {
		b.Fatal(err)
	}
	var refs []caps.Ref
	err = rt.View(b.Context(), func(t *sturdy.ReadTurn) error {
		all := sturdy.List[caps.Ref]{Ref: list}
		for _, r := range all.Range(t, 0, all.Len(t)) {
			refs = append(refs, r)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return rt, refs
}

// BenchmarkMemory is what a live object takes beside its state.
func BenchmarkMemory(b *testing.B) {
	const n = 200_000
	dir := b.TempDir() + "/world"
	rt, _ := openFlat(b, dir, n)
	if err := rt.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		before := heap()
		rt, refs := reopenFlat(b, dir)
		for _, r := range refs {
			if _, err := counterGet.Call(context.Background(), r); err != nil {
				b.Fatal(err)
			}
		}
		refsBytes := int64(cap(refs)) * 24
		b.ReportMetric(float64(heap()-before-refsBytes)/n-100, "B/object")
		goruntime.KeepAlive(refs)
		if err := rt.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func heap() int64 {
	goruntime.GC()
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
