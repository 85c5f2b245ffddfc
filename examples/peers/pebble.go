package peers

import (
	"errors"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// pebblePeer is Pebble: a log-structured merge tree with group commit of its own. It has no
// transactions that read, so a change holds the locks of its objects until the batch is in
// the memory table, and waits for the sync without them.
type pebblePeer struct {
	db    *pebble.DB
	locks [1024]sync.Mutex
}

func openPebble(dir string, objects int) (Peer, error) {
	db, err := pebble.Open(filepath.Join(dir, "pebble"), &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             quiet{},
		MemTableSize:       64 << 20, // the default of 4 MiB flushes many times a second here
	})
	if err != nil {
		return nil, err
	}
	p := &pebblePeer{db: db}
	if err := p.fill(objects); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return p, nil
}

func (p *pebblePeer) fill(objects int) error {
	if _, err := p.read(0); !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	batch := p.db.NewBatch()
	for key := range objects {
		o := fresh(key)
		if err := batch.Set(rowKey(key), o[:], nil); err != nil {
			return err
		}
	}
	return batch.Commit(pebble.Sync)
}

func (p *pebblePeer) read(key int) (o object, err error) {
	bytes, closer, err := p.db.Get(rowKey(key))
	if err != nil {
		return o, err
	}
	copy(o[:], bytes)
	return o, closer.Close()
}

func (p *pebblePeer) do(ch change) error {
	batch := p.db.NewBatch()
	if err := p.apply(batch, ch); err != nil {
		return errors.Join(err, batch.Close())
	}
	return errors.Join(batch.SyncWait(), batch.Close())
}

func (p *pebblePeer) apply(batch *pebble.Batch, ch change) error {
	defer p.lock(ch)()
	for _, s := range ch.steps[:ch.n] {
		before, err := p.read(s.key)
		if err != nil {
			return err
		}
		o := plus(before[:], s.by)
		if err := batch.Set(rowKey(s.key), o[:], nil); err != nil {
			return err
		}
	}
	return p.db.ApplyNoSyncWait(batch, pebble.Sync)
}

// lock takes the locks of ch in ascending order and returns what releases them.
func (p *pebblePeer) lock(ch change) func() {
	a := ch.steps[0].key % len(p.locks)
	b := a
	if ch.n == 2 {
		b = ch.steps[1].key % len(p.locks)
	}
	first, second := &p.locks[min(a, b)], &p.locks[max(a, b)]
	first.Lock()
	if a == b {
		return first.Unlock
	}
	second.Lock()
	return func() { second.Unlock(); first.Unlock() }
}

// Add implements Peer.
func (p *pebblePeer) Add(key int, by int64) error { return p.do(addition(key, by)) }

// Transfer implements Peer.
func (p *pebblePeer) Transfer(from, to int, amount int64) error {
	return p.do(transfer(from, to, amount))
}

// Sum implements Peer.
func (p *pebblePeer) Sum() (sum int64, err error) {
	rows, err := p.db.NewIter(nil)
	if err != nil {
		return 0, err
	}
	for rows.First(); rows.Valid(); rows.Next() {
		sum += number(rows.Value())
	}
	return sum, rows.Close()
}

// Close implements Peer.
func (p *pebblePeer) Close() error { return p.db.Close() }

// quiet is a logger that drops what Pebble tells about its compactions.
type quiet struct{}

// Infof implements pebble.Logger.
func (quiet) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (quiet) Errorf(string, ...any) {}

// Fatalf implements pebble.Logger.
func (quiet) Fatalf(format string, _ ...any) { panic("pebble: " + format) }
