package objstore

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
)

// group is one frame that is durable and not yet in the store file.
type group struct {
	lsn, base, next uint64
	sum             uint32
	end             position // behind the frame
	batch           *Batch   // only buf and rows are used
}

// replay is what recovery found in the journal.
type replay struct {
	from   uint64 // the segment that the checkpoint names; those below are not needed
	groups []*group
	end    position // where the next frame goes
	prev   uint32
	size   int64 // of the segment at end; 0: there is none
	torn   bool  // there is something behind end, which must be zeroed before writing
}

// replayer reads the journal from a checkpoint on.
type replayer struct {
	files FS
	segs  map[uint64][]byte // those not read yet are nil
	from  checkpointRow
	out   replay
	last  uint64 // LSN of the newest good frame
}

// replayJournal reads all frames above the checkpoint. A frame that is not good ends it: if
// any good frame with a higher LSN exists, acknowledged frames have been damaged, and that
// is an error; if none does, what is there is the torn rest of a write that nobody was
// answered for. This holds because a frame is written only after the one before is synced.
func replayJournal(files FS, from checkpointRow) (replay, error) {
	names, err := files.ReadDir()
	if err != nil {
		return replay{}, err
	}
	r := replayer{files: files, segs: map[uint64][]byte{}, from: from, last: from.lsn}
	r.out.from, r.out.end, r.out.prev = from.at.seg, from.at, from.sum
	for _, name := range names {
		if n, ok := parseSegment(name); ok && n >= from.at.seg {
			r.segs[n] = nil
		}
	}
	if err := r.run(); err != nil {
		return replay{}, err
	}
	return r.out, nil
}

func (r *replayer) run() error {
	if _, there := r.segs[r.from.at.seg]; !there {
		return r.damaged(r.from.at, "is missing, but the store file names it: half a world", fs.ErrNotExist)
	}
	for {
		data, err := r.read(r.out.end.seg)
		if err != nil {
			return err
		}
		if r.out.end.off > int64(len(data)) {
			return r.damaged(r.out.end, "is shorter than the store file says: half a world", nil)
		}
		stop, err := r.frames(data)
		if err != nil {
			return err
		}
		if next := (position{seg: r.out.end.seg + 1}); r.follows(next) {
			r.out.end = next
			continue
		}
		return r.finish(data, stop)
	}
}

// frames takes good frames from r.out.end on; stop says why the first bad one is.
func (r *replayer) frames(data []byte) (stop, err error) {
	for {
		at := r.out.end
		f, err := parseFrame(data[at.off:])
		if err == nil && !r.chains(f) {
			err = fmt.Errorf("frame %d on %d does not follow frame %d", f.lsn, f.base, r.last)
		}
		if err != nil {
			return err, nil
		}
		buf := data[at.off : at.off+int64(f.size)]
		rows, err := parseRows(buf)
		if err != nil {
			return nil, r.damaged(at, "rows", err)
		}
		r.out.end.off = min(at.off+int64(padded(f.size)), int64(len(data)))
		r.out.prev, r.last = f.sum, f.lsn
		r.out.groups = append(r.out.groups, &group{
			lsn: f.lsn, base: f.base, next: f.next, sum: f.sum, end: r.out.end,
			batch: &Batch{LSN: f.lsn, Base: f.base, Next: f.next, buf: buf, rows: rows},
		})
	}
}

// chains reports whether f was written right after the newest good frame.
func (r *replayer) chains(f frame) bool { return f.base == r.last && f.prev == r.out.prev }

// follows reports whether the journal goes on in the segment at p, because the next frame
// did not fit into the one before.
func (r *replayer) follows(p position) bool {
	if _, there := r.segs[p.seg]; !there {
		return false
	}
	data, err := r.read(p.seg)
	if err != nil {
		return false
	}
	f, err := parseFrame(data)
	return err == nil && r.chains(f)
}

// finish decides between the end of the journal and damage.
func (r *replayer) finish(data []byte, stop error) error {
	for _, n := range slices.Sorted(maps.Keys(r.segs)) {
		if n < r.out.end.seg {
			continue
		}
		seg, err := r.read(n)
		if err != nil {
			return err
		}
		from := int64(0)
		if n == r.out.end.seg {
			from = r.out.end.off
		}
		for off := from; off < int64(len(seg)); off += sector {
			if f, err := parseFrame(seg[off:]); err == nil && f.lsn > r.last {
				what := fmt.Sprintf("frame %d, behind frame %d, cannot be read; frame %d in %s at offset %d can: acknowledged turns are lost",
					r.last+1, r.last, f.lsn, segmentName(n), off)
				return r.damaged(r.out.end, what, stop)
			}
		}
	}
	r.out.size = int64(len(data))
	for _, b := range data[r.out.end.off:] {
		r.out.torn = r.out.torn || b != 0
	}
	return nil
}

func (r *replayer) read(n uint64) ([]byte, error) {
	if data := r.segs[n]; data != nil {
		return data, nil
	}
	f, err := r.files.OpenFile(segmentName(n), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, r.damaged(position{seg: n}, "is missing between others", err)
	}
	if err != nil {
		return nil, err
	}
	data, err := readWhole(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", segmentName(n), err)
	}
	r.segs[n] = data
	return data, nil
}

func (r *replayer) damaged(at position, what string, cause error) error {
	return &DamagedError{Where: fmt.Sprintf("%s at offset %d", segmentName(at.seg), at.off), What: what, Err: cause}
}

// resume makes the journal writable behind what was replayed: the torn rest is zeroed, and
// later segments, which hold no frame, are removed.
func (r replay) resume(files FS, incarnation uint64, limit int64) (*journal, error) {
	j := &journal{files: files, incarnation: incarnation, limit: limit, at: r.end, prev: r.prev}
	if err := r.removeOthers(files); err != nil {
		return nil, err
	}
	if r.size == 0 {
		return j, nil
	}
	f, err := files.OpenFile(segmentName(r.end.seg), os.O_RDWR, segmentPerm)
	if err != nil {
		return nil, err
	}
	if r.torn {
		err = fillZeros(f, r.end.off, r.size)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cut the torn end of %s: %w", segmentName(r.end.seg), err), f.Close())
		}
	}
	j.active = &segment{n: r.end.seg, file: f, size: r.size}
	return j, nil
}

func (r replay) removeOthers(files FS) error {
	names, err := files.ReadDir()
	if err != nil {
		return err
	}
	for _, name := range names {
		n, ok := parseSegment(name)
		if ok && (n < r.from || n > r.end.seg) {
			err = errors.Join(err, files.Remove(name))
		}
	}
	return err
}
