package chat_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/chat"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// house is a world with one room.
type house struct {
	*runtimetest.World
	t *testing.T
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{runtimetest.Open(t, chat.Kinds), t}
	h.room()
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) room() chat.Room {
	h.t.Helper()
	ref, err := h.Root().Ensure(h.t.Context(), "lobby", func(t *sturdy.WriteTurn) caps.Ref { return chat.NewRoom(t).Ref })
	h.must(err)
	return chat.Room{Ref: ref}
}

// here is who has a seat.
func (h *house) here() string {
	h.t.Helper()
	ms, err := h.room().Who(h.t.Context())
	h.must(err)
	var names []string
	for _, m := range ms {
		names = append(names, m.Nick)
	}
	return strings.Join(names, " ")
}

// guest is somebody with a screen.
type guest struct {
	chat.Seat
	nick  string
	t     *testing.T
	leave func() // ends the screen; returns when it has
	mu    sync.Mutex
	came  *sync.Cond
	seen  []chat.Post
}

// joins has somebody come in who looks at his screen.
func (h *house) joins(nick string) *guest {
	h.t.Helper()
	return takesSeat(h.t, h.Runtime, h.room(), nick)
}

// takesSeat has somebody whose screen is in the world rt join room.
func takesSeat(t *testing.T, rt *sturdy.Runtime, room chat.Room, nick string) *guest {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	screen, posts := chat.Screen(ctx, rt)
	g := &guest{nick: nick, t: t}
	g.came = sync.NewCond(&g.mu)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for p := range posts {
			g.mu.Lock()
			g.seen = append(g.seen, p)
			g.came.Broadcast()
			g.mu.Unlock()
		}
	}()
	g.leave = func() { cancel(); <-ended }
	t.Cleanup(g.leave)
	var err error
	if g.Seat, err = room.Join(ctx, chat.Request{Nick: nick, Screen: screen}); err != nil {
		t.Fatal(err)
	}
	return g
}

// says says each line.
func (g *guest) says(lines ...string) {
	g.t.Helper()
	for _, l := range lines {
		if err := g.Say(g.t.Context(), l); err != nil {
			g.t.Fatalf("%s says %q: %v", g.nick, l, err)
		}
	}
}

// sees waits until the screen has shown n posts, and returns all that it has.
func (g *guest) sees(n int) []chat.Post {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.seen) < n {
		g.came.Wait()
	}
	return slices.Clone(g.seen)
}

// texts is posts as lines.
func texts(posts []chat.Post) string {
	var ls []string
	for _, p := range posts {
		ls = append(ls, fmt.Sprintf("%d %s: %s", p.N, p.Nick, p.Text))
	}
	return strings.Join(ls, "\n")
}

func TestEveryScreenShowsWhatWasSaid(t *testing.T) {
	h := newHouse(t)
	ann, bob := h.joins("ann"), h.joins("bob")
	ann.says("hello")
	bob.says("hello, ann")
	ann.says("nice day")
	want := "1 ann: hello\n2 bob: hello, ann\n3 ann: nice day"
	for _, g := range []*guest{ann, bob} {
		if got := texts(g.sees(3)); got != want {
			t.Errorf("the screen of %s:\n%s", g.nick, got)
		}
	}
	posts, err := bob.History(t.Context(), 2)
	if err != nil || texts(posts) != "2 bob: hello, ann\n3 ann: nice day" {
		t.Error(texts(posts), err)
	}
}

