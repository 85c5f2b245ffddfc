package sturdy

import (
	"context"
	"encoding/binary"
	"reflect"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
)

// described is what another host is told of an object: what its holder may know. Shapes stand
// in it as text, as they are types inside themselves, which have no encoding of a fixed depth.
type described struct {
	ID, Kind string
	Host     string // of an object that the host which answers has from a third one
	Version  int
	Rights   uint8
	Allows   []string
	Methods  []describedMethod
	Ordinals []string
}

type describedMethod struct {
	Name        string
	Needs       uint8
	Outside     bool
	Arg, Result []byte
}

// Encode is what another host is told of the object: its methods, and no state and no grants.
func (i ObjectInfo) Encode() ([]byte, error) {
	d := described{ID: i.ID, Host: i.Host, Kind: i.Kind.Name, Version: i.Kind.Version, Rights: storedRights(i.Rights), Allows: i.Allows, Ordinals: i.Kind.Ordinals}
	for _, m := range i.Kind.Methods {
		d.Methods = append(d.Methods, describedMethod{m.Name, uint8(m.Needs), m.Outside, appendShape(nil, &m.Arg), appendShape(nil, &m.Result)})
	}
	codec, err := caps.CodecFor(reflect.TypeFor[described]())
	if err != nil {
		return nil, err
	}
	body, _ := codec.Append(nil, nil, unsafe.Pointer(&d))
	return body, nil
}

// appendShape appends s: class and name as texts, len, the number of fields and each with its
// name, then a byte that says which of key and elem follow.
func appendShape(b []byte, s *caps.Shape) []byte {
	for _, text := range [...]string{string(s.Class), s.Name} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(s.Len)), uint64(len(s.Fields)))
	for i := range s.Fields {
		f := &s.Fields[i]
		b = append(binary.AppendUvarint(b, uint64(len(f.Name))), f.Name...)
		b = appendShape(b, &f.Shape)
	}
	var inner [2]*caps.Shape
	inner[0], inner[1] = s.Key, s.Elem
	for _, in := range inner {
		if in == nil {
			b = append(b, 0)
			continue
		}
		b = appendShape(append(b, 1), in)
	}
	return b
}

// shapeParser reads what appendShape wrote, or a stranger.
type shapeParser struct {
	letterParser
	seen  int // shapes
	depth int // of them around this one
}

const (
	maxShapes = 10_000 // in one type
	maxNested = 256    // in each other: values nest 64 deep, and what is optional is a shape of its own
)

func (p *shapeParser) shape() (s caps.Shape) {
	p.depth++
	defer func() { p.depth-- }()
	if p.seen++; p.seen > maxShapes || p.depth > maxNested {
		p.bad, p.rest = true, nil
	}
	s.Class, s.Name, s.Len = caps.Class(p.str("")), p.str(""), int(p.uvarint())
	for n := p.uvarint(); n > 0 && !p.bad; n-- {
		name := p.str("")
		s.Fields = append(s.Fields, caps.Field{Name: name, Shape: p.shape()})
	}
	for _, in := range [...]**caps.Shape{&s.Key, &s.Elem} {
		if p.uvarint() == 1 && !p.bad {
			inner := p.shape()
			*in = &inner
		}
	}
	return s
}

// DecodeInfo is the inverse of Encode.
func DecodeInfo(body []byte) (i ObjectInfo, err error) {
	var d described
	codec, err := caps.CodecFor(reflect.TypeFor[described]())
	if err == nil {
		err = codec.Decode(unsafe.Pointer(&d), body, nil)
	}
	if err != nil {
		return i, err
	}
	i = ObjectInfo{ID: d.ID, Host: d.Host, Kind: KindInfo{Name: d.Kind, Version: d.Version, Ordinals: d.Ordinals}, Rights: authorityOf(d.Rights), Allows: d.Allows}
	for _, m := range d.Methods {
		info := MethodInfo{Name: m.Name, Needs: caps.Rights(m.Needs) & everything, Outside: m.Outside}
		arg, result := shapeParser{letterParser: letterParser{rest: m.Arg}}, shapeParser{letterParser: letterParser{rest: m.Result}}
		info.Arg, info.Result = arg.shape(), result.shape()
		if arg.bad || result.bad {
			return i, &caps.Error{Op: "describe", Code: caps.ErrBadArgument, Text: "the other host's description of " + d.Kind + " does not decode"}
		}
		i.Kind.Methods = append(i.Kind.Methods, info)
	}
	return i, nil
}

// describeRemote asks the other host.
func (h *handle) describeRemote(ctx context.Context, via caps.Authority) (ObjectInfo, error) {
	r, err := h.remote()
	if err != nil {
		return ObjectInfo{}, err
	}
	if t, _ := turnOf(ctx); t != nil {
		return ObjectInfo{}, &caps.Error{Op: "describe", Object: r.String(), Code: caps.ErrWouldBlock, Text: "a turn cannot wait for another host"}
	}
	if err := via.Gate.Alive(nil); err != nil {
		return ObjectInfo{}, h.vat.told(ctx, "describe", outcome("describe", h, err))
	}
	w := h.vat.rt.wire.Load()
	if w == nil {
		return ObjectInfo{}, notWired("describe", r.String())
	}
	info, err := (*w).Describe(ctx, r.Host, r.At, homeToken(r.Token, via))
	if err == nil && (info.Host == "" || info.Host == h.vat.rt.Host() || !caps.Printable(info.Host)) {
		info.Host = r.Host // and not a third one's, which that one has it from
	}
	return info, err
}
