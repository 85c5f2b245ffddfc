package objstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Every row of the store file begins with a link: the key of the row before it, with a
// checksum. So the file can prove that a row is absent, and a scan that it has seen all: a
// row that vanished with its page or its page's pointer breaks the chain. A checksum of the
// record alone would prove only what is still found. The last row of the chain is the end
// row, whose key is above all others.
//
// Rejected: checksums of bbolt's pages in a file of our own. Which pages a transaction
// wrote is bbolt's secret, and the two files would have to agree after every crash.

const (
	// linkHead: CRC32C of the key and the rest of the link, how many bytes the key before
	// has in common with this one, and how many more it has.
	linkHead = 8
	// endPadding makes the rows bucket too large for bbolt to keep it inside a page of
	// another bucket, where pageTree could not find it.
	endPadding = 2048
)

// appendLink begins the value of the row key, which comes after the row before.
func appendLink(dst []byte, key, before Key) []byte {
	shared := 0
	for shared < len(key) && shared < len(before) && key[shared] == before[shared] {
		shared++
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(shared))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(before)-shared))
	dst = append(dst, before[shared:]...)
	binary.LittleEndian.PutUint32(dst[start:], linkSum(key, dst[start+crcBytes:]))
	return dst
}

func linkSum(key Key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(viewBytes(string(key)), castagnoli()), castagnoli(), rest)
}

// link is a parsed link: the key before is shared bytes of the row's own key, then more.
type link struct {
	shared int
	more   []byte
}

// splitLink divides a value into its link and its record.
func splitLink(key Key, value []byte) (l link, record []byte, err error) {
	if len(value) < linkHead {
		return l, nil, errors.New("link is cut off")
	}
	l.shared = int(binary.LittleEndian.Uint16(value[4:]))
	end := linkHead + int(binary.LittleEndian.Uint16(value[6:]))
	if end > len(value) || l.shared > len(key) {
		return l, nil, errors.New("link is too long")
	}
	if linkSum(key, value[crcBytes:end]) != binary.LittleEndian.Uint32(value) {
		return l, nil, errors.New("link with a wrong checksum")
	}
	l.more = value[linkHead:end]
	return l, value[end:], nil
}

// before is the key that the link of the row key names.
func (l link) before(key Key) Key { return key[:l.shared] + Key(l.more) }

// names reports whether the link of the row key names before.
func (l link) names(key, before Key) bool {
	return len(before) == l.shared+len(l.more) && before[:l.shared] == key[:l.shared] && string(before[l.shared:]) == string(l.more)
}

// below reports whether the key that the link names is below k. It allocates nothing.
func (l link) below(key, k Key) bool {
	n := min(l.shared, len(k))
	if key[:n] != k[:n] {
		return key[:n] < k[:n]
	}
	return n == l.shared && string(l.more) < string(k[n:])
}

// broken is the error for a chain that does not prove what it must.
func broken(key, at Key, l link) error {
	return &DamagedError{
		Where: storeName, Key: key,
		What: fmt.Sprintf("rows are missing: %v says that it comes after %v", at, l.before(at)),
	}
}
