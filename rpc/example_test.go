package rpc_test

import (
	"context"
	"fmt"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Two calls to another host, of which the second needs what the first returns, in the time of
// one: they leave together, and the second runs there when the first has its result.
func ExampleNode_begin() {
	open := func(o rpc.Options) (*sturdy.Runtime, *rpc.Node) {
		rt, err := sturdy.Options{Kinds: []sturdy.Kind{deskKind, drawerKind}}.Open()
		if err != nil {
			panic(err)
		}
		node, err := rpc.Attach(rt, o)
		if err != nil {
			panic(err)
		}
		return rt, node
	}
	far, there := open(rpc.Options{Listen: "127.0.0.1:0"})
	near, here := open(rpc.Options{})
	defer func() { _, _, _, _ = here.Close(), there.Close(), near.Close(), far.Close() }()
	ctx := context.Background()
	made, _ := far.Root().Ensure(ctx, "desk", func(t *sturdy.WriteTurn) caps.Ref { return deskKind.New(t, desk{}) })
	saved, _, _ := far.Save(ctx, made, caps.Terms{For: "near"})
	desk, _ := near.Restore(ctx, saved)

	drawer := deskMake.Begin(ctx, desk, 40)
	sum := deskAdd.Begin(ctx, drawer.Ref(), 2)
	fmt.Println(sum.Await(ctx))
	// Output: 42 <nil>
}
