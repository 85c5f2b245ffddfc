package chat

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type room struct {
	Posts   sturdy.List[Post]
	Members sturdy.Map[string, member] // by nickname in lower case. Invariant: at most maxSeats
}

// member is what the room knows of a seat.
type member struct {
	Nick  string
	Since time.Time
	Muted time.Time // until then
	Paid  time.Time // until then the seat has used up what it may say, see pace
	Feed  caps.Ref  // to the seat's screen
}

// The room's own side, for seats and feeds. Each names the feed that it speaks for, and only
// the room, the seat and the feed itself have that: who merely holds the room cannot speak
// for anybody.
const (
	post caps.Command[line]        = "post"
	last caps.Method[page, []Post] = "last"
	out  caps.Command[chair]       = "out"
)

// chair says for which seat something is asked.
type chair struct {
	Nick string
	Feed caps.Ref
}

type line struct {
	From chair
	Text string
}

type page struct {
	From chair
	N    int
}

func (r *room) join(t *sturdy.WriteTurn, q Request) (Seat, error) {
	key := strings.ToLower(q.Nick)
	if err := q.check(); err != nil {
		return Seat{}, err
	}
	if _, ok := r.Members.Get(t, key); ok {
		return Seat{}, fmt.Errorf("%w: %s is here already", ErrTaken, q.Nick)
	}
	if r.Members.Len(t) >= maxSeats {
		return Seat{}, fmt.Errorf("%w: all %d seats are taken", caps.ErrOverloaded, maxSeats)
	}
	said := r.Posts.Len(t)
	f := feed{
		Room: t.Self(), Nick: q.Nick, Next: said - min(q.Back, said),
		Posts:  sturdy.List[Post]{Ref: r.Posts.Attenuate(caps.Read)},
		Screen: q.Screen.Attenuate(caps.Write | caps.Shallow),
	}
	ref, err := f.open(t)
	r.Members.Put(t, key, member{Nick: q.Nick, Since: t.Now(), Feed: ref})
	return Seat{seatKind.New(t, seat{Room: Room{t.Self()}, Chair: chair{q.Nick, ref}})}, err
}

func (r *room) who(t *sturdy.ReadTurn) ([]Member, error) {
	var ms []Member
	for _, m := range r.Members.All(t) {
		ms = append(ms, Member{m.Nick, m.Since, m.Muted})
	}
	return ms, nil
}

// named is whoever has that nickname.
func (r *room) named(t sturdy.Turn, nick string) (member, error) {
	m, ok := r.Members.Get(t, strings.ToLower(nick))
	if !ok {
		return m, fmt.Errorf("%w: nobody is called %q here", ErrNoSeat, nick)
	}
	return m, nil
}

// seated is whoever has that seat; nobody does once it was left, even if the nickname is
// somebody's again.
func (r *room) seated(t sturdy.Turn, c chair) (member, error) {
	if m, ok := r.Members.Get(t, strings.ToLower(c.Nick)); ok && m.Feed.Same(c.Feed) {
		return m, nil
	}
	return member{}, fmt.Errorf("%w: %s has left, was taken out, or has a screen that is gone", ErrNoSeat, c.Nick)
}

func (r *room) put(t *sturdy.WriteTurn, m member) { r.Members.Put(t, strings.ToLower(m.Nick), m) }

func (r *room) post(t *sturdy.WriteTurn, l line) error {
	m, err := r.seated(t, l.From)
	if err != nil {
		return err
	}
	if err := m.pace(t.Now()); err != nil {
		return err
	}
	said := r.Posts.Len(t)
	if said >= maxPosts {
		return fmt.Errorf("%w: %d posts were made here; open another room", caps.ErrOverloaded, maxPosts)
	}
	r.put(t, m)
	r.Posts.Append(t, Post{said + 1, t.Now(), m.Nick, l.Text})
	for _, m := range r.Members.All(t) {
		if err := more.Call(t, m.Feed); err != nil {
			return err
		}
	}
	return nil
}

// pace charges m for saying something: burst lines at once, and then one in each interval.
func (m *member) pace(now time.Time) error {
	if now.Before(m.Muted) {
		return fmt.Errorf("%w: until %s", ErrMuted, m.Muted.Format(time.RFC3339))
	}
	m.Paid = slices.MaxFunc([]time.Time{m.Paid, now}, time.Time.Compare).Add(interval)
	if m.Paid.Sub(now) > burst*interval {
		return fmt.Errorf("%w: %d lines at once, and then one in %v", caps.ErrOverloaded, burst, interval)
	}
	return nil
}

func (r *room) last(t *sturdy.ReadTurn, p page) (ps []Post, err error) {
	if _, err := r.seated(t, p.From); err != nil {
		return nil, err
	}
	said := r.Posts.Len(t)
	for _, p := range r.Posts.Range(t, max(0, said-min(p.N, maxHistory)), said) {
		ps = append(ps, p)
	}
	return ps, nil
}

func (r *room) mute(t *sturdy.WriteTurn, s Silence) error {
	m, err := r.named(t, s.Nick)
	if err != nil {
		return err
	}
	if s.For < 0 || s.For > maxSilence {
		return bad("a silence of %v; it is 0 to %v", s.For, time.Duration(maxSilence))
	}
	m.Muted = t.Now().Add(s.For)
	r.put(t, m)
	return nil
}

func (r *room) kick(t *sturdy.WriteTurn, nick string) error {
	m, err := r.named(t, nick)
	if err != nil {
		return err
	}
	return r.vacate(t, m)
}

// out vacates a seat; one that is vacant already is fine: leaving, kicking and the end of the
// screen may all come at once.
func (r *room) out(t *sturdy.WriteTurn, c chair) error {
	m, err := r.seated(t, c)
	if err != nil {
		return nil
	}
	return r.vacate(t, m)
}

func (r *room) vacate(t *sturdy.WriteTurn, m member) error {
	r.Members.Delete(t, strings.ToLower(m.Nick))
	return stop.Call(t, m.Feed)
}

func (r *room) knock(t *sturdy.WriteTurn) error {
	var feeds []caps.Ref // first, as some seats may be vacated
	for _, m := range r.Members.All(t) {
		feeds = append(feeds, m.Feed)
	}
	for _, f := range feeds {
		if err := knock.Call(t, f); err != nil {
			return err
		}
	}
	return nil
}

var roomKind = sturdy.Define("chat.example/room",
	sturdy.Method(Join, (*room).join),
	sturdy.Query(Who, (*room).who),
	sturdy.Command(Mute, (*room).mute),
	sturdy.Command(Kick, (*room).kick),
	sturdy.Action(Knock, (*room).knock),
	sturdy.Command(post, (*room).post),
	sturdy.Method(last, (*room).last),
	sturdy.Command(out, (*room).out),
)
