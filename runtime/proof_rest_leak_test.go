package sturdy

import (
	"context"
	"errors"
	goruntime "runtime"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// flood is a world in which something happens again and again, and a list of what should not
// be in memory when it is over.
type flood struct {
	*Runtime
	t     *testing.T
	ctx   context.Context // Relaxed
	tally caps.Ref
	alive []func() bool
}

func watch[T any](f *flood, p *T) {
	w := weak.Make(p)
	f.alive = append(f.alive, func() bool { return w.Value() != nil })
}

// watchRef watches the handle of what is a promise, a timer or a thread.
func (f *flood) watchRef(r caps.Ref) {
	h, _, _ := f.open(r)
	watch(f, h)
}

func (f *flood) turn(fn func(tn *WriteTurn)) {
	f.t.Helper()
	if err := f.Update(f.ctx, func(tn *WriteTurn) error { fn(tn); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

const (
	floodTold caps.Command[caps.Outcome[caps.Done]] = "told"
	floodRun  caps.Action                           = "run"
)

var floodKind = Define("proof/flood",
	Command(damageAdd, func(c *damageTally, _ *WriteTurn, n int64) error { c.N += n; return nil }),
	Command(floodTold, func(c *damageTally, _ *WriteTurn, _ caps.Outcome[caps.Done]) error { c.N++; return nil }),
	Runs(floodRun, func(th *Thread[damageTally]) error {
		if _, err := Receive(th, "begin", damageAdd, 0); err != nil {
			return err
		}
		return th.Turn("end", func(_ *WriteTurn, c *damageTally) error { c.N++; return nil })
	}))

// floods each do something n times that is over then.
var floods = map[string]func(f *flood, n int){
	"sends": func(f *flood, n int) {
		for range n {
			f.watchRef(damageAdd.Send(f.ctx, f.tally, 1).Ref())
		}
	},
	"promises that are awaited": func(f *flood, n int) {
		for range n {
			p := damageAdd.Send(f.ctx, f.tally, 1)
			if _, err := p.Await(f.ctx); err != nil {
				f.t.Error(err)
			}
			f.watchRef(p.Ref())
		}
	},
	"promises that are waited for in vain": func(f *flood, n int) {
		port, messages := Port(f.ctx, f.Runtime, damageAdd)
		p := damageAdd.Send(f.ctx, port, 1)
		for range n {
			ctx, cancel := context.WithCancel(f.ctx)
			go cancel()
			if _, err := p.Await(ctx); !errors.Is(err, context.Canceled) {
				f.t.Error(err)
			}
		}
		for range messages {
			break
		}
		f.watchRef(p.Ref())
	},
	"outcomes that somebody is told of": func(f *flood, n int) {
		for range n / 100 {
			f.turn(func(tn *WriteTurn) {
				for range 100 {
					p := damageAdd.Send(tn, f.tally, 1)
					if err := p.Then(tn, f.tally, floodTold); err != nil {
						f.t.Error(err)
					}
					f.watchRef(p.Ref())
				}
			})
		}
	},
	"timers": func(f *flood, n int) {
		for range n / 100 {
			f.turn(func(tn *WriteTurn) {
				for range 100 {
					f.watchRef(tn.After(0, damageAdd.To(f.tally, 1)).Ref)
				}
			})
		}
	},
	"threads": func(f *flood, n int) {
		for range n / 100 {
			f.turn(func(tn *WriteTurn) {
				for range 100 {
					th := tn.Spawn(floodRun.To(floodKind.New(tn, damageTally{})), Domain{})
					damageAdd.Send(tn, th.Ref, 1)
					f.watchRef(th.Ref)
				}
			})
			f.strands.mu.Lock()
			for _, s := range f.strands.by {
				watch(f, s)
			}
			f.strands.mu.Unlock()
		}
	},
}

// over waits until the flood is, and until what the last two groups have settled can no longer
// be taken back, and returns how much of it is left in memory.
func (f *flood) over(goroutines int) (left int) {
	for range 4 {
		if _, err := f.Settle(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
		if _, err := damageAdd.Send(f.t.Context(), f.tally, 1).Await(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}
	f.Evict()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		goruntime.GC()
		left = 0
		for _, alive := range f.alive {
			if alive() {
				left++
			}
		}
		if left <= len(f.alive)/100 && goruntime.NumGoroutine() <= goroutines {
			break
		}
	}
	return left
}

// empty fails the test if the lists of the runtime are not.
func (f *flood) empty() {
	f.t.Helper()
	v := f.vat
	v.w.lockInternal()
	defer v.w.unlock()
	for _, mu := range []sync.Locker{&f.awaits.mu, &f.strands.mu, &f.ports.mu} {
		mu.Lock()
		defer mu.Unlock()
	}
	for what, n := range map[string]int{
		"mailboxes": len(v.mail.boxes), "senders": len(v.mail.accounts), "who awaits": len(f.awaits.by),
		"threads": len(f.strands.by), "ports": len(f.ports.by),
	} {
		if n > 0 {
			f.t.Errorf("%d %s are left", n, what)
		}
	}
}

func TestAFloodLeavesNothingInMemory(t *testing.T) {
	for name, pour := range floods {
		t.Run(name, func(t *testing.T) {
			f := &flood{t: t, ctx: Relaxed(t.Context())}
			var err error
			f.Runtime, err = Options{Files: objstore.NewMemory(), Kinds: []Kind{floodKind}}.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			f.tally, err = f.Root().Ensure(t.Context(), "tally", func(tn *WriteTurn) caps.Ref { return floodKind.New(tn, damageTally{}) })
			if err != nil {
				t.Fatal(err)
			}
			goroutines := goruntime.NumGoroutine()
			pour(f, 2000)
			left := f.over(goroutines)
			if left > len(f.alive)/100 || goruntime.NumGoroutine() > goroutines {
				t.Errorf("%d of %d are left in memory, and %d goroutines where %d were", left, len(f.alive), goruntime.NumGoroutine(), goroutines)
			}
			f.empty()
		})
	}
}
