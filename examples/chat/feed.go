package chat

import (
	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// feed brings the posts of a room to one screen. It is an object of its own for two reasons:
// an outcome does not say of which send it is, so who hears it has to know; and what waits
// for a screen is charged to its feed, not to the room.
type feed struct {
	Room   caps.Ref
	Nick   string
	Posts  sturdy.List[Post]
	Screen caps.Ref
	Next   int  // how many of Posts were sent, or are not to be
	Busy   bool // Invariant: exactly if a message to the screen, or its outcome, is under way
	Missed int  // knocks while that message was under way
	Ended  bool // the seat is vacant
}

// What a feed is told. Nobody outside of the package has one.
const (
	more   caps.Action                           = "more"  // there are new posts
	knock  caps.Action                           = "knock" // is the screen there?
	stop   caps.Action                           = "stop"  // the seat is vacant
	showed caps.Command[caps.Outcome[caps.Done]] = "showed"
)

// open makes the feed, and sends what the screen is to show first. If nothing can be sent to
// it the turn fails: a screen that every later post failed at would silence the room.
func (f *feed) open(t *sturdy.WriteTurn) (caps.Ref, error) {
	posts := f.waiting(t)
	f.Next, f.Busy = f.Next+len(posts), true
	ref := feedKind.New(t, *f)
	return ref, Show.Send(t, f.Screen, posts).Then(t, ref, showed)
}

func (f *feed) more(t *sturdy.WriteTurn) error {
	if posts := f.waiting(t); len(posts) > 0 {
		return f.show(t, posts)
	}
	return nil
}

// knock sends the screen something, or counts that it has not answered yet. A host that is
// switched off answers nothing, ever, and no promise breaks because of it. Knocks are counted
// and not time, because time passes while the room's own host is down, when nobody can answer.
func (f *feed) knock(t *sturdy.WriteTurn) error {
	if !f.Busy {
		return f.show(t, f.waiting(t))
	}
	if f.Missed++; f.Missed <= maxMissed {
		return nil
	}
	return out.Call(t, f.Room, chair{f.Nick, t.Self()})
}

func (f *feed) stop(*sturdy.WriteTurn) error {
	f.Ended = true
	return nil
}

// showed is the answer to show: the screen has taken what was sent, or it is gone. If there were
// knocks since, it may have gone after that, and is asked again.
func (f *feed) showed(t *sturdy.WriteTurn, o caps.Outcome[caps.Done]) error {
	knocked := f.Missed > 0
	f.Busy, f.Missed = false, 0
	switch {
	case o.Err != nil:
		return out.Call(t, f.Room, chair{f.Nick, t.Self()})
	case knocked:
		return f.show(t, f.waiting(t))
	}
	return f.more(t)
}

// waiting is what to send next.
func (f *feed) waiting(t sturdy.Turn) (posts []Post) {
	for _, p := range f.Posts.Range(t, f.Next, min(f.Next+maxBatch, f.Posts.Len(t))) {
		posts = append(posts, p)
	}
	return posts
}

func (f *feed) show(t *sturdy.WriteTurn, posts []Post) error {
	if f.Busy || f.Ended {
		return nil
	}
	f.Next, f.Busy = f.Next+len(posts), true
	return Show.Send(t, f.Screen, posts).Then(t, t.Self(), showed)
}

var feedKind = sturdy.Define("chat.example/feed",
	sturdy.Action(more, (*feed).more),
	sturdy.Action(knock, (*feed).knock),
	sturdy.Action(stop, (*feed).stop),
	sturdy.Command(showed, (*feed).showed),
)
