package foreign

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/std/capnp/schema"

	"github.com/sturdyrt/sturdy/caps"
)

// Bounds on a schema, which may come from anybody. The largest ones known have some thousand
// types.
const (
	largestSchema = 16 << 20 // bytes
	mostNodes     = 1 << 14
	mostParts     = 1 << 17 // fields, enumerants and methods, inherited ones at each heir
	longestName   = 255
)

// The structs of sturdy.capnp that are values of ours.
const (
	timeID  = 0x8c2f6be4a97d0135
	valueID = 0xd7e85c10f3b9a246
)

// load reads the interfaces of a compiled schema, which is what `capnp compile -o-` writes,
// those of imported files too, in their order there.
//
// What it makes of types: structs and groups are entries by field name. A union is the fields
// of it that are set, which is one; if that is Void, it is true. In Go that is a struct of
// pointers. Enums are text: the name, or the number where a newer peer has more names. A
// struct or Time that is null is left out. Parameters that are listed in the method rather
// than a struct with a name, and are only one which is called "value", are that value; so are
// results that are only "result". So schemas printed here read as what they were printed from,
// but for maps and optionals, which read as the structs that they are on the wire.
//
// AnyPointer and type parameters have no shape. Methods that have them somewhere in their
// parameters or results are there and say in refused why they cannot be called.
func load(request []byte) ([]*iface, error) {
	l := &loader{
		nodes:   map[uint64]schema.Node{},
		records: map[uint64]*record{},
		ifaces:  map[uint64]*iface{},
		enums:   map[uint64]*typ{},
		users:   map[*record][]*record{},
		refused: map[*record]string{},
	}
	list, err := l.load(request)
	if err != nil {
		return nil, &caps.Error{Op: "load schema", Code: caps.ErrBadArgument, Text: err.Error() +
			". Was it made by `capnp compile -o- FILE.capnp`?"}
	}
	return list, nil
}

// loader makes ifaces and records of the nodes of a request.
type loader struct {
	nodes   map[uint64]schema.Node
	order   []uint64 // the ids of the interfaces
	records map[uint64]*record
	ifaces  map[uint64]*iface
	parts   int // how many there are, see mostParts
	enums   map[uint64]*typ
	users   map[*record][]*record // which records hold one
	refused map[*record]string    // why
	broken  []*record             // those in refused, in the order in which they were found
	later   []defaulted
}

// defaulted is a field whose default is in a message, which can be read as soon as there are
// all records.
type defaulted struct {
	field *field
	value capnp.Ptr
}

func (l *loader) load(request []byte) ([]*iface, error) {
	if len(request) > largestSchema {
		return nil, fmt.Errorf("a schema of %d bytes; the limit is %d", len(request), largestSchema)
	}
	m, err := capnp.Unmarshal(request)
	if err != nil {
		return nil, fmt.Errorf("no compiled schema: %w", err)
	}
	defer m.Release()
	if err := l.index(m); err != nil {
		return nil, err
	}
	for _, id := range l.order {
		if l.ifaces[id], err = l.iface(id); err != nil {
			return nil, err
		}
	}
	if err := l.defaults(); err != nil {
		return nil, err
	}
	l.spread()
	return l.inherit()
}

// index finds the nodes.
func (l *loader) index(m *capnp.Message) error {
	request, err := schema.ReadRootCodeGeneratorRequest(m)
	if err != nil {
		return fmt.Errorf("no compiled schema: %w", err)
	}
	nodes, err := request.Nodes()
	if err != nil {
		return err
	}
	if n := nodes.Len(); n < 1 || n > mostNodes {
		return fmt.Errorf("a schema with %d types; it needs one and may have %d", n, mostNodes)
	}
	for i := range nodes.Len() {
		n := nodes.At(i)
		if _, twice := l.nodes[n.Id()]; twice {
			return fmt.Errorf("the id @0x%x twice", n.Id())
		}
		l.nodes[n.Id()] = n
		if n.Which() == schema.Node_Which_interface {
			l.order = append(l.order, n.Id())
		}
	}
	return nil
}

// take counts n more fields, enumerants or methods.
func (l *loader) take(n int) error {
	if n < 0 || n > mostParts-l.parts {
		return fmt.Errorf("more than %d fields, enumerants and methods", mostParts)
	}
	l.parts += n
	return nil
}

