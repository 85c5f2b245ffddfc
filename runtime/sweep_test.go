package sturdy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	goruntime "runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

const (
	lampLight caps.Method[int64, int64] = "light"
	lampQuit  caps.Command[caps.Done]   = "quit"
	lampCrash caps.Command[caps.Done]   = "crash"
)

// lamp counts how often it was lit.
type lamp struct{ N int64 }

var lampKind = Define("test.example/lamp",
	Method(lampLight, func(l *lamp, _ *WriteTurn, n int64) (int64, error) { l.N += n; return l.N, nil }),
	Command(lampQuit, func(l *lamp, _ *WriteTurn, _ caps.Done) error { l.N += 1000; goruntime.Goexit(); return nil }),
	Command(lampCrash, func(l *lamp, _ *WriteTurn, _ caps.Done) error { l.N += 1000; panic("crash") }))

func lamps(t *testing.T, o Options) (rt *Runtime, a, b caps.Ref) {
	o.Kinds = []Kind{lampKind}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	rt, err := o.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(rt.Check(context.Background()), rt.Close()); err != nil {
			t.Error(err)
		}
	})
	for i, r := range []*caps.Ref{&a, &b} {
		if *r, err = rt.Root().Ensure(t.Context(), fmt.Sprint("lamp", i), func(t *WriteTurn) caps.Ref { return lampKind.New(t, lamp{}) }); err != nil {
			t.Fatal(err)
		}
	}
	return rt, a, b
}

// swept has send send in a turn, and delivers that before the postman can.
func (rt *Runtime) swept(send func(*WriteTurn)) {
	over, v := make(chan struct{}), rt.vat
	go func() { // as a method may end it
		defer close(over)
		v.w.lockInternal()
		left := true
		defer func() {
			if !left { // else whoever ended the goroutine has unlocked it
				v.w.unlock()
			}
		}()
		t := v.turn(context.Background(), "test", nil)
		_, _ = v.finish(t, updateOnce(t, func(t *WriteTurn) error { send(t); return nil }))
		v.sweep()
		left = false
	}()
	<-over
}

func TestAMethodThatEndsItsGoroutineStopsNoDelivery(t *testing.T) {
	for _, checked := range []bool{false, true} {
		t.Run(fmt.Sprint("checked ", checked), func(t *testing.T) {
			_, a, b := lamps(t, Options{Checked: checked})
			for i := range int64(20) {
				bad := lampQuit.Send(t.Context(), a, caps.Done{})
				n, err := lampLight.Send(t.Context(), b, 1).Await(t.Context())
				if n != i+1 || err != nil {
					t.Fatal("another object:", n, err)
				}
				if _, err := bad.Await(t.Context()); !errors.Is(err, caps.ErrPanicked) {
					t.Fatal("the one that ended it:", err)
				}
			}
			if n, err := lampLight.Send(t.Context(), a, 1).Await(t.Context()); n != 1 || err != nil {
				t.Error("the same object:", n, err)
			}
		})
	}
}

func TestTheFlusherLeavesToThePostmanWhatEndsBadly(t *testing.T) {
	rt, a, b := lamps(t, Options{})
	for name, bad := range map[string]caps.Command[caps.Done]{"goexit": lampQuit, "panic": lampCrash} {
		for i := range int64(20) {
			var first, second caps.Promise[int64]
			var failed caps.Promise[caps.Done]
			rt.swept(func(t *WriteTurn) {
				first = lampLight.Send(t, b, 1)
				failed = bad.Send(t, a, caps.Done{})
				second = lampLight.Send(t, b, -1)
			})
			if _, err := failed.Await(t.Context()); !errors.Is(err, caps.ErrPanicked) {
				t.Fatal(name, i, err)
			}
			if n, err := first.Await(t.Context()); n != 1 || err != nil {
				t.Fatal(name, i, n, err)
			}
			if n, err := second.Await(t.Context()); n != 0 || err != nil {
				t.Fatal(name, i, n, err)
			}
		}
	}
	var swept caps.Promise[int64]
	rt.swept(func(t *WriteTurn) { swept = lampLight.Send(t, a, 1) })
	if h, _, _ := rt.open(swept.Ref()); latentOf(h) == nil || latentOf(h).outcome.Load() == nil {
		t.Error("nothing is swept any more")
	}
}

// loud is a handler that writes to the world when a letter is buried, and waits for the disk.
type loud struct {
	slog.Handler
	rt   *atomic.Pointer[Runtime]
	done chan error
}

func (l loud) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "a message could not be delivered, and is kept as a dead letter" {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		l.done <- l.rt.Load().Update(ctx, func(t *WriteTurn) error { lampKind.New(t, lamp{}); return nil })
	}
	return nil
}

func (loud) Enabled(context.Context, slog.Level) bool { return true }

func TestAHandlerOfTheLogMayWriteWhenTheFlusherBuries(t *testing.T) {
	var at atomic.Pointer[Runtime]
	done := make(chan error, 10)
	rt, _, _ := lamps(t, Options{Log: slog.New(loud{slog.DiscardHandler, &at, done})})
	at.Store(rt)
	other, there, _ := lamps(t, Options{})
	token, err := other.Export(t.Context(), there, rt.Host())
	if err != nil {
		t.Fatal(err)
	}
	away, err := rt.Import(token, other.Host(), "")
	if err != nil {
		t.Fatal(err)
	}
	waits := lampLight.Send(t.Context(), away, 1)
	id := ""
	for l, err := range rt.Activity().Letters(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		id = l.ID
	}
	rt.swept(func(t *WriteTurn) { _ = askDiscard.Send(t, rt.Activity().Ref, id) })
	// Which of the two it is depends on whether the courier has the letter in its hands just now.
	if _, err := waits.Await(t.Context()); !errors.Is(err, caps.ErrNotDelivered) && !errors.Is(err, caps.ErrMaybeExecuted) {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
