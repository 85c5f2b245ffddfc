package orders_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/orders"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestAStockThatNobodyCanMakeUp(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	ref, err := s.Root().Get(ctx, "stock")
	s.must(t, err)
	st := orders.Stock{Ref: ref}
	for _, item := range []orders.Item{{SKU: "tea"}, {SKU: "tea", N: -1}, {SKU: "tea", N: math.MinInt64}, {N: 1}} {
		for what, err := range map[string]error{
			"restock": st.Restock(ctx, item), "reserve": st.Reserve(ctx, item),
			"release": st.Release(ctx, item), "ship": st.Ship(ctx, item),
		} {
			if !errors.Is(err, caps.ErrBadArgument) {
				t.Errorf("%s %+v: %v", what, item, err)
			}
		}
	}
	one := orders.Item{SKU: "tea", N: 1}
	s.must(t, st.Reserve(ctx, one))
	two := orders.Item{SKU: "tea", N: 2}
	for what, err := range map[string]error{
		"release more than is reserved":   st.Release(ctx, two),
		"ship more than is reserved":      st.Ship(ctx, two),
		"restock more than can be":        st.Restock(ctx, orders.Item{SKU: "tea", N: math.MaxInt64}),
		"release of what there never was": st.Release(ctx, orders.Item{SKU: "rum", N: 1}),
	} {
		if !errors.Is(err, caps.ErrBadArgument) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := st.Reserve(ctx, orders.Item{SKU: "tea", N: stock}); !errors.Is(err, orders.ErrOutOfStock) {
		t.Error(err)
	}
	s.must(t, st.Ship(ctx, one))
	s.bank.charged["by hand"] = price
	s.balanced(t, 1)
}

func TestASaleThatMakesNoSense(t *testing.T) {
	s := open(t)
	for _, spoil := range []func(*orders.Sale){
		func(s *orders.Sale) { s.Cents = 0 },
		func(s *orders.Sale) { s.Cents = -1 },
		func(s *orders.Sale) { s.Item.N = 0 },
		func(s *orders.Sale) { s.Item.SKU = "" },
		func(s *orders.Sale) { s.Terms.Approval = -1 },
		func(s *orders.Sale) { s.Terms.CoolingOff = -1 },
	} {
		err := s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
			sale, err := s.sale(tn, 1)
			if err != nil {
				return err
			}
			spoil(&sale)
			_, _, err = orders.Place(tn, sale)
			return err
		})
		if !errors.Is(err, caps.ErrBadArgument) {
			t.Error(err)
		}
	}
}

// A customer who could start his order again would have it charged under another key.
func TestACustomerCanAskAndCancelAndNothingElse(t *testing.T) {
	s := open(t)
	s.must(t, s.place("o", 1))
	o, th, err := s.order("o")
	s.must(t, err)
	ctx := t.Context()
	if err := orders.Fulfil.Call(ctx, o.Ref); !errors.Is(err, caps.ErrNoRight) {
		t.Error("starting it again:", err)
	}
	start := caps.Query[sturdy.ThreadRef]("start")
	if got, err := start.Call(ctx, o.Ref); !errors.Is(err, caps.ErrBadArgument) || !got.IsNull() {
		t.Error("getting hold of its thread:", got, err)
	}
	info, err := th.Info(ctx)
	s.must(t, err)
	for ref, err := range s.Objects(ctx) {
		s.must(t, err)
		_ = orders.Fulfil.Call(ctx, ref) // an operator can, with every right; it comes to nothing
	}
	s.Settle()
	parked := 0
	for i := range s.Activity().Threads(ctx) {
		if i.ID != info.ID && i.State == sturdy.ThreadParked {
			parked++
		}
	}
	if parked != 1 {
		t.Errorf("%d threads are parked; the second of the order should be", parked)
	}
	s.must(t, s.decide("o", true))
	s.Advance(25 * time.Hour)
	s.balanced(t, 1)
	if err := o.Cancel(ctx, "late"); !errors.Is(err, orders.ErrShipped) {
		t.Error("canceling what is shipped:", err)
	}
}

// The thread is canceled while the order is undone for another reason: whatever step it is
// in is told so and fails, and the undoing must come to its end all the same.
func TestCanceledWhileItIsUndone(t *testing.T) {
	s := open(t)
	s.bank.during = func() { s.bank.setDown(true) } // so that the refund is tried again
	s.must(t, s.place("o", 2))
	s.must(t, s.decide("o", true))
	s.must(t, s.cancel("o"))
	s.Advance(time.Hour)
	if p := s.status(t, "o"); p.State != orders.Paid {
		t.Errorf("the bank is down, so it should still be undone: %+v", p)
	}
	s.Reopen()
	s.must(t, s.cancel("o"))
	s.bank.setDown(false)
	s.Advance(time.Hour)
	if p := s.status(t, "o"); p.State != orders.Failed || p.Why != "canceled: never mind" {
		t.Errorf("%+v", p)
	}
	s.balanced(t, 0)
	s.must(t, s.cancel("o")) // it has failed already

	s.bank.decline = true
	s.bank.during = nil
	s.must(t, s.place("p", 2))
	s.must(t, s.decide("p", true))
	if p := s.status(t, "p"); p.State != orders.Failed {
		t.Errorf("%+v", p)
	}
	s.balanced(t, 0)
}

