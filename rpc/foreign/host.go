package foreign

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// do makes the call of a, and says which method it was and what it returned.
func (a *answer) do(begun func()) (*method, caps.Value, error) {
	b := a.c.h.kinds.base
	switch {
	case a.to.host && a.iface == b.host.id:
		return a.based(b.host, a.host)
	case a.to.host:
		return nil, caps.Value{}, unimplemented("the host has no interface %#x; see sturdy.capnp", a.iface)
	case a.iface == b.ref.id:
		return a.based(b.ref, func(m string, args entries) (caps.Value, error) { return a.ref(m, args, begun) })
	case a.iface == b.grant.id:
		return a.based(b.grant, func(m string, args entries) (caps.Value, error) { return a.grant() })
	}
	return a.typed(begun)
}

// numbered is the method of f that a calls.
func (a *answer) numbered(f *iface) (*method, error) {
	if int(a.method) < len(f.methods) {
		if m := f.methods[a.method]; !m.gone && m.refused == "" {
			return m, nil
		}
	}
	return nil, unimplemented("%s has no method %d: the program knows another version of it", cmp.Or(f.kind, f.label), a.method)
}

// based makes a call of an interface of sturdy.capnp.
func (a *answer) based(f *iface, call func(method string, args entries) (caps.Value, error)) (*method, caps.Value, error) {
	m, err := a.numbered(f)
	if err != nil {
		return nil, caps.Value{}, err
	}
	args, err := a.read(m)
	if err != nil {
		return nil, caps.Value{}, err
	}
	v, err := call(m.name, entriesOf(args))
	return m, v, err
}

// read reads the arguments. What they stand for counts, if that is more than they took.
func (a *answer) read(m *method) (caps.Value, error) {
	c := a.c
	c.reading.Lock()
	defer c.reading.Unlock()
	r := c.newReader()
	v, err := r.record(a.args, m.params)
	if err != nil {
		return caps.Value{}, err
	}
	made := (c.lim.Values-r.elements)*valueBytes + 2*c.lim.MessageBytes - r.bytes
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.charge(a, max(0, made-a.size)); err != nil {
		return caps.Value{}, err
	}
	return v, nil
}

// valueBytes is about what a value takes, with its place in a list or its name.
const valueBytes = 32

func (c *conn) newReader() *reader {
	return &reader{elements: c.lim.Values, bytes: 2 * c.lim.MessageBytes, refs: refOf}
}

// entries are arguments by name.
type entries map[string]any

func entriesOf(v caps.Value) entries {
	list, _ := v.Any().([]caps.Entry)
	e := make(entries, len(list))
	for _, x := range list {
		if key, ok := x.Key.Any().(string); ok {
			e[key] = x.Val.Any()
		}
	}
	return e
}

func (e entries) text(name string) string {
	s, _ := e[name].(string)
	return s
}

// fields makes a struct; what are no values of ours it does not get.
func fields(kv ...any) (caps.Value, error) {
	list := make([]caps.Entry, 0, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		v, err := caps.ValueOf(kv[i+1])
		if err != nil {
			return caps.Value{}, err
		}
		list = append(list, caps.Entry{Key: valueOf(kv[i]), Val: v})
	}
	return caps.ValueOf(list)
}

// host is a method of Host.
func (a *answer) host(method string, args entries) (caps.Value, error) {
	var ref caps.Ref
	var err error
	switch method {
	case "restore":
		ref, err = a.restore(args.text("sturdyRef"))
	case "root":
		if !a.c.Owner {
			return caps.Value{}, &caps.Error{Op: "root", Code: caps.ErrNoRight, Text: "the root is handed out at the socket in the world's directory only; over the network, restore a sturdy ref"}
		}
		ref = a.c.h.rt.Root().Ref
	}
	if err != nil {
		return caps.Value{}, err
	}
	return fields("ref", ref)
}

// restore opens a sturdy ref.
func (a *answer) restore(text string) (caps.Ref, error) {
	s, err := caps.ParseSturdyRef(text)
	if err != nil {
		return caps.Ref{}, err
	}
	h := a.c.h
	open := h.rt.Restore
	if s.Host() != h.rt.Host() && !a.c.Owner {
		if open = h.Elsewhere; open == nil {
			return caps.Ref{}, &caps.Error{Op: "restore", Code: caps.ErrNotDelivered, Text: fmt.Sprintf("the sturdy ref is of host %s, and this is %s", s.Host(), h.rt.Host())}
		}
	}
	ref, err := open(a.ctx, s)
	if err == nil && a.c.Known != nil {
		a.c.Known()
	}
	return ref, err
}

