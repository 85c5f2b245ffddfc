package objstore

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// row is the place of one change in a batch's buffer: the key at at, the record behind it.
// Invariant: rec == 0 if and only if the row is deleted.
type row struct{ at, key, rec int }

// rowHead is what stands in front of each row: the lengths of key (2 bytes) and record (4).
const rowHead = 6

// Grow makes room for rows more changes of bytes in all, keys included: a guess, which saves
// copying the batch as it grows.
func (b *Batch) Grow(rows, bytes int) {
	b.rows = slices.Grow(b.rows, rows)
	if b.buf == nil {
		b.buf = make([]byte, frameHead, padded(frameHead+bytes+rows*rowHead))
		return
	}
	b.buf = slices.Grow(b.buf, bytes+rows*rowHead)
}

// Put sets the row key to rec. The last change of a key in a batch counts. Slots and Body
// are copied at once. A key, record or path that is too long is reported by Commit.
func (b *Batch) Put(key Key, rec Record) {
	at := b.begin(key)
	for i := range rec.Slots {
		if n := len(rec.Slots[i].Path); n > maxPath {
			b.fault(fmt.Errorf("%w: %v: slot %d has a path of %d bytes, the limit is %d", ErrBatch, key, i, n, maxPath))
		}
	}
	b.buf = appendRecord(b.buf, key, rec)
	size := len(b.buf) - at - len(key)
	if size > maxRecord {
		b.fault(fmt.Errorf("%w: %v: record of %d bytes, the limit is %d", ErrBatch, key, size, maxRecord))
	}
	b.end(at, len(key), size)
}

// Delete removes the row key. That there is none is no error.
func (b *Batch) Delete(key Key) { b.end(b.begin(key), len(key), 0) }

// Len is the number of changes.
func (b *Batch) Len() int { return len(b.rows) }

// Size is what the batch takes in the journal, in bytes.
func (b *Batch) Size() int { return padded(max(len(b.buf), frameHead)) }

func (b *Batch) begin(key Key) (at int) {
	if len(key) == 0 || len(key) > maxKey || key >= endKey {
		b.fault(fmt.Errorf("%w: %v: impossible key of %d bytes", ErrBatch, key[:min(len(key), 64)], len(key)))
	}
	if b.buf == nil {
		b.buf = make([]byte, frameHead, 4*sector)
	}
	b.buf = append(b.buf, 0, 0, 0, 0, 0, 0)
	at = len(b.buf)
	b.buf = append(b.buf, key...)
	return at
}

func (b *Batch) end(at, key, rec int) {
	binary.LittleEndian.PutUint16(b.buf[at-rowHead:], uint16(key))
	binary.LittleEndian.PutUint32(b.buf[at-rowHead+2:], uint32(rec))
	b.rows = append(b.rows, row{at, key, rec})
}

func (b *Batch) fault(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *Batch) check() error {
	switch {
	case b.err != nil:
		return b.err
	case b.LSN <= b.Base:
		return fmt.Errorf("%w: LSN %d is not above the base %d", ErrBatch, b.LSN, b.Base)
	case len(b.buf) > maxFrame:
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrBatch, len(b.buf), maxFrame)
	}
	return nil
}

// row is the key and the record of r, as views into the buffer; an empty record means
// deleted.
func (b *Batch) row(r row) (Key, string) {
	s := viewString(b.buf[r.at : r.at+r.key+r.rec])
	return Key(s[:r.key]), s[r.key:]
}
