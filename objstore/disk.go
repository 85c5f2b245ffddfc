package objstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	storePerm = 0o600
	// storePage is fixed, so that a world can be taken to a machine with other pages.
	storePage = 4096
	// mapSize is address space, not memory: reads never wait for the map to grow below it.
	mapSize = 64 << (10 * (2 + strconv.IntSize/64))
	// mapSizeSmall is for worlds in memory, of which a test may open hundreds, and for
	// systems that do not give away the other.
	mapSizeSmall = 1 << 30
	// growBy is how far ahead of its content the file grows.
	growBy = 1 << 20
)

// disk is the store file.
type disk struct {
	db   *bbolt.DB
	file *os.File
	// commit is tx.Commit, except in tests.
	commit func(tx *bbolt.Tx) error
	writes sync.Mutex // held by who writes, or looks while nobody does; bbolt's own may be held for ever
	// broken is set when a write transaction has panicked: bbolt may still hold its locks. Guarded by writes.
	broken bool
}

// openDisk opens the store file of that name.
func openDisk(files FS, name string, readOnly bool) (d *disk, err error) {
	d = &disk{commit: (*bbolt.Tx).Commit}
	_, inMemory := files.(*MemoryFiles)
	opts := bbolt.Options{
		Timeout: time.Nanosecond, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
		ReadOnly: readOnly, PageSize: storePage, InitialMmapSize: mapSize,
		NoSync: inMemory, NoGrowSync: inMemory,
		OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			f, err := files.OpenMapped(name, flag, perm)
			d.file = f
			return f, err
		},
	}
	if inMemory {
		opts.InitialMmapSize = mapSizeSmall
	}
	err = d.open(name, &opts)
	if err != nil && opts.InitialMmapSize > mapSizeSmall && errors.Is(err, noMemory) {
		opts.InitialMmapSize = mapSizeSmall
		err = d.open(name, &opts)
	}
	if err != nil {
		return nil, err
	}
	d.db.AllocSize = growBy
	return d, nil
}

