package objstore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// Store is an open world. Its methods are safe for concurrent use.
type Store struct {
	opts    Options
	files   FS
	disk    *disk
	journal *journal // used by whoever has turn
	unlock  func() error
	info    Info // without Next and LSN
	world   worldRow

	turn   chan struct{}  // holds one token: the right to commit, or to close
	work   sync.WaitGroup // the keeper
	quit   chan struct{}  // closed by Close
	over   func()         // closes ending, once
	ending chan struct{}  // closed when Close has begun: nobody need wait for room
	wake   chan struct{}  // tells the keeper that there may be something to do

	mu sync.Mutex // everything below, for moments only

	// Invariant: checkpoint.lsn <= LSN of the oldest snapshot in use <= state.lsn.
	state      *state
	checkpoint checkpointRow
	groups     []*group      // in (checkpoint.lsn, state.lsn], in order
	epoch      uint64        // counts the tables that checkpoints have replaced
	oldest     *Snapshot     // the list of snapshots in use, by age
	newest     *Snapshot     // its other end
	room       chan struct{} // closed, and replaced, when a waiting Commit should look again
	stopped    error         // why nothing is committed any more; nil: all is well
	closed     bool
	stats      Stats
}

// Info is what there is to say about a world that is open.
type Info struct {
	World       string // 32 hexadecimal digits, the same for ever and in every copy
	Vat         VatID  // of the world's local vat
	Lineage     uint64 // differs between a world and its copies once each has been opened
	Incarnation uint64 // of this opening; random
	Next        uint64 // the first object number not given to an object, as of LSN
	LSN         uint64 // of the newest durable batch
	Created     bool   // this opening has made the world
	Copied      bool   // this opening has found the world to be a copy, and begun a new lineage
	ReadOnly    bool
}

// Stats are figures for a dashboard. Counters start at zero with each opening.
type Stats struct {
	JournalBytes  int64  // of frames above the checkpoint
	TableRows     int    // in the memory table
	TableBytes    int64  // of the batches that it keeps in memory
	StoreBytes    int64  // in use in the store file
	LSN           uint64 // newest durable
	CheckpointLSN uint64
	Snapshots     int    // in use
	TooOld        uint64 // snapshots cancelled
	Groups        uint64 // batches made durable
	Rows          uint64 // changes made durable
	Syncs         uint64 // of the journal
	Checkpoints   uint64
	Stopped       bool // nothing is committed any more
}

// Open opens the world in the directory dir, and creates it if there is none. With
// Options.Files, dir is not looked at. A world is open at most once: ErrInUse.
// Other errors are ErrNewerFormat, ErrDamaged, and those of the file system.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults(dir)
	unlock, err := o.Files.Lock(o.Clock(), o.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("open world: %w", err)
	}
	s := &Store{
		opts: o, files: o.Files, unlock: unlock,
		turn: make(chan struct{}, 1), quit: make(chan struct{}), wake: make(chan struct{}, 1), room: make(chan struct{}), ending: make(chan struct{}),
	}
	s.over = sync.OnceFunc(func() { close(s.ending) })
	if err := s.open(); err != nil {
		if s.disk != nil {
			err = errors.Join(err, s.disk.close())
		}
		return nil, errors.Join(fmt.Errorf("open world: %w", err), unlock())
	}
	if !o.ReadOnly {
		s.work.Go(s.keep)
	}
	s.turn <- struct{}{}
	return s, nil
}

func (s *Store) open() error {
	if err := s.find(); err != nil {
		return err
	}
	var err error
	if s.disk, err = openDisk(s.files, storeName, s.opts.ReadOnly); err != nil {
		return err
	}
	if s.info.Incarnation, err = s.random(); err != nil {
		return err
	}
	lineage, err := s.readMeta()
	if err != nil {
		return err
	}
	s.info.World, s.info.Vat, s.info.ReadOnly = hex.EncodeToString(s.world.id[:]), s.world.vat, s.opts.ReadOnly
	played, err := replayJournal(s.files, s.checkpoint)
	if err != nil {
		return err
	}
	if err := s.settle(lineage); err != nil {
		return err
	}
	s.adopt(played)
	if s.opts.ReadOnly {
		return nil
	}
	limit := min(max(s.opts.CheckpointBytes/4&^(segmentUnit-1), segmentUnit), maxSegment)
	s.journal, err = played.resume(s.files, s.info.Incarnation, limit)
	return err
}

// find makes a world if the directory has none.
func (s *Store) find() error {
	names, err := s.files.ReadDir()
	if err != nil {
		return err
	}
	journal := false
	for _, name := range names {
		if name == storeName {
			return nil
		}
		if n, ok := parseSegment(name); ok {
			journal = journal || n > 1 || !s.isEmpty(name) // else of a world that was not finished
		}
	}
	switch {
	case journal:
		return &DamagedError{Where: storeName, What: "is missing, but there is a journal", Err: fs.ErrNotExist}
	case s.opts.ReadOnly:
		return fmt.Errorf("%s: %w", storeName, fs.ErrNotExist)
	}
	s.info.Created = true
	var w worldRow
	if _, err := io.ReadFull(s.opts.Random, w.id[:]); err != nil {
		return err
	}
	vat, err := s.random()
	if err != nil {
		return err
	}
	w.vat = VatID(vat)
	lineage, err := s.random()
	if err != nil {
		return err
	}
	return createDisk(s.files, w, lineage)
}

