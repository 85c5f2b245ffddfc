package sturdy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
)

// A letter for another host waits for as long as that takes: nobody here can tell a host that is
// gone for good from one that is switched off. Who knows it can end the waiting.

// Discard forgets a dead letter, also one that is damaged. Of a message that waits for another
// host it ends the waiting: its promise breaks, with [caps.ErrNotDelivered] if it certainly did not
// run, with [caps.ErrMaybeExecuted] if that host may have got it, and it becomes a dead letter,
// unless somebody is told of the outcome. ErrNoName if there is neither of that ID. It needs w.
func (a Activity) Discard(ctx context.Context, id string) error {
	return askDiscard.Call(ctx, a.Ref, id)
}

// DiscardHost does what Discard does to every message that waits for a host, and drops the
// outcomes that wait to be brought there. host is its name or the beginning of it, at least
// eight characters. It returns how many there were; ErrNoName if none. Others can be sent
// meanwhile, and wait again: revoke what leads there first. It needs w.
func (a Activity) DiscardHost(ctx context.Context, host string) (ended int64, err error) {
	for {
		n, err := askDiscardHost.Call(ctx, a.Ref, host)
		if ended > 0 && errors.Is(err, ErrNoName) {
			return ended, nil
		}
		if ended += n; err != nil {
			return ended, err
		}
	}
}

const (
	askDiscardHost caps.Method[string, int64] = "discardhost"

	discardPage = 256 // letters that one turn ends
	leastHost   = 8   // characters that say which host is meant
)

func (*activity) discard(t *WriteTurn, id string) error {
	_, _, err := t.deadLetter(id)
	if !errors.Is(err, ErrNoName) {
		return err
	}
	number, bad := parseID(id)
	for _, b := range t.r.vat.mail.boxes {
		i, ok := b.find(number)
		if bad != nil || !ok || t.takes(b.mails[i]) {
			continue
		}
		if b.route == nil {
			return &caps.Error{Code: ErrNoName, Text: fmt.Sprintf("letter %q is not dead, and it waits for an object of this world, which it will be delivered to", id)}
		}
		return t.endWaiting(b.mails[i], b.route.host)
	}
	return err
}

func (*activity) discardHost(t *WriteTurn, host string) (n int64, err error) {
	r, err := t.r.vat.mail.routeTo(host)
	if err != nil {
		return 0, err
	}
	// The mailboxes are left as they are until the turn commits.
	for _, b := range t.r.vat.mail.boxes {
		if b.route != r {
			continue
		}
		for _, ml := range b.mails {
			if n == discardPage {
				return n, nil
			}
			if t.takes(ml) { // the turn has been here before
				continue
			}
			if err := t.endWaiting(ml, r.host); err != nil {
				return n, err
			}
			n++
		}
	}
	if n == 0 {
		return 0, nothingWaits(host)
	}
	return n, nil
}

func nothingWaits(host string) error {
	return &caps.Error{Code: ErrNoName, Text: fmt.Sprintf("nothing waits for host %s", host)}
}

// routeTo is the route to the host whose name begins so.
func (m *mailroom) routeTo(host string) (found *route, err error) {
	if r := m.routes[host]; r != nil {
		return r, nil
	}
	if len(host) < leastHost {
		return nil, &caps.Error{Code: caps.ErrBadArgument, Text: fmt.Sprintf("%q is too short to say which host is meant; it takes %d characters of its name", host, leastHost)}
	}
	for name, r := range m.routes {
		if !strings.HasPrefix(name, host) {
			continue
		}
		if found != nil {
			return nil, &caps.Error{Code: caps.ErrBadArgument, Text: fmt.Sprintf("the names of several hosts begin with %q; say more of it", host)}
		}
		found = r
	}
	if found == nil {
		return nil, nothingWaits(host)
	}
	return found, nil
}

// endWaiting ends a letter that waits for another host. An outcome is only dropped.
func (t *WriteTurn) endWaiting(ml *mail, host string) error {
	rec, err := t.rowOf(ml)
	if err != nil {
		return err
	}
	l, err := parseLetter(ml.number, ml.method, rec)
	t.dropLetter(ml.target, ml)
	switch {
	case err != nil: // it is damaged
		return t.conclude(&letter{number: ml.number}, ml, settled{err: err})
	case l.answers():
		return nil
	}
	why := errors.New("it was discarded")
	if l.ran = ml.tried || ml.out || ml.abroad; l.ran {
		return t.giveUp(&l, ml, unanswered(l.method, host, why))
	}
	return t.giveUp(&l, ml, &caps.Error{Op: l.method, Object: host, Code: caps.ErrNotDelivered, Text: "not delivered: it was discarded before the other host had got it"})
}
