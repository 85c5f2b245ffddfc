package caps

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// seed makes a failed run of the generated tests repeatable: go test -seed N.
var seed = flag.Uint64("seed", 0, "of generated types and values; 0: a new one")

// thing is a Target with a name.
type thing struct{ name string }

func (*thing) Deliver(context.Context, Ref, Message) (Reply, error) { return Reply{}, nil }

func (t *thing) String() string { return t.name }

// Types that reflect cannot make, for the generator to choose from.
type (
	Cents       int64
	Label       string
	Digest      [20]byte
	Blob        []byte
	Account     struct{ Ref }
	Typed       struct{ Account }
	List[V any] struct{ Ref }
	Tree        struct {
		Name string
		Kids []Tree
		By   map[string]Tree
	}
	Nested []Nested
	Cached struct {
		N     int
		Memo  map[string]int `sturdy:"transient"`
		Fresh func()         `sturdy:"transient"`
		Last  any            `sturdy:"transient"`
		Names [2]string      `sturdy:"transient"`
		inner struct {
			a  *int
			ok bool
		} `sturdy:"transient"`
	}
	Order struct {
		Owner string
		Lines []Line
		To    Account
		At    time.Time
		Note  *string
		Extra Value
	}
	Line struct {
		Item  string
		Count int32
		Price Cents
	}
	Empty struct{}
)

// gen makes types and values from a seed.
type gen struct {
	*rand.Rand
	maker *Maker
}

func newGen(seed uint64) *gen { return &gen{rand.New(rand.NewPCG(seed, 1)), NewMaker()} }

var leaves = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](),
	reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](),
	reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[float32](),
	reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[Cents](), reflect.TypeFor[Label](),
	reflect.TypeFor[time.Duration](),
	// above: what map keys can be
	reflect.TypeFor[time.Time](), reflect.TypeFor[Ref](), reflect.TypeFor[Account](), reflect.TypeFor[Typed](),
	reflect.TypeFor[List[int]](), reflect.TypeFor[[]byte](), reflect.TypeFor[Blob](), reflect.TypeFor[Digest](),
	reflect.TypeFor[Value](), reflect.TypeFor[Done](), reflect.TypeFor[Tree](), reflect.TypeFor[Nested](),
	reflect.TypeFor[Cached](), reflect.TypeFor[Order](),
}

const keyLeaves = 17

func (g *gen) typ(depth int) reflect.Type {
	if depth == 0 || g.IntN(3) == 0 {
		return leaves[g.IntN(len(leaves))]
	}
	switch g.IntN(5) {
	case 0:
		return reflect.SliceOf(g.typ(depth - 1))
	case 1:
		return reflect.ArrayOf(g.IntN(4), g.typ(depth-1))
	case 2:
		return reflect.MapOf(leaves[g.IntN(keyLeaves)], g.typ(depth-1))
	case 3:
		return g.pointer(depth)
	default:
		return g.structType(depth)
	}
}

func (g *gen) pointer(depth int) reflect.Type {
	t := g.typ(depth - 1)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return t
	}
	if isRef(t) || t == valueType {
		return t
	}
	return reflect.PointerTo(t)
}

func (g *gen) structType(depth int) reflect.Type {
	fields := make([]reflect.StructField, g.IntN(6))
	for i := range fields {
		fields[i] = reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: g.typ(depth - 1)}
		if g.IntN(10) == 0 {
			fields[i].Tag = `sturdy:"transient"`
		}
	}
	return reflect.StructOf(fields)
}

// value makes a random value of t, its transient fields zero.
func (g *gen) value(t reflect.Type, depth int) reflect.Value {
	v := reflect.New(t).Elem()
	g.fill(v, depth)
	return v
}

func (g *gen) count(depth int) int {
	if depth <= 0 {
		return 0
	}
	if g.IntN(20) == 0 && depth > 2 {
		return 15 + g.IntN(20)
	}
	return g.IntN(4)
}

