package sturdy_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// The texts that a newcomer meets in the first quarter of an hour. They are part of what we
// promise: each says what is wrong, where, and what to do. Numbers of lines and objects are
// written as #.

func said(err error) string {
	if err == nil {
		return "nothing"
	}
	text := regexp.MustCompile(`_test\.go:\d+`).ReplaceAllString(err.Error(), "_test.go:#")
	return regexp.MustCompile(`\b(account|thing|object|map|counter) [0-9a-f]+\b`).ReplaceAllString(text, "$1 #")
}

func says(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := said(err); got != want {
		t.Errorf("%s says\n\t%s\nwant\n\t%s", what, got, want)
	}
}

type secretive struct{ n int64 }

type payer interface{ Pay() }

type ordering struct {
	Pay  payer
	Done func()
}

func TestWhatOpenSaysOfKinds(t *testing.T) {
	open := func(ks ...sturdy.Kind) error {
		rt, err := sturdy.Options{Kinds: ks}.Open()
		if err == nil {
			must(t, rt.Close())
		}
		return err
	}
	get := sturdy.Query(acGet, func(s *secretive, _ *sturdy.ReadTurn) (int64, error) { return s.n, nil })
	says(t, "an unexported field", open(sturdy.Define("proof/counter", get)),
		"kind proof/counter (proof_errors_test.go:#): field n of secretive is unexported and would be lost. Rename it N, or tag it `sturdy:\"transient\"` if it may be.")
	says(t, "an interface and a func", open(sturdy.Define[ordering]("proof/order")),
		"kind proof/order (proof_errors_test.go:#): field Pay has type sturdy_test.payer, an interface; state is data and capabilities. Make it an object of its own and hold a caps.Ref.\n"+
			"kind proof/order (proof_errors_test.go:#): field Done has type func(), a function; code is neither stored nor sent. Make it a method of an object and hold a caps.Ref.")
	says(t, "a kind twice", open(thingKind(1), thingKind(1)),
		"kind proof/thing is defined twice: proof_script_test.go:# and proof_script_test.go:#")
	says(t, "no name", open(sturdy.Define[link]("")), "kind  (proof_errors_test.go:#): has no name")
	says(t, "a method twice", open(sturdy.Define[account]("proof/twice", sturdy.Query(acGet, (*account).get), sturdy.Query(acGet, (*account).get))),
		"kind proof/twice (proof_errors_test.go:#): has two methods named get")
	says(t, "a gap in the versions", open(sturdy.Define("proof/gap", sturdy.From(2, func(older) (account, error) { return account{}, nil }))),
		"kind proof/gap (proof_errors_test.go:#): has From for version 2 and none for version 1")
}

type pounds struct{ N float64 }

type renamed struct {
	Sum   int64
	Lines []string
}

func TestWhatOpenSaysOfAChangedKind(t *testing.T) {
	w := unchecked(t, accountKind)
	accounts(t, w, 2, 0)
	must(t, w.Close())
	open := func(k sturdy.Kind) error {
		rt, err := sturdy.Options{Files: w.Disk(), Kinds: []sturdy.Kind{k}}.Open()
		if err == nil {
			must(t, rt.Close())
		}
		return err
	}
	says(t, "a field that changed its type", open(sturdy.Define[pounds]("proof/account")),
		"kind proof/account (proof_errors_test.go:#): the world holds 2 objects of version 1, which has N int64; the program has N float64; field Lines, the program does not; its values would be dropped. Add sturdy.From(1, func(old) (new, error)), where old is the state as it was then")
	says(t, "a field that changed its name", open(sturdy.Define[renamed]("proof/account")),
		"kind proof/account (proof_errors_test.go:#): the world holds 2 objects of version 1, which has field N, the program does not; its values would be dropped. Add sturdy.From(1, func(old) (new, error)), where old is the state as it was then")
	says(t, "a From of another shape", open(sturdy.Define("proof/account", sturdy.From(1, func(pounds) (account, error) { return account{}, nil }))),
		"kind proof/account (proof_errors_test.go:#): the argument of From(1) is not what version 1 wrote, which has N int64; the program has N float64; field Lines, the program does not; its values would be dropped")
	w.Restart(sturdy.Define("proof/account", sturdy.From(1, func(a account) (renamed, error) { return renamed{Sum: a.N}, nil })))
	must(t, w.Close())
	says(t, "an older program", open(accountKind),
		"kind proof/account (proof_kinds_test.go:#): the world holds 0 objects of version 2, and the program has version 1: it is older than the world")
}

func TestWhatOpenSaysOfAWorldInUse(t *testing.T) {
	dir := t.TempDir() + "/world"
	rt, err := sturdy.Open(dir)
	must(t, err)
	defer rt.Close()
	_, err = sturdy.Open(dir)
	if text := said(err); !strings.Contains(text, "is in use by") || !strings.Contains(text, "since") {
		t.Error(text)
	}
	_, err = sturdy.Open("")
	says(t, "no directory", err, "open: the directory of the world is empty; for a world in memory use sturdy.Options{}.Open()")
}

