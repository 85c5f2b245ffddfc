package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
)

// dialing is an attempt to reach a host that several calls may wait for.
type dialing struct {
	done chan struct{}
	link *link
	err  error
}

// reach returns a link to host, which may be found at the addresses given, in that order, after
// what Options.Peers says.
func (n *Node) reach(ctx context.Context, host string, at []string) (*link, error) {
	n.mu.Lock()
	if l := n.links[host]; l != nil && !l.over() {
		n.mu.Unlock()
		return l, nil
	}
	if n.closed {
		n.mu.Unlock()
		return nil, errClosed()
	}
	at = strings.Split(strings.Join(at, betweenPlaces), betweenPlaces)
	if own := n.o.Peers[host]; own != "" {
		at = append([]string{own}, at...)
	}
	at = slices.DeleteFunc(at, func(a string) bool { return a == "" })
	if len(at) == 0 {
		n.mu.Unlock()
		return nil, &caps.Error{Code: caps.ErrNotDelivered, Text: fmt.Sprintf("host %s is not connected, and no address of it is known; name one in Options.Peers", host)}
	}
	d := n.dials[host]
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		n.dials[host] = d
		n.running.Go(func() { n.try(host, at, d) })
	}
	n.mu.Unlock()
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, &caps.Error{Code: caps.ErrNotDelivered, Cause: caps.CauseOf(ctx.Err()), Text: fmt.Sprintf("host %s was not reached in time: %v", host, ctx.Err())}
	}
}

// places is where a host was found, and where else it may be: it can move. What stands between
// them is in no address.
func places(found string, at []string) string {
	all := []string{}
	for _, a := range append([]string{found}, at...) {
		if a != "" && !slices.Contains(all, a) && len(all) < maxPlaces {
			all = append(all, a)
		}
	}
	return strings.Join(all, betweenPlaces)
}

const (
	betweenPlaces = "\n"
	maxPlaces     = 4
)

// try tries one address after the other, for whoever waits for d.
func (n *Node) try(host string, at []string, d *dialing) {
	var errs []error
	for _, a := range slices.Compact(at) {
		ctx, cancel := context.WithTimeout(n.ctx, n.o.Limits.Handshake)
		l, err := n.dial(ctx, a, host)
		cancel()
		if err == nil {
			d.link = l
			break
		}
		errs = append(errs, fmt.Errorf("%s: %w", a, err))
	}
	if d.link == nil {
		d.err = &caps.Error{Code: caps.ErrNotDelivered, Text: fmt.Sprintf("host %s cannot be reached; if it is elsewhere, say where in Options.Peers: %v", host, errors.Join(errs...))}
	}
	n.mu.Lock()
	if d.err != nil {
		n.missed(host, d.err)
	}
	delete(n.dials, host)
	n.mu.Unlock()
	close(d.done)
}

// dial makes a link to host, or to whoever is there if host is empty.
func (n *Node) dial(ctx context.Context, address, host string) (*link, error) {
	network, hands := "tcp", shake(secure)
	path, local := strings.CutPrefix(address, unixScheme)
	if local {
		network, hands = "unix", prove
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, network, path)
	if err != nil {
		return nil, err
	}
	raw = n.look.watch(raw)
	conn, peer, err := hands(ctx, raw, n.id, false, host, n.o.Limits)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	g := guest{n, false, address}
	kept := make(chan struct{})
	defer close(kept)
	l := n.keep(newLink(conn, peer, onceKept(kept, g.serve), n.o.Limits, n.log), address)
	if l == nil {
		return nil, errClosed()
	}
	n.mu.Lock()
	n.counts(l)
	n.mu.Unlock()
	return l, nil
}

// Root is the root of the world whose socket is at address, see SocketOf, with every right:
// who can open the socket could read the world's files as well.
func (n *Node) Root(ctx context.Context, address string) (caps.Ref, error) {
	l, err := n.atSocket(ctx, address)
	if err != nil {
		return caps.Ref{}, &caps.Error{Op: "attach", Object: address, Code: caps.ErrNotDelivered, Text: err.Error()}
	}
	return n.ask(ctx, l, address, request{op: opRoot})
}

// atSocket returns the link that was made to address, or makes one. Any other to that host may
// have come about in another way, and be a stranger's there.
func (n *Node) atSocket(ctx context.Context, address string) (*link, error) {
	find := func(but *link) *link {
		n.mu.Lock()
		defer n.mu.Unlock()
		for l := range n.all {
			if l == but || l.at != address || l.over() {
				continue
			}
			if but != nil { // somebody else was as fast
				but.close(nil)
			}
			return l
		}
		return nil
	}
	if l := find(nil); l != nil {
		return l, nil
	}
	l, err := n.dial(ctx, address, "")
	if err != nil {
		return nil, err
	}
	if other := find(l); other != nil {
		return other, nil
	}
	return l, nil
}

// ask asks for one Ref.
func (n *Node) ask(ctx context.Context, l *link, at string, q request) (caps.Ref, error) {
	r, err := l.call(ctx, q)
	var again repeatable
	if errors.As(err, &again) {
		err = again.is
	}
	if err != nil {
		return caps.Ref{}, err
	}
	if len(r.slots) != 1 {
		return caps.Ref{}, &caps.Error{Code: caps.ErrBadResult, Text: fmt.Sprintf("host %s answered with %d references where one was asked for", l.peer(), len(r.slots))}
	}
	return n.rt.Import(r.slots[0], l.peer(), at)
}

// named is err with what was tried, if it does not say so.
func named(err error, op, object string) error {
	var e *caps.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Op, c.Object = cmp.Or(c.Op, op), cmp.Or(c.Object, object)
	return &c
}
