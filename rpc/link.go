package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// handler serves what a peer asks. It is called for each request on a goroutine that does nothing
// else meanwhile, also for opSend: batches of letters say themselves in what order they are to be taken. ctx ends when the peer cancels, its deadline passes, the handler returns, or the link
// breaks; it carries no values. An error is sent as a *caps.Error, each field cut to a limit.
type handler func(ctx context.Context, l *link, q request) (response, error)

// link is how two hosts talk over one connection: either asks, either serves.
//
// One lock guards everything that changes. Nothing is done under it that can wait, and the
// reader waits for nothing but the connection: two links whose readers waited for their
// writers would wait for each other.
type link struct {
	conn   net.Conn
	host   string
	at     string // where the host was found; empty: it came to us. Invariant: fixed before the Node knows the link
	serve  handler
	lim    Limits
	log    *slog.Logger
	start  time.Time
	keeper *time.Timer
	spares sync.Pool // of *pending: beside the link, not beside the package, as its fields point into it

	greeted chan struct{} // closed when the peer's hello has been read
	broken  chan struct{} // closed when nothing is asked or served any more
	drained chan struct{} // closed when the reader has ended
	gone    chan struct{} // closed when the connection is closed
	theirs  Limits        // the peer's MessageBytes and Slots. Invariant: fixed before greeted is closed

	heard   atomic.Int64 // nanoseconds after start when something was read last
	blocked atomic.Int64 // nanoseconds after start, and 1, when the write under way began; 0: there is none
	greets  atomic.Bool  // greeted is closed

	mu    sync.Mutex
	ended error // why the link broke; nil: it did not
	bye   bool  // the peer is told why
	out   outbox
	asked asked
	load  load
	ping  ping
}

// ping is how a peer is asked for a sign of life.
type ping struct {
	last uint64
	open bool          // last is not answered yet
	back chan struct{} // closed when last is answered
	sent time.Duration // when last was sent, after start
	took time.Duration // how long an answer took; zero: there was none yet
}

// goodbye is how long a link that ends waits for the peer to take the reason.
const goodbye = time.Second

// newLink begins to talk over conn, which is the link's from now on, to the host that peer
// names. The link lives until close, or until the connection or the peer fails.
func newLink(conn net.Conn, peer string, serve handler, lim Limits, log *slog.Logger) *link {
	l := &link{
		conn: conn, host: peer, serve: serve, lim: lim.withDefaults(), log: log, start: time.Now(),
		greeted: make(chan struct{}), broken: make(chan struct{}), drained: make(chan struct{}), gone: make(chan struct{}),
	}
	l.spares.New = func() any { return &pending{done: make(chan struct{}, 1)} }
	l.asked.calls, l.asked.canceled = map[uint64]*pending{}, map[uint64]struct{}{}
	l.asked.keeps = map[uint64]*keeping{}
	l.load.moved = make(chan struct{}, 1)
	l.load.serving, l.load.kept = map[uint64]*incoming{}, map[uint64]*kept{}
	l.out.kick = make(chan struct{}, 1)
	l.out.buffered = buffered(conn)
	l.out.buf = appendHello(append(l.out.buf, preface...), &l.lim)
	l.mu.Lock()
	l.keeper = time.AfterFunc(l.lim.Handshake, l.keep)
	l.kick()
	l.mu.Unlock()
	go l.write()
	go l.read()
	return l
}

// carrier is what lies below TLS, if conn has it.
func carrier(conn net.Conn) net.Conn {
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}

// peer is the host id of the other side, as the handshake has proven it.
func (l *link) peer() string { return l.host }

// done is closed when the link has ended and its connection is closed. What was asked has
// failed before that. Handlers that do not heed their contexts may still run.
func (l *link) done() <-chan struct{} { return l.gone }

// over reports whether the link ends.
func (l *link) over() bool {
	select {
	case <-l.broken:
		return true
	default:
		return false
	}
}

// err is why the link ends; nil: it does not.
func (l *link) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// close ends the link and tells the peer why. It waits for nothing; done says when the peer
// has been told.
func (l *link) close(why error) {
	if why == nil {
		why = errors.New("it is no longer needed")
	}
	l.end(fmt.Errorf("the link to %s was closed: %w", l.host, why), why.Error())
}

