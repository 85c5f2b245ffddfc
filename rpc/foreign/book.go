package foreign

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// book has the interfaces of the world's kinds. What a program knows of its kinds does not
// change while it runs; another program opens the world anew.
type book struct {
	rt   *sturdy.Runtime
	base base

	mu     sync.Mutex
	opened bool
	byID   map[uint64]*iface
	byKind map[string]*iface
}

// base has the interfaces of sturdy.capnp.
type base struct{ host, ref, grant *iface }

// open reads the kinds. A kind that has no schema can be called through Ref.call.
func (b *book) open(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened {
		return nil
	}
	kinds, err := b.rt.Kinds(ctx)
	if err != nil {
		return err
	}
	b.byID, b.byKind = map[uint64]*iface{}, map[string]*iface{}
	for _, k := range kinds { // by version: the last one counts
		f, err := interfaceOf(k)
		if err != nil {
			b.rt.Log().Warn("a kind has no Cap'n Proto interface", "kind", k.Name, "err", err)
			continue
		}
		b.byID[f.id], b.byKind[f.kind] = f, f
	}
	b.opened = true
	return nil
}

func (b *book) known(id uint64) *iface {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byID[id]
}

func (b *book) kind(name string) *iface {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byKind[name]
}

// of is the interface of an object. That of a promise is what the caller says, as the object
// is not there yet; what it turns out to be has the last word.
func (b *book) of(ctx context.Context, info sturdy.ObjectInfo, id uint64) (*iface, error) {
	if info.Host == "" {
		f := b.kind(info.Kind.Name)
		if strings.HasPrefix(info.Kind.Name, "sturdy/promise") {
			f = b.known(id)
		}
		if f == nil {
			return nil, unimplemented("the kind %s has no interface; use Ref.call of sturdy.capnp", info.Kind.Name)
		}
		return f, nil
	}
	f, err := interfaceOf(info.Kind)
	if err != nil {
		return nil, unimplemented("the kind %s has no interface; use Ref.call of sturdy.capnp: %v", info.Kind.Name, err)
	}
	return f, nil
}

// with is the one interface that has a method of that name.
func (b *book) with(method string) (found *iface, several bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.byKind {
		for _, m := range f.methods {
			if m.name == method && !m.gone {
				if found != nil {
					return nil, true
				}
				found = f
			}
		}
	}
	return found, false
}

// message is a call of a method with an argument; none: it takes nothing.
func message(method string, arg caps.Value, none bool) (m caps.Message, err error) {
	m.Method = method
	if !none {
		m.Body, m.Slots, err = pack(arg)
	}
	return m, err
}

// pack encodes a value.
func pack(v caps.Value) ([]byte, []caps.Ref, error) {
	codec, err := caps.CodecFor(reflect.TypeFor[caps.Value]())
	if err != nil {
		return nil, nil, err
	}
	size, err := codec.Seal(unsafe.Pointer(&v))
	if err != nil {
		return nil, nil, err
	}
	body, slots := codec.Append(make([]byte, 0, size), nil, unsafe.Pointer(&v))
	return body, slots, nil
}

// unpack is the inverse of pack.
func unpack(body []byte, slots []caps.Ref) (v caps.Value, err error) {
	if len(body) == 0 {
		return v, nil
	}
	codec, err := caps.CodecFor(reflect.TypeFor[caps.Value]())
	if err == nil {
		err = codec.Decode(unsafe.Pointer(&v), body, slots)
	}
	return v, err
}

// narrowed are refs as they are after they came through a Ref with authority via; none, if that
// cannot be told.
func narrowed(refs []caps.Ref, via caps.Authority) []caps.Ref {
	if len(refs) == 0 || !via.Narrows() {
		return refs
	}
	refs = append([]caps.Ref{}, refs...)
	codec, err := caps.CodecFor(reflect.TypeFor[[]caps.Ref]())
	if err == nil {
		err = codec.Own(unsafe.Pointer(&refs), via)
	}
	if err != nil {
		clear(refs)
	}
	return refs
}

func timeOf(v any) (time.Time, bool) {
	t, ok := v.(time.Time)
	return t, ok
}
