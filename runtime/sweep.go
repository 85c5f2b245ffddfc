package sturdy

// Before a group is cut, what has been sent in it is delivered, as far as that takes little time:
// a letter that is sent and delivered in one group has no row on the disk, while one that the
// cut separates from its delivery has two, the letter and its removal. The flusher does so with
// the lock that it cuts with, as others would send more while it waited for the postman.
//
// What does not end well, or not at once, is the postman's: the flusher leaves it to him as it is.
const maxSweep = 2 * maxRound // letters delivered before a group is cut

// leftover is an attempt of the flusher's that failed.
type leftover struct {
	d   *delivery // nil: there is none
	g   *group
	err error
}

// sweep delivers what waits; with the lock held. It returns what it has buried.
//
// A method can end the goroutine. Then sweeping stays set, and nothing is swept any more.
func (v *vat) sweep() []burial {
	m := &v.mail
	if len(m.ready) == 0 || m.away || m.sweeping || m.left.d != nil || v.rt.checked || v.failed.Load() != nil {
		return nil
	}
	m.sweeping = true
	var buried []burial
	began := v.rt.clock()
	for n := 0; n < maxSweep && buried == nil && m.next() != nil; n++ {
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
			buried = d.t.seldom.buried
		}
		if v.rt.clock().Sub(began) > maxRoundTime {
			break
		}
	}
	m.sweeping = false
	return buried
}
