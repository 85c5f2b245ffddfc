package foreign

import (
	"net/netip"
	"sync"
	"time"
)

// allowance counts what programs make the world keep on disk, by where they come from: a
// connection costs nothing, so it is not connections that are counted. It is in memory, as a
// program cannot make the host forget it.
type allowance struct {
	mu sync.Mutex
	// spent is when all that was made from there may be made again. Who is not in it has made
	// nothing, or long ago.
	spent map[netip.Prefix]time.Time
}

// maxPlaces is how many places are remembered. The others are one place, as are those of which the system
// does not say where they are: so it is bounded what programs from all the world can make, too.
const maxPlaces = 1000

// spend counts one record more from there, and says how long it has to wait; 0: it may be made.
func (a *allowance) spend(from netip.Prefix, lim Limits) (wait time.Duration) {
	each := max(1, lim.Renew/time.Duration(lim.Records))
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, remembered := a.spent[from]; !remembered && !a.room(now) {
		from = netip.Prefix{}
	}
	at := a.spent[from]
	if at.Before(now) {
		at = now
	}
	if at = at.Add(each); at.Sub(now) > each*time.Duration(lim.Records) {
		return at.Sub(now) - each*time.Duration(lim.Records)
	}
	if a.spent == nil {
		a.spent = map[netip.Prefix]time.Time{}
	}
	a.spent[from] = at
	return 0
}

// room reports whether one more place can be remembered, and forgets those that need not be.
func (a *allowance) room(now time.Time) bool {
	if len(a.spent) < maxPlaces {
		return true
	}
	for from, at := range a.spent {
		if !at.After(now) {
			delete(a.spent, from)
		}
	}
	return len(a.spent) < maxPlaces
}
