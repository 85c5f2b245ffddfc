package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

const (
	rooms    = 4
	maxMarks = 60
	anything = caps.Read | caps.Write | caps.Run
)

// misdeed is one thing that a scripted thread does. Its mark is a bit of the room's number, so the
// number says which many have succeeded.
type misdeed struct {
	what   string
	room   int
	mark   int64
	keep   caps.Rights         // of shed
	child  int                 // of spawn: its script
	limits map[int]caps.Rights // of spawn
}

// plan is random scripts, and what the twin says that the rooms come to.
type plan struct {
	rng     *rand.Rand
	scripts [][]misdeed
	marks   int
	want    [rooms]int64
}

// script makes one for a thread that may do what may says, and does it on paper.
func (p *plan) script(may map[int]caps.Rights, many int) int {
	id := len(p.scripts)
	p.scripts = append(p.scripts, nil)
	var ds []misdeed
	for range many {
		room := p.rng.IntN(rooms)
		d := misdeed{what: misdeeds[p.rng.IntN(len(misdeeds))], room: room}
		switch d.what {
		case "shed":
			d.keep = caps.Rights(p.rng.IntN(8))
			may[room] &= d.keep
		case "spawn":
			d.limits = map[int]caps.Rights{}
			theirs, refused := maps.Clone(may), false
			for range p.rng.IntN(3) {
				r := p.rng.IntN(rooms)
				d.limits[r] = caps.Rights(p.rng.IntN(8))
			}
			for r, l := range d.limits {
				refused = refused || l&^may[r] != 0
				theirs[r] &= l
			}
			if before := p.want; p.marks < maxMarks-8 {
				d.child = p.script(theirs, 1+p.rng.IntN(6))
				if refused {
					p.want = before
				}
			} else {
				continue
			}
		default:
			if p.marks == maxMarks {
				continue
			}
			d.mark = 1 << p.marks
			p.marks++
			if may[room]&caps.Write != 0 {
				p.want[room] |= d.mark
			}
		}
		ds = append(ds, d)
	}
	p.scripts[id] = ds
	return id
}

var misdeeds = []string{"shed", "shed", "spawn", "call", "nested", "send", "relay", "timer", "pipe", "step", "step sends", "every"}

func (d misdeed) do(th *sturdy.Thread[mole], name string, mk *sturdy.KindOf[mole]) error {
	room, helper := th.Held(fmt.Sprint("room", d.room)), th.Held("helper")
	turn := func(fn func(t *sturdy.WriteTurn) error) error {
		return th.Turn(name, func(t *sturdy.WriteTurn, _ *mole) error { return fn(t) })
	}
	switch d.what {
	case "shed":
		return th.ShedOn(room, d.keep)
	case "spawn":
		return turn(func(t *sturdy.WriteTurn) error {
			dom := sturdy.Domain{Holds: holdings(th), Limits: map[caps.Ref]caps.Rights{}}
			for r, l := range d.limits {
				dom.Limits[th.Held(fmt.Sprint("room", r))] = l
			}
			t.Spawn(moleMain.To(mk.New(t, mole{Log: []string{strconv.Itoa(d.child)}})), dom)
			return nil
		})
	case "call":
		return turn(func(t *sturdy.WriteTurn) error { return roomMark.Call(t, room, d.mark) })
	case "nested":
		return turn(func(t *sturdy.WriteTurn) error { return helperMark.Call(t, helper, marking{room, d.mark}) })
	case "send":
		return turn(func(t *sturdy.WriteTurn) error { roomMark.Send(t, room, d.mark); return nil })
	case "relay":
		return turn(func(t *sturdy.WriteTurn) error { helperMark.Send(t, helper, marking{room, d.mark}); return nil })
	case "timer":
		return turn(func(t *sturdy.WriteTurn) error { t.After(time.Minute, roomMark.To(room, d.mark)); return nil })
	case "every":
		return turn(func(t *sturdy.WriteTurn) error { t.Every(time.Hour, roomMark.To(room, d.mark)); return nil })
	case "pipe":
		return turn(func(t *sturdy.WriteTurn) error {
			roomMark.Send(t, helperSame.Send(t, helper, room).Ref(), d.mark)
			return nil
		})
	}
	_, err := sturdy.Step(th, name, func(ctx context.Context) (bool, error) {
		if d.what == "step" {
			return true, roomMark.Call(ctx, room, d.mark)
		}
		roomMark.Send(ctx, room, d.mark)
		return true, nil
	})
	return err
}

func holdings(th *sturdy.Thread[mole]) map[string]caps.Ref {
	h := map[string]caps.Ref{"helper": th.Held("helper")}
	for i := range rooms {
		name := fmt.Sprint("room", i)
		h[name] = th.Held(name)
	}
	return h
}

// Random threads shed, spawn, call and send, while the power fails: each misdeed has succeeded in
// the end exactly if a twin, which knows only what was given and shed, says that it may.
func TestRandomThreadsDoWhatTheTwinAllowsAndNothingElse(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("STURDY_SEED"), 0, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("STURDY_SEED=%d", seed)
	for round := range uint64(8) {
		p := &plan{rng: rand.New(rand.NewPCG(seed, round))}
		may := map[int]caps.Rights{}
		for i := range rooms {
			may[i] = anything
		}
		p.script(may, 24)
		if got := p.play(t); got != p.want {
			t.Errorf("round %d: the rooms say %b; the twin %b (scripts %+v)", round, got, p.want, p.scripts)
		}
	}
}

// play runs the scripts in a world.
func (p *plan) play(t *testing.T) (got [rooms]int64) {
	t.Helper()
	rk := roomKind()
	var mk *sturdy.KindOf[mole]
	mk = moleKind(func(th *sturdy.Thread[mole]) error {
		id := 0
		if err := th.View(func(_ *sturdy.ReadTurn, m *mole) (err error) {
			id, err = strconv.Atoi(m.Log[0])
			return err
		}); err != nil {
			return err
		}
		for i, d := range p.scripts[id] {
			if err := d.do(th, fmt.Sprint(i), mk); err != nil && !errors.Is(err, caps.ErrNoRight) {
				return err
			}
		}
		return nil
	})
	w, ctx := runtimetest.Open(t, rk, helperKind, mk), t.Context()
	if err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		d := sturdy.Domain{Holds: map[string]caps.Ref{"helper": helperKind.New(tn, helper{})}}
		for i := range rooms {
			name := fmt.Sprint("room", i)
			d.Holds[name] = rk.New(tn, strongroom{})
			if err := w.Root().Put(tn, name, d.Holds[name]); err != nil {
				return err
			}
		}
		tn.Spawn(moleMain.To(mk.New(tn, mole{Log: []string{"0"}})), d)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range p.rng.IntN(4) {
		if p.rng.IntN(2) == 0 {
			w.Settle()
		}
		if p.rng.IntN(3) == 0 {
			w.Reopen()
		} else {
			w.Crash()
		}
	}
	w.Settle()
	w.Advance(time.Hour + time.Minute)
	for th, err := range w.Activity().Threads(ctx) {
		t.Errorf("a thread has not ended: %+v, %v", th, err)
	}
	for i := range rooms {
		room, err := w.Root().Get(ctx, fmt.Sprint("room", i))
		if err != nil {
			t.Fatal(err)
		}
		// A room may be looked at by the test, whatever the threads have shed.
		if got[i], err = roomN.Call(ctx, room); err != nil {
			t.Fatal(err)
		}
	}
	return got
}
