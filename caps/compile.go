package caps

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// compiler builds the nodes of one type and collects what is wrong with it.
type compiler struct {
	home   string // package of the type compiled
	stack  []*node
	done   map[reflect.Type]*node // Invariant: only types without a fault
	all    []*node
	faults []error
}

// typeFault is one thing that is wrong with a type: whole sentences, for who wrote the type.
type typeFault string

func (f typeFault) Error() string { return string(f) }

func faultText(format string, args ...any) error { return typeFault(fmt.Sprintf(format, args...)) }

func compile(t reflect.Type) (*Codec, error) {
	if t == nil {
		return nil, errors.New("no type: a codec is for a type of its own, not for an interface")
	}
	c := compiler{home: t.PkgPath(), done: map[reflect.Type]*node{}}
	root := c.node(t, "")
	if len(c.faults) == 0 && root.height > maxDepth {
		c.fault("", t, "nested %d deep; the limit is %d.", root.height, maxDepth)
	}
	if len(c.faults) > 0 {
		return nil, errors.Join(c.faults...)
	}
	finish(c.all)
	return &Codec{root: root, shape: shapeOf(root, nil), gain: gain(c.all)}, nil
}

// gain is the most memory that a byte of our own encodings asks for, if they are as short as
// they can be, and at least leastGain.
func gain(all []*node) int {
	g := leastGain
	for _, n := range all {
		switch n.op {
		case opList, opOptional:
			g = max(g, int(n.elem.size)/n.elem.least+1)
		case opMap:
			g = max(g, mapMemory(n, 1)/(1+n.key.least+n.elem.least)+1)
		}
	}
	return g
}

// fault notes that the type at path is of no use; the text goes on after "field Pay has
// type order.Payments, ".
func (c *compiler) fault(path string, t reflect.Type, format string, args ...any) {
	place := "the type is "
	if path != "" {
		place = "field " + path + " has type "
	}
	c.faults = append(c.faults, faultText("%s%s, %s", place, goName(t), fmt.Sprintf(format, args...)))
}

// node returns the plan of t, which stands at path.
func (c *compiler) node(t reflect.Type, path string) *node {
	if n := c.done[t]; n != nil {
		return n
	}
	if n := c.again(t, path); n != nil {
		return n
	}
	before := len(c.faults)
	n := &node{typ: t, size: t.Size(), plain: pointerFree(t)}
	c.all = append(c.all, n)
	c.stack = append(c.stack, n)
	c.fill(n, t, path)
	c.stack = c.stack[:len(c.stack)-1]
	if n.fixed > maxSize {
		c.fault(path, t, "larger than 512 MiB; put the parts into objects of their own.")
	}
	if len(c.faults) == before {
		c.done[t] = n
	}
	return n
}

// again returns the node of t if t is being compiled, that is, if it holds itself.
func (c *compiler) again(t reflect.Type, path string) *node {
	i := slices.IndexFunc(c.stack, func(n *node) bool { return n.typ == t })
	if i < 0 {
		return nil
	}
	for _, n := range c.stack[i:] {
		if n.typ.Kind() == reflect.Pointer {
			c.fault(path, t, "which holds itself through a pointer; hold a caps.Ref to an object of its own, or a slice or map of values.")
			break
		}
	}
	return c.stack[i]
}

// scalars are the plans that depend on nothing but the kind: op, bound and least size.
var scalars = map[reflect.Kind]struct {
	op           op
	fixed, least int
}{
	reflect.Bool: {opBool, 1, 1},
	reflect.Int8: {opInt8, 2, 1}, reflect.Int16: {opInt16, 3, 1}, reflect.Int32: {opInt32, 5, 1}, reflect.Int64: {opInt64, 9, 1},
	reflect.Uint8: {opUint8, 2, 1}, reflect.Uint16: {opUint16, 3, 1}, reflect.Uint32: {opUint32, 5, 1}, reflect.Uint64: {opUint64, 9, 1},
	reflect.Float32: {opFloat32, 5, 5}, reflect.Float64: {opFloat64, 9, 9}, reflect.String: {opString, 0, 1},
}

// kindOf is t's kind, with int and uint replaced by what they are on this machine.
func kindOf(t reflect.Type) reflect.Kind {
	wide := t.Size() == 8
	switch k := t.Kind(); {
	case k == reflect.Int && wide:
		return reflect.Int64
	case k == reflect.Int:
		return reflect.Int32
	case k == reflect.Uint && wide:
		return reflect.Uint64
	case k == reflect.Uint:
		return reflect.Uint32
	default:
		return k
	}
}

func (c *compiler) fill(n *node, t reflect.Type, path string) {
	if s, ok := scalars[kindOf(t)]; ok {
		n.op, n.fixed, n.least, n.flat = s.op, s.fixed, s.least, true
		return
	}
	switch {
	case t == timeType:
		n.op, n.fixed, n.least, n.flat = opTime, 15, 6, true
	case t == valueType:
		n.op, n.least = opValue, 1
	case isRef(t):
		n.op, n.fixed, n.least, n.flat = opRef, 6, 1, true
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		n.op, n.least = opBytes, 1
	case t.Kind() == reflect.Slice:
		n.op, n.least, n.height = opList, 1, 1
		n.elem = c.node(t.Elem(), path+"[]")
	case t.Kind() == reflect.Array:
		c.array(n, t, path)
	case t.Kind() == reflect.Map:
		n.op, n.least, n.height = opMap, 1, 1
		c.mapKey(n, t, path)
		n.elem = c.node(t.Elem(), path+"[]")
	case t.Kind() == reflect.Pointer:
		c.optional(n, t, path)
	case t.Kind() == reflect.Struct:
		c.structure(n, t, path)
	default:
		c.refuse(t, path)
	}
}

