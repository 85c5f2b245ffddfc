package sturdy

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// world is what this process knows of the kinds in the open world: the rows in which the
// world remembers each version and shape of each kind, and the program's definitions.
//
// Invariant: it does not change once the world is open.
type world struct {
	rows  map[uint32]*kindRow
	bound map[*definition]*bound
}

// kindRow is one version and shape of a kind, as the world remembers it. Its stored form is
// the body of a record under objstore.KindKey(no).
type kindRow struct {
	Name    string       `msgpack:"name"`
	Version int          `msgpack:"version"`
	Shape   caps.Shape   `msgpack:"shape"`
	Methods []MethodInfo `msgpack:"methods"`
	// Ordinals are those of the kind, the same in all its rows. On disk the row that was written
	// last has them all, and the others what there was when they were written.
	Ordinals []string `msgpack:"ordinals,omitempty"`

	no    uint32
	bound *bound
	load  func(body []byte, slots []caps.Ref) (*version, error) // nil: kind not known
}

// readWorld reads the kind rows.
func readWorld(s *objstore.Snapshot) (*world, error) {
	w := &world{rows: map[uint32]*kindRow{}, bound: map[*definition]*bound{}}
	lo, hi := objstore.KindRange()
	var bad error
	err := s.Scan(lo, hi, func(k objstore.Key, rec objstore.Record) bool {
		row := new(kindRow)
		parts, err := objstore.ParseKey(k)
		if err == nil {
			err = msgpack.Unmarshal(rec.Body, row)
		}
		if err != nil {
			bad = fmt.Errorf("kind row %q: %w", k, err)
			return false
		}
		row.no = parts.Kind
		row.bound = &bound{name: row.Name, no: row.no}
		w.rows[row.no] = row
		return true
	})
	w.number()
	return w, errors.Join(err, bad)
}

// number completes the Ordinals of each row: by those of the others of its kind, and, as worlds
// of before have none, by the methods of all of them.
func (w *world) number() {
	all := map[string][]string{}
	rows := slices.SortedFunc(maps.Values(w.rows), func(a, b *kindRow) int { return cmp.Compare(a.no, b.no) })
	for _, r := range rows {
		if len(r.Ordinals) > len(all[r.Name]) {
			all[r.Name] = r.Ordinals
		}
	}
	for _, r := range rows {
		all[r.Name] = numbered(all[r.Name], r.Methods)
	}
	for _, r := range rows {
		r.Ordinals = all[r.Name]
	}
}

// bind matches the program's definitions with the world's rows. It returns the rows that
// have to be written, and everything that is wrong.
func (w *world) bind(ds []*definition, count func(uint32) int64) (written []*kindRow, err error) {
	var faults []error
	seen := map[string]*definition{}
	for _, d := range ds {
		for _, f := range d.faults {
			faults = append(faults, fmt.Errorf("kind %s (%s): %s", d.name, d.place, f))
		}
		if o := seen[d.name]; o != nil && o != d {
			faults = append(faults, fmt.Errorf("kind %s is defined twice: %s and %s", d.name, o.place, d.place))
		}
		if seen[d.name] != nil || len(d.faults) > 0 {
			continue
		}
		seen[d.name] = d
		row, err := w.adopt(d, count)
		if err != nil {
			faults = append(faults, err)
		}
		if row != nil {
			written = append(written, row)
		}
	}
	return written, errors.Join(faults...)
}

// adopt connects d with the rows of its name. It returns the row to write if the world does
// not have d's version and shape yet, or has them with other methods.
func (w *world) adopt(d *definition, count func(uint32) int64) (*kindRow, error) {
	var rows []*kindRow
	for _, r := range w.rows {
		if r.Name == d.name {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b *kindRow) int { return cmp.Compare(a.no, b.no) })
	var current *kindRow
	for _, r := range rows {
		load, err := d.loader(r, count)
		if err != nil {
			return nil, err
		}
		r.load = load
		if r.Version == d.version && r.Shape.Same(d.shape) {
			current = r
		}
	}
	b := &bound{name: d.name, def: d}
	w.bound[d] = b
	for _, r := range rows {
		r.bound = b
	}
	methods := d.describe()
	var ordinals []string
	if len(rows) > 0 {
		ordinals = rows[0].Ordinals
	}
	ordinals = numbered(ordinals, methods)
	for _, r := range rows {
		r.Ordinals = ordinals
	}
	if current != nil {
		b.no = current.no
		if slices.EqualFunc(current.Methods, methods, MethodInfo.same) {
			return nil, nil
		}
		current.Methods = methods
		return current, nil
	}
	row := &kindRow{Name: d.name, Version: d.version, Shape: d.shape, Methods: methods, Ordinals: ordinals, no: w.free(), bound: b, load: d.load}
	b.no = row.no
	w.rows[row.no] = row
	return row, nil
}

