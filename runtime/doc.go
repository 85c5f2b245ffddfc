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
