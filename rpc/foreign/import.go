package foreign

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strings"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// imported is a capability of a foreign program. Refs to it lead to a typed.
type imported struct {
	c     *conn
	id    uint32
	plain typed             // with no interface
	as    map[*iface]*typed // guarded by conn.mu
}

// typed is an imported capability with the interface that this side takes it to have.
type typed struct {
	*imported
	iface *iface // nil: nobody has said
}

// target is what r leads to, if that is of a foreign program.
func (h *Host) target(r caps.Ref) (*typed, bool) {
	t, _, _ := h.maker.Open(r)
	is, ok := t.(*typed)
	return is, ok
}

// whole reports whether r, which leads to an imported capability, has all its authority.
func (h *Host) whole(r caps.Ref) bool {
	_, a, _ := h.maker.Open(r)
	return a == caps.Full()
}

// own is what r leads to, if that is of this very program.
func (c *conn) own(r caps.Ref) (*typed, bool) {
	t, ok := c.h.target(r)
	return t, ok && t.c == c
}

// String names the capability.
func (t *typed) String() string {
	if t.iface == nil {
		return fmt.Sprintf("capability %d of %s", t.id, t.c.name)
	}
	return fmt.Sprintf("%s %d of %s", cmp.Or(t.iface.label, t.iface.kind), t.id, t.c.name)
}

// SameAs is for caps.Ref.Same.
func (t *typed) SameAs(o caps.Target) bool {
	other, ok := o.(*typed)
	return ok && other.imported == t.imported
}

// As is ref, which came from a foreign program, as something with the interface name of schema:
// what `capnp compile -o-` makes of a file. The name is that in the file, or the full one if
// several have it. The program is believed: if it has another interface, calls fail.
func (h *Host) As(ref caps.Ref, schema []byte, name string) (caps.Ref, error) {
	all, err := load(schema)
	if err != nil {
		return caps.Ref{}, &caps.Error{Op: "as", Code: caps.ErrBadArgument, Text: err.Error()}
	}
	var found *iface
	for _, f := range all {
		if f.kind != name && f.label != name {
			continue
		}
		if found != nil && found.kind != name {
			return caps.Ref{}, &caps.Error{Op: "as", Code: caps.ErrBadArgument, Text: fmt.Sprintf("several interfaces of the schema are called %q: give the full name, %s or %s", name, found.kind, f.kind)}
		}
		found = f
	}
	if found == nil {
		return caps.Ref{}, &caps.Error{Op: "as", Code: caps.ErrBadArgument, Text: fmt.Sprintf("the schema has no interface %q; it has: %s", name, labels(all))}
	}
	return h.as(ref, found)
}

