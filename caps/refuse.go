package caps

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// refuse notes why a type can be neither stored nor sent, and what to do instead.
func (c *compiler) refuse(t reflect.Type, path string) {
	switch t.Kind() {
	case reflect.Interface:
		if t.NumMethod() == 0 {
			c.fault(path, t, "an interface; state is data and capabilities. Use caps.Value for data whose type is open, or a caps.Ref for an object.")
			return
		}
		c.fault(path, t, "an interface; state is data and capabilities. Make it an object of its own and hold a caps.Ref.")
	case reflect.Func:
		c.fault(path, t, "a function; code is neither stored nor sent. Make it a method of an object and hold a caps.Ref.")
	case reflect.Chan:
		c.fault(path, t, "a channel; it ends with the process. Make its receiver an object and hold a caps.Ref.")
	case reflect.Complex64, reflect.Complex128:
		c.fault(path, t, "a complex number, which the encoding does not have. Use a struct of two floats.")
	default: // uintptr, unsafe.Pointer
		c.fault(path, t, "an address, which means nothing outside this process. Use uint64 if it is a number.")
	}
}

// opaque notes a struct that cannot be looked into: a lock, or another package's type with
// unexported fields. Of types of the program's own package each field is named instead.
func (c *compiler) opaque(t reflect.Type, path string) bool {
	if c.home == "" {
		c.home = t.PkgPath()
	}
	switch {
	case t.PkgPath() == "sync":
		c.fault(path, t, "which is no data; turns need no locks, as one at a time writes. Leave it out.")
	case t.PkgPath() == "sync/atomic":
		c.fault(path, t, "which is no data; turns need no atomics, as one at a time writes. Use the plain type.")
	case t.Name() != "" && t.PkgPath() != c.home && hidden(t):
		c.fault(path, t, "whose fields are unexported and would be lost. Hold it as a string, a []byte or a struct of your own.")
	default:
		return false
	}
	return true
}

// hidden reports whether t has unexported fields that are not tagged transient.
func hidden(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && f.Name != "_" && f.Tag.Get("sturdy") != "transient" {
			return true
		}
	}
	return false
}

// exported is name as an exported Go name.
func exported(name string) string {
	r, n := utf8.DecodeRuneInString(name)
	if up := unicode.ToUpper(r); up != r {
		return string(up) + name[n:]
	}
	return "X" + name
}

// structName is the short name that a struct is called by: "counter".
func structName(t reflect.Type) string {
	if t.Name() == "" {
		return "the struct"
	}
	return shorten(t.Name())
}

// goName is how Go code names t: "order.Payments".
func goName(t reflect.Type) string { return shorten(t.String()) }

// shorten takes the directories out of import paths, as they stand in the names of generic
// types: "caps.List[example.org/bank.Cents]" is "caps.List[bank.Cents]".
func shorten(name string) string {
	var b strings.Builder
	word := 0 // where the current word began in b
	for _, r := range name {
		switch {
		case r == '/':
			s := b.String()[:word]
			b.Reset()
			b.WriteString(s)
			continue
		case strings.ContainsRune("[], *{};() ", r):
			b.WriteRune(r)
			word = b.Len()
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
