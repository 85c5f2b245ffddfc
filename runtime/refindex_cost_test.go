package sturdy

import (
	"fmt"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

type purse struct{ Items []caps.Ref }

// indexing is the work of the flusher on one object with n references whose state is written
// anew; change is what is done to it.
func indexing(tb testing.TB, n int, change func(*purse)) (run func()) {
	kind := Define[purse]("proof/purse")
	rt, err := Options{Kinds: []Kind{kind}}.Open()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = rt.Close() })
	var ref caps.Ref
	err = rt.Update(tb.Context(), func(t *WriteTurn) error {
		var p purse
		for range n {
			p.Items = append(p.Items, kind.New(t, purse{}))
		}
		ref = kind.New(t, p)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	v := rt.vat
	h, _, _ := rt.open(ref)
	old := h.cur.Load()
	w, err := old.kind.def.clone(old)
	if err != nil {
		tb.Fatal(err)
	}
	change((*purse)(w.state))
	c := &taken{base: v.snaps.durable.Load().lsn}
	_, c.refs = w.kind.def.codec.Append(nil, nil, w.state)
	c.slots = rt.slots(nil, c.refs)
	b := &objstore.Batch{}
	v.index.begin(v)
	return func() {
		*b = objstore.Batch{}
		v.indexState(b, c, h, w)
	}
}

func TestReferencesThatStayCostTheIndexNothing(t *testing.T) {
	for _, n := range []int{0, 4, 1000} {
		if got := testing.AllocsPerRun(100, indexing(t, n, func(*purse) {})); got != 0 {
			t.Errorf("%d references: %v allocations", n, got)
		}
	}
}

// BenchmarkIndexState is what the index costs the flusher for one object that was written.
func BenchmarkIndexState(b *testing.B) {
	for _, n := range []int{4, 1000, 100_000} {
		b.Run(fmt.Sprintf("%d that stay", n), func(b *testing.B) {
			run := indexing(b, n, func(*purse) {})
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
		b.Run(fmt.Sprintf("1 of %d changes", n), func(b *testing.B) {
			run := indexing(b, n, func(p *purse) { p.Items[n/2] = p.Items[0] })
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
