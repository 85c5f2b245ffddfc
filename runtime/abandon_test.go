package sturdy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

const (
	diaryWrite caps.Method[int64, int64] = "write"
	diaryRead  caps.Query[[]int64]       = "read"
	diaryKeep  caps.Command[caps.Ref]    = "keep"
	diaryKept  caps.Query[caps.Ref]      = "kept"
	diaryBusy  caps.Command[int64]       = "busy"
)

// diary keeps what it is sent, in order.
type diary struct {
	Lines []int64
	Kept  caps.Ref
}

func (d *diary) write(_ *WriteTurn, n int64) (int64, error) {
	d.Lines = append(d.Lines, n)
	return n, nil
}

func (d *diary) busy(_ *WriteTurn, n int64) error {
	return &caps.Error{Code: caps.ErrOverloaded, Text: "overloaded: the printer is"}
}

var diaryKind = Define("test.example/diary",
	Method(diaryWrite, (*diary).write),
	Query(diaryRead, func(d *diary, _ *ReadTurn) ([]int64, error) { return d.Lines, nil }),
	Command(diaryKeep, func(d *diary, _ *WriteTurn, r caps.Ref) error { d.Kept = r; return nil }),
	Query(diaryKept, func(d *diary, _ *ReadTurn) (caps.Ref, error) { return d.Kept, nil }),
	Command(diaryBusy, (*diary).busy))

// road is a Wire that does with letters what the test says.
type road struct {
	Wire
	send func(ctx context.Context, letters []byte) ([]byte, error)
}

func (road) Address() string { return "" }

func (r road) Send(ctx context.Context, _, _ string, letters []byte) ([]byte, error) {
	return r.send(ctx, letters)
}

func gone(context.Context, []byte) ([]byte, error) { return nil, caps.ErrNotDelivered }

// correspond opens two worlds, and a diary of the first as the second holds it. The second one's is at
// dir.
type pen struct {
	*testing.T
	dir         string
	a, b        *Runtime
	there, ours caps.Ref // a's diary, at a and at b
	own         caps.Ref // b's diary
}

func correspond(t *testing.T) *pen {
	p := &pen{T: t, dir: t.TempDir() + "/b"}
	p.a = p.open("")
	p.b = p.open(p.dir)
	p.there = p.diary(p.a)
	p.own = p.diary(p.b)
	text, err := p.a.Export(context.Background(), p.there, p.b.Host())
	p.must(err)
	p.ours, err = p.b.Import(text, p.a.Host(), "")
	p.must(err)
	return p
}

func (p *pen) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *pen) open(dir string) *Runtime {
	rt, err := Options{Dir: dir, Kinds: []Kind{diaryKind}, Log: slog.New(slog.DiscardHandler)}.Open()
	p.must(err)
	return rt
}

func (p *pen) close() {
	for _, rt := range []*Runtime{p.a, p.b} {
		p.must(rt.Check(context.Background()))
		p.must(rt.Close())
	}
}

// again closes and opens b.
func (p *pen) again() {
	p.must(p.b.Close())
	p.b = p.open(p.dir)
	p.own = p.diary(p.b)
}

func (p *pen) diary(rt *Runtime) caps.Ref {
	r, err := rt.Root().Ensure(context.Background(), "diary", func(t *WriteTurn) caps.Ref { return diaryKind.New(t, diary{}) })
	p.must(err)
	return r
}

func (p *pen) connect(rt *Runtime, send func(context.Context, []byte) ([]byte, error)) (cut func()) {
	cut, err := rt.Connect(road{send: send})
	p.must(err)
	return cut
}

func (p *pen) toA(ctx context.Context, x []byte) ([]byte, error) {
	return p.a.Accept(ctx, p.b.Host(), "", x)
}

func (p *pen) toB(ctx context.Context, x []byte) ([]byte, error) {
	return p.b.Accept(ctx, p.a.Host(), "", x)
}

// waiting and dead are the letters of b.
func (p *pen) waiting() (ls []LetterInfo) {
	return p.list(p.b.Activity().Letters(context.Background()))
}

