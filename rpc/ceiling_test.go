package rpc_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A agent does for others what they may not do.
const (
	agentFetch caps.Action            = "fetch" // outside of turns, adds to the vault
	agentHire  caps.Action            = "hire"  // starts a thread
	agentAdd   caps.Command[int64]    = "add"
	agentN     caps.Query[int64]      = "n"
	agentWork  caps.Action            = "work"
	agentTry   caps.Action            = "try"
	agentShow  caps.Query[caps.Ref]   = "show"
	agentTake  caps.Command[caps.Ref] = "take"
)

// agent is of every host of the test: it has a vault, or is one, or is the object of a thread.
type agent struct {
	N     int64
	Vault caps.Ref
	Keep  caps.Rights // what its thread keeps
}

var agentKind = sturdy.Define("test.example/agent",
	sturdy.Outside(caps.Method[caps.Done, caps.Done](agentFetch), func(ctx context.Context, c agent, _ caps.Done) (caps.Done, error) {
		return caps.Done{}, agentAdd.Call(ctx, c.Vault, 1)
	}),
	sturdy.Action(agentHire, func(c *agent, t *sturdy.WriteTurn) error {
		t.Spawn(agentWork.To(c.Vault), sturdy.Domain{})
		return agentAdd.Call(t, c.Vault, 1)
	}),
	sturdy.Command(agentAdd, func(c *agent, _ *sturdy.WriteTurn, n int64) error { c.N += n; return nil }),
	sturdy.Query(agentN, func(c *agent, _ *sturdy.ReadTurn) (int64, error) { return c.N, nil }),
	sturdy.Query(agentShow, func(c *agent, _ *sturdy.ReadTurn) (caps.Ref, error) { return c.Vault, nil }),
	sturdy.Command(agentTake, func(c *agent, _ *sturdy.WriteTurn, r caps.Ref) error { c.Vault = r; return nil }),
	sturdy.Runs(agentWork, func(*sturdy.Thread[agent]) error { return nil }),
	sturdy.Runs(agentTry, tryAbove))

// tryAbove asks a agent elsewhere for what the thread may not do itself.
func tryAbove(th *sturdy.Thread[agent]) error {
	var to caps.Ref
	keep := caps.Rights(0)
	if err := th.View(func(_ *sturdy.ReadTurn, c *agent) error { to, keep = c.Vault, c.Keep; return nil }); err != nil {
		return err
	}
	if err := th.Shed(keep); err != nil {
		return err
	}
	for name, ask := range map[string]func(ctx context.Context) error{
		"fetch": func(ctx context.Context) error { return agentFetch.Call(ctx, to) },
		"hire":  func(ctx context.Context) error { return agentHire.Call(ctx, to) },
		"send": func(ctx context.Context) error {
			_, err := agentHire.Send(ctx, to).Await(ctx)
			return err
		},
		"begin": func(ctx context.Context) error {
			_, err := agentFetch.Begin(ctx, to).Await(ctx)
			return err
		},
	} {
		_, err := sturdy.Step(th, name, func(ctx context.Context) (caps.Done, error) { return caps.Done{}, ask(ctx) })
		if err != nil && !errors.Is(err, caps.ErrNoRight) {
			return err
		}
	}
	return nil
}

// office is a world with agents.
func office(t *testing.T, o rpc.Options, c agent) (rt *sturdy.Runtime, first caps.Ref) {
	t.Helper()
	rt, err := sturdy.Open(filepath.Join(t.TempDir(), "w"), agentKind)
	must(t, err)
	node, err := rpc.Attach(rt, o)
	must(t, err)
	t.Cleanup(func() { must(t, node.Close()); must(t, rt.Close()) })
	first, err = rt.Root().Ensure(t.Context(), "agent", func(t *sturdy.WriteTurn) caps.Ref { return agentKind.New(t, c) })
	must(t, err)
	return rt, first
}

// gives brings r from one world to the other.
func gives(t *testing.T, from, to *sturdy.Runtime, r caps.Ref) caps.Ref {
	t.Helper()
	s, _, err := from.Save(t.Context(), r, caps.Terms{})
	must(t, err)
	r, err = to.Restore(t.Context(), s)
	must(t, err)
	return r
}

// TestACeilingHoldsForWhatIsDoneElsewhere has a thread ask another host's object, which may do
// everything there, to do what the thread may not: over one hop, and over two.
func TestACeilingHoldsForWhatIsDoneElsewhere(t *testing.T) {
	const all = caps.Read | caps.Write | caps.Run
	for name, c := range map[string]struct {
		keep caps.Rights
		want int64 // how often the vault was reached
	}{
		"no ceiling":         {all, 4},
		"may not run":        {caps.Read | caps.Write, 0},
		"may run, not write": {caps.Read | caps.Run, 0},
		"may only read":      {caps.Read, 0},
	} {
		for _, hops := range []int{1, 2} {
			t.Run(name, func(t *testing.T) {
				ctx := within(t, 20*time.Second)
				a, vault := office(t, listening(), agent{})
				var asked caps.Ref
				must(t, a.Update(ctx, func(t *sturdy.WriteTurn) error { asked = agentKind.New(t, agent{Vault: vault}); return nil }))
				b, between := office(t, listening(), agent{})
				to := gives(t, a, b, asked)
				rt := b
				if hops == 2 {
					must(t, agentTake.Call(ctx, between, to))
					rt, _ = office(t, rpc.Options{}, agent{})
					there, err := b.Root().Get(ctx, "agent")
					must(t, err)
					to, err = agentShow.Call(ctx, gives(t, b, rt, there))
					must(t, err)
				}
				var th sturdy.ThreadRef
				must(t, rt.Update(ctx, func(t *sturdy.WriteTurn) error {
					th = t.Spawn(agentTry.To(agentKind.New(t, agent{Vault: to, Keep: c.keep})), sturdy.Domain{})
					return nil
				}))
				must(t, th.Wait(ctx))
				if n, err := agentN.Call(ctx, vault); n != c.want || err != nil {
					t.Errorf("over %d hops the vault was reached %d times, want %d: %v", hops, n, c.want, err)
				}
			})
		}
	}
}
