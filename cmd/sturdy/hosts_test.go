package main

import (
	"context"
	"errors"
	"os"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// sendFar sends three messages to what stands under far in the root, which is of another host, and
// reaches none: sendfar DIR.
func sendFar() {
	rt, err := sturdy.Open(os.Args[1], counterKind, accountKind)
	fatal(err)
	ctx := context.Background()
	far, err := rt.Root().Get(ctx, "far")
	fatal(err)
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		for range 3 {
			caps.Query[int64]("get").To(far).Send(t)
		}
		return nil
	})
	fatal(errors.Join(err, rt.Close()))
}
