package sturdy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func (s *shelf) save(ref caps.Ref, terms caps.Terms) (caps.SturdyRef, sturdy.Grant) {
	s.t.Helper()
	text, g, err := s.Save(s.t.Context(), ref, terms)
	must(s.t, err)
	return text, g
}

// restore restores text, which must be possible exactly if want is "".
func (s *shelf) restore(text caps.SturdyRef, want caps.Code) caps.Ref {
	s.t.Helper()
	ref, err := s.Restore(s.t.Context(), text)
	if want == "" && err != nil || want != "" && !errors.Is(err, want) {
		s.t.Errorf("%v; want code %q", err, want)
	}
	return ref
}

func TestASturdyRefIsRestoredAfterARestartAndDiesWithItsGrant(t *testing.T) {
	s := newShelf(t)
	text, g := s.save(s.account, caps.Terms{For: "dashboard"})
	s.put("grant", g.Ref)
	for range 2 {
		ref := s.restore(text, "")
		s.open(ref, "")
		if again := s.restore(text, ""); again != ref {
			t.Errorf("one text is two references: %v, %v", ref, again)
		}
		s.Crash()
	}
	parsed, err := caps.ParseSturdyRef(text.Reveal())
	must(t, err)
	ref := s.restore(parsed, "")
	s.revoke(sturdy.Grant{Ref: s.get("grant")})
	s.open(ref, caps.ErrRevoked)
	s.restore(text, caps.ErrRevoked)
	s.restore(text.Attenuate(caps.Read), caps.ErrRevoked)
	s.Crash()
	s.restore(text, caps.ErrRevoked)
}

func TestAWeakerTextIsMadeWithoutTheHostAndOpensLess(t *testing.T) {
	s := newShelf(t)
	ctx := t.Context()
	text, g := s.save(s.account, caps.Terms{For: "owner"})
	reader := s.restore(text.Attenuate(caps.Read), "")
	s.open(reader, "")
	if _, err := acAdd.Call(ctx, reader, 1); !errors.Is(err, caps.ErrNoRight) {
		t.Errorf("a text for reading writes: %v", err)
	}
	adder := s.restore(text.Only(acAdd).Until(s.Now().Add(time.Hour)), "")
	if _, err := acAdd.Call(ctx, adder, 1); err != nil {
		t.Error(err)
	}
	s.open(adder, caps.ErrNoMethod)
	s.put("adder", adder)
	if other := s.restore(text.Until(s.Now().Add(time.Hour)).Only(acAdd), ""); other != adder {
		t.Errorf("what two texts say in another order is two grants: %v, %v", adder, other)
	}
	s.Crash()
	if s.restore(text.Only(acAdd).Until(s.Now().Add(time.Hour)), "") != s.get("adder") {
		t.Error("a weaker text is another grant after a restart")
	}
	s.Pass(time.Hour)
	s.restore(text.Only(acAdd).Until(s.Now()), caps.ErrRevoked)
	s.open(s.get("adder"), caps.ErrRevoked)
	s.open(s.restore(text, ""), "")
	_ = g
}

func TestACopyOfAWorldRefusesTheTextsOfTheOriginalUntilItIsAdopted(t *testing.T) {
	s := newShelf(t)
	text, _ := s.save(s.account, caps.Terms{For: "before"})
	must(t, s.Close())
	s.Disk().Copied()
	s.Reopen()
	s.restore(text, caps.ErrRevoked)
	own, _ := s.save(s.get("account"), caps.Terms{For: "own"})
	s.Reopen()
	s.restore(text, caps.ErrRevoked)
	s.open(s.restore(own, ""), "")
	must(t, s.Adopt(t.Context()))
	for range 2 {
		s.open(s.restore(text, ""), "")
		s.open(s.restore(own, ""), "")
		s.Reopen()
	}
	must(t, s.Close())
	s.Disk().Copied()
	s.Reopen()
	s.restore(text, caps.ErrRevoked)
	s.restore(own, caps.ErrRevoked)
	must(t, s.Adopt(t.Context()))
	s.open(s.restore(text, ""), "")
	s.open(s.restore(own, ""), "")
}

func TestWrongAndRevokedTextsAreRefusedInTheSameWords(t *testing.T) {
	s := newShelf(t)
	revoked, g := s.save(s.account, caps.Terms{For: "revoked"})
	s.revoke(g)
	past, _ := s.save(s.account, caps.Terms{For: "past", Until: s.Now().Add(time.Minute)})
	s.Pass(time.Hour)
	right := past.Reveal()
	cut := strings.LastIndexByte(right, '/')
	wrong, err := caps.ParseSturdyRef(right[:cut+1] + strings.Repeat("a", len(right)-cut-1))
	must(t, err)
	parts := strings.Split(right, "/")
	parts[3] = "ffff" // a grant that there never was
	never, err := caps.ParseSturdyRef(strings.Join(parts, "/"))
	must(t, err)
	said := map[string]bool{}
	for _, text := range []caps.SturdyRef{revoked, past, wrong, never} {
		_, err := s.Restore(t.Context(), text)
		said[fmt.Sprintf("%v", err)] = true
	}
	if len(said) != 1 {
		t.Errorf("refusals differ: %v", said)
	}
}
