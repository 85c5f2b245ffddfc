package objstore

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of Open.
var (
	// ErrInUse is returned when another process, or this one, has the world open.
	ErrInUse = errors.New("world is in use")
	// ErrNewerFormat is returned when a newer version of this package made the world.
	// Nothing has been written to it.
	ErrNewerFormat = errors.New("world has a newer format")
)

// Errors of Commit.
var (
	// ErrBatch is returned when a batch does not follow the one before or holds an
	// impossible row. It is not executed.
	ErrBatch = errors.New("bad batch")
	// ErrFull is returned when there is no room for a batch, on the disk or below
	// Options.MaxJournal. It is not executed; a later Commit may succeed.
	ErrFull = errors.New("no room")
	// ErrStopped is returned when an earlier write failed, or this one did: nothing is
	// committed any more until the world is reopened. Reads go on.
	ErrStopped = errors.New("writes have stopped")
)

// Errors of reading.
var (
	// ErrSnapshotTooOld is returned when a snapshot held up a checkpoint for longer than
	// Options.SnapshotAge and was cancelled. Take a new one.
	ErrSnapshotTooOld = errors.New("snapshot is too old")
	// ErrDamaged is returned when bytes on disk are not those that were written. Every
	// such error is a *DamagedError.
	ErrDamaged = errors.New("damaged")
	// ErrClosed is returned when the store is closed, or the snapshot released.
	ErrClosed = errors.New("closed")
)

// rowPlace is where a damaged row is whose neighbours are sound.
const rowPlace = "row"

// DamagedError names a place whose bytes are not those that were written.
// errors.Is(err, ErrDamaged) holds for it.
type DamagedError struct {
	Where string // file and offset, or "row"
	Key   Key    // of the row that cannot be read, or that was looked for; empty: none
	What  string // what is wrong there
	Err   error  // what was found; nil: nothing more to say
}

// OID is the object that the damage concerns, of a reference its target; zero: it concerns
// none in particular.
func (e *DamagedError) OID() OID {
	p, err := ParseKey(e.Key)
	if err != nil {
		return OID{}
	}
	if p.Space == spaceRef {
		return p.Target
	}
	return p.OID
}

// Error names the place, the row and what was found.
func (e *DamagedError) Error() string {
	var b strings.Builder
	b.WriteString("damaged: ")
	b.WriteString(e.Where)
	if e.Key != "" {
		fmt.Fprintf(&b, " %v", e.Key)
	}
	b.WriteString(": ")
	b.WriteString(e.What)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap makes the error one of ErrDamaged, and of its cause.
func (e *DamagedError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrDamaged}
	}
	return []error{ErrDamaged, e.Err}
}

// CheckError says that an invariant of the store does not hold.
type CheckError struct {
	Invariant int   // the number in doc.go
	Err       error // what was found
}

// Error begins with the number, as in "I4: ...".
func (e *CheckError) Error() string { return fmt.Sprintf("I%d: %v", e.Invariant, e.Err) }

// Unwrap returns what was found.
func (e *CheckError) Unwrap() error { return e.Err }
