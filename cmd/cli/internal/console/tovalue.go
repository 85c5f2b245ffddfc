package console

import (
	"fmt"
	"time"

	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

// anything is the shape of what has no type: an untyped key, an element.
func anything() caps.Shape { return caps.Shape{Class: "value"} }

// toValue converts x to what decodes as shape. name is what x is called in errors. The codec
// of the callee has the last word; errors here are for what it could only call a mismatch.
func toValue(x starlark.Value, shape caps.Shape, name string) (caps.Value, error) {
	return convertTo(x, shape, nil, &path{name: name})
}

const (
	// maxDepth is how deep a Value nests.
	maxDepth = 64
	// maxElements bounds a list, before range(1000000000) fills the memory.
	maxElements = 1 << 20
)

// path is what a value is called in errors: "to.notes[3]". It is put into words when there is
// one: of a list of a million elements each has a path, and in most lists none is wrong.
type path struct {
	up   *path          // of what holds it; nil: nothing does
	name string         // its own, or that of its field
	at   starlark.Value // its key, of an element; else nil
}

func (p *path) String() string {
	switch {
	case p.up == nil:
		return p.name
	case p.at != nil:
		return p.up.String() + "[" + repr(p.at, 40) + "]"
	}
	return p.up.String() + "." + lower(p.name)
}

// convertTo is toValue inside the types of outer.
func convertTo(x starlark.Value, shape caps.Shape, outer []caps.Shape, name *path) (caps.Value, error) {
	if len(outer) > maxDepth {
		return caps.Value{}, fmt.Errorf("%s: nested deeper than %d", name, maxDepth)
	}
	switch shape.Class {
	case "again":
		for i := len(outer) - 1; i >= 0; i-- {
			if outer[i].Name == shape.Name {
				shape = outer[i]
				break
			}
		}
	case "optional":
		if x == starlark.None {
			return caps.Value{}, nil
		}
		shape = *shape.Elem
	}
	if shape.Class == "again" || shape.Class == "" {
		shape = anything()
	}
	switch x := x.(type) {
	case *record:
		return recordTo(x, shape, append(outer, shape), name)
	case *starlark.Dict:
		return dictTo(x, shape, append(outer, shape), name)
	case starlark.String, starlark.Bytes:
	case *refValue:
	case starlark.Iterable:
		return listTo(x, shape, append(outer, shape), name)
	}
	v, err := scalarTo(x, shape, name)
	if err != nil {
		return caps.Value{}, err
	}
	return v, nil
}

// scalarTo converts what holds nothing else.
func scalarTo(x starlark.Value, shape caps.Shape, name *path) (caps.Value, error) {
	var v any
	fits := classes(shape.Class)
	switch x := x.(type) {
	case starlark.NoneType:
		fits.none = true
	case starlark.Bool:
		v, fits.ok = bool(x), fits.bool
	case starlark.Int:
		return intTo(x, shape, name)
	case starlark.Float:
		v, fits.ok = float64(x), fits.float
		if shape.Class == "float32" {
			v = float64(float32(x))
		}
		if fits.int && !fits.float {
			return caps.Value{}, fmt.Errorf("%s: %s is a float and it wants an %s; // divides integers, int(…) cuts off", name, x, shape.Class)
		}
	case starlark.String:
		return stringTo(x, shape, name)
	case starlark.Bytes:
		v, fits.ok = []byte(x), fits.bytes
	case starlarktime.Time:
		v, fits.ok = time.Time(x), fits.time
	case starlarktime.Duration:
		v, fits.ok = int64(x), fits.int
	case *refValue:
		v, fits.ok = x.ref, fits.ref
	default:
		return caps.Value{}, fmt.Errorf("%s: a %s cannot be stored or sent", name, x.Type())
	}
	if !fits.ok && !fits.none {
		return caps.Value{}, wants(name, shape, x)
	}
	return caps.ValueOf(v)
}

// fit tells what a class takes.
type fit struct {
	bool, int, float, bytes, time, ref bool
	ok, none                           bool
}

func classes(c caps.Class) (f fit) {
	switch c {
	case "bool":
		f.bool = true
	case "bytes":
		f.bytes = true
	case "time":
		f.time = true
	case "ref":
		f.ref = true
	case "float32", "float64":
		f.float, f.int = true, true
	case "value":
		f = fit{bool: true, int: true, float: true, bytes: true, time: true, ref: true}
	case "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64":
		f.int = true
	}
	return f
}

func intTo(x starlark.Int, shape caps.Shape, name *path) (caps.Value, error) {
	f := classes(shape.Class)
	if !f.int {
		return caps.Value{}, wants(name, shape, x)
	}
	if n, ok := x.Int64(); ok && (!f.float || shape.Class == "value") {
		return caps.ValueOf(n)
	}
	if n, ok := x.Uint64(); ok && (!f.float || shape.Class == "value") {
		return caps.ValueOf(n)
	}
	if f.float && shape.Class != "value" {
		return caps.ValueOf(float64(x.Float()))
	}
	return caps.Value{}, fmt.Errorf("%s: %s has more than 64 bits", name, repr(x, 40))
}

// stringTo takes a string, and where a time is wanted one that says when.
func stringTo(x starlark.String, shape caps.Shape, name *path) (caps.Value, error) {
	switch shape.Class {
	case "string", "value":
		return textValue(string(x)), nil
	case "time":
		if t, ok := text.Time(string(x)); ok {
			return caps.ValueOf(t)
		}
		return caps.Value{}, fmt.Errorf(`%s: %s is no time; they look like "2026-11-22" and "2026-11-22T15:04:05Z"`, name, repr(x, 40))
	}
	return caps.Value{}, wants(name, shape, x)
}

func listTo(x starlark.Iterable, shape caps.Shape, outer []caps.Shape, name *path) (caps.Value, error) {
	elem := anything()
	switch shape.Class {
	case "list", "array":
		elem = *shape.Elem
	case "value":
	default:
		return caps.Value{}, wants(name, shape, x)
	}
	out := []caps.Value{}
	for e := range starlark.Elements(x) {
		if len(out) == maxElements {
			return caps.Value{}, fmt.Errorf("%s: more than %d elements", name, maxElements)
		}
		v, err := convertTo(e, elem, outer, &path{up: name, at: starlark.MakeInt(len(out))})
		if err != nil {
			return caps.Value{}, err
		}
		out = append(out, v)
	}
	return caps.ValueOf(out)
}

func dictTo(x *starlark.Dict, shape caps.Shape, outer []caps.Shape, name *path) (caps.Value, error) {
	if shape.Class == "struct" {
		r := &record{}
		for _, item := range x.Items() {
			k, ok := starlark.AsString(item[0])
			if !ok {
				return caps.Value{}, fmt.Errorf("%s: %s is no name of a field", name, repr(item[0], 40))
			}
			r.fields, r.vals = append(r.fields, k), append(r.vals, item[1])
		}
		return recordTo(r, shape, outer, name)
	}
	key, elem := anything(), anything()
	switch shape.Class {
	case "map":
		key, elem = *shape.Key, *shape.Elem
	case "value":
	default:
		return caps.Value{}, wants(name, shape, x)
	}
	entries := []caps.Entry{}
	for _, item := range x.Items() {
		at := &path{up: name, at: item[0]}
		k, err := convertTo(item[0], key, outer, at)
		if err != nil {
			return caps.Value{}, err
		}
		v, err := convertTo(item[1], elem, outer, at)
		if err != nil {
			return caps.Value{}, err
		}
		entries = append(entries, caps.Entry{Key: k, Val: v})
	}
	return caps.ValueOf(entries)
}

// recordTo matches the fields of a record with those of a struct.
func recordTo(x *record, shape caps.Shape, outer []caps.Shape, name *path) (caps.Value, error) {
	known := make([]string, len(shape.Fields))
	for i, f := range shape.Fields {
		known[i] = f.Name
	}
	given := make([]bool, len(known))
	entries := []caps.Entry{}
	for i, field := range x.fields {
		of := anything()
		switch shape.Class {
		case "struct":
			j := find(known, field)
			if j < 0 {
				return caps.Value{}, fmt.Errorf("%s: there is no field %s", name, field)
			}
			field, of, given[j] = known[j], shape.Fields[j].Shape, true
		case "map":
			of = *shape.Elem
		case "value":
		default:
			return caps.Value{}, wants(name, shape, x)
		}
		v, err := convertTo(x.vals[i], of, outer, &path{up: name, name: field})
		if err != nil {
			return caps.Value{}, err
		}
		entries = append(entries, caps.Entry{Key: textValue(field), Val: v})
	}
	if shape.Class == "struct" {
		if absent := ungiven(look.Params(shape), func(i int) bool { return given[i] }); absent != "" {
			return caps.Value{}, fmt.Errorf("%s: without %s", name, absent)
		}
	}
	return caps.ValueOf(entries)
}

func wants(name *path, shape caps.Shape, got starlark.Value) error {
	return fmt.Errorf("%s: it wants %s, not the %s %s", name, shape, got.Type(), repr(got, 40))
}

// textValue is s as a Value.
func textValue(s string) caps.Value {
	v, _ := caps.ValueOf(s) // a string always is one
	return v
}