func (g *gen) fill(v reflect.Value, depth int) {
	t := v.Type()
	switch {
	case t == timeType:
		v.Set(reflect.ValueOf(g.time()))
		return
	case t == valueType:
		v.Set(reflect.ValueOf(g.any(depth)))
		return
	case t == refType:
		v.Set(reflect.ValueOf(g.ref()))
		return
	}
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(g.int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(g.int()))
	case reflect.Float32:
		v.SetFloat(float64(float32(g.NormFloat64())))
	case reflect.Float64:
		v.SetFloat([]float64{g.NormFloat64(), math.Inf(1), math.Copysign(0, -1), 3, math.MaxFloat64}[g.IntN(5)])
	case reflect.String:
		v.SetString(g.string())
	case reflect.Slice:
		if g.IntN(5) > 0 {
			v.Set(reflect.MakeSlice(t, g.count(depth), 40))
			g.elems(v, depth-1)
		}
	case reflect.Array:
		g.elems(v, depth-1)
	case reflect.Map:
		if g.IntN(5) > 0 {
			v.Set(reflect.MakeMap(t))
			for range g.count(depth) {
				v.SetMapIndex(g.value(t.Key(), 0), g.value(t.Elem(), depth-1))
			}
		}
	case reflect.Pointer:
		if g.IntN(4) > 0 {
			v.Set(g.value(t.Elem(), depth-1).Addr())
		}
	case reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).Tag == "" {
				g.fill(v.Field(i), depth-1)
			}
		}
	default:
		panic(t.String())
	}
}

func (g *gen) elems(v reflect.Value, depth int) {
	for i := range v.Len() {
		g.fill(v.Index(i), depth)
	}
}

func (g *gen) int() int64 { return int64(g.Uint64()) >> g.IntN(64) }

func (g *gen) string() string {
	switch g.IntN(8) {
	case 0:
		return ""
	case 1:
		return "\xff\xfe"
	case 2:
		return string(make([]byte, 20+g.IntN(300)))
	default:
		return fmt.Sprintf("grüße %d", g.IntN(1000))
	}
}

func (g *gen) time() time.Time {
	return []time.Time{
		{},
		time.Unix(int64(g.Uint32()), 0), time.Unix(int64(g.Uint32()), int64(g.IntN(1e9))),
		time.Unix(-int64(g.Uint32()), 5), time.Unix(1<<40, 999_999_999),
	}[g.IntN(5)].UTC()
}

func (g *gen) ref() Ref {
	if g.IntN(4) == 0 {
		return Ref{}
	}
	r := g.maker.Make(&thing{fmt.Sprint("thing ", g.IntN(100))}, Full())
	return r.Attenuate(Rights(g.IntN(16)))
}

// any makes a Value. Strings are valid, as others come back as bytes.
func (g *gen) any(depth int) Value {
	switch n := g.IntN(12); {
	case n == 0:
		return Value{}
	case n == 1:
		return Value{true}
	case n == 2:
		return Value{g.int()}
	case n == 3:
		return Value{uint64(math.MaxUint64 - g.Uint64N(1000))}
	case n == 4:
		return Value{g.NormFloat64()}
	case n == 5:
		return Value{[]byte(g.string())}
	case n == 6:
		return Value{g.time()}
	case n == 7:
		if r := g.ref(); !r.IsNull() {
			return Value{r}
		}
		return Value{}
	case n < 10 && depth > 0:
		list := make([]Value, g.count(depth))
		for i := range list {
			list[i] = g.any(depth - 1)
		}
		return Value{list}
	case n < 12 && depth > 0:
		list := make([]Entry, g.count(depth))
		for i := range list {
			list[i] = Entry{Value{[]any{int64(i), float64(i), fmt.Sprint(i)}[g.IntN(3)]}, g.any(depth - 1)}
		}
		return Value{list}
	default:
		return Value{fmt.Sprint("text ", g.IntN(100))}
	}
}

// eachGenerated calls test with generated types and values. The text of a failure says how
// to repeat it.
func eachGenerated(t *testing.T, test func(t *testing.T, g *gen, c *Codec, v reflect.Value)) {
	t.Helper()
	first, count := *seed, 1
	if first == 0 {
		first, count = uint64(time.Now().UnixNano()), 400
	}
	for i := range count {
		s := first + uint64(i)
		g := newGen(s)
		typ := g.typ(4)
		c, err := CodecFor(typ)
		if err != nil {
			t.Fatalf("-seed %d: %s: %v", s, typ, err)
		}
		for range 5 {
			v := g.value(typ, 5)
			if test(t, g, c, v); t.Failed() {
				t.Fatalf("repeat with -seed %d: %s %#v", s, typ, v)
			}
		}
	}
}
