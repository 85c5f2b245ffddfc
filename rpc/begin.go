package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sturdyrt/sturdy/caps"
)

// Calls that are begun: a request may be for the result of another that was made over the same
// link and need not be answered yet. The peer keeps the result of a request which says that this
// will happen, until it is released: when it is answered, and so is all that was called on it.
// So what the program does with its promise has no part in that, and what is called next, on
// what the result has come to, comes after what was called before that was known.
//
// What is begun leaves with what follows, see soon: one write for a chain, and one for its
// answers. Nobody waits for an answer that no program asks for; it is told of, see goal.
//
// Where results are served, a request waits without a goroutine until there is what it is for,
// and counts as one that is served. Those for one result begin in order. If that is behind a
// third host, they follow there at once.
//
// Rejected: to keep every result until the end of its link. It would have to be bounded, and who
// gives way would have to be told.

// keeping is a result that the peer keeps.
type keeping struct {
	id   uint64
	here bool // the request is answered, or nobody waits for that
	out  int  // requests for the result that are neither
}

// holds notes what q asks the peer to keep, and what that has to keep for it; with mu held.
func (l *link) holds(id uint64, p *pending, q *request, on *keeping) {
	if p.on = on; on != nil {
		on.out++
	}
	if q.keep {
		p.keep = &keeping{id: id}
		l.asked.keeps[id] = p.keep
	}
}

// forget notes that nobody waits for p any more, and releases what nothing is called on from
// now on. What was not sent keeps nothing; with mu held.
func (l *link) forget(p *pending, sent bool) {
	if k := p.keep; k != nil {
		k.here = true
		if !sent {
			delete(l.asked.keeps, k.id)
		}
		l.free(k)
	}
	if k := p.on; k != nil {
		k.out--
		l.free(k)
	}
}

func (l *link) free(k *keeping) {
	if !k.here || k.out > 0 || l.asked.keeps[k.id] != k || l.ended != nil {
		return
	}
	delete(l.asked.keeps, k.id)
	l.out.buf = appendHeader(l.out.buf, kindRelease, k.id, 0)
	l.soon()
}

// keepsStill reports whether the peer keeps the result of request id.
func (l *link) keepsStill(id uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked.keeps[id] != nil && l.ended == nil
}

// errKnown says that a result can be called only as what it has come to.
const errKnown caps.Code = "known"

// Begin is Deliver that does not wait, as the world asks for it; see [caps.Ref.Begin].
func (n *Node) Begin(ctx context.Context, host, at string, to []byte, m caps.Message, keep bool) (wait func() (caps.Reply, error), line any) {
	deliver := func() (caps.Reply, error) { return n.Deliver(ctx, host, at, to, m) }
	q, err := n.asks(ctx, host, m)
	if err != nil {
		return failed(err), nil
	}
	l, err := n.reach(ctx, host, []string{at})
	if err != nil {
		return failed(named(err, m.Method, host)), nil
	}
	q.op, q.target, q.keep = opBegin, to, keep
	id, p, err := l.put(ctx, &q)
	if mayRepeat(l, err) {
		return deliver, nil // over another link
	}
	if err != nil {
		return failed(n.plainly(m.Method, host, err)), nil
	}
	r := road{n, l, id, host, p.goal}
	answer := r.waiter(ctx, m.Method, p)
	return func() (caps.Reply, error) {
		reply, err := answer()
		if mayRepeat(l, err) && ctx.Err() == nil {
			return deliver()
		}
		return reply, n.plainly(m.Method, host, err)
	}, r
}

// mayRepeat reports whether l broke, and what came to err can be asked for over another link.
func mayRepeat(l *link, err error) bool {
	if err == nil {
		return false
	}
	var again repeatable
	return errors.As(err, &again) && l.err() != nil
}

// plainly is err as programs get it.
func (n *Node) plainly(method, host string, err error) error {
	if err == nil {
		return nil
	}
	return named(err, method, host)
}

