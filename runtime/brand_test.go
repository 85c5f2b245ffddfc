package sturdy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// brandOf asks sealers, unsealers and boxes for the name of their brand.
const brandOf caps.Query[string] = "brand"

// unsealing stands in lists of methods.
const unsealing caps.Action = "unseal"

// secret is what no box may show to anybody.
const secret = "xyzzy"

// office is a shelf with a brand and another of the same name.
type office struct {
	*shelf
	seal             sturdy.Sealer
	unseal, imposter sturdy.Unsealer
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{shelf: newShelf(t)}
	must(t, o.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		o.seal, o.unseal = sturdy.NewBrand(tn, "mint")
		_, o.imposter = sturdy.NewBrand(tn, "mint")
		root := o.Root()
		return errors.Join(root.Put(tn, "seal", o.seal.Ref), root.Put(tn, "unseal", o.unseal.Ref), root.Put(tn, "imposter", o.imposter.Ref))
	}))
	return o
}

// again finds everything in a world that was opened again.
func (o *office) again() {
	o.t.Helper()
	o.account, o.folder = o.get("account"), o.get("folder")
	o.seal, o.unseal, o.imposter = sturdy.Sealer{Ref: o.get("seal")}, sturdy.Unsealer{Ref: o.get("unseal")}, sturdy.Unsealer{Ref: o.get("imposter")}
}

func value(t testing.TB, v any) caps.Value {
	t.Helper()
	x, err := caps.ValueOf(v)
	must(t, err)
	return x
}

// box seals v.
func (o *office) box(v any) caps.Ref {
	o.t.Helper()
	box, err := o.seal.Seal(o.t.Context(), value(o.t, v))
	must(o.t, err)
	return box
}

// opens unseals box, which holds a Ref.
func (o *office) opens(box caps.Ref) caps.Ref {
	o.t.Helper()
	v, err := o.unseal.Unseal(o.t.Context(), box)
	must(o.t, err)
	return v.Any().(caps.Ref)
}

// refuses unseals box in vain, and sees that the error tells nothing.
func (o *office) refuses(what string, u sturdy.Unsealer, box caps.Ref, want caps.Code) {
	o.t.Helper()
	v, err := u.Unseal(o.t.Context(), box)
	var told *caps.Error
	if !errors.Is(err, want) || !errors.As(err, &told) || v.Any() != nil {
		o.t.Errorf("%s: %v, %v; want %q", what, v, err, want)
	}
	for _, text := range []string{secret, "mint", "account"} {
		if err != nil && strings.Contains(err.Error(), text) && !strings.HasPrefix(what, text) {
			o.t.Errorf("%s: the error tells %q: %v", what, text, err)
		}
	}
}

func TestABoxIsOpenedByItsOwnUnsealerOnly(t *testing.T) {
	o := newOffice(t)
	box := o.box([]any{secret, o.account})
	o.put("box", box)
	for _, reopen := range []func(){func() {}, o.Crash, o.Reopen} {
		reopen()
		o.again()
		box = o.get("box")
		v, err := o.unseal.Unseal(t.Context(), box)
		must(t, err)
		if got := v.Any().([]caps.Value); got[0].Any() != secret || got[1].Any() != o.account {
			t.Errorf("what comes out is %v", v)
		}
		o.refuses("a brand of the same name", o.imposter, box, caps.ErrBadArgument)
		for _, ref := range []caps.Ref{box, o.seal.Ref, o.unseal.Ref, o.imposter.Ref} {
			if name, err := brandOf.Call(t.Context(), ref); name != "mint" || err != nil {
				t.Errorf("the brand of %v: %q, %v", ref, name, err)
			}
		}
		if box.Rights() != caps.Read|caps.Shallow {
			t.Errorf("a box carries %v", box)
		}
	}
}

// elsewhere is a target that is not of any world.
type elsewhere struct{}

func (elsewhere) Deliver(context.Context, caps.Ref, caps.Message) (caps.Reply, error) {
	return caps.Reply{}, errors.New("nobody should have called")
}

func (elsewhere) String() string { panic("nobody should have asked") }