func (p *pen) dead() (ls []LetterInfo) {
	return p.list(p.b.Activity().DeadLetters(context.Background()))
}

func (p *pen) list(all func(func(LetterInfo, error) bool)) (ls []LetterInfo) {
	for l, err := range all {
		p.must(err)
		ls = append(ls, l)
	}
	return ls
}

// broken is what a stored promise of b was broken with.
func (p *pen) broken(r caps.Ref) error {
	h, _, _ := p.b.open(r)
	v, err := p.b.vat.current(h)
	p.must(err)
	return (*promise)(v.state).Err
}

func (p *pen) breaks(got error, want caps.Code) {
	p.Helper()
	if !errors.Is(got, want) {
		p.Errorf("the promise came to %v, and not to %v", got, want)
	}
}

func TestALetterToAHostThatIsGoneIsDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := correspond(t), context.Background()
		defer p.close()
		p.connect(p.b, gone)
		promise := diaryWrite.Send(ctx, p.ours, 1)
		time.Sleep(time.Minute)
		p.must(p.b.Activity().Discard(ctx, p.waiting()[0].ID))
		_, err := promise.Await(ctx)
		p.breaks(err, caps.ErrNotDelivered)
		if d := p.dead(); len(d) != 1 || len(p.waiting()) != 0 {
			t.Fatal(d, p.waiting())
		}
		p.must(p.b.Activity().Discard(ctx, p.dead()[0].ID))
		if d := p.dead(); len(d) != 0 {
			t.Fatal(d)
		}
		if err := p.b.Activity().Discard(ctx, "ffff"); !errors.Is(err, ErrNoName) {
			t.Error(err)
		}
	})
}

func TestALetterThatWasBroughtIsDiscardedAndItsAnswerIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := correspond(t), context.Background()
		defer p.close()
		p.connect(p.b, p.toA)
		promise := diaryWrite.Send(ctx, p.ours, 1)
		time.Sleep(time.Second)
		p.must(p.b.Activity().Discard(ctx, p.waiting()[0].ID))
		_, err := promise.Await(ctx)
		p.breaks(err, caps.ErrMaybeExecuted)
		p.connect(p.a, p.toB)
		got, err := diaryWrite.Send(ctx, p.ours, 2).Await(ctx)
		if got != 2 || err != nil {
			t.Error(got, err)
		}
	})
}

func TestAllLettersForAHostAreDiscardedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := correspond(t), context.Background()
		defer func() { p.close() }()
		for i := range int64(700) {
			promise := diaryWrite.Send(Relaxed(ctx), p.ours, i)
			if i == 0 {
				p.must(diaryKeep.Call(ctx, p.own, promise.Ref()))
			}
		}
		host := p.a.Host()
		if _, err := p.b.Activity().DiscardHost(ctx, host[:4]); !errors.Is(err, caps.ErrBadArgument) {
			t.Error(err)
		}
		p.again()
		n, err := p.b.Activity().DiscardHost(ctx, host[:8])
		if p.must(err); n != 700 || len(p.waiting()) != 0 || len(p.dead()) != 700 {
			t.Error(n, len(p.waiting()), len(p.dead()))
		}
		kept, err := diaryKept.Call(ctx, p.own)
		p.must(err)
		p.breaks(p.broken(kept), caps.ErrMaybeExecuted) // nobody knows what the opening before has done
		if _, err := p.b.Activity().DiscardHost(ctx, host); !errors.Is(err, ErrNoName) {
			t.Error(err)
		}
		p.connect(p.a, p.toB)
		p.connect(p.b, p.toA)
	})
}

