package chat

import sturdy "github.com/sturdyrt/sturdy/runtime"

// seat is what its holder has of a room. It has every right to the room, of which it lets
// its holder use what a seat is for.
type seat struct {
	Room  Room
	Chair chair
}

func (s *seat) say(t *sturdy.WriteTurn, text string) error {
	if err := checkText(text); err != nil {
		return err
	}
	return post.Call(t, s.Room.Ref, line{s.Chair, text})
}

func (s *seat) history(t *sturdy.ReadTurn, n int) ([]Post, error) {
	if n < 0 {
		return nil, bad("the last %d posts", n)
	}
	return last.Call(t, s.Room.Ref, page{s.Chair, n})
}

func (s *seat) leave(t *sturdy.WriteTurn) error { return out.Call(t, s.Room.Ref, s.Chair) }

var seatKind = sturdy.Define("chat.example/seat",
	sturdy.Command(Say, (*seat).say),
	sturdy.Method(History, (*seat).history),
	sturdy.Action(Leave, (*seat).leave),
)
