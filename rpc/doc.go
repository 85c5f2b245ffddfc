// Package rpc connects worlds: an object on another host is called, stored, attenuated and
// granted like any other. Attach is the function to begin with; what it returns, a Node, is
// closed before the world is.
//
//	node, err := rpc.Attach(rt, rpc.Options{Listen: "localhost:7070"})
//	...
//	defer node.Close()
//
// From then on rt.Restore opens sturdy refs of other hosts, and this host's are opened by
// others. There is nothing else to learn: a Ref does not say where its object is, and a call
// of it goes there. What differs is what can go wrong (the outcomes below) and that a turn
// cannot wait: a call to another host is made outside of turns, from Go code or in a
// Thread's Step.
//
// # Hosts
//
// A host is its Ed25519 key, the file "key" of its world, and its name a hash of the public
// one. Connections over TCP are TLS 1.3 with certificates that both sides make of their keys
// for themselves: nobody needs an authority, and who answers at an address with another key
// than the sturdy ref names is refused before anything is said to him. Where a host may be
// found is a hint: Options.Peers says so first, then the sturdy ref, to which a host that
// listens adds its own address, then where the host was found when a Ref came from it. A host
// that has called can be called back over its own connection. A sturdy ref names no socket of
// this machine: whoever wrote it has no say about those.
//
// A host also listens at the socket "sock" in its world's directory, which only the owner of
// the directory can open. Whoever comes by there is handed the root, with every right, and
// operates the host, see Operator: the owner of the directory could read all of it anyway.
//
// Programs that speak Cap'n Proto come to the same doors: over TLS without a certificate, or at
// the socket. They prove nothing, and what they may do follows from the sturdy refs that they
// have; see package foreign. Foreign, As and AsKind of a Node are for servers of others.
//
// # How a call travels
//
//	Say.Call(ctx, seat, "hi")      seat is a Ref to a stand-in, see remote.go of the runtime
//	(*Node).Deliver                finds the link to the host, or makes one
//	(*link).call                   a request with the token that seat has there, the method,
//	                               the argument's bytes and a token for each Ref in it
//	(guest).deliver                at the other host: the token becomes a Ref again, which
//	                               checks authority like any Ref; the answer leaves when what
//	                               it says is durable
//
// A token is made by the host of an object for one other host, and is proof by itself: see
// token.go of the runtime. So no side keeps a table of what it has given to whom, a
// reconnection or a restart of either costs a Ref nothing, and what a peer was given it can
// hand to nobody else but back.
//
// A Ref that is passed on to a third host leads through the one that passed it on, and stays so.
// The host of the object could make a token for the third one; but then that has two ways to one
// object, and nothing tells it when the longer one is empty, so that what it sends by both would
// overtake itself. And the one in the middle would have no say any more: what it cuts off, by a
// grant, by a membrane or by going, the shorter way would not know of.
//
// A call that is begun and not waited for, see Method.Begin of caps, can be called on before its
// result is known: that leaves with it, names the request whose result it is for, and waits at
// the other host, see begin.go. So a chain of calls costs one way there and back.
//
// A message that is sent goes the same way in batches, and stays here until its outcome is back:
// see courier.go and peer.go of the runtime.
//
// # Outcomes
//
// A call is made at most once. Its error says which of these is true: nothing happened
// (caps.ErrNotDelivered: the host could not be reached, the answer to nothing was lost), it is
// not known (caps.ErrMaybeExecuted: the link broke when the call was on its way), or what the
// other host says, with the same code as there. Deadlines and cancellation travel; a method
// that has begun over there runs to its end.
//
// # Hosts that come and go
//
// Nobody has to know. Who wants to has (*Node).Hosts for how they are, (*Node).Events for who was
// lost and who came back, (*Node).Broken to wait until the host of one object is lost, and Where
// of the runtime for which host that is. A Ref is not broken by any of it.
//
// A host that has sent letters is remembered here: see forget.go of the runtime for how long, and
// for what becomes of its letters if it comes back later than that.
//
// # Limits
//
// See Limits, seats.go for who is let in when all places are taken, and lookout.go for how one who
// asks for little is heard beside those who ask without end. Everything that a peer sends is
// hostile until parsed, and everything that it can make us keep is counted. A peer that breaks the rules, is silent for too long or does not
// read what it asked for is disconnected, which the Refs that lead there survive.
package rpc
