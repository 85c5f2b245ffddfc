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

// canDo is what a holder of ref can do to an account: the truth that rights stand for.
func (s *shelf) canDo(ref caps.Ref) (can string) {
	s.t.Helper()
	ctx := s.t.Context()
	if _, err := acGet.Call(ctx, ref); err == nil {
		can += "r"
	}
	if _, err := acText.Call(ctx, ref); err == nil {
		can += "t"
	}
	if _, err := acAdd.Call(ctx, ref, 1); err == nil {
		can += "w"
	}
	return can
}

func within(can, had string) bool {
	for _, c := range can {
		if !strings.ContainsRune(had, c) {
			return false
		}
	}
	return true
}

// TestNothingThatTakesARefGivesBackMore tries all rights in all orders of the operations
// that make a Ref of a Ref.
func TestNothingThatTakesARefGivesBackMore(t *testing.T) {
	s := fastShelf(t)
	only, _ := s.grant(s.account, caps.Terms{For: "only", Only: []caps.Named{acGet, acAdd}})
	for _, from := range []caps.Ref{s.account, only, s.account.Attenuate(caps.Read), only.Attenuate(caps.Read | caps.Shallow), s.account.Attenuate(caps.Write), only.Attenuate(0)} {
		had := s.canDo(from)
		text, _ := s.save(from, caps.Terms{For: "text"})
		again, _ := s.save(s.restore(text, ""), caps.Terms{For: "text of a text"})
		member, _ := s.grant(from, caps.Terms{For: "member", Deep: true, Only: []caps.Named{acGet, acAdd, acText, acPay}})
		for bits := range 256 {
			r := caps.Rights(bits)
			weak := from.Attenuate(r)
			for how, got := range map[string]caps.Ref{
				"attenuated": weak, "twice": weak.Attenuate(0xff), "to its own rights": weak.Attenuate(weak.Rights()),
				"as text": s.restore(text.Attenuate(r), ""), "as text of a text": s.restore(again.Attenuate(r), ""),
				"granted": member.Attenuate(r),
			} {
				if got.Rights()&^caps.Shallow&^from.Rights() != 0 || got.Rights()&^caps.Shallow&^r != 0 {
					t.Errorf("%v %s with %#x is %v", from, how, bits, got)
				}
				if got.Rights()&caps.Shallow != 0 && from.Rights()&caps.Shallow == 0 && from.Rights()&(caps.Write|caps.Run) == 0 && from.Rights() != 0 {
					t.Errorf("%v %s with %#x is no longer deep: %v", from, how, bits, got)
				}
				if bits < 16 && !within(s.canDo(got), had) {
					t.Errorf("%v %s with %#x is %v and can do %s; it could %s", from, how, bits, got, s.canDo(got), had)
				}
			}
		}
	}
}

func TestAGrantBelowAllowsNoMoreThanThatAbove(t *testing.T) {
	s := fastShelf(t)
	hour := s.Now().Add(time.Hour)
	top, _ := s.grant(s.account.Attenuate(caps.Read), caps.Terms{For: "top", Only: []caps.Named{acGet}, Until: hour})
	for how, terms := range map[string]caps.Terms{
		"all":        {},
		"more":       {Only: []caps.Named{acGet, acAdd, acText}},
		"others":     {Only: []caps.Named{acText}},
		"later":      {Until: hour.Add(time.Hour)},
		"a membrane": {Deep: true, Only: []caps.Named{acGet, acAdd, acText}},
	} {
		below, _ := s.grant(top, terms)
		want := "r"
		if how == "others" {
			want = ""
		}
		text, _ := s.save(below, caps.Terms{})
		for _, ref := range []caps.Ref{below, s.restore(text, ""), s.restore(text.Only(acGet, acAdd, acText).Until(hour.Add(9*time.Hour)), "")} {
			if can := s.canDo(ref); can != want {
				t.Errorf("%s: %v can do %q", how, ref, can)
			}
		}
		s.put(how, below)
	}
	s.Pass(time.Hour)
	for _, how := range []string{"all", "more", "later", "a membrane"} {
		s.open(s.get(how), caps.ErrRevoked)
	}
}

func TestSelfIsNotForWhoHoldsLess(t *testing.T) {
	kind := hubKind()
	s := fastShelf(t, kind)
	var h caps.Ref
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error { h = kind.New(tn, hub{}); return nil }))
	guest, g := s.grant(h, caps.Terms{For: "guest", Deep: true, Only: []caps.Named{hubSelf}})
	for _, weak := range []caps.Ref{guest, h.Attenuate(caps.Read), guest.Attenuate(caps.Read)} {
		self, err := hubSelf.Call(t.Context(), weak)
		must(t, err)
		if err := hubPoke.Call(t.Context(), self); err == nil {
			t.Errorf("the Self of %v writes", weak)
		}
	}
	self, err := hubSelf.Call(t.Context(), guest)
	must(t, err)
	s.revoke(g)
	_, err = hubSelf.Call(t.Context(), self)
	wants(t, err, caps.ErrRevoked)
}

