package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/objstore"
	"github.com/sturdyrt/sturdy/objstore/objstoretest"
)

func random(t testing.TB) *rand.Rand { return objstore.RandomFor(t) }

// model is the dumb twin of a store: a map, and a copy of it for each snapshot.
type model map[objstore.Key]objstore.Record

func (m model) apply(c change) {
	for _, p := range c.puts {
		if p.rec == nil {
			delete(m, p.key)
		} else {
			m[p.key] = *p.rec
		}
	}
}

type put struct {
	key objstore.Key
	rec *objstore.Record
}

// change is a batch that can be made again.
type change struct {
	lsn, base, next uint64
	puts            []put
}

func (c change) batch() *objstore.Batch {
	b := &objstore.Batch{LSN: c.lsn, Base: c.base, Next: c.next}
	for _, p := range c.puts {
		if p.rec == nil {
			b.Delete(p.key)
		} else {
			b.Put(p.key, *p.rec)
		}
	}
	return b
}

// randomChange follows a store in the given state. space is how many keys there are.
func randomChange(r *rand.Rand, in objstore.Info, space, rows int) change {
	c := change{lsn: in.LSN + 1 + uint64(r.IntN(3)), base: in.LSN, next: in.Next + uint64(r.IntN(4))}
	for range 1 + r.IntN(rows) {
		key := randomKey(r, in.Vat, space)
		if r.IntN(4) == 0 {
			c.puts = append(c.puts, put{key, nil})
			continue
		}
		rec := &objstore.Record{LSN: c.lsn, Kind: uint32(r.IntN(5))}
		for range r.IntN(3) {
			rec.Slots = append(rec.Slots, objstore.Slot{
				OID:    objstore.OID{Vat: in.Vat + objstore.VatID(r.IntN(2)), N: r.Uint64N(1000)},
				Rights: uint8(r.IntN(8)), Path: randomPath(r),
			})
		}
		if n := r.IntN(60); n > 0 {
			rec.Body = make([]byte, n*(1+r.IntN(8)))
			for i := range rec.Body {
				rec.Body[i] = byte(r.Uint32())
			}
		}
		c.puts = append(c.puts, put{key, rec})
	}
	return c
}

// randomPath is none, a short one or the longest.
func randomPath(r *rand.Rand) string {
	lengths := []int{0, 0, 0, 1, 2, 9, 20, 255}
	path := make([]byte, lengths[r.IntN(len(lengths))])
	for i := range path {
		path[i] = byte(r.Uint32())
	}
	return string(path)
}

func randomKey(r *rand.Rand, vat objstore.VatID, space int) objstore.Key {
	o := objstore.OID{Vat: vat, N: uint64(r.IntN(space))}
	switch r.IntN(6) {
	case 0:
		return objstore.ElementKey(objstore.OID{Vat: vat + 1, N: o.N % 3}, fmt.Sprint(r.IntN(space)))
	case 1:
		return objstore.KindKey(uint32(r.IntN(9)))
	case 2:
		return objstore.CountKey(uint32(r.IntN(9)))
	case 3:
		holder := objstore.OID{Vat: vat, N: r.Uint64N(3)}
		return objstore.RefKey(objstore.OID{Vat: vat + 1, N: o.N % 3}, holder, fmt.Sprint(r.IntN(space))[1:])
	default:
		o.Vat++
		return objstore.ObjectKey(o)
	}
}

// equal compares a whole snapshot with a model, by scan in both directions and by get.
func equal(sn *objstore.Snapshot, want model) error {
	keys := slices.Sorted(maps.Keys(want))
	i := 0
	err := sn.Scan("", "", func(k objstore.Key, rec objstore.Record) bool {
		if i >= len(keys) || k != keys[i] || !sameRecord(rec, want[k]) {
			return false
		}
		i++
		return true
	})
	if err != nil {
		return err
	}
	if i != len(keys) {
		return fmt.Errorf("scan stopped at row %d of %d", i, len(keys))
	}
	err = sn.ScanReverse("", "", func(k objstore.Key, rec objstore.Record) bool {
		i--
		return i >= 0 && k == keys[i] && sameRecord(rec, want[k])
	})
	if err != nil {
		return err
	}
	if i != 0 {
		return fmt.Errorf("reverse scan stopped at row %d of %d", i, len(keys))
	}
	return nil
}

