package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// The kind whose threads the scripts look at: an order is reserved, approved and charged.

type order struct {
	Item string
	Log  []string
}

const (
	fulfil  caps.Action            = "fulfil"
	label   caps.Action            = "label"
	both    caps.Action            = "both"
	history caps.Query[[]string]   = "history"
	approve caps.Command[bool]     = "approve"
	swap    caps.Action            = "swap"
	meet    caps.Command[caps.Ref] = "meet"
	nudge   caps.Command[caps.Ref] = "nudge"
)

func (o *order) history(*sturdy.ReadTurn) ([]string, error) { return o.Log, nil }

// nudge starts another order by a message, which that may not be allowed by who asks for it.
func (o *order) nudge(t *sturdy.WriteTurn, other caps.Ref) error {
	label.Send(t, other)
	return nil
}

func booked(th *sturdy.Thread[order], step, what string) error {
	return th.Turn(step, func(_ *sturdy.WriteTurn, o *order) error {
		o.Log = append(o.Log, what)
		return nil
	})
}

// fulfilled waits for two days for somebody to approve the order, and charges the card then.
func fulfilled(th *sturdy.Thread[order]) error {
	if err := booked(th, "reserve", "reserved"); err != nil {
		return err
	}
	ok, err := sturdy.Receive(th, "approval", approve, 48*time.Hour)
	if err != nil || !ok {
		return booked(th, "release", "released")
	}
	receipt, err := sturdy.Step(th, "charge", charged)
	if err != nil {
		return err
	}
	return booked(th, "ship", "shipped, "+receipt)
}

// charged fails as long as the file "terminal down" is there.
func charged(context.Context) (string, error) {
	if _, err := os.Stat("terminal down"); err == nil {
		return "", errors.New("the card terminal does not answer")
	}
	return "receipt 4711", nil
}

// labeled has a mistake in it.
func labeled(th *sturdy.Thread[order]) error {
	if err := booked(th, "measure", "measured"); err != nil {
		return err
	}
	panic(fmt.Sprintf("no printer for labels of %d inches", 4))
}

// twice is a thread that starts another.
func twice(th *sturdy.Thread[order]) error {
	return th.Turn("start", func(t *sturdy.WriteTurn, _ *order) error {
		t.Spawn(fulfil.To(th.Self()), sturdy.Domain{
			Ceiling: caps.Read | caps.Write, Holds: map[string]caps.Ref{"original": th.Self().Attenuate(caps.Read)},
		})
		return nil
	})
}

// swapped asks the thread that it is told of, which may be asking, too.
func swapped(th *sturdy.Thread[order]) error {
	with, err := sturdy.Receive(th, "partner", meet, 0)
	if err != nil {
		return err
	}
	_, err = sturdy.Ask[caps.Done](th, "consent", approve.To(with, true), 0)
	return err
}

var orderKind = sturdy.Define("shop.example/order",
	sturdy.Query(history, (*order).history),
	sturdy.Command(nudge, (*order).nudge),
	sturdy.Runs(fulfil, fulfilled),
	sturdy.Runs(label, labeled),
	sturdy.Runs(both, twice),
	sturdy.Runs(swap, swapped),
)

// makeShop makes a world of three orders: makeshop DIR.
func makeShop() {
	inWorld(func(t *sturdy.WriteTurn, root sturdy.Directory) error {
		for _, item := range []string{"lamp", "chair", "desk"} {
			if err := root.Put(t, item, orderKind.New(t, order{Item: item})); err != nil {
				return err
			}
		}
		return nil
	}, orderKind)
}