func TestALetterOfARevokedGrantEndsWhileItsHostIsGone(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, ctx := correspond(t), context.Background()
				defer func() { p.close() }()
				var through caps.Ref
				var g Grant
				p.must(p.b.Update(ctx, func(t *WriteTurn) error { through, g = t.Grant(p.ours, caps.Terms{For: "x"}); return nil }))
				promise := diaryWrite.Send(ctx, through, 1)
				other := diaryWrite.Send(ctx, p.ours, 2)
				p.must(diaryKeep.Call(ctx, p.own, promise.Ref()))
				if restart {
					synctest.Wait() // the courier has found that there is no way, and rests
					p.must(g.Revoke(ctx))
					p.again()
				} else {
					p.connect(p.b, gone)
					time.Sleep(time.Minute)
					p.must(g.Revoke(ctx))
				}
				time.Sleep(time.Minute)
				kept, err := diaryKept.Call(ctx, p.own)
				p.must(err)
				if restart {
					p.breaks(p.broken(kept), caps.ErrMaybeExecuted)
				} else {
					p.breaks(p.broken(kept), caps.ErrRevoked)
				}
				if w, d := p.waiting(), p.dead(); len(w) != 1 || len(d) != 1 {
					t.Error(w, d)
				}
				_ = other
			})
		})
	}
}

// TestBatchesThatAreLostLateOrTwiceAreTakenOnceAndInOrder has a road on which batches are lost, or
// their answers are, or are brought again later, and overtake each other.
func TestBatchesThatAreLostLateOrTwiceAreTakenOnceAndInOrder(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { storm(t, seed) })
		})
	}
}

func storm(t *testing.T, seed uint64) {
	p, ctx := correspond(t), context.Background()
	defer p.close()
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(n)
	}
	most, now, end := 0, 0, false
	var late sync.WaitGroup
	bad := func(to func(context.Context, []byte) ([]byte, error)) func(context.Context, []byte) ([]byte, error) {
		return func(ctx context.Context, x []byte) ([]byte, error) {
			mu.Lock()
			now++
			most = max(most, now)
			calm := end
			mu.Unlock()
			defer func() { mu.Lock(); now--; mu.Unlock() }()
			<-time.After(time.Duration(draw(30)) * time.Millisecond)
			switch draw(8) {
			case 0:
				if !calm {
					return nil, caps.ErrNotDelivered
				}
			case 1:
				if !calm {
					_, _ = to(ctx, x)
					return nil, caps.ErrMaybeExecuted
				}
			case 2:
				wait := time.Duration(draw(500)) * time.Millisecond
				late.Go(func() { <-time.After(wait); _, _ = to(context.Background(), x) })
				if !calm {
					return nil, caps.ErrMaybeExecuted
				}
			}
			return to(ctx, x)
		}
	}
	p.connect(p.b, bad(p.toA))
	p.connect(p.a, bad(p.toB))
	const senders, each = 4, 600
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for range each / 20 {
				p.must(p.b.Update(ctx, func(t *WriteTurn) error {
					s, err := t.ownOf(t.r.vat.handleOf(p.b.numberOf(p.own)), diaryKind.def)
					if err != nil {
						return err
					}
					for range 20 {
						d := (*diary)(s)
						d.Lines = append(d.Lines, 0)
						diaryWrite.Send(t, p.ours, int64(len(d.Lines)))
					}
					return nil
				}))
				<-time.After(time.Duration(draw(20)) * time.Millisecond)
			}
		})
	}
	all.Wait()
	mu.Lock()
	end = true
	mu.Unlock()
	for len(p.waiting()) > 0 {
		<-time.After(time.Second)
	}
	late.Wait()
	lines, err := diaryRead.Call(ctx, p.there)
	p.must(err)
	if len(lines) != senders*each {
		t.Errorf("%d of %d letters were delivered", len(lines), senders*each)
	}
	for i, n := range lines {
		if n != int64(i+1) {
			t.Fatalf("letter %d came as the %dth", n, i+1)
		}
	}
	if most < 2 {
		t.Error("no two batches were under way at once")
	}
}

func TestAListingSaysThatAMethodIsOverloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := correspond(t), context.Background()
		defer p.close()
		_ = diaryBusy.Send(ctx, p.own, 1)
		time.Sleep(time.Second + againAfter/2) // it is tried again at each againAfter, and not postponed just then
		if w := p.waiting(); len(w) != 1 || w[0].Held == "" {
			t.Error(w)
		}
	})
}
