package sturdy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// curious is a thread that asks, and then says what it was told.
type curious struct {
	To   caps.Ref
	Got  int64
	Text string
}

const (
	curiousRun  caps.Action            = "run"
	curiousPing caps.Action            = "ping"
	curiousTold caps.Query[string]     = "told"
	curiousHey  caps.Command[int64]    = "hey"
	curiousMeet caps.Command[caps.Ref] = "meet"
)

func (a *curious) told(*sturdy.ReadTurn) (string, error) { return a.Text, nil }
func (a *curious) meet(_ *sturdy.WriteTurn, r caps.Ref) error {
	a.To = r
	return nil
}

func curiousTo(th *sturdy.Thread[curious]) (to caps.Ref) {
	_ = th.View(func(_ *sturdy.ReadTurn, a *curious) error { to = a.To; return nil })
	return to
}

func askRun(th *sturdy.Thread[curious]) error {
	n, err := sturdy.Ask[int64](th, "add", counterAdd.To(curiousTo(th), 5), 0)
	return th.Turn("tell", func(_ *sturdy.WriteTurn, a *curious) error {
		if a.Text = "done"; err != nil {
			a.Text = string(caps.CauseOf(err))
		}
		a.Got = n
		return nil
	})
}

var curiousKind = sturdy.Define("example.org/curious",
	sturdy.Query(curiousTold, (*curious).told),
	sturdy.Command(curiousMeet, (*curious).meet),
	sturdy.Runs(curiousRun, askRun),
	sturdy.Runs(curiousPing, func(th *sturdy.Thread[curious]) error {
		if _, err := sturdy.Receive(th, "start", curiousHey, 0); err != nil {
			return err
		}
		_, err := sturdy.Ask[caps.Done](th, "ping", curiousHey.To(curiousTo(th), 1), time.Hour)
		if errors.Is(err, sturdy.ErrTimeout) || errors.Is(err, caps.ErrGone) { // gone: who was asked has timed out first
			return nil
		}
		return err
	}),
)

func TestAThreadAsksExactlyOnceAcrossACrash(t *testing.T) {
	w := runtimetest.Open(t, counterKind, curiousKind)
	c := counterAt(t, w, "c")
	var a caps.Ref
	if err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		a = curiousKind.New(tn, curious{To: c})
		tn.Spawn(curiousRun.To(a), sturdy.Domain{})
		return w.Root().Put(tn, "a", a)
	}); err != nil {
		t.Fatal(err)
	}
	w.Crash()
	w.Settle()
	a, err := w.Root().Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := curiousTold.Call(t.Context(), a); s != "done" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if n, err := counterGet.Call(t.Context(), counterAt(t, w, "c")); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestARingOfThreadsThatWaitForEachOtherIsNamed(t *testing.T) {
	for _, size := range []int{2, 100} {
		w := runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{curiousKind}})
		ctx := t.Context()
		threads := make([]sturdy.ThreadRef, size)
		if err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
			objects := make([]caps.Ref, size)
			for i := range size {
				objects[i] = curiousKind.New(tn, curious{})
				threads[i] = tn.Spawn(curiousPing.To(objects[i]), sturdy.Domain{})
			}
			for i := range size {
				if err := curiousMeet.Call(tn, objects[i], threads[(i+1)%size].Ref); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
			for _, th := range threads {
				curiousHey.Send(tn, th.Ref, 0)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.Settle()
		for i, th := range threads {
			info, err := th.Info(ctx)
			if err != nil || info.State != sturdy.ThreadWaiting || len(info.Ring) != size || info.On == "" {
				t.Errorf("thread %d of %d: %+v, %v", i, size, info, err)
				break
			}
		}
		w.Advance(2 * time.Hour)
		for _, th := range threads {
			if err := th.Wait(ctx); err != nil {
				t.Error(err)
			}
		}
	}
}
