package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/objstore"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// place is where a session stands: in a world, or in one in memory from where the objects of
// others are reached.
type place struct {
	rt   *sturdy.Runtime
	node *rpc.Node // nil: no other host is reached
	// operator is the running host that the session is attached to; nil: to none.
	operator *rpc.Operator
	it       caps.Ref // what was restored; null: nothing
	away     string   // where to do what needs the files of a world; empty: here
}

// Close leaves the place.
func (p *place) Close() (err error) {
	if p.node != nil {
		err = p.node.Close()
	}
	return errors.Join(err, p.rt.Close())
}

// world is what is looked into there.
func (p *place) world() look.World {
	if p.operator != nil {
		return p.operator
	}
	return p.rt
}

// isSturdyRef reports whether an argument is meant for one. It may be a wrong one.
func isSturdyRef(arg string) bool { return strings.HasPrefix(arg, "sturdy:") }

// place goes to where the command line says.
func (c *replCmd) place(ctx context.Context, a *app) (*place, error) {
	if isSturdyRef(c.Where) {
		return c.restore(ctx, a)
	}
	rt, err := world{c.Where}.open(a, a.kinds, c.Write)
	switch {
	case errors.Is(err, objstore.ErrInUse):
		return world{c.Where}.attach(ctx, a, c.Peer, err)
	case err != nil:
		return nil, err
	case c.Write:
		return a.connect(rt, c.Peer, c.Where), nil
	case len(c.Peer) > 0 && !c.among:
		return nil, errors.Join(errors.New("--peer needs -w: a session that only reads the files of a world reaches no other host"), rt.Close())
	}
	return &place{rt: rt}, nil
}

// connect connects a world that is open for writing. Everything else goes on if that fails.
func (a *app) connect(rt *sturdy.Runtime, others peers, dir string) *place {
	node, err := rpc.Attach(rt, rpc.Options{Peers: others})
	if err != nil {
		fmt.Fprintf(a.err, "%s: other hosts are not reached in this session: %s\n", a.name, oneLine(explained(err, dir)))
		node = nil
	}
	return &place{rt: rt, node: node}
}

// outpost is a world in memory that reaches others.
func (a *app) outpost(known peers) (*place, error) {
	rt, err := sturdy.Options{Kinds: a.kinds, Log: a.log()}.Open()
	if err != nil {
		return nil, err
	}
	node, err := rpc.Attach(rt, rpc.Options{Peers: known})
	if err != nil {
		return nil, errors.Join(err, rt.Close())
	}
	return &place{rt: rt, node: node}, nil
}

// restore goes to what a sturdy ref stands for.
func (c *replCmd) restore(ctx context.Context, a *app) (*place, error) {
	u, err := caps.ParseSturdyRef(c.Where)
	if err != nil {
		return nil, err
	}
	p, err := a.outpost(c.Peer)
	if err != nil {
		return nil, err
	}
	p.away = fmt.Sprintf("where that world is: %s repl DIR", a.name)
	if p.it, err = p.rt.Restore(ctx, u); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// attach goes to the world that somebody has open; inUse says who.
func (w world) attach(ctx context.Context, a *app, others peers, inUse error) (*place, error) {
	host, err := w.host()
	if err != nil {
		return nil, err
	}
	socket := rpc.SocketOf(w.Dir)
	if _, err := os.Lstat(socketPath(w.Dir)); err != nil {
		return nil, &notListening{inUse, nil}
	}
	known := maps.Clone(others)
	if known == nil {
		known = peers{}
	}
	known[host] = socket // also when it is started again, and not over the network
	p, err := a.outpost(known)
	if err != nil {
		return nil, err
	}
	p.away = fmt.Sprintf("end the program that has the world open, then: %s repl %s", a.name, quoted(w.Dir))
	if p.operator, err = p.node.Operate(ctx, socket); err != nil {
		return nil, &notListening{inUse, errors.Join(explained(err, w.Dir), p.Close())}
	}
	return p, nil
}

// notListening says that a world which is in use cannot be attached to, and why, unless nobody
// listens.
type notListening struct{ inUse, why error }

func (e *notListening) Error() string {
	if e.why == nil {
		return e.inUse.Error()
	}
	return e.inUse.Error() + "; attaching to it failed: " + oneLine(e.why)
}

func (e *notListening) Unwrap() error { return e.inUse }
