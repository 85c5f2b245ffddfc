package bank_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/bank"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

var seed = flag.Uint64("seed", rand.Uint64(), "of what is chosen at random")

func world(t *testing.T, files objstore.FS, checked bool) *sturdy.Runtime {
	t.Helper()
	rt, err := sturdy.Options{Files: files, Kinds: []sturdy.Kind{bank.Kind}, Checked: checked}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	return rt
}

// two opens an account with 100.00 and an empty one.
func two(t *testing.T) (rt *sturdy.Runtime, rich, poor bank.Account) {
	t.Helper()
	rt = world(t, nil, true)
	err := rt.Update(t.Context(), func(turn *sturdy.WriteTurn) error {
		rich, poor = bank.Open(turn, "rich"), bank.Open(turn, "poor")
		return errors.Join(rich.Deposit(turn, 100_00), rt.Root().Put(turn, "rich", rich.Ref), rt.Root().Put(turn, "poor", poor.Ref))
	})
	if err != nil {
		t.Fatal(err)
	}
	return rt, rich, poor
}

// holds fails unless the accounts hold so much, and their logs add up to it.
func holds(t *testing.T, want map[bank.Account]bank.Cents) {
	t.Helper()
	for a, c := range want {
		got, err := a.Balance(t.Context())
		es, err2 := a.Statement(t.Context(), time.Time{})
		var sum bank.Cents
		for _, e := range es {
			sum += e.Amount
		}
		if got != c || sum != c || err != nil || err2 != nil {
			t.Errorf("%v holds %s, its log adds up to %s, %v, %v; it should be %s", a, got, sum, err, err2, c)
		}
	}
}

