package caps

import (
	"reflect"
	"sync"
	"time"
	"unsafe"
)

// maxDepth bounds how deep lists, maps and structs stand inside each other.
const maxDepth = 64

// Codec is the compiled plan of one Go type: how its values are made independent, bounded,
// encoded and decoded. It is immutable and safe for concurrent use.
//
// The methods take the address of a value of exactly the type Type; it is the caller who
// vouches for that. They keep no pointer to it, and it need not be on the heap.
type Codec struct {
	root  *node
	shape Shape
	gain  int // bytes of memory that a byte of an encoding may ask for
}

// op is what a node does. One switch over it, in each of the passes, takes the place of a
// closure per field: it is faster, and a pass reads from top to bottom.
type op uint8

const (
	opDone op = iota
	opBool
	opInt8
	opInt16
	opInt32
	opInt64
	opUint8
	opUint16
	opUint32
	opUint64
	opFloat32
	opFloat64
	opString
	opBytes
	opByteArray
	opTime
	opRef
	opValue
	opList
	opArray
	opMap
	opStruct
	opOptional
)

// classes are the Classes of the ops, and their texts in error messages.
var classes = [...]Class{
	opDone: "done", opBool: "bool",
	opInt8: "int8", opInt16: "int16", opInt32: "int32", opInt64: "int64",
	opUint8: "uint8", opUint16: "uint16", opUint32: "uint32", opUint64: "uint64",
	opFloat32: "float32", opFloat64: "float64", opString: "string",
	opBytes: "bytes", opByteArray: "bytes", opTime: "time", opRef: "ref", opValue: "value",
	opList: "list", opArray: "array", opMap: "map", opStruct: "struct", opOptional: "optional",
}

// node is the plan of one type. Nodes form a graph: a type that holds itself through a
// slice or a map has an edge back.
type node struct {
	typ      reflect.Type
	op       op
	flat     bool // assignment alone copies it
	refs     bool // some Ref may be inside
	plain    bool // its memory holds no pointers
	len      int  // of an array
	fixed    int  // bound of the encoded size, 0 if the value decides
	least    int  // least encoded size, not counting what lists, maps and optionals hold
	height   int  // depth that every value of the type has
	size     uintptr
	key      *node
	elem     *node
	fields   []field
	unstored []unstored
}

// field is one stored field of a struct.
type field struct {
	*node
	off       uintptr
	name, was string
	code      string // the name as it stands in the encoding
}

// unstored is a transient field: zeroed by Own, otherwise passed over.
type unstored struct {
	typ reflect.Type
	off uintptr
}

var (
	timeType  = reflect.TypeFor[time.Time]()
	refType   = reflect.TypeFor[Ref]()
	valueType = reflect.TypeFor[Value]()
)

// codecs remembers what CodecFor compiled. It is a global because it is a function of the
// program's types alone: it carries no authority, nobody can see who asked, and two
// goroutines that race store equal plans.
var codecs sync.Map // reflect.Type → compiled

type compiled struct {
	codec *Codec
	err   error
}

// CodecFor returns the codec of t, compiled once per type. The error lists every fault of
// the type, one a line, each with its field and what to do; with errors.Join's
// Unwrap() []error they can be had one by one.
func CodecFor(t reflect.Type) (*Codec, error) {
	if c, ok := codecs.Load(t); ok {
		return c.(compiled).codec, c.(compiled).err
	}
	codec, err := compile(t)
	c, _ := codecs.LoadOrStore(t, compiled{codec, err})
	return c.(compiled).codec, c.(compiled).err
}

// Type is the type that the codec is for.
func (c *Codec) Type() reflect.Type { return c.root.typ }

// Flat reports whether assignment alone makes a copy that shares nothing mutable: bool,
// numbers, strings, time.Time, Refs, and arrays and structs of those without transient
// fields. Own is then needed only for Refs that come through a deep Ref.
func (c *Codec) Flat() bool { return c.root.flat }

// HasRefs reports whether some Ref may be inside a value.
func (c *Codec) HasRefs() bool { return c.root.refs }

// FixedSize is an upper bound in bytes of the encoded size if the type alone decides it,
// else 0. Values of a type with a FixedSize need no Seal.
func (c *Codec) FixedSize() int { return c.root.fixed }

// Shape describes the type. The caller must not change what it points to.
func (c *Codec) Shape() Shape { return c.shape }

// finish computes refs, the one property that needs the whole graph.
func finish(all []*node) {
	for changed := true; changed; {
		changed = false
		for _, n := range all {
			if !n.refs && n.holdsRefs() {
				n.refs, changed = true, true
			}
		}
	}
}

func (n *node) holdsRefs() bool {
	if n.op == opRef || n.op == opValue || n.elem != nil && n.elem.refs {
		return true
	}
	for i := range n.fields {
		if n.fields[i].refs {
			return true
		}
	}
	return false
}

// at is the address of a part.
func at(p unsafe.Pointer, off uintptr) unsafe.Pointer { return unsafe.Add(p, off) }

// header is a slice in memory. Data being an unsafe.Pointer, storing one is seen by the
// garbage collector.
type header struct {
	data     unsafe.Pointer
	len, cap int
}
