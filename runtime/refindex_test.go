package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// holdersOf lists what Holders says, as "kind[in]".
func holdersOf(t *testing.T, rt *sturdy.Runtime, of caps.Ref) (told []string) {
	t.Helper()
	for h, err := range rt.Holders(t.Context(), of) {
		must(t, err)
		text, _, _ := strings.Cut(h.Name, " ") // without the number
		if h.In != "" {
			text += "[" + h.In + "]"
		}
		told = append(told, text)
	}
	return told
}

func wantHolders(t *testing.T, rt *sturdy.Runtime, of caps.Ref, want ...string) {
	t.Helper()
	if got := holdersOf(t, rt, of); !slices.Equal(got, want) {
		t.Errorf("Holders(%v) = %q; want %q", of, got, want)
	}
}

// The versions of a kind whose references come and go. purse0 is what has none at all.
type (
	purse1 struct{ A, B caps.Ref }
	purse2 struct {
		A    caps.Ref
		List []caps.Ref
	}
	purse3 struct{ Note string }
)

const purseTouch caps.Action = "touch"

func TestTheIndexFollowsWhatIsStoredWhenAKindIsMigrated(t *testing.T) {
	touch1 := sturdy.Action(purseTouch, func(*purse1, *sturdy.WriteTurn) error { return nil })
	from1 := sturdy.From(1, func(p purse1) (purse2, error) { return purse2{p.A, []caps.Ref{p.A, p.A.Attenuate(caps.Read)}}, nil })
	first := sturdy.Define("proof/purse", touch1)
	second := sturdy.Define("proof/purse", from1, sturdy.Action(purseTouch, func(*purse2, *sturdy.WriteTurn) error { return nil }))
	third := sturdy.Define("proof/purse",
		sturdy.From(1, func(purse1) (purse3, error) { return purse3{}, nil }),
		sturdy.From(2, func(purse2) (purse3, error) { return purse3{}, nil }),
		sturdy.Action(purseTouch, func(*purse3, *sturdy.WriteTurn) error { return nil }))
	w, ctx := runtimetest.Open(t, accountKind, first), t.Context()
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		a, b := accountKind.New(tn, account{}), accountKind.New(tn, account{})
		for i := range 2 {
			if err := w.Root().Put(tn, fmt.Sprint("purse", i), first.New(tn, purse1{a, b})); err != nil {
				return err
			}
		}
		return errors.Join(w.Root().Put(tn, "a", a), w.Root().Put(tn, "b", b))
	}))
	get := func(name string) caps.Ref {
		ref, err := w.Root().Get(ctx, name)
		must(t, err)
		return ref
	}
	touch := func(name string) { must(t, purseTouch.Call(ctx, get(name))); must(t, w.Check(ctx)) }
	wantHolders(t, w.Runtime, get("b"), "directory[b]", "purse", "purse")
	w.Restart(accountKind, second)
	_, err := w.State(ctx, get("purse0")) // the loader has run, and nothing is written
	must(t, err)
	wantHolders(t, w.Runtime, get("b"), "directory[b]", "purse", "purse")
	touch("purse0")
	wantHolders(t, w.Runtime, get("b"), "directory[b]", "purse")
	wantHolders(t, w.Runtime, get("a"), "directory[a]", "purse", "purse", "purse")
	w.Restart(accountKind) // nobody knows the kind
	wantHolders(t, w.Runtime, get("b"), "directory[b]", "purse")
	w.Restart(accountKind, third)
	touch("purse0")
	touch("purse1")
	touch("purse1")
	wantHolders(t, w.Runtime, get("a"), "directory[a]")
	wantHolders(t, w.Runtime, get("b"), "directory[b]")
}

func TestWhatAFullDiskTakesBackTheIndexNeverHad(t *testing.T) {
	s := newShelf(t)
	s.put("here", s.account)
	fillUp(s.World)
	if err := s.Root().Put(t.Context(), "there", s.account); !errors.Is(err, sturdy.ErrDiskFull) {
		t.Fatal(err)
	}
	if err := s.Root().Delete(t.Context(), "here"); !errors.Is(err, sturdy.ErrDiskFull) {
		t.Fatal(err)
	}
	s.Disk().Hook(nil)
	if err := s.Sync(t.Context()); !errors.Is(err, sturdy.ErrDiskFull) {
		t.Errorf("Sync does not tell: %v", err)
	}
	s.put("else", s.account)
	wantHolders(t, s.Runtime, s.account, "directory[account]", "directory[else]", "directory[here]", "folder")
	must(t, s.Check(t.Context()))
}

