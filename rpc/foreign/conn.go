package foreign

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Host is a world among foreign programs: what it serves them, and how it calls them. Safe
// for concurrent use.
type Host struct {
	rt    *sturdy.Runtime
	lim   Limits
	maker *caps.Maker // of Refs to capabilities of foreign programs
	kinds book
	made  allowance
	// Elsewhere opens sturdy refs of other hosts for strangers, who have no say about where this
	// host connects to. nil: none is opened for them. Set it before the first connection.
	Elsewhere func(ctx context.Context, s caps.SturdyRef) (caps.Ref, error)
}

// New returns the host of rt. Connections of it end before rt is closed.
func New(rt *sturdy.Runtime, lim Limits) *Host {
	h := &Host{rt: rt, lim: lim.withDefaults(), maker: caps.NewMaker(), kinds: book{rt: rt}}
	h.kinds.base.host, h.kinds.base.ref, h.kinds.base.grant = baseTypes()
	return h
}

// conn is one connection. Its tables are those that rpc.capnp describes: what the peer asked
// is an answer here, what this side asked is a question; what the peer may call is an export,
// what it lets us call an import.
type conn struct {
	h *Host
	Visitor
	name  string
	lim   Limits
	nc    net.Conn
	out   outbox
	ctx   context.Context // ends with the connection
	stop  context.CancelFunc
	calls sync.WaitGroup // what runs for the peer
	start time.Time
	heard atomic.Int64 // when the last message came, in nanoseconds since start

	// reading is held while values are made of a message, as a small one can stand for many. It
	// is taken before mu.
	reading sync.Mutex

	mu        sync.Mutex
	over      error // why the connection has ended
	seq       uint64
	answers   map[uint32]*answer
	orphans   map[*answer]struct{} // under way, and finished with: who waits for them goes on
	questions map[uint32]*question
	exports   exports
	imports   map[uint32]*impent
	gone      uint64 // generations of imports
	lanes     map[caps.Ref]*lane
	kindOf    map[caps.Ref]*iface
	running   int    // calls that have come and not ended
	held      int    // bytes of those, and of results that are kept
	echoes    int    // disembargoes that wait for calls to be sent
	records   int    // grants that an owner has made
	asked     uint32 // the number of the next question, unless it is taken
}

// placeOf is what stands before where a program is.
const placeOf = "the foreign program at "

func (h *Host) connect(ctx context.Context, nc net.Conn, v Visitor) *conn {
	c := &conn{
		h: h, Visitor: v, nc: nc, start: time.Now(), lim: h.lim, name: "a foreign program",
		answers: map[uint32]*answer{}, orphans: map[*answer]struct{}{}, questions: map[uint32]*question{}, imports: map[uint32]*impent{},
		lanes: map[caps.Ref]*lane{}, kindOf: map[caps.Ref]*iface{},
	}
	if a := nc.RemoteAddr(); a != nil && a.String() != "" && a.String() != "@" {
		c.name = placeOf + a.String()
	}
	c.exports.ids = map[capability]uint32{}
	c.out.conn, c.out.lim, c.out.fail = nc, c.lim, c.end
	c.ctx, c.stop = context.WithCancel(ctx)
	return c
}

func (c *conn) serve() error {
	if err := c.h.kinds.open(c.ctx); err != nil {
		c.end(err)
		return err
	}
	stop := context.AfterFunc(c.ctx, func() { c.end(errEnded) })
	defer stop()
	err := c.receive()
	c.abort(err)
	c.end(cmp.Or(err, io.EOF))
	c.calls.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	// Refs to what the peer had may stay for long, and lead here.
	c.answers, c.imports, c.exports, c.lanes, c.kindOf = nil, nil, exports{}, nil, nil
	for _, left := range []error{io.EOF, errEnded, syscall.EPIPE, syscall.ECONNRESET} { // a program may go before it has read everything
		if errors.Is(c.over, left) {
			return nil
		}
	}
	return c.over
}

var _ capnp.ClientHook = hook{}

// errEnded is a connection that this side has ended.
const errEnded caps.Code = "the connection was closed"

// end ends the connection; nil, io.EOF and errEnded are no faults.
func (c *conn) end(why error) {
	c.mu.Lock()
	if c.over != nil {
		c.mu.Unlock()
		return
	}
	c.over = cmp.Or(why, io.EOF)
	questions := c.questions
	c.questions = map[uint32]*question{}
	c.mu.Unlock()
	c.stop()
	c.out.close(c.over)
	_ = c.nc.Close() // there is nothing left to say
	for _, q := range questions {
		q.lost(c.over)
	}
}

