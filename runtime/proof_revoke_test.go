package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// The proof that revocation is linearizable: 64 callers call through Refs at every depth of a
// tree of grants, by every way there is, while others revoke and the clock runs out. What they
// did is a history of registers, one for each grant, that go from alive to dead once:
// porcupine looks for an order in which a call succeeds exactly if no register on its path is
// dead yet, and in which nothing stands before what had returned when it began.

const deadGrants = 10 // registers of one history

// deadOp is a revocation of the grants in Kills or, if that is 0, a call through Path.
type deadOp struct {
	Kills, Path uint16
	How         string
}

func deadModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return uint16(0) },
		Step: func(state, in, out any) (bool, any) {
			dead, op := state.(uint16), in.(deadOp)
			if op.Kills != 0 {
				return true, dead | op.Kills
			}
			return out.(bool) == (dead&op.Path == 0), dead
		},
		Equal: func(a, b any) bool { return a == b },
	}
}

// deadTree is a tree of grants and what is held of it.
type deadTree struct {
	*shelf
	r      recorder
	grants [deadGrants]sturdy.Grant
	paths  [deadGrants]uint16
	until  [deadGrants]time.Time // zero: it is revoked
	at     [deadGrants]caps.Ref  // to the folder
	texts  [deadGrants]caps.SturdyRef
	rows   [deadGrants]caps.Ref // to a Map, granted below the same path
	count  atomic.Int64
	ticks  chan bool
}

// fastShelf is newShelf in a world that runs each turn once.
func fastShelf(t *testing.T, ks ...sturdy.Kind) *shelf {
	t.Helper()
	s := &shelf{World: unchecked(t, append(ks, accountKind, folderKind)...), t: t}
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		s.account = accountKind.New(tn, account{N: 5})
		s.folder = folderKind.New(tn, folder{Items: []caps.Ref{s.account}})
		return errors.Join(s.Root().Put(tn, "account", s.account), s.Root().Put(tn, "folder", s.folder))
	}))
	return s
}

// newDeadTree grants the folder to node 0, and each node to the next or to a later one. Every
// third is a membrane, every fifth runs out instead of being revoked.
func newDeadTree(t *testing.T, chance *rand.Rand) *deadTree {
	d := &deadTree{shelf: fastShelf(t), ticks: make(chan bool, 1<<16)}
	must(t, d.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		m := sturdy.NewMap[int64, caps.Ref](tn)
		m.Put(tn, 0, d.account)
		return foPut.Call(tn, d.folder, m.Ref)
	}))
	for i := range deadGrants {
		from := d.folder
		if i > 0 {
			above := chance.IntN(i)
			from, d.paths[i] = d.at[above], d.paths[above]
		}
		d.paths[i] |= 1 << i
		terms := caps.Terms{For: fmt.Sprint("node ", i), Deep: i%3 == 1}
		if i%5 == 4 {
			d.until[i] = d.Now().Add(time.Duration(i) * time.Hour)
			terms.Until = d.until[i]
		}
		d.texts[i], d.grants[i] = d.save(from, terms)
		d.at[i] = d.restore(d.texts[i], "")
		d.put(fmt.Sprint("node ", i), d.at[i])
		// What a membrane lets out is under it; what a plain grant lets out is not.
		if terms.Deep {
			out, err := foAt.Call(t.Context(), d.at[i], 1)
			must(t, err)
			d.rows[i] = out
		}
	}
	return d
}

// did notes what a call came to.
func (d *deadTree) did(op deadOp, called int64, client int, err error) {
	if err != nil && !errors.Is(err, caps.ErrRevoked) {
		d.t.Errorf("%s: %v", op.How, err)
	}
	d.r.note(porcupine.Operation{ClientId: client, Input: op, Call: called, Output: err == nil, Return: d.r.clock.Add(1)})
	if d.count.Add(1)%40 == 0 {
		select {
		case d.ticks <- true:
		default: // nobody revokes any more
		}
	}
}

// try does one call and notes it.
func (d *deadTree) try(client, node int, how string, call func() error) {
	called := d.r.clock.Add(1)
	d.did(deadOp{Path: d.paths[node], How: how}, called, client, call())
}

// tryIn is try in a turn that began at begun: what runs out is judged by the turn's time, so
// where something of the path does, the call counts from there.
func (d *deadTree) tryIn(begun int64, client, node int, call func() error) {
	called := d.r.clock.Add(1)
	for i, until := range d.until {
		if !until.IsZero() && d.paths[node]&(1<<i) != 0 {
			called = begun
		}
	}
	d.did(deadOp{Path: d.paths[node], How: "in a turn"}, called, client, call())
}

// client calls through random nodes by random ways.
func (d *deadTree) client(id int, chance *rand.Rand, each int) {
	ctx := context.Background()
	if id%5 == 0 {
		ctx = sturdy.Relaxed(ctx)
	}
	for range each {
		d.step(ctx, id, chance.IntN(deadGrants), chance.IntN(9))
		if id == 1 {
			d.Evict()
		}
	}
}

func (d *deadTree) step(ctx context.Context, id, node, way int) {
	ref := d.at[node]
	read := func(ctx context.Context, ref caps.Ref) error { _, err := foAll.Call(ctx, ref); return err }
	begun := d.r.clock.Add(1)
	switch way {
	case 0:
		d.try(id, node, "read", func() error { return read(ctx, ref.Attenuate(caps.Read)) })
	case 1:
		d.try(id, node, "write", func() error { return foPut.Call(ctx, ref, d.account) })
	case 2:
		d.try(id, node, "untyped", func() error { _, err := ref.Deliver(ctx, caps.Message{Method: "all"}); return err })
	case 3: // a turn that has begun before
		_ = d.View(ctx, func(tn *sturdy.ReadTurn) error {
			for range 3 {
				d.tryIn(begun, id, node, func() error { return read(tn, ref) })
			}
			return nil
		})
	case 4:
		_ = d.Update(ctx, func(tn *sturdy.WriteTurn) error {
			d.tryIn(begun, id, node, func() error { return read(tn, ref) })
			return nil
		})
	case 5:
		if stored, err := d.Root().Get(ctx, fmt.Sprint("node ", node)); err == nil {
			d.try(id, node, "read from disk", func() error { return read(ctx, stored) })
		}
	case 6:
		d.try(id, node, "restore", func() error { _, err := d.Restore(ctx, d.texts[node]); return err })
	case 7:
		d.try(id, node, "weaker text", func() error { _, err := d.Restore(ctx, d.texts[node].Attenuate(caps.Read)); return err })
	case 8:
		if rows := d.rows[node]; !rows.IsNull() {
			d.try(id, node, "a Map behind a membrane", func() error {
				return d.View(ctx, func(tn *sturdy.ReadTurn) error {
					sturdy.Map[int64, caps.Ref]{Ref: rows}.Get(tn, 0)
					return nil
				})
			})
		}
	}
}

// kill revokes a node, or lets the clock pass it; client is who does.
func (d *deadTree) kill(client, node int) {
	called, op := d.r.clock.Add(1), deadOp{Kills: 1 << node, How: "revoke"}
	if until := d.until[node]; !until.IsZero() {
		d.Pass(until.Sub(d.Now()))
	} else if err := d.grants[node].Revoke(context.Background()); err != nil {
		d.t.Error(err)
	}
	d.r.note(porcupine.Operation{ClientId: client, Input: op, Call: called, Output: true, Return: d.r.clock.Add(1)})
}

func TestNoCallSucceedsThatBeganAfterARevokeHadReturned(t *testing.T) {
	const callers = 64
	chance := rand.New(rand.NewPCG(seedOf(t), 7))
	for range 3 {
		d := newDeadTree(t, chance)
		var busy, revokers sync.WaitGroup
		for id := range callers {
			own := rand.New(rand.NewPCG(chance.Uint64(), 1))
			busy.Go(func() { d.client(id, own, ops(16)) })
		}
		// Two revoke, from the leaves up; the third lets the clock run.
		for r, nodes := range [][]int{{8, 6, 2, 0}, {7, 5, 1}, {4, 9}} {
			revokers.Go(func() {
				for _, node := range nodes {
					if _, open := <-d.ticks; open {
						d.kill(callers+r, node)
					}
				}
			})
		}
		busy.Wait()
		close(d.ticks)
		revokers.Wait()
		d.ticks = nil
		for node := range deadGrants {
			for way := range 9 {
				d.step(t.Context(), callers+5, node, way)
			}
		}
		judgeDead(t, d.r.ops)
		d.afterCrash(d.r.ops)
	}
}

// afterCrash compares what is left with what the history says is dead.
func (d *deadTree) afterCrash(history []porcupine.Operation) {
	dead := uint16(0)
	for _, op := range history {
		dead |= op.Input.(deadOp).Kills
	}
	d.Crash()
	for node, path := range d.paths {
		_, err := foAll.Call(d.t.Context(), d.get(fmt.Sprint("node ", node)))
		_, terr := d.Restore(d.t.Context(), d.texts[node])
		for _, err := range []error{err, terr} {
			if (err == nil) != (path&dead == 0) || err != nil && !errors.Is(err, caps.ErrRevoked) {
				d.t.Errorf("node %d, path %b of dead %b, after a crash: %v", node, path, dead, err)
			}
		}
	}
}

func judgeDead(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	ok, refused := 0, 0
	for _, op := range history {
		if op.Output.(bool) {
			ok++
		} else {
			refused++
		}
	}
	if ok < 50 || refused < 50 {
		t.Errorf("%d succeeded and %d were refused: that says little", ok, refused)
	}
	if why := deadOrder(history); why != "" {
		t.Fatal(why)
	}
	if porcupine.CheckOperationsTimeout(deadModel(), history, time.Second) == porcupine.Illegal {
		t.Fatal("no order explains this history")
	}
}

// deadOrder finds the pairs that no order allows. Registers fall once and never rise, so a
// history without such a pair nearly always has an order; it names what is wrong where
// porcupine only says no, and it judges histories that are too long for that.
func deadOrder(history []porcupine.Operation) string {
	for _, a := range history {
		op := a.Input.(deadOp)
		if op.Kills != 0 {
			continue
		}
		begun := false
		for _, b := range history {
			other := b.Input.(deadOp)
			switch {
			case other.Kills != 0:
				begun = begun || other.Kills&op.Path != 0 && b.Call < a.Return
				if a.Output.(bool) && other.Kills&op.Path != 0 && b.Return < a.Call {
					return fmt.Sprintf("%s through %b succeeded after %b was revoked", op.How, op.Path, other.Kills)
				}
			case a.Output.(bool) && !b.Output.(bool) && b.Return < a.Call && other.Path&^op.Path == 0:
				return fmt.Sprintf("%s through %b succeeded after %s through %b had been refused", op.How, op.Path, other.How, other.Path)
			}
		}
		if !a.Output.(bool) && !begun {
			return fmt.Sprintf("%s through %b was refused before anything of it was revoked", op.How, op.Path)
		}
	}
	return ""
}

// The judges must be able to say no.
func TestAHistoryWithACallAfterARevokeHasNoOrder(t *testing.T) {
	kill := porcupine.Operation{ClientId: 1, Input: deadOp{Kills: 2}, Call: 1, Output: true, Return: 2}
	late := porcupine.Operation{ClientId: 2, Input: deadOp{Path: 3}, Call: 3, Output: true, Return: 4}
	early := porcupine.Operation{ClientId: 2, Input: deadOp{Path: 3}, Call: 1, Output: false, Return: 2}
	after := porcupine.Operation{ClientId: 2, Input: deadOp{Path: 3}, Call: 3, Output: true, Return: 9}
	slow := porcupine.Operation{ClientId: 1, Input: deadOp{Kills: 2}, Call: 1, Output: true, Return: 8}
	for name, history := range map[string][]porcupine.Operation{
		"a call after a revoke":          {kill, late},
		"refused without a revoke":       {early},
		"refused and then let in":        {slow, early, after},
		"refused before a revoke begins": {early, {ClientId: 1, Input: deadOp{Kills: 2}, Call: 5, Output: true, Return: 6}},
	} {
		if deadOrder(history) == "" || porcupine.CheckOperations(deadModel(), history) {
			t.Errorf("%s: a judge finds nothing wrong", name)
		}
	}
	if why := deadOrder([]porcupine.Operation{slow, late}); why != "" || !porcupine.CheckOperations(deadModel(), []porcupine.Operation{slow, late}) {
		t.Error("a call beside a revoke may succeed:", why)
	}
}

// A holder is a kind whose read method is under way for as long as a test wants.
type holder struct{ N int64 }

const hoWait caps.Query[int64] = "wait"

func holderKind(inside, leave chan bool) *sturdy.KindOf[holder] {
	return sturdy.Define("proof/holder", sturdy.Query(hoWait, func(h *holder, _ *sturdy.ReadTurn) (int64, error) {
		inside <- true
		<-leave
		return h.N, nil
	}))
}

func TestAReadThatWasUnderWayWhenItsGrantWasRevokedDoesNotReply(t *testing.T) {
	inside, leave := make(chan bool), make(chan bool)
	kind := holderKind(inside, leave)
	s, ctx := fastShelf(t, kind), t.Context()
	var ref caps.Ref
	must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error { ref = kind.New(tn, holder{7}); return nil }))
	for how, call := range map[string]func(context.Context, caps.Ref) error{
		"typed": func(ctx context.Context, r caps.Ref) error { _, err := hoWait.Call(ctx, r); return err },
		"untyped": func(ctx context.Context, r caps.Ref) error {
			_, err := r.Deliver(ctx, caps.Message{Method: "wait"})
			return err
		},
		"as a Value": func(ctx context.Context, r caps.Ref) error {
			_, err := caps.Query[caps.Value]("wait").Call(ctx, r)
			return err
		},
		"of a weaker text": func(ctx context.Context, r caps.Ref) error {
			text, _ := s.save(r, caps.Terms{For: "text"})
			_, err := hoWait.Call(ctx, s.restore(text.Only(hoWait), ""))
			return err
		},
	} {
		for _, ctx := range []context.Context{ctx, sturdy.Relaxed(ctx)} {
			top, g := s.grant(ref, caps.Terms{For: "top"})
			below, _ := s.grant(top.Attenuate(caps.Read), caps.Terms{For: "below"})
			replied := make(chan error, 1)
			go func() { replied <- call(ctx, below) }()
			<-inside
			s.revoke(g)
			leave <- true
			if err := <-replied; !errors.Is(err, caps.ErrRevoked) {
				t.Errorf("%s: the reply left after the revoke had returned: %v", how, err)
			}
		}
	}
}

func TestATurnUnderWayNoticesARevokeAtItsNextCall(t *testing.T) {
	s, ctx := fastShelf(t), t.Context()
	var m caps.Ref
	must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		m = sturdy.NewMap[string, int64](tn).Ref
		return nil
	}))
	for how, call := range map[string]func(tn *sturdy.ReadTurn, account, rows caps.Ref) error{
		"typed": func(tn *sturdy.ReadTurn, account, _ caps.Ref) error { _, err := acGet.Call(tn, account); return err },
		"untyped": func(tn *sturdy.ReadTurn, account, _ caps.Ref) error {
			_, err := account.Deliver(tn, caps.Message{Method: "get"})
			return err
		},
		"map": func(tn *sturdy.ReadTurn, _, rows caps.Ref) error {
			sturdy.Map[string, int64]{Ref: rows}.Get(tn, "a")
			return nil
		},
		"iterator": func(tn *sturdy.ReadTurn, _, rows caps.Ref) error {
			for range (sturdy.Map[string, int64]{Ref: rows}).All(tn) {
			}
			return nil
		},
		"derived": func(tn *sturdy.ReadTurn, account, _ caps.Ref) error {
			ctx, cancel := context.WithCancel(tn)
			defer cancel()
			_, err := acGet.Call(ctx, account)
			return err
		},
		"nested view": func(tn *sturdy.ReadTurn, account, _ caps.Ref) error {
			return s.View(tn, func(tn *sturdy.ReadTurn) error { _, err := acGet.Call(tn, account); return err })
		},
	} {
		account, g1 := s.grant(s.account, caps.Terms{For: how})
		rows, g2 := s.grant(m, caps.Terms{For: how})
		err := s.View(ctx, func(tn *sturdy.ReadTurn) error {
			if err := call(tn, account, rows); err != nil {
				t.Errorf("%s, before: %v", how, err)
			}
			revoked := make(chan bool)
			go func() { s.revoke(g1); s.revoke(g2); close(revoked) }()
			<-revoked
			return call(tn, account, rows)
		})
		if !errors.Is(err, caps.ErrRevoked) {
			t.Errorf("%s: the next call of the turn: %v", how, err)
		}
	}
}

