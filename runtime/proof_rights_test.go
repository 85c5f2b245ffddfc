package sturdy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// A hub holds capabilities in every place that a state has for them, and lets them out by
// every way that a result has.
type hub struct {
	N      int64
	One    caps.Ref
	Many   []caps.Ref
	ByName map[string]caps.Ref
	Nested struct {
		Inner struct {
			R caps.Ref
			L [2]caps.Ref
		}
	}
	Maybe *link
	Any   caps.Value
}

type link struct{ R caps.Ref }

const (
	hubOne    caps.Query[caps.Ref]                = "one"
	hubMany   caps.Query[[]caps.Ref]              = "many"
	hubNamed  caps.Query[map[string]caps.Ref]     = "named"
	hubMaybe  caps.Query[*link]                   = "maybe"
	hubAny    caps.Query[caps.Value]              = "any"
	hubAll    caps.Query[hub]                     = "all"
	hubSelf   caps.Query[caps.Ref]                = "self"
	hubVia    caps.Method[caps.Ref, caps.Ref]     = "via"   // what another hub's one is
	hubEcho   caps.Method[hub, hub]               = "echo"  // its argument
	hubSneak  caps.Method[caps.Ref, []string]     = "sneak" // tries to write from a read turn
	hubPoke   caps.Action                         = "poke"  // writes
	hubTake   caps.Command[caps.Ref]              = "take"  // writes
	hubUntype caps.Query[caps.Value]              = "all"   // hubAll, decoded by what it is
	hubVoid   caps.Method[caps.Value, caps.Value] = "poke"  // hubPoke, the same way
)

func (h *hub) sneak(t *sturdy.ReadTurn, other caps.Ref) (done []string, _ error) {
	try := func(how string, err error) {
		if err == nil {
			done = append(done, how)
		}
	}
	derived, cancel := context.WithCancel(t)
	defer cancel()
	for _, ref := range []caps.Ref{t.Self(), other} {
		for name, ctx := range map[string]context.Context{"turn": t, "derived": derived, "relaxed": sturdy.Relaxed(t)} {
			try("poke by "+name, hubPoke.Call(ctx, ref))
			try("take by "+name, hubTake.Call(ctx, ref, ref))
			_, err := hubVoid.Call(ctx, ref, caps.Value{})
			try("untyped poke by "+name, err)
			try("directory by "+name, sturdy.Directory{Ref: ref}.Put(ctx, "sneaked", ref))
			try("ensure by "+name, ensured(ctx, ref))
		}
	}
	return done, nil
}

// ensured is nil if Ensure has made something. A Map answers the question of a Directory, and
// with null.
func ensured(ctx context.Context, ref caps.Ref) error {
	made, err := sturdy.Directory{Ref: ref}.Ensure(ctx, "ensured", func(t *sturdy.WriteTurn) caps.Ref { return sturdy.NewDirectory(t).Ref })
	if err == nil && made.IsNull() {
		return sturdy.ErrNoName
	}
	return err
}

func hubKind() *sturdy.KindOf[hub] {
	return sturdy.Define("proof/hub",
		sturdy.Query(hubOne, func(h *hub, _ *sturdy.ReadTurn) (caps.Ref, error) { return h.One, nil }),
		sturdy.Query(hubMany, func(h *hub, _ *sturdy.ReadTurn) ([]caps.Ref, error) { return h.Many, nil }),
		sturdy.Query(hubNamed, func(h *hub, _ *sturdy.ReadTurn) (map[string]caps.Ref, error) { return h.ByName, nil }),
		sturdy.Query(hubMaybe, func(h *hub, _ *sturdy.ReadTurn) (*link, error) { return h.Maybe, nil }),
		sturdy.Query(hubAny, func(h *hub, _ *sturdy.ReadTurn) (caps.Value, error) { return h.Any, nil }),
		sturdy.Query(hubAll, func(h *hub, _ *sturdy.ReadTurn) (hub, error) { return *h, nil }),
		sturdy.Query(hubSelf, func(_ *hub, t *sturdy.ReadTurn) (caps.Ref, error) { return t.Self(), nil }),
		sturdy.Method(hubVia, func(_ *hub, t *sturdy.ReadTurn, r caps.Ref) (caps.Ref, error) { return hubOne.Call(t, r) }),
		sturdy.Method(hubEcho, func(_ *hub, _ *sturdy.ReadTurn, a hub) (hub, error) { return a, nil }),
		sturdy.Method(hubSneak, (*hub).sneak),
		sturdy.Action(hubPoke, func(h *hub, _ *sturdy.WriteTurn) error { h.N++; return nil }),
		sturdy.Command(hubTake, func(h *hub, _ *sturdy.WriteTurn, r caps.Ref) error { h.One = r; return nil }),
	)
}

