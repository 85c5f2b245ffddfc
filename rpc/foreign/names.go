package foreign

import (
	"fmt"
	"strconv"
	"strings"
)

// The names in a schema. Cap'n Proto wants letters and digits, with a capital first for types
// and a small letter for the rest, and what its compilers make of a name has to be no keyword
// and not what something else is called.

// names are those that are taken, each with the least number that may be free behind it.
type names map[string]int

// unique takes the first label that is free, or the last with a number.
func (n names) unique(labels ...string) string {
	for _, l := range labels {
		if n[l] == 0 {
			n[l] = 2
			return l
		}
	}
	last := labels[len(labels)-1]
	for {
		l := last + strconv.Itoa(n[last])
		if n[last]++; n[l] == 0 {
			n[l] = 2
			return l
		}
	}
}

func reserved(words ...string) names {
	n := names{}
	for _, w := range words {
		for w := range strings.FieldsSeq(w) {
			n[w] = 2
		}
	}
	return n
}

const (
	builtinTypes = `Void Bool Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float32 Float64 Text Data List
		AnyPointer AnyStruct AnyList Capability Sturdy Cxx`
	// What has a name of its own in the C++ or JavaScript that is made of an interface, or is
	// called so by everybody there.
	madeTypes   = `Client Server Pipeline Builder Reader Which Calls Reads Params Results`
	globalTypes = `Object Promise Map Set WeakMap WeakSet Error Array String Number Boolean Function Symbol BigInt Date
		Math Proxy Reflect Request Response Struct Interface Host Ref Grant Terms Description Time Value`
	madeFields  = `constructor prototype toString which asReader totalSize`
	madeMethods = `constructor prototype toString call describe attenuate grant save same thisCap dispatchCall client`
	keywords    = `alignas alignof and asm auto bitand bitor bool break case catch char class compl concept constexpr
		continue decltype default delete do double else explicit export extern finally float for friend function
		goto if inline instanceof int let long mutable namespace new noexcept not null nullptr operator or
		private protected public register requires return short signed sizeof static super switch template this
		throw try typedef typeid typename typeof unsigned var virtual volatile wait while xor yield`
)

func structNames() names { return reserved(builtinTypes, madeTypes) }

func interfaceNames() names { return reserved(builtinTypes, globalTypes) }

func methodNames() names { return reserved(madeMethods, keywords) }

func fieldNames() names { return reserved(madeFields) }

// fieldLabels are the labels of the fields of s, by number. Those that are gone get what the
// others leave.
func (s *scope) fieldLabels() []string {
	taken, labels := fieldNames(), make([]string, len(s.types))
	for n, name := range s.alive {
		if name == "" {
			continue
		}
		l := lower(camel(s.called(name)))
		labels[n] = taken.unique(l, l+"Field")
	}
	for n, name := range s.was {
		if s.alive[n] == "" {
			labels[n] = taken.unique("obsolete" + camel(s.called(name)))
		}
	}
	return labels
}

// called is the name of a field, and that of a whole argument or result.
func (s *scope) called(name string) string {
	switch {
	case name != bareField:
		return name
	case strings.HasSuffix(s.name, ")"):
		return "result"
	}
	return "value"
}

// structLabels are what a struct may be called that is called name in Ordinals: "bank.Line",
// or "transfer(.Lines[]" for one that has no name.
func structLabels(name string) []string {
	name = strings.NewReplacer("[]", "", "[key]", "Key", "(.-", ".Value", ").-", ".Result").Replace(name)
	short, _, _ := strings.Cut(name, "[") // Pair[int64]
	short = short[strings.LastIndexByte(short, '.')+1:]
	return []string{camel(short), camel(name)}
}

// lastPart is what stands behind the last slash.
func lastPart(kind string) string { return kind[strings.LastIndexByte(kind, '/')+1:] }

// camel writes a name of ours as Cap'n Proto writes types: OwnerID is OwnerId, and what is
// neither an ASCII letter nor a digit begins a word, as its number if it is a letter.
func camel(name string) string {
	const longest = 100 // letters, of a name that nobody would type
	var b strings.Builder
	var last rune // 'A', 'a', '0', or 0 where a word begins
	runes := []rune(name)
	for i, r := range runes[:min(len(runes), longest)] {
		next := 'A'
		if i+1 < len(runes) {
			next = sort(runes[i+1])
		}
		switch now := sort(r); {
		case now == 'A' && last == 'A' && next != 'a':
			b.WriteRune(r + 'a' - 'A')
			last = 'A'
		case now == 'a' && last == 0:
			b.WriteRune(r - 'a' + 'A')
			last = 'a'
		case now == '?':
			fmt.Fprintf(&b, "U%x", r)
			last = 0
		case now == 0:
			last = 0
		default:
			b.WriteRune(r)
			last = now
		}
	}
	s := b.String()
	if s == "" || s[0] < 'A' {
		s = "N" + s // numbers, as in "2fa"
	}
	return s
}

// sort is 'A', 'a' or '0' for ASCII, '?' for letters beyond, and 0 for everything else.
func sort(r rune) rune {
	switch {
	case r >= 'A' && r <= 'Z':
		return 'A'
	case r >= 'a' && r <= 'z':
		return 'a'
	case r >= '0' && r <= '9':
		return '0'
	case r >= 0x80:
		return '?'
	}
	return 0
}

// lower is a label of a type as one of a field.
func lower(label string) string { return strings.ToLower(label[:1]) + label[1:] }
