package sturdy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

const moleGo caps.Command[bool] = "go"

// infiltrate has main run on a thread that holds a room, a helper and a grant of the mole.
func infiltrate(t *testing.T, main func(*sturdy.Thread[mole]) error) (w *runtimetest.World, room caps.Ref, th sturdy.ThreadRef, g sturdy.Grant) {
	t.Helper()
	mk, rk := moleKind(main), roomKind()
	w = runtimetest.Open(t, mk, rk, helperKind)
	if err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		room = rk.New(tn, strongroom{})
		var shared caps.Ref
		shared, g = tn.Grant(mk.New(tn, mole{}), caps.Terms{For: "the mole"})
		th = tn.Spawn(moleMain.To(shared), sturdy.Domain{Holds: map[string]caps.Ref{"room": room, "helper": helperKind.New(tn, helper{})}})
		return errors.Join(w.Root().Put(tn, "room", room), w.Root().Put(tn, "thread", th.Ref))
	}); err != nil {
		t.Fatal(err)
	}
	return w, room, th, g
}

// What was sent, or asked for, is done under the ceiling of that time, also when less is left
// when it arrives, and a crash lies between.
func TestWhatWasSentBeforeShedIsDoneAsOfTheSend(t *testing.T) {
	var late error
	w, _, _, _ := infiltrate(t, func(th *sturdy.Thread[mole]) error {
		room := th.Held("room")
		if err := th.Turn("send", func(t *sturdy.WriteTurn, _ *mole) error {
			t.After(time.Hour, roomAdd.To(room, 1))
			helperTimer.Send(t, th.Held("helper"), room)
			return helperSame.Send(t, th.Held("helper"), room).Then(t, room, roomHeard)
		}); err != nil {
			return err
		}
		if err := th.ShedOn(room, caps.Read); err != nil {
			return err
		}
		late = th.Turn("late", func(t *sturdy.WriteTurn, _ *mole) error { return add(t, room) })
		return nil
	})
	w.Settle()
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Crash()
	w.Advance(2 * time.Hour)
	room, err := w.Root().Get(t.Context(), "room")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := roomN.Call(t.Context(), room); n != 3 || err != nil || !errors.Is(late, caps.ErrNoRight) {
		t.Error(n, err, late)
	}
}

