// Command hello greets each visitor with his number. It can be killed at any time.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/counter"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func main() {
	ctx := context.Background()

	rt, err := sturdy.Open("world", counter.Kind) // created if absent
	if err != nil {
		log.Fatal(err)
	}
	defer rt.Close()

	hits, err := rt.Root().Ensure(ctx, "hits", counter.New)
	if err != nil {
		log.Fatal(err)
	}

	n, err := counter.Add.Call(ctx, hits, 1) // on disk when it returns
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("hello, visitor", n)

	reader := hits.Attenuate(caps.Read)
	_, err = counter.Add.Call(ctx, reader, 1)
	fmt.Println(err)
}
