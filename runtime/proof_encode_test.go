package sturdy_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// everything is a state with all that a state can have.
type everything struct {
	B    bool
	I    int8
	J    int64
	U    uint64
	F    float32
	G    float64
	S    string
	T    time.Time
	Raw  []byte
	Arr  [3]int16
	L    []string
	M    map[string]int64
	FM   map[float64]string
	KM   map[int32][]byte
	P    *int64
	R    caps.Ref
	Rs   []caps.Ref
	V    caps.Value
	Tree branch
	Nest []struct{ A, B *branch }
}

type branch struct {
	Name string
	Kids []branch
	By   map[string]branch
}

const evAll caps.Query[everything] = "all"

func everythingKind() *sturdy.KindOf[everything] {
	return sturdy.Define("proof/everything",
		sturdy.Query(evAll, func(e *everything, _ *sturdy.ReadTurn) (everything, error) { return *e, nil }))
}

// gen makes states, the awkward ones among them.
type gen struct {
	*rand.Rand
	refs []caps.Ref
}

func (g gen) text() string {
	return []string{"", "a", "\xff\xfe", "日本", string(make([]byte, g.IntN(300))), "\x00"}[g.IntN(6)]
}

func (g gen) float() float64 {
	return []float64{0, math.Copysign(0, -1), 1.5, math.Inf(1), math.NaN(), math.MaxFloat64, g.Float64()}[g.IntN(7)]
}

func (g gen) ref() caps.Ref {
	if g.IntN(3) == 0 {
		return caps.Ref{}
	}
	return g.refs[g.IntN(len(g.refs))].Attenuate(randomRights(g.Rand))
}

func (g gen) time() time.Time {
	return []time.Time{
		{},
		time.Unix(0, 0), time.Unix(1<<40, 999_999_999), time.Date(1, 2, 3, 4, 5, 6, 7, time.FixedZone("x", 3600)),
		time.Now(), time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
	}[g.IntN(6)]
}

func (g gen) branch(depth int) (b branch) {
	b.Name = g.text()
	if depth == 0 {
		return b
	}
	if g.IntN(2) == 0 {
		b.Kids = []branch{g.branch(depth - 1)}
	} else {
		b.By = map[string]branch{g.text(): g.branch(depth - 1), "": {}}
	}
	return b
}

func (g gen) value(depth int) any {
	if depth > 0 {
		if g.IntN(2) == 0 {
			return []any{g.value(depth - 1), g.value(0)}
		}
		return map[string]any{g.text(): g.value(depth - 1)}
	}
	return []any{nil, true, int64(-7), uint64(math.MaxUint64), g.float(), g.text(), []byte(g.text()), g.time(), g.ref()}[g.IntN(9)]
}

func (g gen) everything() everything {
	n := g.Int64()
	e := everything{
		B: true, I: int8(g.Int()), J: -n, U: g.Uint64(), F: float32(g.float()), G: g.float(), S: g.text(), T: g.time(),
		Raw: []byte(g.text()), L: []string{g.text(), g.text()}, P: &n, R: g.ref(), Rs: []caps.Ref{g.ref(), g.ref()},
		M: map[string]int64{g.text(): n, g.text(): 1}, KM: map[int32][]byte{int32(n): nil, 1: {}},
		Tree: g.branch(g.IntN(36)), // about 32 is as deep as it goes
	}
	if g.IntN(3) == 0 {
		e.FM = map[float64]string{g.float(): g.text()}
	}
	if v, err := caps.ValueOf(g.value([]int{0, 3, 60, 62, 63, 64}[g.IntN(6)])); err == nil {
		e.V = v
	}
	if g.IntN(4) == 0 {
		e.L = make([]string, []int{0, 70_000, 400_000}[g.IntN(3)])
	}
	shared := g.branch(1)
	for range g.IntN(4) {
		e.Nest = append(e.Nest, struct{ A, B *branch }{&shared, &shared})
	}
	return e
}

// FuzzWhatIsSealedCanBeStored: a turn that has committed has been encoded, and what comes
// back from the disk is what was committed. What cannot be stored is refused before.
func FuzzWhatIsSealedCanBeStored(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	kind := everythingKind()
	w := unchecked(f, kind)
	ctx := f.Context()
	var held [2]caps.Ref
	must(f, w.Update(ctx, func(tn *sturdy.WriteTurn) error {
		held = [2]caps.Ref{kind.New(tn, everything{}), kind.New(tn, everything{})}
		return nil
	}))
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := gen{rand.New(rand.NewPCG(seed, 7)), held[:]}
		state := g.everything()
		var ref caps.Ref
		err := w.Update(sturdy.Relaxed(ctx), func(tn *sturdy.WriteTurn) error { ref = kind.New(tn, state); return nil })
		if err != nil {
			return // refused, and the next one must find the world in order
		}
		before, err := w.State(sturdy.Relaxed(ctx), ref)
		must(t, err)
		must(t, w.Sync(ctx))
		w.Evict()
		after, err := w.State(ctx, ref)
		must(t, err)
		if before.String() != after.String() {
			t.Errorf("stored as\n%.500s\nand loaded as\n%.500s", before, after)
		}
		if _, err := evAll.Call(ctx, ref); err != nil {
			t.Error(err)
		}
	})
}

func TestTheFuzzedStatesAreBothStoredAndRefused(t *testing.T) {
	kind := everythingKind()
	w := unchecked(t, kind)
	var stored, refused int
	for seed := range uint64(60) {
		err := w.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
			held := []caps.Ref{kind.New(tn, everything{})}
			kind.New(tn, gen{rand.New(rand.NewPCG(seed, 7)), held}.everything())
			return nil
		})
		if err == nil {
			stored++
		} else {
			refused++
		}
	}
	if stored < 10 || refused < 5 {
		t.Errorf("%d were stored and %d refused", stored, refused)
	}
	w.Crash()
	for ref, err := range w.Objects(t.Context()) {
		must(t, err)
		_, err = w.State(t.Context(), ref)
		must(t, err)
	}
}
