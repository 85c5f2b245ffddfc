package objstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

const (
	segmentPrefix = "journal-"
	segmentPerm   = 0o600
	// The first segment after opening is small, so that a small world is; each next one is
	// twice as long, up to maxSegment.
	firstSegment = 256 << 10
	maxSegment   = 16 << 20
	segmentUnit  = 4096
	syncUnit     = 1 << 20
)

// segment is one file of the journal. All of it has been written with zeros and synced
// before the first frame goes in, so that a frame's fdatasync has no metadata to write, and
// a full disk shows before a frame is half written.
type segment struct {
	n    uint64 // in the file's name; segments are used in the order of their numbers
	file File
	size int64
}

func segmentName(n uint64) string { return fmt.Sprintf("%s%016d", segmentPrefix, n) }

// parseSegment is the inverse of segmentName.
func parseSegment(name string) (n uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && segmentName(n) == name
}

// createSegment makes segment n with room for size bytes, durably. If that fails it leaves
// an empty file, and not none: the store file may name it.
func createSegment(files FS, n uint64, size int64) (*segment, error) {
	f, err := files.OpenFile(segmentName(n), os.O_RDWR|os.O_CREATE|os.O_TRUNC, segmentPerm)
	if err != nil {
		return nil, err
	}
	for at := int64(0); at < size && err == nil; at += syncUnit {
		// Synced bit by bit, as the frames that are written meanwhile wait for the same disk.
		if err = fillZeros(f, at, min(at+syncUnit, size)); err == nil {
			err = f.Sync()
		}
	}
	if err == nil {
		err = files.SyncDir()
	}
	if err != nil {
		return nil, errors.Join(err, f.Truncate(0), f.Close())
	}
	return &segment{n: n, file: f, size: size}, nil
}

// fillZeros writes zeros; a hole would still have to be filled by the frame's own sync.
func fillZeros(f File, from, to int64) error {
	zeros := make([]byte, min(syncUnit/4, to-from))
	for at := from; at < to; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// readWhole reads a whole file.
func readWhole(f File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); err != nil && !(errors.Is(err, io.EOF) && int64(n) == size) {
		return nil, err
	}
	return data, nil
}

// segmentFor is the size of a new segment that follows one of size last and must hold need.
func segmentFor(last, limit int64, need int) int64 {
	size := min(max(2*last, firstSegment), limit)
	return max(size, (int64(need)+segmentUnit-1)&^(segmentUnit-1))
}
