package foreign

import (
	"cmp"
	"time"
)

// Limits bound what one foreign program can make this host hold or wait for. The zero value
// is the defaults; so is each field that is zero or negative. The errors name the field.
type Limits struct {
	// MessageBytes is the size of the largest message, both ways: 4 MiB, at least 4 KiB.
	MessageBytes int
	// Calls is how many calls of one program are under way at once, also those that wait for
	// the result of another: 1024. The next fail with caps.ErrOverloaded.
	Calls int
	// Answers is how many answers are kept for a program that has not said that it is done
	// with them: 4096. Beyond that calls fail, and beyond twice that the connection ends.
	Answers int
	// BytesInFlight is how many bytes of calls and of results with capabilities are kept for
	// one program, and how many may wait for it to read them: 16 MiB. Less than MessageBytes
	// counts as MessageBytes.
	BytesInFlight int
	// Exports is how many capabilities of this host one program may hold: 10,000.
	Exports int
	// Imports is how many capabilities of one program this host holds: 10,000.
	Imports int
	// Slots is how many capabilities one message may carry: 1024.
	Slots int
	// Records is how many grants programs that come from one address of IPv4, or from one network of
	// IPv6, may make with grant and save before they have to wait: 1000. The next fail with
	// caps.ErrOverloaded. Who comes over the socket is counted by connection, as whoever can open
	// that can write to the disk anyway.
	Records int
	// Renew is how long it takes until all of Records may be made again, one after the other: 24 h.
	Renew time.Duration
	// Values is how many values a message may stand for: 1,000,000. Pointers to one place count
	// each time.
	Values int
	// Write is how long a program may read nothing of what waits for it: 60 s.
	Write time.Duration
	// Frame is how long a message may take to arrive, once it has begun: 60 s.
	Frame time.Duration
	// Idle is how long a program may be silent while no call is under way and this host holds
	// none of its capabilities: 1 h. That its machine is gone is found sooner, by the system.
	Idle time.Duration
}

const leastMessage = 4 << 10

func (lim Limits) withDefaults() Limits {
	for _, n := range [...]struct {
		p  *int
		is int
	}{
		{&lim.MessageBytes, 4 << 20},
		{&lim.Calls, 1024},
		{&lim.Answers, 4096},
		{&lim.BytesInFlight, 16 << 20},
		{&lim.Exports, 10_000},
		{&lim.Imports, 10_000},
		{&lim.Slots, 1024},
		{&lim.Records, 1000},
		{&lim.Values, 1_000_000},
	} {
		*n.p = cmp.Or(max(*n.p, 0), n.is)
	}
	lim.MessageBytes = max(lim.MessageBytes, leastMessage)
	lim.BytesInFlight = max(lim.BytesInFlight, lim.MessageBytes)
	lim.Renew = cmp.Or(max(lim.Renew, 0), 24*time.Hour)
	lim.Write = cmp.Or(max(lim.Write, 0), time.Minute)
	lim.Frame = cmp.Or(max(lim.Frame, 0), time.Minute)
	lim.Idle = cmp.Or(max(lim.Idle, 0), time.Hour)
	return lim
}
