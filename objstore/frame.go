package objstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A frame is one batch in the journal: a header, the rows, and zeros up to a whole number of
// sectors, so that no write ever touches a sector that holds an older, synced frame.
const (
	frameMagic = uint32('S') | 'j'<<8 | 'f'<<16 | '1'<<24
	frameHead  = 48
	// sector is what a disk is taken to write whole or not at all.
	sector = 512
	// maxFrame bounds one group of turns.
	maxFrame = 1 << 30
)

// Offsets of the header's fields. All numbers are little-endian.
const (
	frameAtMagic       = 0
	frameAtSum         = 4  // CRC32C of everything behind it
	frameAtLength      = 8  // of header and rows, without the zeros
	frameAtPrev        = 12 // the sum of the frame before
	frameAtIncarnation = 16
	frameAtLSN         = 24
	frameAtBase        = 32
	frameAtNext        = 40
)

// frame is the header of a frame whose checksum has been found right.
type frame struct {
	sum, prev       uint32
	size            int // of header and rows
	incarnation     uint64
	lsn, base, next uint64
}

// seal completes the batch's buffer to the frame that is written.
func (b *Batch) seal(incarnation uint64, prev uint32) []byte {
	if b.buf == nil {
		b.buf = make([]byte, frameHead, sector)
	}
	size := b.sealed()
	for len(b.buf) < padded(size) {
		b.buf = append(b.buf, make([]byte, padded(size)-len(b.buf))...)
	}
	h := b.buf
	le := binary.LittleEndian
	le.PutUint32(h[frameAtMagic:], frameMagic)
	le.PutUint32(h[frameAtLength:], uint32(size))
	le.PutUint32(h[frameAtPrev:], prev)
	le.PutUint64(h[frameAtIncarnation:], incarnation)
	le.PutUint64(h[frameAtLSN:], b.LSN)
	le.PutUint64(h[frameAtBase:], b.Base)
	le.PutUint64(h[frameAtNext:], b.Next)
	le.PutUint32(h[frameAtSum:], crc32.Checksum(h[frameAtLength:size], castagnoli()))
	return h
}

// sealed is the length of header and rows, whether the zeros are there already or not.
func (b *Batch) sealed() int {
	if n := len(b.rows); n > 0 {
		r := b.rows[n-1]
		return r.at + r.key + r.rec
	}
	return frameHead
}

// sum is the checksum of a sealed batch.
func (b *Batch) sum() uint32 { return binary.LittleEndian.Uint32(b.buf[frameAtSum:]) }

// parseFrame reads the frame at the front of data. Its error says why there is none.
func parseFrame(data []byte) (f frame, err error) {
	le := binary.LittleEndian
	if len(data) < frameHead || le.Uint32(data[frameAtMagic:]) != frameMagic {
		return f, errors.New("no frame")
	}
	size := le.Uint32(data[frameAtLength:])
	if size < frameHead || size > maxFrame || int64(size) > int64(len(data)) {
		return f, fmt.Errorf("frame of impossible length %d", size)
	}
	f = frame{
		sum: le.Uint32(data[frameAtSum:]), prev: le.Uint32(data[frameAtPrev:]), size: int(size),
		incarnation: le.Uint64(data[frameAtIncarnation:]),
		lsn:         le.Uint64(data[frameAtLSN:]), base: le.Uint64(data[frameAtBase:]), next: le.Uint64(data[frameAtNext:]),
	}
	if crc32.Checksum(data[frameAtLength:size], castagnoli()) != f.sum {
		return f, errors.New("frame with a wrong checksum")
	}
	if f.base >= f.lsn {
		return f, fmt.Errorf("frame %d built on %d", f.lsn, f.base)
	}
	return f, nil
}

// parseRows finds the rows in the bytes of one frame.
func parseRows(data []byte) ([]row, error) {
	var rows []row
	for at := frameHead; at < len(data); {
		if len(data)-at < rowHead {
			return nil, errors.New("row header is cut off")
		}
		r := row{
			at:  at + rowHead,
			key: int(binary.LittleEndian.Uint16(data[at:])),
			rec: int(binary.LittleEndian.Uint32(data[at+2:])),
		}
		if r.key == 0 || r.key > maxKey || r.rec > maxRecord || r.at+r.key+r.rec > len(data) {
			return nil, fmt.Errorf("row %d has impossible lengths %d and %d", len(rows), r.key, r.rec)
		}
		rows = append(rows, r)
		at = r.at + r.key + r.rec
	}
	return rows, nil
}

// padded rounds up to whole sectors.
func padded(n int) int { return (n + sector - 1) &^ (sector - 1) }