func failed(err error) func() (caps.Reply, error) {
	return func() (caps.Reply, error) { return caps.Reply{}, err }
}

// road leads to the result of a request that was made over l.
type road struct {
	n    *Node
	l    *link
	id   uint64
	host string
	goal *goal
}

// goal is the answer to a call that was begun, for which nobody need wait.
type goal struct {
	here  bool   // or it is known that there will be none. Guarded, like ended, by the link's mu
	ended func() // to be called then; nil: nothing is
}

// Ended implements what caps asks of a line.
func (r road) Ended(fn func()) {
	r.l.mu.Lock()
	if !r.goal.here {
		r.goal.ended = fn
		r.l.mu.Unlock()
		return
	}
	r.l.mu.Unlock()
	go fn()
}

// reaches notes that p is settled, and has that told if it was begun; with mu held.
func (l *link) reaches(p *pending) {
	g := p.goal
	if g == nil {
		return
	}
	if g.here = true; g.ended == nil {
		return
	}
	if l.asked.ended, g.ended = append(l.asked.ended, g.ended), nil; !l.asked.telling {
		l.asked.telling = true
		go l.tell()
	}
}

// tell tells of answers until there are no more.
func (l *link) tell() {
	for {
		l.mu.Lock()
		all := l.asked.ended
		if l.asked.ended = nil; len(all) == 0 {
			l.asked.telling = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		over := l.over()
		for _, fn := range all {
			if over { // it may be what makes the call over another link, and takes its time
				go fn()
				continue
			}
			fn()
		}
	}
}

// Begin calls the result, of which the caller has these rights.
func (r road) Begin(ctx context.Context, to caps.Rights, m caps.Message, keep bool) (wait func() (caps.Reply, error), line any) {
	if !r.l.keepsStill(r.id) {
		return nil, nil
	}
	q, err := r.n.asks(ctx, r.host, m)
	if err != nil {
		return failed(err), nil
	}
	q.op, q.on, q.has, q.keep = opBegin, r.id, uint8(to), keep
	id, p, err := r.l.put(ctx, &q)
	switch {
	case err == errKnown, mayRepeat(r.l, err):
		return nil, nil
	case err != nil:
		return failed(r.n.plainly(m.Method, r.host, err)), nil
	}
	next := road{r.n, r.l, id, r.host, p.goal}
	answer := next.waiter(ctx, m.Method, p)
	return func() (caps.Reply, error) {
		reply, err := answer()
		return reply, r.n.plainly(m.Method, r.host, err)
	}, next
}

// waiter waits for the answer to p, which is r's request.
func (r road) waiter(ctx context.Context, method string, p *pending) func() (caps.Reply, error) {
	return func() (caps.Reply, error) {
		if ctx.Err() == nil { // else it had better not leave
			r.l.prompt(p)
		}
		a, err := r.l.await(ctx, r.id, p)
		if err != nil {
			return caps.Reply{}, err
		}
		return r.n.told(method, r.host, r.l.at, a, nil)
	}
}

// kept is the result of a request, for those that are called on it. A nil one keeps nothing.
type kept struct {
	l     *link
	done  chan struct{} // closed when it is known
	line  any           // to where it is or will be; nil: it is waited for. Guarded, like the rest, by l.mu
	known bool
	reply caps.Reply // of what is a Ref
	err   error
	waits []*incoming // what is called on it and has not begun, in order
	busy  bool        // one is about to begin, and the next waits for that
}

// links has the result of in kept, and has in wait for that of another, if it says so; with mu
// held.
func (l *link) links(in *incoming) {
	if in.q.on != 0 {
		k := l.load.kept[in.q.on]
		in.q.of, in.q.begun = k, func() { k.next(in) }
		k.waits = append(k.waits, in)
	}
	if in.q.keep {
		in.q.is = &kept{l: l, done: make(chan struct{})}
		l.load.kept[in.id] = in.q.is
	}
}

// release forgets the result of a request. What is to be called on it has come before.
func (l *link) release(id uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id > l.load.last {
		return fmt.Errorf("a release of request %d, which was not made", id)
	}
	delete(l.load.kept, id)
	return nil
}

// drop takes in out of those that wait, if it does; with mu held.
func (k *kept) drop(in *incoming) bool {
	if k == nil {
		return false
	}
	i := slices.Index(k.waits, in)
	if i < 0 {
		return false
	}
	k.waits = slices.Delete(k.waits, i, i+1)
	return true
}

// leads says on which way the result can be called before it is known.
func (k *kept) leads(line any) {
	if k == nil || line == nil {
		return
	}
	k.l.mu.Lock()
	k.line = line
	k.advance()
}

// settle says what the request has come to. The first that does is right. What is called on
// that can begin then, see due.
func (k *kept) settle(r caps.Reply, err error) {
	if k == nil {
		return
	}
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	if k.known {
		return
	}
	if _, no := (caps.Message{}).On(r, err); !errors.Is(no, caps.ErrNoMethod) {
		k.reply = r // others cannot be called, and may be large
	}
	k.known, k.err = true, err
	close(k.done)
}

// ready reports whether the next that waits can begin; with mu held.
func (k *kept) ready() bool {
	return k != nil && (k.known || k.line != nil) && !k.busy && len(k.waits) > 0
}

// due is the next that waits, which begins; nil if none can. With mu held.
func (k *kept) due() (in *incoming) {
	if k.ready() {
		in, k.waits, k.busy = k.waits[0], k.waits[1:], true
	}
	return in
}

// advance begins with the next that waits, if it can. It gives up the lock.
func (k *kept) advance() {
	if in := k.due(); in != nil {
		k.l.hand(in)
	}
	k.l.mu.Unlock()
}

// next lets the next begin, as in has, or is over. The first time counts.
func (k *kept) next(in *incoming) {
	if k == nil {
		return
	}
	k.l.mu.Lock()
	if in.begun {
		k.l.mu.Unlock()
		return
	}
	in.begun, k.busy = true, false
	k.advance()
}

// wait waits until the result is known.
func (k *kept) wait(ctx context.Context) error {
	select {
	case <-k.done:
		return nil
	default:
	}
	select { // to ask for the channel is to have it made
	case <-k.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// way leads to the result, or is nil.
func (k *kept) way() (line any) {
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	return k.line
}

// follower is a line of the runtime's.
type follower interface {
	Begin(ctx context.Context, to caps.Rights, m caps.Message, keep bool) (wait func() (caps.Reply, error), line any)
}

// call makes the call that q asks for.
func (g guest) call(ctx context.Context, l *link, q request, m caps.Message) (caps.Reply, error) {
	if q.of == nil {
		to, err := g.n.rt.ImportOwn(q.target, l.peer())
		if err != nil {
			return caps.Reply{}, err
		}
		return g.deliverTo(ctx, to, q, m)
	}
	has := caps.Rights(q.has) | caps.Shallow
	if line, ok := q.of.way().(follower); ok {
		if wait, next := line.Begin(ctx, has, m, q.keep); wait != nil {
			q.is.leads(next)
			q.begun()
			return wait()
		}
	}
	if err := q.of.wait(ctx); err != nil {
		return caps.Reply{}, outcome(q.op, q.method, false, err)
	}
	to, err := m.On(q.of.reply, q.of.err)
	if err != nil {
		return caps.Reply{}, err
	}
	return g.deliverTo(ctx, to.Attenuate(has), q, m)
}

// deliverTo calls to, of whose result more may be called before it is there.
func (g guest) deliverTo(ctx context.Context, to caps.Ref, q request, m caps.Message) (caps.Reply, error) {
	if q.op == opCall {
		return to.Deliver(ctx, m)
	}
	begun := q.begun
	if begun == nil {
		begun = func() {}
	}
	wait, line := g.n.rt.Begin(ctx, to, m, q.keep, begun)
	q.is.leads(line)
	return wait()
}
