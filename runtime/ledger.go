package sturdy

import (
	"encoding/binary"
	"time"

	"github.com/sturdyrt/sturdy/objstore"
)

// grantsNumber is the object number of the ledger: the object whose elements list the grants.
const grantsNumber = 2

// ledger is the state of that object. Its elements are
//
//	n  grant u64            every grant
//	x  until u64, grant u64  those that will run out, by time in nanoseconds since 1970
//	u  grant u64            how often it was used, see uses.go
//	t                       the latest time at which something was seen to have run out
//	w  grant u64, hash      what a weaker text of it stands for, see weaker.go
//	l                       whose sturdy refs count, see lineage.go
//
// with numbers big-endian.
type ledger struct{}

func newLedgerKind() *KindOf[ledger] { return Define[ledger]("sturdy/grants") }

func ledgerKey(space byte, ns ...uint64) string {
	b := []byte{space}
	for _, n := range ns {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return string(b)
}

func (t *WriteTurn) list(n uint64, until time.Time) {
	l := t.r.vat.rt.ledger
	t.setElement(l, ledgerKey('n', n), objstore.Record{})
	if !until.IsZero() {
		t.setElement(l, ledgerKey('x', uint64(until.UnixNano()), n), objstore.Record{})
	}
}

func (t *WriteTurn) unlist(n uint64, until time.Time) {
	if !until.IsZero() {
		t.dropElement(t.r.vat.rt.ledger, ledgerKey('x', uint64(until.UnixNano()), n))
	}
}
