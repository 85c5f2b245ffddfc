package sturdy_test

import (
	"errors"
	goruntime "runtime"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// leaker is a kind that tries to hand out more authority than it was asked with.
type leaker struct{ N int64 }

const (
	boom      caps.Action       = "boom"
	failSelf  caps.Query[int64] = "fail"
	touchLeak caps.Action       = "touch"
)

// selfError is an error that carries a capability.
type selfError struct{ ref caps.Ref }

func (selfError) Error() string { return "here, take this" }

var leakerKind = sturdy.Define("proof/leaker",
	sturdy.Action(boom, func(*leaker, *sturdy.ReadTurn) error { panic("boom") }),
	sturdy.Query(failSelf, func(_ *leaker, t *sturdy.ReadTurn) (int64, error) { return 0, selfError{t.Self()} }),
	sturdy.Action(touchLeak, func(l *leaker, _ *sturdy.WriteTurn) error { l.N++; return nil }),
)

func TestWhoSwallowsAPanicIsNotTakenForWhoPanicked(t *testing.T) {
	w := runtimetest.Open(t, leakerKind)
	ref, err := w.Root().Ensure(t.Context(), "l", func(t *sturdy.WriteTurn) caps.Ref { return leakerKind.New(t, leaker{}) })
	if err != nil {
		t.Fatal(err)
	}
	deep := ref.Attenuate(caps.Read)
	var leak caps.Ref
	err = w.Update(t.Context(), func(t *sturdy.WriteTurn) error {
		func() {
			defer func() { _ = recover() }()
			_ = boom.Call(t, deep)
		}()
		leak = t.Self()
		return nil
	})
	if !errors.Is(err, sturdy.ErrTurnShared) {
		t.Errorf("the turn whose panic was swallowed: %v", err)
	}
	if !leak.IsNull() {
		t.Errorf("the caller became %v", leak)
	}
}

func TestAnErrorCarriesNoCapabilityThroughADeepRef(t *testing.T) {
	w := runtimetest.Open(t, leakerKind)
	ref, err := w.Root().Ensure(t.Context(), "l", func(t *sturdy.WriteTurn) caps.Ref { return leakerKind.New(t, leaker{}) })
	if err != nil {
		t.Fatal(err)
	}
	err = w.View(t.Context(), func(t *sturdy.ReadTurn) error {
		_, err := failSelf.Call(t, ref.Attenuate(caps.Read))
		return err
	})
	var leaked selfError
	if errors.As(err, &leaked) {
		t.Errorf("an error brought %v out", leaked.ref)
	}
}

func TestAResultOfAnotherTypeIsSaidToHaveHappened(t *testing.T) {
	w := runtimetest.Open(t, counterKind)
	hits, err := w.Root().Ensure(t.Context(), "hits", newCounter)
	if err != nil {
		t.Fatal(err)
	}
	const add caps.Method[int64, string] = "add"
	if _, err := add.Call(t.Context(), hits, 5); !errors.Is(err, caps.ErrBadResult) {
		t.Errorf("a result of another type: %v", err)
	}
	if n, err := counterGet.Call(t.Context(), hits); n != 5 || err != nil {
		t.Errorf("the counter stands at %d, %v", n, err)
	}
}

func TestALargeStateDoesNotSetTheSizeOfTheNextGroup(t *testing.T) {
	w := runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{blobKind, counterKind}})
	ctx := t.Context()
	if _, err := w.Root().Ensure(ctx, "blob", func(t *sturdy.WriteTurn) caps.Ref {
		return blobKind.New(t, blob{Data: make([]byte, 900<<10)})
	}); err != nil {
		t.Fatal(err)
	}
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	err := w.Update(ctx, func(t *sturdy.WriteTurn) error {
		for range 50_000 {
			newCounter(t)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	goruntime.ReadMemStats(&after)
	if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 1024 {
		t.Errorf("50,000 small objects took %d MiB", mib)
	}
}

func TestSyncTellsWhatAFullDiskHasTakenFromRelaxedTurns(t *testing.T) {
	w, ctx := unchecked(t, accountKind), t.Context()
	ref := accounts(t, w, 1, 10)[0]
	fillUp(w)
	if _, err := acAdd.Call(sturdy.Relaxed(ctx), ref, 1); err != nil {
		t.Fatal(err)
	}
	_, err := acAdd.Call(ctx, ref, 1) // its group takes the Relaxed turn with it
	wants(t, err, sturdy.ErrDiskFull)
	w.Disk().Hook(nil)
	wants(t, w.Sync(ctx), sturdy.ErrDiskFull)
	must(t, w.Sync(ctx)) // told once
	holds(t, ctx, ref, 10)
}

type blob struct{ Data []byte }

var blobKind = sturdy.Define("proof/blob", sturdy.Query(counterGet, func(b *blob, _ *sturdy.ReadTurn) (int64, error) {
	return int64(len(b.Data)), nil
}))

func TestANullReferenceCannotStandUnderAName(t *testing.T) {
	w := runtimetest.Open(t)
	if err := w.Root().Put(t.Context(), "nothing", caps.Ref{}); !errors.Is(err, caps.ErrBadArgument) {
		t.Errorf("put of null: %v", err)
	}
}

func TestANilKindIsAFaultThatOpenReports(t *testing.T) {
	if _, err := (sturdy.Options{Kinds: []sturdy.Kind{nil}}).Open(); err == nil {
		t.Error("a nil kind was taken")
	}
}

func TestACollectionOpenedWithNarrowerKeysGivesNone(t *testing.T) {
	w := runtimetest.Open(t)
	err := w.Update(t.Context(), func(t *sturdy.WriteTurn) error {
		m := sturdy.NewMap[int64, string](t)
		m.Put(t, 300, "three hundred")
		for k := range sturdy.Map[int8, string](m).All(t) {
			panic(k)
		}
		return nil
	})
	if !errors.Is(err, caps.ErrDamaged) {
		t.Errorf("keys that do not fit: %v", err)
	}
}