// graph makes a world of hubs and collections that hold each other at random.
func graph(t *testing.T, chance *rand.Rand) (w *runtimetest.World, all []caps.Ref) {
	kind := hubKind()
	w = unchecked(t, kind)
	must(t, w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		for i := range 6 {
			all = append(all, kind.New(tn, hub{N: int64(i)}))
		}
		for range 2 {
			all = append(all, sturdy.NewMap[string, caps.Ref](tn).Ref, sturdy.NewList[link](tn).Ref,
				sturdy.NewCell(tn, caps.Value{}).Ref, sturdy.NewDirectory(tn).Ref)
		}
		return nil
	}))
	pick := func() caps.Ref { return all[chance.IntN(len(all))].Attenuate(randomRights(chance)) }
	must(t, w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		for i := range 6 {
			v, err := caps.ValueOf(map[string]any{"a": pick(), "list": []any{pick(), pick()}})
			if err != nil {
				return err
			}
			h := hub{
				N: 1, One: all[(i+1)%6], Many: []caps.Ref{pick(), all[(i+2)%6]}, ByName: map[string]caps.Ref{"x": pick()},
				Maybe: &link{pick()}, Any: v,
			}
			h.Nested.Inner.R, h.Nested.Inner.L = pick(), [2]caps.Ref{pick(), all[6+i]}
			if err := w.Root().Put(tn, fmt.Sprint(i), kind.New(tn, h)); err != nil {
				return err
			}
		}
		for i := 6; i < len(all); i += 4 {
			v, err := caps.ValueOf([]any{pick(), all[0]})
			if err != nil {
				return err
			}
			sturdy.Map[string, caps.Ref]{Ref: all[i]}.Put(tn, "m", pick())
			sturdy.Map[string, caps.Ref]{Ref: all[i]}.Put(tn, "all", all[1])
			sturdy.List[link]{Ref: all[i+1]}.Append(tn, link{all[2]})
			sturdy.Cell[caps.Value]{Ref: all[i+2]}.Set(tn, v)
			if err := (sturdy.Directory{Ref: all[i+3]}).Put(tn, "d", all[3]); err != nil {
				return err
			}
		}
		return nil
	}))
	for i := range 6 {
		ref, err := w.Root().Get(t.Context(), fmt.Sprint(i))
		must(t, err)
		all = append(all, ref)
	}
	return w, append(all, w.Root().Ref)
}

func randomRights(chance *rand.Rand) caps.Rights { return caps.Rights(chance.IntN(16)) }

// refsIn returns every Ref in v.
func refsIn[T any](v T, err error) (refs []caps.Ref) {
	c, cerr := caps.CodecFor(typeOf[T]())
	if err != nil || cerr != nil {
		return nil
	}
	_ = c.EachRef(unsafe.Pointer(&v), func(r caps.Ref) error {
		if !r.IsNull() {
			refs = append(refs, r)
		}
		return nil
	})
	return refs
}

// obtained is everything that the holder of ref gets out of it by reading. ctx is a turn or
// not; with is what it may pass as an argument.
func obtained(ctx context.Context, ref, with caps.Ref) (got []caps.Ref) {
	add := func(refs []caps.Ref) { got = append(got, refs...) }
	add(refsIn(hubOne.Call(ctx, ref)))
	add(refsIn(hubMany.Call(ctx, ref)))
	add(refsIn(hubNamed.Call(ctx, ref)))
	add(refsIn(hubMaybe.Call(ctx, ref)))
	add(refsIn(hubAny.Call(ctx, ref)))
	add(refsIn(hubAll.Call(ctx, ref)))
	add(refsIn(hubUntype.Call(ctx, ref)))
	add(refsIn(hubSelf.Call(ctx, ref)))
	add(refsIn(hubVia.Call(ctx, ref, with)))
	v, err := caps.ValueOf(with)
	if err == nil {
		add(refsIn(hubEcho.Call(ctx, ref, hub{One: with, Many: []caps.Ref{with}, Any: v, Maybe: &link{with}})))
	}
	add(refsIn(sturdy.Directory{Ref: ref}.Get(ctx, "d")))
	add(refsIn(untypedRange.Call(ctx, ref, rangeQuery{Limit: 10})))
	if t, ok := ctx.(sturdy.Turn); ok {
		add(fromCollections(t, ref))
	}
	return got
}

// rangeQuery and row are how a program without the runtime's types asks for rows.
type rangeQuery struct {
	From, To caps.Value
	Limit    int64
}

const untypedRange caps.Method[rangeQuery, []caps.Entry] = "range"

