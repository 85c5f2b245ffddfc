package sturdy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

const portShow caps.Command[string] = "show"

func TestAPortYieldsWhatIsSentToItInOrder(t *testing.T) {
	w := runtimetest.Open(t, counterKind)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ref, shown := sturdy.Port(ctx, w.Runtime, portShow)
	if err := w.Root().Put(ctx, "screen", ref); err != nil {
		t.Fatal(err)
	}
	if err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		for _, s := range []string{"one", "two", "three"} {
			portShow.Send(tn, ref, s)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for s := range shown {
		if got = append(got, s); len(got) == 3 {
			break
		}
	}
	if !equal(got, []string{"one", "two", "three"}) {
		t.Error(got)
	}
	if _, err := portShow.Send(ctx, ref, "four").Await(ctx); !errors.Is(err, caps.ErrGone) {
		t.Error("sent to a closed port:", err)
	}
	if err := portShow.Call(ctx, ref, "five"); !errors.Is(err, caps.ErrGone) {
		t.Error("called a closed port:", err)
	}
	w.Crash()
	ref, err := w.Root().Get(t.Context(), "screen")
	if err != nil {
		t.Fatal(err)
	}
	if err := portShow.Call(t.Context(), ref, "six"); !errors.Is(err, caps.ErrGone) {
		t.Error("called the port of an earlier opening:", err)
	}
}

func TestAPortCanBeCalledAndNeedsW(t *testing.T) {
	w := runtimetest.Open(t, counterKind)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ref, shown := sturdy.Port(ctx, w.Runtime, portShow)
	done := make(chan string, 1)
	go func() {
		for s := range shown {
			done <- s
		}
		close(done)
	}()
	if err := portShow.Call(ctx, ref, "hello"); err != nil {
		t.Fatal(err)
	}
	if s := <-done; s != "hello" {
		t.Error(s)
	}
	if err := portShow.Call(ctx, ref.Attenuate(caps.Read|caps.Shallow), "no"); !errors.Is(err, caps.ErrNoRight) {
		t.Error(err)
	}
	if err := caps.Action("other").Call(ctx, ref); !errors.Is(err, caps.ErrNoMethod) {
		t.Error(err)
	}
	err := w.Update(ctx, func(tn *sturdy.WriteTurn) error { return portShow.Call(tn, ref, "inside") })
	if !errors.Is(err, caps.ErrWouldBlock) {
		t.Error(err)
	}
	cancel()
	<-done
}
