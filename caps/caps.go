package caps

import (
	"context"
	"time"
	"unsafe"
)

// This file is the vocabulary: every noun of the package in reading order, and no behaviour.
// What the nouns do stands in one file per idea: ref.go, authority.go, method.go, error.go,
// maker.go, value.go, and the codec in plan.go and the files it names.

// Ref is a capability: it designates an object and carries authority over it. There is no
// other way to reach an object. The zero Ref is null.
//
// Refs are plain values, safe for concurrent use and comparable: == compares object and
// authority, Same only the object. They may stand in state, arguments and results, alone or
// embedded in a struct; a struct whose only field is an embedded Ref is stored as that Ref.
type Ref struct {
	target Target
	auth   Authority
}

// Rights is a set of r, w, x.
type Rights uint8

// The rights, and the one word that only Attenuate understands.
const (
	Read    Rights = 1 << iota // call what reads
	Write                      // call what writes
	Run                        // start what runs
	Shallow                    // with Attenuate: do not make the result deep
)

// Authority is what a Ref carries beside its object. The zero Authority permits nothing.
type Authority struct {
	// Rights never holds Shallow.
	Rights Rights
	// Deep: whatever is obtained through the Ref is read-only and deep too.
	// Invariant: Deep implies that Rights holds neither Write nor Run.
	Deep bool
	// maker is the Maker that made the Ref; it stands here to keep Refs small.
	// Invariant: 0 only in the zero Ref, and outside of Refs.
	maker uint32
	// Gate is what the Ref came through; nil: no grant.
	Gate *Gate
}

// Terms are the conditions of a grant; its rights are those of the Ref that is granted.
type Terms struct {
	For   string    // who or what it is for; shown in listings and errors
	Until time.Time // zero: until revoked. A turn that has begun before may use it to its end
	Only  []Named   // the methods that may be called; nil: every method
	// Deep: the grant also covers whatever is obtained through it: a membrane. Without it,
	// what a holder was handed by the object's methods stays with him when the grant goes.
	// The grant's rights and Only hold for what is obtained, too, so list the methods of all
	// that is to be reached. A Ref that has crossed more than 16 membranes carries no rights.
	Deep bool
}

// Named is any descriptor.
type Named interface{ Name() string }

// SturdyRef is a capability as text, "sturdy://...": a secret that names a grant. Whoever
// has the text has the authority. It prints redacted in every form; Reveal gives the secret.
// The zero SturdyRef is none. It does not change, and is safe for concurrent use. See
// sturdyref.go for the text.
type SturdyRef struct {
	// reveal returns the text; nil in the zero SturdyRef. A string, or a pointer to one, is
	// found by whatever prints by reflection: fmt does where it may not call methods, which
	// is in an unexported field of somebody's struct and for a wrong verb. A function shows
	// its address at most. It also rules out ==, which takes the longer the more of the
	// text is right.
	reveal func() string
}

// Descriptors name what an object can be asked. They are constants: the string is the name
// on the wire and in the REPL. They are equal by value, so a package that consumes an
// object may declare the descriptors it needs, as it would declare an interface.
type (
	// Method takes an argument and returns a result.
	Method[A, R any] string
	// Query takes nothing and returns a result. The word says shape, not right: a dispenser
	// of tickets is a Query that writes.
	Query[R any] string
	// Command takes an argument and returns nothing.
	Command[A any] string
	// Action takes nothing and returns nothing.
	Action string
)

// Promise is the eventual result of a Send. It is a plain value, safe for concurrent use; the
// zero Promise is none. Whoever only wants to wait for it, waits; it becomes an object, which
// a restart does not take away, when its Ref is stored or it is given a Then.
type Promise[R any] struct{ ref Ref }

// Outcome is what a promise came to, as Then has it delivered.
type Outcome[R any] struct {
	Value R      // if Err is nil
	Err   *Error // why there is no value
}

// Done is the result of what returns nothing and the argument of what takes nothing.
type Done struct{}

// Message is a method bound to its target and argument, not yet sent. Body holds no
// authority: a Ref in the argument stands in Slots, and Body holds its place in there.
type Message struct {
	To     Ref
	Method string
	Body   []byte
	Slots  []Ref
	err    error // its argument cannot be encoded; whoever sends it is told
}

// Reply is a result: body and slots, as in Message.
type Reply struct {
	Body  []byte
	Slots []Ref
}

// Target is what stands behind a Ref: an object, a proxy, a port. Anybody may implement one
// and make Refs to it with a Maker of his own. Its methods are called concurrently.
type Target interface {
	// Deliver does what m asks with the authority that via carries, and returns when that
	// is done. It must check the authority: nobody does so before it. m and its slices are
	// the callee's to read until it returns.
	Deliver(ctx context.Context, via Ref, m Message) (Reply, error)
}

