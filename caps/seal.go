package caps

import "unsafe"

// maxSize bounds an encoding, in bytes: what is larger is refused before memory is asked for.
const maxSize = 512 << 20

// Seal makes sure that the value at p can be encoded and returns an upper bound of the
// encoded size in bytes. It fails with ErrBadArgument if lists, maps and structs are nested
// deeper than 64, if a map has the key NaN, or above 512 MiB. After it, as long as the value
// does not change, Append cannot fail. Types with a FixedSize need it not.
func (c *Codec) Seal(p unsafe.Pointer) (size int, err error) {
	s := sealer{}
	s.seal(c.root, p, 0)
	switch {
	case s.fault == nil && s.size <= maxSize:
		return s.size, nil
	case s.fault == nil:
		return 0, badArgument("a %s of more than 512 MiB; put the parts into objects of their own", goName(c.root.typ))
	default:
		return 0, s.fault(c.root)
	}
}

// sealer adds up sizes until there is a fault or size is too large.
type sealer struct {
	size  int
	fault func(*node) error
}

func nanKey(n *node) error {
	return badArgument("a %s with the map key NaN, which is not equal to itself", goName(n.typ))
}

// add counts count parts of size each, and reports whether to go on.
func (s *sealer) add(count, each int) bool {
	s.size += product(count, each)
	return s.size <= maxSize && s.fault == nil
}

func (s *sealer) enter(depth int) bool {
	if depth > maxDepth {
		s.fault = tooDeep
	}
	return s.add(1, 5)
}

func (s *sealer) seal(n *node, p unsafe.Pointer, depth int) bool {
	if n.fixed > 0 && depth+n.height <= maxDepth {
		return s.add(1, n.fixed)
	}
	switch n.op {
	case opString:
		return s.add(1, 5+len(*(*string)(p)))
	case opBytes:
		return s.add(1, 5+len(*(*[]byte)(p)))
	case opValue:
		return s.value(*(*Value)(p), depth)
	case opList:
		h := (*header)(p)
		if h.data == nil {
			return s.add(1, 1) // a nil, which is no deeper than what it stands in
		}
		return s.elems(n.elem, h.data, h.len, depth+1)
	case opArray:
		return s.elems(n.elem, p, n.len, depth+1)
	case opMap:
		return s.entries(n, p, depth+1)
	case opOptional:
		if q := *(*unsafe.Pointer)(p); q != nil {
			return s.seal(n.elem, q, depth)
		}
		return s.add(1, 1)
	default: // opStruct, and what is only here because it stands too deep
		if !s.enter(depth + 1) {
			return false
		}
		for i := range n.fields {
			f := &n.fields[i]
			if !s.add(1, len(f.code)) || !s.seal(f.node, at(p, f.off), depth+1) {
				return false
			}
		}
		return true
	}
}

func (s *sealer) elems(n *node, p unsafe.Pointer, count, depth int) bool {
	if !s.enter(depth) {
		return false
	}
	if n.fixed > 0 && depth+n.height <= maxDepth {
		return s.add(count, n.fixed)
	}
	for i := range count {
		if !s.seal(n, at(p, uintptr(i)*n.size), depth) {
			return false
		}
	}
	return true
}

func (s *sealer) entries(n *node, p unsafe.Pointer, depth int) bool {
	q := *(*unsafe.Pointer)(p)
	if q == nil {
		return s.add(1, 1)
	}
	if !s.enter(depth) {
		return false
	}
	m := mapAt(n, q)
	float := n.key.op == opFloat32 || n.key.op == opFloat64
	if n.key.fixed > 0 && !float && n.elem.fixed > 0 && depth+n.elem.height <= maxDepth {
		return s.add(m.Len(), n.key.fixed+n.elem.fixed)
	}
	key, elem := scratch(n.key), scratch(n.elem)
	for i := m.MapRange(); i.Next(); {
		key.SetIterKey(i)
		elem.SetIterValue(i)
		k := key.Addr().UnsafePointer()
		if n.key.isNaN(k) {
			s.fault = nanKey
			return false
		}
		if !s.seal(n.key, k, depth) || !s.seal(n.elem, elem.Addr().UnsafePointer(), depth) {
			return false
		}
	}
	return true
}