// abort tells the peer what it did.
func (c *conn) abort(err error) {
	var o offence
	if !errors.As(err, &o) {
		return
	}
	c.goodbye(rpccp.Exception_Type_failed, clean(o.Error(), maxReason), err)
	c.out.close(err) // who writes now would find a broken pipe, and say that as the reason
	// What the peer has sent and nobody has read would take the reason away from it again.
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.nc.SetReadDeadline(time.Now().Add(lastWord / 20))
		_, _ = io.Copy(io.Discard, c.nc)
	}
}

// lastWord is how long a program has for hearing why its connection ends.
const lastWord = time.Second

// goodbye tells the peer why the connection ends, which it does if the peer does not listen.
func (c *conn) goodbye(kind rpccp.Exception_Type, reason string, why error) {
	late := time.AfterFunc(lastWord, func() { c.end(why) })
	defer late.Stop()
	_ = c.tell(func(m rpccp.Message) error { // it may be gone
		e, err := m.NewAbort()
		if err != nil {
			return err
		}
		e.SetType(kind)
		return e.SetReason(reason)
	})
	c.out.drain()
}

// newMessage is an empty message in one segment.
func newMessage() (rpccp.Message, error) {
	_, seg, err := capnp.NewMessage(capnp.SingleSegment(nil))
	if err != nil {
		return rpccp.Message{}, err
	}
	return rpccp.NewRootMessage(seg)
}

// tell puts a message into the outbox; the caller flushes it.
func (c *conn) tell(build func(rpccp.Message) error) error {
	m, err := newMessage()
	if err != nil {
		return err
	}
	defer m.Message().Release()
	if err := build(m); err != nil {
		return err
	}
	return c.out.put(m.Message())
}

// receive takes messages until there are no more. A peer that does not read what it asked for
// is not read from either.
func (c *conn) receive() (err error) {
	defer func() {
		if p := recover(); p != nil { // of whoever wrote what decodes messages, not of the process
			c.h.rt.Log().Error("a message of a foreign program panicked", "peer", c.name, "panic", p, "stack", string(debug.Stack()))
			err = offend("a message that this host cannot read")
		}
	}()
	in := incoming{conn: c.nc, r: bufio.NewReaderSize(c.nc, readSize), lim: c.lim, busy: c.busy}
	for {
		m, size, err := in.next()
		if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = fmt.Errorf("%s left in the middle of a message", c.name)
			}
			return err
		}
		c.heard.Store(int64(time.Since(c.start)))
		if done, err := c.take(m, size); done || err != nil {
			return err
		}
		if !in.whole() {
			c.out.flush(false)
		}
		c.out.await(nil)
	}
}

// busy reports whether there is a reason for silence.
func (c *conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over == nil && (c.running > 0 || len(c.questions) > 0 || len(c.imports) > 0)
}

// take acts on one message. Accessors of a union panic if it holds something else, so each
// follows a look at Which.
func (c *conn) take(m rpccp.Message, size int) (done bool, err error) {
	switch m.Which() {
	case rpccp.Message_Which_bootstrap:
		err = c.bootstrapped(m)
	case rpccp.Message_Which_call:
		err = c.called(m, size)
	case rpccp.Message_Which_return:
		err = c.returned(m)
	case rpccp.Message_Which_finish:
		err = c.finished(m)
	case rpccp.Message_Which_release:
		err = c.released(m)
	case rpccp.Message_Which_resolve:
		err = c.resolved(m)
	case rpccp.Message_Which_disembargo:
		err = c.disembargoed(m)
	case rpccp.Message_Which_unimplemented:
		err = c.notUnderstood(m)
	case rpccp.Message_Which_abort:
		e, err := m.Abort()
		if err != nil {
			return true, nil
		}
		reason, _ := e.Reason() // without one it is empty
		return true, fmt.Errorf("%s ended the connection: %s", c.name, clean(reason, maxReason))
	default: // three parties, and what is invented later
		err = c.tell(func(out rpccp.Message) error { return out.SetUnimplemented(m) })
	}
	return false, err
}

// malformed is a part of a message that cannot be read.
func malformed(what string, err error) error { return offend("a malformed %s: %v", what, err) }

