package chat_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/chat"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func Example() {
	ctx := context.Background()
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{chat.Kinds}}.Open() // a world in memory
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close()

	// The owner opens a room, and makes an invitation for guests.
	var room, door chat.Room
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		room = chat.NewRoom(t)
		door.Ref, _ = t.Grant(room.Ref, caps.Terms{For: "guests", Only: chat.Guest()})
		return nil
	})
	fmt.Println("opened:", err)

	// A guest brings a screen, and is given a seat.
	screen, posts := chat.Screen(ctx, rt)
	seat, err := door.Join(ctx, chat.Request{Nick: "ann", Screen: screen})
	fmt.Println("joined:", err)
	fmt.Println("said:", seat.Say(ctx, "Is anybody here?"))
	for p := range posts {
		fmt.Printf("%d %s: %s\n", p.N, p.Nick, p.Text)
		break // nobody looks at the screen any more
	}

	// She is no moderator; the owner is.
	fmt.Println("a guest kicks:", errors.Is(door.Kick(ctx, "ann"), caps.ErrNoMethod))
	fmt.Println("the owner kicks:", room.Kick(ctx, "ann"))
	fmt.Println("she talks on:", errors.Is(seat.Say(ctx, "Hello?"), chat.ErrNoSeat))
	// Output:
	// opened: <nil>
	// joined: <nil>
	// said: <nil>
	// 1 ann: Is anybody here?
	// a guest kicks: true
	// the owner kicks: <nil>
	// she talks on: true
}

// What a room shows its posts on may be an object like any other: here one that keeps only
// how many there were.
func ExampleShow() {
	type tally struct{ N int }
	const count caps.Query[int] = "count"
	kind := sturdy.Define("chat.example/tally",
		sturdy.Command(chat.Show, func(s *tally, _ *sturdy.WriteTurn, posts []chat.Post) error {
			s.N += len(posts)
			return nil
		}),
		sturdy.Query(count, func(s *tally, _ *sturdy.ReadTurn) (int, error) { return s.N, nil }))
	ctx := context.Background()
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{chat.Kinds, kind}}.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close()

	var board caps.Ref
	var seat chat.Seat
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) (err error) {
		board = kind.New(t, tally{})
		seat, err = chat.NewRoom(t).Join(t, chat.Request{Nick: "robot", Screen: board})
		return err
	})
	fmt.Println(err, seat.Say(ctx, "one"), seat.Say(ctx, "two"))
	if _, err := rt.Settle(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(count.Call(ctx, board))
	// Output:
	// <nil> <nil> <nil>
	// 2 <nil>
}
