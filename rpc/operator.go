package rpc

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Operator is a running host as the owner of its world's directory has it, through the socket
// there: what a *sturdy.Runtime does for who operates a world, asked from another process. What
// it hands out are ordinary Refs to objects of that host. It finds the host again when that was
// restarted. Safe for concurrent use.
//
// It gives away nothing: who can open the socket could read the world's files, and write them.
type Operator struct {
	n              *Node
	address, host  string
	root, activity caps.Ref

	turn chan struct{} // of capacity 1: who has put something in may look at link, and make another
	link *link
}

// What is asked of a host by who operates it, the method of an opOperate. Nothing of it is ever
// repeated by itself.
const (
	operateWorld   = "world"   // the root and the activity
	operateObject  = "object"  // the object of a number
	operateState   = "state"   // the state of an object
	operateSave    = "save"    // a sturdy ref of an object
	operateRestore = "restore" // what a sturdy ref stands for, also one of a third host
	operateMount   = "mount"   // a Ref under a path of names
	operateKinds   = "kinds"   // every kind, see kinds.go
	operateHosts   = "hosts"   // what it knows of other hosts, see kinds.go
)

// Operate comes in at the socket at address, see SocketOf.
func (n *Node) Operate(ctx context.Context, address string) (*Operator, error) {
	o := &Operator{n: n, address: address, turn: make(chan struct{}, 1)}
	_, refs, err := o.ask(ctx, request{method: operateWorld}, 2)
	if err != nil {
		return nil, err
	}
	o.root, o.activity = refs[0], refs[1]
	return o, nil
}

// Host is the name of the host.
func (o *Operator) Host() string { return o.host }

// Root is the root of its world, with every right.
func (o *Operator) Root() sturdy.Directory { return sturdy.Directory{Ref: o.root} }

// Activity is what is under way there, with every right.
func (o *Operator) Activity() sturdy.Activity { return sturdy.Activity{Ref: o.activity} }

// Describe is [sturdy.Runtime.Describe].
func (o *Operator) Describe(ctx context.Context, ref caps.Ref) (sturdy.ObjectInfo, error) {
	return o.n.rt.Describe(ctx, ref)
}

// Object is [sturdy.Runtime.Object] of that host.
func (o *Operator) Object(ctx context.Context, id string) (caps.Ref, error) {
	return o.one(ctx, request{method: operateObject, body: []byte(id)})
}

// State is [sturdy.Runtime.State] of that host, of an object of its own.
func (o *Operator) State(ctx context.Context, ref caps.Ref) (state caps.Value, err error) {
	q := request{method: operateState}
	if q.slots, err = o.tokens(ctx, ref); err != nil {
		return state, err
	}
	r, refs, err := o.ask(ctx, q, -1)
	if err != nil {
		return state, err
	}
	return decoded[caps.Value](r.body, refs)
}

// Save is [sturdy.Runtime.Save] of that host. The text says where the host listens.
func (o *Operator) Save(ctx context.Context, ref caps.Ref, terms caps.Terms) (s caps.SturdyRef, err error) {
	q := request{method: operateSave}
	if q.slots, err = o.tokens(ctx, ref); err != nil {
		return s, err
	}
	t := termsSent{For: terms.For, Until: terms.Until, Deep: terms.Deep}
	for _, m := range terms.Only {
		t.Only = append(t.Only, m.Name())
	}
	if q.body, _, err = encoded(t); err != nil {
		return s, err
	}
	r, _, err := o.ask(ctx, q, 0)
	if err != nil {
		return s, err
	}
	return caps.ParseSturdyRef(string(r.body))
}

// termsSent are caps.Terms with names for descriptors.
type termsSent struct {
	For   string
	Until time.Time
	Only  []string
	Deep  bool
}

// Restore is [sturdy.Runtime.Restore] of that host: what s stands for is held by that host, and
// reached through it, also if it is an object of a third one.
func (o *Operator) Restore(ctx context.Context, s caps.SturdyRef) (caps.Ref, error) {
	return o.one(ctx, request{method: operateRestore, body: []byte(s.Reveal())})
}

// Mount is the function Mount in the world of that host.
func (o *Operator) Mount(ctx context.Context, path []string, ref caps.Ref) (err error) {
	q := request{method: operateMount}
	if q.slots, err = o.tokens(ctx, ref); err == nil {
		q.body, _, err = encoded(path)
	}
	if err == nil {
		_, _, err = o.ask(ctx, q, 0)
	}
	return err
}

// Mount lets ref stand under a path of names from the root of rt, and makes the directories on
// the way that are missing. Nothing may stand there already. What ref designates may be on
// another host, the directories may not.
func Mount(ctx context.Context, rt *sturdy.Runtime, path []string, ref caps.Ref) error {
	if len(path) == 0 || len(path) > maxMountPath {
		return &caps.Error{Op: "mount", Code: caps.ErrBadArgument, Text: fmt.Sprintf("a path has from one to %d names, not %d", maxMountPath, len(path))}
	}
	last := path[len(path)-1]
	return rt.Update(ctx, func(t *sturdy.WriteTurn) error {
		dir := rt.Root()
		for _, name := range path[:len(path)-1] {
			next, err := dir.Ensure(t, name, func(t *sturdy.WriteTurn) caps.Ref { return sturdy.NewDirectory(t).Ref })
			if err != nil {
				return err
			}
			dir = sturdy.Directory{Ref: next}
		}
		switch _, err := dir.Get(t, last); {
		case err == nil:
			return &caps.Error{Op: "mount", Code: caps.ErrBadArgument, Text: fmt.Sprintf("something stands under %q already; take that away first, or choose another name", last)}
		case !errors.Is(err, sturdy.ErrNoName):
			return err
		}
		return dir.Put(t, last, ref)
	})
}

