package sturdy_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// TestASendAndWhatItLeadsToWhereverThePowerFails: one turn writes, sends, stores the promise
// and asks to be told. Wherever the power fails, in the end all of it has happened or none.
func TestASendAndWhatItLeadsToWhereverThePowerFails(t *testing.T) {
	var sent bool // acknowledged
	ctx := context.Background()
	happened := map[bool]int{}
	runtimetest.EachCrash(t, agentKind,
		func(w *runtimetest.World) error {
			sent = false
			err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
				to, told := agentKind.New(tn, agent{}), agentKind.New(tn, agent{})
				p := agNote.Send(tn, to, "sent")
				return errors.Join(
					w.Root().Put(tn, "to", to),
					w.Root().Put(tn, "told", told),
					p.Then(tn, told, agDone),
					w.Root().Put(tn, "p", p.Ref()),
					agNote.Call(tn, told, "sibling"))
			})
			if sent = err == nil; !sent {
				return err
			}
			_, err = w.Runtime.Settle(ctx)
			return err
		},
		func(t *testing.T, w *runtimetest.World) {
			defer func() { sent = false }() // the world of the next run may not even open
			w.Settle()
			_, err := w.Root().Get(t.Context(), "to")
			happened[err == nil]++
			if err != nil {
				if sent {
					t.Error("it was acknowledged, and is gone")
				}
				wants(t, err, sturdy.ErrNoName)
				return
			}
			for name, want := range map[string][]string{"to": {"sent"}, "told": {"sibling", "done"}} {
				ref, err := w.Root().Get(t.Context(), name)
				must(t, err)
				if got, err := agLines.Call(t.Context(), ref); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s has %q, %v; want %q", name, got, err, want)
				}
			}
			for l, err := range w.Activity().Letters(t.Context()) {
				t.Errorf("a letter is left: %+v, %v", l, err)
			}
			if _, err := w.Root().Get(t.Context(), "p"); err != nil {
				t.Error(err)
			}
		})
	if happened[true] == 0 || happened[false] == 0 {
		t.Errorf("it happened in %d runs, and not in %d", happened[true], happened[false])
	}
}
