package objstore

import (
	"context"
	"fmt"
)

// Commit makes b durable: one write and one fdatasync. It implements Committer. Snapshots
// taken after it has returned nil include b. ctx bounds only the wait for room below
// Options.MaxJournal: a sync that has begun cannot be called back.
func (s *Store) Commit(ctx context.Context, b *Batch) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer func() { s.turn <- struct{}{} }()
	if err := b.check(); err != nil {
		return err
	}
	base, epoch, err := s.admit(ctx, b)
	if err != nil {
		return err
	}
	start := s.now()
	data := b.seal(s.journal.incarnation, s.journal.prev)
	if err := s.journal.reserve(len(data)); err != nil {
		if isFull(err) {
			return fmt.Errorf("%w: not executed: %w", ErrFull, err)
		}
		return s.fail("new journal segment", err)
	}
	next, err := s.write(b, data, base)
	if err != nil {
		return err
	}
	s.publish(b, next, epoch)
	if s.opts.Events.Synced != nil {
		s.opts.Events.Synced(b.Len(), len(data), s.now().Sub(start))
	}
	return nil
}

// admit waits until the journal has room. base is a private copy of the newest table.
func (s *Store) admit(ctx context.Context, b *Batch) (base *table, epoch uint64, err error) {
	for {
		s.mu.Lock()
		err := s.writable()
		if err == nil && (b.Base != s.state.lsn || b.Next < s.state.next) {
			err = fmt.Errorf("%w: built on LSN %d and number %d, the newest are %d and %d", ErrBatch, b.Base, b.Next, s.state.lsn, s.state.next)
		}
		if err != nil || s.stats.JournalBytes < s.opts.MaxJournal {
			if err == nil {
				base, epoch = s.state.table.copy(), s.epoch
			}
			s.mu.Unlock()
			return base, epoch, err
		}
		room := s.room
		s.mu.Unlock()
		s.wakeKeeper()
		select {
		case <-room:
		case <-s.ending:
			return nil, 0, fmt.Errorf("%w: not executed: journal is at its limit of %d bytes, and the store is being closed", ErrFull, s.opts.MaxJournal)
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("%w: not executed: journal is at its limit of %d bytes: %w", ErrFull, s.opts.MaxJournal, context.Cause(ctx))
		}
	}
}

// write syncs the frame, and meanwhile builds the table that is published if that succeeds.
func (s *Store) write(b *Batch, data []byte, base *table) (*table, error) {
	type result struct {
		full bool
		err  error
	}
	synced := make(chan result, 1)
	go func() {
		full, err := s.journal.append(data, b.sum())
		synced <- result{full, err}
	}()
	insert(base, b)
	r := <-synced
	switch {
	case r.full:
		return nil, fmt.Errorf("%w: not executed: %w", ErrFull, r.err)
	case r.err != nil:
		return nil, s.fail("journal", r.err)
	}
	return base, nil
}

// publish makes b part of what snapshots see.
func (s *Store) publish(b *Batch, next *table, epoch uint64) {
	s.mu.Lock()
	if s.epoch != epoch {
		// A checkpoint has replaced the table meanwhile, which is rare.
		next = s.state.table.copy()
		insert(next, b)
	}
	g := &group{lsn: b.LSN, base: b.Base, next: b.Next, sum: s.journal.prev, end: s.journal.at, batch: b}
	s.groups = append(s.groups, g)
	s.state = &state{table: next, lsn: b.LSN, next: b.Next}
	s.stats.JournalBytes += g.bytes()
	s.stats.Groups++
	s.stats.Syncs++
	s.stats.Rows += uint64(b.Len())
	due := s.stats.JournalBytes >= s.opts.CheckpointBytes
	s.mu.Unlock()
	if due {
		s.wakeKeeper()
	}
}

func (s *Store) wakeKeeper() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
