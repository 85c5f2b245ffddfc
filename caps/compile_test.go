package caps

import (
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

type (
	//lint:ignore U1000 unexported fields are what is refused
	counter struct{ n int64 }
	ring    struct {
		Next *ring
	}
	sling struct {
		Kids []*sling
	}
	//lint:ignore U1000 as above
	faulty struct {
		Pay   io.Reader
		Any   any
		Do    func() error
		Ch    chan int
		Mu    sync.Mutex
		N     atomic.Int64
		Z     complex128
		P     uintptr
		U     unsafe.Pointer
		Addr  netip.Addr
		Deep  []map[string]struct{ In *io.Writer }
		Sub   struct{ hidden int }
		Key   map[time.Time]int
		Opt   *[]int
		OptP  **int
		Tag   int `sturdy:"transiet"`
		Was   int `sturdy:"was=Tag"`
		Once  int `sturdy:"was=Old"`
		Twice int `sturdy:"was=Old"`
		ok    int `sturdy:"transient"`
		_     int
		Keep  sync.Mutex `sturdy:"transient"`
	}
)

func TestEveryFaultOfATypeIsNamed(t *testing.T) {
	_, err := CodecFor(reflect.TypeFor[faulty]())
	want := []string{
		"field Pay has type io.Reader, an interface; state is data and capabilities. Make it an object of its own and hold a caps.Ref.",
		"field Any has type interface {}, an interface; state is data and capabilities. Use caps.Value for data whose type is open, or a caps.Ref for an object.",
		"field Do has type func() error, a function; code is neither stored nor sent. Make it a method of an object and hold a caps.Ref.",
		"field Ch has type chan int, a channel; it ends with the process. Make its receiver an object and hold a caps.Ref.",
		"field Mu has type sync.Mutex, which is no data; turns need no locks, as one at a time writes. Leave it out.",
		"field N has type atomic.Int64, which is no data; turns need no atomics, as one at a time writes. Use the plain type.",
		"field Z has type complex128, a complex number, which the encoding does not have. Use a struct of two floats.",
		"field P has type uintptr, an address, which means nothing outside this process. Use uint64 if it is a number.",
		"field U has type unsafe.Pointer, an address, which means nothing outside this process. Use uint64 if it is a number.",
		"field Addr has type netip.Addr, whose fields are unexported and would be lost. Hold it as a string, a []byte or a struct of your own.",
		"field Deep[][].In has type io.Writer, an interface; state is data and capabilities. Make it an object of its own and hold a caps.Ref.",
		"field Sub.hidden of the struct is unexported and would be lost. Rename it Hidden, or tag it `sturdy:\"transient\"` if it may be.",
		"field Key has type map[time.Time]int, a map with keys of type time.Time; keys are bool, numbers or strings. Use a slice of structs, or a collection (sturdy.Map).",
		"field Opt has type *[]int, a pointer to what can be null itself, so that null would mean two things. Use []int.",
		"field OptP has type **int, a pointer to what can be null itself, so that null would mean two things. Use *int.",
		"field Tag has the tag sturdy:\"transiet\"; it can be \"transient\" or \"was=OldName\".",
		"field Was of faulty was Tag, and so is field Tag.",
		"field Twice of faulty was Old, and so is field Once.",
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("%v", err)
	}
}

func TestFaultsOfWholeTypes(t *testing.T) {
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[counter]():        "field n of counter is unexported and would be lost. Rename it N, or tag it `sturdy:\"transient\"` if it may be.",
		reflect.TypeFor[[]counter]():      "field [].n of counter is unexported and would be lost. Rename it N, or tag it `sturdy:\"transient\"` if it may be.",
		reflect.TypeFor[func()]():         "the type is func(), a function; code is neither stored nor sent. Make it a method of an object and hold a caps.Ref.",
		reflect.TypeFor[ring]():           "field Next has type caps.ring, which holds itself through a pointer; hold a caps.Ref to an object of its own, or a slice or map of values.",
		reflect.TypeFor[sling]():          "field Kids[] has type caps.sling, which holds itself through a pointer; hold a caps.Ref to an object of its own, or a slice or map of values.",
		reflect.TypeFor[[1 << 40]int]():   "the type is [1099511627776]int, larger than 512 MiB; put the parts into objects of their own.",
		reflect.TypeFor[[]sync.Mutex]():   "field [] has type sync.Mutex, which is no data; turns need no locks, as one at a time writes. Leave it out.",
		reflect.TypeFor[map[[2]int]int](): "the type is map[[2]int]int, a map with keys of type [2]int; keys are bool, numbers or strings. Use a slice of structs, or a collection (sturdy.Map).",
	} {
		if _, err := CodecFor(typ); err == nil || err.Error() != want {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if _, err := CodecFor(nil); err == nil {
		t.Error("no type has a codec")
	}
	deep := reflect.TypeFor[int]()
	for range maxDepth + 1 {
		deep = reflect.ArrayOf(1, deep)
	}
	if _, err := CodecFor(deep); err == nil || !strings.Contains(err.Error(), "nested 65 deep") {
		t.Error(err)
	}
	if _, err := CodecFor(deep.Elem()); err != nil {
		t.Error(err)
	}
}

func TestFaultsAreNamedAtEveryPath(t *testing.T) {
	type Bad struct{ F func() }
	_, err := CodecFor(reflect.TypeFor[struct {
		A, B Bad
		C    []Bad
	}]())
	for _, path := range []string{"A.F", "B.F", "C[].F"} {
		if err == nil || !strings.Contains(err.Error(), "field "+path+" ") {
			t.Errorf("no word of %s: %v", path, err)
		}
	}
}

func TestCodecForIsOnePerType(t *testing.T) {
	var wg sync.WaitGroup
	codecs := make([]*Codec, 8)
	for i := range codecs {
		wg.Go(func() { codecs[i] = plan[struct{ OnlyHere []Order }](t) })
	}
	wg.Wait()
	for _, c := range codecs {
		if c != codecs[0] {
			t.Error("several plans for one type")
		}
	}
}

func TestShorten(t *testing.T) {
	for in, want := range map[string]string{
		"caps.List[example.org/a/bank.Cents]":           "caps.List[bank.Cents]",
		"map[string]x.Pair[a.b/c.D,[]e/f.G]":            "map[string]x.Pair[c.D,[]f.G]",
		"[]*example.org/v2/store.Map[string,go/x.Y[a]]": "[]*store.Map[string,x.Y[a]]",
		"int": "int",
	} {
		if got := shorten(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func ExampleCodecFor() {
	//lint:ignore U1000 unexported fields are what is refused
	type Account struct {
		Owner   string
		Balance int64
		cache   map[string]int
	}
	_, err := CodecFor(reflect.TypeFor[Account]())
	fmt.Println(err)
	type Fixed struct {
		Owner   string
		Balance int64
	}
	c, err := CodecFor(reflect.TypeFor[Fixed]())
	fmt.Println(c.Shape(), c.Flat(), err)
	// Output:
	// field cache of Account is unexported and would be lost. Rename it Cache, or tag it `sturdy:"transient"` if it may be.
	// struct{Owner string; Balance int64} true <nil>
}
