package sturdy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Runtime is one host: an open world. Safe for concurrent use.
type Runtime struct {
	dir         string
	log         *slog.Logger
	clock       func() time.Time
	entropy     io.Reader
	checked     bool
	vat         *vat
	world       *world
	root        *handle
	dirs        *KindOf[directory]
	colls       collKinds
	grants      *KindOf[grant]
	ledgers     *KindOf[ledger]
	brands      brandKinds
	activities  *KindOf[activity]
	promises    *KindOf[promise]
	timers      *KindOf[timer]
	threads     *KindOf[thread]
	strands     strands
	portKind    *KindOf[port]
	domains     *KindOf[domain]
	meters      *KindOf[meter]
	foreign     *KindOf[remote]
	peers       *KindOf[peer]
	remotes     remotes
	couriers    couriers
	intakes     intakes
	wire        atomic.Pointer[Wire] // nil: it reaches no other host
	ports       ports
	ledger      *handle // the object that lists the grants
	activity    *handle // the object that has what is under way
	awaits      awaits
	unseen      unseen
	gates       *caps.Gates
	uses        uses
	key         *hostKey // nil in a world that is only read and has none
	proven      *proven
	worldID     string
	incarnation uint64 // of this opening
	texts       texts
	large       sync.Map // *definition -> reported
	elems       sync.Map // reflect.Type -> *elemType
	closing     sync.Once
	closed      error
	watch       *watchdog

	lineages atomic.Pointer[lineages]
}

// Root is the directory that everything is reachable from, with every right.
func (rt *Runtime) Root() Directory { return Directory{rt.ref(rt.root, caps.Full())} }

// Update runs fn as one write turn: what it writes is there together or not at all, and on
// disk when Update returns nil. An error of fn is returned as it is, and nothing happened.
// fn may run more than once, see Turn. With a turn as ctx, fn joins that turn.
func (rt *Runtime) Update(ctx context.Context, fn func(*WriteTurn) error) error {
	if r, w := turnOf(ctx); r != nil {
		if err := r.usableIn(rt); err != nil {
			return err
		}
		if w == nil {
			return &caps.Error{Op: "update", Code: caps.ErrNoRight, Text: "this is a read turn, from which no write can start"}
		}
		r.depth++
		err := fn(w)
		r.depth--
		return err
	}
	return rt.update(ctx, "update", fn)
}

// update runs fn as a write turn of its own, which errors call op.
func (rt *Runtime) update(ctx context.Context, op string, fn func(*WriteTurn) error) error {
	var before *WriteTurn
	for {
		t, err := rt.vat.begin(ctx, op, before)
		if err != nil {
			return err
		}
		err = updateOnce(t, fn)
		g, err := rt.vat.end(t, err)
		if !t.again {
			if err == nil {
				t.logBuried()
			}
			return rt.vat.reply(ctx, op, g, err)
		}
		rt.vat.retry(t)
		before = t
	}
}

func updateOnce(t *WriteTurn, fn func(*WriteTurn) error) (err error) {
	returned := false
	defer t.r.rescue(t.op, &err, &returned)
	err = fn(t)
	returned = true
	return err
}

// View runs fn as one read turn: everything it reads is as of one moment. It blocks no
// writer and no writer blocks it. With a turn as ctx, fn joins that turn. A View that takes
// longer than ten seconds may end with ErrTooOld.
func (rt *Runtime) View(ctx context.Context, fn func(*ReadTurn) error) error {
	if r, _ := turnOf(ctx); r != nil {
		if err := r.usableIn(rt); err != nil {
			return err
		}
		r.depth++
		err := fn(r)
		r.depth--
		return err
	}
	for {
		t, err := rt.vat.beginRead(ctx, "view")
		if err != nil {
			return err
		}
		err = viewOnce(t, fn)
		again, err := rt.vat.endRead(t, "view", err)
		if !again {
			return err
		}
	}
}

func viewOnce(t *ReadTurn, fn func(*ReadTurn) error) (err error) {
	returned := false
	defer t.rescue("view", &err, &returned)
	err = fn(t)
	returned = true
	return err
}

// outsideTurns refuses what would wait for the turn it is called in.
func outsideTurns(ctx context.Context, op string) error {
	if r, _ := turnOf(ctx); r != nil {
		return &caps.Error{Op: op, Code: caps.ErrWouldBlock, Text: "a turn cannot wait; call it outside of turns"}
	}
	return nil
}

// turnOf finds the turn that ctx is or derives from; w is nil if it cannot write.
func turnOf(ctx context.Context) (r *ReadTurn, w *WriteTurn) {
	switch t := ctx.Value(turnKey{}).(type) {
	case *WriteTurn:
		return &t.r, t
	case *ReadTurn:
		return t, nil
	}
	return nil, nil
}

