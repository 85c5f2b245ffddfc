package sturdy_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// The history proof: clients do random turns at the same time, the world crashes under them
// several times, and porcupine looks for an order of all turns that explains every answer
// and in which no turn stands before one that had been answered when it began.

const (
	histAccounts = 4 // the first numbers of a state; the rest are entries of a Map
	histNumbers  = 6
	histSum      = 100 // that each account begins with
)

type histState [histNumbers]int64

type histOp struct {
	What string
	A, B int
	N    int64
}

type histAnswer struct {
	Seen    histState // what was read, where the operation reads
	Refused bool      // not enough
	Unknown bool      // maybe executed
}

// histNext is the dumb twin: what an operation does to the whole state, and its answer.
func histNext(s histState, op histOp) (histState, histAnswer) {
	before := s
	switch op.What {
	case "pay":
		if s[op.A] < op.N {
			return before, histAnswer{Refused: true}
		}
		s[op.A] -= op.N
		s[op.B] += op.N
		return s, histAnswer{}
	case "add", "handled mess", "put":
		s[op.A] += op.N
		return s, histAnswer{Seen: histState{s[op.A]}}
	case "get":
		return s, histAnswer{Seen: histState{s[op.A]}}
	case "abort", "panic", "swallow":
		return before, histAnswer{}
	}
	return s, histAnswer{Seen: s} // "view" and "update that only reads"
}

// histModel is histNext for porcupine. A turn that was maybe executed did or did not.
func histModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any {
			s := histState{}
			for i := range histAccounts {
				s[i] = histSum
			}
			return []any{s}
		},
		Step: func(state, in, out any) []any {
			s, answer := histNext(state.(histState), in.(histOp))
			switch {
			case out.(histAnswer).Unknown:
				return []any{state, s}
			case answer == out.(histAnswer):
				return []any{s}
			}
			return nil
		},
	}
	return m.ToModel()
}

// histWorld is what clients of one life of the world work on.
type histWorld struct {
	rt   *sturdy.Runtime
	refs []caps.Ref
	m    sturdy.Map[int64, int64]
}

func openHist(t *testing.T, w *runtimetest.World) *histWorld {
	ctx := context.Background()
	m, err := w.Root().Ensure(ctx, "m", func(tn *sturdy.WriteTurn) caps.Ref { return sturdy.NewMap[int64, int64](tn).Ref })
	must(t, err)
	return &histWorld{rt: w.Runtime, refs: named(t, w, histAccounts), m: sturdy.Map[int64, int64]{Ref: m}}
}

// do runs op. An error is none that op should answer with: the world is gone.
func (h *histWorld) do(ctx context.Context, op histOp) (a histAnswer, err error) {
	err = h.run(ctx, op, &a)
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, errFunds):
		return histAnswer{Refused: true}, nil
	case op.What == "abort" && errors.Is(err, errMess), op.What == "panic" && errors.Is(err, caps.ErrPanicked),
		op.What == "swallow" && errors.Is(err, sturdy.ErrTurnShared):
		return histAnswer{}, nil
	}
	return histAnswer{Unknown: true}, err
}

func (h *histWorld) run(ctx context.Context, op histOp, a *histAnswer) (err error) {
	switch op.What {
	case "pay":
		return acPay.Call(ctx, h.refs[op.A], payment{h.refs[op.B], op.N})
	case "add":
		a.Seen[0], err = acAdd.Call(ctx, h.refs[op.A], op.N)
		return err
	case "get":
		a.Seen[0], err = acGet.Call(ctx, h.refs[op.A])
		return err
	case "view":
		return h.rt.View(ctx, func(t *sturdy.ReadTurn) error { return h.all(t, a) })
	}
	return h.rt.Update(ctx, func(t *sturdy.WriteTurn) error { return h.turn(t, op, a) })
}

