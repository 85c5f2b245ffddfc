// Package bank keeps accounts. Who holds a capability to an account can do with it what the
// capability allows: its owner transfers money out of it, an auditor reads it.
package bank

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Cents is money.
type Cents int64

// String prints c with its sign and two decimals, "-12.05".
func (c Cents) String() string {
	sign, n := "", uint64(c)
	if c < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)
}

// ErrOverdraft is returned when an account holds less than is asked for.
const ErrOverdraft caps.Code = "bank.example/overdraft"

// What a holder of an account may ask.
const (
	Balance   caps.Query[Cents]               = "balance"
	Statement caps.Method[time.Time, []Entry] = "statement" // the entries since then
	Deposit   caps.Command[Cents]             = "deposit"
	Withdraw  caps.Command[Cents]             = "withdraw"
	Transfer  caps.Command[Order]             = "transfer" // out of this account
)

// Order is the argument of Transfer.
type Order struct {
	To     Account
	Amount Cents
	Note   string
}

// Entry is one line of a statement. What went out is negative.
type Entry struct {
	At     time.Time
	Amount Cents
	Note   string
}

// Account is a capability to an account: the same calls, as methods.
type Account struct{ caps.Ref }

// Balance is what the account holds; never negative.
func (a Account) Balance(ctx context.Context) (Cents, error) { return Balance.Call(ctx, a.Ref) }

// Statement returns the entries since a time, oldest first.
func (a Account) Statement(ctx context.Context, since time.Time) ([]Entry, error) {
	return Statement.Call(ctx, a.Ref, since)
}

// Deposit adds to the account. An amount that is not above zero, or is more than an account
// can hold, is refused with caps.ErrBadArgument.
func (a Account) Deposit(ctx context.Context, c Cents) error { return Deposit.Call(ctx, a.Ref, c) }

// Withdraw takes from the account, ErrOverdraft if it does not hold as much.
func (a Account) Withdraw(ctx context.Context, c Cents) error { return Withdraw.Call(ctx, a.Ref, c) }

// Transfer moves money from the account to another: both change, or neither.
func (a Account) Transfer(ctx context.Context, o Order) error { return Transfer.Call(ctx, a.Ref, o) }

// Audited is the account for reading: whoever holds it learns balance and statement, and can
// change nothing, nor anything that is reached through it.
func (a Account) Audited() Account { return Account{Ref: a.Attenuate(caps.Read)} }

// account is the state. The log's entries are records of their own, so that a long history
// does not make a deposit slow.
type account struct {
	Owner   string
	Balance Cents // Invariant: >= 0, and the sum of the log
	Log     sturdy.List[Entry]
}

func (a *account) balance(*sturdy.ReadTurn) (Cents, error) { return a.Balance, nil }

func (a *account) statement(t *sturdy.ReadTurn, since time.Time) ([]Entry, error) {
	var es []Entry
	for _, e := range a.Log.Range(t, 0, a.Log.Len(t)) {
		if !e.At.Before(since) {
			es = append(es, e)
		}
	}
	return es, nil
}

// Arguments come from whoever holds the capability: they are hostile until checked. Without
// the first of these checks a deposit of -5 would be a withdrawal that nobody may refuse.
func (a *account) deposit(t *sturdy.WriteTurn, c Cents) error {
	if c <= 0 || c > math.MaxInt64-a.Balance {
		return fmt.Errorf("%w: a deposit of %s", caps.ErrBadArgument, c)
	}
	a.book(t, c, "deposit")
	return nil
}

func (a *account) withdraw(t *sturdy.WriteTurn, c Cents) error { return a.take(t, c, "withdrawal") }

// transfer finishes its own books before it calls out: o.To is the caller's choice and may
// call back.
func (a *account) transfer(t *sturdy.WriteTurn, o Order) error {
	if err := a.take(t, o.Amount, o.Note); err != nil {
		return err
	}
	return o.To.Deposit(t, o.Amount) // it joins this turn: both or neither
}

func (a *account) take(t *sturdy.WriteTurn, c Cents, note string) error {
	if c <= 0 {
		return fmt.Errorf("%w: an amount of %s", caps.ErrBadArgument, c)
	}
	if c > a.Balance {
		return fmt.Errorf("%w: the account holds %s, asked for are %s", ErrOverdraft, a.Balance, c)
	}
	a.book(t, -c, note)
	return nil
}

func (a *account) book(t *sturdy.WriteTurn, c Cents, note string) {
	a.Balance += c
	a.Log.Append(t, Entry{t.Now(), c, note})
}

// Kind is the kind of accounts.
var Kind = sturdy.Define("bank.example/account",
	sturdy.Query(Balance, (*account).balance),
	sturdy.Method(Statement, (*account).statement),
	sturdy.Command(Deposit, (*account).deposit),
	sturdy.Command(Withdraw, (*account).withdraw),
	sturdy.Command(Transfer, (*account).transfer),
)

// Open makes an empty account.
func Open(t *sturdy.WriteTurn, owner string) Account {
	return Account{Kind.New(t, account{Owner: owner, Log: sturdy.NewList[Entry](t)})}
}

// Total sums accounts, such as those of a Directory: in one turn, so that no transfer is
// seen half done.
func Total(t sturdy.Turn, accounts iter.Seq2[string, caps.Ref]) (sum Cents, err error) {
	for _, a := range accounts {
		c, err := Balance.Call(t, a)
		if err != nil {
			return 0, err
		}
		if c > math.MaxInt64-sum {
			return 0, fmt.Errorf("%w: more than %s in all", caps.ErrBadArgument, Cents(math.MaxInt64))
		}
		sum += c
	}
	return sum, nil
}
