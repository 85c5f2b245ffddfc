package objstore

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Check verifies the invariants that doc.go numbers, and returns all that do not hold,
// joined, each as a *CheckError. It reads every row, beside commits and readers, and then the
// journal, while commits wait. A closed store answers ErrClosed.
func (s *Store) Check(ctx context.Context) error {
	c := checker{ctx: ctx, store: s, sn: s.Snapshot()}
	defer func() { c.sn.Release() }()
	if err := c.sn.err(); err != nil {
		return err
	}
	c.memory()
	c.rows()
	c.pages()
	c.journal()
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(c.errs...)
}

// checkLimit is how many errors a check reports.
const checkLimit = 100

type checker struct {
	ctx   context.Context
	store *Store
	sn    *Snapshot
	errs  []error
	// What holds while the check runs, though commits and checkpoints go on.
	checkpoint checkpointRow
	groups     []*group
	state      *state
}

func (c *checker) fault(invariant int, format string, args ...any) {
	if len(c.errs) < checkLimit {
		c.errs = append(c.errs, &CheckError{invariant, fmt.Errorf(format, args...)})
	}
}

// memory checks I1 to I3.
func (c *checker) memory() {
	s := c.store
	s.mu.Lock()
	c.checkpoint, c.groups, c.state = s.checkpoint, s.groups, s.state
	oldest := s.state.lsn
	if s.oldest != nil {
		oldest = s.oldest.state.lsn
	}
	s.mu.Unlock()
	if c.checkpoint.lsn > oldest || oldest > c.state.lsn {
		c.fault(1, "checkpoint %d, oldest snapshot %d, durable %d", c.checkpoint.lsn, oldest, c.state.lsn)
	}
	last, next := c.checkpoint.lsn, c.checkpoint.next
	newest := map[Key]string{}
	for _, g := range c.groups {
		if g.base != last || g.lsn <= g.base || g.next < next {
			c.fault(2, "group %d on %d with number %d follows %d with number %d", g.lsn, g.base, g.next, last, next)
		}
		last, next = g.lsn, g.next
		for _, r := range g.batch.rows {
			key, raw := g.batch.row(r)
			newest[key] = raw
		}
	}
	if last != c.state.lsn || next != c.state.next {
		c.fault(2, "last group is %d with number %d, durable is %d with number %d", last, next, c.state.lsn, c.state.next)
	}
	for key, raw := range newest {
		if got, ok := c.state.table.get(key); !ok || got != raw {
			c.fault(3, "%v in the table is not what the newest group says", key)
		}
	}
	if n := c.state.table.len(); n != len(newest) {
		c.fault(3, "%d rows in the table, %d in the groups", n, len(newest))
	}
}

// rows checks I4 to I6 in the snapshot: table over store file. It takes a new snapshot when
// a checkpoint needs the old one to go; what holds for each row does not mind.
func (c *checker) rows() {
	lo := Key("")
	for c.ctx.Err() == nil && len(c.errs) < checkLimit {
		err := c.sn.Scan(lo, "", func(key Key, rec Record) bool {
			lo = key + "\x00"
			c.row(key, rec)
			return c.ctx.Err() == nil
		})
		var damage *DamagedError
		switch {
		case err == nil:
			return
		case errors.Is(err, ErrSnapshotTooOld):
			c.sn.Release()
			c.sn = c.store.Snapshot()
		case errors.As(err, &damage) && damage.Where == rowPlace && damage.Key >= lo:
			c.fault(4, "%w", err)
			lo = damage.Key + "\x00"
		default:
			c.fault(5, "%w", err)
			return
		}
	}
}

func (c *checker) row(key Key, rec Record) {
	p, err := ParseKey(key)
	if err != nil {
		c.fault(4, "%w", err)
	}
	if rec.LSN > c.sn.LSN() {
		c.fault(6, "%v has LSN %d, the newest is %d", key, rec.LSN, c.sn.LSN())
	}
	if p.Space == spaceObject && p.OID.Vat == c.store.world.vat && p.OID.N >= c.sn.state.next {
		c.fault(6, "%v exists, but the next number is %d", key, c.sn.state.next)
	}
}

// pages checks I7: the page tree, against bbolt's own idea of which pages are free.
func (c *checker) pages() {
	s := c.store
	// bbolt's free list may only be looked at while nobody writes.
	err := s.disk.begin("", !s.opts.ReadOnly, func(tx *bbolt.Tx) error {
		t, err := openTree(tx, bucketRows)
		if err != nil {
			return err
		}
		seen := map[uint64]bool{}
		return t.walk(t.root, 0, "", endKey, func(id, pages uint64) error {
			for i := id; i < id+pages; i++ {
				if seen[i] {
					return fmt.Errorf("page %d is used twice", i)
				}
				seen[i] = true
				if err := c.pageInUse(tx, i); err != nil {
					return err
				}
			}
			return c.ctx.Err()
		})
	})
	if err != nil && c.ctx.Err() == nil {
		c.fault(7, "%w", err)
	}
}

func (c *checker) pageInUse(tx *bbolt.Tx, id uint64) error {
	if c.store.opts.ReadOnly {
		return nil // bbolt has not read its free list
	}
	info, err := tx.Page(int(id))
	if err == nil && (info == nil || info.Type == "free") {
		err = fmt.Errorf("page %d is in use and on the free list", id)
	}
	return err
}

// journal checks I8: the files hold the groups that memory holds.
func (c *checker) journal() {
	s := c.store
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	for {
		s.mu.Lock()
		from, groups, closed, stopped := s.checkpoint, s.groups, s.closed, s.stopped
		s.mu.Unlock()
		if closed || stopped != nil {
			return // what is behind the last good frame is not known
		}
		played, err := replayJournal(s.files, from)
		s.mu.Lock()
		moved := s.checkpoint.lsn != from.lsn
		s.mu.Unlock()
		if moved {
			continue // a checkpoint has trimmed the journal while it was read
		}
		c.compare(played, groups, err)
		return
	}
}

func (c *checker) compare(played replay, groups []*group, err error) {
	if err != nil {
		c.fault(8, "%w", err)
		return
	}
	if len(played.groups) != len(groups) || played.torn && !c.store.opts.ReadOnly {
		c.fault(8, "journal has %d groups (torn end: %v), memory %d", len(played.groups), played.torn, len(groups))
		return
	}
	for i, g := range groups {
		if p := played.groups[i]; p.lsn != g.lsn || p.sum != g.sum || p.end != g.end {
			c.fault(8, "group %d is in the journal as %d", g.lsn, p.lsn)
		}
	}
}

// walk calls fn for every page below id, with the number of pages that it takes. All keys
// there must be in order, from lo on and below hi.
func (t *pageTree) walk(id uint64, depth int, lo, hi Key, fn func(id, pages uint64) error) error {
	p, err := t.at(id)
	if err != nil {
		return err
	}
	if depth == maxDepth {
		return fmt.Errorf("%w: more than %d deep", errPages, maxDepth)
	}
	if err := fn(id, uint64(len(p.data)/t.page)); err != nil {
		return err
	}
	for i := range p.count {
		key := Key(viewString(p.key(i)))
		if key < lo || key > hi || key == "" {
			return fmt.Errorf("%w: key %d of %d is out of order", errPages, i, id)
		}
		if lo = key; p.leaf {
			continue
		}
		below := hi
		if i+1 < p.count {
			below = Key(viewString(p.key(i + 1)))
		}
		if err := t.walk(p.child(i), depth+1, lo, below, fn); err != nil {
			return err
		}
	}
	return nil
}
