package sturdy_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// A folder hands out and takes in capabilities: what a membrane is there for.
type folder struct{ Items []caps.Ref }

const (
	foPut  caps.Command[caps.Ref]          = "put"
	foAt   caps.Method[int64, caps.Ref]    = "at"
	foAll  caps.Query[[]caps.Ref]          = "all"
	foShow caps.Command[showTo]            = "show"
	foEcho caps.Method[caps.Ref, caps.Ref] = "echo"
	foFail caps.Query[int64]               = "fail"
)

type showTo struct {
	To   caps.Ref
	Item int64
}

// refError is an error that carries a capability.
type refError struct{ ref caps.Ref }

func (refError) Error() string { return "see ref" }

func (f *folder) put(_ *sturdy.WriteTurn, r caps.Ref) error {
	f.Items = append(f.Items, r)
	return nil
}

func (f *folder) at(_ *sturdy.ReadTurn, i int64) (caps.Ref, error) { return f.Items[i], nil }

func (f *folder) all(*sturdy.ReadTurn) ([]caps.Ref, error) { return f.Items, nil }

// show puts an item into somebody else's folder: a callback.
func (f *folder) show(t *sturdy.WriteTurn, s showTo) error {
	return foPut.Call(t, s.To, f.Items[s.Item])
}

func (f *folder) echo(_ *sturdy.ReadTurn, r caps.Ref) (caps.Ref, error) { return r, nil }

func (f *folder) fail(*sturdy.ReadTurn) (int64, error) { return 0, refError{f.Items[0]} }

var folderKind = sturdy.Define("proof/folder",
	sturdy.Command(foPut, (*folder).put),
	sturdy.Method(foAt, (*folder).at),
	sturdy.Query(foAll, (*folder).all),
	sturdy.Command(foShow, (*folder).show),
	sturdy.Method(foEcho, (*folder).echo),
	sturdy.Query(foFail, (*folder).fail),
)

// shelf is a world with an account in a folder.
type shelf struct {
	*runtimetest.World
	t               *testing.T
	account, folder caps.Ref
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{World: runtimetest.Open(t, accountKind, folderKind), t: t}
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		s.account = accountKind.New(tn, account{N: 5})
		s.folder = folderKind.New(tn, folder{Items: []caps.Ref{s.account}})
		if err := s.Root().Put(tn, "account", s.account); err != nil {
			return err
		}
		return s.Root().Put(tn, "folder", s.folder)
	}))
	return s
}

// grant grants in a turn of its own.
func (s *shelf) grant(ref caps.Ref, terms caps.Terms) (shared caps.Ref, g sturdy.Grant) {
	s.t.Helper()
	must(s.t, s.Update(s.t.Context(), func(tn *sturdy.WriteTurn) error {
		shared, g = tn.Grant(ref, terms)
		return nil
	}))
	return shared, g
}

func (s *shelf) put(name string, ref caps.Ref) {
	s.t.Helper()
	must(s.t, s.Root().Put(s.t.Context(), name, ref))
}

func (s *shelf) get(name string) caps.Ref {
	s.t.Helper()
	ref, err := s.Root().Get(s.t.Context(), name)
	must(s.t, err)
	return ref
}

func (s *shelf) revoke(g sturdy.Grant) {
	s.t.Helper()
	must(s.t, g.Revoke(s.t.Context()))
}

// open calls through ref; want "" is success.
func (s *shelf) open(ref caps.Ref, want caps.Code) {
	s.t.Helper()
	_, err := acGet.Call(s.t.Context(), ref)
	if want == "" && err != nil || want != "" && !errors.Is(err, want) {
		s.t.Errorf("%v; want code %q", err, want)
	}
}

func TestAGrantIsRevokedWithEverythingBelowItAndForGood(t *testing.T) {
	s := newShelf(t)
	one, g := s.grant(s.account, caps.Terms{For: "one"})
	two, _ := s.grant(one.Attenuate(caps.Read), caps.Terms{For: "two"})
	three, g3 := s.grant(two, caps.Terms{For: "three"})
	s.put("two", two)
	s.open(three, "")
	s.revoke(g3)
	s.open(three, caps.ErrRevoked)
	s.open(two, "")
	s.revoke(g)
	for range 2 {
		s.open(one, caps.ErrRevoked)
		s.open(two, caps.ErrRevoked)
		s.open(s.get("two"), caps.ErrRevoked)
		s.open(s.get("account"), "")
		s.Crash()
		one, two = s.get("two"), s.get("two")
	}
}

