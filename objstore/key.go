package objstore

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// The first byte of a key is its space. Rows of different spaces never mix in a range.
const (
	spaceCount   = 'c'
	spaceElement = 'e'
	spaceKind    = 'k'
	spaceObject  = 'o'
	spaceRef     = 'r'
)

const (
	oidBytes = 16
	// maxKey bounds a key, so that a bbolt page holds at least one.
	maxKey = 4096
	// endKey is above every key: the row that closes the store's chain has it.
	endKey = Key("\xff")
)

// KeyParts is what a key says.
type KeyParts struct {
	Space  byte   // 'c', 'e', 'k', 'o' or 'r'; doc.go lists them
	OID    OID    // of an object, of the owner of an element or of the holder of a reference; else zero
	Elem   string // the element within its owner, or the one that holds the reference; empty: the state does
	Kind   uint32 // the number of a kind
	Target OID    // what the reference is to; else zero
}

// ObjectKey is the key of an object's state.
func ObjectKey(o OID) Key { return oidKey(spaceObject, o, "") }

// ElementKey is the key of an element of the collection owner. Elements of one owner are in
// the order of the bytes of elem, of which there may be 4,000.
func ElementKey(owner OID, elem string) Key { return oidKey(spaceElement, owner, elem) }

// RefKey is the key of the row which says that holder has a reference to target: in its
// element elem, of which there may be 4,000 bytes, or in its state if elem is empty.
func RefKey(target, holder OID, elem string) Key {
	b := make([]byte, 1+2*oidBytes+len(elem))
	b[0] = spaceRef
	putOID(b[1:], target)
	putOID(b[1+oidBytes:], holder)
	copy(b[1+2*oidBytes:], elem)
	return Key(viewString(b))
}

// KindKey is the key of the row that describes kind number n.
func KindKey(n uint32) Key { return kindKey(spaceKind, n) }

// CountKey is the key of the row that counts the objects of kind number n.
func CountKey(n uint32) Key { return kindKey(spaceCount, n) }

// ObjectRange holds the keys of all objects, in the order of their OIDs.
func ObjectRange() (lo, hi Key) { return spaceRange(spaceObject) }

// ElementRange holds the keys of all elements of one collection.
func ElementRange(owner OID) (lo, hi Key) { return oidRange(spaceElement, owner) }

// RefRange holds the keys of all references to target, in the order of their holders; for
// the zero OID, which names nothing, those of all references, in the order of their targets.
func RefRange(target OID) (lo, hi Key) {
	if target.IsZero() {
		return spaceRange(spaceRef)
	}
	return oidRange(spaceRef, target)
}

// KindRange holds the keys of all kinds, in the order of their numbers.
func KindRange() (lo, hi Key) { return spaceRange(spaceKind) }

// ParseKey is the inverse of the functions that make keys. It refuses what none of them
// makes.
func ParseKey(k Key) (KeyParts, error) {
	if len(k) == 0 || len(k) > maxKey {
		return KeyParts{}, fmt.Errorf("key of %d bytes", len(k))
	}
	p, rest := KeyParts{Space: k[0]}, []byte(k[1:])
	switch p.Space {
	case spaceObject, spaceElement:
		if len(rest) < oidBytes || p.Space == spaceObject && len(rest) != oidBytes {
			return KeyParts{}, errors.New("key of an object or element is cut off or too long")
		}
		p.OID, p.Elem = getOID(rest), string(rest[oidBytes:])
	case spaceRef:
		if len(rest) < 2*oidBytes {
			return KeyParts{}, errors.New("key of a reference is cut off")
		}
		p.Target, p.OID, p.Elem = getOID(rest), getOID(rest[oidBytes:]), string(rest[2*oidBytes:])
	case spaceKind, spaceCount:
		if len(rest) != 4 {
			return KeyParts{}, errors.New("key of a kind or count is not 5 bytes long")
		}
		p.Kind = binary.BigEndian.Uint32(rest)
	default:
		return KeyParts{}, fmt.Errorf("key in unknown space %q", p.Space)
	}
	return p, nil
}

// String writes the key for humans, as in "object 00000000000000aa/7".
func (k Key) String() string {
	p, err := ParseKey(k)
	switch {
	case k == endKey:
		return "the end row"
	case err != nil:
		return "key " + hex.EncodeToString([]byte(k))
	case p.Space == spaceObject:
		return "object " + p.OID.String()
	case p.Space == spaceElement:
		return fmt.Sprintf("element %v[%q]", p.OID, p.Elem)
	case p.Space == spaceRef && p.Elem == "":
		return fmt.Sprintf("reference to %v from %v", p.Target, p.OID)
	case p.Space == spaceRef:
		return fmt.Sprintf("reference to %v from %v[%q]", p.Target, p.OID, p.Elem)
	case p.Space == spaceKind:
		return fmt.Sprintf("kind %d", p.Kind)
	case p.Space == spaceCount:
		return fmt.Sprintf("count of kind %d", p.Kind)
	default:
		return "key " + hex.EncodeToString([]byte(k))
	}
}

// String writes the vat as 16 hexadecimal digits.
func (v VatID) String() string { return fmt.Sprintf("%016x", uint64(v)) }

// String writes the vat, a slash and the number in decimal.
func (o OID) String() string { return fmt.Sprintf("%v/%d", o.Vat, o.N) }

// IsZero reports whether o names nothing.
func (o OID) IsZero() bool { return o == OID{} }

func oidKey(space byte, o OID, elem string) Key {
	b := make([]byte, 1+oidBytes+len(elem))
	b[0] = space
	putOID(b[1:], o)
	copy(b[1+oidBytes:], elem)
	return Key(viewString(b))
}

func putOID(b []byte, o OID) {
	binary.BigEndian.PutUint64(b, uint64(o.Vat))
	binary.BigEndian.PutUint64(b[8:], o.N)
}

func getOID(b []byte) OID {
	return OID{VatID(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])}
}

// oidRange holds the keys of a space that begin with o.
func oidRange(space byte, o OID) (lo, hi Key) {
	lo = oidKey(space, o, "")
	if o.N++; o.N == 0 {
		if o.Vat++; o.Vat == 0 {
			return lo, Key(rune(space + 1))
		}
	}
	return lo, oidKey(space, o, "")
}

func kindKey(space byte, n uint32) Key {
	return Key(binary.BigEndian.AppendUint32([]byte{space}, n))
}

func spaceRange(space byte) (lo, hi Key) { return Key(rune(space)), Key(rune(space + 1)) }

// ownerVat is the vat whose slots a record of this key writes without naming it: that of
// the first OID in the key.
func ownerVat(k Key) VatID {
	if len(k) < 1+oidBytes || k[0] != spaceObject && k[0] != spaceElement && k[0] != spaceRef {
		return 0
	}
	return VatID(binary.BigEndian.Uint64(viewBytes(string(k[1:9]))))
}
