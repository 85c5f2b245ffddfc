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

// weaker returns the gate of the grant below n that stands for the terms of a weaker text,
// and makes it the first time. ref is what n grants.
func (rt *Runtime) weaker(ctx context.Context, n uint64, ref caps.Ref, terms caps.Terms) (gate *caps.Gate, err error) {
	elem := ledgerKey('w', n) + termsHash(terms)
	if made, err := rt.madeBefore(ctx, elem); made != nil || err != nil {
		return made, err
	}
	err = rt.Update(ctx, func(t *WriteTurn) error {
		if rec, ok := t.r.element(rt.ledger, elem); ok { // somebody else was faster
			gate = rt.gates.Open(rec.Slots[0].Path)
			return nil
		}
		count := 0
		t.r.scan(rt.ledger, ledgerKey('w', n), ledgerKey('w', n+1), func(string, objstore.Record) bool {
			count++
			return count < maxWeaker
		})
		if count == maxWeaker {
			return &caps.Error{Op: "restore", Code: caps.ErrOverloaded, Text: "too many different weaker texts of one sturdy ref have been restored; the limit is 1,000: save it anew"}
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

func (rt *Runtime) madeBefore(ctx context.Context, elem string) (gate *caps.Gate, err error) {
	err = rt.View(ctx, func(t *ReadTurn) error {
		if rec, ok := t.element(rt.ledger, elem); ok {
			gate = rt.gates.Open(rec.Slots[0].Path)
		}
		return nil
	})
	return gate, err
}

// termsHash names what terms leave, whichever texts say it.
func termsHash(terms caps.Terms) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(terms.Until.Unix()))
	for _, m := range terms.Only {
		b = append(binary.AppendUvarint(b, uint64(len(m.Name()))), m.Name()...)
	}
	b = append(append(b, 0), terms.For...) // no name is empty
	sum := sha256.Sum256(b)
	return string(sum[:16])
}
