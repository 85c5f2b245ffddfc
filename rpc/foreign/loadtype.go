package foreign

import (
	"fmt"
	"math"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/std/capnp/schema"

	"github.com/sturdyrt/sturdy/caps"
)

// This file is the types and defaults of fields for load.go.

// slot makes a field that is no group.
func (l *loader) slot(of *record, d *field, s schema.Field_slot) error {
	t, err := s.Type()
	if err != nil {
		return err
	}
	made, why, err := l.typ(t, 0)
	if err != nil {
		return err
	}
	if why != "" {
		l.refuse(of, d, why)
		return nil
	}
	d.typ = *made
	for e := made; e != nil; e = e.elem {
		l.uses(of, e.of)
	}
	width, offset := uint64(made.width()), uint64(s.Offset())
	switch {
	case made.op == opVoid:
	case width == 0 && offset >= uint64(of.size.PointerCount):
		return fmt.Errorf("its pointer is outside of the struct")
	case width > 0 && (offset+1)*width > uint64(of.size.DataSize)*8:
		return fmt.Errorf("it is outside of the struct")
	case width > 8:
		offset *= width / 8
	}
	d.offset = uint32(offset)
	v, err := s.DefaultValue()
	if err != nil || made.op == opVoid {
		return err
	}
	return l.defaultOf(d, v)
}

// defaultOf notes what d is when it is not set. The members of schema.Value have the numbers
// of those of schema.Type.
func (l *loader) defaultOf(d *field, v schema.Value) (err error) {
	var p capnp.Ptr
	switch v.Which() {
	case schema.Value_Which_text, schema.Value_Which_data:
		p, err = capnp.Struct(v).Ptr(0)
	case schema.Value_Which_list:
		p, err = v.List()
	case schema.Value_Which_structValue:
		p, err = v.StructValue()
	case schema.Value_Which_enum:
		d.def = uint64(v.Enum())
	default:
		if w := d.typ.width(); w > 0 {
			d.def, err = numberIn(v, w)
		}
	}
	if err != nil {
		return err
	}
	if p.IsValid() {
		if d.typ.width() > 0 || d.typ.op == opRef {
			return fmt.Errorf("its default is of another type")
		}
		l.later = append(l.later, defaulted{d, p})
	}
	return nil
}

// numberIn is the default in v of a number of width bits.
func numberIn(v schema.Value, width int) (uint64, error) {
	have, n := 0, uint64(0)
	switch v.Which() {
	case schema.Value_Which_void: // none, as of an old compiler
		have = width
	case schema.Value_Which_bool:
		if have = 1; v.Bool() {
			n = 1
		}
	case schema.Value_Which_int8:
		have, n = 8, uint64(uint8(v.Int8()))
	case schema.Value_Which_uint8:
		have, n = 8, uint64(v.Uint8())
	case schema.Value_Which_int16:
		have, n = 16, uint64(uint16(v.Int16()))
	case schema.Value_Which_uint16:
		have, n = 16, uint64(v.Uint16())
	case schema.Value_Which_int32:
		have, n = 32, uint64(uint32(v.Int32()))
	case schema.Value_Which_uint32:
		have, n = 32, uint64(v.Uint32())
	case schema.Value_Which_float32:
		have, n = 32, uint64(math.Float32bits(v.Float32()))
	case schema.Value_Which_int64:
		have, n = 64, uint64(v.Int64())
	case schema.Value_Which_uint64:
		have, n = 64, v.Uint64()
	case schema.Value_Which_float64:
		have, n = 64, math.Float64bits(v.Float64())
	}
	if have != width {
		return 0, fmt.Errorf("its default is of another type")
	}
	return n, nil
}

// typ makes a type, or says why it cannot be held.
func (l *loader) typ(t schema.Type, depth int) (made *typ, why string, err error) {
	switch which := t.Which(); which {
	case schema.Type_Which_list:
		return l.list(t, depth)
	case schema.Type_Which_enum:
		return l.enum(t.Enum().TypeId())
	case schema.Type_Which_structType:
		return l.structure(t.StructType().TypeId())
	case schema.Type_Which_interface:
		return &typ{op: opRef}, "", nil
	case schema.Type_Which_anyPointer:
		// A Capability is one of any interface. It is the only one of these with a shape.
		a := t.AnyPointer()
		if a.Which() != schema.Type_anyPointer_Which_unconstrained {
			return nil, "whose type is a parameter of a generic type", nil
		}
		if a.Unconstrained().Which() == schema.Type_anyPointer_unconstrained_Which_capability {
			return &typ{op: opRef}, "", nil
		}
		return nil, "which is an AnyPointer", nil
	default:
		ops := [...]op{
			opVoid, opBool, opInt8, opInt16, opInt32, opInt64, opUint8, opUint16, opUint32,
			opUint64, opFloat32, opFloat64, opText, opData,
		}
		if int(which) < len(ops) {
			return &typ{op: ops[which]}, "", nil
		}
		return nil, "whose type is newer than this program", nil
	}
}

func (l *loader) list(t schema.Type, depth int) (*typ, string, error) {
	if depth > deepest {
		return nil, "", fmt.Errorf("lists stand more than %d deep in each other", deepest)
	}
	e, err := t.List().ElementType()
	if err != nil {
		return nil, "", err
	}
	elem, why, err := l.typ(e, depth+1)
	if why != "" || err != nil {
		return nil, why, err
	}
	elem.null = elem.null && !elem.inline()
	return &typ{op: opList, elem: elem}, "", nil
}

func (l *loader) structure(id uint64) (*typ, string, error) {
	switch id {
	case timeID:
		return &typ{op: opTime, null: true}, "", nil
	case valueID:
		return &typ{op: opValue}, "", nil
	}
	of, err := l.record(id)
	return &typ{op: opStruct, of: of, null: true}, "", err
}

func (l *loader) enum(id uint64) (*typ, string, error) {
	if made := l.enums[id]; made != nil {
		return made, "", nil
	}
	n, ok := l.nodes[id]
	if !ok || n.Which() != schema.Node_Which_enum {
		return nil, "", fmt.Errorf("@0x%x is no enum", id)
	}
	list, err := n.Enum().Enumerants()
	if err != nil {
		return nil, "", err
	}
	if err := l.take(list.Len()); err != nil {
		return nil, "", err
	}
	made := &typ{op: opEnum}
	l.enums[id] = made
	for i := range list.Len() {
		label, err := name(list.At(i).Name())
		if err != nil {
			return nil, "", err
		}
		made.names = append(made.names, label)
	}
	return made, "", nil
}

// defaults reads those that are pointers.
func (l *loader) defaults() error {
	r := &reader{elements: mostParts, bytes: largestSchema, refs: func(capnp.Client) (caps.Ref, error) {
		return caps.Ref{}, fmt.Errorf("a capability")
	}}
	for _, d := range l.later {
		before := r.elements + r.bytes
		v, f := r.pointer(d.value, &d.field.typ, 1)
		if f != nil {
			return fmt.Errorf("the default of %s: %w", d.field.label, f.outcome())
		}
		d.field.absent, d.field.cost = v, before-r.elements-r.bytes
	}
	return nil
}
