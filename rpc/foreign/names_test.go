package foreign

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestNamesBecomeWhatASchemaCanHold(t *testing.T) {
	for name, want := range map[string]string{
		"transfer": "Transfer", "OwnerID": "OwnerId", "HTTPServer": "HttpServer", "owner_id": "OwnerId", "go-on": "GoOn",
		"2fa": "N2fa", "Größe": "GrUf6UdfE", "名": "U540d", "": "N", "...": "N", "N1": "N1", "IDs": "IDs", "a\nb": "AB",
		strings.Repeat("x", 500): "X" + strings.Repeat("x", 99),
	} {
		if got := camel(name); got != want {
			t.Errorf("%.20q is %q, want %q", name, got, want)
		}
	}
}

func TestKindsWithOneLastPartAreToldApart(t *testing.T) {
	var kinds []sturdy.KindInfo
	for _, name := range []string{
		"example.org/bank/account", "example.org/shop/account", "a.example/x/y", "b.example/x/y", "example.org/counter",
		"example.org/list", "example.org/Text", "account-account", "é", "", "3d", "text", "Text",
	} {
		kinds = append(kinds, sturdy.KindInfo{Name: name, Version: 1, Ordinals: []string{"get", "get) - ref"}, Methods: []sturdy.MethodInfo{{Name: "get", Arg: caps.Shape{Class: "done"}, Result: caps.Shape{Class: "ref"}}}})
	}
	text := agree(t, kinds)
	for _, want := range []string{"BankAccount", "ShopAccount", "AExampleXY", "BExampleXY", "Counter", "ExampleOrgList", "ExampleOrgText", "AccountAccount", "Ue9", "N3d"} {
		if !strings.Contains(text, "interface "+want+" @") {
			t.Errorf("no interface %s in\n%s", want, text)
		}
	}
}

func TestTheNumberOfAnInterfaceIsAHashOfItsKind(t *testing.T) {
	// Programs have it in them: this never changes.
	if got := fmt.Sprintf("%x", interfaceID("bank.example/account")); got != "b2a2dc19a27f778e" {
		t.Errorf("the interface of bank.example/account is %s", got)
	}
}

// nestedList is a type that many of stand in each other.
func nestedList(depth int) caps.Shape {
	s := caps.Shape{Class: "string"}
	for range depth {
		inner := s
		s = caps.Shape{Class: "list", Elem: &inner}
	}
	return s
}

func TestWhatAStrangerSaysOfAKindIsBounded(t *testing.T) {
	done := caps.Shape{Class: "done"}
	manyMethods := sturdy.KindInfo{Name: "x"}
	for n := range 70_000 {
		manyMethods.Ordinals = append(manyMethods.Ordinals, fmt.Sprint("m", n))
	}
	wide := sturdy.KindInfo{Name: "x", Ordinals: []string{"m"}}
	for n := range 40_000 {
		wide.Ordinals = append(wide.Ordinals, fmt.Sprintf("a.B F%d int64", n))
	}
	b := caps.Shape{Class: "struct", Name: "a.B", Fields: []caps.Field{{Name: "F1", Shape: caps.Shape{Class: "int64"}}}}
	arg := caps.Shape{Class: "struct"}
	for n := range 50 {
		f := caps.Field{Name: fmt.Sprint("X", n), Shape: b}
		arg.Fields = append(arg.Fields, f)
		wide.Ordinals = append(wide.Ordinals, "m( "+f.Name+" a.B")
	}
	wide.Methods = []sturdy.MethodInfo{{Name: "m", Arg: arg, Result: done}}
	one := func(s caps.Shape, ordinals ...string) sturdy.KindInfo {
		return sturdy.KindInfo{Name: "x", Ordinals: append([]string{"m"}, ordinals...), Methods: []sturdy.MethodInfo{{Name: "m", Arg: s, Result: done}}}
	}
	words := []sturdy.KindInfo{{Name: "x"}}
	for range 2_000 {
		words[0].Ordinals = append(words[0].Ordinals, "a.b c int64", "a.b", "a", "a( c int64")
	}
	for name, k := range map[string]sturdy.KindInfo{
		"70000 methods":        manyMethods,
		"a wide struct, often": wide,
		"a million deep":       one(nestedList(1_000_000), "m( - "+strings.Repeat("[]", 1_000_000)+"string"),
		"a list of nothing":    one(caps.Shape{Class: "list"}, "m( - []"),
		"a map of nothing":     one(caps.Shape{Class: "map"}, "m( - map"),
		"nothing":              one(caps.Shape{}, "m( - "),
		"again, of nothing":    one(caps.Shape{Class: "again", Name: "a.B"}, "m( - a.B"),
		"no numbers":           one(caps.Shape{Class: "string"}),
		"no type":              one(done, "m( -"),
		"another type":         one(caps.Shape{Class: "struct", Fields: []caps.Field{{Name: "A", Shape: caps.Shape{Class: "struct", Name: "int64"}}}}, "m( A int64"),
		"one field twice":      one(caps.Shape{Class: "struct", Fields: []caps.Field{{Name: "A", Shape: done}, {Name: "A", Shape: done}}}, "m( A done"),
	} {
		began := time.Now()
		var out strings.Builder
		if err := Schema(&out, []sturdy.KindInfo{k}, ""); err == nil || out.Len() > 0 {
			t.Errorf("%s: printed %d bytes, %v", name, out.Len(), err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
	agree(t, words)
	agree(t, []sturdy.KindInfo{one(caps.Shape{Class: "struct", Fields: []caps.Field{{Name: "A\n}", Shape: caps.Shape{Class: "struct"}}}}, "m( A\n} struct")})
	agree(t, []sturdy.KindInfo{{Name: "x\n}", Ordinals: []string{"m\n}"}, Methods: []sturdy.MethodInfo{{Name: "m\n}", Arg: done, Result: done}, {Name: "\x1b go", Arg: done, Result: done}}}})
}