func TestUnsealRefusesEveryWrongArgument(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	box := o.box(secret)
	other := newOffice(t)
	for range 20 { // its turns count further than ours
		other.box(secret)
	}
	_, g := o.grant(o.account, caps.Terms{For: "somebody"})
	var table, gone caps.Ref
	must(t, o.Update(ctx, func(tn *sturdy.WriteTurn) error {
		table = sturdy.NewMap[string, caps.Ref](tn).Ref
		return nil
	}))
	wants(t, o.Update(ctx, func(tn *sturdy.WriteTurn) (err error) {
		gone, err = o.seal.Seal(tn, value(t, secret))
		return errors.Join(err, errMess)
	}), errMess)
	for what, c := range map[string]struct {
		box  caps.Ref
		want caps.Code
	}{
		"null":                   {caps.Ref{}, caps.ErrNull},
		"account":                {o.account, caps.ErrBadArgument},
		"a sealer":               {o.seal.Ref, caps.ErrBadArgument},
		"the unsealer itself":    {o.unseal.Ref, caps.ErrBadArgument},
		"a map":                  {table, caps.ErrBadArgument},
		"a directory":            {o.Root().Ref, caps.ErrBadArgument},
		"a grant":                {g.Ref, caps.ErrBadArgument},
		"a box of another world": {other.box(secret), caps.ErrBadArgument},
		"one without rights":     {other.box(secret).Attenuate(caps.Shallow), caps.ErrBadArgument},
		"what is of no world":    {caps.NewMaker().Make(elsewhere{}, caps.Full()), caps.ErrBadArgument},
		"a box that never was":   {gone, caps.ErrGone},
		"a box without rights":   {box.Attenuate(caps.Shallow), caps.ErrNoRight},
		"a box that only writes": {box.Attenuate(caps.Write), caps.ErrNoRight},
	} {
		o.refuses(what, o.unseal, c.box, c.want)
	}
	o.refuses("the zero unsealer", sturdy.Unsealer{}, box, caps.ErrNull)
	o.refuses("an unsealer without rights", sturdy.Unsealer{Ref: o.unseal.Attenuate(caps.Write)}, box, caps.ErrNoRight)
	o.refuses("a sealer", sturdy.Unsealer{Ref: o.seal.Ref}, box, caps.ErrNoMethod)
	o.refuses("a box taken for an unsealer", sturdy.Unsealer{Ref: box}, box, caps.ErrNoMethod)
	if _, err := o.unseal.Deliver(ctx, caps.Message{Method: "unseal", Body: []byte{0x07}}); !errors.Is(err, caps.ErrBadArgument) {
		t.Errorf("a number: %v", err)
	}
	for _, m := range []string{"unseal", "seal", "get", "content"} {
		if _, err := box.Deliver(ctx, caps.Message{Method: m}); !errors.Is(err, caps.ErrNoMethod) {
			t.Errorf("a box answers %s: %v", m, err)
		}
	}
}

func TestSealRefusesWhatCannotBeStored(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	other := newOffice(t)
	for what, c := range map[string]struct {
		sealer sturdy.Sealer
		v      any
		want   caps.Code
	}{
		"of another world":  {o.seal, []any{other.account}, caps.ErrBadArgument},
		"of no world":       {o.seal, caps.NewMaker().Make(&dumb{}, caps.Full()), caps.ErrBadArgument},
		"too large":         {o.seal, strings.Repeat("x", 1<<20), sturdy.ErrTooLarge},
		"a deep sealer":     {sturdy.Sealer{Ref: o.seal.Attenuate(caps.Read)}, 1, caps.ErrNoRight},
		"a reading sealer":  {sturdy.Sealer{Ref: o.seal.Attenuate(caps.Read | caps.Shallow)}, 1, caps.ErrNoRight},
		"an unsealer":       {sturdy.Sealer{Ref: o.unseal.Ref}, 1, caps.ErrNoMethod},
		"the zero sealer":   {sturdy.Sealer{}, 1, caps.ErrNull},
		"another's sealer?": {sturdy.Sealer{Ref: o.folder}, 1, caps.ErrNoMethod},
	} {
		if box, err := c.sealer.Seal(ctx, value(t, c.v)); !errors.Is(err, c.want) || !box.IsNull() {
			t.Errorf("%s: %v, %v; want %q", what, box, err, c.want)
		}
	}
	o.box(strings.Repeat("x", 1<<20-100))
}

// dumb is a target that nobody calls.
type dumb struct{ elsewhere }

func (*dumb) String() string { return "dumb" }

func TestNothingComesOutInPrint(t *testing.T) {
	o := newOffice(t)
	box := o.box(secret)
	state, err := o.State(t.Context(), box)
	must(t, err)
	if !strings.Contains(state.String(), secret) {
		t.Errorf("to who operates the world its state is %v", state)
	}
	must(t, o.Close()) // fmt looks into private fields, which nobody else may write meanwhile
	private := struct{ box caps.Ref }{box}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%p", "%T"} {
		for _, v := range []any{box, &box, private, &private, []caps.Ref{box}, map[string]any{"b": box}, o.seal, o.unseal, value(t, []any{box})} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	text, err := json.Marshal([]any{box, private, o.unseal})
	must(t, err)
	out.Write(text)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("box", "box", box, "private", private)
	slog.New(slog.NewTextHandler(&out, nil)).Info("box", "box", box, "private", private)
	hex := fmt.Sprintf("%x", secret)
	if text := out.String(); strings.Contains(text, secret) || strings.Contains(text, hex) {
		t.Errorf("a box shows what it holds:\n%s", text)
	}
}

