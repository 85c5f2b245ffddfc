package foreign

import rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

// finish lets go of an answer. One that is not there yet is not worked on any more, unless a
// call waits for it: a program that goes on with what it was promised says so without waiting.
func (c *conn) finish(a *answer, releaseCaps bool) error {
	delete(c.answers, a.id)
	a.detached = true
	if a.done {
		c.held -= a.kept
		exported := a.exported
		a.kept, a.exported, a.result = 0, nil, outcome{err: canceled()}
		if a.stays && !a.taken {
			return c.sayStays(a)
		}
		if releaseCaps {
			return c.unexportAll(exported)
		}
		return nil
	}
	c.orphans[a] = struct{}{}
	if a.taken { // which the peer has been told
		c.unwanted(a)
		return nil
	}
	err := c.tell(func(m rpccp.Message) error {
		r, err := m.NewReturn()
		if err == nil {
			r.SetAnswerId(a.id)
			r.SetReleaseParamCaps(false)
			r.SetCanceled()
		}
		return err
	})
	c.unwanted(a)
	return err
}

// unwanted cancels a and what it waits for, as far as nobody waits for that any more.
func (c *conn) unwanted(a *answer) {
	if !a.detached || a.done || a.taker != nil {
		return
	}
	for _, d := range a.wanted {
		if !d.a.done {
			return
		}
	}
	if a.begun {
		a.cancel()
		return
	}
	c.fail(a, canceled())
	for _, on := range a.waitsFor(c) {
		c.unwanted(on)
	}
}

// waitsFor are the answers that a waited for. There are few that are detached and not done.
func (a *answer) waitsFor(c *conn) (all []*answer) {
	for on := range c.orphans {
		for _, d := range on.wanted {
			if d.a == a {
				all = append(all, on)
				break
			}
		}
	}
	return all
}
