// Package peers measures other ways to keep a program's state beside Sturdy: in the same run,
// on the same disk, with the same work. It is a module of its own so that nobody who imports
// Sturdy inherits what it depends on.
//
// The work is a read-modify-write of one object of 100 bytes out of many, by some number of
// callers at once; each call returns when its change is on disk. Every peer is used the way
// that its own manual recommends for throughput, with the same group commit where it has
// none of its own: what queued while the last sync ran is the next group, and no timer runs.
package peers

import "encoding/binary"

// ObjectSize is the number of bytes in one object: a number in the first eight, padding in
// the rest.
const ObjectSize = 100

// Peer is a durable store of objects numbered from 0. Every method is safe for concurrent
// use, except Close.
type Peer interface {
	// Add adds by to the number in an object and returns when that is durable.
	Add(key int, by int64) error
	// Transfer moves amount from one object to another, both or neither, and returns when
	// that is durable. The objects must differ.
	Transfer(from, to int, amount int64) error
	// Sum returns the sum of all numbers.
	Sum() (int64, error)
	// Close releases the store; what was acknowledged is found again by the next Open.
	Close() error
}

// Maker opens one sort of Peer.
type Maker struct {
	// Name is the peer's part in the names of the benchmarks.
	Name string
	// Open opens the store in dir. A store that is not there yet is made, with objects
	// objects whose numbers are zero.
	Open func(dir string, objects int) (Peer, error)
}

// Durable lists the peers that keep their objects on disk. A further peer is one more file
// and one more line here.
func Durable() []Maker {
	return []Maker{
		{"sturdy", openSturdy},
		{"log", openLog},
		{"ahead", openAhead},
		{"bbolt", openBolt},
		{"sqlite", openSQLite},
		{"pebble", openPebble},
	}
}

// object is one object as bytes.
type object [ObjectSize]byte

// number returns the number in o.
func number(o []byte) int64 { return int64(binary.LittleEndian.Uint64(o)) }

// plus returns o with by added to its number.
func plus(o []byte, by int64) (sum object) {
	copy(sum[:], o)
	binary.LittleEndian.PutUint64(sum[:], uint64(number(o)+by))
	return sum
}

// fresh returns object key as it is before its first change. The padding differs from
// object to object, so that no peer gains from compressing it.
func fresh(key int) (o object) {
	x := uint64(key)*2654435761 + 88172645463325252
	for i := 8; i < len(o); i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		o[i] = byte(x)
	}
	return o
}

// rowKey is the key of an object in a store whose keys are ordered bytes.
func rowKey(key int) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(key))
}
