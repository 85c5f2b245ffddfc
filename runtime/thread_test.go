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

// parcel is what the threads of these tests run on.
type parcel struct{ Log []string }

const (
	parcelShip    caps.Action          = "ship"
	parcelLoop    caps.Action          = "loop"
	parcelFail    caps.Action          = "fail"
	parcelLog     caps.Query[[]string] = "log"
	parcelApprove caps.Command[bool]   = "approve"
	parcelNext    caps.Command[int64]  = "next"
)

func (p *parcel) log(*sturdy.ReadTurn) ([]string, error) { return p.Log, nil }

func note(th *sturdy.Thread[parcel], name, text string) error {
	return th.Turn(name, func(_ *sturdy.WriteTurn, p *parcel) error {
		p.Log = append(p.Log, text)
		return nil
	})
}

func ship(th *sturdy.Thread[parcel]) error {
	if err := note(th, "reserve", "reserved"); err != nil {
		return err
	}
	ok, err := sturdy.Receive(th, "approval", parcelApprove, 48*time.Hour)
	if errors.Is(err, sturdy.ErrTimeout) {
		return note(th, "late", "nobody approved")
	}
	if errors.Is(err, sturdy.ErrCanceled) {
		return note(th, "undo", "undone")
	}
	if err != nil || !ok {
		return errors.Join(err, note(th, "rejected", "rejected"))
	}
	id, err := sturdy.Step(th, "charge", func(ctx context.Context) (string, error) { return "paid", nil })
	if err != nil {
		return err
	}
	if err := th.Sleep("cooling off", 24*time.Hour); err != nil {
		return err
	}
	return note(th, "ship", "shipped, "+id)
}

func loop(th *sturdy.Thread[parcel]) error {
	return th.Loop("inbox", func(uint64) (bool, error) {
		n, err := sturdy.Receive(th, "next", parcelNext, 0)
		if err != nil {
			return false, err
		}
		if err := note(th, "handle", string(rune('a'+n))); err != nil {
			return false, err
		}
		return n < 3, nil
	})
}

var parcelKind = sturdy.Define("example.org/parcel",
	sturdy.Query(parcelLog, (*parcel).log),
	sturdy.Runs(parcelShip, ship),
	sturdy.Runs(parcelLoop, loop),
	sturdy.Runs(parcelFail, func(th *sturdy.Thread[parcel]) error { return errors.New("out of tape") }),
)

func spawn(t *testing.T, w *runtimetest.World, program caps.Action) (p caps.Ref, th sturdy.ThreadRef) {
	t.Helper()
	if err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		p = parcelKind.New(tn, parcel{})
		th = tn.Spawn(program.To(p), sturdy.Domain{})
		return errors.Join(w.Root().Put(tn, "parcel", p), w.Root().Put(tn, "thread", th.Ref))
	}); err != nil {
		t.Fatal(err)
	}
	return p, th
}

func find(t *testing.T, w *runtimetest.World) (p caps.Ref, th sturdy.ThreadRef) {
	t.Helper()
	p, err := w.Root().Get(t.Context(), "parcel")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := w.Root().Get(t.Context(), "thread")
	if err != nil {
		t.Fatal(err)
	}
	return p, sturdy.ThreadRef{Ref: ref}
}

