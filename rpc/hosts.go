package rpc

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// HostInfo is what this host knows of another. No program needs it: what a call or a message
// comes to says all that counts. It is for who looks after hosts, and for what is to be done
// when one is lost: somebody has left, another is asked instead.
type HostInfo struct {
	Host      string        // its name
	Address   string        // where it was found; empty: it came to this host
	Connected bool          // it is
	Since     time.Time     // since when it is, or is not; zero: it never was
	RoundTrip time.Duration // of a sign of life; zero: none came back yet
	Error     string        // why it was lost last, or could not be reached; empty: neither has happened
	Waiting   int           // letters, and outcomes of its letters, that wait here to be brought there
}

// sighting is what is remembered of a host that counts: it was called, or it has shown
// something that this host has given away.
type sighting struct {
	info HostInfo // without RoundTrip and Waiting
}

// watcher is an Events that is ranged over. It keeps the newest of each host, so a slow one
// misses what was over before it looked and never how it ended.
type watcher struct {
	fresh map[string]HostInfo
	order []string
	news  chan struct{} // of capacity 1
}

const (
	// maxSightings is how many hosts that are not connected are remembered: those that were
	// lost last.
	maxSightings = 1024
	// patience is how long Hosts waits for signs of life.
	patience = time.Second
)

// Hosts tells of every host that is connected, was lost or could not be reached, that letters
// wait for, or that stands in Options.Peers: those that are connected first, and each by name. It
// asks those for a sign of life, and waits a second for that at most. Who has come through the
// socket, and sent nothing, is not remembered when it goes.
func (n *Node) Hosts(ctx context.Context) ([]HostInfo, error) {
	trips := n.roundTrips(ctx)
	waiting, err := n.rt.Waiting(ctx)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[string]HostInfo{}
	for host, at := range n.o.Peers {
		all[host] = HostInfo{Host: host, Address: at}
	}
	for host := range waiting {
		all[host] = HostInfo{Host: host, Address: n.o.Peers[host]}
	}
	for host, s := range n.known {
		all[host] = s.info
	}
	for host, of := range all {
		of.Waiting, of.RoundTrip = waiting[host], trips[host]
		all[host] = of
	}
	return slices.SortedFunc(maps.Values(all), func(a, b HostInfo) int {
		if a.Connected != b.Connected {
			if a.Connected {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Host, b.Host)
	}), nil
}

// roundTrips asks every host that is connected for a sign of life.
func (n *Node) roundTrips(ctx context.Context) map[string]time.Duration {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n.mu.Lock()
	links := maps.Clone(n.links)
	n.mu.Unlock()
	var all sync.WaitGroup
	for _, l := range links {
		all.Go(func() {
			select {
			case <-l.ask():
			case <-l.broken:
			case <-ctx.Done():
			}
		})
	}
	all.Wait()
	trips := map[string]time.Duration{}
	for host, l := range links {
		trips[host] = l.roundTrip()
	}
	return trips
}

// Events yields each host that counts when it is connected, and when it is lost: when the last
// connection to it has ended, for whatever reason. It begins with those that are connected now,
// so that nothing is missed between looking and listening, and ends with ctx or with the Node.
// Hosts that have only knocked do not count: they have shown nothing that this host has given
// away. Who ranges slowly gets the newest of each host, and not what was over meanwhile. In
// what it yields, RoundTrip and Waiting are empty.
func (n *Node) Events(ctx context.Context) iter.Seq[HostInfo] {
	return func(yield func(HostInfo) bool) {
		w := &watcher{fresh: map[string]HostInfo{}, news: make(chan struct{}, 1)}
		n.mu.Lock()
		n.watchers[w] = true
		for _, s := range n.known {
			if s.info.Connected {
				w.tell(s.info)
			}
		}
		n.mu.Unlock()
		defer func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			delete(n.watchers, w)
		}()
		for {
			for of, ok := n.next(w); ok; of, ok = n.next(w) {
				if !yield(of) {
					return
				}
			}
			select {
			case <-w.news:
			case <-ctx.Done():
				return
			case <-n.ctx.Done():
				return
			}
		}
	}
}

