package objstore

import "github.com/tidwall/btree"

// scanPage is how many rows a scan reads from the store file in one transaction. It begins
// with firstPage and takes four times as many each time: many scans stop at the first row.
const (
	scanPage  = 256
	firstPage = 8
)

// Scan calls fn for each row from lo on and below hi, in ascending order, until fn returns
// false. An empty hi means to the end. fn may take as long as it likes and use the store:
// nothing is locked while it runs. A damaged row ends the scan with an error; go on behind
// the key that it names.
func (sn *Snapshot) Scan(lo, hi Key, fn func(Key, Record) bool) error {
	return sn.scan(lo, hi, false, fn)
}

// ScanReverse is Scan in descending order, from below hi down to lo.
func (sn *Snapshot) ScanReverse(lo, hi Key, fn func(Key, Record) bool) error {
	return sn.scan(lo, hi, true, fn)
}

func (sn *Snapshot) scan(lo, hi Key, reverse bool, fn func(Key, Record) bool) error {
	if hi == "" || hi > endKey {
		hi = endKey
	}
	lo = max(lo, "\x00") // the least key: an empty one is that of no row
	if lo >= hi {
		return sn.err()
	}
	m := merge{disk: diskPages{sn: sn, lo: lo, hi: hi, reverse: reverse, more: true}}
	m.mem = memRows{iter: sn.state.table.tree.Iter(), lo: lo, hi: hi, reverse: reverse}
	m.mem.start()
	for {
		key, raw, err := m.next()
		if err != nil || key == "" {
			return err
		}
		rec, err := parseRecord(key, raw)
		if err != nil {
			return err
		}
		if !fn(key, rec) {
			return nil
		}
	}
}

// merge is the memory table over the store file: where both have a row, the table's counts.
type merge struct {
	mem  memRows
	disk diskPages
}

// next returns the next row that is not deleted; an empty key is the end.
func (m *merge) next() (Key, []byte, error) {
	for {
		if err := m.disk.fill(); err != nil {
			return "", nil, err
		}
		row, inDisk := m.disk.peek()
		if inDisk && (!m.mem.ok || m.disk.precedes(row.key, m.mem.key)) {
			m.disk.at++
			return row.key, row.record, nil
		}
		if !m.mem.ok {
			return "", nil, m.disk.sn.err()
		}
		key, raw := m.mem.key, m.mem.rec
		if inDisk && row.key == key {
			m.disk.at++
		}
		m.mem.step()
		if raw != "" {
			return key, viewBytes(raw), nil
		}
	}
}

// memRows goes through a part of a table.
type memRows struct {
	iter    btree.IterG[entry]
	lo, hi  Key
	reverse bool
	ok      bool // iter stands on a row of the range, which is:
	key     Key
	rec     string // empty: deleted
}

func (r *memRows) start() {
	if !r.reverse {
		r.ok = r.iter.Seek(entryOf(string(r.lo), len(r.lo)))
	} else if r.iter.Seek(entryOf(string(r.hi), len(r.hi))) {
		r.ok = r.iter.Prev()
	} else {
		r.ok = r.iter.Last()
	}
	r.clip()
}

func (r *memRows) step() {
	if r.reverse {
		r.ok = r.iter.Prev()
	} else {
		r.ok = r.iter.Next()
	}
	r.clip()
}

func (r *memRows) clip() {
	if r.ok {
		r.key, r.rec = r.iter.Item().row()
		r.ok = r.key >= r.lo && r.key < r.hi
	}
}

// diskPages goes through a part of the store file, page by page.
type diskPages struct {
	size    int // of the last page that was asked for
	sn      *Snapshot
	lo, hi  Key // what has not been read yet
	reverse bool
	more    bool
	page    []diskRow
	at      int
}

func (p *diskPages) peek() (diskRow, bool) {
	if p.at == len(p.page) {
		return diskRow{}, false
	}
	return p.page[p.at], true
}

func (p *diskPages) precedes(a, b Key) bool { return a != b && a < b != p.reverse }

// fill reads the next page when the last one is used up, or looks whether the snapshot has
// been cancelled.
func (p *diskPages) fill() (err error) {
	if p.at < len(p.page) || !p.more {
		return nil
	}
	p.page, p.at = p.page[:0:0], 0
	p.size = min(max(4*p.size, firstPage), scanPage)
	if p.reverse {
		p.page, p.more, err = p.sn.store.disk.rowsDown(p.page, p.lo, p.hi, p.size)
	} else {
		p.page, p.more, err = p.sn.store.disk.rows(p.page, p.lo, p.hi, p.size)
	}
	if over := p.sn.err(); over != nil {
		return over
	}
	if err != nil || len(p.page) == 0 {
		return err
	}
	if last := p.page[len(p.page)-1].key; p.reverse {
		p.hi = last
	} else {
		p.lo = last + "\x00"
	}
	return nil
}
