package chat

import (
	"context"
	"iter"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// What is wrong with the room, and not with the argument.
const (
	ErrTaken  caps.Code = "chat.example/taken"   // somebody of that nickname is here
	ErrNoSeat caps.Code = "chat.example/no seat" // it was left, or taken away
	ErrMuted  caps.Code = "chat.example/muted"   // by a moderator
)

// What a room may be asked. Nobody gives a Room away as it is: see Guest and Moderator.
const (
	Join  caps.Method[Request, Seat] = "join"
	Who   caps.Query[[]Member]       = "who"
	Mute  caps.Command[Silence]      = "mute"
	Kick  caps.Command[string]       = "kick"  // the nickname
	Knock caps.Action                = "knock" // asks every screen whether it is there
)

// What the holder of a seat may ask.
const (
	Say     caps.Command[string]     = "say"
	History caps.Method[int, []Post] = "history" // the last n, oldest first; at most 100
	Leave   caps.Action              = "leave"
)

// Show is what a screen must understand, and all that a room asks of one: posts, in their
// order, each once. None at all is a knock: who takes it is there.
const Show caps.Command[[]Post] = "show"

// Guest and Moderator are what to put into the Terms of a grant. Who is kicked may come
// again; who is not to come again has his grant revoked.
func Guest() []caps.Named { return []caps.Named{Join, Who} }

// Moderator is Guest, and what keeps order.
func Moderator() []caps.Named { return append(Guest(), Mute, Kick) }

// Request is the argument of Join.
type Request struct {
	Nick   string   // 1 to 20 of a-z, A-Z, 0-9, _ and -; case does not tell two apart
	Screen caps.Ref // where the posts are sent to; needs w
	Back   int      // how many earlier posts to show first
}

// Post is what somebody has said.
type Post struct {
	N          int // its number in the room, from 1
	At         time.Time
	Nick, Text string
}

// Member is somebody who has a seat.
type Member struct {
	Nick  string
	Since time.Time
	Muted time.Time // until then; zero or past: not
}

// Silence is the argument of Mute.
type Silence struct {
	Nick string
	For  time.Duration // from now on, up to 30 days; 0 ends an earlier one
}

// Room is a capability to a room: the same calls, as methods.
type Room struct{ caps.Ref }

// Join takes a seat. ErrTaken if the nickname is, caps.ErrBadArgument if it is none,
// caps.ErrOverloaded if all 100 seats are taken; other errors if nothing can be sent to the
// screen.
func (r Room) Join(ctx context.Context, q Request) (Seat, error) { return Join.Call(ctx, r.Ref, q) }

// Who returns who has a seat, by nickname.
func (r Room) Who(ctx context.Context) ([]Member, error) { return Who.Call(ctx, r.Ref) }

// Mute keeps somebody from saying anything. ErrNoSeat if nobody of that nickname is here.
func (r Room) Mute(ctx context.Context, s Silence) error { return Mute.Call(ctx, r.Ref, s) }

// Kick takes somebody's seat away; what is on its way to his screen still gets there.
// ErrNoSeat if nobody of that nickname is here.
func (r Room) Kick(ctx context.Context, nick string) error { return Kick.Call(ctx, r.Ref, nick) }

// Knock finds the screens that are gone, which otherwise the next post does, and vacates
// their seats. It does not wait for that. A screen that cannot be asked, because its host is
// not connected, is gone when it has left four knocks without an answer; so whoever runs the
// room knocks from time to time.
func (r Room) Knock(ctx context.Context) error { return Knock.Call(ctx, r.Ref) }

// Seat is a capability to take part: the same calls, as methods. All fail with ErrNoSeat
// once the seat was left or taken away, or its screen has gone.
type Seat struct{ caps.Ref }

// Say says one line of 1 to 1000 bytes. caps.ErrBadArgument if it is none,
// caps.ErrOverloaded if much was said from this seat just now or the room is full, ErrMuted.
func (s Seat) Say(ctx context.Context, text string) error { return Say.Call(ctx, s.Ref, text) }

// History returns the last n posts, at most 100, oldest first.
func (s Seat) History(ctx context.Context, n int) ([]Post, error) {
	return History.Call(ctx, s.Ref, n)
}

// Leave gives the seat up.
func (s Seat) Leave(ctx context.Context) error { return Leave.Call(ctx, s.Ref) }

// Screen is a screen that this Go code serves by ranging over posts. It is gone when the loop
// ends, or ctx, or the world is closed; see sturdy.Port.
func Screen(ctx context.Context, rt *sturdy.Runtime) (screen caps.Ref, posts iter.Seq[Post]) {
	screen, batches := sturdy.Port(ctx, rt, Show)
	return screen, func(yield func(Post) bool) {
		for batch := range batches {
			for _, p := range batch {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// Kinds are the kinds of the package.
var Kinds = sturdy.Kinds(roomKind, seatKind, feedKind)

// NewRoom makes a room. The caller has every right to it.
func NewRoom(t *sturdy.WriteTurn) Room {
	return Room{roomKind.New(t, room{Posts: sturdy.NewList[Post](t), Members: sturdy.NewMap[string, member](t)})}
}
