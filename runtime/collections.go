package sturdy

import (
	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// collection is the state of a Map, a List or a Cell.
type collection struct {
	Len  int64
	Key  string // letter of the keys' type, see key.go
	Elem string // shape of the elements
}

// What can be asked of any collection without its Go type, by the REPL and by tools.
const (
	collLen   caps.Query[int64]                   = "len"
	collGet   caps.Method[caps.Value, caps.Value] = "get"
	collRange caps.Method[rangeOf, []caps.Entry]  = "range"
)

// rangeOf is the argument of range: keys from From, before To, at most Limit of them.
type rangeOf struct {
	From, To caps.Value
	Limit    int64
}

func (c *collection) len(*ReadTurn) (int64, error) { return c.Len, nil }

func (c *collection) get(t *ReadTurn, key caps.Value) (v caps.Value, err error) {
	elem, err := c.key(key)
	if err != nil {
		return v, err
	}
	if rec, ok := t.element(t.self, elem); ok {
		v = decodeElement[caps.Value](t.vat.rt, elemTypeOf[caps.Value](t.vat.rt), rec, caps.Full())
	}
	return v, nil
}

func (c *collection) rows(t *ReadTurn, q rangeOf) (rows []caps.Entry, err error) {
	lo, err := c.key(q.From)
	if err != nil {
		return nil, err
	}
	hi, err := c.key(q.To)
	if err != nil {
		return nil, err
	}
	if q.Limit <= 0 || q.Limit > maxRows {
		q.Limit = maxRows
	}
	et := elemTypeOf[caps.Value](t.vat.rt)
	t.scan(t.self, lo, hi, func(elem string, rec objstore.Record) bool {
		k, _ := parseKey(elem)
		key, _ := caps.ValueOf(k)
		rows = append(rows, caps.Entry{Key: key, Val: decodeElement[caps.Value](t.vat.rt, et, rec, caps.Full())})
		return int64(len(rows)) < q.Limit
	})
	return rows, nil
}

// maxRows is how many rows one untyped range returns.
const maxRows = 10_000

// key returns the stored form of an untyped key; empty if it is nil.
func (c *collection) key(v caps.Value) (string, error) {
	switch k := v.Any().(type) {
	case nil:
		return "", nil
	case string:
		if c.Key == "s" {
			return appendKey(k), nil
		}
	case int64:
		switch {
		case c.Key == "i":
			return appendKey(k), nil
		case c.Key == "f":
			return appendKey(float64(k)), nil
		case c.Key == "u" && k >= 0:
			return appendKey(uint64(k)), nil
		}
	case uint64:
		if c.Key == "u" {
			return appendKey(k), nil
		}
	case float64:
		if c.Key == "f" && k == k {
			return appendKey(k), nil
		}
	}
	return "", &caps.Error{Code: caps.ErrBadArgument, Text: "the keys are of another type than " + v.String()}
}

// collKinds are the kinds of collections, which come with the runtime.
type collKinds struct{ mapping, list, cell *KindOf[collection] }

func newCollKinds() collKinds {
	define := func(name string) *KindOf[collection] {
		return Define(name, Query(collLen, (*collection).len), Method(collGet, (*collection).get), Method(collRange, (*collection).rows))
	}
	return collKinds{define("sturdy/map"), define("sturdy/list"), define("sturdy/cell")}
}

// opened is a collection that a typed operation works on.
type opened struct {
	t     *ReadTurn
	h     *handle
	via   caps.Authority
	state *collection
	elem  *elemType
	kind  uint32 // number of its kind row
}

// openColl finds the collection behind ref and checks authority, kind and types. It fails
// the turn if anything is wrong: that is a mistake in the program, not a state of the world.
// op is what a grant's list of methods calls the operation.
func openColl[V any](turn Turn, ref caps.Ref, kind *KindOf[collection], key string, need caps.Rights, op string) opened {
	t := turn.reads()
	t.check()
	t.depth++ // until close: a panic in between fails the turn, also if somebody swallows it
	h, via, ok := t.vat.rt.open(ref)
	if !ok || h.vat != t.vat {
		panic(unwind{notOurs(kind.def, ref)})
	}
	v, err := t.state(h)
	if err != nil {
		panic(unwind{err})
	}
	if v.kind.def != kind.def {
		panic(unwind{otherKind(h, v.kind.name, kind.def.name)})
	}
	if err := t.allows(h, via, kind.def, op, need); err != nil {
		panic(unwind{err})
	}
	o := opened{t, h, via, (*collection)(v.state), elemTypeOf[V](t.vat.rt), v.kind.no}
	if o.state.Elem != o.elem.shape || o.state.Key != key {
		panic(unwind{otherElements(h, o.state, key, o.elem)})
	}
	return o
}

// allows reports why a typed operation on h, of kind d, may not be done with authority via.
func (t *ReadTurn) allows(h *handle, via caps.Authority, d *definition, op string, need caps.Rights) error {
	if via.Gate != nil {
		if err := t.granted(h, via.Gate, op); err != nil {
			return outcome(d.name+"."+op, h, err)
		}
		if via.Gate != t.through {
			t.use(via.Gate)
		}
		t.calls++
	}
	if !via.Allows(need) {
		return noRight(&method{op: d.name + "." + op, need: need}, h, via)
	}
	if t.may != nil {
		return t.may.refuses(h, d.name+"."+op, need)
	}
	return nil
}

// scan is ReadTurn.scan that ends the turn when the grants of the Ref end.
func (o *opened) scan(lo, hi string, yield func(elem string, rec objstore.Record) bool) {
	o.t.scan(o.h, lo, hi, func(elem string, rec objstore.Record) bool {
		if err := o.t.alive(o.via); err != nil {
			panic(unwind{outcome("range", o.h, err)})
		}
		return yield(elem, rec)
	})
}

// close ends what openColl began.
func (o *opened) close() { o.t.depth-- }

// resize changes the number of elements.
func (o *opened) resize(by int64) {
	s, err := o.t.w.own(o.h)
	if err != nil {
		panic(unwind{err})
	}
	(*collection)(s).Len += by
}

func newColl[V any](t *WriteTurn, kind *KindOf[collection], key string) caps.Ref {
	t.r.check()
	return kind.New(t, collection{Key: key, Elem: elemTypeOf[V](t.r.vat.rt).shape})
}

func notOurs(d *definition, r caps.Ref) error {
	if r.IsNull() {
		return &caps.Error{Op: d.name, Code: caps.ErrNull, Text: "null reference (the zero caps.Ref). Was the field ever set?"}
	}
	return &caps.Error{Op: d.name, Code: caps.ErrWouldBlock, Text: "a turn cannot wait for " + r.String() + ", which is not of this world"}
}

func otherKind(h *handle, is, want string) error {
	return &caps.Error{Op: want, Object: h.name(), Code: caps.ErrNoMethod, Text: h.name() + " is a " + is + ", not a " + want}
}

func otherElements(h *handle, c *collection, key string, e *elemType) error {
	return &caps.Error{Object: h.name(), Code: caps.ErrBadArgument, Text: h.name() + " was made for keys of class " + c.Key + " and elements " + c.Elem + "; the program uses it with " + key + " and " + e.shape + ". The types of a collection do not change: copy it into a new one."}
}

func badKey(h *handle, elem string) error {
	return &caps.Error{Object: h.name(), Code: caps.ErrDamaged, Text: "damaged: a key of " + h.name() + " is none"}
}
