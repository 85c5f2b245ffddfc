package rpc_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// goroutines waits until there are at most as many as before, and reports how many there are.
func goroutines(before int) int {
	for late := time.Now().Add(5 * time.Second); time.Now().Before(late); runtime.Gosched() {
		if n := runtime.NumGoroutine(); n <= before {
			return n
		}
	}
	return runtime.NumGoroutine()
}

// heap is how many bytes are in use when nothing more is collected.
func heap() int64 {
	var m runtime.MemStats
	for range 3 { // what is weak goes in the first, what is cleaned up after that in the next
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// used has two hosts attached, used, cut, reconnected and closed.
func used(t *testing.T, dir string, seed uint64) {
	open := func(name string) *sturdy.Runtime {
		rt, err := sturdy.Open(filepath.Join(dir, name), deskKind, drawerKind)
		must(t, err)
		return rt
	}
	a, b := open("a"), open("b")
	near, err := rpc.Attach(a, rpc.Options{Listen: "127.0.0.1:0"})
	must(t, err)
	p := newProxy(t, seed, near.Address())
	far, err := rpc.Attach(b, rpc.Options{Peers: map[string]string{a.Host(): p.address()}})
	must(t, err)
	made, err := a.Root().Ensure(t.Context(), "desk", func(t *sturdy.WriteTurn) caps.Ref { return deskKind.New(t, desk{}) })
	must(t, err)
	s, _, err := a.Save(t.Context(), made, caps.Terms{})
	must(t, err)
	r, err := b.Restore(t.Context(), s)
	must(t, err)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				_, err := deskAdd.Call(t.Context(), r, 1)
				if err != nil && !errors.Is(err, caps.ErrMaybeExecuted) && !errors.Is(err, caps.ErrNotDelivered) {
					t.Error(err)
				}
				_ = deskAdd.Send(sturdy.Relaxed(t.Context()), r, 1)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() { _, _ = deskWait.Call(ctx, r, caps.Ref{}) }) // until it is canceled
	p.cutAll()
	cancel()
	all.Wait()
	p.cutAll()
	must(t, far.Close())
	must(t, b.Close())
	must(t, near.Close())
	must(t, a.Close())
	p.close()
}

func TestClosedHostsLeaveNoGoroutines(t *testing.T) {
	seed, dir := seedOf(t), t.TempDir()
	before := runtime.NumGoroutine()
	for range 4 {
		used(t, dir, seed)
		if n := goroutines(before); n > before {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, and %d before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestReleasedRefsLeaveNothing makes 10,000 Refs to the objects of another host, and drops
// them. The other world keeps its objects, so only what is here is measured, by making the
// Refs of tokens once the objects are there.
func TestReleasedRefsLeaveNothing(t *testing.T) {
	const n = 10_000
	a, b, r := two(t)
	tokens := tokensOf(t, a, b, r, n)
	imports := func() []caps.Ref {
		refs := make([]caps.Ref, 0, n)
		for _, token := range tokens {
			ref, err := b.rt.Import(token, a.rt.Host(), "")
			must(t, err)
			refs = append(refs, ref)
		}
		return refs
	}
	_ = imports() // whatever is made once
	before := heap()
	refs := imports()
	held := heap() - before
	runtime.KeepAlive(refs)
	refs = nil
	left := heap() - before
	t.Logf("%d bytes for each Ref, %d for each that was dropped", held/n, left/n)
	if held/n > 1000 {
		t.Error("a Ref to an object on another host is dear")
	}
	if left > 1<<20 {
		t.Errorf("%d bytes are left", left)
	}
	runtime.KeepAlive(tokens)
}

// tokensOf is n tokens as the host of r would send them to b. Only the shape of a token counts
// for what a Ref costs: they differ in the object, so the tags are not right.
func tokensOf(t testing.TB, a, b *host, r caps.Ref, n int) [][]byte {
	home, err := b.rt.Export(context.Background(), r, a.rt.Host())
	must(t, err)
	all := make([][]byte, n)
	for i := range all {
		token := append([]byte{}, home[2:]...)
		token[len(token)-1], token[len(token)-2], token[len(token)-3] = byte(i), byte(i>>8), byte(i>>16)
		all[i] = token
	}
	return all
}

// BenchmarkRemoteRef reports what a Ref to an object on another host costs while it is held.
func BenchmarkRemoteRef(b *testing.B) {
	a, h, r := two(b)
	tokens := tokensOf(b, a, h, r, b.N)
	refs := make([]caps.Ref, 0, b.N)
	before := heap()
	b.ReportAllocs()
	b.ResetTimer()
	for _, token := range tokens {
		ref, err := h.rt.Import(token, a.rt.Host(), "")
		must(b, err)
		refs = append(refs, ref)
	}
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "held-B/op")
	runtime.KeepAlive(refs)
	runtime.KeepAlive(tokens)
}

// BenchmarkRemoteCall calls an object of another host over TCP on this machine.
func BenchmarkRemoteCall(b *testing.B) {
	_, _, r := two(b)
	for b.Loop() {
		_, err := deskGet.Call(context.Background(), r)
		must(b, err)
	}
}
