package sturdy_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const (
	counterGet caps.Query[int64]         = "get"
	counterAdd caps.Method[int64, int64] = "add"
)

type counter struct{ N int64 }

func (c *counter) get(*sturdy.ReadTurn) (int64, error)              { return c.N, nil }
func (c *counter) add(_ *sturdy.WriteTurn, by int64) (int64, error) { c.N += by; return c.N, nil }

var counterKind = sturdy.Define("example.org/counter",
	sturdy.Query(counterGet, (*counter).get),
	sturdy.Method(counterAdd, (*counter).add),
)

func newCounter(t *sturdy.WriteTurn) caps.Ref { return counterKind.New(t, counter{}) }

func TestACounterSurvivesReopening(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	for want := int64(1); want <= 3; want++ {
		rt, err := sturdy.Open(dir+"/world", counterKind)
		if err != nil {
			t.Fatal(err)
		}
		hits, err := rt.Root().Ensure(ctx, "hits", newCounter)
		if err != nil {
			t.Fatal(err)
		}
		n, err := counterAdd.Call(ctx, hits, 1)
		if err != nil || n != want {
			t.Fatalf("add = %d, %v; want %d", n, err, want)
		}
		if n, err := counterGet.Call(ctx, hits); err != nil || n != want {
			t.Fatalf("get = %d, %v; want %d", n, err, want)
		}
		if _, err := counterAdd.Call(ctx, hits.Attenuate(caps.Read), 1); !errors.Is(err, caps.ErrNoRight) {
			t.Fatalf("add through a read capability: %v", err)
		}
		if err := rt.Check(ctx); err != nil {
			t.Fatal(err)
		}
		if err := rt.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkKernel(b *testing.B) {
	rt, err := sturdy.Options{Files: objstore.NewMemory(), Kinds: []sturdy.Kind{counterKind}}.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer rt.Close()
	ctx := context.Background()
	hits, err := rt.Root().Ensure(ctx, "hits", newCounter)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("mutex", func(b *testing.B) {
		m := &guarded{}
		for b.Loop() {
			m.add(1)
		}
	})
	b.Run("channel round trip", func(b *testing.B) {
		ask, answer := make(chan int64), make(chan int64)
		go func() {
			for n := range ask {
				answer <- n
			}
		}()
		for b.Loop() {
			ask <- 1
			<-answer
		}
		close(ask)
	})
	b.Run("nested write", func(b *testing.B) {
		b.ReportAllocs()
		_ = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
			for b.Loop() {
				if _, err := counterAdd.Call(t, hits, 1); err != nil {
					return err
				}
			}
			return nil
		})
	})
	b.Run("nested read", func(b *testing.B) {
		b.ReportAllocs()
		_ = rt.View(ctx, func(t *sturdy.ReadTurn) error {
			for b.Loop() {
				if _, err := counterGet.Call(t, hits); err != nil {
					return err
				}
			}
			return nil
		})
	})
	b.Run("outside read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := counterGet.Call(ctx, hits); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("outside relaxed write", func(b *testing.B) {
		b.ReportAllocs()
		ctx := sturdy.Relaxed(ctx)
		for b.Loop() {
			if _, err := counterAdd.Call(ctx, hits, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("outside durable write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := counterAdd.Call(ctx, hits, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

type guarded struct {
	mu sync.Mutex
	n  int64
}

//go:noinline
func (g *guarded) add(by int64) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n += by
	return g.n
}
