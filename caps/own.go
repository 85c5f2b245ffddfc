package caps

import (
	"reflect"
	"time"
	"unsafe"
)

// maxElements bounds the elements that one Own visits: shared pointers and slices are
// duplicated, so a small value that shares much could grow without end.
const maxElements = 1 << 28

// Own makes the value at p independent of the one it was assigned from: slices, maps and
// what pointers point to are duplicated in place, transient fields are zeroed, and every
// Ref becomes what is left of it after it came through a Ref with authority via. It fails
// with ErrBadArgument if lists, maps and structs are nested deeper than 64, which those
// that contain themselves are; the value is then good for nothing.
func (c *Codec) Own(p unsafe.Pointer, via Authority) error {
	o := owner{via: via, narrows: via.Narrows(), left: maxElements}
	switch ok := o.own(c.root, p, 0); {
	case ok:
		return nil
	case o.left < 0:
		return badArgument("a %s of more than %d elements, counting shared ones each time; put the parts into objects of their own", goName(c.root.typ), maxElements)
	default:
		return tooDeep(c.root)
	}
}

func tooDeep(n *node) error {
	return badArgument("a %s nested deeper than %d, or one that contains itself; put the parts into objects of their own", goName(n.typ), maxDepth)
}

type owner struct {
	via     Authority
	narrows bool // via changes Refs
	left    int
}

// idle reports whether own would not change a value of n.
func (o *owner) idle(n *node) bool { return n.flat && !(n.refs && o.narrows) }

// own is false if the value is too deep or too large.
func (o *owner) own(n *node, p unsafe.Pointer, depth int) bool {
	if o.idle(n) {
		return true
	}
	switch n.op {
	case opRef:
		r := (*Ref)(p)
		*r = r.through(o.via)
	case opValue:
		if v := (*Value)(p); o.narrows {
			*v = v.through(o.via)
		}
	case opBytes:
		if b := (*[]byte)(p); *b != nil {
			fresh := make([]byte, len(*b)) // not append: this form is not zeroed first
			copy(fresh, *b)
			*b = fresh
		}
	case opList:
		return o.list(n, p, depth+1)
	case opArray:
		return o.elems(n.elem, p, n.len, depth+1)
	case opMap:
		return o.entries(n, p, depth+1)
	case opDone, opStruct:
		return o.structure(n, p, depth+1)
	case opOptional:
		return o.pointee(n, p, depth)
	}
	return true
}

func (o *owner) elems(n *node, p unsafe.Pointer, count, depth int) bool {
	if o.left -= count; depth > maxDepth || o.left < 0 {
		return false
	}
	if o.idle(n) {
		return true
	}
	for i := range count {
		if !o.own(n, at(p, uintptr(i)*n.size), depth) {
			return false
		}
	}
	return true
}

func (o *owner) list(n *node, p unsafe.Pointer, depth int) bool {
	h := (*header)(p)
	if h.data == nil {
		return true
	}
	if depth > maxDepth {
		return false
	}
	if h.len > o.left {
		o.left = -1
		return false
	}
	fresh := makeList(n, h.len)
	copyElems(n.elem, fresh.data, h.data, h.len)
	*h = fresh
	return o.elems(n.elem, h.data, h.len, depth)
}

// makeList returns a slice for n of zero elements; it is not nil.
func makeList(n *node, count int) header {
	switch e := n.elem; {
	case count == 0:
		return header{data: unsafe.Pointer(unsafe.SliceData(make([]uint64, 0)))} // aligned for any type
	case e.plain && e.size > 0:
		words := make([]uint64, (uintptr(count)*e.size+7)/8)
		return header{unsafe.Pointer(unsafe.SliceData(words)), count, count}
	case e.op == opString:
		return header{unsafe.Pointer(unsafe.SliceData(make([]string, count))), count, count}
	default:
		return header{reflect.MakeSlice(n.typ, count, count).UnsafePointer(), count, count}
	}
}

