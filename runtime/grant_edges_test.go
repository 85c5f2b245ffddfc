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

// A leak is an object whose methods fail with something in their hands.
type leak struct {
	Item caps.Ref
	Nums []int64
}

const (
	lkRead  caps.Query[caps.Ref]   = "read"
	lkNums  caps.Query[[]int64]    = "nums"
	lkWrite caps.Query[caps.Ref]   = "write"
	lkTell  caps.Query[string]     = "tell"
	lkFail  caps.Query[string]     = "fail"
	lkBurn  caps.Command[caps.Ref] = "burn"
)

// leakShelf has a leak with the account in it. Its methods tell and fail call during.
type leakShelf struct {
	*shelf
	leak   caps.Ref
	during func()
}

func newLeakShelf(t *testing.T) *leakShelf {
	l := &leakShelf{shelf: &shelf{t: t}}
	sorry := errors.New("sorry")
	kind := sturdy.Define("proof/leak",
		sturdy.Query(lkRead, func(l *leak, _ *sturdy.ReadTurn) (caps.Ref, error) { return l.Item, sorry }),
		sturdy.Query(lkNums, func(l *leak, _ *sturdy.ReadTurn) ([]int64, error) { return l.Nums, sorry }),
		sturdy.Query(lkWrite, func(l *leak, _ *sturdy.WriteTurn) (caps.Ref, error) { return l.Item, sorry }),
		sturdy.Query(lkTell, func(*leak, *sturdy.ReadTurn) (string, error) { l.during(); return "the secret", nil }),
		sturdy.Query(lkFail, func(*leak, *sturdy.ReadTurn) (string, error) { l.during(); return "", errors.New("the secret") }),
		sturdy.Command(lkBurn, func(_ *leak, t *sturdy.WriteTurn, g caps.Ref) error { return sturdy.Grant{Ref: g}.Revoke(t) }),
	)
	l.World = runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{accountKind, kind}})
	must(t, l.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		l.account = accountKind.New(tn, account{N: 5})
		l.leak = kind.New(tn, leak{l.account, []int64{1, 2, 3}})
		return l.Root().Put(tn, "leak", l.leak)
	}))
	return l
}

func TestNothingComesOutBesideAnError(t *testing.T) {
	s := newLeakShelf(t)
	ctx := t.Context()
	shared, _ := s.grant(s.leak, caps.Terms{Deep: true})
	var out []caps.Ref
	for _, ref := range []caps.Ref{shared, s.leak.Attenuate(caps.Read)} {
		r, err := lkRead.Call(ctx, ref)
		if err == nil {
			t.Error("no error")
		}
		out = append(out, r)
		must(t, s.View(ctx, func(tn *sturdy.ReadTurn) error {
			r, _ := lkRead.Call(tn, ref)
			out = append(out, r)
			return nil
		}))
	}
	must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		r, _ := lkWrite.Call(tn, shared)
		out = append(out, r)
		return nil
	}))
	for i, r := range out {
		if !r.IsNull() {
			t.Errorf("way %d: %v came out beside an error", i, r)
		}
	}
	if nums, _ := lkNums.Call(ctx, s.leak); nums != nil {
		t.Errorf("%v came out, and is shared with the state", nums)
	}
}

func TestWhatIsRevokedWhileItRunsTellsNothing(t *testing.T) {
	s := newLeakShelf(t)
	for _, method := range []caps.Query[string]{lkTell, lkFail} {
		shared, g := s.grant(s.leak, caps.Terms{})
		s.during = func() { s.revoke(g) }
		got, err := method.Call(t.Context(), shared)
		if got != "" || !errors.Is(err, caps.ErrRevoked) {
			t.Errorf("%s: %q, %v", method, got, err)
		}
	}
}

func TestAMethodMayRevokeTheGrantItWasCalledThrough(t *testing.T) {
	s := newLeakShelf(t)
	shared, g := s.grant(s.leak, caps.Terms{})
	must(t, lkBurn.Call(t.Context(), shared, g.Ref))
	if err := lkBurn.Call(t.Context(), shared, g.Ref); !errors.Is(err, caps.ErrRevoked) {
		t.Errorf("it burns twice: %v", err)
	}
}

func TestTextsThatSayDifferentThingsAreDifferentGrants(t *testing.T) {
	s := newShelf(t)
	text, _ := s.save(s.account, caps.Terms{})
	full, weak := s.restore(text.For("ian"), ""), s.restore(text.Attenuate(caps.Read).For("ian"), "")
	var says []string
	for g, err := range s.Grants(t.Context(), s.account) {
		must(t, err)
		says = append(says, g.For+" "+g.Rights)
	}
	if fmt.Sprint(says) != "[ rwx ian rwx ian r, deep]" {
		t.Errorf("%q for %v and %v", says, full, weak)
	}
}

func TestTextsThatHaveRunOutMakeRoomForOthers(t *testing.T) {
	s := fastShelf(t)
	text, _ := s.save(s.account, caps.Terms{})
	relaxed := sturdy.Relaxed(t.Context())
	restore := func(i int) error {
		_, err := s.Restore(relaxed, text.Until(s.Now().Add(time.Hour+time.Duration(i)*time.Second)))
		return err
	}
	for i := range 1000 {
		must(t, restore(i))
	}
	wants(t, restore(1000), caps.ErrOverloaded)
	s.Pass(2 * time.Hour)
	must(t, restore(1000))
	s.restore(text, "")
}

