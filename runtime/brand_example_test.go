package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A box can go through anybody's hands. What is in it comes out for the holder of the
// matching unsealer, whatever another brand calls itself.
func ExampleNewBrand() {
	ctx := context.Background()
	rt := open(purseKind)
	defer rt.Close()
	var seal sturdy.Sealer
	var unseal, forged sturdy.Unsealer
	var money caps.Value
	err := rt.Update(ctx, func(t *sturdy.WriteTurn) (err error) {
		seal, unseal = sturdy.NewBrand(t, "cash desk")
		_, forged = sturdy.NewBrand(t, "cash desk")
		money, err = caps.ValueOf(purseKind.New(t, purse{Coins: 7}))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	box, err := seal.Seal(ctx, money)
	if err != nil {
		log.Fatal(err)
	}
	_, err = forged.Unseal(ctx, box)
	fmt.Println(errors.Is(err, caps.ErrBadArgument))
	content, err := unseal.Unseal(ctx, box)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(coins.Call(ctx, content.Any().(caps.Ref)))
	// Output:
	// true
	// 7 <nil>
}
