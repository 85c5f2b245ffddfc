package sturdy

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// mailroom knows which letters wait to be delivered. It is what the activity's m elements are, in
// memory: built when the world opens, and changed when a turn that changes them commits.
// What it has is guarded by the writer's lock.
//
// Invariant: a letter is in a mailbox exactly if its m element is there for the next turn.
// Invariant: a mailbox is in ready exactly if it is not empty and neither held nor being
// delivered from.
type mailroom struct {
	boxes     map[uint64]*mailbox // by target; none is empty
	ready     []*mailbox          // in the order in which they are served
	accounts  map[uint64]account  // by sender
	full      atomic.Bool         // the program may not send now
	free      chan struct{}       // closed when it may send again; nil: it may, or nobody waits
	kick      chan struct{}       // capacity 1: there is something to deliver
	quiet     []chan int64        // told when due is, when there is nothing else to deliver; each of capacity 1
	due       atomic.Int64        // when the next alarm is, in nanoseconds since 1970; MaxInt64: there is none
	told      []*sent             // latent promises that were settled since toldCut
	flown     []*sent             // those before: the last group that was taken has them
	toldCut   uint64              // what cut was then
	routes    map[string]*route   // what waits for other hosts, by host; none is empty
	postponed postponed           // mailboxes that are tried again soon
	fresh     int                 // letters that were sent since the postman began its last round
	losses    uint64              // how often a rollback has taken letters and outcomes back
	attempt   delivery            // the postman's
	spare     seldom              // that of attempt, used again and again
	away      bool                // the postman has let the lock go and has not ended that attempt
	left      leftover            // what the postman has to see to first
	buried    []burial            // and what he has to log
}

// mailbox is the letters for one target, by number, which is the order of their sending.
type mailbox struct {
	target uint64
	mails  []*mail
	held   string // why they are not delivered: "waits for the promise 7f"; empty: they are
	route  *route // of one that waits for another host, whose courier looks into it; else nil
	inbox  bool   // the target, a thread or a port, looks into it by itself
}

// mail is a letter that waits.
type mail struct {
	number uint64 // this, method, sender and sent do not change
	method string
	sender uint64
	sent   *sent // nil: it was sent before the world was opened

	target uint64
	away   bool     // it is for another host
	answer bool     // letter.answers
	seq    uint64   // letter.seq, or number
	boxed  bool     // it is in its mailbox
	tried  bool     // another host may have got it, now or in an earlier opening; see courier.go
	word   bool     // or may have been told that it is given up
	out    bool     // it is in a batch under way
	abroad bool     // another host has accepted it, and has not answered yet
	size   int      // bytes that its sender is charged
	row    *element // its newest; nil: it is in the store only
}

// account is what waits at one sender.
type account struct{ letters, bytes int }

const (
	maxLetters     = 10_000   // that may wait at one sender
	maxLetterBytes = 16 << 20 // of letters that may wait at one sender
)

func (a account) full() bool { return a.letters >= maxLetters || a.bytes >= maxLetterBytes }

// sent is a letter of this opening with its promise, which is a latent object: it has a
// number, and becomes an object when somebody stores a Ref to it or gives it a Then. Most
// promises are ignored or awaited by Go code, and leave nothing on the disk.
//
// It is one allocation. Whoever holds the promise holds h, and thereby all of it.
type sent struct {
	mail    mail
	h       handle
	latent  version // that h begins with; its state is this sent
	element element // the letter
	first   settled // what it came to first, which is what it comes to unless a rollback takes that back
	outcome atomic.Pointer[settled]
	seen    atomic.Bool // somebody has asked for the outcome, or for being told
}

// settled is what a latent promise came to.
type settled struct {
	reply caps.Reply
	err   error
	group *group // what the outcome rests on; nil: it is durable
}

// settle makes o its outcome; with the writer's lock held.
func (s *sent) settle(o settled) {
	is := &s.first
	if is.reply.Body != nil || is.err != nil || is.group != nil {
		is = new(settled) // somebody may be looking at the first
	}
	*is = o
	s.outcome.Store(is)
}

// latentOf returns the letter whose latent promise h is, or nil.
func latentOf(h *handle) *sent {
	if v := h.cur.Load(); v != nil && v.kind == h.vat.latent {
		return (*sent)(v.state)
	}
	return nil
}

