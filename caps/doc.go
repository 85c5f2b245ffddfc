// Package caps is the vocabulary of Sturdy: capabilities, what they can be asked, and how
// what is asked becomes bytes. It knows nothing of disks and wires.
//
// Two functions come first. [Method].Call calls an object through a [Ref]; the other
// descriptors, [Query], [Command] and [Action], do the same for methods without argument or
// result. [Ref].Attenuate makes a weaker Ref to hand on. Everything else is for those who
// implement objects ([Maker], [Target]) or who handle data without its Go type ([ValueOf]).
//
// # What can be stored and sent
//
// State, arguments and results are data and capabilities: bool, integers, floats, strings,
// []byte, [time.Time], [Ref], [Value]; arrays, slices, maps, pointers and structs of those.
// The rules, which [CodecFor] checks once per type and reports all at once:
//
//   - Every field is exported, or tagged `sturdy:"transient"`: neither stored nor copied.
//   - A field tagged `sturdy:"was=Old"` is also read under the name Old.
//   - A struct whose only field is an embedded Ref, or such a struct, is that Ref. Any other
//     embedded struct is a field with the name of its type.
//   - Functions, channels, interfaces, complex numbers and addresses are refused.
//   - Map keys are bool, integers, floats except NaN, or strings.
//   - A type may hold itself through a slice or a map, but not through a pointer. Pointers
//     are copied deep: what two of them share is there twice afterwards.
//   - Lists, maps and structs stand at most 64 deep in each other.
//
// # The encoding
//
// A message and a record are a body and slots: the body is one element of msgpack, the slots
// are the Refs in the order in which they stand in it. The body holds no authority. A Done or
// another struct without stored fields is an empty body when it stands alone; so an empty
// body also decodes to any struct, with every field zero, and to a nil pointer or Value.
//
//	Go                               msgpack
//	nil slice, map, pointer; null    nil                     c0
//	bool                             false, true             c2, c3
//	int, int8 ... int64              shortest integer        00-7f, e0-ff, cc-cf, d0-d3
//	uint, uint8 ... uint64           shortest integer        00-7f, cc-cf
//	float32                          float 32                ca
//	float64                          float 64                cb
//	string                           str                     a0-bf, d9-db
//	string that is not UTF-8         bin                     c4-c6
//	[]byte, [N]byte for N > 0        bin                     c4-c6
//	time.Time                        timestamp, ext type -1  d6, d7, c7 0c
//	Ref, typed facade                ext type 1, slot index  d4, d5, d6 (1, 2, 4 bytes)
//	[]T, [N]T                        array                   90-9f, dc, dd
//	map[K]V, keys ascending          map                     80-8f, de, df
//	struct, fields in declared order map by field name       80-8f, de, df
//	struct without stored fields     empty map               80
//	*T                               nil, or as T
//	Value                            as what it holds
//
// All numbers are big-endian. Equal values give equal bytes: integers, lengths, times and
// indexes take the shortest form, and -0 is not 0. A time keeps its instant, and loads as
// UTC. Decoding takes any form of an integer that is in range, floats from integers and
// from the other width if they are exact, strings from bin, and fields in any order; fields
// that are missing become zero. It refuses fields it does not know, fields and keys that are
// there twice, and everything that the table does not have. Value reads bin as []byte.
//
// # Authority
//
// A Ref is an object and an [Authority]: rights, whether it is deep, and the [Gate] of the
// grants it came through. Attenuating makes no record. A grant does, and is the host's to
// keep; this package has what follows from the records, without knowing where they are:
// gate.go whether a call may come through and what is left of what crosses a membrane,
// gates.go the gates of one host. Authorities are combined in one place, [Authority].Through:
// for results as they are, for arguments by way of [Authority].Inward.
//
// A [SturdyRef] is a grant as text. It can be made weaker by whoever has it, as each tag is
// the key for the next; the construction is that of macaroons (Birgisson et al., 2014).
//
// # Where it stands
//
// caps.go has all nouns; authority.go, ref.go, maker.go and error.go what they do; gate.go,
// gates.go and gate_text.go grants; sturdyref.go and sturdytext.go texts; method.go the calls, send.go
// and begin.go those that are not waited for. The codec: plan.go and compile.go (types), refuse.go (what is wrong with them),
// own.go (copies), seal.go (bounds), encode.go and forms.go (writing), scan.go (what is
// hostile), head.go, decode.go and structs.go (reading), fault.go (where it is wrong),
// shape.go (types as data), value.go and text.go (values without types).
package caps
