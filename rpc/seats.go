package rpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc/foreign"
)

// seat is the place of a connection that somebody has made to this host over the network.
//
// There are Limits.Connections of them. A key costs nothing, so who has only proven one is as
// much a stranger as who has proven none; known is who has shown something that this host has
// given away, or is expected. While there is room, everybody is let in. Then
//
//   - a quarter is the strangers': the next takes the place of the one that has been there
//     longest, of those that come from where most of them do;
//   - the rest is those who are known. Strangers never take more than their quarter, so those
//     who hold nothing of this host keep nobody out who does. One who is known gives up its
//     place if more come from where it does than from anywhere else, and the next one is from
//     where fewer come; or if it is at rest: nothing is under way with it. If neither holds of
//     anybody, the next one is refused.
//
// Who loses its place is told why, and connects again when it has something to ask. The Refs of a
// host lead there as before; a foreign program has to open its sturdy refs again, so one whose
// capabilities this host holds is not at rest.
//
// Rejected: refusing who comes when all is full. Whoever came first, and stayed, would have
// shut out everybody.
type seat struct {
	raw   net.Conn     // nil: it came through the socket, where there are no seats
	from  netip.Prefix // where it comes from; the zero Prefix: the system does not say
	came  time.Time
	known bool
	l     *link            // nil: nothing was proven yet, or it is none
	p     *foreign.Session // a program that is no host; nil: it is one, or it is not known yet
	sure  atomic.Bool      // it has been told, see shown
}

const (
	// strangersShare is what part of the seats is kept for those who are not known.
	strangersShare = 4
	// linksOfHost is how many connections one known host may have: one, and what is left of
	// those that broke where this host could not see it.
	linksOfHost = 4
	// atRest is how long nothing came from whom a place can be taken because of that.
	atRest = time.Second
)

// origin is where a connection comes from, as far as one who is there can choose its address: an
// address of IPv4, a network of IPv6.
func origin(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := at.Addr().Unmap(), 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// sit gives raw a seat, which may be another's; nil if there is none. With mu held.
func (n *Node) sit(raw net.Conn) *seat {
	s := &seat{raw: raw, from: origin(raw.RemoteAddr()), came: time.Now()}
	if len(n.seats) >= n.o.Limits.Connections {
		v := n.yields(s.from)
		if v == nil {
			return nil
		}
		n.evict(v, "this host has as many connections as may be")
	}
	n.seats[s] = true
	return s
}

// yields is the seat that is given to one who comes from there; with mu held.
func (n *Node) yields(from netip.Prefix) *seat {
	strangers := 0
	for s := range n.seats {
		if !s.known {
			strangers++
		}
	}
	if strangers < max(1, n.o.Limits.Connections/strangersShare) {
		if v := n.yieldsOfKnown(from); v != nil {
			return v
		}
	}
	return n.crowded(false, nil)
}

// yieldsOfKnown is a seat of one who is known, if anybody has to give it up; with mu held.
func (n *Node) yieldsOfKnown(from netip.Prefix) *seat {
	crowd := n.crowded(true, nil)
	if crowd == nil {
		return nil
	}
	here, there := 0, 0
	for s := range n.seats {
		if s.known && s.from == from {
			here++
		}
		if s.known && s.from == crowd.from {
			there++
		}
	}
	if there > here+1 {
		return crowd
	}
	return n.crowded(true, (*seat).rests)
}

// crowded is the seat that has been held longest, or at rest longest by one who is known, of
// those for whom may, from where most come; with mu held.
func (n *Node) crowded(known bool, may func(*seat) bool) (v *seat) {
	from := map[netip.Prefix]int{}
	for s := range n.seats {
		if s.known == known {
			from[s.from]++
		}
	}
	for s := range n.seats {
		if s.known != known || may != nil && !may(s) {
			continue
		}
		if v == nil || from[s.from] > from[v.from] || from[s.from] == from[v.from] && s.since().Before(v.since()) {
			v = s
		}
	}
	return v
}

// since is since when a seat could be given to another.
func (s *seat) since() time.Time {
	switch {
	case s.known && s.l != nil:
		return s.l.lastHeard()
	case s.known && s.p != nil:
		return s.p.LastHeard()
	}
	return s.came
}

// rests reports whether nothing is under way with who sits there.
func (s *seat) rests() bool {
	busy := true // as long as it is not known who that is
	switch {
	case s.l != nil:
		busy = s.l.busy()
	case s.p != nil:
		busy = s.p.Busy()
	}
	return !busy && time.Since(s.since()) >= atRest
}

// evict takes a seat away; with mu held. Whoever sat there ends by itself.
func (n *Node) evict(s *seat, why string) {
	delete(n.seats, s)
	why += "; connect again when there is something to ask"
	switch p := s.p; {
	case s.l != nil:
		s.l.close(errors.New(why))
	case p != nil && s.known:
		n.running.Go(func() { p.Close(&caps.Error{Code: caps.ErrOverloaded, Text: why}) }) // it may not listen
	default:
		_ = s.raw.Close() // nobody is there yet to be told, or nobody who is owed a word
	}
}

// seated notes whom the handshake has proven to sit there.
func (n *Node) seated(s *seat, l *link) {
	expected := n.rt.Knows(l.peer())
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.l = l; s.raw != nil && !n.seats[s] {
		l.close(errors.New("this host has as many connections as may be"))
		return
	}
	if _, named := n.o.Peers[l.peer()]; s.known || named || expected || n.known[l.peer()] != nil {
		n.counts(l)
		n.knows(s)
	}
}

// knows notes that who sits there counts; with mu held.
func (n *Node) knows(s *seat) {
	if s.known = true; !n.seats[s] { // the owner's, or another's by now
		return
	}
	var oldest *seat
	links := 0
	for o := range n.seats {
		if o.known && o.l != nil && o.l.peer() == s.l.peer() {
			if links++; o != s && (oldest == nil || o.came.Before(oldest.came)) {
				oldest = o
			}
		}
	}
	if links > linksOfHost {
		n.evict(oldest, "this host has others of yours")
	}
}

// seatedGuest is a guest who has come, and his place.
type seatedGuest struct {
	guest
	s *seat
}

// answer is serve, and notes when the guest has shown something that this host has given away.
func (g seatedGuest) answer(ctx context.Context, l *link, q request) (response, error) {
	r, err := g.serve(ctx, l, q)
	if err == nil && !g.s.sure.Load() && (q.op != opSend || g.n.rt.Knows(l.peer())) {
		g.n.mu.Lock()
		defer g.n.mu.Unlock()
		g.s.sure.Store(true)
		g.s.l = l // it may have asked before it was seated, which counts it then
		g.n.knows(g.s)
		if g.n.all[l] {
			g.n.counts(l)
		}
	}
	return r, err
}

// lastHeard is when something came from the peer last.
func (l *link) lastHeard() time.Time { return l.start.Add(time.Duration(l.heard.Load())) }

// busy reports whether either side waits for an answer.
func (l *link) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.load.running+len(l.asked.calls) > 0
}
