package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// What a holder of a purse may ask.
const (
	coins caps.Query[int64]   = "coins"
	put   caps.Command[int64] = "put"
	take  caps.Command[int64] = "take"
)

// errEmpty keeps its identity wherever it is returned to.
const errEmpty caps.Code = "purse.example/empty"

type purse struct{ Coins int64 }

func (p *purse) coins(*sturdy.ReadTurn) (int64, error)  { return p.Coins, nil }
func (p *purse) put(_ *sturdy.WriteTurn, n int64) error { p.Coins += n; return nil }
func (p *purse) take(t *sturdy.WriteTurn, n int64) error {
	if n > p.Coins {
		return fmt.Errorf("%w: it holds %d", errEmpty, p.Coins)
	}
	return p.put(t, -n)
}

var purseKind = sturdy.Define("purse.example/purse",
	sturdy.Query(coins, (*purse).coins),
	sturdy.Command(put, (*purse).put),
	sturdy.Command(take, (*purse).take),
)

// open opens a world in memory, as examples do; sturdy.Open(dir, kinds...) opens one on disk.
func open(ks ...sturdy.Kind) *sturdy.Runtime {
	rt, err := sturdy.Options{Kinds: ks}.Open()
	if err != nil {
		log.Fatal(err)
	}
	return rt
}

func Example() {
	ctx := context.Background()
	rt := open(purseKind)
	defer rt.Close()

	mine, err := rt.Root().Ensure(ctx, "mine", func(t *sturdy.WriteTurn) caps.Ref {
		return purseKind.New(t, purse{Coins: 10})
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(put.Call(ctx, mine, 5)) // on disk when it returns
	fmt.Println(coins.Call(ctx, mine))
	fmt.Println(take.Call(ctx, mine, 100))
	// Output:
	// <nil>
	// 15 <nil>
	// purse.example/purse.take: purse.example/empty: it holds 15
}

// Two objects change together or not at all; no third object is needed for it.
func ExampleRuntime_Update() {
	ctx := context.Background()
	rt := open(purseKind)
	defer rt.Close()
	var from, to caps.Ref
	err := rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		from, to = purseKind.New(t, purse{Coins: 3}), purseKind.New(t, purse{})
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	move := func(n int64) error {
		return rt.Update(ctx, func(t *sturdy.WriteTurn) error {
			if err := put.Call(t, to, n); err != nil { // t, not ctx: the call joins the turn
				return err
			}
			return take.Call(t, from, n)
		})
	}
	fmt.Println(move(2))
	fmt.Println(errors.Is(move(2), errEmpty))
	fmt.Println(coins.Call(ctx, to)) // the second put was undone
	// Output:
	// <nil>
	// true
	// 2 <nil>
}

// A capability that was attenuated to read gives nothing that could write, however deep.
func ExampleDirectory() {
	ctx := context.Background()
	rt := open(purseKind)
	defer rt.Close()
	err := rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		return rt.Root().Put(t, "purse", purseKind.New(t, purse{Coins: 7}))
	})
	if err != nil {
		log.Fatal(err)
	}
	guest := sturdy.Directory{Ref: rt.Root().Attenuate(caps.Read)}
	ref, err := guest.Get(ctx, "purse")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(coins.Call(ctx, ref))
	fmt.Println(put.Call(ctx, ref, 1))
	fmt.Println(guest.Delete(ctx, "purse"))
	// Output:
	// 7 <nil>
	// purse.example/purse.put: needs w; this reference carries r, deep
	// sturdy/directory.delete: needs w; this reference carries r, deep
}

func ExampleMap() {
	ctx := context.Background()
	rt := open()
	defer rt.Close()
	var sales sturdy.Map[int, string]
	err := rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		sales = sturdy.NewMap[int, string](t)
		for day, what := range map[int]string{20260104: "tea", 20260101: "bread", 20260203: "salt"} {
			sales.Put(t, day, what)
		}
		return rt.Root().Put(t, "sales", sales.Ref)
	})
	if err != nil {
		log.Fatal(err)
	}
	err = rt.View(ctx, func(t *sturdy.ReadTurn) error {
		for day, what := range sales.Range(t, 20260101, 20260201) {
			fmt.Println(day, what)
		}
		fmt.Println(sales.Len(t))
		return nil
	})
	fmt.Println(err)
	// Output:
	// 20260101 bread
	// 20260104 tea
	// 3
	// <nil>
}

func ExampleList() {
	ctx := context.Background()
	rt := open()
	defer rt.Close()
	err := rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		notes := sturdy.NewList[string](t)
		notes.Append(t, "first")
		notes.Append(t, "second")
		notes.Set(t, 0, "zeroth")
		for i, s := range notes.Range(t, 0, notes.Len(t)) {
			fmt.Println(i, s)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// 0 zeroth
	// 1 second
	// <nil>
}

func ExampleCell() {
	ctx := context.Background()
	rt := open()
	defer rt.Close()
	err := rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		motto := sturdy.NewCell(t, "slow")
		motto.Set(t, motto.Get(t)+" and steady")
		fmt.Println(motto.Get(t))
		return nil
	})
	fmt.Println(err)
	// Output:
	// slow and steady
	// <nil>
}

// An older version's state is loaded into the present one when an object is first touched.
// Without the From, Open would refuse the world and name the field.
func ExampleFrom() {
	type person struct{ First, Last string }
	type personV1 struct{ Name string }
	const last caps.Query[string] = "last"
	kind := sturdy.Define("example.org/person",
		sturdy.From(1, func(o personV1) (person, error) {
			var p person
			_, err := fmt.Sscan(o.Name, &p.First, &p.Last)
			return p, err
		}),
		sturdy.Query(last, func(p *person, _ *sturdy.ReadTurn) (string, error) { return p.Last, nil }),
	)
	rt := open(kind)
	defer rt.Close()
	kinds, err := rt.Kinds(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(kinds[0].Name, kinds[0].Version, kinds[0].State)
	// Output: example.org/person 2 struct{First string; Last string}
}

// A Relaxed call returns before its effect is on disk. Sync waits for all of them at once.
func ExampleRelaxed() {
	ctx := context.Background()
	rt := open(purseKind)
	defer rt.Close()
	mine, err := rt.Root().Ensure(ctx, "mine", func(t *sturdy.WriteTurn) caps.Ref { return purseKind.New(t, purse{}) })
	if err != nil {
		log.Fatal(err)
	}
	relaxed := sturdy.Relaxed(ctx)
	for range 1000 {
		if err := put.Call(relaxed, mine, 1); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(coins.Call(relaxed, mine)) // it sees its own writes
	fmt.Println(rt.Sync(ctx))
	fmt.Println(coins.Call(ctx, mine))
	// Output:
	// 1000 <nil>
	// <nil>
	// 1000 <nil>
}