func (c *conn) bootstrapped(m rpccp.Message) error {
	b, err := m.Bootstrap()
	if err != nil {
		return malformed("bootstrap", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := c.newAnswer(b.QuestionId(), 0)
	if err != nil {
		return err
	}
	out, err := newReturn(a.id, false)
	if err != nil {
		return err
	}
	payload, err := out.ret.NewResults()
	if err != nil {
		return err
	}
	err = payload.SetContent(capnp.NewInterface(payload.Segment(), 0).ToPtr())
	if err != nil {
		return err
	}
	content, err := payload.Content()
	if err != nil {
		return err
	}
	c.settle(a, outcome{content: content, table: []capability{{host: true}}, out: out, payload: payload})
	return nil
}

func (c *conn) finished(m rpccp.Message) error {
	f, err := m.Finish()
	if err != nil {
		return malformed("finish", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answers[f.QuestionId()]
	if a == nil {
		return offend("a finish of question %d, which was not asked", f.QuestionId())
	}
	return c.finish(a, f.ReleaseResultCaps())
}

func (c *conn) released(m rpccp.Message) error {
	r, err := m.Release()
	if err != nil {
		return malformed("release", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unexport(r.Id(), r.ReferenceCount())
}

// resolved declines: a promise of the peer goes on being called as such, and the peer passes
// on the calls. So nothing has to be held back until those that went there have arrived. The package
// doc says what else there would be to it.
func (c *conn) resolved(m rpccp.Message) error {
	r, err := m.Resolve()
	if err != nil {
		return malformed("resolve", err)
	}
	if r.Which() != rpccp.Resolve_Which_cap {
		return nil
	}
	d, err := r.Cap()
	if err != nil {
		return malformed("resolve", err)
	}
	id, ok := importOf(d)
	if !ok {
		return nil
	}
	return c.release(id, 1)
}

// disembargoed echoes, when the calls of what the peer was promised, and that turned out to be
// its own, have been sent back to it.
func (c *conn) disembargoed(m rpccp.Message) error {
	d, err := m.Disembargo()
	if err != nil {
		return malformed("disembargo", err)
	}
	if d.Context().Which() != rpccp.Disembargo_context_Which_senderLoopback {
		return c.tell(func(out rpccp.Message) error { return out.SetUnimplemented(m) })
	}
	target, err := d.Target()
	if err != nil || target.Which() != rpccp.MessageTarget_Which_promisedAnswer {
		return offend("a disembargo of what is no promise")
	}
	pa, err := target.PromisedAnswer()
	if err != nil {
		return malformed("disembargo", err)
	}
	path, err := pathOf(pa)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answers[pa.QuestionId()]
	if a == nil || !a.done {
		return offend("a disembargo of question %d, which is not answered", pa.QuestionId())
	}
	to, err := a.pick(path)
	if err != nil {
		return offend("a disembargo of what is no capability")
	}
	p, ok := c.own(to.ref)
	if !ok {
		return offend("a disembargo of what is not its own")
	}
	if c.echoes >= c.lim.Calls {
		return offend("%d disembargoes wait for calls; see Limits.Calls", c.echoes)
	}
	c.echoes++
	id := d.Context().SenderLoopback()
	c.behind(to.ref, func() error {
		c.echoes--
		return c.tell(func(out rpccp.Message) error { return echo(out, id, p.id) })
	})
	return nil
}

// echo is what a disembargo is answered with.
func echo(out rpccp.Message, id, to uint32) error {
	d, err := out.NewDisembargo()
	if err != nil {
		return err
	}
	d.Context().SetReceiverLoopback(id)
	target, err := d.NewTarget()
	if err == nil {
		target.SetImportedCap(to)
	}
	return err
}

// notUnderstood is what the peer says of a message of ours.
func (c *conn) notUnderstood(m rpccp.Message) error {
	u, err := m.Unimplemented()
	if err != nil {
		return malformed("unimplemented", err)
	}
	var id uint32
	switch u.Which() {
	case rpccp.Message_Which_call:
		call, err := u.Call()
		if err != nil {
			return malformed("unimplemented", err)
		}
		id = call.QuestionId()
	case rpccp.Message_Which_bootstrap:
		b, err := u.Bootstrap()
		if err != nil {
			return malformed("unimplemented", err)
		}
		id = b.QuestionId()
	default:
		return nil
	}
	c.mu.Lock()
	q := c.questions[id]
	delete(c.questions, id)
	if q != nil { // what it did not understand it did not take
		err = c.unexportAll(q.params)
	}
	c.mu.Unlock()
	if q != nil {
		q.end(reply{err: unimplemented("%s does not take calls of this sort", c.name)})
	}
	return err
}
