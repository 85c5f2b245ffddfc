package caps

import (
	"reflect"
	"unsafe"
)

func codecOf[T any]() (*Codec, error) { return CodecFor(reflect.TypeFor[T]()) }

func pointerTo[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }
