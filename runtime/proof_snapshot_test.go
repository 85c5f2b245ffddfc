package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// pairs reads all of refs twice over and says whether a snapshot shows half of a turn: each
// turn adds one to a pair, so that both have the same in any snapshot, however long it is
// looked at.
func pairs(t sturdy.Turn, refs []caps.Ref, again func()) (sum int64, err error) {
	first := make([]int64, len(refs))
	for i, ref := range refs {
		if first[i], err = acGet.Call(t, ref); err != nil {
			return 0, err
		}
		sum += first[i]
	}
	again()
	for i, ref := range refs {
		n, err := acGet.Call(t, ref)
		if err != nil {
			return 0, err
		}
		if n != first[i] || n != first[i^1] {
			return 0, fmt.Errorf("account %d holds %d, then %d; its twin holds %d", i, first[i], n, first[i^1])
		}
	}
	return sum, nil
}

// TestSnapshotsHoldWhileVersionsAreEvictedLoadedAndWritten is the proof of how versions are
// installed: with room for none of them in the cache, every touch is a load, and loads,
// writes, evictions and readers of old snapshots meet in every order.
func TestSnapshotsHoldWhileVersionsAreEvictedLoadedAndWritten(t *testing.T) {
	w := tiny(t)
	ctx := t.Context()
	refs := accounts(t, w, 12, 0)
	var stop atomic.Bool
	var busy sync.WaitGroup
	for _, c := range []context.Context{ctx, sturdy.Relaxed(ctx)} {
		busy.Go(func() {
			for !stop.Load() {
				i := rand.IntN(len(refs)) &^ 1
				if err := w.Update(c, func(tn *sturdy.WriteTurn) error {
					_, err := acAdd.Call(tn, refs[i], 1)
					if err == nil {
						_, err = acAdd.Call(tn, refs[i+1], 1)
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	busy.Go(func() {
		for !stop.Load() {
			w.Evict()
		}
	})
	for _, c := range []context.Context{ctx, sturdy.Relaxed(ctx), ctx} {
		busy.Go(func() {
			last := int64(0)
			for n := 0; !stop.Load(); n++ {
				sum := int64(0)
				if err := w.View(c, func(tn *sturdy.ReadTurn) (err error) {
					sum, err = pairs(tn, refs, w.Evict)
					return err
				}); err != nil {
					t.Error(err)
					stop.Store(true)
				}
				if sum < last {
					t.Errorf("a later snapshot shows %d, an earlier one %d", sum, last)
				}
				last = sum
			}
		})
	}
	<-time.After(time.Second)
	stop.Store(true)
	busy.Wait()
	must(t, w.Sync(ctx))
	sum := int64(0)
	must(t, w.View(ctx, func(tn *sturdy.ReadTurn) (err error) { sum, err = pairs(tn, refs, w.Evict); return err }))
	w.Crash()
	must(t, w.View(ctx, func(tn *sturdy.ReadTurn) error {
		after, err := pairs(tn, named(t, w, 12), func() {})
		if after != sum {
			t.Errorf("%d after a crash, %d before", after, sum)
		}
		return err
	}))
}

func TestALongViewKeepsItsSnapshot(t *testing.T) {
	w := tiny(t)
	ctx := t.Context()
	refs := accounts(t, w, 4, 0)
	var m sturdy.Map[int64, int64]
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		m = sturdy.NewMap[int64, int64](tn)
		for i := range int64(500) {
			m.Put(tn, i, 0)
		}
		return w.Root().Put(tn, "m", m.Ref)
	}))
	// Two turns in each round, so that a version lies between what the View needs and the
	// newest; and a second View that begins later and sees what is then.
	for _, c := range []context.Context{ctx, sturdy.Relaxed(ctx)} {
		round := int64(0)
		must(t, w.View(c, func(tn *sturdy.ReadTurn) error {
			before, err := acGet.Call(tn, refs[0])
			must(t, err)
			for range 10 {
				round++
				for i := range refs {
					_, err := acAdd.Call(c, refs[i], 1)
					must(t, err)
				}
				must(t, w.Update(c, func(wt *sturdy.WriteTurn) error {
					for i := range int64(500) {
						if i%2 == 0 {
							m.Put(wt, i, 100+i)
						} else {
							m.Delete(wt, i)
						}
					}
					m.Put(wt, 1000+round, 1)
					return nil
				}))
				must(t, w.Sync(ctx))
				w.Evict()
				for i := range refs {
					holds(t, tn, refs[i], before)
				}
				holds(t, c, refs[0], before+round)
			}
			return unchangedRows(tn, m, before == 0)
		}))
	}
}

// unchangedRows looks at the rows as they were at first.
func unchangedRows(tn *sturdy.ReadTurn, m sturdy.Map[int64, int64], first bool) error {
	if !first {
		return nil
	}
	next := int64(0)
	for k, v := range m.All(tn) {
		if k != next || v != 0 {
			return fmt.Errorf("row %d is %d where row %d was 0", k, v, next)
		}
		next++
	}
	if next != 500 || m.Len(tn) != 500 {
		return fmt.Errorf("%d rows, and it says %d", next, m.Len(tn))
	}
	return nil
}

func TestAViewThatTakesTooLongIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, err := sturdy.Options{Kinds: []sturdy.Kind{accountKind}}.Open()
		must(t, err)
		defer rt.Close()
		ctx := t.Context()
		var m sturdy.Map[int64, int64]
		must(t, rt.Update(ctx, func(tn *sturdy.WriteTurn) error {
			m = sturdy.NewMap[int64, int64](tn)
			m.Put(tn, 1, 1)
			return rt.Root().Put(tn, "m", m.Ref)
		}))
		put := func(k int64) {
			must(t, rt.Update(ctx, func(tn *sturdy.WriteTurn) error { m.Put(tn, k, k); return nil }))
		}
		read := func(tn *sturdy.ReadTurn) error {
			for range m.All(tn) {
			}
			return nil
		}
		err = rt.View(ctx, func(tn *sturdy.ReadTurn) error {
			put(2)
			time.Sleep(9 * time.Second)
			if err := read(tn); err != nil || m.Len(tn) != 1 {
				t.Errorf("after nine seconds: %v", err)
			}
			time.Sleep(2 * time.Minute)
			put(3)
			time.Sleep(2 * time.Minute)
			return read(tn)
		})
		wants(t, err, sturdy.ErrTooOld)
		must(t, rt.View(ctx, read))
		put(4)
	})
}

func TestATurnFindsItsOwnElementsWhileItWalks(t *testing.T) {
	w, ctx := unchecked(t), t.Context()
	var m sturdy.Map[int64, int64]
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		m = sturdy.NewMap[int64, int64](tn)
		for i := range int64(1000) {
			m.Put(tn, 2*i, i)
		}
		return nil
	}))
	err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		last, seen := int64(-1), 0
		for k := range m.All(tn) {
			if k <= last {
				return fmt.Errorf("row %d after row %d", k, last)
			}
			last = k
			if seen++; k%2 == 0 {
				m.Put(tn, k+1, 0)  // comes next
				m.Delete(tn, k)    // is behind
				m.Delete(tn, k+2)  // never comes
				m.Put(tn, k-10, 0) // is behind
			}
		}
		if seen != 1000 {
			return fmt.Errorf("%d rows", seen)
		}
		return errMess
	})
	if !errors.Is(err, errMess) {
		t.Error(err)
	}
	must(t, w.View(ctx, func(tn *sturdy.ReadTurn) error {
		if n := m.Len(tn); n != 1000 {
			t.Errorf("%d rows after a turn that failed", n)
		}
		return nil
	}))
}

func TestARelaxedViewKeepsTheElementsItBeganWith(t *testing.T) {
	w, ctx := unchecked(t), t.Context()
	relaxed := sturdy.Relaxed(ctx)
	var m sturdy.Map[int64, int64]
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error { m = sturdy.NewMap[int64, int64](tn); return nil }))
	_, open := gate(t, w)
	change := func(k, v int64) {
		must(t, w.Update(relaxed, func(tn *sturdy.WriteTurn) error {
			m.Put(tn, k, v)
			m.Delete(tn, k-2)
			return nil
		}))
	}
	change(1, 1)
	change(2, 1)
	must(t, w.View(relaxed, func(tn *sturdy.ReadTurn) error {
		for k := range int64(9) {
			change(k, 2)
		}
		rows := fmt.Sprint(m.Len(tn))
		for k, v := range m.All(tn) {
			rows += fmt.Sprintf(" %d=%d", k, v)
		}
		if rows != "2 1=1 2=1" {
			t.Errorf("it began with rows 1 and 2, and has %s", rows)
		}
		return nil
	}))
	open()
}