func TestAGrantMadeAndStoredSurvivesARestart(t *testing.T) {
	s := newShelf(t)
	shared, g := s.grant(s.account, caps.Terms{For: "audit", Only: []caps.Named{acGet}})
	s.put("shared", shared)
	s.put("grant", g.Ref)
	s.Crash()
	s.open(s.get("shared"), "")
	if _, err := acAdd.Call(t.Context(), s.get("shared"), 1); !errors.Is(err, caps.ErrNoMethod) {
		t.Errorf("a method that is not among those of the grant: %v", err)
	}
	if s.get("shared") != s.get("shared") {
		t.Error("the same stored Ref, read twice, is two")
	}
	g = sturdy.Grant{Ref: s.get("grant")}
	info, err := g.Info(t.Context())
	must(t, err)
	if info.For != "audit" || !info.Alive || info.Uses != 1 || len(info.Only) != 1 {
		t.Errorf("%+v", info)
	}
	s.revoke(g)
	s.open(s.get("shared"), caps.ErrRevoked)
}

func TestATurnThatFailsGrantsAndRevokesNothing(t *testing.T) {
	s := newShelf(t)
	kept, g := s.grant(s.account, caps.Terms{For: "kept"})
	var never caps.Ref
	failed := errors.New("no")
	err := s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		never, _ = tn.Grant(s.account, caps.Terms{For: "never"})
		if _, err := acGet.Call(tn, never); err != nil {
			t.Errorf("a grant is of use in its own turn: %v", err)
		}
		if err := g.Revoke(tn); err != nil {
			return err
		}
		if _, err := acGet.Call(tn, kept); !errors.Is(err, caps.ErrRevoked) {
			t.Errorf("a revocation shows in its own turn: %v", err)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	s.open(kept, "")
	s.open(never, caps.ErrRevoked)
}

func TestAnExpiryThatWasSeenStaysPastWhenTheClockGoesBack(t *testing.T) {
	s := newShelf(t)
	hour, _ := s.grant(s.account, caps.Terms{For: "an hour", Until: s.Now().Add(time.Hour)})
	s.put("hour", hour)
	s.Pass(59 * time.Minute)
	s.open(hour, "")
	s.Pass(time.Minute)
	s.open(hour, caps.ErrRevoked)
	s.Pass(-2 * time.Hour)
	s.open(hour, caps.ErrRevoked)
	s.Crash()
	s.open(s.get("hour"), caps.ErrRevoked)
}

func TestWhatComesOutOfAMembraneIsUnderIt(t *testing.T) {
	s := newShelf(t)
	ctx := t.Context()
	inside, g := s.grant(s.folder, caps.Terms{For: "guest", Deep: true})
	out, err := foAt.Call(ctx, inside, 0)
	must(t, err)
	again, err := foAll.Call(ctx, inside)
	must(t, err)
	if out != again[0] {
		t.Errorf("the same inner object came out as two: %v, %v", out, again[0])
	}
	s.open(out, "")
	s.put("saved", out)
	sub, _ := s.grant(out, caps.Terms{For: "friend of the guest"})

	// A callback is no hole: what the inside hands to it comes out through the membrane.
	var mine caps.Ref
	must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		mine = folderKind.New(tn, folder{})
		return nil
	}))
	must(t, foShow.Call(ctx, inside, showTo{To: mine}))
	shown, err := foAt.Call(ctx, mine, 0)
	must(t, err)
	if shown != out {
		t.Errorf("%v was shown, %v came out", shown, out)
	}
	// Whatever comes out is under it, also what had come in, and what had come out before.
	back, err := foEcho.Call(ctx, inside, mine)
	must(t, err)
	if !back.Same(mine) {
		t.Errorf("%v went in, %v came back", mine, back)
	}
	var failed refError
	if _, err := foFail.Call(ctx, inside); err == nil || errors.As(err, &failed) {
		t.Errorf("an error carried a capability out: %v", err)
	}
	s.revoke(g)
	for _, ref := range []caps.Ref{out, s.get("saved"), sub, shown} {
		s.open(ref, caps.ErrRevoked)
	}
	if _, err := foAll.Call(ctx, back); !errors.Is(err, caps.ErrRevoked) {
		t.Errorf("what came back is not under it: %v", err)
	}
	s.open(s.account, "")
}

