package sturdy

import (
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// Before a group is cut, what has been sent in it is delivered, as far as that takes little time:
// a letter that is sent and delivered in one group has no row on the disk, while one that the
// cut separates from its delivery has two, the letter and its removal. The flusher does so with
// the lock that it cuts with, as others would send more while it waited for the postman.
//
// What does not end well, or not at once, is the postman's: the flusher leaves it to him as it is.
const (
	maxSweep     = 8 * maxRound     // letters delivered before a group is cut
	maxSweepTime = time.Millisecond // and how long that takes at most, a slow method apart
)

// leftover is an attempt that failed, for which the postman still has to do something.
type leftover struct {
	d   *delivery // nil: there is none
	g   *group
	err error
}

// sweep delivers what waits; with the lock held. What is to be logged is the postman's, too: who
// handles the log may write, and would wait here for the group that is about to be cut.
func (v *vat) sweep() {
	m := &v.mail
	if len(m.ready) == 0 || m.away || m.left.d != nil || m.buried != nil || v.rt.checked || v.failed.Load() != nil {
		return
	}
	began := v.rt.clock()
	for n := 0; n < maxSweep && m.next() != nil; n++ {
		d := v.delivery(nil)
		err := d.once()
		g, err := v.finish(d.t, err)
		if d.t.again {
			break
		}
		if err != nil && d.mail != nil {
			m.left = leftover{d, g, err}
			v.wake(m.kick)
			break
		}
		if d.t.hasBuried() {
			m.buried = d.t.seldom.buried
			v.wake(m.kick)
			break
		}
		if v.rt.clock().Sub(began) > maxSweepTime {
			break
		}
	}
}

// quit is done when the method of a delivery has ended its goroutine; with the lock held. Nobody
// is there who could see to that letter, so it is left to the next that is.
func (m *mailroom) quit(t *WriteTurn, g *group) {
	if d := &m.attempt; d.t == t && d.mail != nil {
		m.left = leftover{d, g, &caps.Error{Code: caps.ErrPanicked, Text: "the method ended its goroutine (runtime.Goexit); nothing of its turn happened"}}
	}
}
