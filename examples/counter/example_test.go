package counter_test

import (
	"context"
	"fmt"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/counter"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func Example() {
	ctx := context.Background()
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{counter.Kind}}.Open() // a world in memory
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close()

	hits, err := rt.Root().Ensure(ctx, "hits", counter.New)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(counter.Add.Call(ctx, hits, 1))
	fmt.Println(counter.Add.Call(ctx, hits, 2))

	reader := hits.Attenuate(caps.Read) // what a reader may not do:
	_, err = counter.Add.Call(ctx, reader, 1)
	fmt.Println(err)
	fmt.Println(counter.Get.Call(ctx, reader))
	// Output:
	// 1 <nil>
	// 3 <nil>
	// example.org/counter.add: needs w; this reference carries r, deep
	// 3 <nil>
}
