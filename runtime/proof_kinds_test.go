package sturdy_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// The proof's settings: how much of what runs by chance, and from which seed.
var (
	seedFlag = flag.Uint64("seed", 0, "of the random proofs; 0: the time")
	opsFlag  = flag.Int("ops", 0, "operations of a random proof; 0: few enough for every day")
)

// seedOf prints the seed of a test that fails.
func seedOf(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("go test -run '^%s$' -seed=%d", t.Name(), seed)
		}
	})
	return seed
}

// ops is the number of operations of a random proof.
func ops(everyday int) int {
	if *opsFlag > 0 {
		return *opsFlag
	}
	return everyday
}

// An account is what most proofs work on: a number, and methods that fail in every way.
const (
	acGet  caps.Query[int64]         = "get"
	acAdd  caps.Method[int64, int64] = "add"
	acMess caps.Command[int64]       = "mess" // writes and then returns errMess
	acBoom caps.Command[int64]       = "boom" // writes and then panics
	acPay  caps.Command[payment]     = "pay"  // moves a sum to another account
	acNote caps.Command[string]      = "note" // adds a line
	acText caps.Query[[]string]      = "text" // the lines
)

type payment struct {
	To    caps.Ref
	Cents int64
}

type account struct {
	N     int64
	Lines []string
}

const (
	errMess  caps.Code = "a mess"
	errFunds caps.Code = "not enough"
)

func (a *account) get(*sturdy.ReadTurn) (int64, error)             { return a.N, nil }
func (a *account) text(*sturdy.ReadTurn) ([]string, error)         { return a.Lines, nil }
func (a *account) add(_ *sturdy.WriteTurn, n int64) (int64, error) { a.N += n; return a.N, nil }
func (a *account) mess(_ *sturdy.WriteTurn, n int64) error         { a.N += n; return errMess }
func (a *account) boom(_ *sturdy.WriteTurn, n int64) error         { a.N += n; panic("boom") }
func (a *account) note(_ *sturdy.WriteTurn, line string) error {
	a.Lines = append(a.Lines, line)
	return nil
}

func (a *account) pay(t *sturdy.WriteTurn, p payment) (err error) {
	if a.N -= p.Cents; a.N < 0 {
		return fmt.Errorf("%w: %d", errFunds, a.N+p.Cents)
	}
	_, err = acAdd.Call(t, p.To, p.Cents)
	return err
}

var accountKind = sturdy.Define("proof/account",
	sturdy.Query(acGet, (*account).get),
	sturdy.Query(acText, (*account).text),
	sturdy.Method(acAdd, (*account).add),
	sturdy.Command(acMess, (*account).mess),
	sturdy.Command(acBoom, (*account).boom),
	sturdy.Command(acPay, (*account).pay),
	sturdy.Command(acNote, (*account).note),
)

// opened makes a world that holds n accounts named "0", "1", ... with the given sum each.
func accounts(t testing.TB, w *runtimetest.World, n int, each int64) []caps.Ref {
	t.Helper()
	must(t, w.Update(context.Background(), func(tn *sturdy.WriteTurn) error {
		for i := range n {
			if err := w.Root().Put(tn, fmt.Sprint(i), accountKind.New(tn, account{N: each})); err != nil {
				return err
			}
		}
		return nil
	}))
	return named(t, w, n)
}

// named finds the accounts again.
func named(t testing.TB, w *runtimetest.World, n int) (refs []caps.Ref) {
	t.Helper()
	for i := range n {
		ref, err := w.Root().Get(context.Background(), fmt.Sprint(i))
		must(t, err)
		refs = append(refs, ref)
	}
	return refs
}

// unchecked opens a world that runs each turn once.
func unchecked(t testing.TB, ks ...sturdy.Kind) *runtimetest.World {
	t.Helper()
	return runtimetest.OpenOptions(t, sturdy.Options{Kinds: ks})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails the test if err does not have the code.
func wants(t testing.TB, err, code error) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("error %v; want %v", err, code)
	}
}

// holds fails the test if ref's account does not hold n.
func holds(t testing.TB, ctx context.Context, ref caps.Ref, n int64) {
	t.Helper()
	if got, err := acGet.Call(ctx, ref); got != n || err != nil {
		t.Errorf("it holds %d, %v; want %d", got, err, n)
	}
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// tiny opens a world whose cache has no room, so that every object is loaded again and again.
func tiny(t testing.TB) *runtimetest.World {
	t.Helper()
	return runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{accountKind}, Cache: 1})
}
