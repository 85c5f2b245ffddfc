package sturdy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// maxWeaker bounds how many grants weaker texts of one grant may become: who holds a text
// can make any number of weaker ones, and each would be a record in somebody else's world.
const maxWeaker = 1000

// weaker returns the gate of the grant below n that stands for a weaker text, and makes it the
// first time. ref is what the text leaves of what n grants, terms what it sets.
func (rt *Runtime) weaker(ctx context.Context, n uint64, ref caps.Ref, terms caps.Terms) (gate *caps.Gate, err error) {
	_, a, _ := rt.open(ref)
	elem := ledgerKey('w', n) + textHash(a, terms)
	if made, err := rt.madeBefore(ctx, elem); made != nil || err != nil {
		return made, err
	}
	err = rt.Update(ctx, func(t *WriteTurn) error {
		if rec, ok := t.r.element(rt.ledger, elem); ok { // somebody else was faster
			gate = rt.gates.Open(rec.Slots[0].Path)
			return nil
		}
		if err := t.roomForWeaker(n); err != nil {
			return err
		}
		shared, _, err := t.grant(ref, terms, false)
		if err != nil {
			return err
		}
		_, a, _ := rt.open(shared)
		gate = a.Gate
		t.setElement(rt.ledger, elem, objstore.Record{Slots: rt.slots(nil, []caps.Ref{shared})})
		return nil
	})
	return gate, err
}

// roomForWeaker reports why no other weaker text of grant n can become a grant. Texts that
// have run out are forgotten then: they are refused by what they say. Those that were revoked
// are not: they would become another grant.
func (t *WriteTurn) roomForWeaker(n uint64) error {
	rt := t.r.vat.rt
	count, past := 0, []string(nil)
	t.r.scan(rt.ledger, ledgerKey('w', n), ledgerKey('w', n+1), func(elem string, rec objstore.Record) bool {
		count++
		return count < maxWeaker
	})
	if count < maxWeaker {
		return nil
	}
	t.r.scan(rt.ledger, ledgerKey('w', n), ledgerKey('w', n+1), func(elem string, rec objstore.Record) bool {
		number := rt.gates.Open(rec.Slots[0].Path).Grants()[0]
		if g, err := rt.grantState(&t.r, number); err == nil && !g.Until.IsZero() && rt.gates.Past(g.Until) {
			past = append(past, elem)
		}
		return true
	})
	for _, elem := range past {
		t.dropElement(rt.ledger, elem)
	}
	if len(past) == 0 {
		return &caps.Error{Op: "restore", Code: caps.ErrOverloaded, Text: "too many different weaker texts of one sturdy ref have been restored; the limit is 1,000 that have not run out: save it anew"}
	}
	return nil
}

func (rt *Runtime) madeBefore(ctx context.Context, elem string) (gate *caps.Gate, err error) {
	err = rt.View(ctx, func(t *ReadTurn) error {
		if rec, ok := t.element(rt.ledger, elem); ok {
			gate = rt.gates.Open(rec.Slots[0].Path)
		}
		return nil
	})
	return gate, err
}

// textHash names what a text leaves, whichever way it says it.
func textHash(a caps.Authority, terms caps.Terms) string {
	b := binary.BigEndian.AppendUint64([]byte{storedRights(a)}, uint64(terms.Until.Unix()))
	for _, m := range terms.Only {
		b = append(binary.AppendUvarint(b, uint64(len(m.Name()))), m.Name()...)
	}
	b = append(append(b, 0), terms.For...) // no name is empty
	sum := sha256.Sum256(b)
	return string(sum[:16])
}
