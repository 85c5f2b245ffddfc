package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// The attack tests: somebody holds less than he wants, and tries every way that a value can
// take. Reflection that changes unexported fields (reflect.NewAt) and package unsafe are out
// of scope: who may use them is not confined by anything in his process.

// routes send a Ref through the world and return what comes back of it.
func routes() map[string]func(s *shelf, r caps.Ref) []caps.Ref {
	return map[string]func(s *shelf, r caps.Ref) []caps.Ref{
		"argument and result": func(s *shelf, r caps.Ref) []caps.Ref {
			return refsIn(foEcho.Call(s.t.Context(), s.folder, r))
		},
		"argument and result of an untyped call": func(s *shelf, r caps.Ref) []caps.Ref {
			body, slots := encoded(s.t, r)
			reply, err := s.folder.Deliver(s.t.Context(), caps.Message{To: s.folder, Method: "echo", Body: body, Slots: slots})
			must(s.t, err)
			return reply.Slots
		},
		"field of a state": func(s *shelf, r caps.Ref) []caps.Ref {
			must(s.t, foPut.Call(s.t.Context(), s.folder, r))
			s.Reopen()
			s.folder = s.get("folder")
			all := refsIn(foAll.Call(s.t.Context(), s.folder))
			return all[len(all)-1:]
		},
		"directory": func(s *shelf, r caps.Ref) (got []caps.Ref) {
			s.put("here", r)
			s.Crash()
			must(s.t, s.View(s.t.Context(), func(tn *sturdy.ReadTurn) error {
				for name, ref := range s.Root().All(tn) {
					if name == "here" {
						got = append(got, ref)
					}
				}
				return nil
			}))
			return append(got, s.get("here"))
		},
		"collections": throughCollections,
		"box":         throughBox,
		"sturdy text": func(s *shelf, r caps.Ref) []caps.Ref {
			text, _ := s.save(r, caps.Terms{For: "text"})
			return []caps.Ref{s.restore(text, "")}
		},
		"ensure": func(s *shelf, r caps.Ref) []caps.Ref { return throughEnsure(s, r) },
		"grant": func(s *shelf, r caps.Ref) []caps.Ref {
			shared, _ := s.grant(r, caps.Terms{For: "myself"})
			return []caps.Ref{shared}
		},
		"membrane of one's own": func(s *shelf, r caps.Ref) []caps.Ref { return throughMembrane(s, r) },
		"attenuation to all":    func(_ *shelf, r caps.Ref) []caps.Ref { return []caps.Ref{r.Attenuate(0xff), r.Attenuate(r.Rights())} },
		"error": func(s *shelf, r caps.Ref) []caps.Ref {
			f := s.folderOf(r)
			err := s.View(s.t.Context(), func(tn *sturdy.ReadTurn) error { _, err := foFail.Call(tn, f); return err })
			carrier := refError{}
			errors.As(err, &carrier)
			return []caps.Ref{carrier.ref}
		},
	}
}

func encoded(t *testing.T, r caps.Ref) ([]byte, []caps.Ref) {
	t.Helper()
	v, err := caps.ValueOf(r)
	must(t, err)
	c, cerr := caps.CodecFor(typeOf[caps.Value]())
	must(t, cerr)
	return c.Append(nil, nil, unsafe.Pointer(&v))
}

func (s *shelf) folderOf(r caps.Ref) (f caps.Ref) {
	must(s.t, s.Update(s.t.Context(), func(tn *sturdy.WriteTurn) error { f = folderKind.New(tn, folder{Items: []caps.Ref{r}}); return nil }))
	return f
}

func throughCollections(s *shelf, r caps.Ref) (got []caps.Ref) {
	v, err := caps.ValueOf(map[string]any{"deep": []any{r}})
	must(s.t, err)
	must(s.t, s.Update(s.t.Context(), func(tn *sturdy.WriteTurn) error {
		m, l, c := sturdy.NewMap[int64, link](tn), sturdy.NewList[[]caps.Ref](tn), sturdy.NewCell(tn, v)
		m.Put(tn, 1, link{r})
		l.Append(tn, []caps.Ref{r})
		return errors.Join(s.Root().Put(tn, "m", m.Ref), s.Root().Put(tn, "l", l.Ref), s.Root().Put(tn, "c", c.Ref))
	}))
	s.Crash()
	must(s.t, s.View(s.t.Context(), func(tn *sturdy.ReadTurn) error {
		m, l, c := sturdy.Map[int64, link]{Ref: s.get("m")}, sturdy.List[[]caps.Ref]{Ref: s.get("l")}, sturdy.Cell[caps.Value]{Ref: s.get("c")}
		one, _ := m.Get(tn, 1)
		got = []caps.Ref{one.R}
		for _, e := range m.All(tn) {
			got = append(got, e.R)
		}
		first, _ := l.At(tn, 0)
		got = append(got, first...)
		for _, e := range l.Range(tn, 0, 9) {
			got = append(got, e...)
		}
		got = append(got, refsIn(c.Get(tn), nil)...)
		got = append(got, refsIn(untypedRange.Call(tn, m.Ref, rangeQuery{Limit: 9}))...)
		return nil
	}))
	return got
}