func TestSealerUnsealerBoxAndContentAreRevokedEachAlone(t *testing.T) {
	for _, victim := range []string{"sealer", "unsealer", "box", "content"} {
		t.Run(victim, func(t *testing.T) {
			o := newOffice(t)
			grants := map[string]sturdy.Grant{}
			share := func(name string, ref caps.Ref) (shared caps.Ref) {
				shared, grants[name] = o.grant(ref, caps.Terms{For: name})
				return shared
			}
			o.seal.Ref = share("sealer", o.seal.Ref)
			box := share("box", o.box(share("content", o.account)))
			o.put("box", box)
			unseal := sturdy.Unsealer{Ref: share("unsealer", o.unseal.Ref)}
			o.put("shared", unseal.Ref)
			o.put("shared sealer", o.seal.Ref)
			o.open(o.opens(box), "")
			o.revoke(grants[victim])
			for range 2 {
				dead := map[string]caps.Code{victim: caps.ErrRevoked}
				_, err := sturdy.Sealer{Ref: o.get("shared sealer")}.Seal(t.Context(), value(t, 1))
				if !errors.Is(err, dead["sealer"]) && (err != nil || dead["sealer"] != "") {
					t.Errorf("seal: %v", err)
				}
				v, err := sturdy.Unsealer{Ref: o.get("shared")}.Unseal(t.Context(), o.get("box"))
				if dead["unsealer"]+dead["box"] != "" {
					wants(t, err, caps.ErrRevoked)
				} else {
					must(t, err)
					o.open(v.Any().(caps.Ref), dead["content"])
				}
				o.Crash()
			}
		})
	}
}

func TestABrandBehindAMembraneIsNoHoleInIt(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	must(t, foPut.Call(ctx, o.folder, o.seal.Ref))
	must(t, foPut.Call(ctx, o.folder, o.unseal.Ref))
	inside, g := o.grant(o.folder, caps.Terms{For: "guest", Deep: true})
	at := func(i int64) caps.Ref {
		ref, err := foAt.Call(ctx, inside, i)
		must(t, err)
		return ref
	}
	guest := &office{shelf: o.shelf, seal: sturdy.Sealer{Ref: at(1)}, unseal: sturdy.Unsealer{Ref: at(2)}}
	var mine caps.Ref
	must(t, o.Update(ctx, func(tn *sturdy.WriteTurn) error {
		mine = folderKind.New(tn, folder{})
		return nil
	}))
	box := guest.box(mine)
	if got := guest.opens(box); !got.Same(mine) {
		t.Errorf("%v went in, %v came out", mine, got)
	}
	// The guest hands the box in. What those inside put into his folder reaches him through
	// the membrane: a box is no hole in it.
	must(t, foPut.Call(ctx, inside, box))
	handed, err := foAt.Call(ctx, o.folder, 3)
	must(t, err)
	must(t, foPut.Call(ctx, o.opens(handed), o.account))
	caught, err := foAt.Call(ctx, mine, 0)
	must(t, err)
	if caught == o.account {
		t.Error("an inner capability came out bare")
	}
	// A box that was sealed inside gives what is under the membrane.
	must(t, foPut.Call(ctx, o.folder, o.box(o.account)))
	leaked := guest.opens(at(4))
	o.open(caught, "")
	o.open(leaked, "")
	o.revoke(g)
	o.open(caught, caps.ErrRevoked)
	o.open(leaked, caps.ErrRevoked)
	guest.refuses("a box from a membrane", o.unseal, box, caps.ErrRevoked)
	o.open(o.account, "")
}

func TestAListOfMethodsDecidesWhetherABoxMayBeUnsealed(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	must(t, foPut.Call(ctx, o.folder, o.box(o.account)))
	out := func(only ...caps.Named) caps.Ref {
		inside, _ := o.grant(o.folder, caps.Terms{For: "guest", Deep: true, Only: append(only, foAt)})
		box, err := foAt.Call(ctx, inside, 1)
		must(t, err)
		return box
	}
	named := out(brandOf, acGet)
	o.refuses("a box that may be asked its brand", o.unseal, named, caps.ErrNoMethod)
	_, err := brandOf.Call(ctx, named)
	must(t, err)
	opened := out(unsealing, acGet)
	o.open(o.opens(opened), "")
	_, err = brandOf.Call(ctx, opened)
	wants(t, err, caps.ErrNoMethod)
	// The list holds for what comes out, too.
	_, err = acAdd.Call(ctx, o.opens(opened), 1)
	wants(t, err, caps.ErrNoMethod)
	o.opens(out(unsealing))
	direct, _ := o.grant(o.box(o.account), caps.Terms{For: "guest", Only: []caps.Named{unsealing}})
	o.open(o.opens(direct), "")
	// A wrong unsealer learns of a box that is closed to it what the right one learns.
	o.refuses("another brand", o.imposter, named, caps.ErrNoMethod)
}

