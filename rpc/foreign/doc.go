// Package foreign serves the objects of a world to Cap'n Proto programs, in whatever language,
// and calls theirs. Package rpc uses it: a Node tells foreign programs from other hosts by what
// they say first.
//
//	New(rt, limits).Accept(ctx, conn, Visitor{}).Serve()
//
// # What a foreign program sees
//
// sturdy.capnp: a connection begins with a Host, which opens sturdy refs; behind those are
// Refs. Every object also has the interface of its kind, with real parameters, which `sturdy
// schema` prints; shape.go says how kinds become interfaces, read.go and write.go how values
// become messages. There is no generated code.
//
// # The connection
//
// The protocol is level 1 of rpc.capnp between two parties: calls, promises, capabilities
// both ways. The messages are those of go-capnp; the state machine (conn.go, answer.go,
// question.go, tables.go) is this package's own. That of go-capnp v3.1.0-alpha.2 was read and
// rejected for a host that strangers can reach: a promise that stands twice among arguments
// blocks the connection for good with its lock held, a second Resolve of one promise panics
// where nobody can recover, a Finish cancels calls that others wait for, and nothing is
// bounded. Ours differs in these ways:
//
//   - Everything that a peer can make this host keep is counted, see Limits. What is too much
//     fails, or waits, or ends the connection, and never another connection.
//   - Calls of one object take effect in the order in which they came, and do not wait until
//     those before are durable (lane.go). Calls of several objects run side by side.
//   - A promise among the arguments is waited for before the call: objects get capabilities.
//   - A promise of the peer's is called as such for ever: Resolve is declined, so nothing is ever
//     embargoed here.
//
// Resolve is declined for these reasons. The peer passes on the calls of a promise, in order, so
// what it has become makes no other difference than a way: one there and back, if it was broken; none
// at all, if it is the peer's; and of what turns out to be an object of this host, the answers
// need not be carried there and back (tail.go). To shorten that way, too, each call from here would
// have to wait until the peer has echoed that those before it have come back, which it may
// never do; and what goes by a Ref that was narrowed would still have to go the long way, and could
// be overtaken. What a program may want of it, it would not get: a Ref says by itself what it
// leads to, so one that was handed out with a promise behind it cannot be stored afterwards either. Not
// to call the method before the promises of the peer in its arguments are resolved would give that, and
// would keep programs waiting for ever that resolve them when they have been called.
//
// # Capabilities of foreign programs
//
// One that comes as an argument is a caps.Ref like any other, which leads to its connection:
// it cannot be stored, and after the connection has ended its calls are not delivered. Cap'n
// Proto has no types on the wire, so before a Ref is called it is said what interface it has:
// As and AsKind. A call of a Ref of which nobody has said that takes the interface of the one
// kind of this world that has such a method, if there is just one. The peer is told that a
// capability is not used any more when the garbage collector has found that.
//
// A Ref that has all of such a capability can go on to another program, as an argument or a result,
// also if nobody here knows its interface. What that program calls on it is passed on as it is,
// with capabilities of all three sides in it, and so are the answers and exceptions (relay.go); it counts
// for both programs as calls of this host do. Only the methods of Ref in sturdy.capnp, which
// whatever comes from this host has, are answered here. A Ref that was narrowed goes on only after
// As or AsKind, as otherwise nobody can tell what it allows.
//
// The interface of a foreign program has no rights of ours. A method of a kind needs what it
// needs there; one of a schema of others needs w.
//
// # Outcomes
//
// What a method fails with is an exception whose reason begins with the code; sturdy.capnp
// says more. The other way round, an exception that begins with a code becomes that error,
// disconnected becomes caps.ErrMaybeExecuted, overloaded and unimplemented what they say, and
// everything else caps.ErrFailed.
package foreign
