package console

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// lower is a field's name as it is typed.
func lower(name string) string { return look.Lower(name) }

// bindArgs makes the argument of a method of what it was called with: the fields of a struct
// by position or by name, upper or lower case; or one value. A record in the place of all
// fields is the struct itself. A field that is not given is an error, not zero: a transfer of
// nothing to nobody was rather a slip. The runtime's own kinds take zero for not given.
func bindArgs(kind sturdy.KindInfo, m sturdy.MethodInfo, args starlark.Tuple, kwargs []starlark.Tuple) (caps.Value, error) {
	ps := look.Params(m.Arg)
	if len(args) == 1 && len(kwargs) == 0 && m.Arg.Class == "struct" {
		if _, ok := args[0].(*record); ok && len(ps) > 0 && !takesStruct(ps[0].Shape) {
			return toValue(args[0], m.Arg, "the argument")
		}
	}
	vals, err := assign(ps, args, kwargs)
	if err != nil {
		return caps.Value{}, err
	}
	if m.Arg.Class != "struct" {
		if len(ps) == 0 {
			return caps.Value{}, nil
		}
		if vals[0] == nil {
			return caps.Value{}, fmt.Errorf("it takes %s", ps[0].Name)
		}
		return toValue(vals[0], m.Arg, ps[0].Name)
	}
	entries := []caps.Entry{}
	for i, p := range ps {
		if vals[i] == nil {
			continue
		}
		v, err := convertTo(vals[i], p.Shape, []caps.Shape{m.Arg}, &path{name: p.Name})
		if err != nil {
			return caps.Value{}, err
		}
		entries = append(entries, caps.Entry{Key: textValue(p.Field), Val: v})
	}
	if absent := ungiven(ps, func(i int) bool { return vals[i] != nil }); absent != "" && !strings.HasPrefix(kind.Name, runtimeKinds) {
		return caps.Value{}, fmt.Errorf("%s: not given; it takes %s", absent, takes(ps))
	}
	return caps.ValueOf(entries)
}

// runtimeKinds is what the names of the runtime's kinds begin with.
const runtimeKinds = "sturdy/"

// ungiven names the arguments that are not given and are not optional.
func ungiven(ps []look.Param, given func(i int) bool) string {
	var list []string
	for i, p := range ps {
		if !given(i) && p.Shape.Class != "optional" {
			list = append(list, p.Name)
		}
	}
	return strings.Join(list, ", ")
}

func takesStruct(s caps.Shape) bool {
	return s.Class == "struct" || s.Class == "map" || s.Class == "value" || s.Class == "optional" && takesStruct(*s.Elem)
}

// assign distributes what a method was called with over its arguments; nil: not given.
func assign(ps []look.Param, args starlark.Tuple, kwargs []starlark.Tuple) ([]starlark.Value, error) {
	if len(args) > len(ps) {
		return nil, fmt.Errorf("it takes %s; there are %d", takes(ps), len(args))
	}
	vals := make([]starlark.Value, len(ps))
	copy(vals, args)
	fields := make([]string, len(ps))
	for i, p := range ps {
		fields[i] = p.Name
		if p.Field != "" {
			fields[i] = p.Field
		}
	}
	for _, kw := range kwargs {
		name := string(kw[0].(starlark.String))
		i := find(fields, name)
		switch {
		case i < 0:
			return nil, unknownArg(ps, name)
		case vals[i] != nil:
			return nil, fmt.Errorf("%s is given twice", ps[i].Name)
		}
		vals[i] = kw[1]
	}
	return vals, nil
}

func unknownArg(ps []look.Param, name string) error {
	if near := text.Near(name, names(ps)); near != "" {
		return fmt.Errorf("it has no argument %s; %s?", name, near)
	}
	return fmt.Errorf("it has no argument %s; it takes %s", name, takes(ps))
}

func takes(ps []look.Param) string {
	if len(ps) == 0 {
		return "no arguments"
	}
	return strings.Join(names(ps), ", ")
}

func names(ps []look.Param) []string {
	list := make([]string, len(ps))
	for i, p := range ps {
		list[i] = p.Name
	}
	return list
}

// oneRef is the argument of what takes one object and nothing else.
func oneRef(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (x *refValue, err error) {
	err = starlark.UnpackArgs(b.Name(), args, kwargs, "x", &x)
	return x, err
}

// described is the argument of what takes one object and nothing else, and what it is.
func (s *Session) described(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (x *refValue, info sturdy.ObjectInfo, err error) {
	if x, err = oneRef(b, args, kwargs); err == nil {
		info, err = s.describe(x.ref)
	}
	return x, info, err
}

// numberOf is the number that a row of a listing, or a text, says; empty: x is neither.
func numberOf(x starlark.Value) string {
	switch of := x.(type) {
	case *record:
		x, _, _ = of.Get(starlark.String("id"))
	case starlark.String:
	default:
		return ""
	}
	id, _ := starlark.AsString(x)
	return id
}

// oneRights is the argument of what takes rights and nothing else.
func oneRights(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (caps.Rights, error) {
	var letters string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "rights", &letters); err != nil {
		return 0, err
	}
	return rights(letters)
}

// oneGrant is the argument of what takes one grant and nothing else.
func (s *Session) oneGrant(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (g sturdy.Grant, err error) {
	var x starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "g", &x); err != nil {
		return g, err
	}
	return s.grantOf(b.Name(), x)
}
