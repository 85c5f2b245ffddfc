package sturdy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sturdyrt/sturdy/objstore"
)

// What Check verifies of the index of references, beside the store's own invariants:
//
//	R1  each record with slots has the rows that its slots ask for, with exactly these slots
//	R2  each row is asked for by a slot of its holder
//
// Each row is checked within one snapshot, and the whole in as many as it takes.

// IndexError says that an invariant of the index of references does not hold.
type IndexError struct {
	Invariant int // 1 or 2
	Err       error
}

// Error begins with the number, as in "R1: ...".
func (e *IndexError) Error() string { return fmt.Sprintf("R%d: %v", e.Invariant, e.Err) }

// Unwrap returns what was found.
func (e *IndexError) Unwrap() error { return e.Err }

const (
	indexErrors = 100     // that a check reports at most
	manySlots   = 64      // from which on a check remembers what a holder names
	maxTargets  = 1 << 20 // that a check remembers
)

// indexCheck is a check under way.
type indexCheck struct {
	rt   *Runtime
	ctx  context.Context
	sn   *objstore.Snapshot
	errs []error
	// What the holders with many slots name, in this snapshot: they have many rows, and
	// each asks.
	named map[objstore.Key][]objstore.OID
	total int
}

// checkIndex verifies the index of references.
func (rt *Runtime) checkIndex(ctx context.Context) error {
	c := indexCheck{rt: rt, ctx: ctx, sn: rt.vat.store.Snapshot()}
	defer func() { c.sn.Release() }()
	lo, hi := objstore.RefRange(objstore.OID{})
	err := c.each("", lo, c.record)
	if err == nil {
		err = c.each(lo, hi, c.row)
	}
	return errors.Join(append(c.errs, err)...)
}

// each calls visit for the rows from lo on and below hi. Damaged ones are left out: the
// store's own check reports them.
func (c *indexCheck) each(lo, hi objstore.Key, visit func(objstore.Key, objstore.Record) error) error {
	for len(c.errs) < indexErrors {
		var bad error
		err := c.sn.Scan(lo, hi, func(k objstore.Key, rec objstore.Record) bool {
			if bad = c.ctx.Err(); bad == nil {
				bad = visit(k, rec)
			}
			if bad == nil {
				lo = k + "\x00"
			}
			return bad == nil && len(c.errs) < indexErrors
		})
		if err == nil {
			err = bad
		}
		var damage *objstore.DamagedError
		switch {
		case err == nil:
			return nil
		case errors.Is(err, objstore.ErrSnapshotTooOld):
			c.sn.Release()
			c.sn, c.named, c.total = c.rt.vat.store.Snapshot(), nil, 0
		case errors.As(err, &damage) && damage.Key >= lo:
			lo = damage.Key + "\x00"
		default:
			return err
		}
	}
	return nil
}

func (c *indexCheck) fault(invariant int, format string, args ...any) {
	c.errs = append(c.errs, &IndexError{invariant, fmt.Errorf(format, args...)})
}

// record checks R1 for one record.
func (c *indexCheck) record(key objstore.Key, rec objstore.Record) error {
	if len(rec.Slots) == 0 {
		return nil
	}
	p, err := objstore.ParseKey(key)
	if err != nil || p.OID.IsZero() {
		return nil // no object's
	}
	if p.OID == c.rt.activity.oid && strings.HasPrefix(p.Elem, "m") {
		return nil // letters under way are not listed, see letterKey
	}
	names := sortNamings(c.rt.vat.appendNamings(nil, rec.Slots, nil))
	for len(names) > 0 {
		var want []naming
		_, want, _, names = cutTarget(nil, names)
		row, ok, err := c.sn.Get(objstore.RefKey(want[0].target, p.OID, p.Elem))
		_, size := binary.Varint(row.Body)
		switch {
		case errors.Is(err, objstore.ErrDamaged):
		case err != nil:
			return err
		case !ok:
			c.fault(1, "%s names %s, and the index does not say so", c.holder(p), c.name(want[0].target))
		case !slices.EqualFunc(want, row.Slots, func(n naming, s objstore.Slot) bool { return n.slot == s }):
			c.fault(1, "%s names %s with %d references, and the index has others, %d", c.holder(p), c.name(want[0].target), len(want), len(row.Slots))
		case size <= 0 || c.rt.kindOfRow(row.Kind).name == "":
			c.fault(1, "%s names %s, and the index does not say since when, or of which kind it is", c.holder(p), c.name(want[0].target))
		}
	}
	return nil
}

// row checks R2 for one row.
func (c *indexCheck) row(key objstore.Key, _ objstore.Record) error {
	p, err := objstore.ParseKey(key)
	if err != nil {
		return nil // the store's own check reports it
	}
	holder := objstore.ObjectKey(p.OID)
	if p.Elem != "" {
		holder = objstore.ElementKey(p.OID, p.Elem)
	}
	ok, err := c.names(holder, p.Target)
	switch {
	case errors.Is(err, objstore.ErrDamaged):
		return nil
	case err == nil && !ok:
		c.fault(2, "the index says that %s names %s, and it does not", c.holder(p), c.name(p.Target))
	}
	return err
}

// names reports whether a slot of the record names target.
func (c *indexCheck) names(holder objstore.Key, target objstore.OID) (ok bool, err error) {
	targets, known := c.named[holder]
	if !known {
		rec, _, err := c.sn.Get(holder)
		if err != nil {
			return false, err
		}
		ns := sortNamings(c.rt.vat.appendNamings(nil, rec.Slots, nil))
		for _, n := range ns {
			targets = append(targets, n.target)
		}
		targets = slices.Compact(targets)
		if len(targets) >= manySlots {
			c.remember(holder, targets)
		}
	}
	_, ok = slices.BinarySearchFunc(targets, target, compareOID)
	return ok, nil
}

func (c *indexCheck) remember(holder objstore.Key, targets []objstore.OID) {
	if c.total += len(targets); c.total > maxTargets || c.named == nil {
		c.named, c.total = map[objstore.Key][]objstore.OID{}, len(targets)
	}
	c.named[holder] = targets
}

func (c *indexCheck) name(oid objstore.OID) string {
	return c.rt.vat.table.get(c.rt.vat, oid).name()
}

func (c *indexCheck) holder(p objstore.KeyParts) string {
	if p.Elem == "" {
		return c.name(p.OID)
	}
	return fmt.Sprintf("element %q of %s", p.Elem, c.name(p.OID))
}