func throughBox(s *shelf, r caps.Ref) (got []caps.Ref) {
	ctx := s.t.Context()
	v, err := caps.ValueOf([]any{r})
	must(s.t, err)
	must(s.t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		sealer, unsealer := sturdy.NewBrand(tn, "brand")
		box, err := sealer.Seal(tn, v)
		return errors.Join(err, s.Root().Put(tn, "box", box), s.Root().Put(tn, "unsealer", unsealer.Ref))
	}))
	s.Crash()
	return refsIn(sturdy.Unsealer{Ref: s.get("unsealer")}.Unseal(ctx, s.get("box")))
}

func throughEnsure(s *shelf, r caps.Ref) []caps.Ref {
	make := func(*sturdy.WriteTurn) caps.Ref { return r }
	first, err := s.Root().Ensure(s.t.Context(), "ensured", make)
	must(s.t, err)
	second, err := s.Root().Ensure(s.t.Context(), "ensured", make)
	must(s.t, err)
	return []caps.Ref{first, second}
}

// throughMembrane crosses a membrane of the attacker's own inwards and outwards.
func throughMembrane(s *shelf, r caps.Ref) []caps.Ref {
	inside, _ := s.grant(s.folder, caps.Terms{For: "my own", Deep: true})
	must(s.t, foPut.Call(s.t.Context(), inside, r))
	all := refsIn(foAll.Call(s.t.Context(), inside))
	bare := refsIn(foAll.Call(s.t.Context(), s.folder))
	return append(refsIn(foEcho.Call(s.t.Context(), inside, r)), all[len(all)-1], bare[len(bare)-1])
}

func TestNoRouteGivesBackMoreThanWasSent(t *testing.T) {
	for how, route := range routes() {
		t.Run(how, func(t *testing.T) {
			for name, weaken := range map[string]func(caps.Ref) caps.Ref{
				"read":    func(r caps.Ref) caps.Ref { return r.Attenuate(caps.Read) },
				"shallow": func(r caps.Ref) caps.Ref { return r.Attenuate(caps.Read | caps.Shallow) },
				"full":    func(r caps.Ref) caps.Ref { return r },
			} {
				s := newShelf(t)
				shared, g := s.grant(s.account, caps.Terms{For: "attacker", Only: []caps.Named{acGet}})
				s.put("g", g.Ref)
				had := weaken(shared)
				back := route(s, had)
				if len(back) == 0 {
					t.Fatal("nothing came back")
				}
				for _, got := range back {
					s.notMore(name, got, had)
				}
				s.revoke(sturdy.Grant{Ref: s.get("g")})
				for _, got := range back {
					s.open(got, caps.ErrRevoked)
				}
			}
		})
	}
}

// notMore fails the test if got can do what had cannot. It is of the grant that had is of.
func (s *shelf) notMore(what string, got, had caps.Ref) {
	s.t.Helper()
	if got.Rights()&^had.Rights() != 0 {
		s.t.Errorf("%s: %v came back of %v", what, got, had)
	}
	s.open(got, "")
	if _, err := acAdd.Call(s.t.Context(), got, 1); !errors.Is(err, caps.ErrNoMethod) {
		s.t.Errorf("%s: a method that was not granted, through %v: %v", what, got, err)
	}
}

// outOf are the ways out of a membrane: what the holder of inside, a folder whose first item
// is the account, gets at.
func outOf(s *shelf, ctx context.Context, inside caps.Ref) map[string][]caps.Ref {
	reply, err := inside.Deliver(ctx, caps.Message{Method: "all"})
	must(s.t, err)
	carrier := refError{}
	_, failed := foFail.Call(ctx, inside)
	errors.As(failed, &carrier)
	mine := s.folderOf(s.folder)
	out := map[string][]caps.Ref{
		"result":         refsIn(foAll.Call(ctx, inside)),
		"untyped result": reply.Slots,
		"Value":          refsIn(caps.Query[caps.Value]("all").Call(ctx, inside)),
		"echo":           refsIn(foEcho.Call(ctx, inside, s.account)),
		"error":          {carrier.ref},
	}
	if s.Update(ctx, func(tn *sturdy.WriteTurn) error { return foShow.Call(tn, inside, showTo{To: mine}) }) == nil {
		out["callback"] = refsIn(foAt.Call(ctx, mine, 1))
	}
	return out
}

