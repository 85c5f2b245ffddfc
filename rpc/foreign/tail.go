package foreign

import rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

// A program that answers a call of this side with what this side answers to a call of its own need
// not carry the result there and back. It says that the results of its call stay here, and then
// that they are the answer it owes. C++ programs do so, without asking what the other side can
// do, whenever a promise of theirs has turned out to be an object of this host, and with tail calls.
//
// The call is an answer like any other, and counted like one. Its caller is told that it is over as
// soon as it has said whose the result is; it goes on for who is waiting here.

// keep counts the result of a call, which stays here.
func (c *conn) keep(a *answer, o outcome) outcome {
	if o.err != nil {
		return o
	}
	size := messageSize(o.out.msg.Message())
	if err := c.roomToKeep(size); err != nil {
		return outcome{err: happened(err)}
	}
	a.kept = size
	c.held += size
	return o
}

// sayStays tells the peer that it need not wait for the result of a, which it will not get.
func (c *conn) sayStays(a *answer) error {
	return c.tell(func(m rpccp.Message) error {
		ret, err := m.NewReturn()
		if err == nil {
			ret.SetAnswerId(a.id)
			ret.SetReleaseParamCaps(a.untouched)
			ret.SetResultsSentElsewhere()
		}
		return err
	})
}

// borrow makes the answer to question id of the peer that to q, which is in the table, too.
func (c *conn) borrow(q *question, id uint32) error {
	a := c.answers[id]
	if a == nil || !a.stays || a.taken {
		return offend("question %d was answered with the answer to question %d, which does not stay here", q.id, id)
	}
	a.taken = true
	if err := c.sayStays(a); err != nil {
		return err
	}
	if q.canceled { // nobody waits for it, and the peer was told
		delete(c.questions, q.id)
		return nil
	}
	q.from, a.taker = a, q
	if a.done {
		c.handOver(a)
	}
	return nil
}

// handOver gives the result of a, which is there, to the question that waits for it.
func (c *conn) handOver(a *answer) {
	q := a.taker
	a.taker = nil
	if c.questions[q.id] != q { // the connection is over, or the peer has changed its mind
		return
	}
	delete(c.questions, q.id)
	r := reply{err: a.result.err}
	if r.raised, _ = r.err.(*raised); r.err == nil {
		r.content, r.table = a.result.content, a.result.out.msg.Message().CapTable()
	}
	q.end(r)
	if err := c.sayFinished(q.id, true); err != nil {
		c.calls.Go(func() { c.end(err) })
	}
}