// queueing is a context that tells when somebody waits on it for the first time: a caller
// that has been let in and stands in the writer's queue.
type queueing struct {
	context.Context
	waits chan bool
	once  sync.Once
}

func (q *queueing) Done() <-chan struct{} {
	q.once.Do(func() { close(q.waits) })
	return nil
}

func TestAWriteThatWaitedForTheWriterWhileItsGrantWasRevokedIsRefused(t *testing.T) {
	s, ctx := fastShelf(t), t.Context()
	for _, until := range []time.Time{{}, s.Now().Add(time.Hour)} {
		shared, g := s.grant(s.account, caps.Terms{For: "shared", Until: until})
		queue := &queueing{Context: ctx, waits: make(chan bool)}
		answered := make(chan error, 1)
		must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
			go func() { _, err := acAdd.Call(queue, shared, 1); answered <- err }()
			<-queue.waits
			if !until.IsZero() {
				s.Pass(2 * time.Hour)
				return nil
			}
			return g.Revoke(tn)
		}))
		wants(t, <-answered, caps.ErrRevoked)
	}
	holds(t, ctx, s.account, 5)
}

func TestAnIterationUnderWayEndsWhenItsGrantIsRevoked(t *testing.T) {
	s, ctx := fastShelf(t), t.Context()
	var m sturdy.Map[int64, int64]
	var l sturdy.List[int64]
	var d sturdy.Directory
	must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		m, l, d = sturdy.NewMap[int64, int64](tn), sturdy.NewList[int64](tn), sturdy.NewDirectory(tn)
		for i := range int64(600) {
			m.Put(tn, i, i)
			l.Append(tn, i)
			must(t, d.Put(tn, fmt.Sprintf("%03d", i), s.account))
		}
		return nil
	}))
	for how, walk := range map[string]func(tn *sturdy.ReadTurn, m, l, d caps.Ref, each func()){
		"map": func(tn *sturdy.ReadTurn, m, _, _ caps.Ref, each func()) {
			for range (sturdy.Map[int64, int64]{Ref: m}).All(tn) {
				each()
			}
		},
		"list": func(tn *sturdy.ReadTurn, _, l, _ caps.Ref, each func()) {
			for range (sturdy.List[int64]{Ref: l}).Range(tn, 0, 600) {
				each()
			}
		},
		"directory": func(tn *sturdy.ReadTurn, _, _, d caps.Ref, each func()) {
			for range (sturdy.Directory{Ref: d}).All(tn) {
				each()
			}
		},
	} {
		gm, g1 := s.grant(m.Ref, caps.Terms{})
		gl, g2 := s.grant(l.Ref, caps.Terms{})
		gd, g3 := s.grant(d.Ref, caps.Terms{})
		rows := 0
		err := s.View(ctx, func(tn *sturdy.ReadTurn) error {
			walk(tn, gm, gl, gd, func() {
				if rows++; rows == 5 {
					revoked := make(chan bool)
					go func() { s.revoke(g1); s.revoke(g2); s.revoke(g3); close(revoked) }()
					<-revoked
				}
			})
			return nil
		})
		if limit := map[string]int{"directory": 256}[how]; !errors.Is(err, caps.ErrRevoked) || rows > max(limit, 5) {
			t.Errorf("%s: %d rows were yielded, %v", how, rows, err)
		}
	}
}
