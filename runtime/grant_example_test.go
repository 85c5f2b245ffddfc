package sturdy_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// An auditor is given less than everything, and for as long as it pleases.
func ExampleWriteTurn_Grant() {
	ctx := context.Background()
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{counterKind}}.Open()
	if err != nil {
		panic(err)
	}
	defer rt.Close()
	hits, err := rt.Root().Ensure(ctx, "hits", newCounter)
	if err != nil {
		panic(err)
	}
	var view caps.Ref
	var audit sturdy.Grant
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		view, audit = t.Grant(hits, caps.Terms{For: "the auditor", Only: []caps.Named{counterGet}})
		return nil
	})
	if err != nil {
		panic(err)
	}
	_, err = counterAdd.Call(ctx, view, 1)
	fmt.Println(err)
	if err := audit.Revoke(ctx); err != nil {
		panic(err)
	}
	_, err = counterGet.Call(ctx, view)
	fmt.Println(errors.Is(err, caps.ErrRevoked), err)
	// Output:
	// example.org/counter.add: add is not among what grant 11 for "the auditor" allows: get
	// true example.org/counter.get: revoked: grant 11 for "the auditor" was taken back
}

// A capability as text: for a link, a cookie, a configuration file. It prints without its
// secret; whoever has it can make a weaker one without asking.
func ExampleRuntime_Save() {
	ctx := context.Background()
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{counterKind}}.Open()
	if err != nil {
		panic(err)
	}
	defer rt.Close()
	hits, err := rt.Root().Ensure(ctx, "hits", newCounter)
	if err != nil {
		panic(err)
	}
	link, grant, err := rt.Save(ctx, hits, caps.Terms{For: "the dashboard"})
	if err != nil {
		panic(err)
	}
	weaker := link.Attenuate(caps.Read)
	text := weaker.Reveal() // what is sent

	received, err := caps.ParseSturdyRef(text)
	if err != nil {
		panic(err)
	}
	reader, err := rt.Restore(ctx, received)
	if err != nil {
		panic(err)
	}
	n, err := counterGet.Call(ctx, reader)
	fmt.Println(n, err)
	_, err = counterAdd.Call(ctx, reader, 1)
	fmt.Println(errors.Is(err, caps.ErrNoRight))

	if err := grant.Revoke(ctx); err != nil {
		panic(err)
	}
	_, err = rt.Restore(ctx, received)
	fmt.Println(err)
	// Output:
	// 0 <nil>
	// true
	// restore: this sturdy ref opens nothing here: it is wrong, was revoked or has run out
}
