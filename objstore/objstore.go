package objstore

import (
	"context"
	"io"
	"io/fs"
	"os"
	"time"
)

// This file is the vocabulary: every noun of the package in reading order, and no behaviour.

// VatID names a vat for ever. It is random, and zero only in the zero OID.
type VatID uint64

// OID names an object for ever: the vat it was born in and a number that this vat has given
// to no other. The zero OID names nothing.
type OID struct {
	Vat VatID
	N   uint64
}

// Key is the name of a row: an ordered byte string. ObjectKey, ElementKey, RefKey, KindKey
// and CountKey make them; doc.go lists the forms.
type Key string

// Slot is one reference out of a record, with the authority that goes with it. The store
// keeps authority under the record's checksum and does not interpret it.
type Slot struct {
	OID    OID
	Rights uint8 // of the reference, as its owner encodes them
	// Path is the grants that the reference came through, as the runtime writes them:
	// numbers as varints, one after the other; empty: none. Invariant: at most 255 bytes;
	// Commit refuses a longer one.
	Path string
}

// Record is the value of a row. Body and Slots of a Record that the store hands out must not
// be changed: they may be shared.
type Record struct {
	LSN   uint64 // of the turn that wrote it
	Kind  uint32 // number of the row that describes kind and version; zero: none
	Slots []Slot
	Body  []byte
}

// Batch is what one group of turns changes, and the unit of atomicity on disk: after a crash
// all of it is there or nothing. The zero Batch is empty. It is not safe for concurrent use,
// and not to be touched after Commit has been called with it.
type Batch struct {
	// LSN is that of the newest turn in the batch.
	LSN uint64
	// Base is the LSN of the batch before. Invariant: Base < LSN, and Commit refuses a batch
	// whose Base is not the newest LSN it has committed.
	Base uint64
	// Next is the first object number of the vat that has not been given to an object.
	Next uint64

	buf  []byte // the frame as it will be written, header reserved in front
	rows []row  // where the rows are in buf
	err  error  // the first thing wrong with a row; Commit returns it
}

// Committer makes batches durable, in order. Store is one; a Raft group is another.
type Committer interface {
	// Commit returns nil when b is durable. An error wraps ErrFull if b is certainly not
	// executed and a later Commit may succeed, ErrBatch if b itself is wrong and not
	// executed, ErrStopped if nothing will be committed any more (b may or may not be
	// found after reopening), ErrClosed if the committer is. One Commit runs at a time.
	Commit(ctx context.Context, b *Batch) error
}

// Options for Open. Each zero value is a sensible default.
type Options struct {
	Files           FS               // nil: the operating system's
	Clock           func() time.Time // nil: time.Now; asked for snapshot ages and checkpoints
	Random          io.Reader        // nil: crypto/rand; world, vat and incarnation ids come from it
	CheckpointBytes int64            // of journal, that start a checkpoint; 0: 64 MiB
	CheckpointEvery time.Duration    // between checkpoints, if there is anything to move; 0: 30 s
	MaxJournal      int64            // bytes at which Commit waits for the checkpoint; 0: 256 MiB
	SnapshotAge     time.Duration    // after which a snapshot that holds up a checkpoint is cancelled; 0: 10 s
	ReadOnly        bool             // change nothing on disk; beside a live opener it is refused, too
	Events          Events           // what the store reports
}

// Events are told what happens; nil functions are not called. They are called from inside
// Commit and from the store's own goroutine, and must return at once.
type Events struct {
	Synced       func(rows int, bytes int, took time.Duration)   // a batch became durable
	Checkpointed func(rows int, bytes int64, took time.Duration) // rows moved to the store
	Failed       func(op string, err error)                      // writes have stopped for good
}

// FS is the door to the disk: production and fault injection use the same one. An FS is the
// directory of one world; names are those of files in it. All methods are safe for
// concurrent use.
type FS interface {
	// Lock takes the world for the caller until unlock is called; since is when. A shared
	// lock writes nothing, and several may be held. A world that somebody else has is an
	// error that wraps ErrInUse and says who that is.
	Lock(since time.Time, shared bool) (unlock func() error, err error)
	// Identity tells the file of that name from every copy of it, at least while both
	// exist. The empty string means that the system cannot tell.
	Identity(name string) (string, error)
	// OpenFile opens name as os.OpenFile does.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// OpenMapped opens the file that bbolt maps into memory, which must be a real one.
	OpenMapped(name string, flag int, perm fs.FileMode) (*os.File, error)
	Rename(from, to string) error
	Remove(name string) error
	// ReadDir lists the names in the world's directory, sorted.
	ReadDir() ([]string, error)
	// SyncDir makes creations, renames and removals durable.
	SyncDir() error
}

// File is an open file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	// Sync makes the content durable (fdatasync where there is one).
	Sync() error
	Size() (int64, error)
	Close() error
}