func TestATurnRestoresWhatItSavesAndNotWhatItRevokes(t *testing.T) {
	s := newShelf(t)
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		text, g, err := s.Save(tn, s.account, caps.Terms{})
		if err != nil {
			return err
		}
		ref, err := s.Restore(tn, text)
		if err != nil {
			return err
		}
		if _, err := acGet.Call(tn, ref); err != nil {
			return err
		}
		if err := g.Revoke(tn); err != nil {
			return err
		}
		_, err = s.Restore(tn, text)
		wants(t, err, caps.ErrRevoked)
		return nil
	}))
}

func TestAWriteTurnWaitsForNoGrantWithTheLockHeld(t *testing.T) {
	s := fastShelf(t)
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		ref := s.account
		for range 60 {
			ref, _ = tn.Grant(ref, caps.Terms{})
		}
		return s.Root().Put(tn, "deep", ref)
	}))
	s.Reopen()
	deep, plain := s.get("deep"), s.get("account")
	s.open(plain, "")
	again := func() string { return s.Counters().Get("turns_run_again").String() }
	loaded := func() string { return s.Counters().Get("objects_loaded").String() }
	before := again()
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		was := loaded()
		_, err := acGet.Call(tn, deep)
		if is := loaded(); is != was {
			t.Errorf("%s objects were loaded before a call inside a write turn, %s after it", was, is)
		}
		return err
	}))
	if again() == before {
		t.Error("the turn was not run again: nothing was cold")
	}
}

func TestGuessesLoadNoObjects(t *testing.T) {
	s := fastShelf(t)
	text, _ := s.save(s.account, caps.Terms{})
	s.Reopen()
	loaded := func() string { return s.Counters().Get("objects_loaded").String() }
	before := loaded()
	for n := range uint64(100) {
		if n+1 == text.Grant() {
			continue
		}
		forged, err := caps.NewSturdyRef(text.Host(), n+1, make([]byte, 20))
		must(t, err)
		s.restore(forged, caps.ErrRevoked)
	}
	if after := loaded(); after != before {
		t.Errorf("%s objects were loaded before, %s after", before, after)
	}
}

func TestARevocationIsDurableAlsoForWhoIsRelaxed(t *testing.T) {
	s := newShelf(t)
	text, g := s.save(s.account, caps.Terms{})
	must(t, g.Revoke(sturdy.Relaxed(t.Context())))
	s.Crash()
	s.restore(text, caps.ErrRevoked)
}

func TestAGrantThatWouldBeDeadAlreadyIsRefused(t *testing.T) {
	s := newShelf(t)
	hour, _ := s.grant(s.account, caps.Terms{Until: s.Now().Add(time.Hour)})
	s.Pass(1000 * time.Hour) // the clock was wrong
	s.open(hour, caps.ErrRevoked)
	s.Pass(-1000 * time.Hour)
	_, _, err := s.Save(t.Context(), s.account, caps.Terms{Until: s.Now().Add(time.Hour)})
	wants(t, err, caps.ErrBadArgument)
	_, _, err = s.Save(t.Context(), s.account, caps.Terms{Only: []caps.Named{}})
	wants(t, err, caps.ErrBadArgument)
}

func TestRefusalsOfWhatHasRunOutCostNoCommits(t *testing.T) {
	s := newShelf(t)
	hour, _ := s.grant(s.account, caps.Terms{Until: s.Now().Add(time.Hour)})
	s.Pass(2 * time.Hour)
	s.open(hour, caps.ErrRevoked)
	groups := tally(s, "groups")
	for range 100 {
		s.Pass(time.Second)
		s.open(hour, caps.ErrRevoked)
	}
	if n := tally(s, "groups"); n > groups+1 { // the last of those before may be counted late
		t.Errorf("%d groups before, %d after", groups, n)
	}
}

// Many references under long keys make many rows of the index: a turn is bounded by them.
func TestTheIndexCountsTowardsTheSizeOfATurn(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	var m sturdy.Map[string, []caps.Ref]
	refs := make([]caps.Ref, 1000)
	must(t, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		m = sturdy.NewMap[string, []caps.Ref](tn)
		for i := range refs {
			refs[i] = accountKind.New(tn, account{})
		}
		return w.Root().Put(tn, "m", m.Ref)
	}))
	key := string(make([]byte, 4000))
	put := func(n int) error {
		return w.Update(ctx, func(tn *sturdy.WriteTurn) error {
			for i := range n {
				m.Put(tn, fmt.Sprint(i)+key, refs)
			}
			return nil
		})
	}
	wants(t, put(40), sturdy.ErrTooLarge)
	must(t, put(1))
}

func TestADirectoryIsNotListedOnAfterItsGrantIsRevoked(t *testing.T) {
	s := newShelf(t)
	for i := range 20 {
		s.put(fmt.Sprintf("n%02d", i), s.account)
	}
	shared, g := s.grant(s.Root().Ref, caps.Terms{})
	n := 0
	err := s.View(t.Context(), func(tn *sturdy.ReadTurn) error {
		for range (sturdy.Directory{Ref: shared}).All(tn) {
			if n++; n == 5 {
				s.revoke(g)
			}
		}
		return nil
	})
	if n != 5 || !errors.Is(err, caps.ErrRevoked) {
		t.Errorf("%d rows, revoked at 5: %v", n, err)
	}
}
