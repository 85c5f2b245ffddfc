package sturdy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// damageTally is an object that counts.
type damageTally struct{ N int64 }

const (
	damageAdd caps.Command[int64] = "add"
	damageSum caps.Query[int64]   = "sum"
)

var damageKind = Define("proof/tally",
	Command(damageAdd, func(c *damageTally, _ *WriteTurn, n int64) error { c.N += n; return nil }),
	Query(damageSum, func(c *damageTally, _ *ReadTurn) (int64, error) { return c.N, nil }))

// lockedBuffer is what a logger writes to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// noon is when the damaged world is opened.
var noon = time.Unix(1_700_000_000, 0)

func damageOpen(t *testing.T, files objstore.FS, log io.Writer, now time.Time) *Runtime {
	t.Helper()
	rt, err := Options{
		Files: files, Kinds: []Kind{damageKind}, Log: slog.New(slog.NewTextHandler(log, nil)), Clock: func() time.Time { return now },
	}.Open()
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// damage is what becomes of a closed world: rows that take the place of those of a program, or
// stand beside them.
type damage struct {
	b     *objstore.Batch
	vat   objstore.VatID
	tally uint64 // number of the tally
	timer uint64 // number of a timer that is due at noon, and adds ten
	had   objstore.Record
}

// free and waiting are numbers that no object has.
const free, waiting = 15, 14

func (d *damage) put(elem string, rec objstore.Record) {
	rec.LSN = d.b.LSN
	d.b.Put(objstore.ElementKey(objstore.OID{Vat: d.vat, N: activityNumber}, elem), rec)
}

// sound is the record of a letter that no program sent, but one could have.
func (d *damage) sound(method string, to uint64, wanted bool) objstore.Record {
	m := damageAdd.To(caps.Ref{}, 100)
	l := letter{opening: 1, method: method, wanted: wanted, slots: []objstore.Slot{{OID: objstore.OID{Vat: d.vat, N: to}, Rights: 7}}}
	if method != "" {
		l.body = m.Body
	}
	return l.record()
}

func garbage() objstore.Record { return objstore.Record{Body: []byte{1}} }

// damages are rows that no program writes, and what is logged of them.
var damages = map[string]struct {
	do  func(d *damage)
	log string
}{
	"nothing":              {func(*damage) {}, ""},
	"a letter without key": {func(d *damage) { d.put("m\x00", garbage()) }, "the key of a letter is none"},
	"a letter of garbage":  {func(d *damage) { d.put(activityElem('m', d.tally, free), garbage()) }, ""},
	"a letter for nobody": {func(d *damage) {
		d.put(activityElem('m', free, free), d.sound("add", free, false))
	}, "kept as a dead letter"},
	"an alarm without key": {func(d *damage) { d.put("a\x00\x01", garbage()) }, "the key of a timer is none"},
	"an alarm of garbage":  {func(d *damage) { d.put(activityElem('a', 5, free), garbage()) }, "a timer is damaged"},
	"an alarm of no thread": {func(d *damage) {
		d.put(activityElem('a', 5, d.tally), d.sound("", d.tally, false))
	}, "names none"},
	"an alarm of nobody": {func(d *damage) { d.put(activityElem('a', 5, free), d.sound("", free, false)) }, "names none"},
	"an alarm whose timer is not there": {func(d *damage) {
		d.put(activityElem('a', 5, free), d.sound("add", d.tally, true))
	}, "object cannot be read"},
	timerGarbage: {func(d *damage) {
		rec := objstore.Record{LSN: d.b.LSN, Kind: d.had.Kind, Body: []byte{0xc1}}
		d.b.Put(objstore.ObjectKey(objstore.OID{Vat: d.vat, N: d.timer}), rec)
	}, "object cannot be read"},
}

const timerGarbage = "an alarm whose timer is garbage"

// damageWorld makes a world with a tally and a timer, and damages it.
func damageWorld(t *testing.T, files objstore.FS, do func(*damage)) {
	t.Helper()
	var d damage
	rt := damageOpen(t, files, io.Discard, noon.Add(-time.Hour))
	err := rt.Update(t.Context(), func(tn *WriteTurn) error {
		tally := damageKind.New(tn, damageTally{})
		timer := tn.After(time.Minute, damageAdd.To(tally, 10))
		d.tally, d.timer = rt.numberOf(tally), rt.numberOf(timer.Ref)
		return errors.Join(rt.Root().Put(tn, "tally", tally), rt.Root().Put(tn, "timer", timer.Ref))
	})
	if err := errors.Join(err, rt.Close()); err != nil {
		t.Fatal(err)
	}
	store, err := objstore.Open("", objstore.Options{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	info, s := store.Info(), store.Snapshot()
	d.vat = info.Vat
	d.had, _, err = s.Get(objstore.ObjectKey(objstore.OID{Vat: d.vat, N: d.timer}))
	s.Release()
	d.b = &objstore.Batch{LSN: info.LSN + 1, Base: info.LSN, Next: info.Next}
	do(&d)
	d.put(activityElem('m', d.tally, waiting), d.sound("add", d.tally, false))
	if err := errors.Join(err, store.Commit(t.Context(), d.b), store.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestADamagedRowStopsNobodyElse: letters behind it are delivered and timers behind it go off,
// also after the next restarts.
func TestADamagedRowStopsNobodyElse(t *testing.T) {
	for name, row := range damages {
		t.Run(name, func(t *testing.T) {
			files, log := objstore.NewMemory(), &lockedBuffer{}
			damageWorld(t, files, row.do)
			want := int64(110) // by the letter that waits, and the timer
			if name == timerGarbage {
				want = 100
			}
			for range 3 {
				want += 2
				damageRound(t, damageOpen(t, files, log, noon), want)
			}
			if !strings.Contains(log.String(), row.log) {
				t.Errorf("the log lacks %q:\n%s", row.log, log.String())
			}
			for _, bad := range []string{"panic", "cannot be put away"} {
				if strings.Contains(log.String(), bad) {
					t.Error(log.String())
				}
			}
		})
	}
}

// damageRound sends to the tally, at once and by a timer, and closes the world.
func damageRound(t *testing.T, rt *Runtime, want int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tally, err := rt.Root().Get(ctx, "tally")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := damageAdd.Send(ctx, tally, 1).Await(ctx); err != nil {
		t.Error("a letter behind it:", err)
	}
	if err := rt.Update(ctx, func(tn *WriteTurn) error { tn.After(0, damageAdd.To(tally, 1)); return nil }); err != nil {
		t.Error(err)
	}
	if _, err := rt.Settle(ctx); err != nil {
		t.Error(err)
	}
	if n, err := damageSum.Call(ctx, tally); n != want || err != nil {
		t.Errorf("the tally is %d, %v; want %d", n, err, want)
	}
	if err := rt.Close(); err != nil {
		t.Error(err)
	}
}
