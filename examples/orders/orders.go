package orders

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Why an order fails, beside ErrOutOfStock, ErrDeclined and [sturdy.ErrCanceled]; and why one
// cannot be canceled.
const (
	ErrRejected caps.Code = "shop.example/rejected" // somebody said no
	ErrTooLate  caps.Code = "shop.example/too late" // nobody said anything
	ErrShipped  caps.Code = "shop.example/shipped"
)

// State is how far an order has come.
type State string

// The states. An order ends shipped or failed; one that failed has cost nothing.
const (
	Placed   State = "placed"
	Reserved State = "reserved" // waits for approval, and is then charged
	Paid     State = "paid"     // waits for second thoughts
	Shipped  State = "shipped"
	Failed   State = "failed"
)

// What a holder of an order may ask.
const (
	Fulfil caps.Action          = "fulfil" // on a thread; for Place
	Status caps.Query[Progress] = "status"
	Cancel caps.Command[string] = "cancel"

	start caps.Query[sturdy.ThreadRef] = "start"
)

// Approve is sent to an order's thread, by whoever may.
const Approve caps.Command[bool] = "approve"

// Sale is what was agreed on. It does not change.
type Sale struct {
	Item    Item
	Cents   int64
	Stock   Stock
	Gateway Gateway
	Terms   Terms
}

// Terms are how long things may take; zero is the usual: two days for the approval, one for
// second thoughts.
type Terms struct{ Approval, CoolingOff time.Duration }

// Progress is where an order stands.
type Progress struct {
	State   State
	Receipt string // since it is paid
	Why     string // it has failed
}

// Ended reports whether that is the end.
func (p Progress) Ended() bool { return p.State == Shipped || p.State == Failed }

// Order is a capability to an order: its calls, as methods.
type Order struct{ caps.Ref }

// Status returns where the order stands.
func (o Order) Status(ctx context.Context) (Progress, error) { return Status.Call(ctx, o.Ref) }

// Cancel asks for the order to be undone, and the money to be given back; that takes a while.
// One that is shipped is ErrShipped, one that has failed already no error.
func (o Order) Cancel(ctx context.Context, why string) error { return Cancel.Call(ctx, o.Ref, why) }

// ForCustomer is what to give to the customer: it cannot start anything.
func (o Order) ForCustomer() Order { return Order{o.Attenuate(caps.Read | caps.Write)} }

// order is the state.
type order struct {
	Sale   Sale
	Thread sturdy.ThreadRef // null until it is started
	Progress
}

func (o *order) status(*sturdy.ReadTurn) (Progress, error) { return o.Progress, nil }

// start is a method and no line of Place because a state can be given its own thread only
// when there is an object that the thread can run on.
func (o *order) start(t *sturdy.WriteTurn) (sturdy.ThreadRef, error) {
	if !o.Thread.IsNull() {
		return sturdy.ThreadRef{}, fmt.Errorf("%w: it is being fulfilled already", caps.ErrBadArgument)
	}
	o.Thread = t.Spawn(Fulfil.To(t.Self()), sturdy.Domain{})
	return o.Thread, nil
}

// cancel starts a parked thread again, which lets it undo what it has done. Canceling alone
// would end it where it is, with the goods reserved and perhaps the card charged.
func (o *order) cancel(t *sturdy.WriteTurn, why string) error {
	switch o.State {
	case Shipped:
		return fmt.Errorf("%w: it cannot be canceled", ErrShipped)
	case Failed:
		return nil
	}
	info, err := o.Thread.Info(t)
	if err == nil && info.State == sturdy.ThreadParked {
		err = o.Thread.Resume(t)
	}
	if err != nil {
		return err
	}
	return o.Thread.Cancel(t, why)
}

// Kind is the kind of orders.
var Kind = sturdy.Define("shop.example/order",
	sturdy.Query(Status, (*order).status),
	sturdy.Command(Cancel, (*order).cancel),
	sturdy.Query(start, (*order).start),
	sturdy.Runs(Fulfil, fulfil),
)

// Place makes an order and starts it, in one turn. The order is for the customer, its thread
// for who approves: a customer who had it could do that himself. A sale that makes no sense
// is caps.ErrBadArgument.
func Place(t *sturdy.WriteTurn, s Sale) (Order, sturdy.ThreadRef, error) {
	if s.Item.SKU == "" || s.Item.N <= 0 || s.Cents <= 0 || s.Terms.Approval < 0 || s.Terms.CoolingOff < 0 {
		return Order{}, sturdy.ThreadRef{}, fmt.Errorf("%w: %d of %q for %d cents", caps.ErrBadArgument, s.Item.N, s.Item.SKU, s.Cents)
	}
	s.Terms.Approval = cmp.Or(s.Terms.Approval, 48*time.Hour)
	s.Terms.CoolingOff = cmp.Or(s.Terms.CoolingOff, 24*time.Hour)
	s.Stock.Ref, s.Gateway.Ref = s.Stock.Attenuate(caps.Write), s.Gateway.Attenuate(caps.Run)
	o := Order{Kind.New(t, order{Sale: s, Progress: Progress{State: Placed}})}
	th, err := start.Call(t, o.Ref)
	return o, th, err
}
