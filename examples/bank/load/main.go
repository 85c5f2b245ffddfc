// Command load has many clients transfer money at the same time. It can be killed at any
// moment and run again: each run checks first that no money has come or gone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/bank"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func main() {
	world := flag.String("world", "world", "the `directory` of the world; made if absent")
	accounts := flag.Int("accounts", 5000, "how many there are")
	clients := flag.Int("clients", 64, "how many transfer at the same time")
	lasts := flag.Duration("for", 10*time.Second, "how long")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is chosen at random")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	traffic := &bank.Traffic{Accounts: *accounts, Each: 100_00, Clients: *clients, Seed: *seed}
	if err := errors.Join(load(ctx, *world, *lasts, traffic), check(*world, traffic)); err != nil {
		log.Fatal(err)
	}
}

// load fills the bank and lets the traffic run for a while, or until ctx ends.
func load(ctx context.Context, world string, lasts time.Duration, traffic *bank.Traffic) error {
	rt, err := sturdy.Open(world, bank.Kind)
	if err != nil {
		return err
	}
	defer rt.Close()
	dir, err := accounts(rt)
	if err != nil {
		return err
	}
	if err := traffic.Fill(context.Background(), rt, dir); err != nil {
		return err
	}
	if err := conserved(rt, dir, "before", traffic); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	go progress(ctx, traffic)
	if err := traffic.Run(ctx, rt, dir); err != nil {
		return err
	}
	fmt.Printf("%d transfers, %d refused for lack of money; seed %d\n", traffic.Done.Load(), traffic.Refused.Load(), traffic.Seed)
	return conserved(rt, dir, "after", traffic)
}

// check opens the world again.
func check(world string, traffic *bank.Traffic) error {
	rt, err := sturdy.Open(world, bank.Kind)
	if err != nil {
		return err
	}
	defer rt.Close()
	dir, err := accounts(rt)
	if err != nil {
		return err
	}
	return errors.Join(conserved(rt, dir, "reopened", traffic), rt.Check(context.Background()))
}

func accounts(rt *sturdy.Runtime) (sturdy.Directory, error) {
	ref, err := rt.Root().Ensure(context.Background(), "clients", func(t *sturdy.WriteTurn) caps.Ref { return sturdy.NewDirectory(t).Ref })
	return sturdy.Directory{Ref: ref}, err
}

// conserved fails if the accounts hold more or less than they were opened with.
func conserved(rt *sturdy.Runtime, dir sturdy.Directory, when string, traffic *bank.Traffic) error {
	return rt.View(context.Background(), func(t *sturdy.ReadTurn) error {
		n, err := dir.Len(t)
		if err != nil {
			return err
		}
		sum, err := bank.Total(t, dir.All(t))
		if want := bank.Cents(n) * traffic.Each; err == nil && sum != want {
			err = fmt.Errorf("%s: %d accounts hold %s instead of %s", when, n, sum, want)
		}
		if err == nil {
			fmt.Printf("%s: %d accounts hold %s\n", when, n, sum)
		}
		return err
	})
}

// progress says once a second how far the traffic is.
func progress(ctx context.Context, traffic *bank.Traffic) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := int64(0); ; {
		select {
		case <-tick.C:
			now := traffic.Done.Load()
			fmt.Fprintf(os.Stderr, "%d transfers, %d/s\n", now, now-last)
			last = now
		case <-ctx.Done():
			return
		}
	}
}
