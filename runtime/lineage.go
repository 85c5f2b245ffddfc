package sturdy

import (
	"context"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/sturdyrt/sturdy/objstore"
)

// A world that is copied, or brought back from a backup, does not know what was revoked in
// the original since. So it refuses the original's sturdy refs until somebody who knows that
// the original is gone says that this world takes its place. The store tells a copy from the
// original by a new lineage; the secrets of sturdy refs are derived from it.

// lineages is the ledger's l element, in msgpack.
type lineages struct {
	// Current is the lineage in which the row was written. The world has another one: it has
	// been copied since.
	Current uint64
	// Honoured are the earlier lineages whose sturdy refs count, Refused those whose do not,
	// each in the order of Below.
	Honoured, Refused []span
}

// span is the grants that a lineage made: those below Below and not in a span before it.
type span struct{ Lineage, Below uint64 }

// of is the lineage that the sturdy ref of grant n belongs to.
func (l *lineages) of(n uint64) uint64 {
	for _, s := range l.Honoured {
		if n < s.Below {
			return s.Lineage
		}
	}
	return l.Current
}

// readLineages reads the row; ok is false if it has to be written for this opening.
func (v *vat) readLineages(info objstore.Info) (l lineages, ok bool, err error) {
	s := v.store.Snapshot()
	defer s.Release()
	rec, found, err := s.Get(lineageKey(v))
	if found && err == nil {
		err = msgpack.Unmarshal(rec.Body, &l)
	}
	switch {
	case err != nil:
		return l, false, err
	case !found:
		return lineages{Current: info.Lineage}, false, nil
	case l.Current == info.Lineage:
		return l, true, nil
	}
	past := append(append(l.Refused, l.Honoured...), span{l.Current, v.next})
	return lineages{Current: info.Lineage, Refused: past}, false, nil
}

func (l *lineages) record(lsn uint64) (objstore.Record, error) {
	body, err := msgpack.Marshal(l)
	return objstore.Record{LSN: lsn, Body: body}, err
}

func lineageKey(v *vat) objstore.Key {
	return objstore.ElementKey(objstore.OID{Vat: v.id, N: grantsNumber}, ledgerKey('l'))
}

// Copied reports whether the world is a copy that refuses the sturdy refs of its original,
// which Adopt ends.
func (rt *Runtime) Copied() bool { return len(rt.lineages.Load().Refused) > 0 }

// Adopt makes a world that is a copy honour the sturdy refs of the world it was copied from.
// Call it only when that world will not be opened again: what was revoked there after the
// copy was made is alive in this one. In a world that is no copy it does nothing.
func (rt *Runtime) Adopt(ctx context.Context) error {
	if err := outsideTurns(ctx, "adopt"); err != nil {
		return err
	}
	was := rt.lineages.Load()
	if len(was.Refused) == 0 {
		return nil
	}
	l := &lineages{Current: was.Current, Honoured: was.Refused}
	rec, err := l.record(0)
	if err != nil {
		return err
	}
	err = rt.Update(ctx, func(t *WriteTurn) error {
		t.setElement(rt.ledger, ledgerKey('l'), rec)
		return nil
	})
	if err == nil {
		rt.lineages.Store(l)
	}
	return err
}
