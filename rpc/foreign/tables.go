package foreign

import (
	"context"
	"errors"
	"runtime"
	"weak"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// capability is what a peer may call: an object, or the Host with which a connection begins.
// The zero capability is null.
type capability struct {
	ref  caps.Ref
	host bool
}

// hook is a capability as go-capnp has them in messages. Nobody calls it there.
type hook struct{ capability }

func errNotCalled() error { return errors.New("a capability in a message is looked at, not called") }

func (h hook) Send(_ context.Context, s capnp.Send) (*capnp.Answer, capnp.ReleaseFunc) {
	return capnp.ErrorAnswer(s.Method, errNotCalled()), func() {}
}

func (h hook) Recv(_ context.Context, r capnp.Recv) capnp.PipelineCaller {
	r.Reject(errNotCalled())
	return nil
}

func (h hook) Brand() capnp.Brand { return capnp.Brand{Value: h} }
func (h hook) Shutdown()          {}
func (h hook) String() string     { return h.ref.String() }

// clientOf is x in a message.
func clientOf(x capability) capnp.Client {
	if x == (capability{}) {
		return capnp.Client{}
	}
	return capnp.NewClient(hook{x})
}

// clientFor is clientOf for a writer.
func (h *Host) clientFor(r caps.Ref) (capnp.Client, error) {
	x := capability{ref: r}
	if err := h.passable(x); err != nil {
		return capnp.Client{}, err
	}
	return clientOf(x), nil
}

// passable is why x cannot be given to a program. A Ref to a capability of another is passed on
// as it is, and so are its calls; but what a narrowed one allows can only be told if it is
// known what its methods are.
func (h *Host) passable(x capability) error {
	if x.host {
		return badArgument("the host is not an object and cannot be passed to one")
	}
	if t, ok := h.target(x.ref); ok && t.iface == nil && !h.whole(x.ref) {
		return badArgument("%v is not all of that, and it is not known what interface it has; name it with As before it is passed on", x.ref)
	}
	return nil
}

// capabilityOf is what a client in a message is, of those that clientOf made.
func capabilityOf(cl capnp.Client) capability {
	s := cl.Snapshot()
	defer s.Release()
	h, _ := s.Brand().Value.(hook)
	return h.capability
}

// refOf is capabilityOf for a reader.
func refOf(cl capnp.Client) (caps.Ref, error) {
	x := capabilityOf(cl)
	if x.host {
		return caps.Ref{}, badArgument("the host is not an object and cannot be passed to one")
	}
	return x.ref, nil
}

// tableOf is what the capability pointers in a message mean.
func tableOf(m *capnp.Message) []capability {
	n := m.CapTable().Len()
	if n == 0 {
		return nil
	}
	table := make([]capability, n)
	for i := range table {
		table[i] = capabilityOf(m.CapTable().At(i))
	}
	return table
}

// exports are what the peer may call. One capability is there once, however often it was sent.
type exports struct {
	all  []*export
	free []uint32
	ids  map[capability]uint32
}

type export struct {
	cap  capability
	refs uint64 // that the peer has
}

func (x *exports) at(id uint32) *export {
	if uint64(id) >= uint64(len(x.all)) {
		return nil
	}
	return x.all[id]
}

func (x *exports) add(cap capability) uint32 {
	if id, ok := x.ids[cap]; ok {
		x.all[id].refs++
		return id
	}
	id := uint32(len(x.all))
	if n := len(x.free); n > 0 {
		id, x.free = x.free[n-1], x.free[:n-1]
		x.all[id] = &export{cap, 1}
	} else {
		x.all = append(x.all, &export{cap, 1})
	}
	x.ids[cap] = id
	return id
}

// unexport is told that the peer has let go of n references.
func (c *conn) unexport(id, n uint32) error {
	x := c.exports.at(id)
	if x == nil || uint64(n) > x.refs {
		return offend("a release of %d references to capability %d, which it does not have", n, id)
	}
	if x.refs -= uint64(n); x.refs > 0 {
		return nil
	}
	c.exports.all[id] = nil
	c.exports.free = append(c.exports.free, id)
	delete(c.exports.ids, x.cap)
	delete(c.kindOf, x.cap.ref)
	return nil
}

func (c *conn) unexportAll(counts map[uint32]uint32) (err error) {
	for id, n := range counts {
		err = errors.Join(err, c.unexport(id, n))
	}
	return err
}

// describe writes who x is, and counts that the peer gets it.
func (c *conn) describe(d rpccp.CapDescriptor, x capability, counts map[uint32]uint32) error {
	if x == (capability{}) {
		d.SetNone()
		return nil
	}
	if t, ok := c.own(x.ref); ok && c.h.whole(x.ref) {
		d.SetReceiverHosted(t.id)
		return nil
	}
	id := c.exports.add(x)
	counts[id]++
	d.SetSenderHosted(id)
	return nil
}

// impent is what this host holds of the peer, as long as somebody here does.
type impent struct {
	life uint64 // which of those that had this number
	refs uint32 // that the peer counts
	is   weak.Pointer[imported]
}

// importOf is the number of what the peer hosts.
func importOf(d rpccp.CapDescriptor) (uint32, bool) {
	switch d.Which() {
	case rpccp.CapDescriptor_Which_senderHosted:
		return d.SenderHosted(), true
	case rpccp.CapDescriptor_Which_senderPromise:
		return d.SenderPromise(), true
	case rpccp.CapDescriptor_Which_thirdPartyHosted:
		if t, err := d.ThirdPartyHosted(); err == nil {
			return t.VineId(), true
		}
	}
	return 0, false
}

// roomFor is why so many capabilities cannot be taken.
func (c *conn) roomFor(table rpccp.CapDescriptor_List) error {
	switch {
	case table.Len() > c.lim.Slots:
		return tooMany("Slots", "the message has %d capabilities", table.Len())
	case len(c.imports)+table.Len() > c.lim.Imports:
		return tooMany("Imports", "this host holds %d capabilities of this program", len(c.imports))
	}
	return nil
}

// readSlots reads the capabilities in the arguments of a.
func (c *conn) readSlots(a *answer, table rpccp.CapDescriptor_List) error {
	a.slots = make([]slot, table.Len())
	for i := range table.Len() {
		d := table.At(i)
		if d.Which() != rpccp.CapDescriptor_Which_receiverAnswer {
			x, err := c.readCap(d)
			if err != nil {
				return err
			}
			a.slots[i].cap = x
			continue
		}
		pa, err := d.ReceiverAnswer()
		if err != nil {
			return malformed("capability", err)
		}
		on, path, err := c.promised(pa, a)
		if err != nil {
			return err
		}
		if on.done {
			a.slots[i].cap, a.slots[i].err = on.pick(path)
			continue
		}
		a.waits++
		on.wanted = append(on.wanted, dependent{a, i, path})
	}
	return nil
}

// readCap reads a capability that is no promise of ours.
func (c *conn) readCap(d rpccp.CapDescriptor) (capability, error) {
	if id, ok := importOf(d); ok {
		return capability{ref: c.h.maker.Make(c.hold(id), caps.Full())}, nil
	}
	switch d.Which() {
	case rpccp.CapDescriptor_Which_none:
		return capability{}, nil
	case rpccp.CapDescriptor_Which_receiverHosted:
		x := c.exports.at(d.ReceiverHosted())
		if x == nil {
			return capability{}, offend("capability %d was passed, which it does not have", d.ReceiverHosted())
		}
		return x.cap, nil
	}
	return capability{}, offend("a capability of an unknown sort, %d", d.Which())
}

// hold is the capability that the peer calls id, of which it has sent one more reference. It
// is released when nobody here has it any more, which the garbage collector finds.
func (c *conn) hold(id uint32) *typed {
	e := c.imports[id]
	if e == nil {
		e = &impent{}
		c.imports[id] = e
	}
	e.refs++
	if t := e.is.Value(); t != nil {
		return &t.plain
	}
	c.gone++
	e.life = c.gone
	t := &imported{c: c, id: id}
	t.plain.imported = t
	e.is = weak.Make(t)
	runtime.AddCleanup(t, func(life uint64) { c.drop(id, life) }, e.life)
	return &t.plain
}

// drop tells the peer that nobody here has its capability id any more.
func (c *conn) drop(id uint32, life uint64) {
	c.mu.Lock()
	e := c.imports[id]
	if e == nil || e.life != life || c.over != nil {
		c.mu.Unlock()
		return
	}
	delete(c.imports, id)
	err := c.release(id, e.refs)
	c.mu.Unlock()
	if err == nil {
		go c.out.flush(true) // the garbage collector does not wait for a peer
	}
}

func (c *conn) release(id, n uint32) error {
	return c.tell(func(m rpccp.Message) error {
		r, err := m.NewRelease()
		if err == nil {
			r.SetId(id)
			r.SetReferenceCount(n)
		}
		return err
	})
}
