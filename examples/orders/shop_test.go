package orders_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/orders"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

const (
	price = 500
	stock = 10
)

// shop is a world with a stock of tea, a gateway to a bank, and orders by name. It keeps no
// Ref, so that a crash does not matter to it.
type shop struct {
	*runtimetest.World
	bank    *bank
	gateway *sturdy.KindOf[orders.Account]
}

func open(t *testing.T) *shop {
	b := newBank()
	gateway := orders.GatewayKind(b)
	s := &shop{runtimetest.Open(t, orders.Kind, orders.StockKind, gateway), b, gateway}
	s.must(t, s.build())
	return s
}

func (s *shop) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build makes what is not there yet, in one turn.
func (s *shop) build() error {
	ctx := context.Background()
	_, err := s.Root().Get(ctx, "stock")
	if !errors.Is(err, sturdy.ErrNoName) {
		return err
	}
	return s.Update(ctx, func(t *sturdy.WriteTurn) error {
		st := orders.NewStock(t)
		return errors.Join(
			st.Restock(t, orders.Item{SKU: "tea", N: stock}),
			s.Root().Put(t, "stock", st.Ref),
			s.Root().Put(t, "gateway", s.gateway.New(t, orders.Account{Merchant: "m17"})),
		)
	})
}

// place orders n tea under a name, unless that was done before.
func (s *shop) place(name string, n int64) error {
	ctx := context.Background()
	_, err := s.Root().Get(ctx, name)
	if !errors.Is(err, sturdy.ErrNoName) {
		return err
	}
	return s.Update(ctx, func(t *sturdy.WriteTurn) error {
		sale, err := s.sale(t, n)
		if err != nil {
			return err
		}
		o, th, err := orders.Place(t, sale)
		return errors.Join(err, s.Root().Put(t, name, o.ForCustomer().Ref), s.Root().Put(t, name+"'s thread", th.Ref))
	})
}

func (s *shop) sale(t *sturdy.WriteTurn, n int64) (orders.Sale, error) {
	st, err := s.Root().Get(t, "stock")
	if err != nil {
		return orders.Sale{}, err
	}
	gw, err := s.Root().Get(t, "gateway")
	item := orders.Item{SKU: "tea", N: n}
	return orders.Sale{Item: item, Cents: n * price, Stock: orders.Stock{Ref: st}, Gateway: orders.Gateway{Ref: gw}}, err
}

func (s *shop) order(name string) (o orders.Order, th sturdy.ThreadRef, err error) {
	ctx := context.Background()
	if o.Ref, err = s.Root().Get(ctx, name); err == nil {
		th.Ref, err = s.Root().Get(ctx, name+"'s thread")
	}
	return o, th, err
}

// decide answers the order if it waits for that. Its answer may be there already, unread.
func (s *shop) decide(name string, yes bool) error {
	_, th, err := s.order(name)
	if err != nil {
		return err
	}
	s.Settle()
	info, err := th.Info(context.Background())
	if err != nil || info.Waits != "message approve" {
		return err
	}
	_, err = orders.Approve.Send(context.Background(), th.Ref, yes).Await(context.Background())
	s.Settle()
	return err
}

// cancel is the customer's. That it is too late is his bad luck.
func (s *shop) cancel(name string) error {
	o, _, err := s.order(name)
	if err != nil {
		return err
	}
	err = o.Cancel(context.Background(), "never mind")
	s.Settle()
	if errors.Is(err, orders.ErrShipped) || errors.Is(err, caps.ErrGone) {
		return nil
	}
	return err
}

// resume lets the order go on if it is parked.
func (s *shop) resume(name string) error {
	_, th, err := s.order(name)
	if err != nil {
		return err
	}
	info, err := th.Info(context.Background())
	if err == nil && info.State == sturdy.ThreadParked {
		err = th.Resume(context.Background())
	}
	s.Settle()
	return err
}

func (s *shop) status(t *testing.T, name string) orders.Progress {
	t.Helper()
	o, _, err := s.order(name)
	s.must(t, err)
	p, err := o.Status(t.Context())
	s.must(t, err)
	return p
}

// balanced fails unless so many are gone, the others free, and their price was kept.
func (s *shop) balanced(t *testing.T, gone int64) {
	t.Helper()
	ref, err := s.Root().Get(t.Context(), "stock")
	s.must(t, err)
	shelf, err := orders.Stock{Ref: ref}.Look(t.Context(), "tea")
	if want := (orders.Shelf{Free: stock - gone, Gone: gone}); shelf != want || err != nil {
		t.Errorf("the shelf has %+v, %v; it should have %+v", shelf, err, want)
	}
	if _, kept := s.bank.account(); kept != gone*price {
		t.Errorf("%d cents were kept for %d tea", kept, gone)
	}
}
