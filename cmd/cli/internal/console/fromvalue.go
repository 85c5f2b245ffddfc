package console

import (
	"time"
	"unicode"
	"unicode/utf8"

	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
)

// fromValue converts a result of that shape to what a script works with: structs become
// records, lists lists, maps dicts, the null Ref None. Where the shape says nothing, what has
// names of Go fields for keys is taken for a struct.
func (s *Session) fromValue(v caps.Value, shape caps.Shape) starlark.Value {
	return s.convertFrom(v, shape, nil)
}

func (s *Session) convertFrom(v caps.Value, shape caps.Shape, outer []caps.Shape) starlark.Value {
	shape = resolved(shape, outer)
	switch x := v.Any().(type) {
	case nil:
		return none(shape)
	case bool:
		return starlark.Bool(x)
	case int64:
		return starlark.MakeInt64(x)
	case uint64:
		return starlark.MakeUint64(x)
	case float64:
		return starlark.Float(x)
	case string:
		return starlark.String(x)
	case []byte:
		return fromBytes(x, shape)
	case time.Time:
		return starlarktime.Time(x)
	case caps.Ref:
		return s.ref(x)
	case []caps.Value:
		return s.fromList(x, shape, append(outer, shape))
	case []caps.Entry:
		return s.fromEntries(x, shape, append(outer, shape))
	}
	return starlark.None
}

// fromBytes is also for a string that is not UTF-8, which travels as bytes.
func fromBytes(x []byte, shape caps.Shape) starlark.Value {
	if shape.Class == "string" {
		return starlark.String(x)
	}
	return starlark.Bytes(x)
}

// resolved is the shape that "again" stands for, and what is inside an optional.
func resolved(shape caps.Shape, outer []caps.Shape) caps.Shape {
	if shape.Class == "again" {
		for i := len(outer) - 1; i >= 0; i-- {
			if outer[i].Name == shape.Name {
				return outer[i]
			}
		}
		return anything()
	}
	if shape.Class == "optional" {
		return resolved(*shape.Elem, outer)
	}
	return shape
}

// none is nil of that shape: a nil list is empty to a script, as it is to Go.
func none(shape caps.Shape) starlark.Value {
	switch shape.Class {
	case "list":
		return starlark.NewList(nil)
	case "map":
		return starlark.NewDict(0)
	case "bytes":
		return starlark.Bytes("")
	}
	return starlark.None
}

func (s *Session) fromList(x []caps.Value, shape caps.Shape, outer []caps.Shape) starlark.Value {
	elem := anything()
	if shape.Elem != nil {
		elem = *shape.Elem
	}
	vals := make([]starlark.Value, len(x))
	for i, e := range x {
		vals[i] = s.convertFrom(e, elem, outer)
	}
	return starlark.NewList(vals)
}

func (s *Session) fromEntries(x []caps.Entry, shape caps.Shape, outer []caps.Shape) starlark.Value {
	if shape.Class == "struct" || shape.Class == "value" && looksLikeStruct(x) {
		return s.fromStruct(x, shape, outer)
	}
	key, elem := anything(), anything()
	if shape.Key != nil && shape.Elem != nil {
		key, elem = *shape.Key, *shape.Elem
	}
	d := starlark.NewDict(len(x))
	pairs := []starlark.Value{}
	for _, e := range x {
		k, v := s.convertFrom(e.Key, key, outer), s.convertFrom(e.Val, elem, outer)
		pairs = append(pairs, starlark.Tuple{k, v})
		if err := d.SetKey(k, v); err != nil {
			return starlark.NewList(pairs)
		}
	}
	if d.Len() < len(pairs) {
		// 1 and 1.0 are two keys of an untyped map, and one of a dict.
		return starlark.NewList(pairs)
	}
	return d
}

// fromStruct keeps the order in which the type declares its fields.
func (s *Session) fromStruct(x []caps.Entry, shape caps.Shape, outer []caps.Shape) starlark.Value {
	r := &record{}
	for _, e := range x {
		name, of := e.Key.Any().(string), anything()
		for _, f := range shape.Fields {
			if f.Name == name {
				of = f.Shape
			}
		}
		r.fields = append(r.fields, name)
		r.vals = append(r.vals, s.convertFrom(e.Val, of, outer))
	}
	return r
}

// looksLikeStruct reports whether all keys could be names of exported Go fields.
func looksLikeStruct(x []caps.Entry) bool {
	for _, e := range x {
		name, ok := e.Key.Any().(string)
		if first, _ := utf8.DecodeRuneInString(name); !ok || !unicode.IsUpper(first) {
			return false
		}
		for _, r := range name {
			if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				return false
			}
		}
	}
	return len(x) > 0
}