func TestWhatCallsSay(t *testing.T) {
	w, ctx := runtimetest.Open(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	reader := ref.Attenuate(caps.Read)
	_, err := acAdd.Call(ctx, reader, 1)
	says(t, "a write through a read capability", err, "proof/account.add: needs w; this reference carries r, deep")
	_, err = acGet.Call(ctx, ref.Attenuate(caps.Write))
	says(t, "a read through a write capability", err, "proof/account.get: needs r; this reference carries w")
	_, err = caps.Query[int64]("gte").Call(ctx, ref)
	says(t, "a method's name misspelt", err, "proof/account.gte: proof/account has no method gte; get?")
	_, err = caps.Query[int64]("withdraw").Call(ctx, ref)
	says(t, "no such method", err, "proof/account.withdraw: proof/account has no method withdraw; it has get, text, add, mess, boom, pay, note")
	_, err = acGet.Call(ctx, caps.Ref{})
	says(t, "null", err, "get: null reference (the zero caps.Ref). Was the field ever set?")
	must(t, w.Root().Put(ctx, "audit", ref))
	_, err = w.Root().Get(ctx, "auidt")
	says(t, "a name misspelt", err, `sturdy/directory.get: nothing stands under "auidt"; "audit"?`)
	says(t, "a panic", acBoom.Call(ctx, ref, 1), "proof/account.boom: the method panicked, and nothing of its turn happened: boom")
	says(t, "an error with a code", acPay.Call(ctx, ref, payment{ref, 5}), "proof/account.pay: not enough: 0")
	says(t, "an empty name", w.Root().Put(ctx, "", ref), "sturdy/directory.put: a name must not be empty")
}

func TestWhatTurnsSay(t *testing.T) {
	w, ctx := runtimetest.Open(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	var kept *sturdy.WriteTurn
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error { kept = tn; return nil }))
	_, err := acAdd.Call(kept, ref, 1)
	says(t, "a turn that is over", err, "this turn (update) has ended; t must not be kept in a goroutine or variable")
	err = w.View(ctx, func(tn *sturdy.ReadTurn) error { _, err := acAdd.Call(tn, ref, 1); return err })
	says(t, "a write from a read turn", err, "proof/account.add: it writes, and this is a read turn, from which no write can start")
	err = w.Update(ctx, func(tn *sturdy.WriteTurn) error { _, err := acAdd.Call(context.Background(), ref, 1); return err })
	says(t, "the outer context inside a turn", err, "proof/account.add: called inside turn update with another context than that turn: pass it the turn (t)")
	other := runtimetest.Open(t, accountKind)
	stranger := accounts(t, other, 1, 0)[0]
	err = w.Update(ctx, func(tn *sturdy.WriteTurn) error { _, err := acGet.Call(tn, stranger); return err })
	says(t, "another world inside a turn", err, "get: a turn cannot wait for an object of another world; call it outside of the turn")
	if err := w.Root().Put(ctx, "stranger", stranger); !strings.Contains(said(err), "cannot be stored: it is not of this world") {
		t.Errorf("storing what is of another world: %v", err)
	}
	lie := sturdy.Define("proof/liar", sturdy.Query(acGet, func(a *account, _ *sturdy.ReadTurn) (int64, error) { a.N++; return 0, nil }))
	w.Restart(accountKind, lie)
	liar, err := w.Root().Ensure(ctx, "liar", func(tn *sturdy.WriteTurn) caps.Ref { return lie.New(tn, account{N: 4}) })
	must(t, err)
	_, err = acGet.Call(ctx, liar)
	says(t, "a read that writes", err, `proof/liar.get: it wrote its state in a read turn: {"N": 4, "Lines": nil} became {"N": 5, "Lines": nil}. Bind it with a *sturdy.WriteTurn.`)
	w.Restart(accountKind)
	liar, err = w.Root().Get(ctx, "liar")
	must(t, err)
	_, err = acGet.Call(ctx, liar)
	says(t, "an unknown kind", err, "proof/liar.get: this process does not know the kind; the object keeps its bytes. Pass the kind to sturdy.Open.")
	err = w.Update(ctx, func(tn *sturdy.WriteTurn) error { lie.New(tn, account{}); return nil })
	says(t, "a kind that was not passed to Open", err, "proof/liar: the kind (proof_errors_test.go:#) was not passed to sturdy.Open")
	must(t, w.Close())
	_, err = acAdd.Call(ctx, ref, 1)
	wants(t, err, sturdy.ErrClosed)
}

func TestErrorsOfCallsAreCapsErrors(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	for _, err := range []error{acMess.Call(ctx, ref, 1), acBoom.Call(ctx, ref, 1), acPay.Call(ctx, ref, payment{ref, 1})} {
		var e *caps.Error
		if !errors.As(err, &e) || e.Op == "" || e.Object == "" || e.Code == "" {
			t.Errorf("%#v lacks something", err)
		}
	}
}