func (d *disk) open(name string, opts *bbolt.Options) (err error) {
	defer func() {
		if err != nil && d.file != nil {
			// bbolt closes it, too, unless it panicked.
			_ = d.file.Close()
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer catch(&err, storeName, "")
	d.db, err = bbolt.Open(name, storePerm, opts)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%s: %w by another bbolt program", storeName, ErrInUse)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return &DamagedError{Where: storeName, What: "is no store file", Err: err}
	}
	return err
}

func (d *disk) close() error {
	if d.broken {
		return d.file.Close()
	}
	return d.db.Close()
}

// catch turns a panic, or a fault on the mapping, into a *DamagedError. It must be deferred
// directly.
func catch(err *error, where string, key Key) {
	if p := recover(); p != nil {
		*err = &DamagedError{Where: where, Key: key, What: "bbolt cannot make sense of it", Err: fmt.Errorf("%v", p)}
	}
}

// read runs fn in a short transaction. fn calls no code of a user. key is what an error
// names.
func (d *disk) read(key Key, fn func(tx *bbolt.Tx) error) error { return d.begin(key, false, fn) }

// begin is read, or with write set the same while no other transaction writes; nothing is
// committed.
func (d *disk) begin(key Key, write bool, fn func(tx *bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer catch(&err, storeName, key)
	if write {
		d.writes.Lock()
		defer d.writes.Unlock()
		if d.broken {
			return fmt.Errorf("%w: a write has panicked, and bbolt may still hold its locks", ErrStopped)
		}
	}
	tx, err := d.db.Begin(write)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	if err := checkBuckets(tx); err != nil {
		return pageDamage(err, key)
	}
	return fn(tx)
}

// view is read for the rows. Nothing of t may be kept.
func (d *disk) view(key Key, fn func(t *pageTree) error) error {
	err := d.read(key, func(tx *bbolt.Tx) error {
		t, err := openTree(tx, bucketRows)
		if err != nil {
			return err
		}
		return fn(&t)
	})
	return pageDamage(err, key)
}

// pageDamage makes a *DamagedError of what pageTree reports.
func pageDamage(err error, key Key) error {
	if errors.Is(err, errPages) {
		return &DamagedError{Where: storeName, Key: key, What: "cannot be found", Err: err}
	}
	return err
}

// get returns a copy of the record of a row, or nil if there is proof that it is absent.
func (d *disk) get(key Key) (record []byte, err error) {
	err = d.view(key, func(t *pageTree) error {
		c := treeCursor{t: t}
		if err := c.seek(key); err != nil {
			return err
		}
		at, l, raw, err := c.link()
		if err != nil {
			return err
		}
		switch {
		case at == key:
			record = append([]byte(nil), raw...)
		case at < key || !l.below(at, key):
			return broken(key, at, l)
		}
		return nil
	})
	return record, err
}

// link is the row that the cursor stands on, its link checked.
func (c *treeCursor) link() (key Key, l link, record []byte, err error) {
	key, value := c.row()
	l, record, err = splitLink(key, value)
	if err != nil {
		name := Key(append([]byte(nil), key...)) // key is bytes of the mapping
		return "", l, nil, &DamagedError{Where: rowPlace, Key: name, What: "link", Err: err}
	}
	return key, l, record, nil
}

// diskRow is a row as a page of a scan has it. It is a copy.
type diskRow struct {
	key    Key
	record []byte
}

// rows appends to page, which is empty, the rows from lo on and below hi, until there are
// limit; more tells whether there may be others. The chain proves that none is left out.
// Rows in front of a damaged place come without the error, which the next call returns.
func (d *disk) rows(page []diskRow, lo, hi Key, limit int) (_ []diskRow, more bool, err error) {
	err = d.view(lo, func(t *pageTree) error {
		c := treeCursor{t: t}
		if err := c.seek(lo); err != nil {
			return err
		}
		for before := Key(""); ; {
			at, l, record, err := c.link()
			if err != nil {
				return err
			}
			if before == "" && (at < lo || !l.below(at, lo)) || before != "" && !l.names(at, before) {
				return broken(lo, at, l)
			}
			if at >= hi || at == endKey {
				return nil
			}
			if len(page) == limit {
				more = true
				return nil
			}
			page = append(page, copyRow(at, record))
			before = page[len(page)-1].key
			if err := c.next(); err != nil {
				return err
			}
		}
	})
	return page, more || err != nil, unlessRows(page, err)
}

// rowsDown is rows in descending order, from below hi down to lo.
func (d *disk) rowsDown(page []diskRow, lo, hi Key, limit int) (_ []diskRow, more bool, err error) {
	err = d.view(hi, func(t *pageTree) error {
		c := treeCursor{t: t}
		for want := hi; ; {
			if err := c.seek(want); err != nil {
				return err
			}
			at, l, record, err := c.link()
			if err != nil {
				return err
			}
			if len(page) == 0 && want == hi {
				if at < hi || !l.below(at, hi) {
					return broken(hi, at, l)
				}
			} else if at != want {
				return broken(want, at, l)
			} else {
				page = append(page, copyRow(at, record))
			}
			before := l.before(at)
			if before < lo || before == "" {
				return nil
			}
			if len(page) == limit {
				more = true
				return nil
			}
			want = before
		}
	})
	return page, more || err != nil, unlessRows(page, err)
}

func unlessRows(page []diskRow, err error) error {
	if len(page) > 0 {
		return nil
	}
	return err
}

func copyRow(key Key, record []byte) diskRow {
	b := append(append(make([]byte, 0, len(key)+len(record)), key...), record...)
	return diskRow{key: Key(viewString(b[:len(key)])), record: b[len(key):]}
}

// update runs fn in a write transaction and commits it.
func (d *disk) update(fn func(tx *bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	d.writes.Lock()
	defer d.writes.Unlock()
	done := false
	defer func() { d.broken = d.broken || !done }()
	defer catch(&err, storeName, "")
	tx, err := d.db.Begin(true)
	if err != nil {
		done = true
		return err
	}
	err = errors.Join(checkBuckets(tx), checkFreeList(tx))
	if err == nil {
		err = fn(tx)
	}
	if err != nil {
		err = errors.Join(pageDamage(err, ""), tx.Rollback())
		done = true
		return err
	}
	err = d.commit(tx)
	done = true
	return err
}

// createDisk makes the store file of a new world under a temporary name, and renames it
// when it is whole.
func createDisk(files FS, w worldRow, lineage uint64) (err error) {
	temp := storeName + newSuffix
	if err := files.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d, err := openDisk(files, temp, false)
	if err != nil {
		return err
	}
	identity, err := files.Identity(temp)
	if err == nil {
		err = d.update(func(tx *bbolt.Tx) error { return initRows(tx, w, lineageRow{lineage, identity}) })
	}
	if err := errors.Join(err, d.close()); err != nil {
		return err
	}
	seg, err := createSegment(files, 1, 0)
	if err != nil {
		return err
	}
	return errors.Join(seg.file.Close(), files.Rename(temp, storeName), files.SyncDir())
}

func initRows(tx *bbolt.Tx, w worldRow, l lineageRow) error {
	rows, err := tx.CreateBucket([]byte(bucketRows))
	if err != nil {
		return err
	}
	end := append(appendLink(nil, endKey, ""), make([]byte, endPadding)...)
	first := checkpointRow{next: 1, at: position{seg: 1}}
	return errors.Join(
		rows.Put([]byte(endKey), end),
		putMeta(tx, metaFormat, []byte{format, 0, 0, 0}),
		putMeta(tx, metaWorld, w.encode()),
		putMeta(tx, metaLineage, l.encode()),
		putMeta(tx, metaCheckpoint, first.encode()),
	)
}
