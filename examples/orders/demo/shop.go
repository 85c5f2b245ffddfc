package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sturdyrt/sturdy/examples/orders"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// shop is the program. What must not be lost is in the world; what is here is who was told
// what since the program runs.
type shop struct {
	rt      *sturdy.Runtime
	bank    *ledger
	gateway *sturdy.KindOf[orders.Account]
	out     io.Writer
	seen    map[string]string // what was said last of an order
}

func (s *shop) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// customer is what somebody orders, and what people do about it.
type customer struct {
	name    string
	n       int64
	cents   int64
	answer  string // of who approves; empty: he is on holiday
	cancels bool   // when it is paid
}

func customers() []customer {
	return []customer{
		{name: "ann", n: 2, cents: 8_00, answer: "yes"},
		{name: "ben", n: 2, cents: 8_00, answer: "no"},
		{name: "cyd", n: 2, cents: 8_00},
		{name: "dan", n: 2, cents: 8_00, answer: "yes", cancels: true},
		{name: "eve", n: 2, cents: 800_00, answer: "yes"},
		{name: "fay", n: 3, cents: 11_97, answer: "yes"},
	}
}

const tea = 20 // of it in stock

// build makes the stock and the orders, in one turn: there are all of them or none.
func (s *shop) build(ctx context.Context) error {
	_, err := s.rt.Root().Get(ctx, "stock")
	if !errors.Is(err, sturdy.ErrNoName) {
		s.say("the shop is open again")
		return err
	}
	s.say("the shop opens")
	return s.rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		root, stock := s.rt.Root(), orders.NewStock(t)
		// Who has a customer's order can cancel it; who has its thread can approve it.
		sales, desk := sturdy.NewDirectory(t), sturdy.NewDirectory(t)
		err := errors.Join(
			stock.Restock(t, orders.Item{SKU: "tea", N: tea}),
			root.Put(t, "stock", stock.Ref), root.Put(t, "orders", sales.Ref), root.Put(t, "desk", desk.Ref),
		)
		gateway := orders.Gateway{Ref: s.gateway.New(t, orders.Account{Merchant: "m17"})}
		for _, c := range customers() {
			o, th, e := orders.Place(t, orders.Sale{
				Item: orders.Item{SKU: "tea", N: c.n}, Cents: c.cents, Stock: stock, Gateway: gateway,
				Terms: orders.Terms{Approval: 2 * time.Second, CoolingOff: time.Second},
			})
			err = errors.Join(err, e, sales.Put(t, c.name, o.ForCustomer().Ref), desk.Put(t, c.name, th.Ref))
		}
		return err
	})
}

// find finds what is kept of a customer.
func (s *shop) find(ctx context.Context, name string) (o orders.Order, th sturdy.ThreadRef, err error) {
	dirs := [2]sturdy.Directory{}
	for i, dir := range []string{"orders", "desk"} {
		if dirs[i].Ref, err = s.rt.Root().Get(ctx, dir); err != nil {
			return o, th, err
		}
	}
	if o.Ref, err = dirs[0].Get(ctx, name); err != nil {
		return o, th, err
	}
	th.Ref, err = dirs[1].Get(ctx, name)
	return o, th, err
}

// serve looks after the orders until each has ended.
func (s *shop) serve(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ended := 0
		for _, c := range customers() {
			over, err := s.lookAfter(ctx, c)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if over {
				ended++
			}
		}
		if ended == len(customers()) {
			return nil
		}
		<-tick.C
	}
}

// lookAfter tells how an order stands, once for each thing that there is to tell, and does
// what somebody does then.
func (s *shop) lookAfter(ctx context.Context, c customer) (over bool, err error) {
	o, th, err := s.find(ctx, c.name)
	if err != nil {
		return false, err
	}
	p, err := o.Status(ctx)
	if err != nil {
		return false, err
	}
	info, err := th.Info(ctx)
	if err != nil {
		return false, err
	}
	if news := news(p, info); news != "" && s.seen[c.name] != news {
		s.seen[c.name] = news
		deed, e := s.act(ctx, c, o, th, p, info)
		s.say("%s: %s%s", c.name, news, deed)
		err = e
	}
	return p.Ended() && (info.State == sturdy.ThreadDone || info.State == sturdy.ThreadCanceled), err
}

// news is what there is to tell of an order: where it waits for something, and its end.
func news(p orders.Progress, info sturdy.ThreadInfo) string {
	switch {
	case p.State == orders.Failed:
		return "failed: " + p.Why
	case p.State == orders.Shipped:
		return "shipped, receipt " + p.Receipt
	case info.State == sturdy.ThreadParked:
		return "parked: " + info.Error.Error()
	case info.State == sturdy.ThreadWaiting:
		return fmt.Sprintf("%s, waits for %s", p.State, info.Waits)
	}
	return ""
}

// act does what people do, and tells of it. If the program is killed before it is on disk
// they do it again; a second answer is not read by anybody.
func (s *shop) act(ctx context.Context, c customer, o orders.Order, th sturdy.ThreadRef, p orders.Progress, info sturdy.ThreadInfo) (deed string, err error) {
	switch {
	case info.State == sturdy.ThreadParked:
		return "; somebody lets it go on", th.Resume(ctx)
	case info.Waits == "message "+orders.Approve.Name() && c.answer != "":
		orders.Approve.Send(ctx, th.Ref, c.answer == "yes")
		return "; the manager says " + c.answer, nil
	case p.State == orders.Paid && c.cancels:
		err := o.Cancel(ctx, "there is coffee")
		if errors.Is(err, orders.ErrShipped) {
			return "; " + c.name + " is too late", nil
		}
		return "; " + c.name + " cancels", err
	}
	return "", nil
}

// sum adds up what is left.
func (s *shop) sum(ctx context.Context) error {
	ref, err := s.rt.Root().Get(ctx, "stock")
	if err != nil {
		return err
	}
	shelf, err := orders.Stock{Ref: ref}.Look(ctx, "tea")
	s.say("of %d tea %d are gone and %d free", tea, shelf.Gone, shelf.Free)
	s.say("the bank was %s", s.bank)
	return err
}