// copyElems is copy for slices whose type only n knows.
func copyElems(n *node, to, from unsafe.Pointer, count int) {
	switch {
	case n.plain:
		size := uintptr(count) * n.size
		copy(unsafe.Slice((*byte)(to), size), unsafe.Slice((*byte)(from), size))
	case n.op == opString:
		copy(unsafe.Slice((*string)(to), count), unsafe.Slice((*string)(from), count))
	default:
		reflect.Copy(reflect.SliceAt(n.typ, to, count), reflect.SliceAt(n.typ, from, count))
	}
}

func (o *owner) structure(n *node, p unsafe.Pointer, depth int) bool {
	if depth > maxDepth {
		return false
	}
	for i := range n.fields {
		f := &n.fields[i]
		if !o.own(f.node, at(p, f.off), depth) {
			return false
		}
	}
	for _, u := range n.unstored {
		zero(u.typ, at(p, u.off))
	}
	return true
}

func (o *owner) pointee(n *node, p unsafe.Pointer, depth int) bool {
	q := (*unsafe.Pointer)(p)
	if *q == nil {
		return true
	}
	if o.left--; o.left < 0 {
		return false
	}
	fresh := reflect.New(n.elem.typ).UnsafePointer()
	copyElems(n.elem, fresh, *q, 1)
	*q = fresh
	return o.own(n.elem, fresh, depth)
}

func (o *owner) entries(n *node, p unsafe.Pointer, depth int) bool {
	q := (*unsafe.Pointer)(p)
	if *q == nil {
		return true
	}
	old := mapAt(n, *q)
	if o.left -= old.Len(); depth > maxDepth || o.left < 0 {
		return false
	}
	fresh := reflect.MakeMapWithSize(n.typ, old.Len())
	key, elem := scratch(n.key), scratch(n.elem)
	for i := old.MapRange(); i.Next(); {
		key.SetIterKey(i)
		elem.SetIterValue(i)
		if !o.own(n.elem, elem.Addr().UnsafePointer(), depth) {
			return false
		}
		fresh.SetMapIndex(key, elem)
	}
	*q = fresh.UnsafePointer()
	return true
}

// mapAt is the map of n that m points to.
func mapAt(n *node, m unsafe.Pointer) reflect.Value {
	word := new(unsafe.Pointer)
	*word = m
	return reflect.NewAt(n.typ, unsafe.Pointer(word)).Elem()
}

// scratch is a variable of n's type.
func scratch(n *node) reflect.Value { return reflect.New(n.typ).Elem() }

// zero clears the t at p. Reflection could do so too, but would force what p points into
// onto the heap, in every caller of every pass.
func zero(t reflect.Type, p unsafe.Pointer) {
	if pointerFree(t) {
		clear(unsafe.Slice((*byte)(p), t.Size()))
		return
	}
	switch t.Kind() {
	case reflect.String:
		*(*string)(p) = ""
	case reflect.Slice:
		*(*header)(p) = header{}
	case reflect.Interface:
		*(*any)(p) = nil
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			zero(f.Type, at(p, f.Offset))
		}
	case reflect.Array:
		for i := range t.Len() {
			zero(t.Elem(), at(p, uintptr(i)*t.Elem().Size()))
		}
	default: // map, chan, func, pointer, unsafe.Pointer
		*(*unsafe.Pointer)(p) = nil
	}
}

// clear is zero of the type's stored and unstored parts, without looking at the type.
func (n *node) clear(p unsafe.Pointer) {
	switch n.op {
	case opString:
		*(*string)(p) = ""
	case opBytes, opList:
		*(*header)(p) = header{}
	case opTime:
		*(*time.Time)(p) = time.Time{}
	case opRef:
		*(*Ref)(p) = Ref{}
	case opValue:
		*(*Value)(p) = Value{}
	case opMap, opOptional:
		*(*unsafe.Pointer)(p) = nil
	case opArray:
		if n.plain {
			clear(unsafe.Slice((*byte)(p), n.size))
			return
		}
		for i := range n.len {
			n.elem.clear(at(p, uintptr(i)*n.elem.size))
		}
	case opDone, opStruct:
		for i := range n.fields {
			n.fields[i].clear(at(p, n.fields[i].off))
		}
		for _, u := range n.unstored {
			zero(u.typ, at(p, u.off))
		}
	default:
		clear(unsafe.Slice((*byte)(p), n.size))
	}
}
