package objstore

import (
	"errors"
	"fmt"
	"sync"
)

// position is a place in the journal: the first byte behind a frame.
type position struct {
	seg uint64
	off int64
}

// journal appends frames. It is used by one goroutine at a time, except for the spare,
// which a goroutine of its own prepares.
type journal struct {
	files       FS
	incarnation uint64
	limit       int64    // size of a full-grown segment
	active      *segment // nil: none since opening
	at          position // where the next frame goes. Invariant: at.seg == active.n, if active != nil
	prev        uint32   // checksum of the frame before
	spares      sync.WaitGroup
	spare       chan spare // the next segment, when it is ready; nil: not ordered
}

// spare is a segment prepared in advance, or the reason why there is none.
type spare struct {
	seg *segment
	err error
}

// errTorn says that a frame could not be written and its bytes could not be taken back, so
// that nobody knows what is on disk.
var errTorn = errors.New("bytes of a failed write could not be taken back")

// reserve makes room for n bytes in the active segment. If it fails nothing has changed on
// disk but perhaps the next segment, which holds no frame.
func (j *journal) reserve(n int) error {
	if j.active != nil && j.at.off+int64(n) <= j.active.size {
		return nil
	}
	next := j.at.seg
	if j.active != nil || j.at.off > 0 {
		next++
	}
	seg, err := j.takeSpare(next, n)
	if err != nil {
		return err
	}
	if j.active != nil {
		// All frames in it are synced; that closing fails takes nothing back.
		_ = j.active.file.Close()
	}
	j.active = seg
	j.at = position{seg: seg.n}
	j.orderSpare()
	return nil
}

// takeSpare returns segment n with room for need bytes: the spare if it will do.
func (j *journal) takeSpare(n uint64, need int) (*segment, error) {
	last := int64(0)
	if j.active != nil {
		last = j.active.size
	}
	if j.spare != nil {
		sp := <-j.spare
		j.spare = nil
		if sp.err == nil && sp.seg.n == n && sp.seg.size >= int64(need) {
			return sp.seg, nil
		}
		if sp.err == nil {
			_ = sp.seg.file.Close() // holds nothing; createSegment starts it again
		}
	}
	return createSegment(j.files, n, segmentFor(last, j.limit, need))
}

// orderSpare has the segment after the active one prepared in the background.
func (j *journal) orderSpare() {
	ready := make(chan spare, 1)
	n, size := j.active.n+1, segmentFor(j.active.size, j.limit, 0)
	j.spares.Go(func() {
		seg, err := createSegment(j.files, n, size)
		ready <- spare{seg, err}
	})
	j.spare = ready
}

// append writes one sealed frame, for which there is room, and syncs it. After an error
// that is not full the journal must not be written to any more.
func (j *journal) append(data []byte, sum uint32) (full bool, err error) {
	if _, err := j.active.file.WriteAt(data, j.at.off); err != nil {
		return j.takeBack(len(data), err)
	}
	if err := j.active.file.Sync(); err != nil {
		return false, err
	}
	j.at.off += int64(len(data))
	j.prev = sum
	return false, nil
}

// takeBack overwrites what a failed write of n bytes may have left. The bytes of a short
// write could otherwise be a whole frame, if only zeros at its end were missing.
// A full disk is the only failure after which writing goes on: any other may mean that the
// disk does not do what it is told.
func (j *journal) takeBack(n int, cause error) (full bool, err error) {
	if !isFull(cause) {
		return false, cause
	}
	err = fillZeros(j.active.file, j.at.off, min(j.at.off+int64(n), j.active.size))
	if err == nil {
		err = j.active.file.Sync()
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", errTorn, errors.Join(cause, err))
	}
	return true, cause
}

// close waits for the spare and closes the files.
func (j *journal) close() error {
	j.spares.Wait()
	var errs []error
	if j.spare != nil {
		if sp := <-j.spare; sp.seg != nil {
			errs = append(errs, sp.seg.file.Close())
		}
		j.spare = nil
	}
	if j.active != nil {
		errs = append(errs, j.active.file.Close())
	}
	return errors.Join(errs...)
}

// trim removes the segments below n. Which are left in a crash does not matter: opening
// removes them unread.
func trimJournal(files FS, below uint64) error {
	names, err := files.ReadDir()
	if err != nil {
		return err
	}
	for _, name := range names {
		if n, ok := parseSegment(name); ok && n < below {
			err = errors.Join(err, files.Remove(name))
		}
	}
	return errors.Join(err, files.SyncDir())
}
