package chat_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/chat"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// place is a host with a room.
type place struct {
	t      *testing.T
	dir    string
	listen string
	up     sync.RWMutex // held for writing while it is down
	rt     *sturdy.Runtime
	node   *rpc.Node
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, dir: filepath.Join(t.TempDir(), "w"), listen: "127.0.0.1:0"}
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *place) start() {
	p.t.Helper()
	var err error
	if p.rt, err = sturdy.Open(p.dir, chat.Kinds); err != nil {
		p.t.Fatal(err)
	}
	if p.node, err = rpc.Attach(p.rt, rpc.Options{Listen: p.listen}); err != nil {
		p.t.Fatal(errors.Join(err, p.rt.Close()))
	}
	p.listen = p.node.Address() // the same when it is started again
}

func (p *place) stop() {
	p.t.Helper()
	if err := errors.Join(p.node.Close(), p.rt.Close()); err != nil {
		p.t.Error(err)
	}
}

// restart stops it, calls meanwhile, and starts it again.
func (p *place) restart(meanwhile func()) {
	p.t.Helper()
	p.up.Lock()
	defer p.up.Unlock()
	p.stop()
	defer p.start()
	meanwhile()
}

// waitUp returns when no restart is under way.
func (p *place) waitUp() {
	p.up.RLock()
	defer p.up.RUnlock()
}

func (p *place) room() chat.Room {
	p.t.Helper()
	ref, err := p.rt.Root().Ensure(p.t.Context(), "lobby", func(t *sturdy.WriteTurn) caps.Ref { return chat.NewRoom(t).Ref })
	if err != nil {
		p.t.Fatal(err)
	}
	return chat.Room{Ref: ref}
}