// ref is a method of Ref.
func (a *answer) ref(method string, args entries, begun func()) (caps.Value, error) {
	switch method {
	case "call":
		return a.untyped(args, begun)
	case "describe":
		return a.describe()
	case "attenuate":
		rights, err := rightsOf(args.text("rights"))
		if err != nil {
			return caps.Value{}, err
		}
		return fields("ref", a.to.ref.Attenuate(rights))
	case "grant", "save":
		return a.share(method, args)
	case "same":
		other, _ := args["other"].(caps.Ref)
		return fields("same", a.to.ref.Same(other))
	}
	return caps.Value{}, unimplemented("this host does not know %s", method)
}

// untyped is Ref.call.
func (a *answer) untyped(args entries, begun func()) (caps.Value, error) {
	arg, err := caps.ValueOf(args["argument"])
	if err != nil {
		return caps.Value{}, err
	}
	m, err := message(args.text("method"), arg, args["argument"] == nil)
	if err != nil {
		return caps.Value{}, err
	}
	if f, err := a.c.face(a.ctx, a.to.ref, 0); err == nil { // otherwise it is called as it is
		a.learned(f.needs(m.Method))
	}
	result, err := a.deliver(m, begun)
	if err != nil {
		return caps.Value{}, err
	}
	ref, _ := result.Any().(caps.Ref)
	return fields("result", result, "ref", ref)
}

// describe is Ref.describe.
func (a *answer) describe() (caps.Value, error) {
	info, err := a.c.h.rt.Describe(a.ctx, a.to.ref)
	if err != nil {
		return caps.Value{}, err
	}
	allows := map[string]bool{}
	for _, m := range info.Allows {
		allows[m] = true
	}
	methods := make([]caps.Value, 0, len(info.Kind.Methods))
	for _, m := range info.Kind.Methods {
		v, err := fields("name", m.Name, "needs", lettersOf(m.Needs), "argument", shapeText(m.Arg), "result", shapeText(m.Result), "allowed", allows[m.Name])
		if err != nil {
			return caps.Value{}, err
		}
		methods = append(methods, v)
	}
	d, err := fields("id", info.ID, "kind", info.Kind.Name, "version", info.Kind.Version, "rights", lettersOf(info.Rights.Rights), "methods", methods)
	if err != nil {
		return caps.Value{}, err
	}
	return fields("description", d)
}

func shapeText(s caps.Shape) string {
	if s.Class == "done" {
		return ""
	}
	return s.String()
}

func lettersOf(r caps.Rights) string {
	if r == 0 {
		return ""
	}
	return r.String()
}

func rightsOf(s string) (rights caps.Rights, err error) {
	for _, letter := range s {
		i := strings.IndexRune("rwxs", letter)
		if i < 0 {
			return 0, badArgument("%q are no rights: they are made of r, w and x, and s for shallow", clean(s, 32))
		}
		rights |= [...]caps.Rights{caps.Read, caps.Write, caps.Run, caps.Shallow}[i]
	}
	return rights, nil
}

// share is Ref.grant and Ref.save. They make a record that stays, for whoever has a Ref, as he
// could pass on the Ref itself; so the records are counted.
func (a *answer) share(method string, args entries) (caps.Value, error) {
	list, _ := args["terms"].([]caps.Entry)
	terms, err := termsOf(list)
	if err != nil {
		return caps.Value{}, err
	}
	if err := a.c.record(); err != nil {
		return caps.Value{}, err
	}
	rt, ref := a.c.h.rt, a.to.ref
	if method == "save" {
		s, g, err := rt.Save(a.ctx, ref, terms)
		if err != nil {
			return caps.Value{}, err
		}
		return fields("sturdyRef", s.Reveal(), "grant", g.Ref)
	}
	var shared caps.Ref
	var g sturdy.Grant
	err = rt.Update(a.ctx, func(t *sturdy.WriteTurn) error {
		shared, g = t.Grant(ref, terms)
		return nil
	})
	if err != nil {
		return caps.Value{}, err
	}
	return fields("ref", shared, "grant", g.Ref)
}

