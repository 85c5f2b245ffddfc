package console

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

var seed = flag.Uint64("seed", 0, "of the random values; 0: another each time")

// random makes Values of every sort.
type random struct {
	*rand.Rand
	ref caps.Ref
}

func newRandom(t *testing.T, ref caps.Ref) random {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("-seed=%d", n)
	return random{rand.New(rand.NewPCG(n, 1)), ref}
}

func (r random) any(depth int) any {
	switch n := r.IntN(13); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n < 4:
		return int64(r.Uint64()) >> r.IntN(64)
	case n == 4:
		return r.Uint64()
	case n == 5:
		return float64(r.IntN(1000)) / 8
	case n == 6:
		return r.text()
	case n == 7:
		return []byte(r.text())
	case n == 8:
		return time.Unix(r.Int64N(1<<35), r.Int64N(1e9))
	case n == 9:
		return r.ref
	case depth > 3:
		return r.text()
	case n == 10:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = r.any(depth + 1)
		}
		return list
	case n == 11:
		return r.entries(depth, "Field%d")
	}
	return r.entries(depth, "key %d")
}

func (r random) entries(depth int, name string) []caps.Entry {
	list := []caps.Entry{}
	for i := range r.IntN(4) {
		list = append(list, caps.Entry{Key: textValue(fmt.Sprintf(name, i)), Val: must(caps.ValueOf(r.any(depth + 1)))})
	}
	return list
}

func (r random) text() string {
	b := make([]byte, r.IntN(12))
	for i := range b {
		b[i] = byte(r.IntN(0x80))
	}
	return string(b)
}

func must(v caps.Value, err error) caps.Value {
	if err != nil {
		panic(err)
	}
	return v
}

func TestWhatComesOutOfTheWorldGoesBackTheSame(t *testing.T) {
	s, _ := begin(t, Options{})
	r := newRandom(t, s.Runtime.Root().Ref)
	for range 5000 {
		v := must(caps.ValueOf(r.any(0)))
		x := s.fromValue(v, anything())
		back, err := toValue(x, anything(), "x")
		if err != nil || !same(v, back) {
			t.Fatalf("%s\nbecame %s\nand then %s, %v", v, repr(x, 1000), back, err)
		}
	}
}

// same compares what two Values hold.
func same(a, b caps.Value) bool {
	switch x := a.Any().(type) {
	case []byte:
		y, ok := b.Any().([]byte)
		return ok && bytes.Equal(x, y)
	case []caps.Value:
		y, ok := b.Any().([]caps.Value)
		return ok && slices.EqualFunc(x, y, same)
	case []caps.Entry:
		y, ok := b.Any().([]caps.Entry)
		return ok && slices.EqualFunc(x, y, func(e, f caps.Entry) bool { return same(e.Key, f.Key) && same(e.Val, f.Val) })
	}
	return a.Any() == b.Any()
}

func TestTwoKeysThatAreOneToStarlarkBothSurvive(t *testing.T) {
	s, _ := begin(t, Options{})
	v := must(caps.ValueOf([]caps.Entry{
		{Key: must(caps.ValueOf(1)), Val: textValue("int")},
		{Key: must(caps.ValueOf(1.0)), Val: textValue("float")},
	}))
	if got := repr(s.fromValue(v, anything()), 100); got != `[(1, "int"), (1.0, "float")]` {
		t.Error(got)
	}
}

func TestAWrongArgumentIsNamed(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	for call, want := range map[string]string{
		"store(1, 2)":                        "to: it wants ref, not the int 1",
		"store(root, 2, 3)":                  "note: it wants string, not the int 3",
		"store(root, 2.0)":                   "grams: 2.0 is a float and it wants an int64",
		"store(root, 1 << 70)":               "grams: 1180591620717411303424 has more than 64 bits",
		"store(root, True)":                  "grams: it wants int64, not the bool True",
		`store(notes=["a", 2])`:              "notes[1]: it wants string, not the int 2",
		"store(notes=range(1 << 40))":        "notes[0]: it wants string",
		"store(1, 2, 3, 4, 5)":               "it takes to, grams, note, notes; there are 5",
		"store(root, to=root)":               "to is given twice",
		"store(gramms=1)":                    "it has no argument gramms; grams?",
		"store(weight=1)":                    "it has no argument weight; it takes to, grams, note, notes",
		"weigh(1)":                           "it takes no arguments; there are 1",
		"keep()":                             "it takes value",
		"keep(lambda: 1)":                    "value: a function cannot be stored or sent",
		"keep(range(1 << 40))":               "more than 1048576 elements",
		"keep([{1: lambda: 1}])":             "value[0][1]: a function cannot be stored or sent",
		"keep({(1,): 1})":                    "as a map key",
		"store(s.store(None, 1, '', []), 2)": "to: it wants ref, not the struct",
		"store({'grams': 1})":                "to: it wants ref, not the dict",
		"nothing()":                          "shelf has no method nothing; it has   r: weigh()   w: store(to, grams, note, notes) clear() keep(value)",
		"wiegh()":                            "shelf has no method wiegh; weigh()?",
		`attenuate("q")`:                     `rights are letters of "rwx"`,
		"store(None, 1, '', []).missing":     "it has no field missing; it has to, grams, note, notes",
	} {
		run(t, s, out, "s = root.shelf")
		err := s.Run(t.Context(), "test", "s."+call)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", call, err, want)
		}
	}
}

