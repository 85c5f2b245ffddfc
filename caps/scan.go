package caps

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// scan checks that body is one element of well-formed msgpack, safe for any code to walk:
// every length is within the bytes left, the depth within 64, strings are valid UTF-8, map
// keys are bool, numbers or strings and not there twice, extensions are times or indexes
// below slots, and nothing follows. As every element takes at least a byte, the bytes also
// bound the number of elements. It allocates only for maps of more than 8 entries, in
// proportion to body.
func scan(body []byte, slots int) *fault {
	s := scanner{body, slots}
	end, f := s.element(0, 0)
	if f == nil && end != len(body) {
		return faultf("%d bytes follow the end", len(body)-end)
	}
	return f
}

type scanner struct {
	body  []byte
	slots int
}

// element checks what begins at pos, inside depth lists and maps, and returns its end.
func (s *scanner) element(pos, depth int) (int, *fault) {
	start := pos
	h, pos := headAt(s.body, pos)
	switch h.form {
	case formBad:
		return pos, faultf("cut short, or not msgpack, at byte %d", start)
	case formStr:
		end := pos + int(h.n)
		if !utf8.Valid(s.body[pos:end]) {
			return pos, faultf("a string that is not UTF-8, at byte %d", start)
		}
		return end, nil
	case formBin:
		return pos + int(h.n), nil
	case formExt:
		end := pos + int(h.n)
		return end, s.extension(h, s.body[pos:end], start)
	case formList, formMap:
		if depth == maxDepth {
			return pos, faultf("nested deeper than %d", maxDepth)
		}
		if h.form == formMap {
			return s.entries(pos, int(h.n), depth+1)
		}
		for i := range int(h.n) {
			var f *fault
			if pos, f = s.element(pos, depth+1); f != nil {
				return pos, f.index(i)
			}
		}
	}
	return pos, nil
}

func (s *scanner) extension(h head, payload []byte, start int) *fault {
	switch h.ext {
	case extTime:
		if _, ok := timeIn(payload); !ok {
			return faultf("a malformed time, at byte %d", start)
		}
		return nil
	case extRef:
		i, ok := slotIn(payload)
		if !ok {
			return faultf("a malformed reference, at byte %d", start)
		}
		if i >= uint64(s.slots) {
			return faultf("reference %d of %d, at byte %d", i, s.slots, start)
		}
		return nil
	}
	return faultf("extension %d, which is unknown, at byte %d", h.ext, start)
}

// mapKey is a map key such that equal keys, however written, are equal mapKeys.
type mapKey struct {
	form form
	n    uint64 // value, bits of a float64, or length of text
	text []byte
}

func (k *mapKey) equal(o *mapKey) bool {
	return k.n == o.n && k.form == o.form && string(k.text) == string(o.text)
}

func (k mapKey) compare(o mapKey) int {
	if c := cmp.Compare(k.form, o.form); c != 0 {
		return c
	}
	if c := cmp.Compare(k.n, o.n); c != 0 {
		return c
	}
	return bytes.Compare(k.text, o.text)
}

// few is how many keys are compared each with each; more are sorted.
const few = 8

func (s *scanner) entries(pos, count, depth int) (int, *fault) {
	var small [few]mapKey
	keys := small[:0]
	for range count {
		start := pos
		k, next, f := s.mapKey(pos)
		if f != nil {
			return pos, f
		}
		if count <= few {
			for i := range keys {
				if k.equal(&keys[i]) {
					return pos, faultf("the map key %s twice", keyText(s.body[start:]))
				}
			}
		}
		keys = append(keys, k)
		if pos, f = s.element(next, depth); f != nil {
			return pos, f.in("[" + keyText(s.body[start:]) + "]")
		}
	}
	if count <= few {
		return pos, nil
	}
	slices.SortFunc(keys, mapKey.compare)
	for i := range count - 1 {
		if keys[i].equal(&keys[i+1]) {
			return pos, faultf("the map key %s twice", keys[i])
		}
	}
	return pos, nil
}

// String is the key for error messages.
func (k mapKey) String() string {
	switch k.form {
	case formStr:
		return shortened(strconv.Quote(string(k.text[:min(len(k.text), 40)])), 40)
	case formDouble:
		return floatText(math.Float64frombits(k.n))
	default:
		return head{form: k.form, n: k.n}.String()
	}
}

// mapKey reads the key at pos and returns its end.
func (s *scanner) mapKey(pos int) (mapKey, int, *fault) {
	start := pos
	h, pos := headAt(s.body, pos)
	switch h.form {
	case formBool, formInt, formMinus:
		return mapKey{form: h.form, n: h.n}, pos, nil
	case formFloat, formDouble:
		v, _ := h.float()
		if v != v {
			return mapKey{}, pos, faultf("the map key NaN")
		}
		if v == 0 {
			v = 0 // -0 is the same key
		}
		return mapKey{form: formDouble, n: math.Float64bits(v)}, pos, nil
	case formStr, formBin:
		end := pos + int(h.n)
		if h.form == formStr && !utf8.Valid(s.body[pos:end]) {
			return mapKey{}, pos, faultf("a string that is not UTF-8, at byte %d", start)
		}
		return mapKey{form: formStr, n: h.n, text: s.body[pos:end]}, end, nil
	case formBad:
		_, f := s.element(start, 0)
		return mapKey{}, pos, f
	}
	return mapKey{}, pos, faultf("%s as a map key; keys are bool, numbers or strings", h)
}

// keyText is the valid map key at the beginning of b, for error messages.
func keyText(b []byte) string {
	d := decoder{body: b}
	return shortened(d.mapKey().String(), 40)
}