func TestAmountsThatNobodyMayAskFor(t *testing.T) {
	_, rich, poor := two(t)
	ctx := t.Context()
	for _, c := range []bank.Cents{0, -1, -100_00, math.MinInt64} {
		for what, err := range map[string]error{
			"deposit":  rich.Deposit(ctx, c),
			"withdraw": rich.Withdraw(ctx, c),
			"transfer": rich.Transfer(ctx, bank.Order{To: poor, Amount: c}),
		} {
			if !errors.Is(err, caps.ErrBadArgument) {
				t.Errorf("%s of %s: %v", what, c, err)
			}
		}
	}
	if err := rich.Deposit(ctx, math.MaxInt64); !errors.Is(err, caps.ErrBadArgument) {
		t.Error("more than an account can hold:", err)
	}
	holds(t, map[bank.Account]bank.Cents{rich: 100_00, poor: 0})
	if err := poor.Deposit(ctx, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	if err := rich.Transfer(ctx, bank.Order{To: poor, Amount: 1}); !errors.Is(err, caps.ErrBadArgument) {
		t.Error("the payee cannot hold more:", err)
	}
	holds(t, map[bank.Account]bank.Cents{rich: 100_00, poor: math.MaxInt64})
}

func TestATransferIsWholeOrNothing(t *testing.T) {
	_, rich, poor := two(t)
	ctx := t.Context()
	if err := poor.Transfer(ctx, bank.Order{To: rich, Amount: 1}); !errors.Is(err, bank.ErrOverdraft) {
		t.Error("from an empty account:", err)
	}
	if err := rich.Transfer(ctx, bank.Order{Amount: 1}); !errors.Is(err, caps.ErrNull) {
		t.Error("to nobody:", err)
	}
	if err := rich.Transfer(ctx, bank.Order{To: poor.Audited(), Amount: 1}); !errors.Is(err, caps.ErrNoRight) {
		t.Error("to an account that may only be read:", err)
	}
	holds(t, map[bank.Account]bank.Cents{rich: 100_00, poor: 0})
	for _, to := range []bank.Account{poor, rich} {
		if err := rich.Transfer(ctx, bank.Order{To: to, Amount: 40_00, Note: "n"}); err != nil {
			t.Fatal(err)
		}
	}
	holds(t, map[bank.Account]bank.Cents{rich: 60_00, poor: 40_00})
}

func TestTheAuditorReadsAndNothingElse(t *testing.T) {
	rt, rich, poor := two(t)
	ctx, audited := t.Context(), rich.Audited()
	if c, err := audited.Balance(ctx); c != 100_00 || err != nil {
		t.Error(c, err)
	}
	if es, err := audited.Statement(ctx, time.Time{}); len(es) != 1 || err != nil {
		t.Error(es, err)
	}
	if es, err := audited.Statement(ctx, time.Now().Add(time.Hour)); len(es) != 0 || err != nil {
		t.Error("since a time to come:", es, err)
	}
	for what, err := range map[string]error{
		"deposit":  audited.Deposit(ctx, 1),
		"withdraw": audited.Withdraw(ctx, 1),
		"transfer": audited.Transfer(ctx, bank.Order{To: poor, Amount: 1}),
	} {
		if !errors.Is(err, caps.ErrNoRight) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// All accounts for reading, through the directory for reading: it is deep.
	root := sturdy.Directory{Ref: rt.Root().Attenuate(caps.Read)}
	ref, err := root.Get(ctx, "rich")
	if err != nil {
		t.Fatal(err)
	}
	if err := (bank.Account{Ref: ref}).Deposit(ctx, 1); !errors.Is(err, caps.ErrNoRight) {
		t.Error("through the directory:", err)
	}
	holds(t, map[bank.Account]bank.Cents{rich: 100_00, poor: 0})
}

// TestMoneyIsConserved lets clients transfer at the same time as somebody adds up, takes the
// power away, and adds up again.
func TestMoneyIsConserved(t *testing.T) {
	t.Log("seed", *seed)
	files := objstore.NewMemory()
	rt := world(t, files, false)
	ref, err := rt.Root().Ensure(t.Context(), "clients", func(turn *sturdy.WriteTurn) caps.Ref { return sturdy.NewDirectory(turn).Ref })
	if err != nil {
		t.Fatal(err)
	}
	dir := sturdy.Directory{Ref: ref}
	tr := &bank.Traffic{Accounts: 700, Each: 10_00, Clients: 16, Seed: *seed, Limit: 3000}
	for range 2 { // the second time there is nothing to do
		if err := tr.Fill(t.Context(), rt, dir); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(t.Context(), rt, dir) }()
	for running := true; running; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		add(t, rt, dir, 700*10_00)
	}
	if tr.Done.Load() < tr.Limit || tr.Refused.Load() == 0 {
		t.Errorf("%d transfers, %d refused", tr.Done.Load(), tr.Refused.Load())
	}
	r := rand.New(rand.NewPCG(*seed, 1))
	disk, err := files.Crash(func() bool { return r.IntN(2) == 0 }) // of what was not synced anything may be there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	again := world(t, disk, false)
	ref, err = again.Root().Get(t.Context(), "clients")
	if err != nil {
		t.Fatal(err)
	}
	add(t, again, sturdy.Directory{Ref: ref}, 700*10_00)
	logged(t, again, sturdy.Directory{Ref: ref}, tr)
	if err := again.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func add(t *testing.T, rt *sturdy.Runtime, dir sturdy.Directory, want bank.Cents) {
	t.Helper()
	err := rt.View(t.Context(), func(turn *sturdy.ReadTurn) error {
		sum, err := bank.Total(turn, dir.All(turn))
		if sum != want {
			t.Errorf("the accounts hold %s instead of %s", sum, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// logged compares the accounts' logs with the transfers that were acknowledged: none is lost.
func logged(t *testing.T, rt *sturdy.Runtime, dir sturdy.Directory, tr *bank.Traffic) {
	t.Helper()
	entries := int64(0)
	err := rt.View(t.Context(), func(turn *sturdy.ReadTurn) error {
		entries = 0
		for _, ref := range dir.All(turn) {
			es, err := bank.Statement.Call(turn, ref, time.Time{})
			if err != nil {
				return err
			}
			entries += int64(len(es))
		}
		return nil
	})
	if err != nil || entries != 2*tr.Done.Load() {
		t.Errorf("%d entries for %d transfers, %v", entries, tr.Done.Load(), err)
	}
}

func TestTotalRefusesWhatItCannotAddUp(t *testing.T) {
	rt, rich, poor := two(t)
	if err := errors.Join(rich.Withdraw(t.Context(), 99_99), poor.Deposit(t.Context(), math.MaxInt64)); err != nil {
		t.Fatal(err)
	}
	err := rt.View(t.Context(), func(turn *sturdy.ReadTurn) error {
		_, err := bank.Total(turn, rt.Root().All(turn))
		return err
	})
	if !errors.Is(err, caps.ErrBadArgument) {
		t.Error(err)
	}
}

func Example() {
	ctx := context.Background()
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{bank.Kind}}.Open() // a world in memory
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close()

	var alice, bob bank.Account
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		alice, bob = bank.Open(t, "alice"), bank.Open(t, "bob")
		return alice.Deposit(t, 100_00)
	})
	fmt.Println(err)
	fmt.Println(alice.Transfer(ctx, bank.Order{To: bob, Amount: 30_00, Note: "a bicycle"}))

	err = alice.Transfer(ctx, bank.Order{To: bob, Amount: 500_00, Note: "a car"})
	fmt.Println(err)
	fmt.Println(errors.Is(err, bank.ErrOverdraft))

	auditor := alice.Audited()
	fmt.Println(auditor.Balance(ctx))
	fmt.Println(auditor.Withdraw(ctx, 1))
	// Output:
	// <nil>
	// <nil>
	// bank.example/account.transfer: bank.example/overdraft: the account holds 70.00, asked for are 500.00
	// true
	// 70.00 <nil>
	// bank.example/account.withdraw: needs w; this reference carries r, deep
}
