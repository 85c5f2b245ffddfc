package rpc

import (
	"cmp"
	"time"
)

// Limits bound what one peer can make this host hold or wait for. The zero value is the
// defaults; so is each field that is zero or negative.
//
// What has no field: a value is nested 64 deep at most, which its type or its codec refuses with
// caps.ErrBadArgument. There is no table of exports that could grow: what a peer was given, it
// holds itself. Letters of a host that wait here, and the outcomes that wait for it, are 10,000
// or 16 MiB together: the next stay where they are, and who sends on there gets ErrOverloaded in
// the end. Hosts that are remembered because of letters are 100,000.
type Limits struct {
	// Connections is how many connections others may have made to this host over the network: 128,
	// and as many through the socket. When there are as many, a place is taken from who needs
	// it least, see seats.go; the peer finds ErrNotDelivered if that is the one that just came.
	Connections int
	// Handshake is how long a peer may take to prove who it is, and then to greet: 10 s. One that
	// takes longer is disconnected: ErrNotDelivered.
	Handshake time.Duration
	// MessageBytes is the size of the largest message that is taken from a peer: 4 MiB. Less
	// than 16 KiB counts as 16 KiB, so that every error fits. Each side tells the other its own, which makes
	// caps.ErrBadArgument of a call that is larger, and caps.ErrBadResult of a result.
	MessageBytes int
	// Calls is how many requests of one peer are served at once: 1024. The next are answered
	// with caps.ErrOverloaded, and slowly. No more than 32 stand before those of other peers.
	Calls int
	// BytesInFlight is how many bytes may wait to be written to a peer before calls wait too,
	// and how many the requests may hold together that are served for it: 16 MiB. Less than
	// MessageBytes counts as MessageBytes. When as many wait, the next requests wait as well until
	// it reads; of what has begun before, as many again are kept. Beyond that, the result is dropped if
	// the peer reads nothing for a second, which it is told with caps.ErrBadResult.
	BytesInFlight int
	// Idle is how long a peer may be silent, or read nothing of what waits for it, before it
	// is given up: 60 s. After half of it, it is asked for a sign of life.
	Idle time.Duration
	// Slots is how many capabilities one message may carry: 1024. More are refused like what is
	// too large.
	Slots int
}

// leastMessage is room for the longest error, and for the fixed part of every message.
const leastMessage = 16 << 10

// Limits of single fields, the same for every host: a sender cuts or refuses what is longer,
// so that whoever exceeds them breaks the rules.
const (
	maxToken  = 4 << 10 // a target or a slot
	maxMethod = 1 << 10
	maxName   = 256 // an error's operation, object, code and cause
	maxText   = 4 << 10
	maxReason = 1 << 10
)

func (lim Limits) withDefaults() Limits {
	lim.Connections = cmp.Or(max(lim.Connections, 0), 128)
	lim.Handshake = cmp.Or(max(lim.Handshake, 0), 10*time.Second)
	lim.MessageBytes = max(cmp.Or(max(lim.MessageBytes, 0), 4<<20), leastMessage)
	lim.Calls = cmp.Or(max(lim.Calls, 0), 1024)
	lim.BytesInFlight = max(cmp.Or(max(lim.BytesInFlight, 0), 16<<20), lim.MessageBytes)
	lim.Idle = cmp.Or(max(lim.Idle, 0), 60*time.Second)
	lim.Slots = cmp.Or(max(lim.Slots, 0), 1024)
	return lim
}
