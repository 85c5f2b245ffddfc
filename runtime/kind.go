package sturdy

import (
	"fmt"
	"path/filepath"
	"reflect"
	goruntime "runtime"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Kind is a registered behaviour, or several (see Kinds): what Open takes. Only Define and
// Kinds make one.
type Kind interface{ definitions() []*definition }

// KindOf is the kind of objects with state S. It is immutable and can be shared by worlds.
type KindOf[S any] struct{ def *definition }

// Part is one line of a Define: a method, or an older version. Only this package makes one.
type Part[S any] interface{ part(*S) func(*definition) }

// part is the only Part.
type part[S any] struct{ add func(*definition) }

func (p part[S]) part(*S) func(*definition) { return p.add }

// definition is a kind without its type parameter.
type definition struct {
	name    string
	place   string // file:line of the Define
	version int    // one above the highest From
	codec   *caps.Codec
	shape   caps.Shape
	methods []*method
	olds    map[int]*old
	faults  []string

	alloc func() *version         // with a zero state
	copy  func(*version) *version // with the same state, sharing what it points to
}

// method is one method of a kind, as Enter finds it.
type method struct {
	name        string
	op          string // kind.name, as errors begin
	need        caps.Rights
	arg, result *caps.Codec
	entry       any // func(caps.Frame, A) (R, error)
	deliver     func(caps.Frame, caps.Message) (caps.Reply, error)
	program     func(*strand) error // of a thread; nil: it is none
	outside     bool                // it runs in no turn, and can be called in none
}

// old loads what an earlier version of the kind wrote.
type old struct {
	shape caps.Shape
	load  func(*definition, []byte, []caps.Ref) (*version, error)
}

// box is a version and its state in one allocation.
type box[S any] struct {
	version
	s S
}

func newBox[S any]() *version {
	b := new(box[S])
	b.state = unsafe.Pointer(&b.s)
	return &b.version
}

func copyBox[S any](v *version) *version {
	w := newBox[S]()
	*(*S)(w.state) = *(*S)(v.state)
	return w
}

// Define makes a kind: name is the one it has in every world, prefixed with a name that is
// yours. It never fails, as it stands in a var: Open reports everything that is wrong with
// a kind, with file and line.
func Define[S any](name string, parts ...Part[S]) *KindOf[S] {
	d := &definition{name: name, version: 1, alloc: newBox[S], copy: copyBox[S], olds: map[int]*old{}}
	if _, file, line, ok := goruntime.Caller(1); ok {
		d.place = fmt.Sprintf("%s:%d", filepath.Base(file), line)
	}
	if name == "" {
		d.fault("has no name")
	}
	codec, err := caps.CodecFor(reflect.TypeFor[S]())
	if err != nil {
		d.faultEach(err)
	} else {
		d.codec, d.shape = codec, codec.Shape()
	}
	for _, p := range parts {
		p.part(nil)(d)
	}
	for n := range d.version {
		if n > 0 && d.olds[n] == nil {
			d.fault("has From for version %d and none for version %d", d.version-1, n)
		}
	}
	return &KindOf[S]{d}
}

// Kinds groups kinds, so that a package exports one value.
func Kinds(ks ...Kind) Kind { return kinds(ks) }

type kinds []Kind

func (ks kinds) definitions() (ds []*definition) {
	for _, k := range ks {
		if k == nil {
			ds = append(ds, &definition{faults: []string{"a nil Kind was passed; Define makes one"}})
			continue
		}
		ds = append(ds, k.definitions()...)
	}
	return ds
}

func (k *KindOf[S]) definitions() []*definition { return []*definition{k.def} }

// New creates an object with the given state, which is copied, and returns a Ref with every
// right. The object exists once the turn has committed. The state of kinds in a package
// that keeps S unexported can be made by that package only.
func (k *KindOf[S]) New(t *WriteTurn, state S) caps.Ref {
	t.r.check()
	t.r.depth++
	b := t.r.vat.rt.bound(k.def)
	if b == nil {
		panic(unwind{notPassed(k.def)})
	}
	w := newBox[S]()
	*(*S)(w.state) = state
	if !k.def.codec.Flat() {
		if err := k.def.codec.Own(w.state, caps.Full()); err != nil {
			panic(unwind{err})
		}
	}
	w.kind = b
	h := t.newObject(w)
	t.r.depth--
	return t.r.vat.rt.ref(h, caps.Full())
}

// From loads state that version n of the kind wrote: the loader is run when such an object
// is first touched, and what it returns is stored when the object is next written. The
// kind's own version is one above the highest n.
func From[Old, S any](n int, load func(Old) (S, error)) Part[S] {
	return part[S]{func(d *definition) {
		codec, err := caps.CodecFor(reflect.TypeFor[Old]())
		switch {
		case n < 1:
			d.fault("From(%d): versions count from 1", n)
			return
		case d.olds[n] != nil:
			d.fault("From(%d) stands twice", n)
			return
		case err != nil:
			d.fault("From(%d): %v", n, err)
			return
		}
		d.version = max(d.version, n+1)
		d.olds[n] = &old{codec.Shape(), func(d *definition, body []byte, slots []caps.Ref) (*version, error) {
			from := new(Old)
			if err := codec.Load(unsafe.Pointer(from), body, slots); err != nil {
				return nil, err
			}
			state, err := rescued(load, *from)
			if err != nil {
				return nil, fmt.Errorf("From(%d): %w", n, err)
			}
			w := newBox[S]()
			*(*S)(w.state) = state
			return w, d.codec.Own(w.state, caps.Full()) // the loader may keep what it returned
		}}
	}}
}

// rescued calls load and returns its panic as an error.
func rescued[Old, S any](load func(Old) (S, error), from Old) (s S, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", caps.ErrPanicked, p)
		}
	}()
	return load(from)
}

