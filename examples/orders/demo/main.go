// Command demo is a shop with six customers. It can be killed at any time and run again: it
// goes on with the world it finds in the directory world, and with the payment provider's
// ledger, the file world.ledger.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"os"

	"github.com/sturdyrt/sturdy/examples/orders"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func main() {
	if err := run(context.Background(), "world", os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run runs the shop until every order has ended.
func run(ctx context.Context, dir string, out io.Writer) error {
	s, err := open(dir, out)
	if err != nil {
		return err
	}
	err = s.build(ctx)
	if err == nil {
		err = s.serve(ctx)
	}
	if err == nil {
		err = s.sum(ctx)
	}
	return errors.Join(err, s.close())
}

func open(dir string, out io.Writer) (*shop, error) {
	l, err := openLedger(dir + ".ledger")
	if err != nil {
		return nil, err
	}
	gateway := orders.GatewayKind(l)
	rt, err := sturdy.Options{
		Dir: dir, Kinds: []sturdy.Kind{orders.Kind, orders.StockKind, gateway},
		Log: slog.New(slog.DiscardHandler), // that a thread is parked is told below
	}.Open()
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return &shop{rt: rt, bank: l, gateway: gateway, out: out, seen: map[string]string{}}, nil
}

func (s *shop) close() error { return errors.Join(s.rt.Close(), s.bank.close()) }
