package caps

import "unsafe"

// EachRef calls visit for every Ref in the sealed value at p, null ones included, until it
// returns an error, which is then EachRef's.
func (c *Codec) EachRef(p unsafe.Pointer, visit func(Ref) error) error {
	return c.root.eachRef(p, visit)
}

func (n *node) eachRef(p unsafe.Pointer, visit func(Ref) error) error {
	if !n.refs {
		return nil
	}
	switch n.op {
	case opRef:
		return visit(*(*Ref)(p))
	case opValue:
		return (*Value)(p).eachRef(visit)
	case opStruct:
		for i := range n.fields {
			if err := n.fields[i].eachRef(at(p, n.fields[i].off), visit); err != nil {
				return err
			}
		}
	case opArray:
		return n.elem.eachElem(p, n.len, visit)
	case opList:
		h := (*header)(p)
		return n.elem.eachElem(h.data, h.len, visit)
	case opOptional:
		if q := *(*unsafe.Pointer)(p); q != nil {
			return n.elem.eachRef(q, visit)
		}
	case opMap:
		return n.eachEntry(*(*unsafe.Pointer)(p), visit)
	}
	return nil
}

func (n *node) eachElem(p unsafe.Pointer, count int, visit func(Ref) error) error {
	for i := range count {
		if err := n.eachRef(at(p, uintptr(i)*n.size), visit); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) eachEntry(m unsafe.Pointer, visit func(Ref) error) error {
	if m == nil {
		return nil
	}
	elem := scratch(n.elem)
	for i := mapAt(n, m).MapRange(); i.Next(); {
		elem.SetIterValue(i)
		if err := n.elem.eachRef(elem.Addr().UnsafePointer(), visit); err != nil {
			return err
		}
	}
	return nil
}

func (v Value) eachRef(visit func(Ref) error) error {
	switch w := v.v.(type) {
	case Ref:
		return visit(w)
	case []Value:
		for _, e := range w {
			if err := e.eachRef(visit); err != nil {
				return err
			}
		}
	case []Entry:
		for _, e := range w {
			if err := e.Val.eachRef(visit); err != nil {
				return err
			}
		}
	}
	return nil
}