func (s *Store) isEmpty(name string) bool {
	f, err := s.files.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	size, err := f.Size()
	return errors.Join(err, f.Close()) == nil && size == 0
}

// random is a number other than zero.
func (s *Store) random() (uint64, error) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(s.opts.Random, b[:]); err != nil {
			return 0, fmt.Errorf("random number: %w", err)
		}
		if n := binary.LittleEndian.Uint64(b[:]); n != 0 {
			return n, nil
		}
	}
}

// readMeta reads what the store file says of itself.
func (s *Store) readMeta() (l lineageRow, err error) {
	err = s.disk.read("", func(tx *bbolt.Tx) error {
		version, err := getMeta(tx, metaFormat, decodeFormat)
		if err != nil {
			return err
		}
		if version > format {
			return fmt.Errorf("%w: %d, this program knows %d: use a newer program", ErrNewerFormat, version, format)
		}
		if s.world, err = getMeta(tx, metaWorld, decodeWorld); err != nil {
			return err
		}
		if s.checkpoint, err = getMeta(tx, metaCheckpoint, decodeCheckpoint); err != nil {
			return err
		}
		if l, err = getMeta(tx, metaLineage, decodeLineage); err != nil {
			return err
		}
		_, err = openTree(tx, bucketRows)
		return err
	})
	return l, pageDamage(err, "")
}

// settle finds out whether this is a copy, and gives a copy a lineage of its own.
func (s *Store) settle(l lineageRow) error {
	identity, err := s.files.Identity(storeName)
	if err != nil {
		return err
	}
	s.info.Lineage = l.lineage
	if identity == l.identity {
		return nil
	}
	s.info.Copied = true
	if s.info.Lineage, err = s.random(); err != nil || s.opts.ReadOnly {
		return err
	}
	err = s.disk.update(func(tx *bbolt.Tx) error {
		return putMeta(tx, metaLineage, lineageRow{s.info.Lineage, identity}.encode())
	})
	if err != nil {
		return fmt.Errorf("new lineage for a copied world: %w", err)
	}
	return nil
}

// adopt makes what recovery found the state of the store.
func (s *Store) adopt(played replay) {
	s.groups = played.groups
	st := &state{table: build(s.groups), lsn: s.checkpoint.lsn, next: s.checkpoint.next}
	for _, g := range s.groups {
		st.lsn, st.next = g.lsn, g.next
		s.stats.JournalBytes += g.bytes()
	}
	s.state = st
}

// Close checkpoints, so that the next Open is instant, and closes the files. A second call
// does nothing. Snapshots in use are dead afterwards. An error means that something could
// not be closed or that writes had stopped before; nothing durable is lost by it.
func (s *Store) Close() error {
	s.over()
	<-s.turn
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.turn <- struct{}{}
		return nil
	}
	s.closed = true
	for s.oldest != nil {
		s.drop(s.oldest, ErrClosed)
	}
	s.mu.Unlock()
	close(s.quit)
	s.work.Wait()
	errs := s.shut()
	s.turn <- struct{}{}
	return errors.Join(errs...)
}

func (s *Store) shut() (errs []error) {
	if s.journal != nil {
		errs = append(errs, s.journal.close(), s.finalCheckpoint())
	}
	return append(errs, s.disk.close(), s.unlock())
}

// Info says which world this is and how far it is.
func (s *Store) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := s.info
	info.Next, info.LSN = s.state.next, s.state.lsn
	return info
}

// Stats are cheap.
func (s *Store) Stats() Stats {
	size := int64(0)
	// A store that is closed, or whose file is damaged, has no size to speak of.
	_ = s.disk.read("", func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.StoreBytes = size
	st.TableRows, st.LSN, st.CheckpointLSN = s.state.table.len(), s.state.lsn, s.checkpoint.lsn
	st.Stopped = s.stopped != nil
	for _, g := range s.groups {
		st.TableBytes += int64(cap(g.batch.buf))
	}
	return st
}

// bytes is what the group takes in the journal.
func (g *group) bytes() int64 { return int64(padded(g.batch.sealed())) }

// fail stops writes for good. The first reason stays.
func (s *Store) fail(op string, cause error) error {
	s.mu.Lock()
	first := s.stopped == nil
	if first {
		s.stopped = fmt.Errorf("%w: %s: %w", ErrStopped, op, cause)
		s.signalRoom()
	}
	err := s.stopped
	s.mu.Unlock()
	if first && s.opts.Events.Failed != nil {
		s.opts.Events.Failed(op, cause)
	}
	return err
}

// signalRoom wakes a waiting Commit. s.mu is held.
func (s *Store) signalRoom() {
	close(s.room)
	s.room = make(chan struct{})
}

// now is the time by the store's clock.
func (s *Store) now() time.Time { return s.opts.Clock() }

var _ Committer = (*Store)(nil)

// writable is the reason why nothing can be committed, if there is one. s.mu is held.
func (s *Store) writable() error {
	switch {
	case s.closed:
		return ErrClosed
	case s.opts.ReadOnly:
		return fmt.Errorf("%w: the world is open for reading only", ErrStopped)
	}
	return s.stopped
}

// take gets the right to commit.
func (s *Store) take(ctx context.Context) error {
	select {
	case <-s.turn:
		return nil
	default:
	}
	select {
	case <-s.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: not executed, another commit is under way: %w", ErrFull, context.Cause(ctx))
	}
}