func TestABoxThatHasRunOutStaysShut(t *testing.T) {
	o := newOffice(t)
	box, g := o.grant(o.box(o.account), caps.Terms{For: "an hour", Until: o.Now().Add(time.Hour)})
	o.open(o.opens(box), "")
	info, err := g.Info(t.Context())
	must(t, err)
	if info.Uses != 1 {
		t.Errorf("one Unseal counts as %d uses of the box", info.Uses)
	}
	o.Pass(time.Hour)
	o.refuses("a box that ran out", o.unseal, box, caps.ErrRevoked)
	o.Pass(-time.Hour)
	o.refuses("a box that ran out", o.unseal, box, caps.ErrRevoked)
}

func TestABoxIsStoredLikeAnythingElse(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	inner := o.box(o.account)
	outer := o.box(inner)
	must(t, o.Update(ctx, func(tn *sturdy.WriteTurn) error {
		m := sturdy.NewMap[string, caps.Ref](tn)
		m.Put(tn, "box", outer)
		d := sturdy.NewDirectory(tn)
		return errors.Join(o.Root().Put(tn, "map", m.Ref), d.Put(tn, "box", outer), o.Root().Put(tn, "dir", d.Ref))
	}))
	o.Crash()
	o.again()
	for _, deep := range []bool{false, true} {
		m, d := sturdy.Map[string, caps.Ref]{Ref: o.get("map")}, sturdy.Directory{Ref: o.get("dir")}
		if deep {
			m.Ref, d.Ref = m.Attenuate(caps.Read), d.Attenuate(caps.Read)
		}
		var boxes []caps.Ref
		must(t, o.View(ctx, func(tn *sturdy.ReadTurn) error {
			box, _ := m.Get(tn, "box")
			boxes = []caps.Ref{box}
			return nil
		}))
		box, err := d.Get(ctx, "box")
		must(t, err)
		for _, box := range append(boxes, box) {
			got := o.opens(o.opens(box))
			o.open(got, "")
			if bare := got == o.account; bare == deep {
				t.Errorf("deep %v: %v came out", deep, got)
			}
		}
	}
}

func TestATurnSealsAndUnsealsAndRevokesForItself(t *testing.T) {
	o := newOffice(t)
	must(t, o.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		s, u := sturdy.NewBrand(tn, "")
		box, err := s.Seal(tn, value(t, o.account))
		if err != nil {
			return err
		}
		shared, g := tn.Grant(box, caps.Terms{For: "a moment"})
		if v, err := u.Unseal(tn, shared); v.Any() != o.account || err != nil {
			t.Errorf("in the turn that sealed: %v, %v", v, err)
		}
		if err := g.Revoke(tn); err != nil {
			return err
		}
		_, err = u.Unseal(tn, shared)
		wants(t, err, caps.ErrRevoked)
		return nil
	}))
}

func TestNoBoxIsOpenedAfterItsRevocation(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	box, g := o.grant(o.box(o.account), caps.Terms{For: "callers"})
	var callers sync.WaitGroup
	begun, revoked := make(chan struct{}, 8), make(chan struct{})
	for range 8 {
		callers.Go(func() {
			begun <- struct{}{}
			for last := false; !last; {
				select {
				case <-revoked:
					last = true
				default:
				}
				if _, err := o.unseal.Unseal(ctx, box); err != nil && !errors.Is(err, caps.ErrRevoked) || last && err == nil {
					t.Errorf("revoked %v: %v", last, err)
				}
				if _, err := o.seal.Seal(sturdy.Relaxed(ctx), value(t, 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 8 {
		<-begun
	}
	o.revoke(g)
	close(revoked)
	callers.Wait()
}

func TestABrandsStateGivesNoAuthorityOverIt(t *testing.T) {
	o := newOffice(t)
	for _, ref := range []caps.Ref{o.unseal.Ref, o.box(1)} {
		state, err := o.State(t.Context(), ref)
		must(t, err)
		rows := state.Any().([]caps.Entry)
		i := slices.IndexFunc(rows, func(e caps.Entry) bool { return e.Key.Any() == "Sealer" })
		if s, ok := rows[i].Val.Any().(caps.Ref); !ok || !s.Same(o.seal.Ref) || s.Rights() != caps.Shallow {
			t.Errorf("%v names its sealer as %v", ref, rows[i].Val)
		}
	}
}
