package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// The kinds of the world that the scripts look into: a counter, accounts, and a journal of
// sales in a map.

type counter struct{ N int64 }

const (
	get  caps.Query[int64]         = "get"
	add  caps.Method[int64, int64] = "add"
	fail caps.Action               = "fail"
	echo caps.Method[all, all]     = "echo"
)

// all is an argument with every sort of field.
type all struct {
	Flag  bool
	Small int8
	Big   uint64
	Ratio float32
	Name  string
	Raw   []byte
	At    time.Time
	Peer  caps.Ref
	Tags  []string
	Sizes map[string]int64
	Inner *inner
	Any   caps.Value
}

type inner struct{ X, Y int64 }

func (c *counter) get(*sturdy.ReadTurn) (int64, error)              { return c.N, nil }
func (c *counter) add(_ *sturdy.WriteTurn, by int64) (int64, error) { c.N += by; return c.N, nil }
func (c *counter) fail(*sturdy.WriteTurn) error                     { c.N = -1; panic("as it was told to") }
func (c *counter) echo(_ *sturdy.ReadTurn, a all) (all, error)      { return a, nil }

var counterKind = sturdy.Define("example.org/counter",
	sturdy.Query(get, (*counter).get),
	sturdy.Method(add, (*counter).add),
	sturdy.Action(fail, (*counter).fail),
	sturdy.Method(echo, (*counter).echo),
)

// Cents is an amount of money.
type Cents int64

// Order asks for a transfer.
type Order struct {
	To     caps.Ref
	Amount Cents
	Note   string
}

// Line is a line of a statement.
type Line struct {
	Day     int64
	Note    string
	Amount  Cents
	Balance Cents
}

type account struct {
	Owner   string
	Balance Cents
	Lines   []Line
	Heir    caps.Ref
}

const (
	balance   caps.Query[Cents]           = "balance"
	statement caps.Method[int64, []Line]  = "statement"
	deposit   caps.Command[Cents]         = "deposit"
	withdraw  caps.Command[Cents]         = "withdraw"
	transfer  caps.Command[Order]         = "transfer"
	overdraft caps.Code                   = "bank.example/overdraft"
	rename    caps.Method[string, string] = "rename"
)

func (a *account) balance(*sturdy.ReadTurn) (Cents, error) { return a.Balance, nil }

func (a *account) statement(_ *sturdy.ReadTurn, since int64) (lines []Line, err error) {
	for _, l := range a.Lines {
		if l.Day >= since {
			lines = append(lines, l)
		}
	}
	return lines, nil
}

func (a *account) book(c Cents, note string) {
	a.Balance += c
	a.Lines = append(a.Lines, Line{int64(len(a.Lines) + 1), note, c, a.Balance})
}

func (a *account) deposit(_ *sturdy.WriteTurn, c Cents) error {
	if c <= 0 {
		return fmt.Errorf("%w: an amount is positive", caps.ErrBadArgument)
	}
	a.book(c, "deposit")
	return nil
}

func (a *account) withdraw(_ *sturdy.WriteTurn, c Cents) error {
	if c > a.Balance {
		return fmt.Errorf("%w: balance %d, asked %d", overdraft, a.Balance, c)
	}
	a.book(-c, "withdrawal")
	return nil
}

func (a *account) transfer(t *sturdy.WriteTurn, o Order) error {
	if err := a.withdraw(t, o.Amount); err != nil {
		return err
	}
	return deposit.Call(t, o.To, o.Amount)
}

func (a *account) rename(_ *sturdy.WriteTurn, to string) (string, error) {
	was := a.Owner
	a.Owner = to
	return was, nil
}

var accountKind = sturdy.Define("bank.example/account",
	sturdy.Query(balance, (*account).balance),
	sturdy.Method(statement, (*account).statement),
	sturdy.Command(deposit, (*account).deposit),
	sturdy.Command(withdraw, (*account).withdraw),
	sturdy.Command(transfer, (*account).transfer),
	sturdy.Method(rename, (*account).rename),
)

// sale is a row of the map of sales.
type sale struct {
	Cents int64
	Item  string
}

// inWorld runs fn as a turn in the world that the command line names.
func inWorld(fn func(*sturdy.WriteTurn, sturdy.Directory) error, ks ...sturdy.Kind) {
	rt, err := sturdy.Open(os.Args[1], ks...)
	if err != nil {
		log.Fatal(err)
	}
	err = rt.Update(context.Background(), func(t *sturdy.WriteTurn) error { return fn(t, rt.Root()) })
	if err := errors.Join(err, rt.Close()); err != nil {
		log.Fatal(err)
	}
}

// makeWorld makes the world that the scripts begin with: makeworld DIR.
func makeWorld() { inWorld(populate, counterKind, accountKind) }

func populate(t *sturdy.WriteTurn, root sturdy.Directory) error {
	accounts := sturdy.NewDirectory(t)
	sales := sturdy.NewMap[int64, sale](t)
	for i := range int64(30) {
		sales.Put(t, 20260101+i, sale{100 * i, fmt.Sprintf("item %d", i%3)})
	}
	bob := accountKind.New(t, account{Owner: "Bob", Balance: 500})
	log := sturdy.NewList[string](t)
	log.Append(t, "founded")
	log.Append(t, "a \x1b[31mred\x1b[0m line")
	for _, e := range []struct {
		dir  sturdy.Directory
		name string
		ref  caps.Ref
	}{
		{root, "accounts", accounts.Ref},
		{root, "hits", counterKind.New(t, counter{N: 2})},
		{root, "sales", sales.Ref},
		{root, "log", log.Ref},
		{root, "motto", sturdy.NewCell(t, "trust, but verify").Ref},
		{accounts, "alice", accountKind.New(t, account{Owner: "Alice", Balance: 10000, Heir: bob})},
		{accounts, "bob", bob},
		{accounts, "put", accountKind.New(t, account{Owner: "P. Ut"})},
	} {
		if err := e.dir.Put(t, e.name, e.ref); err != nil {
			return err
		}
	}
	return nil
}

// makeBrand makes an office in a world, with a sealer and its unsealer: makebrand DIR.
func makeBrand() {
	inWorld(func(t *sturdy.WriteTurn, root sturdy.Directory) error {
		office := sturdy.NewDirectory(t)
		sealer, unsealer := sturdy.NewBrand(t, "office")
		for name, ref := range map[string]caps.Ref{"sealer": sealer.Ref, "unsealer": unsealer.Ref} {
			if err := office.Put(t, name, ref); err != nil {
				return err
			}
		}
		return root.Put(t, "office", office.Ref)
	}, counterKind, accountKind)
}

// makeAlarms sets timers that are not due for long: makealarms DIR.
func makeAlarms() {
	inWorld(func(t *sturdy.WriteTurn, root sturdy.Directory) error {
		hits, err := root.Get(t, "hits")
		if err != nil {
			return err
		}
		t.At(time.Date(2199, 1, 1, 9, 0, 0, 0, time.UTC), add.To(hits, 1))
		t.After(36*time.Hour, add.To(hits, 2))
		t.Every(7*24*time.Hour, add.To(hits, 3))
		return nil
	}, counterKind, accountKind)
}