// charge is done when a letter is sent, and taken back when its turn is undone.
func (m *mailroom) charge(sender uint64, letters, bytes int) {
	a := m.accounts[sender]
	a.letters += letters
	a.bytes += bytes
	if a == (account{}) {
		delete(m.accounts, sender)
	} else {
		m.accounts[sender] = a
	}
	if sender != 0 {
		return
	}
	m.full.Store(a.full())
	if m.free != nil && !a.full() {
		close(m.free)
		m.free = nil
	}
}

// addMail puts a letter into its mailbox.
func (v *vat) addMail(ml *mail) {
	m := &v.mail
	b := m.boxes[ml.target]
	if b == nil {
		b = &mailbox{target: ml.target}
		m.boxes[ml.target] = b
		if ml.away {
			b.route = v.routeOf(ml.target)
		}
		if b.route != nil {
			b.held, b.inbox = "waits for another host", true
		} else {
			m.ready = append(m.ready, b)
		}
	}
	ml.boxed = true
	if b.route != nil {
		b.route.add(ml)
		v.rt.couriers.hire(b.route.host)
	} else if b.inbox && b.held != "" { // it may be what the target waits for
		b.held = ""
		m.ready = append(m.ready, b)
	}
	if n := len(b.mails); n == 0 || b.mails[n-1].number < ml.number {
		b.mails = append(b.mails, ml)
		return
	}
	i, _ := b.find(ml.number)
	b.mails = slices.Insert(b.mails, i, ml)
}

// find is where the letter of that number stands, or would.
func (b *mailbox) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(b.mails, number, func(o *mail, n uint64) int { return cmp.Compare(o.number, n) })
}

// removeMail takes a letter out of the mailbox of target.
func (v *vat) removeMail(target uint64, ml *mail) {
	m := &v.mail
	b := m.boxes[target]
	if b == nil {
		return
	}
	if i, ok := b.find(ml.number); !ok || b.mails[i] != ml {
		return
	} else if i == 0 {
		b.mails[0] = nil
		b.mails = b.mails[1:]
	} else {
		b.mails = slices.Delete(b.mails, i, i+1)
	}
	ml.boxed = false
	if r := b.route; r != nil {
		if r.remove(ml); r.letters == 0 {
			delete(m.routes, r.host)
		}
	}
	if len(b.mails) == 0 {
		delete(m.boxes, target)
		if b.held == "" {
			m.unready(b)
		}
	} else if len(m.ready) > 1 && m.ready[0] == b {
		m.rotate(b)
	}
}

// unready takes b out of those that are served.
func (m *mailroom) unready(b *mailbox) {
	if len(m.ready) > 0 && m.ready[0] == b {
		m.ready[0] = nil
		m.ready = m.ready[1:]
	} else if i := slices.Index(m.ready, b); i >= 0 {
		m.ready = slices.Delete(m.ready, i, i+1)
	}
}

// rotate puts b behind the others that are served.
func (m *mailroom) rotate(b *mailbox) {
	if b != nil && b.held == "" {
		m.unready(b)
		m.ready = append(m.ready, b)
	}
}

// postponed says of mailboxes that are not served for now why that is: for listings, which are
// read turns and must not wait for the writer.
type postponed struct {
	mu  sync.Mutex
	why map[uint64]string
}

// note notes why the mailbox of target is not served; empty: it is.
func (p *postponed) note(target uint64, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case why == "":
		delete(p.why, target)
	case p.why == nil:
		p.why = map[uint64]string{target: why}
	default:
		p.why[target] = why
	}
}

func (p *postponed) of(target uint64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why[target]
}

func (p *postponed) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.why = nil
}

// release lets the letters for target be delivered again.
func (v *vat) release(target uint64) {
	v.mail.postponed.note(target, "")
	if b := v.mail.boxes[target]; b != nil && b.held != "" {
		b.held = ""
		v.mail.ready = append(v.mail.ready, b)
		v.wake(v.mail.kick)
	}
}

