package bank

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Traffic is many clients who transfer money at random between the accounts of one
// directory, until they are told to stop. The money in the directory stays the same.
type Traffic struct {
	Accounts int    // how many there are; those missing are opened
	Each     Cents  // what an account is opened with
	Clients  int    // how many goroutines transfer
	Seed     uint64 // of what is chosen at random
	// Limit ends the traffic after about as many transfers; 0: when ctx ends.
	Limit int64
	// Done counts transfers as they are on disk; it may be read at any time. Refused counts
	// those that would have overdrawn an account.
	Done, Refused atomic.Int64
}

// batch is how many accounts are opened in one turn.
const batch = 500

// Fill opens the accounts that are missing. It can be killed and called again: an account is
// opened, filled and named in one turn.
func (tr *Traffic) Fill(ctx context.Context, rt *sturdy.Runtime, dir sturdy.Directory) error {
	for from := 0; from < tr.Accounts; from += batch {
		err := rt.Update(ctx, func(t *sturdy.WriteTurn) error {
			for i := from; i < min(from+batch, tr.Accounts); i++ {
				_, err := dir.Ensure(t, nameOf(i), func(t *sturdy.WriteTurn) caps.Ref {
					return Kind.New(t, account{Owner: nameOf(i), Balance: tr.Each, Log: sturdy.NewList[Entry](t)})
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func nameOf(i int) string { return fmt.Sprintf("client %06d", i) }

// Run transfers until ctx ends, which is no error, or Limit is reached.
func (tr *Traffic) Run(ctx context.Context, rt *sturdy.Runtime, dir sturdy.Directory) error {
	var accounts []Account
	err := rt.View(ctx, func(t *sturdy.ReadTurn) error {
		accounts = accounts[:0]
		for _, ref := range dir.All(t) {
			accounts = append(accounts, Account{ref})
		}
		return nil
	})
	if err != nil {
		return err
	}
	errs := make([]error, tr.Clients)
	var clients sync.WaitGroup
	for i := range errs {
		clients.Go(func() { errs[i] = tr.client(ctx, rand.New(rand.NewPCG(tr.Seed, uint64(i))), accounts) })
	}
	clients.Wait()
	return errors.Join(errs...)
}

func (tr *Traffic) client(ctx context.Context, r *rand.Rand, accounts []Account) error {
	for ctx.Err() == nil && (tr.Limit == 0 || tr.Done.Load() < tr.Limit) {
		from, to := accounts[r.IntN(len(accounts))], accounts[r.IntN(len(accounts))]
		// A transfer that is under way is finished, whatever becomes of ctx: its outcome is
		// then known.
		err := from.Transfer(context.WithoutCancel(ctx), Order{To: to, Amount: Cents(1 + r.Int64N(int64(tr.Each)))})
		switch {
		case errors.Is(err, ErrOverdraft):
			tr.Refused.Add(1)
		case err != nil:
			return err
		default:
			tr.Done.Add(1)
		}
	}
	return nil
}
