package sturdy_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// gate stops the disk of w at the next sync. reached is closed when it stands there; open
// lets it, and all that follow, go on.
func gate(t *testing.T, w *runtimetest.World) (reached <-chan struct{}, open func()) {
	at, shut := make(chan struct{}), make(chan struct{})
	arrive := sync.OnceFunc(func() { close(at) })
	w.Disk().Hook(func(op, _ string, _ int) (int, error) {
		if op == "sync" {
			arrive()
			<-shut
		}
		return 0, nil
	})
	open = sync.OnceFunc(func() { close(shut) })
	t.Cleanup(open)
	return at, open
}

// fails makes every operation of the disk of w that ops names fail with err.
func fails(w *runtimetest.World, err error, ops ...string) {
	w.Disk().Hook(func(op, _ string, _ int) (int, error) {
		for _, o := range ops {
			if o == op {
				return 0, err
			}
		}
		return 0, nil
	})
}

func TestAWriteIsAnsweredOnceItIsOnDisk(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	reached, open := gate(t, w)
	answered := make(chan error, 1)
	go func() { _, err := acAdd.Call(ctx, ref, 1); answered <- err }()
	<-reached
	holds(t, ctx, ref, 0)
	holds(t, sturdy.Relaxed(ctx), ref, 1)
	select {
	case <-answered:
		t.Error("answered before it was on disk")
	default:
	}
	open()
	must(t, <-answered)
	holds(t, ctx, ref, 1)
}

func TestARelaxedWriteIsReadByRelaxedReadersOnlyUntilItIsOnDisk(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	_, open := gate(t, w)
	relaxed := sturdy.Relaxed(ctx)
	for n := range int64(3) {
		if got, err := acAdd.Call(relaxed, ref, 1); got != n+1 || err != nil {
			t.Fatal(got, err)
		}
		holds(t, relaxed, ref, n+1)
		holds(t, ctx, ref, 0)
	}
	var m sturdy.Map[string, int64]
	must(t, w.Update(relaxed, func(tn *sturdy.WriteTurn) error {
		m = sturdy.NewMap[string, int64](tn)
		m.Put(tn, "a", 1)
		return nil
	}))
	must(t, w.View(relaxed, func(tn *sturdy.ReadTurn) error {
		if n, _ := m.Get(tn, "a"); n != 1 || m.Len(tn) != 1 {
			t.Errorf("%d of %d", n, m.Len(tn))
		}
		return nil
	}))
	open()
	must(t, w.Sync(ctx))
	holds(t, ctx, ref, 3)
}

func TestADurableReadOfAnObjectThatARelaxedTurnMadeWaitsForIt(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	var ref caps.Ref
	must(t, w.Update(sturdy.Relaxed(ctx), func(tn *sturdy.WriteTurn) error {
		ref = accountKind.New(tn, account{N: 7})
		return nil
	}))
	holds(t, ctx, ref, 7)
	info, err := w.Describe(ctx, ref)
	must(t, err)
	w.Crash() // what a durable read has shown is there
	back, err := w.Object(ctx, info.ID)
	must(t, err)
	holds(t, ctx, back, 7)
}

func TestAnErrorOfATurnThatReadWhatIsNotOnDiskWaitsForIt(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	reached, open := gate(t, w)
	_, err := acAdd.Call(sturdy.Relaxed(ctx), ref, 1)
	must(t, err)
	answered := make(chan error, 1)
	go func() { answered <- acMess.Call(ctx, ref, 1) }()
	<-reached
	select {
	case err := <-answered:
		t.Error("answered before what it read was on disk:", err)
	default:
	}
	open()
	wants(t, <-answered, errMess)
}

