package sturdy

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// A peer is kept for as long as forgetting it could do harm, and no longer: whoever has a token
// can come with one key after the other, and would fill the disk. What is at stake is the place
// up to which the host's letters have come. Its world keeps a letter until it has the outcome
// on its disk, and brings it again until then; here it must not run twice.
//
//   - While letters of the host wait here to be delivered, its peer is kept.
//   - If nothing of it waits here, nothing that came from it can come again: its world has taken
//     every outcome, durably, before the outcome was dropped here. The peer is removed an hour after
//     it was heard of last, so that a request which lay in some queue is long over.
//   - If outcomes wait for it, the peer is leased: contact renews the lease. It ends when the host
//     has been silent for leaseDays days on which this world was open; days on which it was not do
//     not count, as the host could not have come then, and neither does a clock that jumps. The
//     outcomes and the peer are removed.
//
// A letter that is brought again after that is not taken for a new one. From oldLetter on, which
// is less than the lease, a letter that may have been brought before says how old it is. If it
// was sent so long before the peer was made, there may have been another peer that knew it: then
// it is not run, and its sender learns ErrMaybeExecuted. Whatever was sent later cannot have come
// before a lease that has ended, and is run, as is what is brought to a peer that is older. The
// days between oldLetter and the lease are for clocks that differ. For the same reason a host
// brings everything again, and does not only wait for outcomes, when it has been apart from
// another for a day.
//
// Tokens need no lease: there is no table of them. One is proof by itself, made for one host,
// and looked up in its grants at each call; revoking those, or their expiry, takes it from a
// peer that is gone for good as from any other, and it has cost nothing meanwhile.
//
// Rejected: keeping the places alone, without the peer. That is as many rows, only shorter.
const (
	forgetEvery = 10 * time.Minute
	forgetAfter = time.Hour
	leaseDays   = 30
	oneDay      = 24 * time.Hour
	oldLetter   = 25 * oneDay
	// maxPeers is how many hosts may be remembered. When there are as many, no letters are taken
	// of others, which wait where they are.
	maxPeers = 100_000

	forgetPage = 256 // peers that one turn looks at
)

// forgetPeers is a goroutine that removes what is kept of hosts for nothing.
func (rt *Runtime) forgetPeers() {
	ctx := rt.couriers.ctx
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		rt.remotes.tidy()
		if n, err := rt.forget(ctx); err != nil && ctx.Err() == nil {
			rt.log.Warn("what is kept of other hosts could not be looked through; it is tried again later", "err", err)
		} else if n > 0 {
			rt.log.Debug("hosts were forgotten that have nothing here", "hosts", n)
		}
	}
}

// forget removes the peers that are of no use any more, and returns how many.
func (rt *Runtime) forget(ctx context.Context) (removed int, err error) {
	for from := "h"; from != ""; {
		page, next, err := rt.forgettable(ctx, from)
		if err != nil {
			return removed, err
		}
		if len(page) > 0 {
			n := 0
			err := rt.update(Relaxed(ctx), "forget", func(t *WriteTurn) (err error) {
				n, err = t.forgetPeers(page)
				return err
			})
			if err != nil {
				return removed, err
			}
			removed += n
		}
		from = next
	}
	return removed, nil
}

// forgettable returns those of the next peers that a turn should look at, and where to go on;
// empty: nowhere. It is a read turn, so that looking holds up nobody.
func (rt *Runtime) forgettable(ctx context.Context, from string) (page []string, next string, err error) {
	err = rt.View(ctx, func(t *ReadTurn) error {
		page, next = nil, ""
		seen := 0
		t.scan(rt.activity, from, "i", func(elem string, rec objstore.Record) bool {
			if seen++; seen > forgetPage {
				next = elem
				return false
			}
			p, h, err := t.peerOf(rec)
			if err != nil {
				rt.log.Error("what is kept of another host is damaged", "host", elem[1:], "err", err)
			} else if h != nil && (t.Now().UnixNano() < p.Heard || t.Now().Sub(time.Unix(0, p.Heard)) >= forgetAfter) {
				page = append(page, elem)
			}
			return true
		})
		return nil
	})
	return page, next, err
}

