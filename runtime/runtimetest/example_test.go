package runtimetest_test

import (
	"context"
	"testing"

	"github.com/sturdyrt/sturdy/examples/counter"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// A test of what is still there after the power has failed.
func ExampleOpen() {
	_ = func(t *testing.T) {
		w, ctx := runtimetest.Open(t, counter.Kind), t.Context()
		hits, err := w.Root().Ensure(ctx, "hits", counter.New)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := counter.Add.Call(ctx, hits, 1); err != nil {
			t.Fatal(err)
		}
		w.Crash()
		hits, err = w.Root().Get(ctx, "hits") // a Ref of before is of a host that is gone
		if err != nil {
			t.Fatal(err)
		}
		if n, err := counter.Get.Call(ctx, hits); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
}

// A test that holds wherever the power fails.
func ExampleEachCrash() {
	_ = func(t *testing.T) {
		runtimetest.EachCrash(t, counter.Kind,
			func(w *runtimetest.World) error {
				hits, err := w.Root().Ensure(context.Background(), "hits", counter.New)
				if err == nil {
					_, err = counter.Add.Call(context.Background(), hits, 2)
				}
				return err
			},
			func(t *testing.T, w *runtimetest.World) {
				hits, err := w.Root().Get(t.Context(), "hits")
				if err != nil {
					return // the power failed before: nothing happened
				}
				if n, err := counter.Get.Call(t.Context(), hits); err != nil || n != 0 && n != 2 {
					t.Errorf("%d, %v", n, err)
				}
			})
	}
}
