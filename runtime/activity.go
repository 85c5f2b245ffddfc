package sturdy

import "encoding/binary"

// activityNumber is the object number of the activity: the object whose elements are what is under
// way in this world. Like any others they change with the turn that changes them, so a turn
// that fails, a rollback and a crash need nothing of their own.
const activityNumber = 3

// activity is the state of that object. Its elements are
//
//	m  target u64, number u64  a letter that waits to be delivered, see letter.go
//	d  number u64              a dead letter, see dead.go
//	a  due u64, number u64     a letter that waits for its time, see alarm.go
//	p  thread u64              a thread that has not ended, see thread.go
//	r  thread u64              a thread that could run if it had a goroutine
//	h  name of a host          the number, a uvarint, of the peer that stands for it, see peer.go
//	c  rights u64              the number, a uvarint, of the domain with that ceiling, see domain.go
//	s  hash of a token         the number, a uvarint, of its stand-in, see remote.go
//
// with numbers big-endian, and times in nanoseconds since 1970.
type activity struct{ Dead int64 } // how many dead letters there are

func activityElem(space byte, ns ...uint64) string {
	b := make([]byte, 1, 17)
	b[0] = space
	for _, n := range ns {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return string(b)
}