func wantLog(t *testing.T, p caps.Ref, want ...string) {
	t.Helper()
	got, err := parcelLog.Call(t.Context(), p)
	if err != nil || !equal(got, want) {
		t.Fatalf("log %q, %v; want %q", got, err, want)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestAThreadGoesThroughItsStepsAcrossRestarts(t *testing.T) {
	w := runtimetest.Open(t, parcelKind)
	p, th := spawn(t, w, parcelShip)
	w.Settle()
	wantLog(t, p, "reserved")
	info, err := th.Info(t.Context())
	if err != nil || info.State != sturdy.ThreadWaiting || info.Waits != "message approve" {
		t.Fatalf("%+v, %v", info, err)
	}
	w.Crash()
	p, th = find(t, w)
	w.Settle()
	wantLog(t, p, "reserved")
	parcelApprove.Send(t.Context(), th.Ref, true)
	w.Settle()
	w.Reopen()
	p, th = find(t, w)
	w.Advance(23 * time.Hour)
	wantLog(t, p, "reserved")
	w.Advance(2 * time.Hour)
	wantLog(t, p, "reserved", "shipped, paid")
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range w.Activity().Threads(t.Context()) {
		t.Error("a thread that has ended is listed")
	}
}

func TestAThreadThatNobodyAnswersTimesOut(t *testing.T) {
	w := runtimetest.Open(t, parcelKind)
	p, _ := spawn(t, w, parcelShip)
	w.Advance(47 * time.Hour)
	wantLog(t, p, "reserved")
	w.Reopen()
	p, _ = find(t, w)
	w.Advance(2 * time.Hour)
	wantLog(t, p, "reserved", "nobody approved")
}

func TestACanceledThreadUndoes(t *testing.T) {
	w := runtimetest.Open(t, parcelKind)
	p, th := spawn(t, w, parcelShip)
	w.Settle()
	if err := th.Cancel(t.Context(), "changed my mind"); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	wantLog(t, p, "reserved", "undone")
	if err := th.Wait(t.Context()); !errors.Is(err, sturdy.ErrCanceled) {
		t.Fatal(err)
	}
}

func TestALoopForgetsItsRounds(t *testing.T) {
	w := runtimetest.Open(t, parcelKind)
	p, th := spawn(t, w, parcelLoop)
	for n := range int64(3) {
		parcelNext.Send(t.Context(), th.Ref, n)
	}
	w.Settle()
	wantLog(t, p, "a", "b", "c")
	n := 0
	for s, err := range th.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", s)
		n++
	}
	if n != 1 {
		t.Errorf("%d steps are recorded; only the one it waits in should be", n)
	}
	w.Crash()
	p, th = find(t, w)
	parcelNext.Send(t.Context(), th.Ref, 3)
	if err := th.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLog(t, p, "a", "b", "c", "d")
}

func TestAThreadThatFailsIsParked(t *testing.T) {
	w := runtimetest.Open(t, parcelKind)
	_, th := spawn(t, w, parcelFail)
	if err := th.Wait(t.Context()); err == nil || errors.Is(err, sturdy.ErrCanceled) {
		t.Fatal(err)
	}
	info, err := th.Info(t.Context())
	if err != nil || info.State != sturdy.ThreadParked || info.Error == nil {
		t.Fatalf("%+v, %v", info, err)
	}
}

func TestAStepWhereNoneCanBeginFailsAndTheThreadIsParked(t *testing.T) {
	misused := make(chan error, 2)
	kind := sturdy.Define("example.org/misuse",
		sturdy.Runs(parcelShip, func(th *sturdy.Thread[counter]) error {
			done := make(chan bool)
			go func() {
				misused <- th.Sleep("elsewhere", time.Hour)
				close(done)
			}()
			<-done
			return th.Turn("outer", func(*sturdy.WriteTurn, *counter) error {
				err := th.Turn("inner", func(*sturdy.WriteTurn, *counter) error { return nil })
				select {
				case misused <- err:
				default:
				}
				return err
			})
		}))
	w := runtimetest.Open(t, kind)
	var th sturdy.ThreadRef
	if err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		th = tn.Spawn(parcelShip.To(kind.New(tn, counter{})), sturdy.Domain{})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := th.Wait(t.Context()); !errors.Is(err, caps.ErrWouldBlock) {
		t.Error(err)
	}
	if err := <-misused; !errors.Is(err, sturdy.ErrTurnShared) {
		t.Error("from another goroutine:", err)
	}
	if err := <-misused; !errors.Is(err, caps.ErrWouldBlock) {
		t.Error("in a turn:", err)
	}
}
