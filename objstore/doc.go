// Package objstore keeps the records of a vat on disk: rows of bytes and references, named
// by ordered keys, changed in atomic batches, read through snapshots.
//
// Two functions are enough to begin with: Open opens a world, and Store.Commit makes a
// Batch durable. Store.Snapshot gives what has been made durable so far; Snapshot.Get and
// Snapshot.Scan read it.
//
// Things to know:
//
//   - One process has a world open; it commits one batch at a time. Snapshots and reads are
//     for any number of goroutines.
//   - A snapshot in use holds up the checkpoint. Release it. One that holds it up for longer
//     than Options.SnapshotAge is cancelled, and answers ErrSnapshotTooOld.
//   - After the first write that fails other than for want of room, nothing is committed any
//     more until the world is reopened; reads go on. A sync that has failed is never
//     repeated: the system may have dropped the bytes and report success the second time.
//   - Bytes that are not those that were written are a *DamagedError. Other rows are served.
//   - The format is numbered. A newer one is refused; older ones will be read.
//
// # How it works
//
// Commit writes a batch to the journal as one frame, with one write and one fdatasync, and
// puts its rows into the memory table, a copy-on-write tree. A checkpoint moves the rows of
// the table to the store file, a bbolt database, in one transaction, and lets go of the
// journal up to there. A read looks in the table of its snapshot, then in the store file.
// At all times, as LSNs:
//
//	store file <= oldest snapshot in use <= durable
//
// so whatever the store file holds is old enough for every snapshot, bbolt is only ever
// read in short transactions, and a snapshot is a pointer to a tree.
//
// # World directory
//
//	objects.db                 the store file: all rows as of the last checkpoint
//	objects.db.new             a store file that is being made; removed when opening
//	journal-0000000000000001   a segment of the journal; numbers go up, the lowest is the oldest
//	lock                       who has the world open: pid, program, since; locked with flock
//
// Others may keep files of their own beside these; for a small one, Store.File is how: it is
// made as NAME.new, synced and renamed, and so is there whole or not at all. After Close the
// journal is one empty segment. A world is copied by copying the directory while it is
// closed.
//
// # Store file
//
// A bbolt file with pages of 4096 bytes and two buckets. Numbers are little-endian unless
// they are part of a key; "sum" is a CRC32C of 4 bytes; a varint is that of encoding/binary.
//
// Bucket "meta": a value is sum of name and payload, then the payload.
//
//	format      version u32
//	world       id 16 bytes, vat u64
//	lineage     lineage u64, identity of the file: text
//	checkpoint  lsn u64, next u64, incarnation u64, segment u64, offset u64, sum of the frame with that lsn
//
// The checkpoint row is written in the transaction that writes the rows. Segment and offset
// are where the journal goes on; that segment exists, be it empty. next is the first object
// number not given to an object. incarnation is the opening that made the checkpoint.
//
// Bucket "rows": a value is a link and a record.
//
//	link    sum of key and rest of the link, shared u16, more u16, then that many bytes
//	record  sum of key and rest of the record, lsn varint, kind varint, slots varint, the slots, the body
//	slot    bits u8, rights u8, vat u64 unless bit 1, number varint, path if bit 2
//	path    length varint from 1 to 255, then that many bytes
//
// The link names the key of the row before: the first shared bytes of the row's own key and
// then more. Bit 1 says that the vat is that of the key's first OID, and 0 for keys that
// have none. A path is the grants that a reference came through. The last row has the key
// ff; instead of a record it has padding.
//
// # Keys
//
//	c  kind u32                  how many objects of the kind there are
//	e  vat u64, number u64, elem  an element of the collection with that OID
//	k  kind u32                  what the kind's number stands for, and the numbers of its methods and fields
//	o  vat u64, number u64        an object
//	r  vat u64, number u64, vat u64, number u64, elem  a reference to the first OID, held by the second
//
// A key begins with the letter; numbers in it are big-endian. The elem of a reference is the
// holder's element that has it, and empty if the holder's state has it. What the bodies mean
// is the runtime's business.
//
// # Journal
//
// Segments are made full of zeros and synced before the first frame goes in, the next one
// while the present one is in use. Frames follow each other from offset 0, each padded with
// zeros to a multiple of 512 bytes; a frame that does not fit goes to the next segment.
//
//	0   magic "Sjf1"
//	4   sum of everything behind it
//	8   length u32, of header and rows
//	12  sum of the frame before
//	16  incarnation u64 of the opening that wrote it
//	24  lsn u64
//	32  base u64, the lsn of the frame before
//	40  next u64
//	48  rows: key length u16, record length u32 or 0 if deleted, key, record
//
// A frame is written only after the one before is synced. So when reading meets something
// that is not the frame that must follow, exactly one question decides: is there, anywhere
// behind, a good frame with a higher lsn? If so, frames that were acknowledged are damaged,
// and Open refuses with their place. If not, it is the torn rest of a write that nobody was
// answered for, and is zeroed. What cannot be decided is damage to the very last frame: it
// looks like a torn one. Nor can it be seen that somebody has removed the newest segments
// whole, if they are not the one that the checkpoint names.
//
// # Versions
//
//	1  the first
//
// # Invariants
//
// Check verifies them, and names them by number.
//
//	I1  the checkpoint's lsn <= the lsn of every snapshot in use <= the newest durable lsn
//	I2  the groups in memory follow each other from the checkpoint to the newest; next never falls
//	I3  the memory table holds the newest row of each key in the groups, and no other
//	I4  every row has its checksums and a key of a known form
//	I5  the links of the rows in the store file form one chain over all of them
//	I6  no row is newer than the snapshot; no object of the own vat has a number from next on
//	I7  the pages of the rows are in order, used once, and not on bbolt's free list
//	I8  the journal's files hold exactly the groups in memory, and nothing behind them
//
// # Rejected
//
// A journal of somebody else: see recover.go for what one must decide. Rows in more than
// one bucket, or a bucket per object: composite keys are smaller and faster. Checksums of
// pages: see link.go. bbolt's cursor for reading: see pages.go. Incarnations that are
// written to the store file at each opening: two syncs for a number that frames carry
// anyway.
package objstore