// fromCollections reads ref as each kind of collection. What it is not unwinds, which is
// caught here: the turn is not to take effect anyway.
func fromCollections(t sturdy.Turn, ref caps.Ref) (got []caps.Ref) {
	for _, read := range []func(){
		func() {
			for _, r := range (sturdy.Map[string, caps.Ref]{Ref: ref}).All(t) {
				got = append(got, r)
			}
			r, _ := sturdy.Map[string, caps.Ref]{Ref: ref}.Get(t, "all")
			got = append(got, r)
		},
		func() {
			for _, l := range (sturdy.List[link]{Ref: ref}).Range(t, 0, 10) {
				got = append(got, l.R)
			}
			l, _ := sturdy.List[link]{Ref: ref}.At(t, 0)
			got = append(got, l.R)
		},
		func() { got = append(got, refsIn(sturdy.Cell[caps.Value]{Ref: ref}.Get(t), nil)...) },
		func() {
			for _, r := range (sturdy.Directory{Ref: ref}).All(t) {
				got = append(got, r)
			}
		},
	} {
		func() {
			defer func() { _ = recover() }()
			read()
		}()
	}
	return got
}

// TestNothingChangesThroughADeepRef follows every way out of a deep Ref, as far as there
// is one, from outside and inside of turns, and tries to write through all that it gets.
func TestNothingChangesThroughADeepRef(t *testing.T) {
	seed := seedOf(t)
	for i := range 3 {
		chance := rand.New(rand.NewPCG(seed, uint64(i)))
		w, all := graph(t, chance)
		before := dumpWorld(t, w)
		deep := all[len(all)-1-i].Attenuate(caps.Read) // the root, and the last of its hubs
		full := all[0]
		pool, known := []caps.Ref{deep}, map[caps.Ref]bool{deep: true}
		for len(pool) > 0 {
			ref := pool[0]
			pool = pool[1:]
			if ref.Rights()&^caps.Read != 0 {
				t.Fatalf("%v was obtained through a deep reference", ref)
			}
			attack(t, w, ref)
			for _, got := range everywhere(t, w, ref, deep) {
				if !known[got] && !got.IsNull() {
					known[got], pool = true, append(pool, got)
				}
			}
			for _, got := range everywhere(t, w, ref, full) { // a full argument comes back as less
				if got.Rights()&^caps.Read != 0 {
					t.Fatalf("%v came back through %v", got, ref)
				}
			}
		}
		if i == 0 && len(known) < 10 {
			t.Errorf("only %d references were reached", len(known))
		}
		if after := dumpWorld(t, w); after != before {
			t.Errorf("the world has changed:\n%s\nwas\n%s", after, before)
		}
	}
}

// everywhere is obtained from outside, in a read turn and in a write turn.
func everywhere(t *testing.T, w *runtimetest.World, ref, with caps.Ref) (got []caps.Ref) {
	ctx := t.Context()
	got = obtained(ctx, ref, with)
	_ = w.View(ctx, func(tn *sturdy.ReadTurn) error { got = append(got, obtained(tn, ref, with)...); return errMess })
	_ = w.Update(ctx, func(tn *sturdy.WriteTurn) error { got = append(got, obtained(tn, ref, with)...); return errMess })
	return got
}

// attack tries to write through ref by every way there is.
func attack(t *testing.T, w *runtimetest.World, ref caps.Ref) {
	ctx := t.Context()
	fails := func(how string, err error) {
		if err == nil {
			t.Errorf("%s through %v took effect", how, ref)
		}
	}
	writes := func(how string, ctx context.Context) {
		fails("poke "+how, hubPoke.Call(ctx, ref))
		fails("take "+how, hubTake.Call(ctx, ref, ref))
		_, err := hubVoid.Call(ctx, ref, caps.Value{})
		fails("untyped poke "+how, err)
		fails("put "+how, sturdy.Directory{Ref: ref}.Put(ctx, "x", ref))
		fails("delete "+how, sturdy.Directory{Ref: ref}.Delete(ctx, "d"))
		fails("ensure "+how, ensured(ctx, ref))
		if done, err := hubSneak.Call(ctx, ref, ref); len(done) > 0 {
			t.Errorf("sneak %s through %v: %v, %v", how, ref, done, err)
		}
	}
	writes("from outside", ctx)
	_ = w.View(ctx, func(tn *sturdy.ReadTurn) error { writes("in a read turn", tn); return nil })
	_ = w.Update(ctx, func(tn *sturdy.WriteTurn) error { writes("in a write turn", tn); return errMess })
	for how, write := range map[string]func(tn *sturdy.WriteTurn){
		"map put":    func(tn *sturdy.WriteTurn) { sturdy.Map[string, caps.Ref]{Ref: ref}.Put(tn, "m", ref) },
		"map delete": func(tn *sturdy.WriteTurn) { sturdy.Map[string, caps.Ref]{Ref: ref}.Delete(tn, "m") },
		"append":     func(tn *sturdy.WriteTurn) { sturdy.List[link]{Ref: ref}.Append(tn, link{}) },
		"list set":   func(tn *sturdy.WriteTurn) { sturdy.List[link]{Ref: ref}.Set(tn, 0, link{}) },
		"cell set":   func(tn *sturdy.WriteTurn) { sturdy.Cell[caps.Value]{Ref: ref}.Set(tn, caps.Value{}) },
	} {
		fails(how, w.Update(ctx, func(tn *sturdy.WriteTurn) error { write(tn); return nil }))
	}
}

