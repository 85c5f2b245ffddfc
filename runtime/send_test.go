package sturdy_test

import (
	"errors"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

func TestSendFromGoCodeIsDeliveredAndAwaited(t *testing.T) {
	w := runtimetest.Open(t, counterKind)
	ctx := t.Context()
	c := counterAt(t, w, "c")
	p := counterAdd.Send(ctx, c, 5)
	if n, err := p.Await(ctx); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := counterGet.Call(ctx, c); n != 5 || err != nil {
		t.Fatal(n, err)
	}
}

// counterAt is a counter that stands in the root.
func counterAt(t *testing.T, w *runtimetest.World, name string) caps.Ref {
	t.Helper()
	c, err := w.Root().Ensure(t.Context(), name, newCounter)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSendInATurnThatFailsIsNeverHeardOf(t *testing.T) {
	w := runtimetest.Open(t, counterKind)
	ctx := t.Context()
	c := counterAt(t, w, "c")
	boom := errors.New("boom")
	if err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		counterAdd.Send(tn, c, 5)
		return boom
	}); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if n, err := counterAdd.Send(ctx, c, 1).Await(ctx); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}