// peerOf is the peer that a row of the activity names.
func (t *ReadTurn) peerOf(rec objstore.Record) (*peer, *handle, error) {
	n, size := binary.Uvarint(rec.Body)
	if size <= 0 {
		return nil, nil, &caps.Error{Code: caps.ErrDamaged, Text: "damaged: the number of a peer"}
	}
	h := t.vat.handleOf(n)
	s, err := t.stateOf(h, t.vat.rt.peers.def)
	if err != nil {
		return nil, nil, err
	}
	return (*peer)(s), h, nil
}

// forgetPeers removes those of the peers in page that are of no use any more.
func (t *WriteTurn) forgetPeers(page []string) (removed int, err error) {
	v := t.r.vat
	for _, elem := range page {
		rec, ok := t.r.element(v.rt.activity, elem)
		if !ok {
			continue
		}
		p, h, err := t.r.peerOf(rec)
		if err != nil {
			return removed, err
		}
		gone, err := t.outlived(p, h)
		if err != nil {
			return removed, err
		}
		if !gone {
			continue
		}
		removed++
		t.change(&element{key: objstore.ElementKey(v.activityOID(), elem), dead: true, kind: v.activityKind})
		if b := v.mail.boxes[h.oid.N]; b != nil {
			for _, ml := range b.mails {
				t.dropLetter(h.oid.N, ml)
			}
		}
		if err := t.remove(h); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// outlived reports whether a peer is of no use any more, and counts the days on which its host
// does not come for what waits for it.
func (t *WriteTurn) outlived(p *peer, h *handle) (bool, error) {
	v, now := t.r.vat, t.Now().UnixNano()
	apart, waits := time.Duration(now-p.Heard), v.mail.accounts[h.oid.N].letters
	outcomes := 0
	if b := v.mail.boxes[h.oid.N]; b != nil {
		outcomes = len(b.mails)
	}
	day := apart >= oneDay
	switch {
	case apart < 0: // the clock was set back
	case waits == 0:
		return apart >= forgetAfter, nil
	case waits > outcomes || !day:
		return false, nil
	case p.Silent+1 >= leaseDays:
		return true, nil
	}
	s, err := t.ownOf(h, v.rt.peers.def)
	if err != nil {
		return false, err
	}
	w := (*peer)(s)
	if w.Heard = now; day {
		w.Silent++
	}
	return false, nil
}

// remove removes an object that holds no references and that none is held to: there is no other
// way for an object to go.
func (t *WriteTurn) remove(h *handle) error {
	base, err := t.newest(h)
	if err != nil {
		return err
	}
	w := &version{kind: h.vat.gone, row: base.row, size: objectOverhead}
	w.prev.Store(base)
	h.work = w
	t.wset = append(t.wset, h)
	return nil
}

// fades reports whether the lease of a peer has to be renewed by contact alone.
func (in *intake) fades(p *peer) bool {
	return p.Silent > 0 || in.t.Now().Sub(time.Unix(0, p.Heard)) >= oneDay/2
}

// forgot reports whether a letter may have come before the peer was made, so that nobody here
// knows whether it did.
func (in *intake) forgot(a *arrival) bool {
	sent := in.t.Now().Add(-time.Duration(min(a.age, uint64(maxAge/time.Second))) * time.Second)
	return a.age > 0 && sent.Add(oldLetter).Before(time.Unix(0, in.since))
}

const maxAge = 100 * 365 * oneDay

// crowded reports whether as many hosts are remembered as may be.
func (v *vat) crowded() bool {
	return v.counts[v.rt.bound(v.rt.peers.def).no] >= maxPeers
}

// age is how many seconds a letter is old that may have been brought before, if that is long
// enough ago for the other host to have forgotten it; else 0.
func (p *parcel) age(now int64) int64 {
	if age := time.Duration(now - p.letter.at); p.tried && age >= oldLetter {
		return int64(age / time.Second)
	}
	return 0
}

// parted reports, once, whether the other host has not been reached for so long that it may have
// begun to forget what it has taken.
func (c *courier) parted() bool {
	now := c.rt.clock().UnixNano()
	long := c.spoke != 0 && now-c.spoke >= int64(oneDay)
	if long {
		c.spoke = now
	}
	return long
}

// forgotten is what becomes of a letter that another host has forgotten to have got.
func forgotten(method, host string) error {
	return &caps.Error{Op: method, Object: host, Code: caps.ErrMaybeExecuted, Text: "maybe executed: it was sent long ago, the other host has forgotten this one since, and cannot know whether it had come. Look at what it changes before it is repeated."}
}