// end ends the link, once. Without a reason to tell, the peer is told nothing.
func (l *link) end(why error, reason string) {
	l.mu.Lock()
	if l.ended != nil {
		l.mu.Unlock()
		return
	}
	l.ended, l.bye = why, reason != ""
	for id, p := range l.asked.calls {
		l.withdraw(id, p, why)
		l.reaches(p)
		p.done <- struct{}{}
	}
	if l.bye {
		l.out.buf = appendBye(l.out.buf, reason)
	}
	close(l.broken)
	l.keeper.Stop()
	serving := l.load.serving
	l.load.serving, l.load.kept = nil, nil
	l.load.crew.quit()
	// A write under way, by whomever, ends by the deadline.
	last := time.Unix(1, 0)
	if l.bye {
		last = time.Now().Add(goodbye)
	}
	_ = carrier(l.conn).SetDeadline(last) // fails on a closed connection, where nothing waits
	l.mu.Unlock()
	for _, in := range serving {
		in.cancel(context.Canceled)
	}
	l.log.Debug("link ended", "peer", l.host, "why", why)
}

// breach ends the link because the peer does what it must not.
func (l *link) breach(fault error) {
	l.end(fmt.Errorf("the link to %s ended, as it broke the protocol: %w", l.host, fault), "broke the protocol: "+fault.Error())
}

// keep looks after the peer's silence. It is called when the next thing is due: never later
// than half of Idle after the time before, so that whatever began since is seen in time.
func (l *link) keep() {
	now := time.Since(l.start)
	if !l.greets.Load() {
		l.end(fmt.Errorf("%s did not greet within %v", l.host, l.lim.Handshake), fmt.Sprintf("no greeting within %v", l.lim.Handshake))
		return
	}
	next := time.Duration(l.heard.Load()) + l.lim.Idle/2
	if next <= now {
		next += l.lim.Idle - l.lim.Idle/2
		l.ask()
	}
	if since := time.Duration(l.blocked.Load()); since != 0 {
		next = min(next, since+l.lim.Idle)
	}
	if next <= now {
		l.end(fmt.Errorf("%s has been silent, or has read nothing, for %v", l.host, l.lim.Idle), fmt.Sprintf("silent, or not reading, for %v", l.lim.Idle))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil { // a timer that end stopped stays stopped
		l.keeper.Reset(next - now)
	}
}

// ask sends a ping, unless the last is not answered yet. What it returns is closed when an
// answer has come.
func (l *link) ask() (back <-chan struct{}) {
	l.mu.Lock()
	if l.ping.open || l.ended != nil {
		defer l.mu.Unlock()
		return l.ping.back
	}
	l.ping.last, l.ping.open = l.ping.last+1, true
	l.ping.back, l.ping.sent = make(chan struct{}), time.Since(l.start)
	back = l.ping.back
	l.out.buf = appendHeader(l.out.buf, kindPing, l.ping.last, 0)
	l.flush(false)
	return back
}

// doubted is how long a peer has for a sign of life over a link, when it has made another.
const doubted = 3 * time.Second

// doubt ends the link if the peer says nothing over it for a while: it has made another link,
// so it may have given this one up, over a network that carried no word of that. What waits
// for this one would wait for Idle.
func (l *link) doubt() {
	since := time.Since(l.start)
	soon := time.NewTimer(min(doubted, l.lim.Idle))
	defer soon.Stop()
	select {
	case <-l.ask():
	case <-l.broken:
	case <-soon.C:
		if time.Duration(l.heard.Load()) <= since {
			l.end(fmt.Errorf("%s has made another link, and has been silent over this one for %v", l.host, doubted), "silent, and there is another link")
		}
	}
}

// roundTrip is how long the last sign of life took that was asked for; zero: there was none.
func (l *link) roundTrip() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ping.took
}

// outcome is the error for what was asked and has no answer. handed: it may have
// reached the peer.
func outcome(o op, method string, handed bool, cause error) error {
	e := &caps.Error{Op: method, Code: caps.ErrNotDelivered, Cause: caps.CauseOf(cause)}
	switch {
	case !handed:
		e.Text = fmt.Sprintf("not delivered: %v. Nothing happened; it may be repeated.", cause)
		return repeatable{e}
	case o.changesNothing():
		e.Text = fmt.Sprintf("no answer: %v. It changes nothing; it may be repeated.", cause)
		return repeatable{e}
	default:
		e.Code = caps.ErrMaybeExecuted
		e.Text = fmt.Sprintf("maybe executed: %v. Look at what it changes before it is repeated.", cause)
	}
	return e
}

// repeatable is the error of a request that never left, or changes nothing. A peer's answer can
// have the same code.
type repeatable struct{ is *caps.Error }

func (r repeatable) Error() string { return r.is.Error() }

func (r repeatable) Unwrap() error { return r.is }

func overloaded(method string, cause error, format string, args ...any) *caps.Error {
	return &caps.Error{
		Op: method, Code: caps.ErrOverloaded, Cause: caps.CauseOf(cause),
		Text: "overloaded, not delivered: " + fmt.Sprintf(format, args...) + ". Try again later.",
	}
}
