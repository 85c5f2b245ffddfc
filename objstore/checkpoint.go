package objstore

import (
	"fmt"
	"time"
)

// fullRetry is how long the keeper waits before it tries again to write to a full disk.
const fullRetry = time.Second

// keep is the keeper's goroutine: it moves rows from the memory table to the store file, by
// size and by time.
func (s *Store) keep() {
	timer := time.NewTimer(s.opts.CheckpointEvery)
	defer timer.Stop()
	bySize := false
	for {
		select {
		case <-s.quit:
			return
		case <-s.wake:
			bySize = true
		case <-timer.C:
			bySize = false
		}
		timer.Reset(s.keepUp(bySize))
	}
}

// keepUp makes the checkpoints that are due, and returns when to look again.
func (s *Store) keepUp(bySize bool) time.Duration {
	for {
		p := s.plan(bySize)
		if p.state == nil {
			return p.wait
		}
		err := s.moveOver(p)
		switch {
		case err == nil:
		case isFull(err) && isWrite(err):
			select { // here, as every commit wakes the keeper
			case <-s.quit:
				return s.opts.CheckpointEvery
			case <-time.After(fullRetry):
				continue
			}
		default:
			_ = s.fail("checkpoint", err)
			return s.opts.CheckpointEvery
		}
		if !bySize {
			return s.opts.CheckpointEvery
		}
	}
}

// plan is one checkpoint: everything in state moves over.
type plan struct {
	state *state // nil: nothing to do for wait
	row   checkpointRow
	wait  time.Duration
}

// plan picks the newest state that no snapshot in use is older than. A snapshot that has
// held up a checkpoint for too long is cancelled.
func (s *Store) plan(bySize bool) plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.opts.CheckpointEvery
	if s.stopped != nil || s.closed || bySize && s.stats.JournalBytes < s.opts.CheckpointBytes {
		return plan{wait: wait}
	}
	for s.oldest != nil && s.oldest.state.lsn < s.state.lsn {
		if s.oldest.inWay.IsZero() {
			s.oldest.inWay = s.now()
		}
		left := s.opts.SnapshotAge - s.now().Sub(s.oldest.inWay)
		if left > 0 {
			wait = min(wait, left)
			break
		}
		s.stats.TooOld++
		s.drop(s.oldest, ErrSnapshotTooOld)
	}
	target := s.state
	if s.oldest != nil {
		target = s.oldest.state
	}
	for _, g := range s.groups {
		if g.lsn == target.lsn {
			return plan{state: target, row: checkpointRow{
				lsn: g.lsn, next: g.next, incarnation: s.info.Incarnation, sum: g.sum, at: g.end,
			}}
		}
	}
	return plan{wait: wait}
}

// moveOver writes a checkpoint and then lets go of what it has moved.
func (s *Store) moveOver(p plan) error {
	start := s.now()
	if err := s.disk.apply(p.state.table.all, p.row); err != nil {
		return err
	}
	rows, bytes := s.letGo(p)
	if s.opts.Events.Checkpointed != nil {
		s.opts.Events.Checkpointed(rows, bytes, s.now().Sub(start))
	}
	if err := trimJournal(s.files, p.row.at.seg); err != nil && !isFull(err) {
		return fmt.Errorf("trim the journal: %w", err)
	}
	return nil
}

// letGo replaces the table by one without the groups that are in the store file now.
// Commits go on while it is built, and are added at the end.
func (s *Store) letGo(p plan) (rows int, bytes int64) {
	s.mu.Lock()
	groups := s.groups
	s.mu.Unlock()
	done := 0
	for done < len(groups) && groups[done].lsn <= p.row.lsn {
		bytes += groups[done].bytes()
		done++
	}
	fresh := build(groups[done:])
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups[len(groups):] {
		insert(fresh, g.batch)
	}
	s.groups = append([]*group(nil), s.groups[done:]...)
	s.state = &state{table: fresh, lsn: s.state.lsn, next: s.state.next}
	s.epoch++
	s.checkpoint = p.row
	s.stats.JournalBytes -= bytes
	s.stats.Checkpoints++
	s.signalRoom()
	return p.state.table.len(), bytes
}

// finalCheckpoint leaves a world of which the store file has everything, and the journal is
// one empty segment. A full disk is no error: the journal stays, and the next opening reads
// it.
func (s *Store) finalCheckpoint() error {
	s.mu.Lock()
	stopped, st, row := s.stopped, s.state, s.checkpoint
	if n := len(s.groups); n > 0 {
		g := s.groups[n-1]
		row = checkpointRow{lsn: g.lsn, next: g.next, incarnation: s.info.Incarnation, sum: g.sum}
	}
	s.mu.Unlock()
	if stopped != nil {
		return stopped
	}
	if s.journal.active == nil {
		return nil // nothing has been written since the last time
	}
	row.at = position{seg: s.journal.at.seg + 1}
	seg, err := createSegment(s.files, row.at.seg, 0)
	if err == nil {
		err = seg.file.Close()
	}
	if err == nil {
		err = s.disk.apply(st.table.all, row)
	}
	if err == nil {
		err = trimJournal(s.files, row.at.seg)
	}
	if err != nil && !isFull(err) {
		return fmt.Errorf("last checkpoint: %w", err)
	}
	return nil
}
