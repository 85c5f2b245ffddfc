package orders

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// fulfilment is one run of the program. After a restart there is another, which comes to the
// same steps: those that are done return at once what is recorded of them.
type fulfilment struct {
	th   *sturdy.Thread[order]
	sale Sale
	undo []func() error // what to do, the last first, if the order fails
}

// fulfil is the program. An order that fails is a thread that ends well: it has put back what
// it took. What is no decision of anybody's, like a provider who does not answer, parks the
// thread, and whoever resumes it has it tried again.
func fulfil(th *sturdy.Thread[order]) error {
	f := &fulfilment{th: th}
	err := f.forward()
	if !decided(err) {
		return err
	}
	return f.back(err)
}

// decided reports whether err says that the order is not to be.
func decided(err error) bool {
	for _, no := range []error{ErrOutOfStock, ErrRejected, ErrTooLate, ErrDeclined, sturdy.ErrCanceled} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

func (f *fulfilment) forward() error {
	if err := f.reserve(); err != nil {
		return err
	}
	if err := f.approval(); err != nil {
		return err
	}
	receipt, err := f.charge()
	if err != nil {
		return err
	}
	err = f.th.Turn("paid", func(_ *sturdy.WriteTurn, o *order) error {
		o.State, o.Receipt = Paid, receipt
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.th.Sleep("cooling off", f.sale.Terms.CoolingOff); err != nil {
		return err
	}
	return f.th.Turn("ship", func(t *sturdy.WriteTurn, o *order) error {
		o.State = Shipped
		return o.Sale.Stock.Ship(t, o.Sale.Item)
	})
}

// reserve changes the stock in the turn that records the step: both, once, or neither.
func (f *fulfilment) reserve() error {
	err := f.th.Turn("reserve", func(t *sturdy.WriteTurn, o *order) error {
		if o.State != Placed || o.Thread != f.th.Thread() {
			return fmt.Errorf("%w: another thread fulfils it", caps.ErrBadArgument)
		}
		o.State = Reserved
		return o.Sale.Stock.Reserve(t, o.Sale.Item)
	})
	if err != nil {
		return err
	}
	f.undo = append(f.undo, func() error {
		return f.th.Turn("release", func(t *sturdy.WriteTurn, o *order) error {
			return o.Sale.Stock.Release(t, o.Sale.Item)
		})
	})
	return f.th.View(func(_ *sturdy.ReadTurn, o *order) error {
		f.sale = o.Sale // no step, and may be one: it does not change
		return nil
	})
}

func (f *fulfilment) approval() error {
	ok, err := sturdy.Receive(f.th, "approval", Approve, f.sale.Terms.Approval)
	switch {
	case errors.Is(err, sturdy.ErrTimeout):
		return fmt.Errorf("%w: nobody approved it within %s", ErrTooLate, f.sale.Terms.Approval)
	case err == nil && !ok:
		return fmt.Errorf("%w: it was not approved", ErrRejected)
	}
	return err
}

// charge charges once, however often it is tried. That it may have to be taken back is known
// before it is tried: if the thread is canceled while the provider does his work, the step
// fails although the card is charged. So the key is made in a step of its own.
func (f *fulfilment) charge() (receipt string, err error) {
	key, err := sturdy.Step(f.th, "payment", func(ctx context.Context) (string, error) { return sturdy.Key(ctx), nil })
	if err != nil {
		return "", err
	}
	f.undo = append(f.undo, func() error { return f.refund(key) })
	return sturdy.Step(f.th, "charge", func(ctx context.Context) (string, error) {
		return f.sale.Gateway.Charge(ctx, ChargeRequest{Key: key, Cents: f.sale.Cents})
	})
}

// again is when a refund is tried again.
const again = 10 * time.Minute

// refund does not give up: it may run on a thread that was canceled, which would end if it
// failed, and the customer's money with it.
func (f *fulfilment) refund(key string) error {
	return f.th.Loop("refund", func(uint64) (more bool, err error) {
		_, err = sturdy.Step(f.th, "try", func(ctx context.Context) (caps.Done, error) {
			return caps.Done{}, f.sale.Gateway.Refund(ctx, RefundRequest{Key: key})
		})
		if err == nil {
			return false, nil
		}
		return true, insist(func() error { return f.th.Sleep("wait", again) })
	})
}

// back undoes what was done, and says why.
func (f *fulfilment) back(why error) error {
	for i := len(f.undo) - 1; i >= 0; i-- {
		if err := insist(f.undo[i]); err != nil {
			return err
		}
	}
	return insist(func() error {
		return f.th.Turn("failed", func(_ *sturdy.WriteTurn, o *order) error {
			o.State, o.Why = Failed, reason(why)
			return nil
		})
	})
}

// insist does a step of the undoing. If the customer cancels while the order is undone for
// another reason, the step that is next is told so and fails, once. It is done again, as a
// step of its own.
func insist(step func() error) error {
	err := step()
	if errors.Is(err, sturdy.ErrCanceled) {
		err = step()
	}
	return err
}

// reason is the text of an error, without the method's name before it.
func reason(err error) string {
	if e := (*caps.Error)(nil); errors.As(err, &e) && e.Text != "" {
		return e.Text
	}
	return err.Error()
}
