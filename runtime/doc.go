// Package sturdy keeps a program's objects on disk and calls them like ordinary methods.
// The folder is runtime, so that the path says what it is; the package clause is sturdy, so
// that nothing collides with the standard library's runtime:
//
//	import sturdy "github.com/sturdyrt/sturdy/runtime"
//
// Two functions are enough to begin: [Define] makes a kind of object out of a struct and its
// methods, [Open] opens the world in a directory. From there [Runtime.Root] is the directory
// that everything is reachable from, and what stands in it is called through descriptors of
// package caps. [Runtime.Update] and [Runtime.View] run a function over several objects as
// one turn.
//
// # Rules
//
//   - What returns an error takes a ctx, and can be called inside and outside of turns; what
//     ranges or returns (V, bool) takes a turn. A turn is a context: pass it on, and the call
//     joins it. With another context it does not: a read then sees the world as it was before
//     the turn, and a write waits for the turn that makes it, until it ends after ten seconds
//     with an error that says so. Checked mode finds both at once.
//   - A turn's code may be run more than once before one run takes effect. It does no I/O,
//     waits for nothing, and changes nothing but its objects. Assigning captured variables is
//     fine, appending to them is not. [Options].Checked runs every turn twice and compares.
//   - Only the whole turn is undone. A method that returns an error after it has written
//     leaves its writes if its caller handles the error and goes on. A panic always fails
//     the turn, also when somebody recovers it half-way.
//   - Within a turn all calls of one object work on the same copy of its state, so a call
//     that comes back (A calls B calls A) sees what the outer call has written, and the
//     outer call sees what it wrote. Finish your own bookkeeping before you call out.
//   - Inside a turn a failing disk is no error value: collections end the turn, nothing of
//     it happened, and who started the turn gets the error.
//   - A state above 64 KiB encoded is logged once for its kind, above 1 MiB refused: it is
//     copied whole by each turn that writes it. Keep what grows in a [Map] or a [List].
//   - There is no delete. Drop the references.
//
// # Authority
//
// [WriteTurn.Grant] gives somebody a Ref that can be taken back; [Runtime.Save] gives it as
// text. A grant stands below those that the granted Ref had come through: a tree of objects
// of kind sturdy/grant. A Ref is (object, rights, deep, grants); what it allows is
//
//	its rights, and every grant on the way up alive, in time, and naming the method
//
// judged at the object, at each call, and once more before the reply leaves. A facet is a
// grant with Only, a caretaker a grant, a membrane one with Deep.
//
// Rules for who uses them:
//
//   - What a holder was handed through a grant stays with him when the grant goes, unless
//     that is a membrane. What a method stores or grants out of its own state stands below
//     nothing of its caller's: it acts with its own authority.
//   - Whatever comes out through a membrane is under it: results, elements, what is handed to
//     a callback that went in. Its rights and Only hold for that, too.
//   - Revoking shows in its own turn at once, and everywhere when it commits, before it is on
//     disk; whoever is refused because of it is told when it is. What a turn grants is of use
//     in that turn. If the turn fails, neither ever was.
//   - Whether a grant has run out is judged by the turn's time, for a turn of one's own also
//     when it ends. What was told to have run out stays so when the clock goes back.
//   - [Runtime.Holders], [Runtime.Breaks], [Runtime.Grants] and [Runtime.Expiring] answer who
//     can reach what, from an index of references that each group carries along.
//   - Holding a *Runtime is the operator's authority: it can reach every object.
//
// One revocation, walked through:
//
//	Grant.Revoke, (*grant).revoke      an ordinary write of the grant's object
//	(*WriteTurn).seldom                this turn sees it from here on: revokedHere
//	(*vat).commit                      the object is published as revoked; then
//	(*caps.Gates).Revoke               its gate, if it is in memory, is; a new epoch begins
//	(*caps.Gate).Check                 every gate looks up its path again, once, when it is used
//	(*vat).reply                       Revoke returns when it is on disk
//
// Awkward cases: a gate that is being loaded while its grant is revoked is loaded again, as
// the epoch has changed. A commit that fails makes every gate load again: some grants never
// were, others are not revoked after all. A grant made by the running turn cannot be read
// yet, so the turn holds its gate. A copied world cannot know what its original has revoked
// since, and refuses its texts (lineage.go).
//
// Rejected: marking the subtree (it would have to be found, and loaded); a list of revoked
// grants in memory (opening would read it); unwrapping what comes home through a membrane
// (see caps, cross); storing hashes of sturdy refs (a million to look through, or an index to
// keep, where a derived secret needs nothing); a record for each weaker text (whoever has
// one could fill the disk without asking).
//
// # What acts by itself
//
// A descriptor's Send does later what its Call does now: exactly once in effect, in order from
// each sender to each target, in a turn of its own. [WriteTurn.After], [WriteTurn.At] and
// [WriteTurn.Every] send when it is time. What a send comes to is its promise: Go code awaits
// it; its Ref can be stored, and called before it is known; Then has it delivered. A promise
// or a timer is an object only if somebody stores it.
//
// A thread runs a program that takes longer than a turn: [Runs] binds it, [WriteTurn.Spawn]
// starts it. It does everything in steps, which are recorded: [Thread.Turn], [Step] for what is
// outside, [Receive] and [Ask] for messages, [Thread.Sleep], [Thread.Loop] for what has no end.
// Its [Domain] is what it holds and the most that it may do, and its [Meter] how much.
//
// Go code at the edge takes part through a [Port], which it ranges over, and through methods
// bound with [Outside], which do I/O. [Activity] lists all that is under way.
//
// Rules for who uses them:
//
//   - What is sent in a turn leaves when that commits, and never if it fails. To send needs
//     a Ref that is not deep; what the Ref allows is judged when the message is delivered.
//   - A method's error consumes the message and breaks the promise. What never reached its
//     method (no right, no such method, revoked, gone) is kept as a dead letter as well, unless
//     a Then tells somebody. What is of a kind that this program does not know waits for one that does.
//   - An undelivered message is charged to its sender, who may have 10,000 of them or 16 MiB:
//     a turn that sends more fails with ErrOverloaded, Go code outside of turns waits. A target
//     that cannot run delays nobody else.
//   - What a program of a thread does outside of steps is done again when it goes on after a
//     wait or a restart. Let it depend on what steps return, not on the time or on the state.
//   - A message to a plain object is delivered under the ceiling of the thread that sent it;
//     one to a thread is received under that thread's.
//
// Awkward cases: two letters cannot have one number, as it is an object number, which is never
// given twice. A crash between a send and its delivery leaves the letter, one after the
// delivery leaves it delivered, as both are changes of one element in one commit. A method that
// panics each time is not delivered again; one that kills the process is. A promise that would
// come to itself is broken. A thread that is woken while its goroutine ends gets another.
//
// Rejected: a queue of messages in each sender's state (it would be copied with each turn); an
// object for each promise (most are ignored, and nothing is collected yet); replaying a program
// against a history of what it did (it forbids changing the program).
//
// # Inside
//
// One message, walked through:
//
//	counter.Add.Call(ctx, hits, 1)      caps.call: hits' target is a *handle, a caps.Local
//	(*handle).Enter                     no turn in ctx; load the object, find the method,
//	                                    check the right: bound.find
//	(*writeBody).outside                typed from here to the method, nothing is encoded
//	(*vat).begin                        wait for the writer: one write turn at a time
//	(*writeBody).once, enter            rescue is deferred around them: a panic becomes an error
//	(*WriteTurn).own                    the first write of an object copies its state
//	(*counter).add                      the method; calls with t come back in through Enter
//	(*vat).end, (*WriteTurn).seal       bound every state, so that encoding cannot fail later
//	(*vat).commit                       one LSN, one pointer store for each object
//	(*vat).reply, (*group).wait         the answer is held until the group is on disk
//	(*vat).flusher, take, encode        meanwhile: the group's newest versions become a batch,
//	objstore.Store.Commit               one append and one fdatasync for all of them,
//	(*vat).settle                       the snapshot for new readers; waiters are let go
//
// Types: a [handle] is the identity of an object, canonical while anybody holds it; a
// [version] one committed state, immutable; a [snapshot] an LSN that readers stand on; a
// [layer] the collection elements not yet on disk; a [bound] a kind in one world.
//
// Invariants, each checked by a test:
//
//   - store <= every snapshot in use, and durable <= committed, in LSNs. Only a Relaxed read
//     turn stands above durable.
//   - A published version is never changed; only the link to the one before it is.
//   - An object that is not in memory has no version that is not durable, and none older
//     that a snapshot in use needs; so the store can answer for every reader.
//   - Encoding a committed state cannot fail.
//   - A group is one batch: after a crash all of it is there or nothing.
//
// Awkward cases:
//
//   - A commit that fails (a failed sync, lost leadership) and a full disk are one operation,
//     rollback: every version above the durable snapshot is dropped. After a full disk the
//     callers learn that nothing happened, and the vat goes on. After anything else those of
//     the group that was being written learn maybe executed, those after it that nothing
//     happened, and the vat refuses writes.
//   - A reader that loaded an object's bytes, slept, and wakes after the object was written
//     and evicted again must not install what it holds: eviction leaves a fresh marker, and
//     the compare-and-swap that installs fails.
//   - A turn that needs an object that is not in memory is undone, the object loaded without
//     the writer's lock, and the turn run again, three times at most; then it loads inside.
//   - A read turn meets an object made after its snapshot (a Ref that another goroutine got
//     from a turn not yet durable): it waits for the disk and runs again on a newer one.
//
// Rejected: a lock for each object (lock sets, re-runs, deadlocks, phantoms, pre-images, and
// a scan of a million objects takes a million locks), one lock without versions (a scan
// stops all writers), pooling turns (a turn that somebody kept would come alive in another
// caller's), sync.Mutex for the writer (a caller could not stop waiting).
package sturdy