func TestWhateverComesOutOfAMembraneDiesWithIt(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	for _, terms := range []caps.Terms{{For: "guest", Deep: true}, {For: "guest of a guest", Deep: true}} {
		inside, g := s.grant(s.folder, terms)
		got := outOf(s, ctx, inside)
		must(t, s.View(ctx, func(tn *sturdy.ReadTurn) error {
			for how, refs := range outOf(s, tn, inside) {
				got[how+" in a turn"] = refs
			}
			return nil
		}))
		for how, refs := range got {
			for _, r := range refs {
				if !r.IsNull() {
					s.open(r, "")
					s.put(how, r)
				}
			}
		}
		s.revoke(g)
		for how, refs := range got {
			for _, r := range refs {
				if !r.IsNull() {
					s.open(r, caps.ErrRevoked)
					s.open(s.get(how), caps.ErrRevoked)
				}
			}
		}
	}
}

// A thrower panics with what it holds.
type thrower struct{ R caps.Ref }

const thBoom caps.Action = "boom"

func TestAPanicCarriesNothingOut(t *testing.T) {
	throws := func(h *thrower) error { panic(refError{h.R}) }
	read := sturdy.Define("proof/thrower", sturdy.Action(thBoom, func(h *thrower, _ *sturdy.ReadTurn) error { return throws(h) }))
	write := sturdy.Define("proof/writer", sturdy.Action(thBoom, func(h *thrower, _ *sturdy.WriteTurn) error { return throws(h) }))
	s := fastShelf(t, read, write)
	for name, kind := range map[string]*sturdy.KindOf[thrower]{"read": read, "write": write} {
		var h caps.Ref
		must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error { h = kind.New(tn, thrower{s.account}); return nil }))
		membrane, _ := s.grant(h, caps.Terms{Deep: true})
		for _, weak := range []caps.Ref{membrane, h.Attenuate(caps.Read)} {
			err := s.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
				defer func() {
					p := recover()
					carrier := refError{}
					if err, ok := p.(error); ok && errors.As(err, &carrier) {
						t.Errorf("%s: a panic through %v brought %v out", name, weak, carrier.ref)
					}
					if p != nil {
						panic(p)
					}
				}()
				return thBoom.Call(tn, weak)
			})
			if err == nil {
				t.Errorf("%s: a panic was no failure", name)
			}
		}
	}
}

func TestHostileMessagesOpenNothing(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	only, _ := s.grant(s.account, caps.Terms{For: "reader", Only: []caps.Named{acGet}})
	body, _ := encoded(t, s.folder)
	for _, m := range []caps.Message{
		{To: s.account, Method: "add", Body: []byte{5}},
		{Method: "add\x00"},
		{Method: "ADD"},
		{Method: " get"},
		{Method: "get "},
		{Method: "аdd", Body: []byte{5}},
		{Method: ""},
		{Method: "ｇｅｔ"},
		{Method: "get\x00add"},
		{Method: "proof/account.add", Body: []byte{5}},
		{Method: "put"},
		{Method: "unseal"},
	} {
		if _, err := only.Deliver(ctx, m); !errors.Is(err, caps.ErrNoMethod) {
			t.Errorf("%q: %v", m.Method, err)
		}
	}
	for _, m := range []caps.Message{
		{Method: "echo", Body: body},                                      // names a slot that is not there
		{Method: "echo", Body: body[:len(body)-1], Slots: []caps.Ref{{}}}, // cut off
		{Method: "echo", Body: []byte{0xc7, 1, 1, 0}, Slots: nil},
		{Method: "echo", Body: append([]byte{0xff}, body...), Slots: []caps.Ref{s.account}},
		{Method: "echo", Body: make([]byte, 2<<20)},
		{Method: "put", Slots: make([]caps.Ref, 1<<17)},
	} {
		reply, err := s.folder.Deliver(ctx, m)
		for _, r := range reply.Slots {
			if err == nil && !r.IsNull() && !r.Same(s.account) {
				t.Errorf("%s of % x gave %v", m.Method, m.Body[:min(len(m.Body), 8)], r)
			}
		}
		if err == nil && len(reply.Slots) == 0 {
			t.Errorf("%s of %d bytes was understood", m.Method, len(m.Body))
		}
	}
	holds(t, ctx, s.account, 5)
}

// An impostor is a target of the attacker's own.
type impostor struct{ saw []string }

func (i *impostor) Deliver(ctx context.Context, via caps.Ref, m caps.Message) (caps.Reply, error) {
	if tn, ok := ctx.(sturdy.Turn); ok {
		i.saw = append(i.saw, fmt.Sprintf("the turn of %v", tn.Self()))
	}
	return caps.Reply{}, nil
}

