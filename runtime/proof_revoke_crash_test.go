package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// deadAfter is what a scenario was told before the power failed.
type deadAfter struct {
	text            caps.SturdyRef
	stored, revoked bool // acknowledged
	refused         bool // a call was told so
}

// scenario stores what is granted, lets doom strike, and asks afterwards.
func (d *deadAfter) scenario(w *runtimetest.World, doom func(g sturdy.Grant) error) error {
	ctx := context.Background()
	*d = deadAfter{}
	text, g, err := w.Save(ctx, w.Root().Ref, caps.Terms{For: "top", Until: w.Now().Add(time.Hour)})
	if err != nil {
		return err
	}
	d.text = text
	err = w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		top, err := w.Restore(tn, text)
		if err != nil {
			return err
		}
		below, _ := tn.Grant(top.Attenuate(caps.Read), caps.Terms{For: "below"})
		return errors.Join(w.Root().Put(tn, "top", top), w.Root().Put(tn, "below", below))
	})
	if err != nil {
		return err
	}
	d.stored = true
	below, err := w.Root().Get(ctx, "below")
	if err != nil {
		return err
	}
	doomed := doom(g)
	d.revoked = doomed == nil
	_, err = sturdy.Directory{Ref: below}.Len(ctx)
	d.refused = errors.Is(err, caps.ErrRevoked)
	if d.revoked && err == nil {
		return errors.New("it is alive")
	}
	return doomed
}

// check asks for all that was stored: it is dead together or alive together.
func (d *deadAfter) check(t *testing.T, w *runtimetest.World) {
	if !d.stored {
		return
	}
	alive := 0
	for _, name := range []string{"top", "below"} {
		ref, err := w.Root().Get(t.Context(), name)
		must(t, err)
		if _, err := (sturdy.Directory{Ref: ref}).Len(t.Context()); err == nil {
			alive++
		} else {
			wants(t, err, caps.ErrRevoked)
		}
	}
	for _, text := range []caps.SturdyRef{d.text, d.text.Attenuate(caps.Read)} {
		if _, err := w.Restore(t.Context(), text); err == nil {
			alive++
		} else {
			wants(t, err, caps.ErrRevoked)
		}
	}
	switch {
	case alive != 0 && alive != 4:
		t.Errorf("%d of 4 are alive", alive)
	case alive != 0 && d.revoked:
		t.Error("the revoke had returned, and everything is alive")
	case alive != 0 && d.refused:
		t.Error("a call had been told so, and everything is alive")
	}
}

func TestWhatARevokeOrARefusalHasToldNoCrashTakesBack(t *testing.T) {
	ctx := context.Background()
	for how, doom := range map[string]func(*runtimetest.World, sturdy.Grant) error{
		"revoked": func(_ *runtimetest.World, g sturdy.Grant) error { return g.Revoke(ctx) },
		// Nobody has waited for the revoke: the one who is told has to.
		"revoked, Relaxed": func(_ *runtimetest.World, g sturdy.Grant) error {
			if err := g.Revoke(sturdy.Relaxed(ctx)); err != nil {
				return err
			}
			return errLater
		},
		"ran out": func(w *runtimetest.World, _ sturdy.Grant) error { w.Pass(time.Hour); return errLater },
	} {
		t.Run(how, func(t *testing.T) {
			d, told := new(deadAfter), 0
			runtimetest.EachCrash(t, accountKind,
				func(w *runtimetest.World) error {
					err := d.scenario(w, func(g sturdy.Grant) error { return doom(w, g) })
					w.Pass(-w.Now().Sub(time.Date(2024, time.March, 1, 12, 0, 0, 0, time.UTC))) // the clock goes back
					if errors.Is(err, errLater) {
						return nil
					}
					return err
				},
				func(t *testing.T, w *runtimetest.World) {
					if d.check(t, w); d.refused {
						told++
					}
					*d = deadAfter{} // the world of the next run may not even open
				})
			if told == 0 {
				t.Error("nobody was ever told")
			}
		})
	}
}

// errLater says that what was done is not known to stay.
const errLater caps.Code = "later"