func (d *definition) fault(format string, args ...any) {
	d.faults = append(d.faults, fmt.Sprintf(format, args...))
}

// faultEach notes each of the errors that err joins.
func (d *definition) faultEach(err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			d.fault("%v", e)
		}
		return
	}
	d.fault("%v", err)
}

// add adds a method.
func (d *definition) add(m *method) {
	m.op = d.name + "." + m.name
	if m.name == "" {
		d.fault("has a method without a name")
	}
	if d.method(m.name) != nil {
		d.fault("has two methods named %s", m.name)
	}
	d.methods = append(d.methods, m)
}

// method finds a method by name, or returns nil. Kinds have few methods, and names that
// differ mostly differ in length: a scan beats a map until there are a good many.
func (d *definition) method(name string) *method {
	for _, m := range d.methods {
		if m.name == name {
			return m
		}
	}
	return nil
}

// clone returns a copy of base for a turn to write.
func (d *definition) clone(base *version) (*version, error) {
	w := d.copy(base)
	w.kind, w.row, w.size = base.kind, base.row, base.size
	w.prev.Store(base)
	if d.codec.Flat() {
		return w, nil
	}
	return w, d.codec.Own(w.state, caps.Full())
}

// overhead is what a state costs in memory beside its encoded size.
func (d *definition) overhead() int { return int(d.codec.Type().Size()) + objectOverhead }

// encoded is about the encoded size of a sealed version.
func (v *version) encoded() int { return v.size - v.kind.def.overhead() }

// load makes a version of what the definition's own version wrote.
func (d *definition) load(body []byte, slots []caps.Ref) (*version, error) {
	w := d.alloc()
	return w, d.codec.Load(w.state, body, slots)
}

// seal bounds the state of w. It runs with the writer's lock held.
func (d *definition) seal(w *version, rt *Runtime) error {
	size := d.codec.FixedSize()
	if size == 0 {
		var err error
		if size, err = d.codec.Seal(w.state); err != nil {
			return err
		}
	}
	w.size = size + d.overhead()
	if size > largeState {
		if size > maxState {
			return tooLarge("a state of %d bytes; the limit is %d: keep its parts in a Map or a List", size, maxState)
		}
		rt.reportLarge(d, size)
	}
	return nil
}

const (
	// objectOverhead is what a live object costs beside its state: handle, version, table.
	objectOverhead = 240
	// largeState is the encoded size from which on a kind is reported, once.
	largeState = 64 << 10
	// maxState is the encoded size that a state may have.
	maxState = 1 << 20
)

// bound is a kind in one world: its number there. Kinds that the process does not know, and
// objects that were never committed, have one without a definition.
type bound struct {
	name string
	no   uint32 // the kind row that new states are stored under
	def  *definition
}

// raw is the state of an object of a kind that this process does not know: its bytes.
type raw struct{ rec objstore.Record }
