package sturdy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Here something fails, or says so, and everything else has to go on, or to end.

const (
	boothFail  caps.Command[string] = "fail"
	boothNote  caps.Command[int64]  = "note"
	boothGet   caps.Query[int64]    = "get"
	boothRun   caps.Action          = "run"
	boothNews  caps.Command[int64]  = "news"
	boothPanic caps.Action          = "panic"
)

type booth struct {
	N    int64
	Text string
}

// boothKind has threads that do run.
func boothKind(run func(*Thread[booth]) error) *KindOf[booth] {
	return Define("test.example/booth",
		Command(boothFail, func(_ *booth, _ *WriteTurn, code string) error {
			return &caps.Error{Code: caps.Code(code), Text: "so it was told"}
		}),
		Command(boothNote, func(b *booth, _ *WriteTurn, n int64) error { b.N += n; return nil }),
		Query(boothGet, func(b *booth, _ *ReadTurn) (int64, error) { return b.N, nil }),
		Action(boothPanic, func(*booth, *WriteTurn) error { panic("so") }),
		Runs(boothRun, run))
}

func rests(th *Thread[booth]) error { return th.Sleep("rest", time.Hour) }

// fair is a world with two booths.
type fair struct {
	t     *testing.T
	rt    *Runtime
	kind  *KindOf[booth]
	files *objstore.MemoryFiles
	late  atomic.Int64 // nanoseconds that its clock is ahead
	a, b  caps.Ref
}

func openFair(t *testing.T, run func(*Thread[booth]) error, log slog.Handler) *fair {
	f := &fair{t: t, kind: boothKind(run), files: objstore.NewMemory()}
	f.open(log)
	f.must(f.rt.Update(context.Background(), func(tn *WriteTurn) (err error) {
		f.a, f.b = f.kind.New(tn, booth{}), f.kind.New(tn, booth{})
		return f.rt.Root().Put(tn, "a", f.a)
	}))
	return f
}

func (f *fair) open(log slog.Handler) {
	rt, err := Options{
		Files: f.files, Kinds: []Kind{f.kind}, Log: slog.New(log),
		Clock: func() time.Time { return time.Now().Add(time.Duration(f.late.Load())) },
	}.Open()
	f.must(err)
	f.rt = rt
}

func (f *fair) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// spawn starts a thread of a new booth.
func (f *fair) spawn() (th ThreadRef) {
	f.t.Helper()
	f.must(f.rt.Update(context.Background(), func(tn *WriteTurn) error {
		th = tn.Spawn(boothRun.To(f.kind.New(tn, booth{})), Domain{})
		return nil
	}))
	return th
}

// fills has every write of the journal fail for want of room, from its first byte on.
func (f *fair) fills() {
	taking := map[string]bool{}
	f.files.Hook(func(op, name string, _ int) (int, error) {
		switch {
		case op == "sync":
			taking[name] = false
		case op == "create", op == "write" && !taking[name]:
			taking[name] = true
			return 0, syscall.ENOSPC
		}
		return 0, nil
	})
}

// spoil changes a text on disk, where the world must not be open.
func (f *fair) spoil(text string) {
	f.t.Helper()
	data, err := f.files.ReadFile("objects.db")
	f.must(err)
	bad := bytes.ReplaceAll(data, []byte(text), []byte(strings.ToUpper(text)))
	if bytes.Equal(bad, data) {
		f.t.Fatal("it is not in the store file:", text)
	}
	f.must(f.files.WriteFile("objects.db", bad))
}