func (w *watcher) tell(of HostInfo) {
	if _, waits := w.fresh[of.Host]; !waits {
		w.order = append(w.order, of.Host)
	}
	w.fresh[of.Host] = of
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (n *Node) next(w *watcher) (of HostInfo, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(w.order) == 0 {
		return of, false
	}
	host := w.order[0]
	w.order = w.order[1:]
	of = w.fresh[host]
	delete(w.fresh, host)
	return of, true
}

// Broken waits until the host that has the object is not connected, and says why:
// ErrNotDelivered. It connects nothing, so it returns at once for what nobody has called yet. An
// object of this host is never lost. If ctx ends first, its error is returned.
//
// The Ref is not broken by that: the next call looks for the host again.
func (n *Node) Broken(ctx context.Context, ref caps.Ref) error {
	host, err := n.rt.Where(ctx, ref)
	if err != nil {
		return err
	}
	if host == n.rt.Host() {
		<-ctx.Done()
		return ctx.Err()
	}
	for {
		l, why := n.linked(host)
		if l == nil {
			return &caps.Error{Op: "broken", Object: ref.String(), Code: caps.ErrNotDelivered, Text: fmt.Sprintf("host %s is not connected: %s", host, cmp.Or(why, "nothing was asked of it yet"))}
		}
		select {
		case <-l.broken:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// linked is a link to host, or nil and why there is none.
func (n *Node) linked(host string) (*link, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.links[host]; l != nil && l.err() == nil {
		return l, ""
	}
	for l := range n.all {
		if l.peer() == host && l.err() == nil {
			return l, ""
		}
	}
	if l := n.links[host]; l != nil {
		return nil, l.err().Error()
	}
	if s := n.known[host]; s != nil {
		return nil, s.info.Error
	}
	return nil, ""
}

// counts makes the host of a link one that counts; with mu held.
func (n *Node) counts(l *link) {
	host := l.peer()
	if l.err() != nil {
		return
	}
	s := n.known[host]
	if s == nil {
		s = &sighting{HostInfo{Host: host}}
		n.known[host] = s
	}
	s.info.Address = cmp.Or(l.at, s.info.Address)
	if !s.info.Connected {
		s.info.Connected, s.info.Since = true, time.Now()
		n.tell(s)
	}
}

// lost notes that the last link to host has ended; with mu held.
func (n *Node) lost(host string, why error) {
	s := n.known[host]
	if s == nil || !s.info.Connected {
		return
	}
	s.info.Connected, s.info.Since, s.info.Error = false, time.Now(), why.Error()
	n.tell(s)
	n.forgetSightings()
}

// missed notes that host could not be reached; with mu held.
func (n *Node) missed(host string, why error) {
	s := n.known[host]
	if s == nil {
		s = &sighting{HostInfo{Host: host}}
		n.known[host] = s
		n.forgetSightings()
	}
	s.info.Error = why.Error()
}

// forget drops what is known of a host that is not connected: one of those that come through the
// socket to have a look, and never come again.
func (n *Node) forget(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.known[host]; s != nil && !s.info.Connected {
		delete(n.known, host)
	}
}

// forgetSightings drops the sighting that is oldest, if there are too many; with mu held.
func (n *Node) forgetSightings() {
	if len(n.known) <= maxSightings+len(n.links) {
		return
	}
	var oldest *sighting
	for _, s := range n.known {
		if !s.info.Connected && (oldest == nil || s.info.Since.Before(oldest.info.Since)) {
			oldest = s
		}
	}
	if oldest != nil {
		delete(n.known, oldest.info.Host)
	}
}

// tell has s told to who watches; with mu held.
func (n *Node) tell(s *sighting) {
	for w := range n.watchers {
		w.tell(s.info)
	}
}