// labels are the names of the interfaces of a schema, for people.
func labels(all []*iface) string {
	const most = 20
	var names []string
	for _, f := range all[:min(len(all), most)] {
		names = append(names, f.label)
	}
	if len(all) > most {
		names = append(names, "…")
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

// AsKind is ref, which came from a foreign program, as something with the interface of a kind
// of this world: a program in another language has implemented what `sturdy schema` prints.
func (h *Host) AsKind(ctx context.Context, ref caps.Ref, kind string) (caps.Ref, error) {
	if err := h.kinds.open(ctx); err != nil {
		return caps.Ref{}, err
	}
	f := h.kinds.kind(kind)
	if f == nil {
		return caps.Ref{}, &caps.Error{Op: "as", Code: caps.ErrUnknownKind, Text: fmt.Sprintf("this world has no kind %q with an interface", kind)}
	}
	return h.as(ref, f)
}

func (h *Host) as(ref caps.Ref, f *iface) (caps.Ref, error) {
	t, a, _ := h.maker.Open(ref)
	is, ok := t.(*typed)
	if !ok {
		return caps.Ref{}, &caps.Error{Op: "as", Code: caps.ErrBadArgument, Text: fmt.Sprintf("%v did not come from a foreign program; it has the interface of its kind", ref)}
	}
	c := is.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for g, made := range is.as {
		if g == f || g.id == f.id && g.id>>63 == 1 && made.iface == f {
			return h.maker.Make(made, a), nil
		}
	}
	if is.as == nil || len(is.as) >= maxFaces {
		is.as = map[*iface]*typed{}
	}
	made := &typed{is.imported, f}
	is.as[f] = made
	return h.maker.Make(made, a), nil
}

// maxFaces is how many interfaces of one capability are remembered, so that Refs are equal.
const maxFaces = 16

// Deliver calls the foreign program.
func (t *typed) Deliver(ctx context.Context, via caps.Ref, m caps.Message) (caps.Reply, error) {
	op, object := m.Method, t.String()
	fault := func(err error) (caps.Reply, error) {
		kind, _ := thrown(err)
		e := caught(op, object, kind, err.Error())
		if inner := (*caps.Error)(nil); asError(err, &inner) {
			*e = *inner
			e.Op, e.Object = cmp.Or(inner.Op, op), cmp.Or(inner.Object, object)
		}
		return caps.Reply{}, e
	}
	how, err := t.allowed(ctx, via, m.Method)
	if err != nil {
		return fault(err)
	}
	_, a, _ := t.c.h.maker.Open(via)
	arg, err := unpack(m.Body, narrowed(m.Slots, a.Inward()))
	if err != nil {
		return fault(err)
	}
	v, err := t.c.callOut(ctx, t, how, arg)
	if err != nil {
		return fault(err)
	}
	if ended := a.Gate.Alive(nil); ended != nil { // while it was under way
		return fault(happened(ended))
	}
	if how.results.none() {
		return caps.Reply{}, nil
	}
	body, slots, err := pack(v)
	if err != nil {
		return fault(happened(err))
	}
	return caps.Reply{Body: body, Slots: narrowed(slots, a)}, nil
}

// allowed finds a method, and whether via allows it, and the ceiling of who calls.
func (t *typed) allowed(ctx context.Context, via caps.Ref, name string) (*numbered, error) {
	_, a, _ := t.c.h.maker.Open(via)
	if err := a.Gate.Check(name, nil); err != nil {
		return nil, err
	}
	f := t.iface
	if f == nil {
		if err := t.c.h.kinds.open(t.c.ctx); err != nil {
			return nil, err
		}
		several := false
		if f, several = t.c.h.kinds.with(name); f == nil {
			why := "no kind of this world has such a method"
			if several {
				why = "several kinds of this world have such a method"
			}
			return nil, unimplemented("it is not known what interface %v has, and %s: say so with As or AsKind", t, why)
		}
	}
	for _, m := range f.methods {
		if m.name != name || m.gone {
			continue
		}
		if m.refused != "" {
			return nil, unimplemented("%s.%s cannot be called from here: %s", f.label, m.label, m.refused)
		}
		if need := needOf(m.needs); !a.Allows(need) {
			return nil, &caps.Error{Code: caps.ErrNoRight, Text: fmt.Sprintf("needs %v; the reference has %v", need, a.Rights)}
		} else if most := t.c.h.rt.Ceiling(ctx); need&^most != 0 {
			return nil, &caps.Error{Code: caps.ErrNoRight, Text: fmt.Sprintf("needs %v; the ceiling of the thread is %v", need, most)}
		}
		return &numbered{m, cmp.Or(m.in, f.id)}, nil
	}
	return nil, unimplemented("the interface %s has no method %s", f.label, name)
}

// needOf is the right that a method needs; every one, if that is not known.
func needOf(letters string) caps.Rights {
	if need, err := rightsOf(letters); err == nil && letters != "" {
		return need
	}
	return caps.Write
}

// numbered is a method and the interface that numbers it.
type numbered struct {
	*method
	iface uint64
}

// newCall is a call of a method of t, whose parameters are written to payload.
func (t *typed) newCall(iface uint64, method uint16) (m rpccp.Message, call rpccp.Call, payload rpccp.Payload, err error) {
	if m, err = newMessage(); err != nil {
		return m, call, payload, err
	}
	if call, err = m.NewCall(); err != nil {
		return m, call, payload, err
	}
	call.SetInterfaceId(iface)
	call.SetMethodId(method)
	target, err := call.NewTarget()
	if err != nil {
		return m, call, payload, err
	}
	target.SetImportedCap(t.id)
	payload, err = call.NewParams()
	return m, call, payload, err
}

// callOut calls t, and returns when the program has answered.
func (c *conn) callOut(ctx context.Context, t *typed, how *numbered, arg caps.Value) (v caps.Value, err error) {
	m, call, payload, err := t.newCall(how.iface, how.ordinal)
	if err != nil {
		return v, err
	}
	s, err := capnp.NewStruct(payload.Segment(), how.params.size)
	if err == nil {
		err = payload.SetContent(s.ToPtr())
	}
	if err != nil {
		return v, err
	}
	w := writer{limit: c.lim.MessageBytes, refs: c.h.clientFor}
	if err := w.record(s, how.params, arg); err != nil {
		return v, err
	}
	r, err := c.ask(ctx, m, call, payload)
	if err != nil {
		return v, err
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	if v, err = c.newReader().record(r.content.Struct(), how.results); err != nil {
		return v, happened(err)
	}
	return v, nil
}

// Connect talks to the Cap'n Proto server at the other end of nc, which is v, until ctx ends, and
// returns the capability that it gives to whoever comes; As says what that is. gone is closed when
// the connection has ended.
func (h *Host) Connect(ctx context.Context, nc net.Conn, v Visitor) (ref caps.Ref, gone <-chan struct{}, err error) {
	c := h.connect(ctx, nc, v)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := c.serve(); err != nil {
			h.rt.Log().Info("a connection to a Cap'n Proto server has ended", "peer", c.name, "err", err)
		}
	}()
	m, err := newMessage()
	if err != nil {
		return ref, ended, err
	}
	b, err := m.NewBootstrap()
	if err != nil {
		return ref, ended, err
	}
	r, err := c.ask(ctx, m, b, rpccp.Payload{})
	if err == nil {
		i := r.content.Interface()
		if !i.IsValid() || int(i.Capability()) >= r.table.Len() {
			err = &caps.Error{Op: "connect", Code: caps.ErrBadResult, Text: c.name + " gives no capability to whoever comes"}
		} else {
			ref, err = refOf(r.table.At(int(i.Capability())))
		}
	}
	if err != nil {
		c.end(errEnded)
	}
	return ref, ended, err
}
