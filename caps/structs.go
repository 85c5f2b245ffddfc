package caps

import (
	"strconv"
	"unsafe"
)

// structure reads a struct. Fields may come in any order; in the declared one, which is
// how we write them, finding a field is one comparison with the bytes of its name.
func (d *decoder) structure(n *node, p unsafe.Pointer, depth int) *fault {
	if depth > maxDepth {
		return faultf("nested deeper than %d", maxDepth)
	}
	h := d.head()
	if h.form == formNil && n.op == opDone {
		return nil // as other languages write it
	}
	if h.form != formMap {
		return mismatch(h, n)
	}
	count := int(h.n)
	if count > len(n.fields) {
		return d.unknown(n, count)
	}
	for i := range count {
		f := &n.fields[i]
		if !d.skip(f.code) {
			return d.unordered(n, p, i, count, depth)
		}
		if fault := d.decode(f.node, at(p, f.off), depth); fault != nil {
			return fault.in(f.name)
		}
	}
	return nil
}

// skip moves past code if it is what comes next.
func (d *decoder) skip(code string) bool {
	end := d.pos + len(code)
	if end > len(d.body) || string(d.body[d.pos:end]) != code {
		return false
	}
	d.pos = end
	return true
}

// unordered reads the fields from the i-th on, in any order; those before stood in order.
func (d *decoder) unordered(n *node, p unsafe.Pointer, i, count, depth int) *fault {
	seen := make([]bool, len(n.fields))
	for j := range i {
		seen[j] = true
	}
	for ; i < count; i++ {
		name, fault := d.name()
		if fault != nil {
			return fault
		}
		j := n.find(name)
		if j < 0 {
			return unknownField(n, name)
		}
		f := &n.fields[j]
		if seen[j] {
			return faultf("the field %s twice", f.name)
		}
		seen[j] = true
		if fault := d.decode(f.node, at(p, f.off), depth); fault != nil {
			return fault.in(f.name)
		}
	}
	return nil
}

func (d *decoder) name() ([]byte, *fault) {
	h := d.head()
	if h.form != formStr {
		return nil, faultf("%s; the name of a field is wanted", h)
	}
	return d.payload(h), nil
}

// find is the index of the field that is or was called name, or -1.
func (n *node) find(name []byte) int {
	was := -1
	for i := range n.fields {
		switch f := &n.fields[i]; string(name) {
		case f.name:
			return i
		case f.was:
			was = i
		}
	}
	if len(name) == 0 {
		return -1
	}
	return was
}

// unknown names a field of a map that has more of them than n.
func (d *decoder) unknown(n *node, count int) *fault {
	for range count {
		name, f := d.name()
		if f != nil {
			return f
		}
		if n.find(name) < 0 {
			return unknownField(n, name)
		}
		if _, f := d.value(0); f != nil {
			return f
		}
	}
	return faultf("%d fields; %d are known", count, len(n.fields))
}

func unknownField(n *node, name []byte) *fault {
	text := strconv.Quote(string(name[:min(len(name), 40)]))
	if plain := text[1 : len(text)-1]; plain == string(name) && plain != "" {
		text = plain
	}
	if len(name) > 40 {
		return faultf("no field %s…", text)
	}
	names := make([]string, len(n.fields))
	for i, f := range n.fields {
		names[i] = f.name
	}
	if guess := near(string(name), names); guess != "" {
		return faultf("no field %s; %s?", text, guess)
	}
	return faultf("no field %s", text)
}