func TestAnInnerObjectThatIsHandedBackInIsNoHole(t *testing.T) {
	s := newShelf(t)
	ctx := t.Context()
	var inner caps.Ref
	must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		inner = folderKind.New(tn, folder{})
		return foPut.Call(tn, s.folder, inner)
	}))
	guest, g := s.grant(s.folder, caps.Terms{For: "guest", Deep: true})
	outer, err := foAt.Call(ctx, guest, 1)
	must(t, err)
	// The inside puts the account into what it takes for an object of the guest's.
	must(t, foShow.Call(ctx, guest, showTo{To: outer}))
	out, err := foAt.Call(ctx, outer, 0)
	must(t, err)
	s.open(out, "")
	s.revoke(g)
	s.open(out, caps.ErrRevoked)
}

func TestAnAllowListDoesNotGrowWhenTheKindGainsAMethod(t *testing.T) {
	const old, added = caps.Action("old"), caps.Action("added")
	nop := func(*struct{}, *sturdy.ReadTurn) error { return nil }
	before := sturdy.Define("proof/grows", sturdy.Action(old, nop))
	after := sturdy.Define("proof/grows", sturdy.Action(old, nop), sturdy.Action(added, nop))
	ctx := t.Context()
	w := runtimetest.Open(t, before)
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		ref := before.New(tn, struct{}{})
		every := []caps.Named{old}
		only, _ := tn.Grant(ref, caps.Terms{For: "all there were", Only: every})
		all, _ := tn.Grant(ref, caps.Terms{For: "whatever there is"})
		if err := w.Root().Put(tn, "only", only); err != nil {
			return err
		}
		return w.Root().Put(tn, "all", all)
	}))
	w.Restart(after)
	only, err := w.Root().Get(ctx, "only")
	must(t, err)
	must(t, old.Call(ctx, only))
	if err := added.Call(ctx, only); !errors.Is(err, caps.ErrNoMethod) {
		t.Errorf("the list has grown: %v", err)
	}
	all, err := w.Root().Get(ctx, "all")
	must(t, err)
	must(t, added.Call(ctx, all))
}

func TestOpeningAWorldReadsNoGrants(t *testing.T) {
	s := newShelf(t)
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		shared := s.account
		for i := range 1000 {
			if i%50 == 0 {
				shared = s.account
			}
			shared, _ = tn.Grant(shared, caps.Terms{})
			if err := s.Root().Put(tn, fmt.Sprint(i), shared); err != nil {
				return err
			}
		}
		return nil
	}))
	s.Reopen()
	loaded := func() string { return s.Counters().Get("objects_loaded").String() }
	if n := loaded(); n != "1" {
		t.Errorf("%s objects were loaded, and not the root alone", n)
	}
	s.open(s.get("49"), "")
	if n := loaded(); n != "52" {
		t.Errorf("%s objects were loaded for a call below 50 grants", n)
	}
}

func TestARefUnderAGrantThatNeverWasIsDescribedAsDead(t *testing.T) {
	s := newShelf(t)
	var never caps.Ref
	failed := errors.New("no")
	if err := s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		never, _ = tn.Grant(s.account, caps.Terms{For: "never"})
		return failed
	}); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	s.put("never", never)
	for range 2 {
		info, err := s.Describe(t.Context(), s.get("never"))
		must(t, err)
		if len(info.Grants) != 1 || info.Grants[0].Alive || len(info.Allows) != 0 {
			t.Errorf("%+v allows %v", info.Grants, info.Allows)
		}
		s.open(s.get("never"), caps.ErrRevoked)
		s.Crash()
	}
}