func TestAFieldThatIsNotGivenIsNotZero(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	for call, want := range map[string]string{
		"store(grams=5)":              "shelf.store: to, note, notes: not given; it takes to, grams, note, notes",
		"store()":                     "shelf.store: to, grams, note, notes: not given",
		"send.store(root, 5, '')":     "shelf.store: notes: not given",
		"store(notes=[1])":            "notes[0]: it wants string", // what is wrong comes before what is not there
		"store(None, 5, '', [])":      "",
		"send.store(None, 5, '', [])": "",
	} {
		err := s.Run(t.Context(), "test", "root.shelf."+call)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want %q", call, err, want)
		}
	}
	if got := run(t, s, out, "root.shelf.weigh()"); got != "2\n" {
		t.Errorf("stored %s", got)
	}
	of := caps.Shape{Class: "string"}
	shape := caps.Shape{Class: "struct", Fields: []caps.Field{{Name: "A", Shape: of}, {Name: "B", Shape: of}, {Name: "C", Shape: caps.Shape{Class: "optional", Elem: &of}}}}
	if _, err := toValue(newRecord("A", starlark.String("a")), shape, "p"); err == nil || err.Error() != "p: without b" {
		t.Error(err)
	}
	if _, err := toValue(newRecord("A", starlark.String("a"), "B", starlark.String("b")), shape, "p"); err != nil {
		t.Error(err)
	}
	ps := caps.Shape{Class: "struct", Fields: shape.Fields[2:]}
	if _, err := bindArgs(sturdy.KindInfo{Name: "test/kind"}, sturdy.MethodInfo{Name: "m", Arg: ps}, nil, nil); err != nil {
		t.Errorf("an optional field: %v", err)
	}
	if _, err := bindArgs(sturdy.KindInfo{Name: "sturdy/meter"}, sturdy.MethodInfo{Name: "refill", Arg: shape}, nil, nil); err != nil {
		t.Errorf("of the runtime, where zero is nothing: %v", err)
	}
}

func TestAStructGoesBackAsOneArgument(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	got := run(t, s, out, `p = root.shelf.store(GRAMS=5, note="x", to=None, notes=[])
root.shelf.store(p) == p, p.Grams == p.grams, p["grams"], "Note" in p, "x" in p`)
	if got != "(True, True, 5, True, False)\n" {
		t.Error(got)
	}
}

func TestAListThatHoldsItselfIsRefused(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	run(t, s, out, "xs = []\nxs.append(xs)")
	err := s.Run(t.Context(), "test", "root.shelf.keep(xs)")
	if err == nil || !strings.Contains(err.Error(), "nested deeper than 64") {
		t.Error(err)
	}
	if got := run(t, s, out, "xs"); !strings.Contains(got, "…") {
		t.Error(got)
	}
}

// FuzzAssign: whatever names and numbers of arguments there are, each value that was given
// stands in exactly one place, or there is an error.
func FuzzAssign(f *testing.F) {
	f.Add("To,Grams,Note", 1, "note,GRAMS")
	f.Add("A,a_", 0, "a")
	f.Fuzz(func(t *testing.T, fields string, positional int, named string) {
		var shape caps.Shape
		shape.Class = "struct"
		for _, name := range strings.Split(fields, ",") {
			shape.Fields = append(shape.Fields, caps.Field{Name: name, Shape: anything()})
		}
		ps := paramsOf(shape)
		args := make(starlark.Tuple, max(0, min(positional, 20)))
		for i := range args {
			args[i] = starlark.MakeInt(i)
		}
		var kwargs []starlark.Tuple
		for _, name := range strings.Split(named, ",") {
			kwargs = append(kwargs, starlark.Tuple{starlark.String(name), starlark.MakeInt(len(args) + len(kwargs))})
		}
		vals, err := assign(ps, args, kwargs)
		if err != nil {
			return
		}
		seen := map[starlark.Value]bool{}
		for _, v := range vals {
			if v != nil {
				seen[v] = true
			}
		}
		if len(seen) != len(args)+len(kwargs) {
			t.Fatalf("%d values given, %d arrived: %v", len(args)+len(kwargs), len(seen), vals)
		}
	})
}