// name checks a name, which ends up in errors and on terminals.
func name(s string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	odd := func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	if s == "" || len(s) > longestName || !utf8.ValidString(s) || strings.ContainsFunc(s, odd) {
		return "", fmt.Errorf("%.300q is no name", s)
	}
	return s, nil
}

// fullName is where a node is declared: "bank.capnp:Account", and the last part of that.
func fullName(n schema.Node) (full, last string, err error) {
	full, err = n.DisplayName()
	if err != nil {
		return "", "", err
	}
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if len(full) > 4*longestName || !utf8.ValidString(full) || strings.ContainsFunc(full, odd) {
		return "", "", fmt.Errorf("%.300q is no name of a type", full)
	}
	if n := n.DisplayNamePrefixLength(); n < uint32(len(full)) {
		return full, full[n:], nil
	}
	return full, full, nil
}

// iface makes an interface with the methods that are its own.
func (l *loader) iface(id uint64) (*iface, error) {
	n := l.nodes[id]
	full, last, err := fullName(n)
	if err != nil {
		return nil, err
	}
	methods, err := n.Interface().Methods()
	if err != nil {
		return nil, err
	}
	if err := l.take(methods.Len()); err != nil {
		return nil, err
	}
	made := &iface{id: id, label: last, kind: full}
	for i := range methods.Len() {
		m, err := l.method(methods.At(i))
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", full, err)
		}
		m.ordinal, m.in = uint16(i), id
		made.methods = append(made.methods, m)
	}
	return made, nil
}

func (l *loader) method(m schema.Method) (*method, error) {
	label, err := name(m.Name())
	if err != nil {
		return nil, err
	}
	made := &method{name: label, label: label}
	if made.params, err = l.message(m.ParamStructType(), "value"); err != nil {
		return nil, fmt.Errorf("method %s: %w", label, err)
	}
	if made.results, err = l.message(m.ResultStructType(), "result"); err != nil {
		return nil, fmt.Errorf("method %s: %w", label, err)
	}
	return made, nil
}

// message makes parameters or results. They are a value rather than a struct if they are
// nothing but the field alone.
func (l *loader) message(id uint64, alone string) (*record, error) {
	of, err := l.record(id)
	if err != nil || l.nodes[id].ScopeId() != 0 || len(of.fields) != 1 {
		return of, err
	}
	of.label = ""
	if d := of.fields[0]; d.label == alone && d.typ.op != opGroup && !d.gone {
		of.bare, d.name = true, ""
	}
	return of, nil
}

// record makes a struct, or returns it if it was made or is being made.
func (l *loader) record(id uint64) (*record, error) {
	if of := l.records[id]; of != nil {
		return of, nil
	}
	n, ok := l.nodes[id]
	if !ok || n.Which() != schema.Node_Which_structNode || n.StructNode().IsGroup() {
		return nil, fmt.Errorf("@0x%x is no struct", id)
	}
	return l.fields(n, n.StructNode())
}

// fields makes a struct or a group.
func (l *loader) fields(n schema.Node, s schema.Node_structNode) (*record, error) {
	full, last, err := fullName(n)
	if err != nil {
		return nil, err
	}
	of := &record{label: last, size: capnp.ObjectSize{
		DataSize: capnp.Size(s.DataWordCount()) * 8, PointerCount: s.PointerCount(),
	}}
	l.records[n.Id()] = of
	list, err := s.Fields()
	if err != nil {
		return nil, err
	}
	if err := l.take(list.Len()); err != nil {
		return nil, err
	}
	if s.DiscriminantCount() > 0 {
		at := uint64(s.DiscriminantOffset()) * 2
		if at+2 > uint64(of.size.DataSize) {
			return nil, fmt.Errorf("%s: its union is outside of it", full)
		}
		of.choice, of.tagAt = true, uint32(at)
	}
	names := map[string]bool{}
	for i := range list.Len() {
		d, err := l.field(n, of, list.At(i))
		if err == nil && names[d.name] {
			err = fmt.Errorf("the field %s twice", d.name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", full, err)
		}
		names[d.name], d.ordinal = true, uint16(i)
		of.fields = append(of.fields, d)
	}
	return of, nil
}

func (l *loader) field(in schema.Node, of *record, f schema.Field) (*field, error) {
	label, err := name(f.Name())
	if err != nil {
		return nil, err
	}
	made := &field{name: label, label: label}
	if tag := f.DiscriminantValue(); tag != schema.Field_noDiscriminant {
		if !of.choice {
			return nil, fmt.Errorf("%s is in a union that is not there", label)
		}
		made.choice, made.tag = true, tag
	}
	switch f.Which() {
	case schema.Field_Which_slot:
		err = l.slot(of, made, f.Slot())
	case schema.Field_Which_group:
		made.typ.op = opGroup
		made.typ.of, err = l.group(in, f.Group().TypeId())
		l.uses(of, made.typ.of)
	default:
		l.refuse(of, made, "which is of a kind that is newer than this program")
	}
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", label, err)
	}
	return made, nil
}

