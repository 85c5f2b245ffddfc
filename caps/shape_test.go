package caps

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

func shape[T any](t testing.TB) Shape { return plan[T](t).Shape() }

func TestShapesReadLikeGo(t *testing.T) {
	for want, s := range map[string]Shape{
		"struct{Item string; Count int32; Price int64}":                  shape[Line](t),
		"struct{Name string; Kids []caps.Tree; By map[string]caps.Tree}": shape[Tree](t),
		"[]caps.Nested":       shape[Nested](t),
		"struct{N int64}":     shape[Cached](t),
		"map[uint64]*[2]time": shape[map[uint]*[2]time.Time](t),
		"struct{R ref; B bytes; D [20]byte; V value; E done; F float32}": shape[struct {
			R List[int]
			B Blob
			D Digest
			V Value
			E Empty
			F float32
		}](t),
	} {
		if s.String() != want {
			t.Errorf("%s, want %s", s, want)
		}
	}
	if s := shape[Line](t); s.Name != "caps.Line" || s.Fields[2].Shape.Name != "caps.Cents" || s.Fields[0].Shape.Name != "" {
		t.Errorf("%+v", s)
	}
	if s := shape[List[Cents]](t); s.Name != "caps.List[caps.Cents]" {
		t.Error(s.Name)
	}
}

func TestShapesSurviveBeingStored(t *testing.T) {
	for _, typ := range targets {
		c, _ := CodecFor(typ)
		b, err := msgpack.Marshal(c.Shape())
		check(err)
		var back Shape
		check(msgpack.Unmarshal(b, &back))
		if !reflect.DeepEqual(back, c.Shape()) || !back.Same(c.Shape()) {
			t.Errorf("%v became %v", c.Shape(), back)
		}
	}
}

// Two names for one recursive type, and one that recurses to another place.
type (
	Branch struct {
		Name string
		Kids []Branch
		By   map[string]Branch
	}
	Row   []Cell
	Cell  struct{ Rows []Row }
	Line2 []Cell2
	Cell2 struct{ Rows []Cell2 }
)

func TestSameIsAboutEncodings(t *testing.T) {
	same := []([2]Shape){
		{shape[int](t), shape[Cents](t)},
		{shape[Ref](t), shape[List[int]](t)},
		{shape[Tree](t), shape[Branch](t)},
		{shape[struct{ A, B int }](t), shape[struct{ B, A int64 }](t)},
		{shape[Done](t), shape[Empty](t)},
		{shape[[]byte](t), shape[Blob](t)},
	}
	for _, p := range same {
		if !p[0].Same(p[1]) || !p[1].Same(p[0]) {
			t.Errorf("%v and %v: %v", p[0], p[1], p[0].Diff(p[1]))
		}
	}
	for _, p := range []([2]Shape){
		{shape[int](t), shape[int32](t)},
		{shape[int](t), shape[uint](t)},
		{shape[[]int](t), shape[[2]int](t)},
		{shape[[3]int](t), shape[[2]int](t)},
		{shape[[3]byte](t), shape[[2]byte](t)},
		{shape[[0]byte](t), shape[[]byte](t)},
		{shape[map[int]int](t), shape[map[string]int](t)},
		{shape[map[int]int](t), shape[map[int]string](t)},
		{shape[*int](t), shape[int](t)},
		{shape[struct{ A int }](t), shape[Done](t)},
		{shape[struct{ A int }](t), shape[struct{ B int }](t)},
		{shape[Row](t), shape[Line2](t)},
		{shape[Value](t), shape[int](t)},
	} {
		if p[0].Same(p[1]) || p[1].Same(p[0]) {
			t.Errorf("%v and %v are the same", p[0], p[1])
		}
	}
}

func TestDiffSaysWhatBreaks(t *testing.T) {
	type V1 struct {
		Name    string
		Balance float64
		Small   int8
		Gone    []int
		Items   []struct{ Price int32 }
		Ok      bool
		Any     string
	}
	type V2 struct {
		Title   string `sturdy:"was=Name"`
		Balance Cents
		Small   int
		Items   []struct {
			Price int64
			Note  string
		}
		Ok  *bool
		Any Value
		New time.Time
	}
	want := []Change{
		{"Title", "field Name, which is now Title", false},
		{"Balance", "Balance float64; the program has Balance caps.Cents (int64)", true},
		{"Small", "Small int8; the program has Small int64", false},
		{"Items[].Price", "Items[].Price int32; the program has Items[].Price int64", false},
		{"Items[].Note", "no field Items[].Note, which the program has", false},
		{"Ok", "Ok bool, which is now optional", false},
		{"Any", "Any string; the program has Any value", false},
		{"New", "no field New, which the program has", false},
		{"Gone", "field Gone, the program does not; its values would be dropped", true},
	}
	got := shape[V1](t).Diff(shape[V2](t))
	if !slices.Equal(got, want) {
		for _, c := range got {
			t.Errorf("%+v", c)
		}
	}
	if got := shape[int](t).Diff(shape[string](t)); !slices.Equal(got, []Change{{"", "int64; the program has string", true}}) {
		t.Error(got)
	}
}

// What Diff calls harmless loads; the twin of the claim is to try it on generated values.
func TestHarmlessChangesLoad(t *testing.T) {
	tried := 0
	eachGenerated(t, func(t *testing.T, g *gen, c *Codec, v reflect.Value) {
		later, err := CodecFor(g.later(c.Type()))
		check(err)
		changes := c.Shape().Diff(later.Shape())
		if slices.ContainsFunc(changes, func(c Change) bool { return c.Breaks }) {
			return
		}
		tried++
		body, slots := c.Append(nil, nil, pointer(v))
		p := reflect.New(later.Type())
		if err := later.Load(p.UnsafePointer(), body, slots); err != nil {
			t.Errorf("%s to %s, %v: %v", c.Type(), later.Type(), changes, err)
		}
	})
	t.Log(tried, "values")
}

// later is t after somebody worked on it.
func (g *gen) later(t reflect.Type) reflect.Type {
	if g.IntN(8) == 0 {
		return g.typ(1)
	}
	switch t.Kind() {
	case reflect.Int8, reflect.Uint8, reflect.Float32, reflect.Int32, reflect.Int64:
		return leaves[g.IntN(keyLeaves)]
	case reflect.Slice:
		if t.Name() == "" {
			return reflect.SliceOf(g.later(t.Elem()))
		}
	case reflect.Map:
		return reflect.MapOf(t.Key(), g.later(t.Elem()))
	case reflect.Struct:
		if t.Name() == "" {
			var fields []reflect.StructField
			for i := range t.NumField() {
				f := t.Field(i)
				f.Offset, f.Index, f.Type = 0, nil, g.later(f.Type)
				fields = append(fields, f)
			}
			return reflect.StructOf(append(fields, reflect.StructField{Name: "New", Type: g.typ(1)}))
		}
	}
	return t
}
