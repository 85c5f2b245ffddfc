package sturdy

import (
	"context"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
)

func TestABodyOutsideStandsOnNoSnapshot(t *testing.T) {
	const ask caps.Query[int64] = "ask"
	type state struct{ N int64 }
	var rt *Runtime
	look := func(context.Context, state, caps.Done) (users int64, err error) {
		rt.vat.snaps.mu.Lock()
		defer rt.vat.snaps.mu.Unlock()
		for _, s := range rt.vat.snaps.list {
			users += s.users.Load()
		}
		return users, rt.vat.w.lock(context.Background(), "look", rt.clock) // as nobody writes
	}
	kind := Define("proof/look", Outside(caps.Method[caps.Done, int64](ask), look))
	rt, err := Options{Kinds: []Kind{kind}, Checked: true}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	ref, err := rt.Root().Ensure(t.Context(), "look", func(t *WriteTurn) caps.Ref { return kind.New(t, state{}) })
	if err != nil {
		t.Fatal(err)
	}
	users, err := ask.Call(t.Context(), ref)
	rt.vat.w.unlock()
	if users != 0 || err != nil {
		t.Errorf("%d readers stand on snapshots, %v", users, err)
	}
}
