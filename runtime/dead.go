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
	v.rt.log.Warn("a message could not be delivered, and is kept as a dead letter",
		"letter", fmt.Sprintf("%x", l.number), "method", l.method, "err", failure)
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
	s, err := t.own(t.r.vat.rt.activity)
	return (*activity)(s), err
}

func (v *vat) deadKey(number uint64) objstore.Key {
	return objstore.ElementKey(v.activityOID(), activityElem('d', number))
}
