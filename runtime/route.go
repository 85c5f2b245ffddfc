package sturdy

import (
	"cmp"
	"slices"
)

// route is what waits for one other host, in the order in which it is brought there. It has the
// letters of the mailboxes of all stand-ins for objects of that host, and of its peer's. Like the
// mailroom it is guarded by the writer's lock, and nothing that is done with it under that takes
// longer the more there is in it, but when a world is opened or the other one is another now.
//
// Invariant: a message is in stops exactly if it is in its mailbox; what is before next was
// brought, or is under way, or has gone.
type route struct {
	host    string
	at      string  // where it was found last; empty: it called us
	letters int     // in the mailboxes
	answers []*mail // outcomes to be brought, and some that have gone: these have no order
	stops   []stop  // messages, by place in the channel
	next    int     // where the next batch begins
	gone    int     // how many of stops are empty
}

// stop is a message in a route; without mail it has gone.
type stop struct {
	seq uint64
	ml  *mail
}

// routeOf is the route of the letters for target; nil if it cannot be said which host that is at.
func (v *vat) routeOf(target uint64) *route {
	host, at := v.handleOf(target).hostAt()
	if host == "" {
		return nil
	}
	r := v.mail.routes[host]
	if r == nil {
		r = &route{host: host}
		v.mail.routes[host] = r
	}
	r.at = cmp.Or(at, r.at)
	return r
}

// add puts a letter behind the others. Places rise from commit to commit, so it belongs there;
// only what is read from disk does not, and is sorted later.
func (r *route) add(ml *mail) {
	r.letters++
	if ml.answer {
		r.answers = append(r.answers, ml)
	} else {
		r.stops = append(r.stops, stop{ml.seq, ml})
	}
}

// sort puts letters in order that were added in another.
func (r *route) sort() {
	slices.SortFunc(r.stops, func(a, b stop) int { return cmp.Compare(a.seq, b.seq) })
}

// remove takes a letter out that has left its mailbox.
func (r *route) remove(ml *mail) {
	r.letters--
	if ml.answer {
		return // whoever takes it sees that it has gone
	}
	if i, ok := r.find(ml.seq); ok && r.stops[i].ml == ml {
		r.stops[i].ml = nil
		r.gone++
	}
	if r.gone > maxParcels && r.gone > len(r.stops)/2 {
		r.tidy()
	}
}

// tidy drops the empty stops: at least half of all, so that it costs each letter little.
func (r *route) tidy() {
	kept, next := make([]stop, 0, len(r.stops)-r.gone), 0
	for i, s := range r.stops {
		if i == r.next {
			next = len(kept)
		}
		if s.ml != nil {
			kept = append(kept, s)
		}
	}
	if r.next >= len(r.stops) {
		next = len(kept)
	}
	r.stops, r.next, r.gone = kept, next, 0
}

// find is where the message of that place stands, or would.
func (r *route) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(r.stops, seq, func(s stop, seq uint64) int { return cmp.Compare(s.seq, seq) })
}

// ahead is how many letters could be brought, about.
func (r *route) ahead() int { return len(r.answers) + len(r.stops) - r.next }

// take takes letters for a batch of at most so many, as far as they are durable: nothing leaves
// the host that a crash would take back. blocked says that there are some that are not yet.
func (r *route) take(most int, durable uint64) (all []*mail, blocked bool) {
	bytes := 0
	takes := func(ml *mail) bool {
		if ml.row != nil && ml.row.lsn > durable { // others behind it may not overtake it
			blocked = true
			return false
		}
		bytes += ml.size
		if len(all) == most || bytes > maxParcelBytes && len(all) > 0 {
			return false
		}
		ml.out = true
		all = append(all, ml)
		return true
	}
	// Outcomes first: they make room where messages wait for some.
	n := 0
	for ; n < len(r.answers) && (!r.answers[n].boxed || takes(r.answers[n])); n++ {
		r.answers[n] = nil
	}
	if r.answers = r.answers[n:]; len(r.answers) == 0 {
		r.answers = nil
	}
	for ; r.next < len(r.stops); r.next++ {
		if ml := r.stops[r.next].ml; ml != nil && !ml.abroad && !takes(ml) {
			break
		}
	}
	return all, blocked
}

// giveBack has a letter brought again.
func (r *route) giveBack(ml *mail) {
	if ml.answer {
		r.answers = append(r.answers, ml)
		return
	}
	i, _ := r.find(ml.seq)
	r.next = min(r.next, i)
}

// again has every message brought again that waits for its outcome.
func (r *route) again() {
	r.next = 0
	for _, s := range r.stops {
		if s.ml != nil {
			s.ml.abroad = false
		}
	}
}

// behind returns at most n messages behind the place seq that have not left.
func (r *route) behind(seq uint64, n int) (all []*mail) {
	i, _ := r.find(seq + 1)
	for ; i < len(r.stops) && len(all) < n; i++ {
		if ml := r.stops[i].ml; ml != nil && !ml.abroad && !ml.out {
			all = append(all, ml)
		}
	}
	return all
}
