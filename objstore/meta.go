package objstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

// format is the version of everything on disk; doc.go has its history.
const format = 1

// Files of a world, beside the segments of the journal.
const (
	storeName = "objects.db"
	newSuffix = ".new"
	lockName  = "lock"
)

// Buckets of the store file, and the keys in the meta bucket.
const (
	bucketMeta = "meta"
	bucketRows = "rows"

	metaFormat     = "format"
	metaWorld      = "world"
	metaLineage    = "lineage"
	metaCheckpoint = "checkpoint"
)

// worldRow says which world this is. It never changes.
type worldRow struct {
	id  [16]byte
	vat VatID
}

// lineageRow tells copies of a world apart: lineage changes when the file is found to be
// another than the one that identity names.
type lineageRow struct {
	lineage  uint64
	identity string
}

// checkpointRow says what the rows contain and where the journal goes on from there.
// It is written in the transaction that writes the rows.
type checkpointRow struct {
	lsn, next, incarnation uint64
	sum                    uint32 // of the frame with that LSN
	at                     position
}

const (
	worldBytes      = 24
	lineageBytes    = 8 // and the identity
	checkpointBytes = 44
	maxMeta         = 4096
)

func (w worldRow) encode() []byte {
	return binary.LittleEndian.AppendUint64(append([]byte(nil), w.id[:]...), uint64(w.vat))
}

func (l lineageRow) encode() []byte {
	return append(binary.LittleEndian.AppendUint64(nil, l.lineage), l.identity...)
}

func (c checkpointRow) encode() []byte {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, c.lsn)
	b = le.AppendUint64(b, c.next)
	b = le.AppendUint64(b, c.incarnation)
	b = le.AppendUint64(b, c.at.seg)
	b = le.AppendUint64(b, uint64(c.at.off))
	return le.AppendUint32(b, c.sum)
}

func decodeWorld(b []byte) (w worldRow, err error) {
	if len(b) != worldBytes {
		return w, fmt.Errorf("%d bytes", len(b))
	}
	copy(w.id[:], b)
	w.vat = VatID(binary.LittleEndian.Uint64(b[16:]))
	return w, nil
}

func decodeLineage(b []byte) (l lineageRow, err error) {
	if len(b) < lineageBytes {
		return l, fmt.Errorf("%d bytes", len(b))
	}
	return lineageRow{lineage: binary.LittleEndian.Uint64(b), identity: string(b[lineageBytes:])}, nil
}

func decodeCheckpoint(b []byte) (c checkpointRow, err error) {
	if len(b) != checkpointBytes {
		return c, fmt.Errorf("%d bytes", len(b))
	}
	le := binary.LittleEndian
	c = checkpointRow{
		lsn: le.Uint64(b), next: le.Uint64(b[8:]), incarnation: le.Uint64(b[16:]),
		at: position{seg: le.Uint64(b[24:]), off: int64(le.Uint64(b[32:]))}, sum: le.Uint32(b[40:]),
	}
	if c.at.off < 0 {
		return c, errors.New("negative offset")
	}
	return c, nil
}

// putMeta writes one meta row with its checksum in front.
func putMeta(tx *bbolt.Tx, name string, value []byte) error {
	b, err := tx.CreateBucketIfNotExists([]byte(bucketMeta))
	if err != nil {
		return err
	}
	return b.Put([]byte(name), append(binary.LittleEndian.AppendUint32(nil, metaSum(name, value)), value...))
}

// getMeta reads one meta row.
func getMeta[T any](tx *bbolt.Tx, name string, decode func([]byte) (T, error)) (v T, err error) {
	b := tx.Bucket([]byte(bucketMeta))
	if b == nil {
		return v, metaDamage(name, errors.New("no meta bucket"))
	}
	raw := b.Get([]byte(name))
	if len(raw) < crcBytes || len(raw) > maxMeta {
		return v, metaDamage(name, fmt.Errorf("%d bytes", len(raw)))
	}
	if binary.LittleEndian.Uint32(raw) != metaSum(name, raw[crcBytes:]) {
		return v, metaDamage(name, errors.New("wrong checksum"))
	}
	if v, err = decode(raw[crcBytes:]); err != nil {
		return v, metaDamage(name, err)
	}
	return v, nil
}

func decodeFormat(b []byte) (uint32, error) {
	if len(b) != 4 {
		return 0, fmt.Errorf("%d bytes", len(b))
	}
	return binary.LittleEndian.Uint32(b), nil
}

func metaSum(name string, value []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(name), castagnoli()), castagnoli(), value)
}

func metaDamage(name string, err error) error {
	return &DamagedError{Where: storeName, What: "meta row " + name, Err: err}
}