// group makes a group of the struct or group in.
func (l *loader) group(in schema.Node, id uint64) (*record, error) {
	n, ok := l.nodes[id]
	if !ok || n.Which() != schema.Node_Which_structNode || !n.StructNode().IsGroup() || n.ScopeId() != in.Id() {
		return nil, fmt.Errorf("@0x%x is no group of it", id)
	}
	if l.records[id] != nil {
		return nil, fmt.Errorf("the group @0x%x is there twice", id)
	}
	s, outer := n.StructNode(), in.StructNode()
	if s.DataWordCount() != outer.DataWordCount() || s.PointerCount() != outer.PointerCount() {
		return nil, fmt.Errorf("the group @0x%x has not the size of its struct", id)
	}
	return l.fields(n, s)
}

// uses says that holder holds held.
func (l *loader) uses(holder, held *record) {
	if held != nil {
		l.users[held] = append(l.users[held], holder)
	}
}

// refuse says that d cannot be held, so that no record can in which it is.
func (l *loader) refuse(of *record, d *field, why string) {
	d.gone = true
	if l.refused[of] == "" {
		l.refused[of] = fmt.Sprintf("%s has the field %s, %s", of.label, d.label, why)
		l.broken = append(l.broken, of)
	}
}

// spread refuses what holds what is refused.
func (l *loader) spread() {
	for list := l.broken; len(list) > 0; list = list[1:] {
		for _, of := range l.users[list[0]] {
			if l.refused[of] == "" {
				l.refused[of] = l.refused[list[0]]
				list = append(list, of)
			}
		}
	}
	for _, i := range l.ifaces {
		for _, m := range i.methods {
			if why := cmp.Or(l.refused[m.params], l.refused[m.results]); why != "" {
				m.refused = fmt.Sprintf("%s.%s cannot be called from here: %s", i.label, m.name, why)
			}
		}
	}
}

// inherit gives every interface the methods of those that it extends, the nearer first. One
// whose name is taken is called by that of its interface too: "Shape.area".
func (l *loader) inherit() ([]*iface, error) {
	var list []*iface
	for _, id := range l.order {
		made := *l.ifaces[id]
		made.methods = slices.Clone(made.methods)
		names := map[string]bool{}
		for _, m := range made.methods {
			if names[m.name] {
				return nil, fmt.Errorf("interface %s: the method %s twice", made.kind, m.name)
			}
			names[m.name] = true
		}
		above, err := l.above(id)
		if err != nil {
			return nil, err
		}
		for _, super := range above {
			if err := l.take(len(super.methods)); err != nil {
				return nil, err
			}
			for _, m := range super.methods {
				if names[m.name] {
					other := *m
					other.name = super.label + "." + m.name
					m = &other
				}
				names[m.name] = true
				made.methods = append(made.methods, m)
			}
		}
		list = append(list, &made)
	}
	return list, nil
}

// above lists what the interface id extends, directly and not, each once.
func (l *loader) above(id uint64) ([]*iface, error) {
	var list []*iface
	seen := map[uint64]bool{id: true}
	for queue := []uint64{id}; len(queue) > 0; queue = queue[1:] {
		supers, err := l.nodes[queue[0]].Interface().Superclasses()
		if err != nil {
			return nil, err
		}
		// They are counted at every heir, as methods are: a long line of interfaces would be
		// walked once for each of them.
		if err := l.take(supers.Len()); err != nil {
			return nil, err
		}
		for i := range supers.Len() {
			next := supers.At(i).Id()
			if l.ifaces[next] == nil {
				return nil, fmt.Errorf("@0x%x is no interface", next)
			}
			if !seen[next] {
				seen[next] = true
				list, queue = append(list, l.ifaces[next]), append(queue, next)
			}
		}
	}
	return list, nil
}