func TestAStrangerWhoIsCalledFromATurnIsNotHandedIt(t *testing.T) {
	s := newShelf(t)
	ctx := t.Context()
	only, _ := s.grant(s.folder, caps.Terms{For: "attacker", Only: []caps.Named{foShow}})
	spy := new(impostor)
	mine := caps.NewMaker().Make(spy, caps.Full())
	wants(t, foShow.Call(ctx, only, showTo{To: mine}), caps.ErrWouldBlock)
	err := s.View(ctx, func(tn *sturdy.ReadTurn) error {
		ctx, cancel := context.WithCancel(tn)
		defer cancel()
		_, err := mine.Deliver(ctx, caps.Message{Method: "x"})
		return err
	})
	wants(t, err, caps.ErrWouldBlock)
	if len(spy.saw) > 0 {
		t.Error("the stranger was handed ", spy.saw)
	}
	if _, err := mine.Deliver(ctx, caps.Message{Method: "x"}); err != nil {
		t.Error("outside of turns he may be called:", err)
	}
}

func TestAStrangersRefsAndGatesAreOfNoUseInAWorld(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	maker, spy := caps.NewMaker(), new(impostor)
	inside, _ := s.grant(s.folder, caps.Terms{For: "guest", Deep: true})
	marked, err := foEcho.Call(ctx, inside, maker.Make(spy, caps.Full()))
	must(t, err)
	_, stolen, ok := maker.Open(marked)
	if !ok || stolen.Gate == nil {
		t.Fatal("the membrane has left no mark")
	}
	// A gate in hand, and every right: all of it is to a target of his own.
	for name, ref := range map[string]caps.Ref{"plain": maker.Make(spy, caps.Full()), "with a gate": maker.Make(spy, caps.Authority{Rights: caps.Read | caps.Write | caps.Run, Gate: stolen.Gate}), "marked": marked} {
		v, err := caps.ValueOf(ref)
		must(t, err)
		for how, try := range map[string]func(*sturdy.WriteTurn) error{
			"state":     func(tn *sturdy.WriteTurn) error { return foPut.Call(tn, s.folder, ref) },
			"new":       func(tn *sturdy.WriteTurn) error { folderKind.New(tn, folder{Items: []caps.Ref{ref}}); return nil },
			"directory": func(tn *sturdy.WriteTurn) error { return s.Root().Put(tn, "x", ref) },
			"map":       func(tn *sturdy.WriteTurn) error { sturdy.NewMap[int64, caps.Ref](tn).Put(tn, 1, ref); return nil },
			"list":      func(tn *sturdy.WriteTurn) error { sturdy.NewList[link](tn).Append(tn, link{ref}); return nil },
			"cell":      func(tn *sturdy.WriteTurn) error { sturdy.NewCell(tn, v); return nil },
			"grant":     func(tn *sturdy.WriteTurn) error { tn.Grant(ref, caps.Terms{For: "x"}); return nil },
			"save":      func(tn *sturdy.WriteTurn) error { _, _, err := s.Save(tn, ref, caps.Terms{For: "x"}); return err },
			"box": func(tn *sturdy.WriteTurn) error {
				sealer, _ := sturdy.NewBrand(tn, "x")
				_, err := sealer.Seal(tn, v)
				return err
			},
		} {
			if err := s.Update(ctx, try); !errors.Is(err, caps.ErrBadArgument) {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
		if _, err := acGet.Call(ctx, ref); err == nil {
			t.Errorf("%s: his target answered as an account", name)
		}
	}
}

func TestARefOfAnotherWorldIsNotFreedOfItsGrants(t *testing.T) {
	s, own := fastShelf(t), fastShelf(t)
	ctx := t.Context()
	victim, g := s.grant(s.account, caps.Terms{For: "victim", Only: []caps.Named{acGet}})
	sub, _ := s.grant(s.folder, caps.Terms{For: "guest", Deep: true})
	out, err := foAt.Call(ctx, sub, 0)
	must(t, err)
	s.revoke(g)
	for range 20 { // so that there is a live grant of every number
		own.grant(own.account, caps.Terms{For: "own"})
	}
	inside, _ := own.grant(own.folder, caps.Terms{For: "own membrane", Deep: true})
	for _, ref := range []caps.Ref{victim, out} {
		for _, via := range []caps.Ref{inside, own.folder} {
			back, err := foEcho.Call(ctx, via, ref)
			if err != nil {
				continue
			}
			if _, err := acAdd.Call(ctx, back, 10); err == nil && ref == victim {
				t.Errorf("%v came back as %v, and adds", ref, back)
			}
			if back.Rights()&^caps.Shallow&^ref.Rights() != 0 {
				t.Errorf("%v came back as %v", ref, back)
			}
			if err := s.Root().Put(ctx, "back", back); err == nil && back != ref { // nor can it be stored as if it were
				t.Errorf("%v was stored", back)
			}
		}
	}
}
