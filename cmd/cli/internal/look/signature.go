package look

import (
	"strings"
	"unicode"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Names of the kinds that come with the runtime.
const (
	Directory = "sturdy/directory"
	Map       = "sturdy/map"
	List      = "sturdy/list"
	Cell      = "sturdy/cell"
)

// All is every right.
const All = caps.Read | caps.Write | caps.Run

// IsCollection reports whether objects of the kind hold rows.
func IsCollection(kind string) bool { return kind == Map || kind == List || kind == Cell }

// Short is a kind's name without whose it is: "account" of "bank.example/account".
func Short(kind string) string { return kind[strings.LastIndexByte(kind, '/')+1:] }

// Param is one argument of a method as it is called by name.
type Param struct {
	Name  string // as it is typed: "to"
	Field string // of the argument's struct: "To"; empty: it is the whole argument
	Shape caps.Shape
}

// Params are the arguments of a method that takes arg: none, one, or the fields of a struct.
func Params(arg caps.Shape) (ps []Param) {
	switch arg.Class {
	case "done":
		return nil
	case "struct":
		for _, f := range arg.Fields {
			ps = append(ps, Param{Lower(f.Name), f.Name, f.Shape})
		}
		return ps
	}
	return []Param{{Name: wholeName(arg), Shape: arg}}
}

// wholeName names an argument that is no struct, after its Go type if that says something.
func wholeName(s caps.Shape) string {
	name := s.Name[strings.LastIndexByte(s.Name, '.')+1:]
	if i := strings.IndexByte(name, '['); i >= 0 {
		name = name[:i]
	}
	if name != "" {
		return Lower(name)
	}
	return string(s.Class)
}

// Lower is a Go name as it is typed in the REPL: "To" is to, "UserID" userID, "URL" url.
func Lower(name string) string {
	rs := []rune(name)
	for i, r := range rs {
		if !unicode.IsUpper(r) || i > 0 && i+1 < len(rs) && unicode.IsLower(rs[i+1]) {
			break
		}
		rs[i] = unicode.ToLower(r)
	}
	return string(rs)
}

// Signature is how a method is called: "transfer(to, amount, note)".
func Signature(m sturdy.MethodInfo) string {
	var names []string
	for _, p := range Params(m.Arg) {
		names = append(names, p.Name)
	}
	return m.Name + "(" + strings.Join(names, ", ") + ")"
}

// Typed is Signature with types: "transfer(to ref, amount int64) int64".
func Typed(m sturdy.MethodInfo) string {
	var names []string
	for _, p := range Params(m.Arg) {
		name := p.Shape.String()
		if name != p.Name {
			name = p.Name + " " + name
		}
		names = append(names, name)
	}
	s := m.Name + "(" + strings.Join(names, ", ") + ")"
	if NoResult(m.Result) {
		return s
	}
	return s + " " + m.Result.String()
}

// NoResult reports whether a result of that shape says nothing.
func NoResult(s caps.Shape) bool {
	return s.Class == "done" || s.Class == "struct" && len(s.Fields) == 0
}

// Interface is every method with its signature, by what it needs: "r: balance()   w: …".
// What is beyond the rights that are carried stands in parentheses.
func Interface(ms []sturdy.MethodInfo, carried caps.Rights) string {
	var groups []string
	for _, need := range needs(ms) {
		line := need.String() + ":"
		for _, m := range ms {
			if m.Needs == need {
				line += " " + Signature(m)
			}
		}
		if need&^carried != 0 {
			line = "(" + line + ")"
		}
		groups = append(groups, line)
	}
	return strings.Join(groups, "   ")
}

// needs lists the sets of rights that methods need, each once, the weakest first.
func needs(ms []sturdy.MethodInfo) (list []caps.Rights) {
	for need := caps.Rights(0); need <= All; need++ {
		for _, m := range ms {
			if m.Needs == need {
				list = append(list, need)
				break
			}
		}
	}
	return list
}
