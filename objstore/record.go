package objstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"unsafe"
)

// Bits of a slot's first byte.
const (
	slotOwnVat = 1 << iota // the vat is that of the record's key, and left out
	slotPath               // a path follows
	slotBits   = slotOwnVat | slotPath
)

const (
	crcBytes = 4
	// minSlot is the shortest slot: bits, rights, number.
	minSlot = 3
	// maxPath bounds the path of a slot, in bytes.
	maxPath = 255
	// maxRecord bounds one record, so that a length that is not ours is seen as such.
	maxRecord = 1 << 28
)

// appendRecord appends the form of rec that doc.go describes, with its checksum in front.
func appendRecord(dst []byte, key Key, rec Record) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.AppendUvarint(dst, rec.LSN)
	dst = binary.AppendUvarint(dst, uint64(rec.Kind))
	dst = binary.AppendUvarint(dst, uint64(len(rec.Slots)))
	own := ownerVat(key)
	for _, s := range rec.Slots {
		dst = appendSlot(dst, own, s)
	}
	dst = append(dst, rec.Body...)
	binary.LittleEndian.PutUint32(dst[start:], recordSum(key, dst[start+crcBytes:]))
	return dst
}

func appendSlot(dst []byte, own VatID, s Slot) []byte {
	bits := byte(0)
	if s.OID.Vat == own {
		bits |= slotOwnVat
	}
	if s.Path != "" {
		bits |= slotPath
	}
	dst = append(dst, bits, s.Rights)
	if bits&slotOwnVat == 0 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.OID.Vat))
	}
	dst = binary.AppendUvarint(dst, s.OID.N)
	if bits&slotPath != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(s.Path)))
		dst = append(dst, s.Path...)
	}
	return dst
}

// recordSum covers the key, too: a record found under a key not its own is damaged.
func recordSum(key Key, rest []byte) uint32 {
	sum := crc32.Update(0, castagnoli(), viewBytes(string(key)))
	return crc32.Update(sum, castagnoli(), rest)
}

// castagnoli is a function so that the package has no variable to change.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// parseRecord reads the record of a row. The Body of the result and the paths of its slots
// are parts of raw, which nobody may change afterwards.
func parseRecord(key Key, raw []byte) (Record, error) {
	rec, err := decodeRecord(key, raw)
	if err != nil {
		return Record{}, &DamagedError{Where: rowPlace, Key: key, What: "record", Err: err}
	}
	return rec, nil
}

func decodeRecord(key Key, raw []byte) (rec Record, err error) {
	if len(raw) < crcBytes {
		return rec, errors.New("cut off")
	}
	in := cursor{rest: raw[crcBytes:]}
	if recordSum(key, in.rest) != binary.LittleEndian.Uint32(raw) {
		return rec, errors.New("wrong checksum")
	}
	rec.LSN = in.uvarint()
	kind := in.uvarint()
	slots := in.uvarint()
	if in.bad || kind > 1<<32-1 || slots > uint64(len(in.rest)/minSlot) {
		return Record{}, errors.New("malformed header")
	}
	rec.Kind = uint32(kind)
	if slots > 0 {
		rec.Slots = make([]Slot, slots)
		own := ownerVat(key)
		for i := range rec.Slots {
			in.slot(own, &rec.Slots[i])
		}
	}
	if in.bad {
		return Record{}, errors.New("malformed slot")
	}
	if len(in.rest) > 0 {
		rec.Body = in.rest
	}
	return rec, nil
}

// cursor reads a byte string from the front. After the first thing that does not fit it is
// bad, and reads zeros.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.bad, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) take(n int) []byte {
	if n > len(c.rest) {
		c.bad, c.rest = true, nil
		return make([]byte, n)
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) slot(own VatID, s *Slot) {
	head := c.take(2)
	if head[0]&^slotBits != 0 {
		c.bad = true
	}
	s.Rights = head[1]
	s.OID.Vat = own
	if head[0]&slotOwnVat == 0 {
		s.OID.Vat = VatID(binary.LittleEndian.Uint64(c.take(8)))
	}
	s.OID.N = c.uvarint()
	if head[0]&slotPath != 0 {
		s.Path = c.path()
	}
}

// path is a view, as the body is: what a record is read from never changes, be it the buffer
// of a batch or a copy of a row of the store file.
func (c *cursor) path() string {
	n := c.uvarint()
	if n == 0 || n > maxPath {
		c.bad, c.rest = true, nil
		return ""
	}
	return viewString(c.take(int(n)))
}

// viewString is b as a string, without a copy. Nobody may change b afterwards.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// viewBytes is s as bytes, without a copy. Nobody may change them.
func viewBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
