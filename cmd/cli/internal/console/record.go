package console

import (
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// record is a struct as a script sees it: fields as attributes, r.balance, and by name,
// r["Balance"]; upper or lower case does not matter as long as it is clear. It never changes.
type record struct {
	fields []string // as in Go
	vals   []starlark.Value
	brief  time.Time // not zero: in tables, times are told as seen from here
	// columns is how many fields are columns of a table; 0: all. The others are told where
	// the record is shown by itself.
	columns int
	below   string // stands on a line of its own below the row of a table; empty: nothing does
}

// add adds a field to a record that is being made.
func (r *record) add(field string, val starlark.Value) {
	r.fields, r.vals = append(r.fields, field), append(r.vals, val)
}

// newRecord makes a record of names and values, in turn.
func newRecord(pairs ...any) *record {
	r := &record{}
	for i := 0; i < len(pairs); i += 2 {
		r.add(pairs[i].(string), pairs[i+1].(starlark.Value))
	}
	return r
}

// find returns the position of the field that is meant by name, or -1: the one that is
// written so, else the only one that differs by case and underscores.
func find(fields []string, name string) int {
	found := -1
	for i, f := range fields {
		if f == name {
			return i
		}
		if sameName(f, name) {
			if found >= 0 {
				found = -2
			} else if found == -1 {
				found = i
			}
		}
	}
	return max(found, -1)
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, "_", ""), strings.ReplaceAll(b, "_", ""))
}

func (r *record) Attr(name string) (starlark.Value, error) {
	if i := find(r.fields, name); i >= 0 {
		return r.vals[i], nil
	}
	return nil, starlark.NoSuchAttrError(fmt.Sprintf("it has no field %s; it has %s", name, strings.Join(r.AttrNames(), ", ")))
}

func (r *record) AttrNames() (names []string) {
	for _, f := range r.fields {
		names = append(names, lower(f))
	}
	return names
}

func (r *record) Get(k starlark.Value) (starlark.Value, bool, error) {
	name, ok := starlark.AsString(k)
	if !ok {
		return nil, false, nil
	}
	i := find(r.fields, name)
	if i < 0 {
		return nil, false, nil
	}
	return r.vals[i], true, nil
}

func (r *record) String() string        { return repr(r, maxRepr) }
func (r *record) Type() string          { return "struct" }
func (r *record) Freeze()               {}
func (r *record) Truth() starlark.Bool  { return len(r.fields) > 0 }
func (r *record) Hash() (uint32, error) { return 0, fmt.Errorf("a struct cannot be a key") }

// CompareSameType makes two records equal that have the same fields with equal values.
func (r *record) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	o := y.(*record)
	equal := len(r.fields) == len(o.fields)
	for i := 0; equal && i < len(r.fields); i++ {
		if r.fields[i] != o.fields[i] {
			equal = false
			break
		}
		var err error
		if equal, err = starlark.EqualDepth(r.vals[i], o.vals[i], depth-1); err != nil {
			return false, err
		}
	}
	return equality(op, equal, "structs")
}

// equality is the answer of a comparison that knows only == and !=.
func equality(op syntax.Token, equal bool, what string) (bool, error) {
	switch op {
	case syntax.EQL:
		return equal, nil
	case syntax.NEQ:
		return !equal, nil
	}
	return false, fmt.Errorf("%s have no order", what)
}
