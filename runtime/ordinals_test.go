package sturdy_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// The generations of a kind, each as a program that shows other methods. Nobody calls them.

func ordinalKind[S any](parts ...sturdy.Part[S]) sturdy.Kind {
	return sturdy.Define("example.org/grown", parts...)
}

func offers[S, A, R any](name string) sturdy.Part[S] {
	return sturdy.Method(caps.Method[A, R](name), func(*S, *sturdy.WriteTurn, A) (r R, err error) { return r, nil })
}

// ordinalsOf are those of the kind, which every row of it must have.
func ordinalsOf(t *testing.T, rt *sturdy.Runtime) (list []string) {
	t.Helper()
	ks, err := rt.Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ks {
		if k.Name != "example.org/grown" {
			continue
		}
		if list != nil && !slices.Equal(list, k.Ordinals) {
			t.Errorf("version %d has %q, another row %q", k.Version, k.Ordinals, list)
		}
		list = k.Ordinals
	}
	return list
}

// wantOrdinals fails unless the list is what it was before and more behind it.
func wantOrdinals(t *testing.T, rt *sturdy.Runtime, before []string, more ...string) []string {
	t.Helper()
	got := ordinalsOf(t, rt)
	if want := slices.Concat(before, more); !slices.Equal(got, want) {
		t.Fatalf("ordinals are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	return got
}

type (
	ordinalLine struct {
		Text  string
		Parts []ordinalLine
	}
	ordinalOrder struct {
		To    caps.Ref
		Lines []ordinalLine
		Extra map[string]struct{ N int64 }
	}
)

func TestAWorldNumbersMethodsAndFieldsInTheOrderInWhichItSawThem(t *testing.T) {
	type S = struct{ N int64 }
	w := runtimetest.Open(t, ordinalKind(offers[S, ordinalOrder, bool]("order"), offers[S, caps.Done, ordinalLine]("last")))
	wantOrdinals(t, w.Runtime, nil,
		"order",
		"order( To ref",
		"order( Lines []sturdy_test.ordinalLine",
		"order( Extra map[string]struct",
		"sturdy_test.ordinalLine Text string",
		"sturdy_test.ordinalLine Parts []sturdy_test.ordinalLine",
		"order(.Extra[] N int64",
		"order) - bool",
		"last",
		"last) Text string",
		"last) Parts []sturdy_test.ordinalLine",
	)
}

func TestNumbersStayWhenAKindGrows(t *testing.T) {
	type S = struct{ N int64 }
	type v1 = struct {
		To     caps.Ref
		Amount int64
	}
	type v2 = struct { // a field in the middle, and one that is no more
		Note   string
		Amount int64
	}
	type v3 = struct { // another type, and what was gone is back
		Amount string
		To     caps.Ref
	}
	w := runtimetest.Open(t, ordinalKind(offers[S, v1, bool]("pay"), offers[S, int64, caps.Done]("add")))
	list := wantOrdinals(t, w.Runtime, nil, "pay", "pay( To ref", "pay( Amount int64", "pay) - bool", "add", "add( - int64")
	w.Reopen()
	wantOrdinals(t, w.Runtime, list)
	w.Restart(ordinalKind(offers[S, string, caps.Done]("early"), offers[S, v2, int64]("pay")))
	list = wantOrdinals(t, w.Runtime, list, "early", "early( - string", "pay( Note string", "pay) - int64")
	w.Restart() // a program that does not know the kind
	wantOrdinals(t, w.Runtime, list)
	w.Restart(ordinalKind(offers[S, v3, bool]("pay"), offers[S, int64, caps.Done]("add")))
	list = wantOrdinals(t, w.Runtime, list, "pay( Amount string")
	w.Crash()
	wantOrdinals(t, w.Runtime, list)
	w.Restart(ordinalKind(offers[S, v1, bool]("pay"), offers[S, int64, caps.Done]("add"))) // back to the first program
	wantOrdinals(t, w.Runtime, list)
}

func TestNumbersStayOverVersionsOfTheState(t *testing.T) {
	type S1 = struct{ N int64 }
	type S2 = struct{ Name string }
	type S3 = struct{ Name []string }
	w := runtimetest.Open(t, ordinalKind(offers[S1, int64, bool]("first")))
	list := ordinalsOf(t, w.Runtime)
	one := func(S1) (S2, error) { return S2{}, nil }
	w.Restart(ordinalKind(offers[S2, int64, bool]("second"), offers[S2, int64, bool]("first"), sturdy.From(1, one)))
	list = wantOrdinals(t, w.Runtime, list, "second", "second( - int64", "second) - bool")
	w.Restart(ordinalKind(offers[S3, int64, bool]("third"),
		sturdy.From(1, func(S1) (S3, error) { return S3{}, nil }), sturdy.From(2, func(S2) (S3, error) { return S3{}, nil })))
	list = wantOrdinals(t, w.Runtime, list, "third", "third( - int64", "third) - bool")
	w.Restart()
	wantOrdinals(t, w.Runtime, list)
	ks, err := w.Kinds(t.Context())
	if err != nil || !slices.IsSortedFunc(ks, func(a, b sturdy.KindInfo) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("kinds are not sorted, %v", err)
	}
}

func TestAFieldThatIsRenamedWithATagKeepsItsNumber(t *testing.T) {
	type S = struct{ N int64 }
	type before = struct{ Sum int64 }
	type renamed = struct {
		Amount int64 `sturdy:"was=Sum"`
	}
	type again = struct {
		Total int64 `sturdy:"was=Amount"`
		Sum   int64 // another one
	}
	w := runtimetest.Open(t, ordinalKind(offers[S, before, caps.Done]("pay")))
	list := wantOrdinals(t, w.Runtime, nil, "pay", "pay( Sum int64")
	w.Restart(ordinalKind(offers[S, renamed, caps.Done]("pay")))
	list = wantOrdinals(t, w.Runtime, list, "pay( Amount=Sum int64")
	w.Restart(ordinalKind(offers[S, before, caps.Done]("pay"))) // back, and forth
	w.Restart(ordinalKind(offers[S, renamed, caps.Done]("pay")))
	wantOrdinals(t, w.Runtime, list)
	w.Restart(ordinalKind(offers[S, again, caps.Done]("pay")))
	list = wantOrdinals(t, w.Runtime, list, "pay( Total=Amount int64", "pay( Sum int64")
	w.Reopen()
	wantOrdinals(t, w.Runtime, list)
}

// A type that is inside itself is a struct of its own there, also if it is the argument.
func TestAnArgumentInsideItselfIsNumberedTwice(t *testing.T) {
	type S = struct{ N int64 }
	w := runtimetest.Open(t, ordinalKind(offers[S, ordinalLine, caps.Done]("add"), offers[S, caps.Done, caps.Done]("go on")))
	wantOrdinals(t, w.Runtime, nil,
		"add", "add( Text string", "add( Parts []sturdy_test.ordinalLine",
		"sturdy_test.ordinalLine Text string", "sturdy_test.ordinalLine Parts []sturdy_test.ordinalLine")
}

// Renaming a type changes no encoding of ours, but what programs elsewhere find in it.
func TestATypeThatIsRenamedIsAnotherStruct(t *testing.T) {
	type S = struct{ N int64 }
	type Line struct{ A, B int64 }
	type Row struct{ A, B int64 }
	w := runtimetest.Open(t, ordinalKind(offers[S, []Line, caps.Done]("add")))
	list := wantOrdinals(t, w.Runtime, nil, "add", "add( - []sturdy_test.Line", "sturdy_test.Line A int64", "sturdy_test.Line B int64")
	w.Restart(ordinalKind(offers[S, []Row, caps.Done]("add")))
	list = wantOrdinals(t, w.Runtime, list, "add( - []sturdy_test.Row", "sturdy_test.Row A int64", "sturdy_test.Row B int64")
	w.Restart() // the world has it, and not only the program
	wantOrdinals(t, w.Runtime, list)
}

// Worlds of before have rows without numbers. They get those of all methods that stand there,
// the older rows first, and keep them.
func TestAWorldWithoutNumbersGetsThem(t *testing.T) {
	files := objstore.NewMemory()
	o := sturdy.Options{Dir: "world", Files: files, Log: slog.New(slog.DiscardHandler)}
	reopen := func(do func(*sturdy.Runtime)) {
		t.Helper()
		rt, err := o.Open()
		if err != nil {
			t.Fatal(err)
		}
		do(rt)
		if err := rt.Close(); err != nil {
			t.Fatal(err)
		}
	}
	type S = struct{ N int64 }
	o.Kinds = []sturdy.Kind{ordinalKind(offers[S, int64, bool]("first"), offers[S, int64, bool]("second"))}
	reopen(func(*sturdy.Runtime) {})
	forget(t, files)
	o.Kinds = nil
	reopen(func(rt *sturdy.Runtime) {
		wantOrdinals(t, rt, nil, "first", "first( - int64", "first) - bool", "second", "second( - int64", "second) - bool")
	})
	o.Kinds = []sturdy.Kind{ordinalKind(offers[S, int64, bool]("third"), offers[S, int64, bool]("second"))}
	want := []string{"first", "first( - int64", "first) - bool", "second", "second( - int64", "second) - bool", "third", "third( - int64", "third) - bool"}
	reopen(func(rt *sturdy.Runtime) { wantOrdinals(t, rt, want) })
	o.Kinds = nil
	reopen(func(rt *sturdy.Runtime) { wantOrdinals(t, rt, want) })
}

// forget takes the numbers out of every kind row.
func forget(t *testing.T, files *objstore.MemoryFiles) {
	t.Helper()
	store, err := objstore.Open("world", objstore.Options{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	b := &objstore.Batch{LSN: store.Info().LSN + 1, Base: store.Info().LSN, Next: store.Info().Next}
	s := store.Snapshot()
	lo, hi := objstore.KindRange()
	found := 0
	err = s.Scan(lo, hi, func(k objstore.Key, rec objstore.Record) bool {
		var row map[string]any
		if err := msgpack.Unmarshal(rec.Body, &row); err != nil {
			t.Error(err)
		}
		if row["ordinals"] != nil {
			found++
		}
		delete(row, "ordinals")
		body, err := msgpack.Marshal(row)
		if err != nil {
			t.Error(err)
		}
		b.Put(k, objstore.Record{LSN: b.LSN, Body: body})
		return true
	})
	s.Release()
	if err != nil || found == 0 {
		t.Fatalf("%d rows with numbers, %v", found, err)
	}
	if err := store.Commit(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNumbersTravelWithADescription(t *testing.T) {
	type S = struct{ N int64 }
	grown := sturdy.Define("example.org/grown", offers[S, ordinalOrder, bool]("order"))
	w := runtimetest.Open(t, grown)
	ref, err := w.Root().Ensure(t.Context(), "x", func(t *sturdy.WriteTurn) caps.Ref { return grown.New(t, S{}) })
	if err != nil {
		t.Fatal(err)
	}
	info, err := w.Describe(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	body, err := info.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := sturdy.DecodeInfo(body)
	if err != nil || len(info.Kind.Ordinals) < 8 || !slices.Equal(back.Kind.Ordinals, info.Kind.Ordinals) {
		t.Fatalf("%q came back as %q, %v", info.Kind.Ordinals, back.Kind.Ordinals, err)
	}
}

// A stranger can say anything of an object. Types that are nested deeper than any value are
// refused before anything walks down into them.
func TestADescriptionOfBottomlessTypesIsRefused(t *testing.T) {
	for _, depth := range []int{64, 300, 9_000, 100_000} {
		s := caps.Shape{Class: "string"}
		for range depth {
			inner := s
			s = caps.Shape{Class: "list", Elem: &inner}
		}
		body, err := sturdy.ObjectInfo{Kind: sturdy.KindInfo{Methods: []sturdy.MethodInfo{{Name: "x", Arg: s}}}}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sturdy.DecodeInfo(body); (err == nil) != (depth == 64) {
			t.Errorf("a type %d deep: %v", depth, err)
		}
	}
}
