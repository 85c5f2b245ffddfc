package foreign

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// row is what a world has of a kind on disk.
type row struct {
	Name     string              `msgpack:"name"`
	Version  int                 `msgpack:"version"`
	Shape    caps.Shape          `msgpack:"shape"`
	Methods  []sturdy.MethodInfo `msgpack:"methods"`
	Ordinals []string            `msgpack:"ordinals,omitempty"`
}

// remembered are kinds as a world shows them that has those rows, which no program needs to
// have written. Theirs only: not those that come with every world.
func remembered(t testing.TB, rows []row) (kinds []sturdy.KindInfo) {
	t.Helper()
	files := objstore.NewMemory()
	o := sturdy.Options{Dir: "world", Files: files, Log: slog.New(slog.DiscardHandler)}
	rt, err := o.Open()
	check(t, err)
	check(t, rt.Close())
	store, err := objstore.Open("world", objstore.Options{Files: files})
	check(t, err)
	info := store.Info()
	b := &objstore.Batch{LSN: info.LSN + 1, Base: info.LSN, Next: info.Next}
	for i, r := range rows {
		body, err := msgpack.Marshal(r)
		check(t, err)
		b.Put(objstore.KindKey(uint32(1000+i)), objstore.Record{LSN: b.LSN, Body: body})
	}
	check(t, store.Commit(t.Context(), b))
	check(t, store.Close())
	o.ReadOnly = true
	rt, err = o.Open()
	check(t, err)
	defer rt.Close()
	all, err := rt.Kinds(t.Context())
	check(t, err)
	for _, k := range all {
		if slices.ContainsFunc(rows, func(r row) bool { return r.Name == k.Name }) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// seeded is a generator whose seed is printed, and taken from SEED if that is set.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		check(t, err)
	}
	t.Logf("SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// maker makes types that Go has, of few names, so that they meet.
type maker struct {
	*rand.Rand
	outer []caps.Shape
}

var scalarClasses = []caps.Class{
	"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
	"string", "bytes", "time", "ref", "value", "done",
}

func one[T any](r *maker, of []T) T { return of[r.IntN(len(of))] }

func (r *maker) shape(depth int) caps.Shape {
	if depth > 5 || r.IntN(3) > 0 {
		s := caps.Shape{Class: one(r, scalarClasses)}
		if s.Class == "bytes" && r.IntN(2) == 0 {
			s.Len = 1 + r.IntN(40)
		}
		return s
	}
	s := caps.Shape{Class: one(r, []caps.Class{"list", "array", "map", "struct", "struct", "optional", "again"})}
	if s.Class == "again" {
		if len(r.outer) == 0 {
			return caps.Shape{Class: "string"}
		}
		s.Name = one(r, r.outer).Name
		return s
	}
	if r.IntN(2) == 0 { // never twice around each other: that would be the same type
		s.Name = fmt.Sprintf("%s.%s", one(r, []string{"bank", "shop", "v1"}), one(r, []string{"Line", "Note", "ID", "Pair[int,bank.Line]", "Text", "Größe"}))
		if slices.ContainsFunc(r.outer, func(o caps.Shape) bool { return o.Name == s.Name }) {
			s.Name = ""
		}
	}
	if s.Name != "" {
		r.outer = append(r.outer, s)
		defer func() { r.outer = r.outer[:len(r.outer)-1] }()
	}
	switch s.Class {
	case "struct":
		s.Fields = r.fields(depth)
		return s
	case "array":
		s.Len = r.IntN(5)
	case "map":
		s.Key = &caps.Shape{Class: one(r, scalarClasses[:12])}
	}
	elem := r.shape(depth + 1)
	for s.Class == "optional" && slices.Contains([]caps.Class{"ref", "value", "list", "map", "optional", "again"}, elem.Class) || s.Class == "optional" && elem.Class == "bytes" && elem.Len == 0 {
		elem = r.shape(depth + 1)
	}
	s.Elem = &elem
	return s
}

var fieldPool = []string{"Amount", "Owner", "OwnerID", "OwnerId", "URL", "X", "Y2", "Größe", "Union", "Class", "Which", "Value", "Key", "Result", "To", "Note", "N1", "N2", "N3", "N4"}

func (r *maker) fields(depth int) (list []caps.Field) {
	for _, i := range r.Perm(len(fieldPool))[:1+r.IntN(8)] {
		list = append(list, caps.Field{Name: fieldPool[i], Shape: r.shape(depth + 1)})
	}
	return list
}

func (r *maker) methods() (ms []sturdy.MethodInfo) {
	names := []string{"transfer", "delete", "Grant", "über", "2fa", "owner_id", "x", "call", "line", "pause", "linePair", "go-on", "go on"}
	for _, i := range r.Perm(len(names))[:r.IntN(len(names))] {
		ms = append(ms, sturdy.MethodInfo{Name: names[i], Needs: caps.Read, Arg: r.shape(0), Result: r.shape(0)})
	}
	return ms
}

func TestTheLayoutOfRandomKindsIsTheCompilers(t *testing.T) {
	r := &maker{Rand: seeded(t)}
	var rows []row
	for n := range 60 {
		name := fmt.Sprintf("%s/%s%d", one(r, []string{"a.example", "b.example/x", "3d"}), one(r, []string{"account", "Object", "list", "4", "é"}), n%40)
		if !slices.ContainsFunc(rows, func(o row) bool { return o.Name == name }) {
			rows = append(rows, row{Name: name, Version: 1, Methods: r.methods()})
		}
		rows = append(rows, row{Name: name, Version: 2 + n, Methods: r.methods()})
	}
	kinds := remembered(t, rows)
	text := agree(t, kinds)
	r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	if again := agree(t, kinds); again != text {
		t.Error("the same kinds in another order are another text")
	}
}