func TestALimitThroughAPromiseIsOneForWhatItCameTo(t *testing.T) {
	var pending, shed, direct error
	w, room, th, _ := infiltrate(t, func(th *sturdy.Thread[mole]) error {
		p, err := sturdy.Step(th, "promise", func(ctx context.Context) (caps.Ref, error) {
			unsettled := moleGo.Send(ctx, th.Thread().Ref, true)
			pending = th.ShedOn(unsettled.Ref(), 0)
			p := helperSame.Send(ctx, th.Held("helper"), th.Held("room"))
			_, err := p.Await(ctx)
			return p.Ref(), err
		})
		if err != nil {
			return err
		}
		shed = th.ShedOn(p, caps.Read)
		direct = th.Turn("add", func(t *sturdy.WriteTurn, _ *mole) error { return add(t, th.Held("room")) })
		return nil
	})
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	if !errors.Is(pending, caps.ErrWouldBlock) || shed != nil || !errors.Is(direct, caps.ErrNoRight) {
		t.Error(pending, shed, direct)
	}
	if n, err := roomN.Call(t.Context(), room); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// A port needs w, also of the ceiling; a thread takes what anybody sends.
func TestACeilingHoldsForPortsAndNotForMessagesToThreads(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var port caps.Ref
	var refused, taken error
	w, _, th, _ := infiltrate(t, func(th *sturdy.Thread[mole]) error {
		if _, err := sturdy.Receive(th, "begin", moleGo, 0); err != nil {
			return err
		}
		if err := errors.Join(th.ShedOn(port, caps.Read), th.ShedOn(th.Thread().Ref, 0)); err != nil {
			return err
		}
		_, _ = sturdy.Step(th, "send", func(ctx context.Context) (bool, error) {
			_, refused = moleGo.Send(ctx, port, true).Await(ctx)
			moleGo.Send(ctx, th.Thread().Ref, true)
			return true, nil
		})
		_, taken = sturdy.Receive(th, "own", moleGo, time.Hour)
		return nil
	})
	port, messages := sturdy.Port(ctx, w.Runtime, moleGo)
	got := make(chan int)
	go func() {
		n := 0
		for range messages {
			n++
		}
		got <- n
	}()
	moleGo.Send(ctx, th.Ref, true)
	if err := th.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n := <-got; n != 0 || !errors.Is(refused, caps.ErrNoRight) || taken != nil {
		t.Error(n, refused, taken)
	}
}

func TestAThreadWhoseObjectIsTakenBackCanDoNothingWithIt(t *testing.T) {
	var turn, view error
	w, _, th, g := infiltrate(t, func(th *sturdy.Thread[mole]) error {
		if _, err := sturdy.Receive(th, "begin", moleGo, 0); err != nil {
			return err
		}
		turn = th.Turn("turn", func(*sturdy.WriteTurn, *mole) error { return nil })
		view = th.View(func(*sturdy.ReadTurn, *mole) error { return nil })
		return nil
	})
	w.Settle()
	if err := g.Revoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	moleGo.Send(t.Context(), th.Ref, true)
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(turn, caps.ErrRevoked) || !errors.Is(view, caps.ErrRevoked) {
		t.Error(turn, view)
	}
}

// What one Step has left running acts under what the thread may do when it acts.
func TestAContextThatOutlivesItsStepHasNoMoreThanTheThread(t *testing.T) {
	kept := make(chan context.Context, 1)
	w, room, th, _ := infiltrate(t, func(th *sturdy.Thread[mole]) error {
		if _, err := sturdy.Step(th, "step", func(ctx context.Context) (bool, error) {
			kept <- context.WithoutCancel(ctx)
			return true, nil
		}); err != nil {
			return err
		}
		return th.Shed(caps.Read)
	})
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := <-kept
	_, other := roomAdd.Send(ctx, room, 1).Await(ctx)
	inTurn := w.Update(ctx, func(t *sturdy.WriteTurn) error { return add(t, room) })
	for _, err := range []error{add(ctx, room), other, inTurn} {
		if !errors.Is(err, caps.ErrNoRight) {
			t.Error(err)
		}
	}
}

// In another world the numbers of objects are others, and the rights hold all the same.
func TestACeilingHoldsInAnotherWorld(t *testing.T) {
	rk := roomKind()
	foreign := runtimetest.Open(t, rk, helperKind)
	room, err := foreign.Root().Ensure(t.Context(), "room", func(tn *sturdy.WriteTurn) caps.Ref { return rk.New(tn, strongroom{}) })
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	_, _, th, _ := infiltrate(t, func(th *sturdy.Thread[mole]) error {
		if err := th.Shed(caps.Read); err != nil {
			return err
		}
		_, _ = sturdy.Step(th, "abroad", func(ctx context.Context) (bool, error) {
			_, sent := roomAdd.Send(ctx, room, 1).Await(ctx)
			_, read := roomN.Call(ctx, room)
			errs = []error{add(ctx, room), sent, read}
			return true, nil
		})
		return nil
	})
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(errs) != 3 || !errors.Is(errs[0], caps.ErrNoRight) || !errors.Is(errs[1], caps.ErrNoRight) || errs[2] != nil {
		t.Error(errs)
	}
}

// Typed collections have no methods that write, and directories are found by everybody.
func TestALimitHoldsForCollectionsAndDirectories(t *testing.T) {
	var m sturdy.Map[string, int64]
	var dir sturdy.Directory
	var errs []error
	w, _, th, _ := infiltrate(t, func(th *sturdy.Thread[mole]) error {
		if _, err := sturdy.Receive(th, "begin", moleGo, 0); err != nil {
			return err
		}
		if err := errors.Join(th.ShedOn(m.Ref, caps.Read), th.ShedOn(dir.Ref, caps.Read)); err != nil {
			return err
		}
		try := func(name string, fn func(t *sturdy.WriteTurn) error) {
			errs = append(errs, th.Turn(name, func(t *sturdy.WriteTurn, _ *mole) error { return fn(t) }))
		}
		try("put", func(t *sturdy.WriteTurn) error { m.Put(t, "a", 2); return nil })
		try("delete", func(t *sturdy.WriteTurn) error { m.Delete(t, "a"); return nil })
		try("directory", func(t *sturdy.WriteTurn) error { return dir.Put(t, "a", m.Ref) })
		_, err := sturdy.Step(th, "ensure", func(ctx context.Context) (caps.Ref, error) {
			return dir.Ensure(ctx, "b", func(t *sturdy.WriteTurn) caps.Ref { return m.Ref })
		})
		errs = append(errs, err)
		return th.View(func(t *sturdy.ReadTurn, _ *mole) error {
			if v, ok := m.Get(t, "a"); !ok || v != 1 {
				return errors.New("the map was written")
			}
			return nil
		})
	})
	if err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		m, dir = sturdy.NewMap[string, int64](tn), sturdy.NewDirectory(tn)
		m.Put(tn, "a", 1)
		return errors.Join(w.Root().Put(tn, "map", m.Ref), w.Root().Put(tn, "dir", dir.Ref))
	}); err != nil {
		t.Fatal(err)
	}
	moleGo.Send(t.Context(), th.Ref, true)
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if !errors.Is(err, caps.ErrNoRight) {
			t.Error(i, err)
		}
	}
	if len(errs) != 4 {
		t.Error(errs)
	}
}

// Less is what is left of the thread, and not of its program: one that sheds no more, because
// it is another by now, has no more.
func TestWhatWasShedIsGoneForAnotherProgramToo(t *testing.T) {
	first := true
	var err error
	w, _, _, _ := infiltrate(t, func(th *sturdy.Thread[mole]) error {
		if first {
			if err := th.ShedOn(th.Held("room"), caps.Read); err != nil {
				return err
			}
		}
		if _, err := sturdy.Receive(th, "begin", moleGo, 0); err != nil {
			return err
		}
		err = th.Turn("add", func(t *sturdy.WriteTurn, _ *mole) error { return add(t, th.Held("room")) })
		return nil
	})
	w.Settle()
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Crash()
	w.Settle()
	first = false
	w.Crash()
	ref, lost := w.Root().Get(t.Context(), "thread")
	if lost != nil {
		t.Fatal(lost)
	}
	moleGo.Send(t.Context(), ref, true)
	if ended := (sturdy.ThreadRef{Ref: ref}).Wait(t.Context()); ended != nil || !errors.Is(err, caps.ErrNoRight) {
		t.Error(ended, err)
	}
}
