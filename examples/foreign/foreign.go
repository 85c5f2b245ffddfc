// Package foreign is a branch of the bank for programs in other languages: it opens accounts,
// and makes large payments if the capability that it is handed with the order approves. The
// folders cpp and js have two such programs, and server what they talk to.
package foreign

import (
	"context"
	"fmt"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/bank"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// ErrRefused is returned when a payment was not approved. Nothing was paid.
const ErrRefused caps.Code = "bank.example/refused"

// What a holder of a branch may ask.
const (
	Open caps.Method[Opening, bank.Account] = "open"
	Pay  caps.Command[Bill]                 = "pay"
)

// Approve is what an approver is asked: whether to pay.
const Approve caps.Method[Payment, bool] = "approve"

// Opening is the argument of Open.
type Opening struct {
	Owner   string
	Deposit bank.Cents // 0: none
}

// Bill is the argument of Pay.
type Bill struct {
	From, To bank.Account
	Payment  Payment
	Approver caps.Ref // anything that understands Approve; only asked
}

// Payment is what an approver is shown.
type Payment struct {
	Amount bank.Cents
	Note   string
}

// branch has no state: accounts are reached by those who hold them.
type branch struct{}

func (*branch) open(t *sturdy.WriteTurn, o Opening) (bank.Account, error) {
	a := bank.Open(t, o.Owner)
	if o.Deposit == 0 {
		return a, nil
	}
	return a, a.Deposit(t, o.Deposit)
}

// pay runs outside of turns, because an approver may be anywhere, and take its time. The
// transfer is a turn of its own.
func pay(ctx context.Context, _ branch, b Bill) (caps.Done, error) {
	ok, err := Approve.Call(ctx, b.Approver, b.Payment)
	if err != nil {
		return caps.Done{}, err
	}
	if !ok {
		return caps.Done{}, fmt.Errorf("%w: %s for %s", ErrRefused, b.Payment.Amount, b.Payment.Note)
	}
	return caps.Done{}, b.From.Transfer(ctx, bank.Order{To: b.To, Amount: b.Payment.Amount, Note: b.Payment.Note})
}

// approver is one that lives in the world: it approves what is not above its limit. Its kind is
// what makes an interface of Approve, which others implement in other languages.
type approver struct{ Limit bank.Cents }

func (a *approver) approve(_ *sturdy.ReadTurn, p Payment) (bool, error) {
	return p.Amount <= a.Limit, nil
}

// NewBranch makes a branch.
func NewBranch(t *sturdy.WriteTurn) caps.Ref { return branchKind.New(t, branch{}) }

var (
	branchKind = sturdy.Define("bank.example/branch",
		sturdy.Method(Open, (*branch).open),
		sturdy.Outside(caps.Method[Bill, caps.Done](Pay), pay),
	)
	approverKind = sturdy.Define("bank.example/approver",
		sturdy.Method(Approve, (*approver).approve),
	)
)

// NewApprover makes an approver that lives in the world.
func NewApprover(t *sturdy.WriteTurn, limit bank.Cents) caps.Ref {
	return approverKind.New(t, approver{limit})
}

// Kinds are what a program needs to serve branches.
func Kinds() []sturdy.Kind { return []sturdy.Kind{bank.Kind, branchKind, approverKind} }