func TestACallThatGivesUpWaitingForTheWriterWasNotDelivered(t *testing.T) {
	w := unchecked(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	inside, leave := make(chan bool), make(chan bool)
	var busy sync.WaitGroup
	busy.Go(func() {
		must(t, w.Update(t.Context(), func(*sturdy.WriteTurn) error { close(inside); <-leave; return nil }))
	})
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	_, err := acAdd.Call(ctx, ref, 1)
	wants(t, err, caps.ErrNotDelivered)
	wants(t, err, context.DeadlineExceeded)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = acAdd.Call(canceled, ref, 1)
	wants(t, err, caps.ErrNotDelivered)
	wants(t, err, context.Canceled)
	holds(t, t.Context(), ref, 0)
	close(leave)
	busy.Wait()
	holds(t, sturdy.Relaxed(t.Context()), ref, 0)
}

func TestACallThatGivesUpWaitingForTheDiskWasMaybeExecuted(t *testing.T) {
	w := unchecked(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	reached, open := gate(t, w)
	ctx, cancel := context.WithDeadline(t.Context(), w.Now().AddDate(100, 0, 0))
	defer cancel()
	gaveUp := make(chan error, 1)
	ended := &endable{Context: ctx, done: make(chan struct{})}
	go func() { _, err := acAdd.Call(ended, ref, 1); gaveUp <- err }()
	<-reached
	close(ended.done)
	err := <-gaveUp
	wants(t, err, caps.ErrMaybeExecuted)
	wants(t, err, context.DeadlineExceeded)
	open()
	must(t, w.Sync(t.Context()))
	holds(t, t.Context(), ref, 1)
}

// endable is a context whose deadline passes when the test says so.
type endable struct {
	context.Context
	done chan struct{}
}

func (e *endable) Done() <-chan struct{} { return e.done }

func (e *endable) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestATurnWhoseContextEndsInItIsUndone(t *testing.T) {
	w := unchecked(t, accountKind)
	ref := accounts(t, w, 1, 0)[0]
	ctx, cancel := context.WithCancel(t.Context())
	err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		_, err := acAdd.Call(tn, ref, 1)
		must(t, err)
		cancel()
		_, err = acAdd.Call(tn, ref, 1)
		return err
	})
	wants(t, err, context.Canceled)
	holds(t, sturdy.Relaxed(t.Context()), ref, 0)
}

// wide takes a megabyte of memory and little on disk.
type wide struct{ A [60_000]int64 }

func TestWritersWaitWhenTheDiskIsTooFarBehind(t *testing.T) {
	kind := sturdy.Define[wide]("proof/wide")
	w, ctx := unchecked(t, accountKind, kind), t.Context()
	ref := accounts(t, w, 1, 0)[0]
	_, open := gate(t, w)
	state, written := new(wide), 0
	queued := func() string { return w.Counters().Get("not_durable_bytes").String() }
	for ; len(queued()) < 8 || queued() < "67108864"; written++ {
		must(t, w.Update(sturdy.Relaxed(ctx), func(tn *sturdy.WriteTurn) error { kind.New(tn, *state); return nil }))
	}
	_, err := acAdd.Call(&impatient{Context: sturdy.Relaxed(ctx), done: make(chan struct{})}, ref, 1)
	wants(t, err, caps.ErrOverloaded)
	wants(t, err, context.DeadlineExceeded)
	if written < 60 || written > 70 {
		t.Errorf("%d MB wait for the disk; the limit is 64 MiB", written)
	}
	open()
	must(t, w.Sync(ctx))
	_, err = acAdd.Call(ctx, ref, 1)
	must(t, err)
	holds(t, ctx, ref, 1)
}

// impatient is a context that ends as soon as somebody waits for its end.
type impatient struct {
	context.Context
	done chan struct{}
	once sync.Once
}

func (i *impatient) Done() <-chan struct{} {
	i.once.Do(func() { close(i.done) })
	return i.done
}