// turn is the body of the operations that are write turns of their own.
func (h *histWorld) turn(t *sturdy.WriteTurn, op histOp, a *histAnswer) (err error) {
	switch op.What {
	case "update that only reads":
		return h.all(t, a)
	case "put":
		a.Seen[0], _ = h.m.Get(t, int64(op.A))
		a.Seen[0] += op.N
		h.m.Put(t, int64(op.A), a.Seen[0])
		return nil
	case "handled mess":
		if err := acMess.Call(t, h.refs[op.A], op.N); !errors.Is(err, errMess) {
			return err
		}
		a.Seen[0], err = acGet.Call(t, h.refs[op.A])
		return err
	}
	h.m.Put(t, histAccounts, -1)
	if _, err := acAdd.Call(t, h.refs[op.A], op.N); err != nil {
		return err
	}
	if op.What == "abort" {
		return acMess.Call(t, h.refs[op.B], op.N)
	}
	defer func() {
		if op.What == "swallow" {
			_ = recover()
		}
	}()
	return acBoom.Call(t, h.refs[op.B], op.N)
}

func (h *histWorld) all(t sturdy.Turn, a *histAnswer) (err error) {
	for i, ref := range h.refs {
		if a.Seen[i], err = acGet.Call(t, ref); err != nil {
			return err
		}
	}
	for i := histAccounts; i < histNumbers; i++ {
		a.Seen[i], _ = h.m.Get(t, int64(i))
	}
	return nil
}

// randomOp is the next thing that a client does.
func randomOp(chance *rand.Rand) histOp {
	whats := []string{
		"pay", "pay", "pay", "add", "get", "get", "view", "view", "view", "put", "put",
		"update that only reads", "abort", "panic", "swallow", "handled mess",
	}
	op := histOp{What: whats[chance.IntN(len(whats))], A: chance.IntN(histAccounts), B: chance.IntN(histAccounts), N: chance.Int64N(60)}
	if op.What == "put" {
		op.A = histAccounts + chance.IntN(histNumbers-histAccounts)
	}
	return op
}

// recorder collects the history. Its clock counts calls and returns, which orders them as
// they really were.
type recorder struct {
	clock atomic.Int64
	mu    sync.Mutex
	ops   []porcupine.Operation
}

func (r *recorder) note(op porcupine.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
}

// client does operations until the world is gone, and returns how it was told so. What is
// told not to have happened is left out: if it did, nothing explains it.
func (r *recorder) client(id int, h *histWorld, chance *rand.Rand, count int, done func()) error {
	for range count {
		op := randomOp(chance)
		called := r.clock.Add(1)
		a, err := h.do(context.Background(), op)
		if err == nil || errors.Is(err, caps.ErrMaybeExecuted) {
			r.note(porcupine.Operation{ClientId: id, Input: op, Call: called, Output: a, Return: r.clock.Add(1)})
		}
		done()
		if err != nil {
			return err
		}
	}
	return nil
}

// life lets the clients work until the world crashes under them.
func (r *recorder) life(t *testing.T, w *runtimetest.World, chance *rand.Rand, clients, each int) {
	h, from := openHist(t, w), len(r.ops)
	crashAfter := int64(chance.IntN(clients * each))
	crash := make(chan bool)
	var count atomic.Int64
	var crashed atomic.Bool
	done := func() {
		if n := count.Add(1); n == crashAfter+1 {
			close(crash)
		}
		if count.Load()%7 == 0 {
			h.rt.Evict()
		}
	}
	var busy sync.WaitGroup
	for id := range clients {
		own := rand.New(rand.NewPCG(chance.Uint64(), 0))
		busy.Go(func() {
			if err := r.client(id, h, own, each, done); err != nil && !crashed.Load() {
				t.Error(err)
			}
		})
	}
	select {
	case <-crash:
	case <-finished(&busy):
	}
	crashed.Store(true)
	w.Crash()
	busy.Wait()
	// What was maybe executed cannot be executed any more: whatever begins from here on
	// comes after it. Porcupine wants one operation of a client at a time, so that the
	// clients of the next life are others.
	over := r.clock.Add(1)
	for i := from; i < len(r.ops); i++ {
		if r.ops[i].Output.(histAnswer).Unknown {
			r.ops[i].Return = over
		}
	}
	for i := from; i < len(r.ops); i++ {
		r.ops[i].ClientId += from * clients
	}
}