func TestADirectoryBehindAWeakRefStaysWeak(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		d := sturdy.NewDirectory(tn)
		return errors.Join(d.Put(tn, "account", s.account), s.Root().Put(tn, "dir", d.Ref))
	}))
	dir := s.get("dir")
	guest, g := s.grant(dir, caps.Terms{For: "guest", Deep: true})
	for _, weak := range []sturdy.Directory{{Ref: dir.Attenuate(caps.Read)}, {Ref: guest}} {
		got, err := weak.Get(ctx, "account")
		must(t, err)
		made, err := weak.Ensure(ctx, "account", func(*sturdy.WriteTurn) caps.Ref { return s.folder })
		must(t, err)
		if got != made {
			t.Errorf("Get gives %v, Ensure %v", got, made)
		}
		if weak.Ref != guest {
			if can := s.canDo(got); can != "rt" {
				t.Errorf("out of a deep directory comes %v, which can do %s", got, can)
			}
			if _, err := weak.Ensure(ctx, "new", func(*sturdy.WriteTurn) caps.Ref { return s.folder }); err == nil {
				t.Error("Ensure wrote through a deep reference")
			}
			continue
		}
		s.revoke(g)
		s.open(got, caps.ErrRevoked)
		s.open(made, caps.ErrRevoked)
	}
}

func TestNothingBringsARevokedGrantBack(t *testing.T) {
	s := newShelf(t)
	ctx := t.Context()
	text, g := s.save(s.account, caps.Terms{For: "gone"})
	shared := s.restore(text, "")
	weaker := s.restore(text.Only(acGet), "")
	s.put("name", shared)
	s.put("g", g.Ref)
	s.revoke(g)
	dead := func(after string) {
		t.Helper()
		for _, ref := range []caps.Ref{shared, weaker, s.get("name")} {
			if _, err := acGet.Call(ctx, ref); !errors.Is(err, caps.ErrRevoked) {
				t.Errorf("after %s: %v", after, err)
			}
		}
		s.restore(text, caps.ErrRevoked)
		s.restore(text.Attenuate(caps.Read), caps.ErrRevoked)
		s.restore(text.Only(acGet), caps.ErrRevoked)
	}
	dead("the revoke")
	s.revoke(g)
	dead("a second revoke")
	fresh, _ := s.grant(s.account, caps.Terms{For: "gone"})
	dead("granting the same again")
	s.open(fresh, "")
	old := s.get("name")
	s.put("name", fresh)
	s.open(s.get("name"), "")
	s.put("name", old)
	dead("putting it under its name again")
	err := s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		must(t, g.Revoke(tn))
		return errMess
	})
	wants(t, err, errMess)
	dead("a failed turn that revoked it, too")
	err = s.Update(ctx, func(tn *sturdy.WriteTurn) error { tn.Grant(shared, caps.Terms{For: "from the dead"}); return nil })
	wants(t, err, caps.ErrRevoked)
	_, _, err = s.Save(ctx, shared, caps.Terms{For: "from the dead"})
	wants(t, err, caps.ErrRevoked)
	s.Pass(-1000 * time.Hour)
	dead("the clock went back")
	s.Pass(2000 * time.Hour)
	s.Evict()
	dead("it was loaded again")
	for range 3 {
		s.Crash()
		s.Reopen()
		shared, weaker, g = s.get("name"), s.get("name"), sturdy.Grant{Ref: s.get("g")}
		dead("a restart")
	}
	info, err := g.Info(ctx)
	if err != nil || info.Alive || info.Revoked.IsZero() {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestARevokeIsSeenByItsOwnTurnAtOnceAndByNobodyIfThatFails(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	top, g := s.grant(s.account, caps.Terms{For: "top"})
	below, _ := s.grant(top, caps.Terms{For: "below"})
	for _, fails := range []error{errMess, nil} {
		err := s.Update(ctx, func(tn *sturdy.WriteTurn) error {
			must(t, g.Revoke(tn))
			for _, ref := range []caps.Ref{top, below} {
				_, err := acGet.Call(tn, ref)
				wants(t, err, caps.ErrRevoked)
			}
			others := make(chan error)
			go func() { _, err := acGet.Call(ctx, below); others <- err }()
			must(t, <-others)
			return fails
		})
		if !errors.Is(err, fails) {
			t.Fatal(err)
		}
		if fails != nil {
			s.open(below, "")
		}
	}
	s.open(below, caps.ErrRevoked)
}

func TestWhoHoldsWhatWasGrantedCannotRevokeNorWidenIt(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	shared, g := s.grant(s.account, caps.Terms{For: "shared"})
	wants(t, sturdy.Grant{Ref: shared}.Revoke(ctx), caps.ErrNoMethod)
	_, err := sturdy.Grant{Ref: shared}.Info(ctx)
	wants(t, err, caps.ErrNoMethod)
	for _, weak := range []caps.Ref{g.Attenuate(caps.Read), g.Attenuate(caps.Read | caps.Shallow), g.Attenuate(0)} {
		wants(t, sturdy.Grant{Ref: weak}.Revoke(ctx), caps.ErrNoRight)
		_, err := weak.Deliver(ctx, caps.Message{Method: "revoke"})
		wants(t, err, caps.ErrNoRight)
	}
	audit, _ := s.grant(g.Ref, caps.Terms{For: "auditor", Only: []caps.Named{caps.Action("info")}})
	wants(t, sturdy.Grant{Ref: audit}.Revoke(ctx), caps.ErrNoMethod)
	// A grant can be asked for two things, and holds out nothing else.
	for _, method := range []string{"get", "object", "Object", "grant", "put", "add"} {
		_, err := g.Deliver(ctx, caps.Message{Method: method})
		wants(t, err, caps.ErrNoMethod)
	}
	reply, err := g.Deliver(ctx, caps.Message{Method: "info"})
	if err != nil || len(reply.Slots) > 0 {
		t.Errorf("info gives %v, %v", reply.Slots, err)
	}
	s.open(shared, "")
}

func TestAChainOfGrantsEndsCleanly(t *testing.T) {
	s := fastShelf(t)
	ref, depth := s.account, 0
	for ; depth < 100; depth++ {
		var below caps.Ref
		err := s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
			below, _ = tn.Grant(ref, caps.Terms{For: fmt.Sprint(depth), Deep: depth%5 == 4})
			return nil
		})
		if err != nil {
			wants(t, err, caps.ErrOverloaded)
			break
		}
		ref = below
	}
	if depth != 64 {
		t.Errorf("%d grants above each other", depth)
	}
	s.put("last", ref)
	s.Crash()
	s.open(s.get("last"), "")
}