func TestNothingStartsAWriteFromAReadTurn(t *testing.T) {
	w, all := graph(t, rand.New(rand.NewPCG(seedOf(t), 9)))
	before := dumpWorld(t, w)
	ctx := t.Context()
	for _, ref := range all {
		for _, other := range all {
			if done, _ := hubSneak.Call(ctx, ref, other); len(done) > 0 {
				t.Fatalf("%v with %v, from outside: %v", ref, other, done)
			}
		}
		must(t, w.View(ctx, func(tn *sturdy.ReadTurn) error {
			if done, _ := hubSneak.Call(tn, all[0], ref); len(done) > 0 {
				t.Errorf("in a View: %v", done)
			}
			if err := w.Update(tn, func(*sturdy.WriteTurn) error { return nil }); err == nil {
				t.Error("an Update joined a View")
			}
			return nil
		}))
		err := w.Update(ctx, func(tn *sturdy.WriteTurn) error {
			done, _ := hubSneak.Call(tn, all[0], ref)
			return fmt.Errorf("in a write turn: %v", done)
		})
		if !strings.HasSuffix(err.Error(), ": []") {
			t.Error(err)
		}
	}
	if after := dumpWorld(t, w); after != before {
		t.Errorf("the world has changed:\n%s\nwas\n%s", after, before)
	}
}

func TestChainsOfAttenuationNeverAmplify(t *testing.T) {
	chance := rand.New(rand.NewPCG(seedOf(t), 3))
	w, all := graph(t, chance)
	ctx := t.Context()
	const name = "kept"
	for range 300 {
		ref := all[chance.IntN(len(all))]
		left := modelRef{0, caps.Full()}
		for range 1 + chance.IntN(5) {
			to := randomRights(chance)
			left.Authority = modelAttenuate(left.Authority, to)
			if ref = ref.Attenuate(to); chance.IntN(4) == 0 {
				must(t, w.Root().Put(ctx, name, ref)) // what comes back from the disk is no more
				w.Evict()
				back, err := w.Root().Get(ctx, name)
				must(t, err)
				if back != ref {
					t.Fatalf("%v was stored, and %v comes back", ref, back)
				}
			}
		}
		info, err := w.Describe(ctx, ref)
		must(t, err)
		if info.Rights != left.Authority {
			t.Fatalf("%v is left; want %v", info.Rights, left.Authority)
		}
		err = w.Update(ctx, func(tn *sturdy.WriteTurn) error {
			if err := hubPoke.Call(tn, ref); err == nil && left.Rights&caps.Write == 0 {
				t.Errorf("a write through %v", ref)
			}
			if _, err := hubOne.Call(tn, ref); err == nil && left.Rights&caps.Read == 0 {
				t.Errorf("a read through %v", ref)
			}
			return errMess
		})
		wants(t, err, errMess)
	}
}

// dumpWorld shows every object's state and elements, and when each was last written.
func dumpWorld(t testing.TB, w *runtimetest.World) string {
	t.Helper()
	ctx := context.Background()
	must(t, w.Sync(ctx))
	var b strings.Builder
	var all []caps.Ref
	for ref, err := range w.Objects(ctx) {
		must(t, err)
		_, err = w.Describe(ctx, ref) // once it is loaded, a Ref to it prints its kind
		must(t, err)
		all = append(all, ref)
	}
	for _, ref := range all {
		info, err := w.Describe(ctx, ref)
		must(t, err)
		state, err := w.State(ctx, ref)
		must(t, err)
		fmt.Fprintf(&b, "%s %s %d %v", info.ID, info.Kind.Name, info.LSN, state)
		if rows, err := untypedRange.Call(ctx, ref, rangeQuery{}); err == nil {
			for _, row := range rows {
				fmt.Fprintf(&b, " %v=%v", row.Key, row.Val)
			}
		}
		if names, err := untypedNames.Call(ctx, ref, namesQuery{Limit: 1000}); err == nil {
			fmt.Fprint(&b, names)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

type namesQuery struct {
	From  string
	Limit int64
}

const untypedNames caps.Method[namesQuery, caps.Value] = "list"
