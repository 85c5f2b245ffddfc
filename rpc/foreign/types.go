package foreign

import (
	"capnproto.org/go/capnp/v3"

	"github.com/sturdyrt/sturdy/caps"
)

// What a Cap'n Proto program sees of a kind is an iface; layout.go makes one of what a world
// remembers of the kind, load.go of a compiled schema. All of it is immutable once made.

// iface is an interface: the methods of a kind under numbers.
type iface struct {
	id    uint64
	label string // its name in the schema: "Account"
	kind  string // "example.org/bank/account"; of one that was read from a schema: its full name there
	// methods are in the order of their numbers: methods[i].ordinal == i. One that was read from
	// a schema has those that it inherits after its own.
	methods []*method
}

// method is one method of an iface.
type method struct {
	ordinal uint16
	in      uint64 // the interface that numbers it, where it was inherited; 0: the iface itself
	name    string // ours: "transfer"
	label   string // in the schema
	needs   string // for people: "r", "w" or "x"
	gone    bool   // the kind had it once; nobody else gets its number
	refused string // why it cannot be called, of one from a schema with what we cannot hold
	params  *record
	results *record
}

// record is a struct: parameters, results, or a value in one of them.
type record struct {
	label  string // its name in the schema; empty for parameters and results
	size   capnp.ObjectSize
	fields []*field // Invariant, but for what was read from a schema: fields[i].ordinal == i
	// bare: it has one field, which is the whole value, and is not a struct with that field:
	// for arguments and results that are no structs, and for optional numbers.
	bare bool
	// choice: the fields that have choice set are a union. Its tag is 16 bits at byte tagAt.
	choice bool
	tagAt  uint32
}

// field is one field of a record.
type field struct {
	ordinal uint16
	name    string // ours: "Amount"; of a bare record: empty
	label   string // in the schema: "amount"
	typ     typ
	// offset is where it stands: in bits for opBool, in bytes for other numbers, both in the
	// data section; an index into the pointer section for everything else.
	offset uint32
	gone   bool // the kind had it once; it is skipped when read and written
	choice bool // it is there if the tag of the record's union is tag
	tag    uint16
	def    uint64     // its default, of a number, as bits: what stands on the wire is XORed with it
	absent caps.Value // its default, of a pointer: what null means; nil: the zero of its type
	cost   int        // what reading absent takes from the elements of a reader
}

// typ is the type of a field or of the elements of a list.
type typ struct {
	op   op
	elem *typ    // of opList
	of   *record // of opStruct, opOptional and, with the fields key and value, of opMap
	len  int     // of an array: how many elements opList has, or bytes opData; 0: any number
	// null: the null pointer is nil, because the type is a pointer to what op says. Otherwise it
	// is the zero of the type, which is nil for bytes, lists and maps of any length. Elements of
	// a list that are structs on the wire cannot be null: box them in a bare record.
	null  bool
	names []string // of opEnum
}

// op is what a typ is, on the wire and as a value of ours.
type op uint8

const (
	opVoid     op = iota // nothing; nil
	opBool               //
	opInt8               //
	opInt16              //
	opInt32              //
	opInt64              //
	opUint8              //
	opUint16             //
	opUint32             //
	opUint64             //
	opFloat32            //
	opFloat64            //
	opText               // a string
	opData               // bytes
	opList               // null: nil
	opStruct             //
	opOptional           // a bare record or null: a pointer to what has no null of its own
	opMap                // a list of records {key, value}
	opTime               // struct Time of sturdy.capnp
	opValue              // struct Value of sturdy.capnp
	opRef                // a capability
	opEnum               // of a schema that is not ours: its name, or its number as text if it has none
	opGroup              // a record whose fields stand in the struct around it; offset has no meaning
)