// finished is closed when all of busy is done.
func finished(busy *sync.WaitGroup) chan bool {
	c := make(chan bool)
	go func() { busy.Wait(); close(c) }()
	return c
}

func TestEveryHistoryOfTurnsAndCrashesHasAnOrder(t *testing.T) {
	chance := rand.New(rand.NewPCG(seedOf(t), 2))
	for range ops(6) {
		w := unchecked(t, accountKind)
		accounts(t, w, histAccounts, histSum)
		r := new(recorder)
		for range 4 {
			r.life(t, w, chance, 5, 14)
		}
		h := openHist(t, w)
		called := r.clock.Add(1)
		a, _ := h.do(t.Context(), histOp{What: "view"})
		r.note(porcupine.Operation{Input: histOp{What: "view"}, Call: called, Output: a, Return: r.clock.Add(1)})
		judge(t, r.ops)
		must(t, w.Close())
	}
}

func judge(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	switch porcupine.CheckOperationsTimeout(histModel(), history, 10*time.Second) {
	case porcupine.Illegal:
		for _, op := range history {
			t.Logf("%d..%d client %d: %+v = %+v", op.Call, op.Return, op.ClientId, op.Input, op.Output)
		}
		t.Fatal("no order explains this history")
	case porcupine.Unknown: // on a slow machine more operations overlap than can be tried out
		t.Log("no verdict within ten seconds")
	}
}

// The checker itself must be able to say no.
func TestAHistoryWithALostAnswerHasNoOrder(t *testing.T) {
	add := histOp{What: "add", A: 0, N: 5}
	get := histOp{What: "get", A: 0}
	history := []porcupine.Operation{
		{ClientId: 1, Input: add, Call: 1, Output: histAnswer{Seen: histState{histSum + 5}}, Return: 2},
		{ClientId: 2, Input: get, Call: 3, Output: histAnswer{Seen: histState{histSum}}, Return: 4},
	}
	if porcupine.CheckOperations(histModel(), history) {
		t.Error("an acknowledged write is lost, and the checker finds an order")
	}
	history[0].Output = histAnswer{Unknown: true}
	if !porcupine.CheckOperations(histModel(), history) {
		t.Error("a write that was maybe executed may be lost")
	}
}

func TestMoneyIsConservedUnderLoad(t *testing.T) {
	const n, each = 50, 1000
	w, ctx := unchecked(t, accountKind), t.Context()
	refs := accounts(t, w, n, each)
	var busy sync.WaitGroup
	stop := make(chan bool)
	for i := range 3 {
		relaxed := i == 0
		busy.Go(func() {
			ctx := ctx
			if relaxed {
				ctx = sturdy.Relaxed(ctx)
			}
			for range ops(400) {
				err := acPay.Call(ctx, refs[rand.IntN(n)], payment{refs[rand.IntN(n)], rand.Int64N(2 * each)})
				if err != nil && !errors.Is(err, errFunds) {
					t.Error(err)
				}
			}
		})
	}
	var readers sync.WaitGroup
	for _, ctx := range []context.Context{ctx, sturdy.Relaxed(ctx)} {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					conserved(t, w.Runtime, ctx, refs, n*each)
				}
			}
		})
	}
	busy.Wait()
	close(stop)
	readers.Wait()
	w.Crash()
	conserved(t, w.Runtime, ctx, named(t, w, n), n*each)
}

func conserved(t *testing.T, rt *sturdy.Runtime, ctx context.Context, refs []caps.Ref, want int64) {
	sum := int64(0)
	err := rt.View(ctx, func(tn *sturdy.ReadTurn) error {
		sum = 0
		for _, ref := range refs {
			n, err := acGet.Call(tn, ref)
			if err != nil {
				return err
			}
			sum += n
		}
		return nil
	})
	if err != nil || sum != want {
		t.Errorf("the sum is %d, %v; want %d", sum, err, want)
	}
}
