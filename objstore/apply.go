package objstore

import "go.etcd.io/bbolt"

// apply moves rows, in ascending order, into the store file, and records cp in the same
// transaction. It looks every place up in the tree as it was before the transaction, with
// pageTree, so that bbolt walks only pages that have been found sound.
func (d *disk) apply(rows func(yield func(Key, string) bool), cp checkpointRow) error {
	return d.update(func(tx *bbolt.Tx) error {
		t, err := openTree(tx, bucketRows)
		if err != nil {
			return err
		}
		b := tx.Bucket([]byte(bucketRows))
		b.FillPercent = 0.9 // keys come in ascending order, mostly at the end
		m := mover{bucket: b, cursor: treeCursor{t: &t, sound: map[uint64]bool{}}}
		for key, record := range rows {
			if err := m.move(key, record); err != nil {
				return err
			}
		}
		if err := m.mend(endKey + "\xff"); err != nil {
			return err
		}
		return putMeta(tx, metaCheckpoint, cp.encode())
	})
}

// mover writes changed rows and mends the chain around them. "Old" is before the
// transaction.
type mover struct {
	bucket *bbolt.Bucket
	cursor treeCursor
	// carry is the row that will stand before whatever comes behind the last change.
	carry Key
	last  Key // the last change; empty: none yet
	// next is the old row behind the last change. Its link must name carry.
	next diskRow
	link link
}

// move makes one change. An empty record deletes.
func (m *mover) move(key Key, record string) error {
	if err := m.mend(key); err != nil {
		return err
	}
	if err := m.cursor.seek(key); err != nil {
		return err
	}
	if record == "" {
		if err := m.cursor.checkBesides(); err != nil {
			return err
		}
	}
	at, l, old, err := m.cursor.link()
	if err != nil {
		return err
	}
	if at < key || at != key && !l.below(at, key) {
		return broken(key, at, l)
	}
	before := l.before(at)
	if m.last != "" && before <= m.last {
		before = m.carry
	}
	existed := at == key
	if existed {
		if err := m.cursor.next(); err != nil {
			return err
		}
		if at, l, old, err = m.cursor.link(); err != nil {
			return err
		}
		if !l.names(at, key) {
			return broken(key, at, l)
		}
	}
	m.next, m.link = diskRow{at, old}, l
	m.last = key
	if record != "" {
		m.carry = key
		return m.put(key, before, viewBytes(record))
	}
	m.carry = before
	if !existed {
		return nil
	}
	return m.bucket.Delete([]byte(key))
}

// mend rewrites the row behind the last change, if it is below the next one and its link
// names a row that is no longer the one before it.
func (m *mover) mend(below Key) error {
	if m.last == "" || m.next.key >= below || m.link.names(m.next.key, m.carry) {
		return nil
	}
	return m.put(m.next.key, m.carry, m.next.record)
}

func (m *mover) put(key, before Key, record []byte) error {
	value := make([]byte, 0, linkHead+len(before)+len(record))
	return m.bucket.Put([]byte(key), append(appendLink(value, key, before), record...))
}