// commit changes the store of a closed world behind its back.
func commit(t *testing.T, w *runtimetest.World, change func(*objstore.Snapshot, *objstore.Batch)) {
	t.Helper()
	must(t, w.Close())
	store, err := objstore.Open("", objstore.Options{Files: w.Disk()})
	must(t, err)
	info := store.Info()
	b := &objstore.Batch{LSN: info.LSN + 1, Base: info.LSN, Next: info.Next}
	s := store.Snapshot()
	change(s, b)
	s.Release()
	must(t, store.Commit(context.Background(), b))
	must(t, store.Close())
	w.Reopen()
}

func TestCheckSeesAnIndexThatSaysLessOrMore(t *testing.T) {
	for what, c := range map[string]struct {
		want   string
		change func(*objstore.Batch, objstore.Key, objstore.Record)
	}{
		"a row is missing": {"R1: ", func(b *objstore.Batch, k objstore.Key, _ objstore.Record) { b.Delete(k) }},
		"a slot is missing": {"R1: ", func(b *objstore.Batch, k objstore.Key, rec objstore.Record) {
			rec.Slots = nil
			b.Put(k, rec)
		}},
		"a slot too many": {"R1: ", func(b *objstore.Batch, k objstore.Key, rec objstore.Record) {
			rec.Slots = append(slices.Clone(rec.Slots), objstore.Slot{OID: rec.Slots[0].OID})
			b.Put(k, rec)
		}},
		"no time": {"R1: ", func(b *objstore.Batch, k objstore.Key, rec objstore.Record) {
			rec.Body = nil
			b.Put(k, rec)
		}},
		"a row too many": {"R2: ", func(b *objstore.Batch, k objstore.Key, rec objstore.Record) {
			p, _ := objstore.ParseKey(k)
			b.Put(objstore.RefKey(p.Target, objstore.OID{Vat: p.OID.Vat, N: 2}, "x"), rec)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			s := newShelf(t)
			s.ExpectDamage()
			must(t, s.Check(t.Context()))
			commit(t, s.World, func(sn *objstore.Snapshot, b *objstore.Batch) {
				lo, hi := objstore.RefRange(objstore.OID{})
				must(t, sn.Scan(lo, hi, func(k objstore.Key, rec objstore.Record) bool {
					rec.LSN = b.LSN
					c.change(b, k, rec)
					return false
				}))
			})
			err := s.Check(t.Context())
			var fault *sturdy.IndexError
			if !errors.As(err, &fault) || !strings.HasPrefix(fault.Error(), c.want) {
				t.Errorf("Check: %v; want %s", err, c.want)
			}
		})
	}
}

func TestDescribeSaysWhatARefLetsItsHolderDo(t *testing.T) {
	s := newShelf(t)
	says := func(ref caps.Ref, allows string, grants ...string) {
		t.Helper()
		info, err := s.Describe(t.Context(), ref)
		must(t, err)
		var got []string
		for _, g := range info.Grants {
			got = append(got, g.For)
		}
		if strings.Join(info.Allows, " ") != allows || !slices.Equal(got, grants) {
			t.Errorf("%v allows %q through %q; want %q through %q", ref, info.Allows, got, allows, grants)
		}
	}
	says(s.folder, "put at all show echo fail")
	says(s.folder.Attenuate(caps.Read), "at all echo fail")
	one, g := s.grant(s.folder, caps.Terms{For: "one", Only: []caps.Named{foPut, foAt, foAll}})
	two, _ := s.grant(one.Attenuate(caps.Read), caps.Terms{For: "two", Only: []caps.Named{foAt, foShow}, Until: s.Now().Add(time.Hour)})
	says(one, "put at all", "one")
	says(two, "at", "two", "one")
	s.Pass(2 * time.Hour)
	says(two, "", "two", "one")
	s.revoke(g)
	says(one, "", "one")
	var m sturdy.Map[string, int64]
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error { m = sturdy.NewMap[string, int64](tn); return nil }))
	says(m.Ref, "len get range put delete")
	says(m.Ref.Attenuate(caps.Read), "len get range")
}

