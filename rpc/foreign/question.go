package foreign

import (
	"context"
	"errors"
	"fmt"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// question is a call that this side has made. Calls are not pipelined here, so one is finished
// with as soon as it is answered.
type question struct {
	answered chan reply // has room for one
	params   map[uint32]uint32
	canceled bool    // finished with before it was answered; guarded by conn.mu
	id       uint32  // as the peer knows it
	from     *answer // whose result will be the answer; guarded by conn.mu. nil: none so far
}

// reply is what came back.
type reply struct {
	content capnp.Ptr
	table   *capnp.CapTable
	err     error
	raised  *raised // the exception that err is made of; nil: it was none
}

func (q *question) end(r reply) {
	select {
	case q.answered <- r:
	default:
	}
}

// lost ends a question when the connection ends. It had been sent, or was about to be.
func (q *question) lost(why error) {
	q.end(reply{err: &caps.Error{Code: caps.ErrMaybeExecuted, Cause: caps.CauseOf(why), Text: fmt.Sprintf("the connection ended before the answer came: %v", why)}})
}

// asking is a message that asks: Call or Bootstrap.
type asking interface{ SetQuestionId(uint32) }

// ask sends m and waits for the answer. payload has the arguments.
func (c *conn) ask(ctx context.Context, m rpccp.Message, in asking, payload rpccp.Payload) (reply, error) {
	c.out.await(ctx.Done())
	c.mu.Lock()
	q, id, err := c.enter(ctx, m, in, payload)
	c.mu.Unlock()
	if err != nil {
		return reply{}, err
	}
	if o, ok := ctx.(interface{ Begun() }); ok { // what is called next is sent next
		o.Begun()
	}
	c.out.flush(ctx.Done() == nil) // the peer may not read, and ctx ends all the same
	select {
	case r := <-q.answered:
		return r, r.err
	case <-ctx.Done():
		c.forget(id, q)
		return reply{}, &caps.Error{Code: caps.ErrMaybeExecuted, Cause: caps.CauseOf(ctx.Err()), Text: fmt.Sprintf("it was sent, and not answered in time: %v", ctx.Err())}
	}
}

// enter numbers a question and puts it on its way.
func (c *conn) enter(ctx context.Context, m rpccp.Message, in asking, payload rpccp.Payload) (*question, uint32, error) {
	table := tableOf(m.Message())
	switch {
	case ctx.Err() != nil:
		return nil, 0, &caps.Error{Code: caps.ErrNotDelivered, Cause: caps.CauseOf(ctx.Err()), Text: ctx.Err().Error()}
	case c.over != nil:
		return nil, 0, &caps.Error{Code: caps.ErrNotDelivered, Text: fmt.Sprintf("%s is not connected any more: %v", c.name, c.over)}
	case len(c.questions) >= c.lim.Calls:
		return nil, 0, tooMany("Calls", "%d calls of %s are not answered", len(c.questions), c.name)
	case messageSize(m.Message()) > c.lim.MessageBytes:
		return nil, 0, tooMany("MessageBytes", "the call has %d bytes", messageSize(m.Message()))
	case len(table) > c.lim.Slots:
		return nil, 0, tooMany("Slots", "the call has %d capabilities", len(table))
	case len(table) > 0 && len(c.exports.ids)+len(table) > c.lim.Exports:
		return nil, 0, tooMany("Exports", "%s holds %d capabilities", c.name, len(c.exports.ids))
	}
	q := &question{answered: make(chan reply, 1)}
	if len(table) > 0 {
		list, err := payload.NewCapTable(int32(len(table)))
		if err != nil {
			return nil, 0, err
		}
		q.params = map[uint32]uint32{}
		for i, x := range table {
			if err := c.describe(list.At(i), x, q.params); err != nil {
				return nil, 0, errors.Join(err, c.unexportAll(q.params))
			}
		}
	}
	for c.questions[c.asked] != nil {
		c.asked++
	}
	id := c.asked
	c.asked++
	in.SetQuestionId(id)
	if err := c.out.put(m.Message()); err != nil {
		return nil, 0, &caps.Error{Code: caps.ErrNotDelivered, Text: err.Error()}
	}
	c.questions[id], q.id = q, id
	return q, id, nil
}

// forget tells the peer that the answer is not wanted any more.
func (c *conn) forget(id uint32, q *question) {
	c.mu.Lock()
	var err error
	if c.questions[id] == q && c.over == nil {
		if q.from == nil {
			q.canceled = true
		} else { // the peer has answered, and the result is not there yet
			delete(c.questions, id)
			q.from.taker = nil
			c.unwanted(q.from)
		}
		err = c.sayFinished(id, true)
	}
	c.mu.Unlock()
	if err == nil {
		c.out.flush(false) // who has given up does not wait for the peer to read
	}
}

func (c *conn) sayFinished(id uint32, releaseCaps bool) error {
	return c.tell(func(m rpccp.Message) error {
		f, err := m.NewFinish()
		if err == nil {
			f.SetQuestionId(id)
			f.SetReleaseResultCaps(releaseCaps)
		}
		return err
	})
}

// returned takes an answer of the peer.
func (c *conn) returned(m rpccp.Message) error {
	ret, err := m.Return()
	if err != nil {
		return malformed("return", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id := ret.AnswerId()
	q := c.questions[id]
	if q == nil {
		if c.over != nil {
			return c.over
		}
		return offend("an answer to question %d, which was not asked", id)
	}
	if q.from != nil {
		return offend("question %d was answered twice", id)
	}
	if ret.ReleaseParamCaps() {
		if err := c.unexportAll(q.params); err != nil {
			return err
		}
	}
	if ret.Which() == rpccp.Return_Which_takeFromOtherQuestion {
		return c.borrow(q, ret.TakeFromOtherQuestion())
	}
	delete(c.questions, id)
	if q.canceled { // what it returns the peer keeps
		return nil
	}
	r, keep, err := c.readReturn(ret)
	if err != nil {
		return err
	}
	q.end(r)
	return c.sayFinished(id, !keep)
}

// readReturn reads an answer; keep: its capabilities were taken.
func (c *conn) readReturn(ret rpccp.Return) (r reply, keep bool, err error) {
	switch ret.Which() {
	case rpccp.Return_Which_results:
		return c.readResults(ret)
	case rpccp.Return_Which_exception:
		e, err := ret.Exception()
		if err != nil {
			return r, false, malformed("return", err)
		}
		reason, err := e.Reason()
		if err != nil {
			return r, false, malformed("return", err)
		}
		r.raised = &raised{caught("", "", e.Type(), reason), e.Type(), clean(reason, maxReason)}
		r.err = r.raised.means
	default:
		r.err = &caps.Error{Code: caps.ErrMaybeExecuted, Text: fmt.Sprintf("the program answered in a way that this host does not know: %v", ret.Which())}
	}
	return r, false, nil
}

func (c *conn) readResults(ret rpccp.Return) (r reply, keep bool, err error) {
	payload, err := ret.Results()
	if err != nil {
		return r, false, malformed("return", err)
	}
	table, err := payload.CapTable()
	if err != nil {
		return r, false, malformed("return", err)
	}
	if err := c.roomFor(table); err != nil {
		return reply{err: happened(err)}, false, nil
	}
	if r.content, err = payload.Content(); err != nil {
		return r, false, malformed("return", err)
	}
	r.table = ret.Message().CapTable()
	for i := range table.Len() {
		d := table.At(i)
		if d.Which() == rpccp.CapDescriptor_Which_receiverAnswer { // of a call that it made meanwhile
			r.table.Add(capnp.Client{})
			continue
		}
		x, err := c.readCap(d)
		if err != nil {
			return r, false, err
		}
		r.table.Add(clientOf(x))
	}
	return r, true, nil
}

// asError finds the *caps.Error in err.
func asError(err error, e **caps.Error) bool { return errors.As(err, e) }