func (p *place) invitation() caps.SturdyRef {
	p.t.Helper()
	s, _, err := p.rt.Save(p.t.Context(), p.room().Ref, caps.Terms{For: "guests", Only: chat.Guest()})
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// visitor is a guest from another host.
type visitor struct {
	*guest
	at *place
}

// visited is another world, in memory, and the room as it has it.
func (p *place) visited(s caps.SturdyRef) (*sturdy.Runtime, *rpc.Node, chat.Room) {
	p.t.Helper()
	rt, err := sturdy.Options{}.Open()
	if err != nil {
		p.t.Fatal(err)
	}
	node, err := rpc.Attach(rt, rpc.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	ref, err := rt.Restore(p.t.Context(), s)
	if err != nil {
		p.t.Fatal(err)
	}
	return rt, node, chat.Room{Ref: ref}
}

// comes has somebody come in with a world of his own, in memory.
func (p *place) comes(nick string, s caps.SturdyRef) *visitor {
	p.t.Helper()
	rt, node, room := p.visited(s)
	g := takesSeat(p.t, rt, room, nick)
	p.t.Cleanup(func() {
		g.leave()
		if err := errors.Join(node.Close(), rt.Close()); err != nil {
			p.t.Error(err)
		}
	})
	return &visitor{g, p}
}

// says says a line, and says it again when the room is back if it cannot have been heard. It
// reports whether it was.
func (v *visitor) says(line string) (known bool) {
	for {
		err := v.Say(v.t.Context(), line)
		switch {
		case err == nil:
			return true
		case errors.Is(err, caps.ErrMaybeExecuted):
			return false
		case !errors.Is(err, caps.ErrNotDelivered):
			v.t.Errorf("%s says %q: %v", v.nick, line, err)
			return false
		}
		v.at.waitUp()
	}
}

// Two talk from hosts of their own, and the room's host is restarted twice. Both screens show
// everything, each line once and in one order.
func TestARestartOfTheRoomsHostLosesNothing(t *testing.T) {
	p := newPlace(t)
	s := p.invitation()
	guests := []*visitor{p.comes("ann", s), p.comes("bob", s)}
	const each = 18 // as much as may be said at once, nearly
	var (
		talk  sync.WaitGroup
		third = make(chan int, 2*each)
		heard [2][each]bool
	)
	for i, g := range guests {
		talk.Go(func() {
			for n := range each {
				heard[i][n] = g.says(fmt.Sprintf("line %d", n))
				third <- n
			}
		})
	}
	for n := range 2 * each {
		<-third
		if n == each/2 || n == each {
			p.restart(func() {})
		}
	}
	talk.Wait()
	for _, g := range guests { // who only listened has to look whether the host is back
		if _, err := g.History(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	said, err := guests[0].History(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range guests {
		if got := texts(g.sees(len(said))); got != texts(said) {
			t.Errorf("the screen of %s:\n%s\nand what was said:\n%s", g.nick, got, texts(said))
		}
	}
	checkSaid(t, said, guests, heard)
}

// checkSaid compares what the room has with what each guest knows to have said.
func checkSaid(t *testing.T, said []chat.Post, guests []*visitor, heard [2][18]bool) {
	t.Helper()
	for i, g := range guests {
		next := 0
		for _, p := range said {
			if p.Nick != g.nick {
				continue
			}
			for next < len(heard[i]) && !heard[i][next] && p.Text != fmt.Sprintf("line %d", next) {
				next++ // it was not known to have been heard, and was not
			}
			if p.Text != fmt.Sprintf("line %d", next) {
				t.Errorf("%s: %q where line %d has to be", g.nick, p.Text, next)
			}
			next++
		}
		for ; next < len(heard[i]); next++ {
			if heard[i][next] {
				t.Errorf("%s: line %d is not there", g.nick, next)
			}
		}
	}
}

func TestACallFailsWhileTheRoomIsDownAndWorksAfterwards(t *testing.T) {
	p := newPlace(t)
	ann := p.comes("ann", p.invitation())
	p.restart(func() {
		if err := ann.Say(t.Context(), "anybody?"); !errors.Is(err, caps.ErrNotDelivered) {
			t.Error(err)
		}
	})
	if !ann.says("hello") {
		t.Error("not heard")
	}
	if got := texts(ann.sees(1)); got != "1 ann: hello" {
		t.Error(got)
	}
	p.waitFor("ann")
}

// What is said while somebody's connection is down is shown when he is back.
func TestWhoComesBackSeesWhatHeMissed(t *testing.T) {
	p := newPlace(t)
	ann := p.comes("ann", p.invitation())
	p.restart(func() {})
	local := takesSeat(t, p.rt, p.room(), "host")
	for n := range 3 {
		if err := local.Say(t.Context(), fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	local.sees(3)
	if _, err := ann.History(t.Context(), 0); err != nil { // now the host can call back
		t.Fatal(err)
	}
	if got := texts(ann.sees(3)); got != "1 host: 0\n2 host: 1\n3 host: 2" {
		t.Error(got)
	}
	local.leave()
}

func TestAVisitorWhoLeavesIsOut(t *testing.T) {
	p := newPlace(t)
	s := p.invitation()
	ann, bob := p.comes("ann", s), p.comes("bob", s)
	if err := bob.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	ann.says("alone")
	ann.sees(1)
	p.waitFor("ann")
}

// A visitor's host closes its world, and answers that the screen is gone; or it vanishes, and
// knocks find that out.
func TestAVisitorWhoVanishesIsOut(t *testing.T) {
	p := newPlace(t)
	s := p.invitation()
	ann := p.comes("ann", s)
	bob := p.comes("bob", s)
	bob.leave() // his screen only
	rt, node, room := p.visited(s)
	takesSeat(t, rt, room, "cat")
	if err := node.Close(); err != nil { // she is there, and nobody can reach her
		t.Fatal(err)
	}
	defer func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	}()
	for n := range 5 {
		if err := p.room().Knock(t.Context()); err != nil {
			t.Fatal(err)
		}
		ann.says("knock")
		ann.sees(n + 1) // so she has answered the knock before
	}
	p.waitFor("ann")
}

// waitFor waits until those have a seat, and nobody else.
func (p *place) waitFor(want string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	for here := ""; here != want; {
		who, err := p.room().Who(ctx)
		if err != nil {
			p.t.Fatalf("%q have a seat: %v", here, err)
		}
		var names []string
		for _, m := range who {
			names = append(names, m.Nick)
		}
		here = strings.Join(names, " ")
	}
}
