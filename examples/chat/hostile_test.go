package chat_test

import (
	"context"
	"errors"
	"fmt"
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

// waits fails unless, soon, so many messages wait for screens: a program that has been shown one may
// not have had it removed yet.
func (h *house) waits(want int) {
	h.t.Helper()
	got := h.waiting()
	for end := time.Now().Add(10 * time.Second); got != want && time.Now().Before(end); got = h.waiting() {
		<-time.After(time.Millisecond)
	}
	if got != want {
		h.t.Errorf("%d messages wait for screens, want %d", got, want)
	}
}

// waiting is how many messages are under way to screens.
func (h *house) waiting() (n int) {
	h.t.Helper()
	for l, err := range h.Activity().Letters(h.t.Context()) {
		h.must(err)
		if l.Method == chat.Show.Name() {
			n++
		}
	}
	return n
}

func TestAFloodStopsAtWhoMakesIt(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	screen, posts := chat.Screen(ctx, h.Runtime) // nobody looks at it
	_, err := h.room().Join(ctx, chat.Request{Nick: "slow", Screen: screen})
	h.must(err)
	ann, mallory := h.joins("ann"), h.joins("mallory")
	n := 0
	for range 3 {
		for err = error(nil); err == nil; n++ {
			err = mallory.Say(ctx, "buy")
		}
		n--
		if !errors.Is(err, caps.ErrOverloaded) {
			t.Fatal(err)
		}
		ann.says("stop that")
		n++
		h.Pass(10 * time.Second)
	}
	if n != 63 {
		t.Errorf("%d lines in 30 s", n)
	}
	for i, p := range ann.sees(n) {
		if p.N != i+1 {
			t.Fatalf("ann sees post %d as number %d", p.N, i+1)
		}
	}
	h.waits(1) // for the slow one
	want := 1
	for p := range posts { // now somebody looks, and has missed nothing
		if p.N != want {
			t.Fatalf("post %d instead of %d", p.N, want)
		}
		if want++; want > n {
			break
		}
	}
}

// Fifty people talk at once. Each screen shows everything, each once, and in one order.
func TestFifty(t *testing.T) {
	h := &house{runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{chat.Kinds}}), t}
	var all []*guest
	for i := range 50 {
		all = append(all, h.joins(fmt.Sprint("guest-", i)))
	}
	const each = 4
	var said sync.WaitGroup
	for _, g := range all {
		said.Go(func() {
			for i := range each {
				if err := g.Say(t.Context(), fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	said.Wait()
	first := texts(all[0].sees(50 * each))
	next := map[string]int{}
	for i, p := range all[0].sees(0) {
		if p.N != i+1 || p.Text != fmt.Sprint(next[p.Nick]) {
			t.Fatalf("post %d of %s as number %d: %s", p.N, p.Nick, i+1, p.Text)
		}
		next[p.Nick]++
	}
	for _, g := range all {
		if texts(g.sees(50*each)) != first {
			t.Errorf("the screen of %s differs", g.nick)
		}
	}
}

func TestWhatIsRefusedToWhoJoins(t *testing.T) {
	h := newHouse(t)
	h.joins("ann")
	screen, _ := chat.Screen(t.Context(), h.Runtime)
	other := runtimetest.Open(t, chat.Kinds)
	foreign, _ := chat.Screen(t.Context(), other.Runtime)
	for name, c := range map[string]struct {
		q    chat.Request
		want caps.Code
	}{
		"no name":          {chat.Request{Screen: screen}, caps.ErrBadArgument},
		"a long name":      {chat.Request{Nick: strings.Repeat("x", 21), Screen: screen}, caps.ErrBadArgument},
		"two words":        {chat.Request{Nick: "bob b", Screen: screen}, caps.ErrBadArgument},
		"a look-alike":     {chat.Request{Nick: "аnn", Screen: screen}, caps.ErrBadArgument}, // the first letter is Cyrillic
		"an escape":        {chat.Request{Nick: "b\x1b[2J", Screen: screen}, caps.ErrBadArgument},
		"taken":            {chat.Request{Nick: "ANN", Screen: screen}, chat.ErrTaken},
		"from behind":      {chat.Request{Nick: "bob", Screen: screen, Back: -1}, caps.ErrBadArgument},
		"no screen":        {chat.Request{Nick: "bob"}, caps.ErrNull},
		"a foreign screen": {chat.Request{Nick: "bob", Screen: foreign}, caps.ErrWouldBlock},
		"a deaf screen":    {chat.Request{Nick: "bob", Screen: screen.Attenuate(caps.Read | caps.Shallow)}, caps.ErrBadArgument},
	} {
		if _, err := h.room().Join(t.Context(), c.q); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.waits(0)
	if h.here() != "ann" {
		t.Error(h.here())
	}
	if _, err := h.room().Join(t.Context(), chat.Request{Nick: "bob", Screen: screen, Back: 1 << 60}); err != nil {
		t.Error("all there is:", err)
	}
}

// A screen may be any object. One that understands no show is gone, and is asked nothing else.
func TestAScreenThatIsNone(t *testing.T) {
	h := newHouse(t)
	ann := h.joins("ann")
	room := h.room()
	for nick, screen := range map[string]caps.Ref{
		"room": room.Ref, "seat": ann.Ref, "root": h.Root().Ref,
	} {
		_, err := room.Join(t.Context(), chat.Request{Nick: nick, Screen: screen})
		h.must(err)
	}
	ann.says("hello")
	h.Settle()
	if h.here() != "ann" {
		t.Error(h.here())
	}
}

func TestAScreenIsForShowingOnly(t *testing.T) {
	h := newHouse(t)
	screen, _ := chat.Screen(t.Context(), h.Runtime)
	for _, m := range []caps.Action{"leave", "knock", "close", "more"} {
		if err := m.Call(t.Context(), screen); !errors.Is(err, caps.ErrNoMethod) {
			t.Errorf("%s: %v", m, err)
		}
	}
}

func TestTheRoomIsFull(t *testing.T) {
	h := &house{runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{chat.Kinds}}), t}
	screen, _ := chat.Screen(t.Context(), h.Runtime)
	room := h.room()
	var err error
	n := 0
	for ; err == nil; n++ {
		_, err = room.Join(t.Context(), chat.Request{Nick: fmt.Sprint("guest-", n), Screen: screen})
	}
	if !errors.Is(err, caps.ErrOverloaded) || n != 101 {
		t.Error(n, err)
	}
}

func TestWhatIsRefusedToWhoTalks(t *testing.T) {
	h := newHouse(t)
	ann := h.joins("ann")
	for _, text := range []string{"", "  ", "a\nb", "a\x1b[2J", "a\x00", "\xff", "a\u202eb", "a\u2028b", strings.Repeat("x", 1001)} {
		if err := ann.Say(t.Context(), text); !errors.Is(err, caps.ErrBadArgument) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if _, err := ann.History(t.Context(), -1); !errors.Is(err, caps.ErrBadArgument) {
		t.Error(err)
	}
	ann.says(strings.Repeat("x", 1000))
	posts, err := ann.History(t.Context(), 1<<60)
	if err != nil || len(posts) != 1 {
		t.Error(len(posts), err)
	}
}

// facet is what is left of the room for who may only call those methods.
func (h *house) facet(only []caps.Named) (r chat.Room, g sturdy.Grant) {
	h.t.Helper()
	room := h.room()
	h.must(h.Update(h.t.Context(), func(t *sturdy.WriteTurn) error {
		r.Ref, g = t.Grant(room.Ref, caps.Terms{Only: only})
		return nil
	}))
	return r, g
}

func TestAModeratorKeepsOrder(t *testing.T) {
	h := newHouse(t)
	mallory := h.joins("Mallory")
	guests, _ := h.facet(chat.Guest())
	mod, _ := h.facet(chat.Moderator())
	ctx := t.Context()
	for _, err := range []error{guests.Mute(ctx, chat.Silence{Nick: "mallory", For: time.Hour}), guests.Kick(ctx, "mallory"), guests.Knock(ctx), mod.Knock(ctx)} {
		if !errors.Is(err, caps.ErrNoMethod) {
			t.Error("without the right:", err)
		}
	}
	if err := mod.Mute(ctx, chat.Silence{Nick: "mallory", For: -1}); !errors.Is(err, caps.ErrBadArgument) {
		t.Error(err)
	}
	if err := mod.Kick(ctx, "nobody"); !errors.Is(err, chat.ErrNoSeat) {
		t.Error(err)
	}
	h.must(mod.Mute(ctx, chat.Silence{Nick: "mallory", For: time.Hour}))
	if err := mallory.Say(ctx, "buy"); !errors.Is(err, chat.ErrMuted) {
		t.Error(err)
	}
	h.Pass(time.Hour)
	mallory.says("buy")
	h.must(mod.Kick(ctx, "mallory"))
	if err := mallory.Say(ctx, "buy"); !errors.Is(err, chat.ErrNoSeat) || h.here() != "" {
		t.Error(err, h.here())
	}
}

func TestARevokedInvitationLetsNobodyIn(t *testing.T) {
	h := newHouse(t)
	guests, g := h.facet(chat.Guest())
	screen, _ := chat.Screen(t.Context(), h.Runtime)
	seat, err := guests.Join(t.Context(), chat.Request{Nick: "ann", Screen: screen})
	h.must(err)
	h.must(g.Revoke(t.Context()))
	if _, err := guests.Join(t.Context(), chat.Request{Nick: "bob", Screen: screen}); !errors.Is(err, caps.ErrRevoked) {
		t.Error(err)
	}
	h.must(seat.Say(t.Context(), "I was handed this seat, and keep it"))
}

// Who holds the whole room still cannot speak for anybody: for that it takes the feed, which
// nothing gives away.
func TestNobodySpeaksForAnother(t *testing.T) {
	h := newHouse(t)
	ann := h.joins("ann")
	type chair struct {
		Nick string
		Feed caps.Ref
	}
	type line struct {
		From chair
		Text string
	}
	room := h.room()
	const post caps.Command[line] = "post"
	for _, feed := range []caps.Ref{{}, room.Ref, ann.Ref} {
		if err := post.Call(t.Context(), room.Ref, line{chair{"ann", feed}, "I owe bob 100"}); !errors.Is(err, chat.ErrNoSeat) {
			t.Error(err)
		}
	}
	info, err := h.Describe(t.Context(), ann.Ref)
	h.must(err)
	var methods []string
	for _, m := range info.Kind.Methods {
		methods = append(methods, m.Name)
	}
	slices.Sort(methods)
	if got := fmt.Sprint(methods); got != "[history leave say]" {
		t.Error("a seat has", got)
	}
}
