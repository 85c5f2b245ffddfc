package foreign

import (
	"context"
	"fmt"
	"runtime/debug"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// answer is what becomes of a question of the peer. All of it is guarded by conn.mu but what
// the call itself needs, which does not change once it runs.
type answer struct {
	c      *conn
	id     uint32
	seq    uint64 // of arrival
	size   int    // of the message
	ctx    context.Context
	cancel context.CancelFunc

	to     capability
	iface  uint64
	method uint16
	args   capnp.Struct
	slots  []slot // the capabilities in args
	waits  int    // for promises among the target and the slots
	lane   *lane  // where it is queued; nil: nowhere
	order  order
	acts   bool         // it needs x
	passed bool         // nothing waits for it any more
	say    func() error // it is no call, but something to be said when the calls before it have begun

	stays     bool      // the result is for a question of this side, see tail.go
	untouched bool      // the peer still has the capabilities in the arguments
	taken     bool      // the peer has said which question that is
	taker     *question // which; nil: not yet, or it has its answer

	begun    bool // it runs, or has
	done     bool
	detached bool // the peer has been told all it wants to know; the id may be another question's
	result   outcome
	kept     int // bytes of result that count as held
	exported map[uint32]uint32
	wanted   []dependent // who waits for it
}

// slot is a capability in the arguments.
type slot struct {
	cap capability
	err error
}

// dependent is a call that waits for a result as its target or an argument.
type dependent struct {
	a    *answer
	slot int // asTarget, or which
	path []uint16
}

const asTarget = -1

// outgoing is a Return that is being made.
type outgoing struct {
	msg rpccp.Message
	ret rpccp.Return
}

// outcome is a result or an error.
type outcome struct {
	err     error
	out     outgoing
	payload rpccp.Payload
	content capnp.Ptr
	table   []capability // what the capability pointers in content mean
}

func newReturn(id uint32, releaseParams bool) (outgoing, error) {
	m, err := newMessage()
	if err != nil {
		return outgoing{}, err
	}
	ret, err := m.NewReturn()
	if err != nil {
		return outgoing{}, err
	}
	ret.SetAnswerId(id)
	ret.SetReleaseParamCaps(releaseParams)
	return outgoing{m, ret}, nil
}

// newAnswer enters a question of size bytes. The caller has the lock, here and in all that follows.
func (c *conn) newAnswer(id uint32, size int) (*answer, error) {
	switch {
	case c.over != nil:
		return nil, c.over
	case c.answers[id] != nil:
		return nil, offend("question %d was asked twice", id)
	case len(c.answers) >= 2*c.lim.Answers:
		return nil, offend("%d answers are kept for it, and it is not done with any; see Limits.Answers", len(c.answers))
	}
	c.seq++
	a := &answer{c: c, id: id, seq: c.seq, size: size}
	c.answers[id] = a
	c.running++
	c.held += size
	return a, nil
}

// slotBytes is what a capability in the arguments takes at least here, whatever it took in the
// message: a list of those that are null has no size.
const slotBytes = 64

// charge counts n bytes more that are kept because of a, and says whether that is too much.
func (c *conn) charge(a *answer, n int) error {
	a.size += n
	c.held += n
	return c.full(a)
}

// full is why a, which was the last to come, cannot be taken. A call beside which nothing is kept
// has room.
func (c *conn) full(a *answer) error {
	switch {
	case len(c.answers) > c.lim.Answers:
		return tooMany("Answers", "%d answers are kept for this program until it says that it is done with them", c.lim.Answers)
	case c.running > c.lim.Calls:
		return tooMany("Calls", "%d calls of this program are under way", c.lim.Calls)
	case c.held > a.size && c.held > c.lim.BytesInFlight:
		return tooMany("BytesInFlight", "%d bytes of this program's calls and results are being kept", c.lim.BytesInFlight)
	}
	return nil
}

// called takes a call. What is wrong with its capabilities breaks the rules, as counts of
// references would be off from then on; what is wrong with the rest is its error.
func (c *conn) called(m rpccp.Message, size int) error {
	call, err := m.Call()
	if err != nil {
		return malformed("call", err)
	}
	target, err := call.Target()
	if err != nil {
		return malformed("call", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := c.newAnswer(call.QuestionId(), size)
	if err != nil {
		return err
	}
	a.iface, a.method = call.InterfaceId(), call.MethodId()
	switch call.SendResultsTo().Which() {
	case rpccp.Call_sendResultsTo_Which_caller:
	case rpccp.Call_sendResultsTo_Which_yourself:
		a.stays = true
	default:
		c.refuse(a, unimplemented("this host answers who calls it, and nobody else"))
		return nil
	}
	if err := c.full(a); err != nil {
		c.refuse(a, err)
		return nil
	}
	params, err := call.Params()
	if err != nil {
		return malformed("call", err)
	}
	content, err := params.Content()
	if err != nil {
		return malformed("call", err)
	}
	table, err := params.CapTable()
	if err != nil {
		return malformed("call", err)
	}
	if err := c.roomFor(table); err != nil {
		c.refuse(a, err)
		return nil
	}
	if err := c.charge(a, table.Len()*slotBytes); err != nil {
		c.refuse(a, err)
		return nil
	}
	a.args = content.Struct()
	if err := c.readSlots(a, table); err != nil {
		return err
	}
	return c.aim(a, target)
}

// aim finds the target of a call.
func (c *conn) aim(a *answer, target rpccp.MessageTarget) error {
	a.ctx, a.cancel = context.WithCancel(c.ctx)
	switch target.Which() {
	case rpccp.MessageTarget_Which_importedCap:
		x := c.exports.at(target.ImportedCap())
		if x == nil {
			return offend("a call of capability %d, which it does not have", target.ImportedCap())
		}
		c.aimed(a, x.cap, nil)
	case rpccp.MessageTarget_Which_promisedAnswer:
		pa, err := target.PromisedAnswer()
		if err != nil {
			return malformed("call", err)
		}
		on, path, err := c.promised(pa, a)
		if err != nil {
			return err
		}
		if !on.done {
			a.waits++
			on.wanted = append(on.wanted, dependent{a, asTarget, path})
			return nil
		}
		to, failed := on.pick(path)
		c.aimed(a, to, failed)
	default:
		c.fail(a, unimplemented("the call has a target of a sort that this host does not know"))
	}
	return nil
}

// aimed is told what a's target is.
func (c *conn) aimed(a *answer, to capability, err error) {
	switch {
	case a.done:
	case err != nil:
		c.fail(a, err)
	case to == (capability{}):
		c.fail(a, &caps.Error{Code: caps.ErrNull, Text: "a null capability was called"})
	default:
		a.to = to
		c.queue(a)
	}
}

// promised finds the question that pa is about, which must be an earlier one than a.
func (c *conn) promised(pa rpccp.PromisedAnswer, a *answer) (*answer, []uint16, error) {
	on := c.answers[pa.QuestionId()]
	if on == nil || on == a {
		return nil, nil, offend("a promised answer to question %d, which is not asked or done with", pa.QuestionId())
	}
	path, err := pathOf(pa)
	return on, path, err
}

// pathOf reads which pointer of a result is meant.
func pathOf(pa rpccp.PromisedAnswer) (path []uint16, err error) {
	ops, err := pa.Transform()
	if err != nil || ops.Len() > maxPath {
		return nil, offend("a promised answer of too many steps, or a malformed one")
	}
	for i := range ops.Len() {
		switch op := ops.At(i); op.Which() {
		case rpccp.PromisedAnswer_Op_Which_noop:
		case rpccp.PromisedAnswer_Op_Which_getPointerField:
			path = append(path, op.GetPointerField())
		default:
			return nil, offend("a promised answer by a step of an unknown sort")
		}
	}
	return path, nil
}

const maxPath = 64

// pick is the capability at path in the result of a, which is done.
func (a *answer) pick(path []uint16) (capability, error) {
	if a.result.err != nil {
		return capability{}, a.result.err
	}
	p := a.result.content
	for _, i := range path {
		s := p.Struct()
		if !s.IsValid() { // also beyond a null pointer
			return capability{}, nil
		}
		var err error
		if p, err = s.Ptr(i); err != nil {
			return capability{}, badArgument("the result has no such field: %v", err)
		}
	}
	switch i := p.Interface(); {
	case !p.IsValid():
		return capability{}, nil
	case !i.IsValid():
		return capability{}, badArgument("a part of a result was called that is no capability")
	case int(i.Capability()) < len(a.result.table):
		return a.result.table[i.Capability()], nil
	}
	return capability{}, nil
}

// refuse answers a call whose capabilities were not looked at: the peer still has them all.
func (c *conn) refuse(a *answer, err error) {
	if a.stays {
		a.untouched = true
		c.fail(a, err)
		return
	}
	out, fault := newReturn(a.id, true)
	if fault == nil {
		fault = throw(out.ret, err)
	}
	if fault == nil {
		c.settle(a, outcome{err: err, out: out})
	}
}

// fail answers a call with an error.
func (c *conn) fail(a *answer, err error) {
	c.settle(a, outcome{err: err})
}

func throw(ret rpccp.Return, err error) error {
	e, fault := ret.NewException()
	if fault != nil {
		return fault
	}
	kind, reason := thrown(err)
	e.SetType(kind)
	return e.SetReason(reason)
}

// settle ends a call: who waits for it learns what it came to, and so does the peer.
func (c *conn) settle(a *answer, o outcome) {
	if a.done {
		return
	}
	queued := a.lane != nil && !a.begun
	a.done, a.begun = true, true
	delete(c.orphans, a)
	c.running--
	c.held -= a.size
	if a.cancel != nil {
		a.cancel()
	}
	switch {
	case a.detached || c.over != nil:
	case a.stays:
		o = c.keep(a, o)
	default:
		o = c.send(a, o)
	}
	a.result = o
	if a.taker != nil {
		c.handOver(a)
	}
	if o.table == nil && !a.stays {
		a.result = outcome{err: o.err}
		if o.out != (outgoing{}) {
			o.out.msg.Message().Release() // and its memory is for the next one
		}
	}
	a.args, a.slots = capnp.Struct{}, nil
	wanted := a.wanted
	a.wanted = nil
	for _, d := range wanted {
		c.learn(d, a)
	}
	if queued { // those behind it need not wait for what it waited for
		c.advance(a.lane)
	}
}

// learn tells d what a came to.
func (c *conn) learn(d dependent, a *answer) {
	if d.a.done {
		return
	}
	d.a.waits--
	to, err := a.pick(d.path)
	if d.slot == asTarget {
		c.aimed(d.a, to, err)
		return
	}
	d.a.slots[d.slot] = slot{to, err}
	switch {
	case d.a.lane != nil:
		c.advance(d.a.lane)
	case d.a.to != capability{}:
		c.queue(d.a)
	}
}

// send writes the return of a. What the peer would hold too much of becomes an error.
func (c *conn) send(a *answer, o outcome) outcome {
	if o.err == nil {
		if err := c.fill(a, &o); err != nil {
			o = outcome{err: happened(err)}
		}
	}
	var err error
	if o.err != nil && o.out == (outgoing{}) {
		if o.out, err = newReturn(a.id, false); err == nil {
			err = throw(o.out.ret, o.err)
		}
	}
	if err == nil {
		err = c.out.put(o.out.msg.Message())
	}
	if err != nil { // the connection is over, or is now
		c.calls.Go(func() { c.end(err) })
		return o
	}
	if o.err == nil && len(o.table) > 0 {
		a.kept = messageSize(o.out.msg.Message())
		c.held += a.kept
	}
	return o
}

// roomToKeep is why a result of so many bytes cannot be kept. One beside which nothing is kept has
// room.
func (c *conn) roomToKeep(size int) error {
	if c.held > 0 && c.held+size > c.lim.BytesInFlight {
		return tooMany("BytesInFlight", "%d bytes of this program's calls and results are being kept", c.held)
	}
	return nil
}

func messageSize(m *capnp.Message) int {
	size, err := m.TotalSize()
	if err != nil {
		return 0
	}
	return int(size)
}

// fill writes what capabilities the result has.
func (c *conn) fill(a *answer, o *outcome) error {
	size := messageSize(o.out.msg.Message()) + 40*len(o.table)
	if size > c.lim.MessageBytes {
		return tooMany("MessageBytes", "the result has %d bytes", size)
	}
	if len(o.table) == 0 {
		return nil
	}
	if err := c.roomToKeep(size); err != nil {
		return err
	}
	switch {
	case len(o.table) > c.lim.Slots:
		return tooMany("Slots", "the result has %d capabilities", len(o.table))
	case len(c.exports.ids)+len(o.table) > c.lim.Exports:
		return tooMany("Exports", "this program holds %d capabilities", len(c.exports.ids))
	}
	list, err := o.payload.NewCapTable(int32(len(o.table)))
	if err != nil {
		return err
	}
	a.exported = map[uint32]uint32{}
	for i, x := range o.table {
		if err := c.describe(list.At(i), x, a.exported); err != nil {
			c.unexportAll(a.exported)
			a.exported = nil
			return err
		}
	}
	return nil
}

// run makes the call. Nothing that it does may end the goroutine or the process.
func (a *answer) run(begun func()) {
	o := outcome{err: &caps.Error{Code: caps.ErrPanicked, Text: "the method panicked; the host's log says where"}}
	defer func() {
		if p := recover(); p != nil {
			a.c.h.rt.Log().Error("a call of a foreign program panicked", "peer", a.c.name, "panic", p, "stack", string(debug.Stack()))
		}
		begun()
		a.c.out.await(nil)
		a.c.mu.Lock()
		a.c.leave(a)
		a.c.settle(a, o)
		a.c.mu.Unlock()
		a.c.out.flush(true)
	}()
	o = a.perform(begun)
}

// perform makes the call and writes the result.
func (a *answer) perform(begun func()) outcome {
	if err := a.ctx.Err(); err != nil {
		return outcome{err: canceled()}
	}
	args := a.args.Message() // nil: there is nothing that could point to a capability
	for i, s := range a.slots {
		if s.err != nil {
			return outcome{err: fmt.Errorf("capability %d among the arguments is a promise that was broken: %w", i, s.err)}
		}
		if args != nil {
			args.CapTable().Add(clientOf(s.cap))
		}
	}
	if t, ok := a.relays(); ok {
		return a.relay(t, begun)
	}
	m, v, err := a.do(begun)
	if err != nil {
		return outcome{err: err}
	}
	o, err := a.write(m, v)
	if err != nil {
		return outcome{err: happened(err)}
	}
	return o
}

// write makes the result v of m a message.
func (a *answer) write(m *method, v caps.Value) (o outcome, err error) {
	if o.out, err = newReturn(a.id, false); err != nil {
		return o, err
	}
	if o.payload, err = o.out.ret.NewResults(); err != nil {
		return o, err
	}
	s, err := capnp.NewStruct(o.payload.Segment(), m.results.size)
	if err != nil {
		return o, err
	}
	if err := o.payload.SetContent(s.ToPtr()); err != nil {
		return o, err
	}
	w := writer{limit: a.c.lim.MessageBytes, refs: a.c.h.clientFor}
	if err := w.record(s, m.results, v); err != nil {
		return o, err
	}
	o.content = s.ToPtr()
	o.table = tableOf(o.out.msg.Message())
	return o, nil
}