// in is a context that ends in time, in a test whose time is not the system's.
func in(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// likeTheEnd is what a world says that has ended. Here another one has.
var likeTheEnd = [...]caps.Code{ErrClosed, ErrStopped}

func TestALetterThatFailsWithTheEndOfAnotherWorldHoldsUpNobody(t *testing.T) {
	for _, code := range append(likeTheEnd[:], caps.ErrFailed) {
		synctest.Test(t, func(t *testing.T) {
			f := openFair(t, rests, slog.DiscardHandler)
			p := boothFail.Send(context.Background(), f.a, string(code))
			q := boothNote.Send(context.Background(), f.b, 1)
			if _, err := p.Await(in(t, time.Minute)); !errors.Is(err, code) {
				t.Errorf("%s: who sent it is told %v", code, err)
			}
			if _, err := q.Await(in(t, time.Minute)); err != nil {
				t.Errorf("%s: what was sent to another object: %v", code, err)
			}
			f.must(f.rt.Close())
		})
	}
}

func TestAThreadIsToldOfTheEndOfAnotherWorldAndGoesOn(t *testing.T) {
	for _, code := range likeTheEnd {
		told := &caps.Error{Code: code, Text: "so it was told"}
		for place, ask := range map[string]func(*Thread[booth]) error{
			"a view": func(th *Thread[booth]) error { return th.View(func(*ReadTurn, *booth) error { return told }) },
			"a turn": func(th *Thread[booth]) error { return th.Turn("turn", func(*WriteTurn, *booth) error { return told }) },
		} {
			synctest.Test(t, func(t *testing.T) {
				f := openFair(t, func(th *Thread[booth]) error {
					if err := ask(th); !errors.Is(err, code) {
						return err
					}
					return nil
				}, slog.DiscardHandler)
				if err := f.spawn().Wait(in(t, time.Minute)); err != nil {
					t.Errorf("%s, %s: %v", place, code, err)
				}
				f.must(f.rt.Close())
			})
		}
	}
}

// expired is a grant of f.a that was used, which is on disk, and has just run out.
func (f *fair) expired() (g caps.Ref) {
	f.t.Helper()
	f.must(f.rt.Update(context.Background(), func(tn *WriteTurn) error {
		g, _ = tn.Grant(f.a, caps.Terms{Until: tn.Now().Add(time.Minute)})
		return nil
	}))
	f.must(boothNote.Call(context.Background(), g, 1))
	f.late.Add(int64(11 * time.Second))
	f.must(boothNote.Call(context.Background(), f.a, 1))
	f.late.Add(int64(time.Minute))
	return g
}

func TestARelaxedTurnBehindARefusalIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFair(t, rests, slog.DiscardHandler)
		g := f.expired()
		err := f.rt.Update(Relaxed(context.Background()), func(tn *WriteTurn) error { return boothNote.Call(tn, g, 1) })
		if !errors.Is(err, caps.ErrRevoked) {
			t.Error(err)
		}
		f.must(boothNote.Call(Relaxed(context.Background()), f.a, 1))
		time.Sleep(2 * linger)
		f.rt.vat.w.lockInternal()
		if f.rt.vat.pending() != nil {
			t.Errorf("it is not on disk after %v", 2*linger)
		}
		f.rt.vat.w.unlock()
		f.must(f.rt.Close())
	})
}

func TestARefusalInAClosedWorldHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFair(t, rests, slog.DiscardHandler)
		th, g := f.spawn(), f.expired()
		f.must(f.rt.Close())
		if err := boothNote.Call(context.Background(), g, 1); err == nil {
			t.Error("it is not refused")
		}
		if err := th.Wait(in(t, time.Minute)); !errors.Is(err, ErrClosed) {
			t.Error("who waits for a thread is told", err)
		}
	})
}

// scribe is a handler of the log that writes what it is told first into the world.
type scribe struct {
	slog.Handler
	write func()
}

func (w scribe) Enabled(context.Context, slog.Level) bool { return true }

func (w scribe) Handle(context.Context, slog.Record) error { w.write(); return nil }

func TestAHandlerOfTheLogMayWriteWhateverItIsTold(t *testing.T) {
	journal := func(f *fair, cause error) {
		f.files.Hook(func(op, name string, _ int) (int, error) {
			if op == "write" && strings.HasPrefix(name, "journal-") {
				return 0, cause
			}
			return 0, nil
		})
		if err := boothNote.Call(in(f.t, time.Minute), f.a, 1); err == nil {
			f.t.Error("it was written")
		}
		f.files.Hook(nil)
	}
	for what, do := range map[string]func(f *fair){
		"the disk is full":   func(f *fair) { journal(f, syscall.ENOSPC) },
		"the disk is broken": func(f *fair) { journal(f, syscall.EIO) },
		"a method panics":    func(f *fair) { _ = boothPanic.Call(in(f.t, time.Minute), f.a) },
		"a state is large": func(f *fair) {
			f.must(f.rt.Update(in(f.t, time.Minute), func(tn *WriteTurn) error {
				f.kind.New(tn, booth{Text: strings.Repeat("x", 100<<10)})
				return nil
			}))
		},
		"a turn does not end": func(f *fair) {
			_ = f.rt.Update(in(f.t, time.Minute), func(*WriteTurn) error { time.Sleep(3 * time.Second); return nil })
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f *fair
				told := make(chan struct{}, 1)
				log := scribe{slog.DiscardHandler, func() {
					if f != nil && f.rt != nil {
						_ = boothNote.Call(context.Background(), f.a, 1)
						select {
						case told <- struct{}{}:
						default:
						}
					}
				}}
				f = openFair(t, rests, log)
				began := time.Now()
				do(f)
				select {
				case <-told:
				case <-time.After(time.Minute):
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("the world stood still for %v", took)
				}
				_ = f.rt.Close() // in a world that has stopped, it says so
			})
		})
	}
}

func TestAHostThatTakesNothingIsNotRushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := correspond(t)
		defer p.close()
		var batches atomic.Uint64
		cut := p.connect(p.b, func(context.Context, []byte) ([]byte, error) {
			return binary.AppendUvarint(nil, 1+batches.Add(1)), nil // as if it had just become another world
		})
		for i := range int64(300) {
			diaryWrite.Send(Relaxed(context.Background()), p.ours, i)
		}
		time.Sleep(10 * time.Second)
		if n := batches.Load(); n > 30 {
			t.Errorf("it was brought everything %d times in 10 s", n)
		}
		cut()
	})
}

func TestATimerThatIsDamagedOnDiskHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFair(t, rests, slog.DiscardHandler)
		f.must(f.rt.Update(context.Background(), func(tn *WriteTurn) error {
			tn.After(time.Second, boothNote.To(f.a, 1))
			tn.After(2*time.Second, boothFail.To(f.a, "this text is damaged"))
			for i := range time.Duration(50) {
				tn.After(2*time.Second+i*time.Millisecond, boothNote.To(f.a, 1))
			}
			return nil
		}))
		f.must(f.rt.Close())
		f.spoil("this text is damaged")
		f.open(slog.DiscardHandler)
		a, err := f.rt.Root().Get(context.Background(), "a")
		f.must(err)
		time.Sleep(5 * time.Second)
		if n, err := boothGet.Call(context.Background(), a); n != 51 || err != nil {
			t.Errorf("%d of 51 have gone off; %v", n, err)
		}
		f.must(f.rt.Close())
	})
}

// The bubble does not end before what runs in it.
func TestAnOpeningThatFailsLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFair(t, rests, slog.DiscardHandler)
		f.must(f.rt.Update(context.Background(), func(tn *WriteTurn) error {
			key := objstore.ElementKey(f.rt.vat.activityOID(), activityElem('r', 0x7172737475767778))
			tn.change(&element{key: key, rec: objstore.Record{Body: []byte("a thread, long enough to be found")}})
			return nil
		}))
		f.must(f.rt.Close())
		f.spoil("a thread, long enough to be found")
		var damage *objstore.DamagedError
		if _, err := (Options{Files: f.files, Kinds: []Kind{f.kind}, Log: slog.New(slog.DiscardHandler)}).Open(); !errors.As(err, &damage) {
			t.Error(err)
		}
	})
}

// Who awaits a message is not told of what somebody else has lost.
func TestAwaitIsToldOfItsOwnMessageOnly(t *testing.T) {
	goes := make(chan struct{})
	f := openFair(t, func(th *Thread[booth]) error {
		<-goes
		_, err := Receive(th, "news", boothNews, 0)
		return err
	}, slog.DiscardHandler)
	th := f.spawn()
	p := boothNews.Send(context.Background(), th.Ref, 1)
	f.must(f.rt.Root().Put(context.Background(), "p", p.Ref()))
	f.fills()
	f.must(boothNote.Call(Relaxed(context.Background()), f.a, 1))
	if _, err := p.Await(in(t, 100*time.Millisecond)); !errors.Is(err, ErrTimeout) {
		t.Error("of a message that waits, it is told", err)
	}
	f.files.Hook(nil)
	close(goes)
	if _, err := p.Await(in(t, time.Minute)); err != nil {
		t.Error(err)
	}
	_ = f.rt.Close() // says what was lost
}

// roomless is a Committer whose journal never has room.
type roomless struct{ objstore.Committer }

func (roomless) Commit(ctx context.Context, _ *objstore.Batch) error {
	<-ctx.Done()
	return objstore.ErrFull
}

func TestAWorldWithoutRoomForWhatItHasToWriteIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFair(t, rests, slog.DiscardHandler)
		f.rt.vat.w.lockInternal()
		f.rt.vat.out = roomless{f.rt.vat.store}
		f.rt.vat.w.unlock()
		f.must(boothNote.Call(Relaxed(context.Background()), f.a, 1))
		began := time.Now()
		err := f.rt.Close()
		if took := time.Since(began); took > 2*waitLimit || !errors.Is(err, ErrDiskFull) {
			t.Errorf("after %v it says %v", took, err)
		}
	})
}

// Who is told that a turn is on disk may be faster than the flusher, which has yet to give what was
// written to the cache.
func TestWhatIsOnDiskIsEvicted(t *testing.T) {
	f := openFair(t, rests, slog.DiscardHandler)
	for range 1000 {
		var made caps.Ref
		f.must(f.rt.Update(context.Background(), func(tn *WriteTurn) error { made = f.kind.New(tn, booth{}); return nil }))
		f.rt.Evict()
		if h, _, _ := f.rt.open(made); h.cur.Load().state != nil {
			t.Fatal("it is in memory")
		}
	}
	f.must(f.rt.Close())
}