func TestARolledBackGroupLeavesGrantsAsTheyAreOnDisk(t *testing.T) {
	s := fastShelf(t)
	ctx, relaxed := t.Context(), sturdy.Relaxed(t.Context())
	kept, g := s.grant(s.account, caps.Terms{For: "kept"})
	below, _ := s.grant(kept, caps.Terms{For: "below"})
	s.put("below", below)
	text, _ := s.save(kept, caps.Terms{For: "text"})
	s.open(s.restore(text, ""), "")
	for range 2 {
		open := fillUpLater(t, s.World)
		var made, under caps.Ref
		must(t, s.Update(relaxed, func(tn *sturdy.WriteTurn) error {
			made, _ = tn.Grant(s.account, caps.Terms{For: "never"})
			under, _ = tn.Grant(made, caps.Terms{For: "never, too"})
			return nil
		}))
		must(t, s.Update(relaxed, func(tn *sturdy.WriteTurn) error { return g.Revoke(tn) }))
		_, err := acGet.Call(relaxed, below)
		wants(t, err, caps.ErrRevoked)
		queue := &queueing{Context: ctx, waits: make(chan bool)}
		go func() { <-queue.waits; open() }()
		_, err = acGet.Call(queue, below) // it cannot be told yet, and then it is not so
		wants(t, err, sturdy.ErrDiskFull)
		makeRoom(t, s.World)
		for _, ref := range []caps.Ref{kept, below, s.restore(text, "")} {
			s.open(ref, "")
		}
		s.open(made, caps.ErrRevoked)
		s.open(under, caps.ErrRevoked)
		if info, err := g.Info(ctx); err != nil || !info.Alive || !info.Revoked.IsZero() {
			t.Errorf("%+v, %v", info, err)
		}
	}
	s.Crash()
	s.open(s.get("below"), "")
	s.restore(text, "")
}

func TestAWorldThatCannotWriteTellsNoExpiryThatACrashTakesBack(t *testing.T) {
	s := fastShelf(t)
	hour, _ := s.grant(s.account, caps.Terms{For: "an hour", Until: s.Now().Add(time.Hour)})
	s.put("hour", hour)
	fails(s.World, syscall.EIO, "sync")
	if _, err := acAdd.Call(t.Context(), s.account, 1); err == nil {
		t.Fatal("the disk does not fail")
	}
	s.Pass(2 * time.Hour)
	_, told := acGet.Call(t.Context(), hour)
	s.Pass(-2 * time.Hour)
	s.Crash()
	if _, err := acGet.Call(t.Context(), s.get("hour")); err == nil && errors.Is(told, caps.ErrRevoked) {
		t.Errorf("alive, after somebody was told: %v", told)
	}
}

// TestARevokeIsOneGroupHoweverManyHangBelow has 100,000 Refs below one grant, most of them
// of grants of their own that have never been loaded.
func TestARevokeIsOneGroupHoweverManyHangBelow(t *testing.T) {
	const n = 100_000
	s, ctx := fastShelf(t), t.Context()
	top, g := s.grant(s.account, caps.Terms{For: "top"})
	s.put("g", g.Ref)
	var list sturdy.List[caps.Ref]
	must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		list = sturdy.NewList[caps.Ref](tn)
		return s.Root().Put(tn, "list", list.Ref)
	}))
	for from := 0; from < n; from += n / 10 {
		must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
			for i := range n / 10 {
				ref := top.Attenuate(caps.Read)
				if i%10 == 0 {
					ref, _ = tn.Grant(top, caps.Terms{For: "below"})
				}
				list.Append(tn, ref)
			}
			return nil
		}))
	}
	s.Reopen()
	list = sturdy.List[caps.Ref]{Ref: s.get("list")}
	s.open(at(t, s, list, n/2), "")
	g = sturdy.Grant{Ref: s.get("g")}
	loaded, groups, objects := tally(s, "objects_loaded"), tally(s, "groups"), tally(s, "group_objects")
	s.revoke(g)
	// A group is counted when those who waited for it have been told: one before may be, too.
	if tally(s, "groups") > groups+2 || tally(s, "group_objects") > objects+10 || tally(s, "objects_loaded") > loaded+2 {
		t.Errorf("revoking took %d groups of %d objects and %d were loaded", tally(s, "groups")-groups, tally(s, "group_objects")-objects, tally(s, "objects_loaded")-loaded)
	}
	must(t, s.View(ctx, func(tn *sturdy.ReadTurn) error {
		for i, ref := range list.Range(tn, 0, n) {
			if _, err := acGet.Call(tn, ref); !errors.Is(err, caps.ErrRevoked) {
				t.Fatalf("%d: %v", i, err)
			}
		}
		return nil
	}))
}

func at(t *testing.T, s *shelf, list sturdy.List[caps.Ref], i int) (ref caps.Ref) {
	must(t, s.View(t.Context(), func(tn *sturdy.ReadTurn) error { ref, _ = list.At(tn, i); return nil }))
	return ref
}

// tally is one of the world's counters.
func tally(s *shelf, name string) (n int64) {
	_, _ = fmt.Sscan(s.Counters().Get(name).String(), &n)
	return n
}
