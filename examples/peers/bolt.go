package peers

import (
	"errors"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// boltPeer is bbolt: one B+tree in a mapped file. A group is one read-write transaction.
type boltPeer struct {
	*committer
	db *bolt.DB
}

func openBolt(dir string, objects int) (Peer, error) {
	// The freelist settings are those of etcd: kept as a map, rebuilt at open.
	db, err := bolt.Open(filepath.Join(dir, "bolt"), 0o600, &bolt.Options{
		FreelistType:   bolt.FreelistMapType,
		NoFreelistSync: true,
	})
	if err != nil {
		return nil, err
	}
	p := &boltPeer{db: db}
	if err := db.Update(func(tx *bolt.Tx) error { return fillBolt(tx, objects) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p.committer = newCommitter(p.commit)
	return p, nil
}

func boltName() []byte { return []byte("objects") }

func fillBolt(tx *bolt.Tx, objects int) error {
	if tx.Bucket(boltName()) != nil {
		return nil
	}
	bucket, err := tx.CreateBucket(boltName())
	if err != nil {
		return err
	}
	for key := range objects {
		o := fresh(key)
		if err := bucket.Put(rowKey(key), o[:]); err != nil {
			return err
		}
	}
	return nil
}

func (p *boltPeer) commit(changes []change) error {
	return p.db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(boltName())
		for i := range changes {
			for _, s := range changes[i].steps[:changes[i].n] {
				row := rowKey(s.key)
				o := plus(bucket.Get(row), s.by)
				if err := bucket.Put(row, o[:]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Sum implements Peer.
func (p *boltPeer) Sum() (sum int64, err error) {
	err = p.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(boltName()).ForEach(func(_, o []byte) error {
			sum += number(o)
			return nil
		})
	})
	return sum, err
}

// Close implements Peer.
func (p *boltPeer) Close() error {
	p.stop()
	return p.db.Close()
}
