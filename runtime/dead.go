package sturdy

import (
	"fmt"

	"github.com/sturdyrt/sturdy/objstore"
)

// maxDead is how many dead letters are kept.
const maxDead = 10_000

// bury keeps a letter that could not be delivered for good. The oldest makes room.
func (t *WriteTurn) bury(l letter, failure error) error {
	v := t.r.vat
	e := plain(failure)
	l.code, l.text, l.wanted = e.Code, e.Error(), false
	t.change(&element{key: v.deadKey(l.number), rec: l.record(), kind: v.activityKind})
	t.rare().buried = append(t.rare().buried, burial{l.number, l.method, failure})
	h, err := t.activityState()
	if err != nil {
		return err
	}
	if h.Dead++; h.Dead > maxDead {
		t.r.scan(v.rt.activity, "d", "e", func(elem string, _ objstore.Record) bool {
			t.dropDead(bigEndian(elem[1:]))
			return false
		})
	}
	return nil
}

// burial is what is logged of a letter that was buried.
type burial struct {
	number uint64
	method string
	why    error
}

// logBuried logs what the turn has buried. It is called when the turn has committed: one that
// is run again would say it once for each run, and one that is undone what never happened.
func (t *WriteTurn) logBuried() {
	if t.hasBuried() {
		t.r.vat.rt.logBuried(t.seldom.buried)
	}
}

func (rt *Runtime) logBuried(all []burial) {
	for _, b := range all {
		rt.log.Warn("a message could not be delivered, and is kept as a dead letter",
			"letter", fmt.Sprintf("%x", b.number), "method", b.method, "err", b.why)
	}
}

func (t *WriteTurn) hasBuried() bool { return t.seldom != nil && len(t.seldom.buried) > 0 }

// dropDead forgets a dead letter that is there.
func (t *WriteTurn) dropDead(number uint64) {
	v := t.r.vat
	t.change(&element{key: v.deadKey(number), dead: true, kind: v.activityKind})
	h, err := t.activityState()
	if err != nil {
		panic(unwind{err})
	}
	h.Dead--
}

// activityState is the state of the activity, for writing.
func (t *WriteTurn) activityState() (*activity, error) {
	s, err := t.ownOf(t.r.vat.rt.activity, t.r.vat.rt.activities.def)
	return (*activity)(s), err
}

func (v *vat) deadKey(number uint64) objstore.Key {
	return objstore.ElementKey(v.activityOID(), activityElem('d', number))
}
