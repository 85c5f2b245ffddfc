package foreign

import (
	_ "embed"
	"strings"
)

// baseSchema is sturdy.capnp: what every object has, whatever its kind.
//
//go:embed sturdy.capnp
var baseSchema string

// The numbers of the interfaces in it.
const (
	hostID  = 0xd0c5d9d8f0a1b7e1
	refID   = 0xa9b0c4e5d6f70213
	grantID = 0xbcd6ad8e7c4e1f95
)

// Base is the schema that the printed ones import as "sturdy.capnp"; with a C++ namespace, if
// there is one.
func Base(namespace string) string {
	if namespace == "" {
		return baseSchema
	}
	head, rest, _ := strings.Cut(baseSchema, ";\n")
	return head + ";\n\n" + annotation(namespace) + rest
}

// baseTypes are the interfaces in sturdy.capnp. Their names are those that they have there; a
// test asks the compiler whether they are the same.
func baseTypes() (host, ref, grant *iface) {
	text, boolean, value, capability := typ{op: opText}, typ{op: opBool}, typ{op: opValue}, typ{op: opRef}
	terms := typ{op: opStruct, of: structOf("Terms",
		named("purpose", text), named("until", typ{op: opTime, null: true}), named("only", typ{op: opList, elem: &text}), named("deep", boolean))}
	method := typ{op: opStruct, of: structOf("Method",
		named("name", text), named("needs", text), named("argument", text), named("result", text), named("allowed", boolean))}
	description := typ{op: opStruct, of: structOf("Description",
		named("id", text), named("kind", text), named("version", typ{op: opUint32}), named("rights", text), named("methods", typ{op: opList, elem: &method}))}
	host = interfaceWith(hostID, "Host",
		function("restore", structOf("", named("sturdyRef", text)), structOf("", named("ref", capability))),
		function("root", structOf(""), structOf("", named("ref", capability))))
	ref = interfaceWith(refID, "Ref",
		function("call", structOf("", named("method", text), named("argument", value)), structOf("", named("result", value), named("ref", capability))),
		function("describe", structOf(""), structOf("", named("description", description))),
		function("attenuate", structOf("", named("rights", text)), structOf("", named("ref", capability))),
		function("grant", structOf("", named("terms", terms)), structOf("", named("ref", capability), named("grant", capability))),
		function("save", structOf("", named("terms", terms)), structOf("", named("sturdyRef", text), named("grant", capability))),
		function("same", structOf("", named("other", capability)), structOf("", named("same", boolean))))
	grant = interfaceWith(grantID, "Grant", function("revoke", structOf(""), structOf("")))
	return host, ref, grant
}

func named(name string, t typ) *field { return &field{name: name, label: name, typ: t} }

func structOf(label string, fields ...*field) *record {
	r := &record{label: label, fields: fields}
	for i, f := range fields {
		f.ordinal = uint16(i)
	}
	r.size, _ = layout(fields) // a few fields fit
	return r
}

func function(name string, params, results *record) *method {
	return &method{name: name, label: name, params: params, results: results}
}

func interfaceWith(id uint64, label string, methods ...*method) *iface {
	for i, m := range methods {
		m.ordinal = uint16(i)
	}
	return &iface{id: id, label: label, kind: label, methods: methods}
}
