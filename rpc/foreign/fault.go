package foreign

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/sturdyrt/sturdy/caps"
)

// fault is an error with the place in a value where it is, which grows on the way out.
type fault struct {
	path string // "lines[3].amount"
	err  error
}

func faultf(format string, args ...any) *fault {
	return &fault{err: fmt.Errorf(format, args...)}
}

// field is f in the field name, which is empty for the only field of a bare record.
func (f *fault) field(name string) *fault {
	if name != "" && f.path != "" && f.path[0] != '[' {
		name += "."
	}
	f.path = name + f.path
	return f
}

// index is f in an element of a list.
func (f *fault) index(i int) *fault {
	dot := ""
	if f.path != "" && f.path[0] != '[' {
		dot = "."
	}
	f.path = "[" + strconv.Itoa(i) + "]" + dot + f.path
	return f
}

// outcome is f as what a caller gets. What an error says itself, because it has a code, is not
// hidden behind one that says less: that something is overloaded is not a bad argument.
func (f *fault) outcome() error {
	if f == nil {
		return nil
	}
	if own := (*caps.Error)(nil); errors.As(f.err, &own) && own.Code != caps.ErrBadArgument {
		return f.err
	}
	text := f.err.Error()
	if f.path != "" {
		text = "field " + f.path + ": " + text
	}
	return &caps.Error{Code: caps.ErrBadArgument, Text: text}
}

// String is what o is called in a schema, as far as there is one name.
func (o op) String() string {
	names := [...]string{
		opVoid: "Void", opBool: "Bool", opInt8: "Int8", opInt16: "Int16", opInt32: "Int32", opInt64: "Int64",
		opUint8: "UInt8", opUint16: "UInt16", opUint32: "UInt32", opUint64: "UInt64",
		opFloat32: "Float32", opFloat64: "Float64", opText: "Text", opData: "Data", opList: "a List",
		opStruct: "a struct", opOptional: "an optional", opMap: "a map", opTime: "a Time", opValue: "a Value",
		opRef: "a capability", opEnum: "an enum", opGroup: "a group",
	}
	if int(o) < len(names) {
		return names[o]
	}
	return "type " + strconv.Itoa(int(o))
}
