// Command demo tells a short story of two accounts and an auditor.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/bank"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func main() {
	rt, err := sturdy.Open("world", bank.Kind)
	if err == nil {
		err = errors.Join(story(context.Background(), rt), rt.Close())
	}
	if err != nil {
		log.Fatal(err)
	}
}

func story(ctx context.Context, rt *sturdy.Runtime) error {
	var alice, bob bank.Account
	err := rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		alice, bob = bank.Open(t, "alice"), bank.Open(t, "bob")
		return errors.Join(
			alice.Deposit(t, 100_00),
			rt.Root().Put(t, "alice", alice.Ref),
			rt.Root().Put(t, "bob", bob.Ref),
		)
	})
	if err != nil {
		return err
	}
	fmt.Println("alice has opened an account with 100.00, and bob one with nothing")

	err = alice.Transfer(ctx, bank.Order{To: bob, Amount: 500_00, Note: "a car"})
	fmt.Println("alice pays for a car:", err, errors.Is(err, bank.ErrOverdraft))

	err = alice.Transfer(ctx, bank.Order{To: bob, Amount: -30_00, Note: "a gift"})
	fmt.Println("alice pays less than nothing:", err)

	if err := alice.Transfer(ctx, bank.Order{To: bob, Amount: 30_00, Note: "a bicycle"}); err != nil {
		return err
	}
	fmt.Println("alice pays for a bicycle")

	// Any two accounts, one turn; no bank object is needed for it.
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		if err := bob.Withdraw(t, 5_00); err != nil {
			return err
		}
		return alice.Deposit(t, 5_00)
	})
	if err != nil {
		return err
	}
	return audit(ctx, alice.Audited())
}

// audit does what somebody can do who holds an account for reading only.
func audit(ctx context.Context, account bank.Account) error {
	balance, err := account.Balance(ctx)
	if err != nil {
		return err
	}
	entries, err := account.Statement(ctx, time.Time{})
	if err != nil {
		return err
	}
	fmt.Println("the auditor reads", balance)
	for _, e := range entries {
		fmt.Printf("%10s  %s\n", e.Amount, e.Note)
	}
	err = account.Withdraw(ctx, 1)
	fmt.Println("the auditor takes a cent:", err, errors.Is(err, caps.ErrNoRight))
	return nil
}