// maxMountPath is how many names the path of a mount has at most.
const maxMountPath = 64

// tokens is ref on its way to the host.
func (o *Operator) tokens(ctx context.Context, ref caps.Ref) ([][]byte, error) {
	token, err := o.n.rt.Export(ctx, ref, o.host)
	return [][]byte{token}, err
}

// one asks for one Ref.
func (o *Operator) one(ctx context.Context, q request) (caps.Ref, error) {
	_, refs, err := o.ask(ctx, q, 1)
	if err != nil {
		return caps.Ref{}, err
	}
	return refs[0], nil
}

// ask asks, for so many Refs; -1: for any number. A link that broke before anything was sent
// over it is worth a second try: the host may have been restarted.
func (o *Operator) ask(ctx context.Context, q request, want int) (r response, refs []caps.Ref, err error) {
	q.op = opOperate
	for range 2 {
		l, err := o.reach(ctx)
		if err != nil {
			return r, nil, &caps.Error{Op: "attach", Object: o.address, Code: caps.ErrNotDelivered, Cause: caps.CauseOf(ctx.Err()), Text: err.Error()}
		}
		r, err = l.call(ctx, q)
		var again repeatable
		if errors.As(err, &again) {
			if err = again.is; l.err() != nil && ctx.Err() == nil {
				continue
			}
		}
		if err != nil {
			return r, nil, named(err, q.method, o.address)
		}
		break
	}
	if want >= 0 && len(r.slots) != want {
		return r, nil, &caps.Error{Op: q.method, Code: caps.ErrBadResult, Text: fmt.Sprintf("host %s answered with %d references where %d were asked for", o.host, len(r.slots), want)}
	}
	refs, err = o.n.refs(r.slots, o.host, o.address)
	return r, refs, err
}

// reach returns the link to the socket, and makes one if there is none: that over which the host
// is called may have come about in another way, and be a stranger's there.
func (o *Operator) reach(ctx context.Context) (*link, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if o.link != nil && o.link.err() == nil {
		return o.link, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.n.o.Limits.Handshake)
	defer cancel()
	l, err := o.n.dial(ctx, o.address, o.host)
	if err != nil {
		return nil, err
	}
	if o.link = l; o.host == "" { // it is the same from then on, and others read it
		o.host = l.peer()
	}
	return l, nil
}

// operate does for the owner of the world's directory what only he may ask for.
func (g guest) operate(ctx context.Context, l *link, q request) (r response, err error) {
	rt := g.n.rt
	if !g.owner {
		return r, &caps.Error{Op: q.method, Code: caps.ErrNoRight, Text: "that is answered at the socket in the world's directory only, to its owner"}
	}
	refs, err := g.n.refs(q.slots, l.peer(), g.at)
	if err != nil {
		return r, err
	}
	of := func() (ref caps.Ref) {
		if len(refs) == 1 {
			ref = refs[0]
		}
		return ref // or null, which every one of the below refuses
	}
	switch q.method {
	case operateWorld:
		return g.hand(ctx, l, rt.Root().Ref, rt.Activity().Ref)
	case operateObject:
		ref, err := rt.Object(ctx, string(q.body))
		if err != nil {
			return r, err
		}
		return g.hand(ctx, l, ref)
	case operateState:
		state, err := rt.State(ctx, of())
		if err != nil {
			return r, err
		}
		body, held, err := encoded(state)
		if err != nil {
			return r, err
		}
		r, err = g.hand(ctx, l, held...)
		r.body = body
		return r, err
	case operateSave:
		return g.save(ctx, of(), q.body)
	case operateRestore:
		s, err := caps.ParseSturdyRef(string(q.body))
		if err != nil {
			return r, err
		}
		ref, err := rt.Restore(ctx, s)
		if err != nil {
			return r, err
		}
		return g.hand(ctx, l, ref)
	case operateKinds:
		return g.kinds(ctx)
	case operateHosts:
		return g.hosts(ctx)
	case operateMount:
		path, err := decoded[[]string](q.body, nil)
		if err == nil {
			err = Mount(ctx, rt, path, of())
		}
		return r, err
	}
	return r, &caps.Error{Op: q.method, Code: caps.ErrNoMethod, Text: "this host does not know how to do that for who operates it; it may be older than the one that asks"}
}

// save makes a sturdy ref on the terms that body is.
func (g guest) save(ctx context.Context, ref caps.Ref, body []byte) (r response, err error) {
	t, err := decoded[termsSent](body, nil)
	if err != nil {
		return r, err
	}
	terms := caps.Terms{For: t.For, Until: t.Until, Deep: t.Deep}
	for _, name := range t.Only {
		terms.Only = append(terms.Only, caps.Action(name))
	}
	s, _, err := g.n.rt.Save(ctx, ref, terms)
	if err != nil {
		return r, err
	}
	return response{body: []byte(s.Reveal())}, nil
}

// encoded is v as bytes and Refs.
func encoded[T any](v T) (body []byte, refs []caps.Ref, err error) {
	codec, err := caps.CodecFor(reflect.TypeFor[T]())
	if err != nil {
		return nil, nil, err
	}
	body, refs = codec.Append(nil, nil, unsafe.Pointer(&v))
	return body, refs, nil
}

// decoded is what encoded made bytes and Refs of, or a peer.
func decoded[T any](body []byte, refs []caps.Ref) (v T, err error) {
	codec, err := caps.CodecFor(reflect.TypeFor[T]())
	if err == nil {
		err = codec.Decode(unsafe.Pointer(&v), body, refs)
	}
	return v, err
}

// HostOf is the name of the host whose key is that: what [sturdy.Runtime.Host] answers there.
func HostOf(key ed25519.PublicKey) string { return hostOf(key) }