func TestALateComerSeesWhatHeAsksFor(t *testing.T) {
	h := newHouse(t)
	ann := h.joins("ann")
	for i := range 50 { // more than fits one message
		h.Pass(time.Second)
		ann.says(fmt.Sprint("line ", i+1))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	screen, posts := chat.Screen(ctx, h.Runtime)
	_, err := h.room().Join(ctx, chat.Request{Nick: "bob", Screen: screen, Back: 45})
	h.must(err)
	next := 6
	for p := range posts {
		if p.N != next {
			t.Fatalf("post %d instead of %d", p.N, next)
		}
		if next++; next > 50 {
			break
		}
	}
}

func TestAScreenThatGoesAwayVacatesItsSeat(t *testing.T) {
	h := newHouse(t)
	ann, bob := h.joins("ann"), h.joins("bob")
	bob.leave()
	if h.here() != "ann bob" {
		t.Error("before anybody could notice:", h.here())
	}
	ann.says("bob?")
	h.Settle()
	if h.here() != "ann" {
		t.Error("after the next post:", h.here())
	}
	if err := bob.Say(t.Context(), "yes"); !errors.Is(err, chat.ErrNoSeat) {
		t.Error("a seat without a screen:", err)
	}
	if got := texts(ann.sees(1)); got != "1 ann: bob?" {
		t.Error(got)
	}
	bob2 := h.joins("bob")
	if err := bob.Leave(t.Context()); err != nil {
		t.Error("leaving twice:", err)
	}
	bob2.says("the seat of before does not end mine")
}

// A host that is switched off answers nothing: for the room its screen takes for ever.
func TestWhoDoesNotAnswerKnocksIsGone(t *testing.T) {
	h := newHouse(t)
	screen, posts := chat.Screen(t.Context(), h.Runtime) // nobody looks at it yet
	look, end := iter.Pull(posts)
	defer end()
	slow, err := h.room().Join(t.Context(), chat.Request{Nick: "slow", Screen: screen})
	h.must(err)
	knocks := func(n int) {
		for range n {
			h.must(h.room().Knock(t.Context()))
			h.Settle()
		}
	}
	knocks(3)
	h.must(slow.Say(t.Context(), "I am here"))
	look()     // which answers what he was sent when he joined
	h.Settle() // and what he has said himself
	knocks(1 + 3)
	if h.here() != "slow" {
		t.Error("after three knocks without an answer:", h.here())
	}
	knocks(1)
	if h.here() != "" {
		t.Error("after four:", h.here())
	}
	if err := slow.Say(t.Context(), "I was asleep"); !errors.Is(err, chat.ErrNoSeat) {
		t.Error(err)
	}
}

func TestWhoLeavesSeesNothingMore(t *testing.T) {
	h := newHouse(t)
	ann, bob := h.joins("ann"), h.joins("bob")
	ann.says("one")
	bob.sees(1)
	h.must(bob.Leave(t.Context()))
	ann.says("two")
	h.Settle()
	ann.sees(2)
	if got := texts(bob.sees(1)); got != "1 ann: one" {
		t.Error(got)
	}
	if _, err := bob.History(t.Context(), 10); !errors.Is(err, chat.ErrNoSeat) {
		t.Error(err)
	}
}

func TestAfterACrashHistoryIsThereAndScreensAreNot(t *testing.T) {
	h := newHouse(t)
	ann, bob := h.joins("ann"), h.joins("bob")
	ann.says("one")
	bob.says("two")
	for _, again := range []func(){h.Crash, h.Reopen} {
		again()
		h.must(h.room().Knock(t.Context()))
		h.Settle()
		if h.here() != "" {
			t.Error("after a knock:", h.here())
		}
		cat := h.joins("ann") // the nickname is free again
		posts, err := cat.History(t.Context(), 10)
		if err != nil || texts(posts) != "1 ann: one\n2 bob: two" {
			t.Error(texts(posts), err)
		}
	}
}

// Nobody has to knock: the next post finds out.
func TestAfterACrashTheNextPostVacatesTheSeatsOfBefore(t *testing.T) {
	h := newHouse(t)
	h.joins("ann")
	h.joins("bob")
	h.Crash()
	if h.here() != "ann bob" {
		t.Error(h.here())
	}
	cat := h.joins("cat")
	cat.says("anybody?")
	h.Settle()
	if h.here() != "cat" {
		t.Error(h.here())
	}
}

// The power fails at each operation on the disk. What was said stays, and who was shown
// something is out of the room after one knock.
func TestCrashAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("one run for each operation on the disk")
	}
	said := 0 // in the run under way
	scenario := func(w *runtimetest.World) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ref, err := w.Root().Ensure(ctx, "lobby", func(t *sturdy.WriteTurn) caps.Ref { return chat.NewRoom(t).Ref })
		if err != nil {
			return err
		}
		screen, posts := chat.Screen(ctx, w.Runtime)
		seat, err := chat.Room{Ref: ref}.Join(ctx, chat.Request{Nick: "ann", Screen: screen})
		if err != nil {
			return err
		}
		shown := make(chan int)
		go func() {
			n := 0
			for range posts {
				n++
			}
			shown <- n
		}()
		for i := range 3 {
			if err = seat.Say(ctx, fmt.Sprint("line ", i+1)); err != nil {
				break
			}
			said++
		}
		cancel()
		<-shown
		return err
	}
	runtimetest.EachCrash(t, chat.Kinds, scenario, func(t *testing.T, w *runtimetest.World) {
		h := &house{w, t}
		h.must(h.room().Knock(t.Context()))
		h.Settle()
		if h.here() != "" {
			t.Error("after the crash:", h.here())
		}
		posts, err := h.joins("ann").History(t.Context(), 10)
		if err != nil || len(posts) < said || len(posts) > said+1 {
			t.Errorf("%d were said, and there are %s: %v", said, texts(posts), err)
		}
		said = 0 // the next crash may come before the scenario begins
		h.joins("bob").says("back again")
	})
}