// The bank declines, and goes down before the charge can be voided: then comes the customer.
func TestCanceledWhileADeclinedChargeIsVoided(t *testing.T) {
	s := open(t)
	s.bank.decline, s.bank.refuse = true, true
	s.must(t, s.place("o", 2))
	s.must(t, s.decide("o", true))
	s.Advance(time.Minute)
	s.must(t, s.cancel("o"))
	s.bank.refuse = false
	s.Advance(time.Hour)
	if p := s.status(t, "o"); p.State != orders.Failed || !strings.Contains(p.Why, "declined") {
		t.Errorf("%+v", p)
	}
	s.balanced(t, 0)
}

func TestStuckListsAndPauses(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.must(t, s.place("waits", 1))
	s.must(t, s.place("cools", 1))
	s.must(t, s.decide("cools", true))
	s.bank.setDown(true)
	s.must(t, s.place("parked", 1))
	s.must(t, s.decide("parked", true))
	s.Advance(23 * time.Hour)
	var out strings.Builder
	s.must(t, orders.Stuck(ctx, s.Runtime, &out, s.Now()))
	if out.Len() > 0 {
		t.Error("not a day yet:", out.String())
	}
	s.Pass(time.Hour)
	for range 2 { // the second time there is nothing to tell
		s.must(t, orders.Stuck(ctx, s.Runtime, &out, s.Now()))
	}
	for _, want := range []string{"message approve", "the line is dead", "reserve  done"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
	if n := strings.Count(out.String(), "fulfil of"); n != 2 {
		t.Errorf("%d are stuck, not 2:\n%s", n, &out)
	}
	s.Advance(72 * time.Hour) // longer than the approval may take; but it is paused
	if p := s.status(t, "waits"); p.State != orders.Reserved {
		t.Errorf("%+v", p)
	}
	s.bank.setDown(false)
	for _, name := range []string{"waits", "parked"} {
		_, th, err := s.order(name)
		s.must(t, err)
		s.must(t, th.Resume(ctx))
	}
	s.Advance(72 * time.Hour)
	if p := s.status(t, "waits"); p.State != orders.Failed {
		t.Errorf("%+v", p)
	}
	s.balanced(t, 2)
}

func Example() {
	ctx := context.Background()
	b := newBank()
	gateway := orders.GatewayKind(b)
	now := time.Date(2024, time.March, 1, 12, 0, 0, 0, time.UTC)
	rt, err := sturdy.Options{
		Kinds: []sturdy.Kind{orders.Kind, orders.StockKind, gateway},
		Clock: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
	}.Open() // a world in memory
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close()

	var o orders.Order
	var th sturdy.ThreadRef
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		st := orders.NewStock(t)
		if err := st.Restock(t, orders.Item{SKU: "tea", N: 10}); err != nil {
			return err
		}
		o, th, err = orders.Place(t, orders.Sale{
			Item: orders.Item{SKU: "tea", N: 2}, Cents: 8_00, Stock: st,
			Gateway: orders.Gateway{Ref: gateway.New(t, orders.Account{Merchant: "m17"})},
		})
		return err
	})
	fmt.Println("placed:", err)

	orders.Approve.Send(ctx, th.Ref, true) // it is delivered whenever the thread asks for it
	next, err := rt.Settle(ctx)
	fmt.Println("nothing happens before", next.Format(time.DateTime), err)
	p, err := o.Status(ctx)
	fmt.Println(p.State, p.Receipt, err)

	fmt.Println("canceled:", o.ForCustomer().Cancel(ctx, "I found some"))
	fmt.Println(errors.Is(th.Wait(ctx), sturdy.ErrCanceled))
	p, err = o.Status(ctx)
	fmt.Println(p.State, p.Why, err)
	charges, kept := b.account()
	fmt.Println(charges, "charge, kept of it:", kept)
	// Output:
	// placed: <nil>
	// nothing happens before 2024-03-02 12:00:00 <nil>
	// paid m17-800 <nil>
	// canceled: <nil>
	// true
	// failed canceled: I found some <nil>
	// 1 charge, kept of it: 0
}