func (c *conn) record() error {
	if !c.Owner {
		if wait := c.h.made.spend(c.From, c.lim); wait > 0 {
			return tooMany("Records", "the programs that come from where this one does have made %d grants; the next can be made in %v", c.lim.Records, wait.Round(time.Second))
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.records >= c.lim.Records {
		return tooMany("Records", "this connection has made %d grants", c.records)
	}
	c.records++
	return nil
}

func termsOf(list []caps.Entry) (t caps.Terms, err error) {
	v, err := caps.ValueOf(list)
	if err != nil {
		return t, err
	}
	e := entriesOf(v)
	t.For = e.text("purpose")
	t.Until, _ = timeOf(e["until"])
	t.Deep, _ = e["deep"].(bool)
	only, ok := e["only"].([]caps.Value)
	if !ok {
		return t, nil
	}
	for _, m := range only {
		name, _ := m.Any().(string)
		t.Only = append(t.Only, caps.Action(name))
	}
	if len(t.Only) == 0 {
		return t, badArgument("the list of methods that may be called is empty; leave it null to allow every one")
	}
	return t, nil
}

// grant is Grant.revoke.
func (a *answer) grant() (caps.Value, error) {
	info, err := a.c.h.rt.Describe(a.ctx, a.to.ref)
	if err != nil {
		return caps.Value{}, err
	}
	if info.Kind.Name != "sturdy/grant" {
		return caps.Value{}, unimplemented("%v is no grant", a.to.ref)
	}
	return caps.Value{}, sturdy.Grant{Ref: a.to.ref}.Revoke(a.ctx)
}

// deliver calls the object and decodes the result.
func (a *answer) deliver(m caps.Message, begun func()) (v caps.Value, err error) {
	reply, err := a.c.h.rt.Deliver(a.ctx, a.to.ref, m, begun)
	if err != nil {
		return v, err
	}
	v, err = unpack(reply.Body, reply.Slots)
	if err != nil {
		return v, happened(err)
	}
	return v, nil
}

// typed makes a call of the interface of a kind.
func (a *answer) typed(begun func()) (*method, caps.Value, error) {
	f, err := a.c.interfaceOf(a.ctx, a.to.ref, a.iface)
	if err != nil {
		return nil, caps.Value{}, err
	}
	m, err := a.numbered(f)
	if err != nil {
		return nil, caps.Value{}, err
	}
	a.learned(m.needs)
	arg, err := a.read(m)
	if err != nil {
		return nil, caps.Value{}, err
	}
	msg, err := message(m.name, arg, m.params.none())
	if err != nil {
		return nil, caps.Value{}, err
	}
	v, err := a.deliver(msg, begun)
	return m, v, err
}

// none reports whether there is nothing in a record.
func (r *record) none() bool {
	for _, f := range r.fields {
		if !f.gone {
			return false
		}
	}
	return true
}

// interfaceOf is the interface id, if ref is of its kind.
func (c *conn) interfaceOf(ctx context.Context, ref caps.Ref, id uint64) (*iface, error) {
	f, err := c.face(ctx, ref, id)
	if err == nil && f.id != id {
		return nil, unimplemented("%v is a %s; it has no interface %#x, and it has Ref of sturdy.capnp", ref, cmp.Or(f.kind, f.label), id)
	}
	return f, err
}

// face is the interface of the kind of ref.
func (c *conn) face(ctx context.Context, ref caps.Ref, id uint64) (*iface, error) {
	c.mu.Lock()
	f := c.kindOf[ref]
	c.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f, err := c.h.interfaceOf(ctx, ref, id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kindOf) >= c.lim.Exports {
		clear(c.kindOf)
	}
	c.kindOf[ref] = f
	return f, nil
}

func (h *Host) interfaceOf(ctx context.Context, ref caps.Ref, id uint64) (*iface, error) {
	if t, ok := h.target(ref); ok {
		if t.iface == nil {
			return nil, unimplemented("it is not known what interface %v has", ref)
		}
		return t.iface, nil
	}
	info, err := h.rt.Describe(ctx, ref)
	if err != nil {
		return nil, err
	}
	return h.kinds.of(ctx, info, id)
}

// orderOf is what a call of an object waits for. What is not known yet waits for everything.
func (c *conn) orderOf(a *answer) order {
	if _, passed := c.h.target(a.to.ref); passed { // its program takes them in the order in which they are sent
		a.acts = true
		return afterBegun
	}
	f := c.kindOf[a.to.ref]
	if f == nil {
		f = c.h.kinds.known(a.iface)
	}
	if f == nil {
		return afterAll
	}
	needs := ""
	if a.iface == f.id {
		if m, err := a.numbered(f); err == nil {
			needs = m.needs
		}
	} else if a.iface == c.h.kinds.base.ref.id { // call, whose first pointer is the method's name
		p, _ := a.args.Ptr(0) // what is malformed is found later
		needs = f.needs(p.Text())
	}
	switch needs {
	case "r":
		return reading
	case "x":
		a.acts = true
		return afterBegun
	case "w":
		return afterBegun
	}
	return afterAll
}

// needs is the right that a method needs; empty if there is none of that name.
func (f *iface) needs(method string) string {
	for _, m := range f.methods {
		if !m.gone && m.name == method {
			return m.needs
		}
	}
	return ""
}

// learned is told, before the call, what a needs.
func (a *answer) learned(needs string) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	_, passed := a.c.h.target(a.to.ref)
	a.acts = passed || needs == "x"
}

// stateless reports whether a call has nothing to do with an object's state.
func (c *conn) stateless(a *answer) bool {
	return a.to.host || a.iface == c.h.kinds.base.ref.id && a.method != methodCall
}

// methodCall is the number of Ref.call.
const methodCall = 0
