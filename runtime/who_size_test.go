package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// crowd is a world in which many references are held to one object and as many to others,
// and a grant with few below it.
type crowd struct {
	rt    *sturdy.Runtime
	loved caps.Ref
	small sturdy.Grant
}

func newCrowd(t testing.TB, rt *sturdy.Runtime, n int) *crowd {
	c := &crowd{rt: rt}
	var list sturdy.List[caps.Ref]
	must(t, rt.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		c.loved, list = accountKind.New(tn, account{}), sturdy.NewList[caps.Ref](tn)
		var shared caps.Ref
		shared, c.small = tn.Grant(c.loved, caps.Terms{For: "few"})
		below, _ := tn.Grant(shared, caps.Terms{For: "fewer"})
		return errors.Join(rt.Root().Put(tn, "list", list.Ref), rt.Root().Put(tn, "shared", shared), rt.Root().Put(tn, "below", below))
	}))
	for lo := 0; lo < n; lo += 10_000 {
		must(t, rt.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
			for range min(10_000, n-lo) {
				list.Append(tn, c.loved)
				list.Append(tn, accountKind.New(tn, account{}))
			}
			return nil
		}))
	}
	return c
}

// few is what a page costs at most, in allocations; each row of the index is several.
const few = 8_000

func TestQuestionsDoNotReadTheWorld(t *testing.T) {
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{accountKind}}.Open()
	must(t, err)
	defer rt.Close()
	c := newCrowd(t, rt, 20_000)
	for what, ask := range map[string]func() int{
		"the first holders": func() (n int) {
			for range rt.Holders(t.Context(), c.loved) {
				if n++; n == 100 {
					break
				}
			}
			return n - 97
		},
		"what a grant breaks": func() (n int) {
			for range rt.Breaks(t.Context(), c.small) {
				n++
			}
			return n
		},
		"every grant": func() (n int) {
			for range rt.Grants(t.Context(), caps.Ref{}) {
				n++
			}
			return n + 1
		},
	} {
		found := 0
		if cost := testing.AllocsPerRun(1, func() { found = ask() }); found != 3 || cost > few {
			t.Errorf("%s: %d found, %v allocations", what, found, cost)
		}
	}
}

func TestASearchThatGoesTooFarEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes 100,000 objects")
	}
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{pouchKind, accountKind}}.Open()
	must(t, err)
	defer rt.Close()
	var x caps.Ref
	for i := range 11 {
		must(t, rt.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
			if i == 0 {
				x = accountKind.New(tn, account{})
			}
			for range 10_000 {
				pouchKind.New(tn, pouch{Items: []caps.Ref{x}})
			}
			return nil
		}))
	}
	if path, err := rt.PathTo(t.Context(), x); !errors.Is(err, sturdy.ErrTooLarge) {
		t.Errorf("%v, %v", path, err)
	}
}

// BenchmarkWho asks in a world with two million references, of which one million are to one
// object.
func BenchmarkWho(b *testing.B) {
	rt, err := sturdy.Options{Dir: b.TempDir() + "/world", Kinds: []sturdy.Kind{accountKind}}.Open()
	must(b, err)
	defer rt.Close()
	c := newCrowd(b, rt, 1_000_000)
	b.Run("Holders/first page", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for range rt.Holders(b.Context(), c.loved) {
				if n++; n == 200 {
					break
				}
			}
		}
	})
	b.Run("Holders/all", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for range rt.Holders(b.Context(), c.loved) {
				n++
			}
			b.ReportMetric(float64(n), "holders")
		}
	})
	b.Run("Breaks", func(b *testing.B) {
		for b.Loop() {
			for range rt.Breaks(b.Context(), c.small) {
				continue
			}
		}
	})
	b.Run("PathTo", func(b *testing.B) {
		for b.Loop() {
			_, err := rt.PathTo(b.Context(), c.loved)
			must(b, err)
		}
	})
}

// BenchmarkIndex is the update of an object, on a disk in memory, whose syncs cost nothing:
// one without references, one with four or a thousand that stay or of which one changes.
func BenchmarkIndex(b *testing.B) {
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{pouchKind, accountKind}}.Open()
	must(b, err)
	defer rt.Close()
	var flat, four, thousand caps.Ref
	var others [8]caps.Ref
	must(b, rt.Update(b.Context(), func(t *sturdy.WriteTurn) error {
		flat = accountKind.New(t, account{})
		for i := range others {
			others[i] = accountKind.New(t, account{})
		}
		four = pouchKind.New(t, pouch{Items: others[:4]})
		thousand = pouchKind.New(t, pouch{Items: make([]caps.Ref, 1000)})
		for i := range int64(1000) {
			if err := poChange.Call(t, thousand, pouchChange{How: "set", At: i, Ref: accountKind.New(t, account{})}); err != nil {
				return err
			}
		}
		return nil
	}))
	i := int64(0)
	for _, c := range []struct {
		name string
		call func(context.Context) error
	}{
		{"no references", func(ctx context.Context) error { _, err := acAdd.Call(ctx, flat, 1); return err }},
		{"4 that stay", func(ctx context.Context) error { return poChange.Call(ctx, four, pouchChange{How: "renote", At: i}) }},
		{"1 of 4 changes", func(ctx context.Context) error {
			return poChange.Call(ctx, four, pouchChange{How: "set", At: i, Ref: others[i%8]})
		}},
		{"1000 that stay", func(ctx context.Context) error {
			return poChange.Call(ctx, thousand, pouchChange{How: "renote", At: i})
		}},
		{"1 of 1000 changes", func(ctx context.Context) error {
			return poChange.Call(ctx, thousand, pouchChange{How: "set", At: i, Ref: others[i%8]})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				i++
				if err := c.call(b.Context()); err != nil {
					b.Fatal(fmt.Errorf("%d: %w", i, err))
				}
			}
		})
	}
}
