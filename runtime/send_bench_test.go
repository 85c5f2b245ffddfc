package sturdy_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// relay is an object that sends on to another.
type relay struct{ To caps.Ref }

const relayAdd caps.Command[int64] = "relay"

func (r *relay) relay(t *sturdy.WriteTurn, n int64) error {
	for range n {
		counterAdd.Send(t, r.To, 1)
	}
	return nil
}

var relayKind = sturdy.Define("bench.example/relay", sturdy.Command(relayAdd, (*relay).relay))

// BenchmarkSend is messages from one object to another of the same world, with deliveries.
func BenchmarkSend(b *testing.B) {
	open := func(b *testing.B) (*sturdy.Runtime, []caps.Ref, []caps.Ref) {
		rt, err := sturdy.Options{Dir: b.TempDir() + "/world", Kinds: []sturdy.Kind{flatKind, relayKind}}.Open()
		if err != nil {
			b.Fatal(err)
		}
		var from, to []caps.Ref
		if err := rt.Update(b.Context(), func(t *sturdy.WriteTurn) error {
			from, to = nil, nil
			for range 256 {
				to = append(to, flatKind.New(t, flat{}))
				from = append(from, relayKind.New(t, relay{to[len(to)-1]}))
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		return rt, from, to
	}
	b.Run("object to object, relaxed", func(b *testing.B) {
		rt, from, _ := open(b)
		defer rt.Close()
		ctx := sturdy.Relaxed(context.Background())
		const each = 100
		b.ResetTimer()
		for i := 0; i < b.N; i += each {
			if err := relayAdd.Call(ctx, from[i/each%256], each); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := rt.Settle(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
	})
	b.Run("durable, 256 senders", func(b *testing.B) {
		rt, _, to := open(b)
		defer rt.Close()
		inParallel(b, 256, func(r *rand.Rand) {
			counterAdd.Send(context.Background(), to[r.IntN(256)], 1)
		})
		if _, err := rt.Settle(context.Background()); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("durable updates, 256 callers", func(b *testing.B) {
		rt, _, to := open(b)
		defer rt.Close()
		inParallel(b, 256, func(r *rand.Rand) {
			if _, err := counterAdd.Call(context.Background(), to[r.IntN(256)], 1); err != nil {
				b.Error(err)
			}
		})
	})
}
