package sturdy

import (
	"cmp"
	"context"

	"github.com/sturdyrt/sturdy/caps"
)

// Where names the host that has the object, as in sturdy refs: this world's own, see Host, or
// the one that its Ref came from, which may have it from a third. It asks nobody, so it does
// not fail because a host cannot be reached. A promise is where it was made.
func (rt *Runtime) Where(_ context.Context, ref caps.Ref) (string, error) {
	h, _, ok := rt.open(ref)
	if !ok || h.vat.rt != rt {
		return "", notHere("where", ref)
	}
	r, err := h.remote()
	if err != nil || r == nil {
		return rt.Host(), err
	}
	return r.Host, nil
}

// Waiting counts, by host, the letters and the outcomes of letters that wait here until they are
// brought to another host, or until it has answered.
func (rt *Runtime) Waiting(ctx context.Context) (map[string]int, error) {
	v := rt.vat
	if err := outsideTurns(ctx, "waiting"); err != nil {
		return nil, err
	}
	if err := v.w.lock(ctx, "waiting", rt.clock); err != nil {
		return nil, notStarted("waiting", err)
	}
	boxes := map[uint64]int{}
	for n, b := range v.mail.boxes {
		if b.mails[0].away {
			boxes[n] = len(b.mails)
		}
	}
	v.w.unlock()
	hosts := map[string]int{}
	for n, letters := range boxes { // what stands there is looked at without the lock: it may have to be read
		host, _ := v.handleOf(n).hostAt()
		hosts[cmp.Or(host, "unknown")] += letters
	}
	return hosts, nil
}

// Knows reports whether something is kept of host: it has sent letters here.
func (rt *Runtime) Knows(host string) bool {
	known := false
	err := rt.View(context.Background(), func(t *ReadTurn) error {
		_, known = t.element(rt.activity, "h"+host)
		return nil
	})
	return err == nil && known
}