func TestTooManyMembranesLeaveNoRight(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	ref, all := s.account, []sturdy.Grant{}
	for i := range 20 { // each membrane is crossed inwards and outwards
		inside, g := s.grant(s.folder, caps.Terms{For: fmt.Sprint(i), Deep: true})
		all = append(all, g)
		out, err := foEcho.Call(ctx, inside, ref)
		must(t, err)
		if !within(s.canDo(out), s.canDo(ref)) {
			t.Errorf("membrane %d gives %v for %v", i, out, ref)
		}
		if out.Rights()&^caps.Shallow != 0 {
			s.put("stored", out)
			if back := s.get("stored"); back != out {
				t.Errorf("%v was stored, %v is there", out, back)
			}
		}
		ref = out
	}
	if ref.Rights()&^caps.Shallow != 0 {
		t.Errorf("20 membranes have been crossed: %v", ref)
	}
	s.revoke(all[0])
	s.open(s.get("stored"), caps.ErrRevoked)
	s.open(ref, caps.ErrNoRight)
}

func TestTermsBeyondTheLimitsAreRefusedCleanly(t *testing.T) {
	s := fastShelf(t)
	methods := func(n int) (names []caps.Named) {
		for i := range n {
			names = append(names, caps.Action(fmt.Sprint("m", i)))
		}
		return names
	}
	for how, terms := range map[string]caps.Terms{
		"a purpose of a megabyte":   {For: strings.Repeat("x", 1<<20)},
		"a purpose that is no text": {For: "\xff\xfe"},
		"65 methods":                {Deep: true, Only: methods(65)},
		"a method without a name":   {Only: []caps.Named{caps.Action("")}},
		"no method":                 {Only: []caps.Named{nil}},
		"the past":                  {Until: s.Now()},
		"a year that does not fit":  {Until: time.Date(5000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"a year before all":         {Until: time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		err := s.Update(t.Context(), func(tn *sturdy.WriteTurn) error { tn.Grant(s.account, terms); return nil })
		if !errors.Is(err, caps.ErrBadArgument) {
			t.Errorf("%s: %v", how, err)
		}
	}
	guest, _ := s.grant(s.folder, caps.Terms{Deep: true, Only: methods(64)})
	_, err := foAll.Call(t.Context(), guest)
	wants(t, err, caps.ErrNoMethod)
	for _, ref := range []caps.Ref{{}, fastShelf(t).account} {
		if err := s.Update(t.Context(), func(tn *sturdy.WriteTurn) error { tn.Grant(ref, caps.Terms{}); return nil }); err == nil {
			t.Errorf("%v was granted", ref)
		}
	}
}
