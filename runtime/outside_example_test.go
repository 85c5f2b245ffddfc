package sturdy_test

import (
	"context"
	"fmt"
	"log"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const (
	charge caps.Method[int64, string] = "charge"
	billed caps.Query[int64]          = "billed"
	bill   caps.Command[int64]        = "bill"
)

// A till is what the shop knows of its payment provider; that it can reach him is no state.
type till struct {
	Merchant string
	Billed   int64
}

func (t *till) billed(*sturdy.ReadTurn) (int64, error)      { return t.Billed, nil }
func (t *till) bill(_ *sturdy.WriteTurn, cents int64) error { t.Billed += cents; return nil }

// provider is the client of a payment service, as an HTTP client would be.
type provider interface {
	Charge(ctx context.Context, merchant string, cents int64) (receipt string, err error)
}

// tillKind makes the kind for a program that has a client: its body is a closure over it.
func tillKind(client provider) *sturdy.KindOf[till] {
	return sturdy.Define("shop.example/till",
		sturdy.Outside(charge, func(ctx context.Context, t till, cents int64) (string, error) {
			return client.Charge(ctx, t.Merchant, cents)
		}),
		sturdy.Query(billed, (*till).billed),
		sturdy.Command(bill, (*till).bill),
	)
}

// pretend stands for the service.
type pretend struct{}

func (pretend) Charge(_ context.Context, merchant string, cents int64) (string, error) {
	return fmt.Sprintf("%s-%d", merchant, cents), nil
}

// What talks to other services runs in no turn, so it holds up none, and is done once for
// each call. Who may only read or write cannot start it.
func ExampleOutside() {
	ctx := context.Background()
	kind := tillKind(pretend{})
	rt := open(kind)
	defer rt.Close()
	ref, err := rt.Root().Ensure(ctx, "till", func(t *sturdy.WriteTurn) caps.Ref {
		return kind.New(t, till{Merchant: "m17"})
	})
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(charge.Call(ctx, ref, 250))
	fmt.Println(bill.Call(ctx, ref, 250)) // what is to be kept is written in a turn
	fmt.Println(billed.Call(ctx, ref))

	_, err = charge.Call(ctx, ref.Attenuate(caps.Read|caps.Write), 100)
	fmt.Println(err)
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		_, err := charge.Call(t, ref, 100)
		return err
	})
	fmt.Println(err)
	// Output:
	// m17-250 <nil>
	// <nil>
	// 250 <nil>
	// shop.example/till.charge: needs x; this reference carries rw
	// shop.example/till.charge: a turn cannot wait for what is done outside; call it in a thread's Step, or outside of turns
}