func equalGet(sn *objstore.Snapshot, want model, k objstore.Key) error {
	rec, ok, err := sn.Get(k)
	if err != nil {
		return err
	}
	w, in := want[k]
	if ok != in || ok && !sameRecord(rec, w) {
		return fmt.Errorf("get %v: %v %+v, want %v %+v", k, ok, rec, in, w)
	}
	return nil
}

func sameRecord(a, b objstore.Record) bool {
	return a.LSN == b.LSN && a.Kind == b.Kind && slices.Equal(a.Slots, b.Slots) && slices.Equal(a.Body, b.Body)
}

// TestRandomStepsAgainstModel commits, reads through old and new snapshots, scans, crashes
// and reopens at random, with checkpoints so frequent that they run all the time.
func TestRandomStepsAgainstModel(t *testing.T) {
	for range 2 {
		r := random(t)
		w := newWalk(t, r)
		for range objstore.Steps() {
			w.step()
		}
		w.reopen(false)
		t.Logf("%d reopened, %d checkpoints, %d rows", w.reopened, w.checkpoints, len(w.now))
		if w.checkpoints == 0 || w.reopened == 0 {
			t.Error("the walk has not covered what it is for")
		}
	}
}

type walk struct {
	t     *testing.T
	r     *rand.Rand
	files *objstore.MemoryFiles
	s     *objstore.Store
	now   model
	held  []heldSnapshot

	reopened    int
	checkpoints uint64
}

type heldSnapshot struct {
	sn   *objstore.Snapshot
	want model
}

func newWalk(t *testing.T, r *rand.Rand) *walk {
	w := &walk{t: t, r: r, files: objstoretest.Memory(t), now: model{}}
	w.open()
	return w
}

func (w *walk) open() {
	w.s = objstoretest.Open(w.t, objstore.Options{
		Files: w.files, CheckpointBytes: int64(1+w.r.IntN(32)) << 10, MaxJournal: 256 << 10, SnapshotAge: time.Hour,
	})
}

func (w *walk) reopen(crash bool) {
	w.checkpoints += w.s.Stats().Checkpoints
	w.reopened++
	for _, h := range w.held {
		h.sn.Release()
	}
	w.held = nil
	if crash {
		after, err := w.files.Crash(func() bool { return w.r.IntN(2) == 0 })
		if err != nil {
			w.t.Fatal(err)
		}
		w.files = after
	}
	_ = w.s.Close()
	w.open()
	sn := w.s.Snapshot()
	defer sn.Release()
	if err := equal(sn, w.now); err != nil {
		w.t.Fatalf("after reopening (crash %v): %v", crash, err)
	}
}

func (w *walk) step() {
	w.t.Helper()
	switch n := w.r.IntN(100); {
	case n < 1:
		w.reopen(w.r.IntN(2) == 0)
	case n < 50:
		ctx, cancel := context.WithCancel(w.t.Context())
		if len(w.held) > 0 {
			cancel() // nobody would make room
		}
		c := randomChange(w.r, w.s.Info(), 300, 40)
		err := w.s.Commit(ctx, c.batch())
		cancel()
		if errors.Is(err, objstore.ErrFull) && len(w.held) > 0 {
			w.held[0].sn.Release()
			w.held = w.held[1:]
			return
		}
		if err != nil {
			w.t.Fatal(err)
		}
		w.now = maps.Clone(w.now)
		w.now.apply(c)
	case n < 60:
		w.held = append(w.held, heldSnapshot{w.s.Snapshot(), w.now})
	case n < 70 && len(w.held) > 0:
		i := w.r.IntN(len(w.held))
		h := w.held[i]
		if err := equal(h.sn, h.want); err != nil {
			w.t.Fatalf("snapshot %d: %v", h.sn.LSN(), err)
		}
		h.sn.Release()
		w.held = slices.Delete(w.held, i, i+1)
	default:
		h := heldSnapshot{w.s.Snapshot(), w.now}
		if len(w.held) > 0 && w.r.IntN(2) == 0 {
			h.sn.Release()
			h = w.held[w.r.IntN(len(w.held))]
		} else {
			defer h.sn.Release()
		}
		for range 5 {
			if err := equalGet(h.sn, h.want, randomKey(w.r, w.s.Info().Vat, 300)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}