// Sync waits until everything committed so far is on disk, what Relaxed callers committed
// included. If some of that was lost since the last Sync, to a full disk or a failed one, it
// says so.
func (rt *Runtime) Sync(ctx context.Context) error {
	v := rt.vat
	if err := outsideTurns(ctx, "sync"); err != nil {
		return err
	}
	if err := v.w.lock(ctx, "sync", rt.clock); err != nil {
		return notStarted("sync", err)
	}
	g, f, lost := v.pending(), v.failed.Load(), v.lostTo
	v.lostTo = nil
	v.w.unlock()
	switch {
	case f != nil:
		return stoppedError("sync", f.err)
	case lost != nil:
		return lost
	}
	if g != nil {
		v.wake(v.kick)
	}
	return g.wait(ctx)
}

// Close makes everything durable and closes the world. Calls under way end first or fail
// with ErrClosed. It may be called more than once. A process that ends without it loses
// nothing that was acknowledged.
func (rt *Runtime) Close() error {
	if err := rt.selfDeadlock(rt.vat, "close"); err != nil {
		return err
	}
	v := rt.vat
	// As an ordinary caller: inside a write turn it ends, and says why.
	if err := v.w.lock(context.Background(), "close", rt.clock); err != nil {
		return err
	}
	v.w.unlock()
	rt.closing.Do(func() {
		v.w.lockInternal()
		v.shut.Store(true)
		v.failed.CompareAndSwap(nil, &stopped{ErrClosed})
		v.w.unlock()                             // no write turn begins from here on
		close(v.ending)                          // a program of a thread may wait for what will not come
		late := time.AfterFunc(waitLimit, v.die) // the journal may have no room, and get none as long as the disk is full
		defer late.Stop()
		rt.closeThreads()
		rt.couriers.end()
		close(v.closing)
		<-v.retired
		<-v.flushed
		rt.logBuried(v.mail.buried)
		rt.watch.stop()
		rt.logUnseen(true)
		v.snaps.close()
		rt.closed = errors.Join(v.lostTo, v.store.Close())
	})
	return rt.closed
}

// relaxed marks a context of Relaxed.
type relaxed struct{ context.Context }

type relaxedKey struct{}

// Relaxed returns a context whose calls return before their effects are on disk, and read
// what others have not yet on disk either. Both may be lost in a crash; order is kept, so
// what is lost is always the newest.
func Relaxed(ctx context.Context) context.Context { return relaxed{ctx} }

// Value makes the mark visible through derived contexts.
func (r relaxed) Value(key any) any {
	if _, ok := key.(relaxedKey); ok {
		return true
	}
	return r.Context.Value(key)
}

// strict takes the mark of Relaxed away.
type strict struct{ context.Context }

// Value hides the mark.
func (s strict) Value(key any) any {
	if _, ok := key.(relaxedKey); ok {
		return nil
	}
	return s.Context.Value(key)
}

func isRelaxed(ctx context.Context) bool {
	if _, ok := ctx.(relaxed); ok {
		return true
	}
	return ctx.Value(relaxedKey{}) != nil
}

// reportLarge logs, once for each kind, that its states are larger than they should be.
func (rt *Runtime) reportLarge(d *definition, size int) {
	if _, again := rt.large.LoadOrStore(d, true); !again {
		rt.logAside(slog.LevelWarn, "a large state is copied and stored whole each time it changes; keep its parts in a Map or a List",
			"kind", d.name, "bytes", size, "defined", d.place)
	}
}

// logAside logs what is noticed by whom others wait for: with the writer's lock held, by the flusher or
// by the watchdog. Who handles the log may write, and would wait for them.
func (rt *Runtime) logAside(level slog.Level, text string, args ...any) {
	go rt.log.Log(context.Background(), level, text, args...)
}

func (rt *Runtime) reportPanic(op string, p any) {
	rt.vat.stats.panics.Add(1)
	rt.logAside(slog.LevelError, "a method panicked; nothing of its turn happened", "method", op, "panic", p, "stack", string(debug.Stack()))
}

// fault loads the newest state of h from the store.
func (v *vat) fault(h *handle) (*version, error) {
	s := v.snaps.acquire(&v.snaps.durable)
	defer v.snaps.release(s)
	v.stats.faults.Add(1)
	rec, ok, err := s.store.Get(objstore.ObjectKey(h.oid))
	switch {
	case err != nil:
		return nil, storeError(h, err)
	case !ok:
		return nil, &caps.Error{Object: h.name(), Code: caps.ErrGone, Text: h.name() + " is not in this world"}
	}
	return v.rt.world.decode(v.rt, h, rec)
}