func (i *impatient) Err() error {
	select {
	case <-i.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestAfterAFailedSyncCallersAreToldMaybeAndReadsGoOn(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	refs := accounts(t, w, 8, 10)
	fails(w, syscall.EIO, "sync")
	var busy sync.WaitGroup
	maybe := make(chan error, 100)
	for _, ref := range refs {
		busy.Go(func() {
			_, err := acAdd.Call(ctx, ref, 1)
			if errors.Is(err, caps.ErrMaybeExecuted) {
				maybe <- err
			} else if !errors.Is(err, sturdy.ErrStopped) {
				t.Errorf("a caller of a group that is lost: %v", err)
			}
		})
	}
	busy.Wait()
	if len(maybe) == 0 {
		t.Error("nobody was told that it was maybe executed")
	}
	var made caps.Ref
	err := w.Update(ctx, func(tn *sturdy.WriteTurn) error { made = accountKind.New(tn, account{}); return nil })
	wants(t, err, sturdy.ErrStopped)
	for _, c := range []context.Context{ctx, sturdy.Relaxed(ctx)} {
		for _, ref := range refs {
			holds(t, c, ref, 10)
		}
		if !made.IsNull() {
			t.Error("a turn began after writes have stopped")
		}
		_, err = acAdd.Call(c, refs[0], 1)
		wants(t, err, sturdy.ErrStopped)
	}
	wants(t, w.Sync(ctx), sturdy.ErrStopped)
	w.Disk().Hook(nil)
	_, err = acAdd.Call(ctx, refs[0], 1)
	wants(t, err, sturdy.ErrStopped) // a disk that has lied once is not asked again
	w.Crash()
	refs = named(t, w, 8)
	_, err = acAdd.Call(ctx, refs[0], 1)
	must(t, err)
}

// fillUp makes every write of something new to the disk of w find no room. What follows
// until the next sync takes back what the write may have left, and is let through.
func fillUp(w *runtimetest.World) {
	shut := make(chan struct{})
	close(shut)
	noRoom(w, shut)
}

// fillUpLater is fillUp with a first write that waits until open is called: until then nothing
// is lost, and what is not durable can be read.
func fillUpLater(t *testing.T, w *runtimetest.World) (open func()) {
	shut := make(chan struct{})
	open = sync.OnceFunc(func() { close(shut) })
	t.Cleanup(open)
	noRoom(w, shut)
	return open
}

func noRoom(w *runtimetest.World, wait <-chan struct{}) {
	taking := map[string]bool{}
	w.Disk().Hook(func(op, name string, _ int) (int, error) {
		switch {
		case op == "sync":
			taking[name] = false
		case op == "create", op == "write" && !taking[name]:
			<-wait
			taking[name] = true
			return 0, syscall.ENOSPC
		}
		return 0, nil
	})
}

// makeRoom ends what fillUp has begun. A group may be failing just now; it returns when no
// more will.
func makeRoom(t *testing.T, w *runtimetest.World) {
	t.Helper()
	w.Disk().Hook(nil)
	for err := w.Sync(t.Context()); err != nil; err = w.Sync(t.Context()) {
		if !errors.Is(err, sturdy.ErrDiskFull) {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskRefusesAndThenGoesOn(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 10)[0]
	fillUp(w)
	var made caps.Ref
	for range 3 {
		_, err := acAdd.Call(ctx, ref, 1)
		wants(t, err, sturdy.ErrDiskFull)
		err = w.Update(ctx, func(tn *sturdy.WriteTurn) error {
			made = accountKind.New(tn, account{})
			sturdy.NewMap[string, string](tn).Put(tn, "a", "b")
			return w.Root().Put(tn, "made", made)
		})
		wants(t, err, sturdy.ErrDiskFull)
		holds(t, ctx, ref, 10)
		holds(t, sturdy.Relaxed(ctx), ref, 10)
		_, err = acGet.Call(sturdy.Relaxed(ctx), made)
		wants(t, err, caps.ErrGone)
		_, err = w.Root().Get(sturdy.Relaxed(ctx), "made")
		wants(t, err, sturdy.ErrNoName)
	}
	w.Disk().Hook(nil)
	_, err := acAdd.Call(ctx, ref, 1)
	must(t, err)
	_, err = acGet.Call(ctx, made)
	wants(t, err, caps.ErrGone)
	if n := counted(t, w, "proof/account"); n != 1 {
		t.Errorf("%d accounts are counted; there is 1", n)
	}
	w.Crash()
	holds(t, ctx, named(t, w, 1)[0], 11)
}

// counted is how many objects of a kind the world says it has.
func counted(t *testing.T, w *runtimetest.World, kind string) (n int64) {
	ks, err := w.Kinds(t.Context())
	must(t, err)
	for _, k := range ks {
		if k.Name == kind {
			n += k.Objects
		}
	}
	return n
}

func TestADamagedObjectIsAnErrorThatNamesItAndOthersAreServed(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	refs := accounts(t, w, 3, 1)
	must(t, acNote.Call(ctx, refs[1], "this line will be damaged"))
	must(t, w.Close())
	w.ExpectDamage()
	data, err := w.Disk().ReadFile("objects.db")
	must(t, err)
	bad := strings.ReplaceAll(string(data), "this line will be damaged", "this line has been damaged")
	bad = strings.ReplaceAll(bad, "this line has been damaged", "this line will be damageD")
	if bad == string(data) {
		t.Fatal("the line is not in the store file")
	}
	must(t, w.Disk().WriteFile("objects.db", []byte(bad[:len(data)])))
	w.Reopen()
	for i, ref := range named(t, w, 3) {
		n, err := acGet.Call(ctx, ref)
		if i != 1 {
			must(t, err)
			continue
		}
		wants(t, err, caps.ErrDamaged)
		var e *caps.Error
		if errors.As(err, &e) && !strings.HasPrefix(e.Object, "object ") && !strings.HasPrefix(e.Object, "account ") {
			t.Errorf("%d, %v does not name the object: %q", n, err, e.Object)
		}
	}
	refs = named(t, w, 3)
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		for _, ref := range refs { // who goes over all of them may leave out what is damaged
			if _, err := acAdd.Call(tn, ref, 1); err != nil && !errors.Is(err, caps.ErrDamaged) {
				return err
			}
		}
		return nil
	}))
	holds(t, ctx, refs[2], 2)
}
