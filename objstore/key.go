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
	Space byte   // 'c', 'e', 'k', 'm' or 'o'; doc.go lists them
	OID   OID    // of an object, or of the owner of an element; else zero
	Elem  string // the element within its owner
	Kind  uint32 // the number of a kind
}

// ObjectKey is the key of an object's state.
func ObjectKey(o OID) Key { return oidKey(spaceObject, o, "") }

// ElementKey is the key of an element of the collection owner. Elements of one owner are in
// the order of the bytes of elem, of which there may be 4,000.
func ElementKey(owner OID, elem string) Key { return oidKey(spaceElement, owner, elem) }

// KindKey is the key of the row that describes kind number n.
func KindKey(n uint32) Key { return kindKey(spaceKind, n) }

// CountKey is the key of the row that counts the objects of kind number n.
func CountKey(n uint32) Key { return kindKey(spaceCount, n) }

// ObjectRange holds the keys of all objects, in the order of their OIDs.
func ObjectRange() (lo, hi Key) { return spaceRange(spaceObject) }

// ElementRange holds the keys of all elements of one collection.
func ElementRange(owner OID) (lo, hi Key) {
	lo = ElementKey(owner, "")
	if owner.N++; owner.N == 0 {
		if owner.Vat++; owner.Vat == 0 {
			return lo, Key(rune(spaceElement + 1))
		}
	}
	return lo, ElementKey(owner, "")
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
		p.OID.Vat = VatID(binary.BigEndian.Uint64(rest))
		p.OID.N = binary.BigEndian.Uint64(rest[8:])
		p.Elem = string(rest[oidBytes:])
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
	binary.BigEndian.PutUint64(b[1:], uint64(o.Vat))
	binary.BigEndian.PutUint64(b[9:], o.N)
	copy(b[1+oidBytes:], elem)
	return Key(viewString(b))
}

func kindKey(space byte, n uint32) Key {
	return Key(binary.BigEndian.AppendUint32([]byte{space}, n))
}

func spaceRange(space byte) (lo, hi Key) { return Key(rune(space)), Key(rune(space + 1)) }

// ownerVat is the vat whose slots a record of this key writes without naming it.
func ownerVat(k Key) VatID {
	if len(k) < 1+oidBytes || k[0] != spaceObject && k[0] != spaceElement {
		return 0
	}
	return VatID(binary.BigEndian.Uint64(viewBytes(string(k[1:9]))))
}
