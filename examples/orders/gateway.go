package orders

import (
	"context"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// ErrDeclined is the payment provider's no: nothing was charged, and nothing will be.
const ErrDeclined caps.Code = "shop.example/declined"

// What a holder of a gateway may ask.
const (
	Charge caps.Method[ChargeRequest, string]    = "charge" // returns the receipt
	Refund caps.Method[RefundRequest, caps.Done] = "refund"
)

// ChargeRequest asks for money. Key makes repeating it harmless.
type ChargeRequest struct {
	Key   string
	Cents int64
}

// RefundRequest takes a charge back. It names the charge by its key and not by the receipt:
// whoever must take it back may have lost the answer.
type RefundRequest struct{ Key string }

// Payments is the client of a payment provider. It must be safe for concurrent use.
type Payments interface {
	// Charge charges once for each key, and returns the same receipt each time. A merchant
	// is told ErrDeclined if there will be no charge with that key; any other error says that
	// there may have been one.
	Charge(ctx context.Context, merchant string, r ChargeRequest) (receipt string, err error)
	// Refund gives back what was charged with the key, once. If nothing was, nothing ever
	// will be: a charge that arrives later is declined.
	Refund(ctx context.Context, merchant string, r RefundRequest) error
}

// Gateway is a capability to the payment provider, through a merchant's account with him.
type Gateway struct{ caps.Ref }

// Charge is as in Payments.
func (g Gateway) Charge(ctx context.Context, r ChargeRequest) (string, error) {
	return Charge.Call(ctx, g.Ref, r)
}

// Refund is as in Payments.
func (g Gateway) Refund(ctx context.Context, r RefundRequest) error {
	_, err := Refund.Call(ctx, g.Ref, r)
	return err
}

// Account is the state of a gateway. The client is none: it is the program's, see GatewayKind.
type Account struct{ Merchant string }

// GatewayKind makes the kind of gateways for a program that has a client. Orders hold
// capabilities to gateways, so they need to know neither the client nor who it talks to.
func GatewayKind(p Payments) *sturdy.KindOf[Account] {
	return sturdy.Define("shop.example/gateway",
		sturdy.Outside(Charge, func(ctx context.Context, a Account, r ChargeRequest) (string, error) {
			return p.Charge(ctx, a.Merchant, r)
		}),
		sturdy.Outside(Refund, func(ctx context.Context, a Account, r RefundRequest) (caps.Done, error) {
			return caps.Done{}, p.Refund(ctx, a.Merchant, r)
		}),
	)
}