// isRef reports whether t is Ref or a struct whose only field is an embedded Ref, or such
// a struct: a typed facade is stored as the Ref that it is.
func isRef(t reflect.Type) bool {
	for t.Kind() == reflect.Struct && t != refType && t.NumField() == 1 && t.Field(0).Anonymous {
		t = t.Field(0).Type
	}
	return t == refType
}

func (c *compiler) array(n *node, t reflect.Type, path string) {
	n.len = t.Len()
	if t.Elem().Kind() == reflect.Uint8 && n.len > 0 { // the shape of [0]byte is not that of []byte
		n.op, n.fixed, n.least, n.flat = opByteArray, 5+n.len, 2+n.len, true
		return
	}
	n.op = opArray
	n.elem = c.node(t.Elem(), path+"[]")
	n.flat, n.least, n.height = n.elem.flat, 1+n.len*n.elem.least, 1+n.elem.height
	if n.elem.fixed > 0 {
		n.fixed = 5 + product(n.len, n.elem.fixed)
	}
}

// huge is more than any size allowed, and two of them do not overflow.
const huge = math.MaxInt / 2

// product is a*b, or huge if that is less.
func product(a, b int) int {
	if b > 0 && a > huge/b {
		return huge
	}
	return a * b
}

func (c *compiler) mapKey(n *node, t reflect.Type, path string) {
	if _, ok := scalars[kindOf(t.Key())]; !ok {
		c.fault(path, t, "a map with keys of type %s; keys are bool, numbers or strings. Use a slice of structs, or a collection (sturdy.Map).", goName(t.Key()))
		return
	}
	n.key = c.node(t.Key(), path+"[key]")
}

func (c *compiler) optional(n *node, t reflect.Type, path string) {
	n.op = opOptional
	n.elem = c.node(t.Elem(), path)
	n.least, n.height, n.fixed = 1, n.elem.height, n.elem.fixed
	switch n.elem.op {
	case opRef, opValue, opList, opMap, opBytes, opOptional:
		c.fault(path, t, "a pointer to what can be null itself, so that null would mean two things. Use %s.", goName(t.Elem()))
	}
}

func (c *compiler) structure(n *node, t reflect.Type, path string) {
	if c.opaque(t, path) {
		return
	}
	n.op, n.flat, n.fixed, n.least, n.height = opStruct, true, 5, 1, 1
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		sub := f.Name
		if path != "" {
			sub = path + "." + sub
		}
		was, transient := c.tag(f, sub)
		switch {
		case transient:
			n.flat = false
			n.unstored = append(n.unstored, unstored{f.Type, f.Offset})
		case !f.IsExported():
			c.faults = append(c.faults, faultText("field %s of %s is unexported and would be lost. Rename it %s, or tag it `sturdy:\"transient\"` if it may be.", sub, structName(t), exported(f.Name)))
		default:
			c.field(n, f, was, sub)
		}
	}
	c.names(n, path)
	if len(n.fields) == 0 {
		n.op, n.fixed = opDone, 1
	}
}

func (c *compiler) field(n *node, f reflect.StructField, was, path string) {
	e := c.node(f.Type, path)
	code := string(appendString(nil, f.Name))
	n.fields = append(n.fields, field{e, f.Offset, f.Name, was, code})
	n.flat = n.flat && e.flat
	n.least += len(code) + e.least
	n.height = max(n.height, 1+e.height)
	if e.fixed > 0 && n.fixed > 0 {
		n.fixed += len(code) + e.fixed
	} else {
		n.fixed = 0
	}
}

// tag reads the tag of f: its old name, and whether it is transient.
func (c *compiler) tag(f reflect.StructField, path string) (was string, transient bool) {
	tag, ok := f.Tag.Lookup("sturdy")
	if !ok {
		return "", false
	}
	old, renamed := strings.CutPrefix(tag, "was=")
	switch {
	case tag == "transient":
		return "", true
	case renamed && old != "" && !strings.ContainsAny(old, ", "):
		return old, false
	}
	c.faults = append(c.faults, faultText("field %s has the tag sturdy:%q; it can be \"transient\" or \"was=OldName\".", path, tag))
	return "", false
}

// names checks that every stored name means one field.
func (c *compiler) names(n *node, path string) {
	for i, f := range n.fields {
		for j, g := range n.fields {
			if f.was != "" && (f.was == g.name || j < i && f.was == g.was) {
				c.faults = append(c.faults, faultText("field %s of %s was %s, and so is field %s.", strings.TrimPrefix(path+"."+f.name, "."), structName(n.typ), f.was, g.name))
			}
		}
	}
}

// pointerFree reports whether the memory of a t holds no pointers, so that it may be
// allocated and cleared as bytes.
func pointerFree(t reflect.Type) bool {
	switch k := t.Kind(); k {
	case reflect.Array:
		return t.Len() == 0 || pointerFree(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !pointerFree(t.Field(i).Type) {
				return false
			}
		}
		return true
	default:
		return k >= reflect.Bool && k <= reflect.Complex128
	}
}