// loader returns how d loads what was written under r, or why it cannot.
func (d *definition) loader(r *kindRow, count func(uint32) int64) (func([]byte, []caps.Ref) (*version, error), error) {
	if r.Version > d.version {
		return nil, fmt.Errorf("kind %s (%s): the world holds %d objects of version %d, and the program has version %d: it is older than the world", d.name, d.place, count(r.no), r.Version, d.version)
	}
	if o := d.olds[r.Version]; o != nil {
		if broken := breaking(r.Shape, o.shape); broken != "" && count(r.no) > 0 {
			return nil, fmt.Errorf("kind %s (%s): the argument of From(%d) is not what version %d wrote, which has %s", d.name, d.place, r.Version, r.Version, broken)
		}
		return func(body []byte, slots []caps.Ref) (*version, error) { return o.load(d, body, slots) }, nil
	}
	if broken := breaking(r.Shape, d.shape); broken != "" && count(r.no) == 0 {
		return func([]byte, []caps.Ref) (*version, error) {
			return nil, fmt.Errorf("the world lists no object of version %d, and holds one", r.Version)
		}, nil
	} else if broken != "" {
		return nil, fmt.Errorf("kind %s (%s): the world holds %d objects of version %d, which has %s. Add sturdy.From(%d, func(old) (new, error)), where old is the state as it was then",
			d.name, d.place, count(r.no), r.Version, broken, r.Version)
	}
	return d.load, nil
}

// breaking says which changes from was to is lose or misread something; "" if none do.
func breaking(was, is caps.Shape) string {
	var texts []string
	for _, c := range was.Diff(is) {
		if c.Breaks {
			texts = append(texts, c.Text)
		}
	}
	return strings.Join(texts, "; ")
}

// free is the lowest kind number not yet used; they count from 1.
func (w *world) free() uint32 {
	no := uint32(1)
	for w.rows[no] != nil {
		no++
	}
	return no
}

// record is the row's stored form.
func (r *kindRow) record(lsn uint64) (objstore.Record, error) {
	body, err := msgpack.Marshal(r)
	return objstore.Record{LSN: lsn, Body: body}, err
}

// decode makes a version of a record.
func (w *world) decode(rt *Runtime, h *handle, rec objstore.Record) (*version, error) {
	row := w.rows[rec.Kind]
	if row == nil {
		return nil, &caps.Error{Object: h.name(), Code: caps.ErrDamaged, Text: fmt.Sprintf("%s names kind %d, which the world does not list", h.name(), rec.Kind)}
	}
	if row.load == nil {
		return &version{lsn: rec.LSN, kind: row.bound, row: rec.Kind, state: unsafe.Pointer(&raw{rec}), size: len(rec.Body) + objectOverhead}, nil
	}
	v, err := row.load(rec.Body, rt.refs(rec.Slots))
	if err != nil {
		return nil, &caps.Error{Op: row.Name, Object: h.name(), Code: caps.CauseOf(err), Text: fmt.Sprintf("%s %x, version %d, cannot be loaded: %v", row.Name, h.oid.N, row.Version, err)}
	}
	v.lsn, v.kind, v.row = rec.LSN, row.bound, rec.Kind
	v.size = len(rec.Body) + int(row.bound.def.codec.Type().Size()) + objectOverhead
	return v, nil
}

// absent lists the kinds of the world that the program does not have, with their counts.
func (w *world) absent(count func(uint32) int64) map[string]int64 {
	m := map[string]int64{}
	for _, r := range w.rows {
		if r.load == nil && count(r.no) > 0 {
			m[r.Name] += count(r.no)
		}
	}
	return m
}

// countBody is the stored form of a count of objects.
func countBody(n int64) []byte { return binary.AppendVarint(nil, n) }

// loadCounts reads how many objects there are of each kind row.
func (v *vat) loadCounts() error {
	s := v.store.Snapshot()
	defer s.Release()
	v.counts, v.recount = map[uint32]int64{}, map[uint32]bool{}
	for no := range v.rt.world.rows {
		n, err := readCount(s, no)
		if err != nil {
			return err
		}
		v.counts[no] = n
	}
	return nil
}

func readCount(s *objstore.Snapshot, row uint32) (int64, error) {
	rec, _, err := s.Get(objstore.CountKey(row))
	n, _ := binary.Varint(rec.Body) // 0 if there is no such row
	return n, err
}