func TestGrantsThatRunOutAreListedByTime(t *testing.T) {
	s := newShelf(t)
	for i, after := range []time.Duration{5, 1, 3, 0, 9} {
		terms := caps.Terms{For: fmt.Sprint("g", i)}
		if after > 0 {
			terms.Until = s.Now().Add(after * time.Hour)
		}
		if _, g := s.grant(s.account, terms); i == 2 {
			s.revoke(g)
		}
	}
	s.Pass(2 * time.Hour)
	for _, c := range []struct {
		before time.Time
		want   string
	}{
		{s.Now().Add(3 * time.Hour), ""}, // not what runs out at that very moment
		{s.Now().Add(3*time.Hour + 1), "g0"},
		{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), "g0 g4"},
		{time.Time{}, ""},
	} {
		var got []string
		for info, err := range s.Expiring(t.Context(), c.before) {
			must(t, err)
			got = append(got, info.For)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("before %v: %q; want %q", c.before, got, c.want)
		}
	}
}

func TestAPathIsPrintedByNameWhereThereIsOne(t *testing.T) {
	s := newShelf(t)
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		d := sturdy.NewDirectory(tn)
		m := sturdy.NewMap[int64, caps.Ref](tn)
		m.Put(tn, -4, s.folder)
		return errors.Join(s.Root().Delete(tn, "account"), s.Root().Delete(tn, "folder"), s.Root().Put(tn, "d", d.Ref), d.Put(tn, "ranks", m.Ref))
	}))
	path, err := s.PathTo(t.Context(), s.account)
	must(t, err)
	if got := sturdy.PathText(path); got != "root/d/ranks/-4/"+strings.TrimSuffix(s.account.String(), " rwx") {
		t.Error(got)
	}
	must(t, s.Root().Delete(t.Context(), "d"))
	shared, g := s.grant(s.account, caps.Terms{})
	s.put("grant", g.Ref) // gives no access
	if path, err := s.PathTo(t.Context(), s.account); !errors.Is(err, sturdy.ErrNoName) {
		t.Errorf("%v, %v", path, err)
	}
	s.put("shared", shared)
	if path, err := s.PathTo(t.Context(), s.account); err != nil || sturdy.PathText(path) != "root/shared" {
		t.Errorf("%v, %v", path, err)
	}
	s.revoke(g)
	if path, err := s.PathTo(t.Context(), s.account); !errors.Is(err, sturdy.ErrNoName) {
		t.Errorf("a dead grant leads to it: %v, %v", path, err)
	}
	if path, err := s.PathTo(t.Context(), s.Root().Ref); err != nil || len(path) != 0 {
		t.Errorf("the root: %v, %v", path, err)
	}
}

func TestWhatStandsBelowATextIsSeen(t *testing.T) {
	s := newShelf(t)
	text, g := s.save(s.account, caps.Terms{For: "owner"})
	s.put("mine", s.restore(text, ""))
	s.put("less", s.restore(text.Attenuate(caps.Read).Only(acGet), ""))
	var got []string
	for h, err := range s.Breaks(t.Context(), g) {
		must(t, err)
		kind, _, _ := strings.Cut(h.Name, " ")
		got = append(got, kind+"["+h.In+"]")
	}
	slices.Sort(got)
	if want := []string{"directory[less]", "directory[mine]", "grant[]"}; !slices.Equal(got, want) {
		t.Errorf("Breaks = %q; want %q", got, want)
	}
}

func TestWhatCameThroughTwoGrantsBreaksOnce(t *testing.T) {
	s := newShelf(t)
	shared, g := s.grant(s.folder, caps.Terms{For: "all"})
	a, _ := s.grant(shared, caps.Terms{For: "a", Deep: true})
	b, _ := s.grant(shared, caps.Terms{For: "b", Deep: true})
	must(t, foPut.Call(t.Context(), b, a)) // it is under a, and crosses b on its way in
	var got []string
	for h, err := range s.Breaks(t.Context(), g) {
		must(t, err)
		kind, _, _ := strings.Cut(h.Name, " ")
		got = append(got, kind)
	}
	if want := []string{"grant", "grant", "folder"}; !slices.Equal(got, want) {
		t.Errorf("Breaks = %q; want %q", got, want)
	}
}