// loadMail builds the mailroom from what is durable; with the writer's lock held, or before
// anybody else is there. Letters that were in memory keep their promises.
func (v *vat) loadMail() error {
	m := &v.mail
	m.losses++
	were := m.unsettle(v.failed.Load() != nil)
	defer func() { v.neverSent(were) }()
	if m.free != nil {
		close(m.free) // whoever waits to send looks again
		m.free = nil
	}
	m.full.Store(false)
	m.boxes, m.accounts, m.ready = map[uint64]*mailbox{}, map[uint64]account{}, nil
	m.routes = map[string]*route{}
	m.postponed.clear()
	defer m.loaded()
	s := v.store.Snapshot()
	defer s.Release()
	first, _ := objstore.ElementRange(v.activityOID())
	next := int64(math.MaxInt64)
	err := s.Scan(first+"a", first+"b", func(key objstore.Key, _ objstore.Record) bool {
		due, _, _ := parseNumbers(string(key[len(first)+1:])) // a damaged key is due at once, and dropped
		next = int64(due)
		return false
	})
	if err != nil {
		return err
	}
	m.due.Store(next)
	lo, hi := first+"m", first+"n"
	return s.Scan(lo, hi, func(key objstore.Key, rec objstore.Record) bool {
		target, number, ok := parseNumbers(string(key[len(first)+1:]))
		if !ok {
			v.rt.logAside(slog.LevelError, "damaged: the key of a letter is none; it is not delivered", "key", string(key))
			return true
		}
		var ml *mail
		if s := were[number]; s != nil {
			ml = &s.mail
			delete(were, number)
		} else {
			ml = &mail{number: number, tried: true, word: true}
			if l, err := parseLetter(number, "", rec); err == nil {
				ml.sender, ml.method = l.sender, l.method
			}
		}
		row := element{key: key, rec: rec, kind: v.activityKind}
		ml.target, ml.size, ml.row = target, row.bytes(), nil
		ml.tried = ml.tried || ml.out
		ml.seq, ml.out, ml.abroad, ml.away = number, false, false, false // it is brought again, and known there
		if l, err := parseLetter(number, ml.method, rec); err == nil {
			ml.seq, ml.away, ml.answer = cmp.Or(l.seq, number), l.away(), l.answers()
		}
		m.charge(ml.sender, 1, ml.size)
		v.addMail(ml)
		return true
	})
}

// loaded puts in order what was read from disk.
func (m *mailroom) loaded() {
	for _, r := range m.routes {
		r.sort()
	}
}

// unsettle returns the letters that have their promises in memory. Those of them that were
// delivered in a group which is lost are pending again, unless writes have stopped: then it
// is not known what is on disk.
func (m *mailroom) unsettle(stopped bool) map[uint64]*sent {
	were := map[uint64]*sent{}
	for _, b := range m.boxes {
		for _, ml := range b.mails {
			if ml.sent != nil {
				were[ml.number] = ml.sent
			}
		}
	}
	for _, s := range slices.Concat(m.flown, m.told) {
		if o := s.outcome.Load(); !stopped && (o == nil || !o.group.isDone()) {
			s.outcome.Store(nil)
			were[s.mail.number] = s
		}
	}
	m.flown, m.told = nil, nil
	return were
}

// neverSent breaks the promises of letters that are lost with the turns that sent them.
func (v *vat) neverSent(were map[uint64]*sent) {
	for n, s := range were {
		err := &caps.Error{Op: "send " + s.mail.method, Code: ErrDiskFull, Text: "nothing happened: the turn that sent it could not be written to disk"}
		if f := v.failed.Load(); f != nil {
			err.Code, err.Text = caps.ErrMaybeExecuted, maybeExecuted(f.err).Error()
		}
		s.outcome.Store(&settled{err: err}) // which counts as long as the promise is no object
		v.rt.awaits.notify(n, nil)
	}
}

// parseNumbers reads the two numbers of a key.
func parseNumbers(s string) (a, b uint64, ok bool) {
	if len(s) != 16 {
		return 0, 0, false
	}
	return bigEndian(s[:8]), bigEndian(s[8:]), true
}

func bigEndian(s string) (n uint64) {
	for i := range len(s) {
		n = n<<8 | uint64(s[i])
	}
	return n
}

// programMaySend waits until the program's own letters are few enough.
func (v *vat) programMaySend(ctx context.Context, op string) error {
	for v.mail.full.Load() {
		if err := v.w.lock(ctx, op, v.rt.clock); err != nil {
			return notStarted(op, err)
		}
		if !v.mail.accounts[0].full() || v.failed.Load() != nil {
			v.w.unlock()
			return nil
		}
		if v.mail.free == nil {
			v.mail.free = make(chan struct{})
		}
		free := v.mail.free
		v.w.unlock()
		select {
		case <-free:
		case <-v.ending:
			return stoppedError(op, ErrClosed)
		case <-ctx.Done():
			return &caps.Error{Op: op, Code: caps.ErrOverloaded, Cause: caps.CauseOf(ctx.Err()), Text: "overloaded: as many messages of this program wait as may, and it was not sent"}
		}
	}
	return nil
}