// TurnKey is the key under which a context that is a turn has what descriptors ask of it:
// MayCall(Ref) error says why a Ref may not be called from that turn, who is called there
// being handed the turn; Post(Message) Ref sends when the turn commits and returns the
// promise.
type TurnKey struct{}

// Local is a Target in this process that can be called without encoding anything. It is
// handed the caller's context, also a turn: only trusted code implements one.
type Local interface {
	Target
	// Enter checks the authority and finds the method. Frame.Entry is called next, on the
	// same goroutine, if it has the type that the caller's descriptor implies; otherwise
	// the call goes through Deliver.
	Enter(ctx context.Context, via Authority, method string) (Frame, error)
}

// Frame is a call that has been let in. It is passed by value: behind a pointer it would
// escape through the interface and cost an allocation for each call.
type Frame struct {
	Entry  any             // func(Frame, A) (R, error) for some A and R
	Turn   context.Context // the caller's context, or the callee's turn found in it
	Object any             // the callee's
	State  unsafe.Pointer  // the callee's
	Via    Authority
	Own    bool // the call is not part of a turn yet
}

// Maker is the seal of one implementer of targets: only it opens the Refs that it made.
// Keep it private. Safe for concurrent use.
type Maker struct{ id uint32 }

// Value is an argument, a result or a state without its Go type: for the REPL, for scripts
// and for tools. It is one of a closed set, see ValueOf. The zero Value is nil.
type Value struct{ v any }

// Entry is one row of a Value that is a map or a struct.
type Entry struct{ Key, Val Value }

// Shape describes a type as data, so that a world remembers what its records look like.
// Two types have compatible encodings exactly if Same says so; Name plays no part in it.
type Shape struct {
	Class  Class   `msgpack:"c"`
	Name   string  `msgpack:"n,omitempty"` // of the Go type, for people: "bank.Cents"
	Fields []Field `msgpack:"f,omitempty"` // of a struct
	Key    *Shape  `msgpack:"k,omitempty"` // of a map
	Elem   *Shape  `msgpack:"e,omitempty"` // of a list, an array, a map or an optional
	Len    int     `msgpack:"l,omitempty"` // of an array
}

// Field is one field of a struct's Shape.
type Field struct {
	Name  string `msgpack:"n"`
	Was   string `msgpack:"w,omitempty"` // the name it had before, from its tag
	Shape Shape  `msgpack:"s"`
}

// Class is the outermost part of a Shape: "bool", "int8" to "int64", "uint8" to "uint64",
// "float32", "float64", "string", "bytes", "time", "ref", "value", "list", "array", "map",
// "struct", "optional", "done"; and "again", a type inside itself, told apart by Name.
type Class string

// Code is a constant error that keeps its identity across hosts: errors.Is works on it
// anywhere. Applications declare their own, prefixed with a name that is theirs:
// "bank.example/overdraft".
type Code string

// Error is what every failed Call returns to Go code outside of turns.
type Error struct {
	Op     string // what was tried, "bank.example/account.withdraw"
	Object string // kind and short OID; never a secret
	Code   Code   // the outcome, or the application's code
	Text   string // for people, with what to do next
	Cause  Code   // what lies below the outcome, if it has a code too; may be empty
}

// Outcomes of a call that did not succeed.
const (
	ErrNotDelivered  Code = "not delivered"       // nothing happened; safe to repeat
	ErrMaybeExecuted Code = "maybe executed"      // the answer was lost
	ErrFailed        Code = "the method failed"   // with an error that has no code; nothing of the turn happened
	ErrRevoked       Code = "revoked"             // a grant on the path was revoked or ran out; nothing happened
	ErrNoRight       Code = "no right"            // the method needs a right the Ref lacks
	ErrNoMethod      Code = "no such method"      // not of this kind, or hidden by the grant
	ErrGone          Code = "object is gone"      // nothing stands behind the Ref any more
	ErrNull          Code = "null reference"      // the zero Ref was called
	ErrOverloaded    Code = "overloaded"          // a queue, a quota or a limit is full
	ErrWouldBlock    Code = "a turn cannot wait"  // it was asked for something that takes time
	ErrUnknownKind   Code = "unknown kind"        // this process does not know the object's kind
	ErrBadArgument   Code = "bad argument"        // does not decode to what the method takes
	ErrBadResult     Code = "bad result"          // it happened; the result is not of the type that the caller's descriptor has
	ErrPanicked      Code = "the method panicked" // nothing of the turn happened
	ErrDamaged       Code = "damaged"             // what is on disk of the object is not what was written
)
