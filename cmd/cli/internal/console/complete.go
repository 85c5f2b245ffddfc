package console

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Candidate is one way to go on.
type Candidate struct {
	Text  string // the whole word with which the last one of the line is replaced
	Shown string // what of it is listed
	Note  string // what it is
}

// completeWithin bounds how long a tab may take.
const completeWithin = 500 * time.Millisecond

// maxCandidates is how many are offered.
const maxCandidates = 200

// Complete returns the word that line ends with, and what can stand there instead: names,
// entries of directories, methods, and arguments. It reads the world and calls no method of
// anybody's kind.
func (s *Session) Complete(ctx context.Context, line string) (typed string, list []Candidate) {
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	s.ctx = ctx
	defer func() { s.ctx = context.Background() }()
	w := wordAt(line)
	if w.open {
		return "", nil
	}
	if w.path != nil {
		list = s.attrs(w)
	} else if list = s.arguments(w); len(list) == 0 {
		list = s.names(w)
	}
	return w.text, list[:min(len(list), maxCandidates)]
}

// names are the global names that begin with the word.
func (s *Session) names(w word) (list []Candidate) {
	for _, name := range slices.Sorted(slices.Values(append(s.globals.Keys(), starlark.Universe.Keys()...))) {
		if w.last != "" && strings.HasPrefix(name, w.last) && name != "_" && s.offered(name) {
			list = append(list, Candidate{name, name, s.note(name)})
		}
	}
	return list
}

// offered reports whether a name is of use here.
func (s *Session) offered(name string) bool {
	_, isVerb := s.globals[name].(*starlark.Builtin)
	return !isVerb || s.isHere(name)
}

func (s *Session) note(name string) string {
	for _, v := range s.verbs {
		if v.name == name {
			return v.help
		}
	}
	if v, ok := s.globals[name].(*refValue); ok {
		return v.String()
	}
	return ""
}

// arguments are the named arguments of the method or function that is being called.
func (s *Session) arguments(w word) (list []Candidate) {
	var m *methodValue
	switch callee := s.follow(w.callee).(type) {
	case *methodValue:
		m = callee
	case *starlark.Builtin:
		return s.verbArguments(callee.Name(), w)
	default:
		return nil
	}
	for _, p := range look.Params(m.info.Arg) {
		if strings.HasPrefix(p.Name, w.last) {
			list = append(list, Candidate{p.Name + "=", p.Name + "=", text.Line(p.Shape.String())})
		}
	}
	return list
}

// verbArguments are the named arguments of a function that stand in its help as "[, to=]".
func (s *Session) verbArguments(name string, w word) (list []Candidate) {
	for _, v := range s.verbs {
		for _, arg := range strings.FieldsFunc(v.args, func(r rune) bool { return strings.ContainsRune("[], ", r) }) {
			if v.name == name && strings.HasSuffix(arg, "=") && strings.HasPrefix(arg, w.last) {
				list = append(list, Candidate{arg, arg, v.name})
			}
		}
	}
	return list
}

// attrs is what stands behind the dot.
func (s *Session) attrs(w word) (list []Candidate) {
	before := w.text[:len(w.text)-len(w.last)]
	x, ok := s.follow(w.path).(starlark.HasAttrs)
	if !ok {
		return nil
	}
	r, isRef := x.(*refValue)
	if to, ok := x.(*sendValue); ok {
		return append(s.received(to.r, w, before), s.methodsFrom(to.r, w, before)...)
	}
	if !isRef {
		for _, name := range x.AttrNames() {
			if strings.HasPrefix(name, w.last) {
				list = append(list, Candidate{before + name, name, ""})
			}
		}
		return list
	}
	info, err := s.describe(r.ref)
	if err != nil {
		return nil
	}
	if info.Kind.Name == look.Directory {
		return s.entryNames(r, w, before)
	}
	list = s.methodsFrom(r, w, before)
	if strings.HasPrefix(attenuate, w.last) {
		list = append(list, Candidate{before + attenuate + "(", attenuate + `("r")`, "a weaker reference"})
	}
	if strings.HasPrefix(sends, w.last) {
		list = append(list, Candidate{before + sends + ".", sends + ".…", "a method, delivered later"})
	}
	return list
}

// methodsFrom are the methods of an object that begin with the word.
func (s *Session) methodsFrom(r *refValue, w word, before string) (list []Candidate) {
	info, err := s.describe(r.ref)
	if err != nil {
		return nil
	}
	for _, m := range info.Kind.Methods {
		if strings.HasPrefix(m.Name, w.last) {
			list = append(list, Candidate{before + m.Name + "(", look.Signature(m), "needs " + m.Needs.String()})
		}
	}
	return list
}

// received is the message that a thread waits for.
func (s *Session) received(r *refValue, w word, before string) (list []Candidate) {
	info, err := s.describe(r.ref)
	if err != nil || info.Kind.Name != look.Thread {
		return nil
	}
	th, err := sturdy.ThreadRef{Ref: r.ref}.Info(s.ctx)
	name, waits := strings.CutPrefix(th.Waits, "message ")
	if err != nil || !waits || !strings.HasPrefix(name, w.last) || !isIdentifier(name) {
		return nil
	}
	return []Candidate{{before + name + "(", name + "(…)", "the thread waits for it"}}
}

// entryNames are the names of a directory that begin with the word. Those that are no
// identifiers are left to the brackets.
func (s *Session) entryNames(r *refValue, w word, before string) (list []Candidate) {
	for _, name := range r.names(w.last, maxCandidates) {
		if !strings.HasPrefix(name, w.last) {
			break
		}
		if !isIdentifier(name) {
			continue
		}
		note := ""
		if v, err := r.entry(name); err == nil {
			note = s.cell(v, maxCell)
		}
		list = append(list, Candidate{before + name, name, note})
	}
	return list
}

// follow is the value of a path of names, or nil. It goes through entries and fields only.
func (s *Session) follow(path []string) (v starlark.Value) {
	for i, name := range path {
		if i == 0 {
			if v = s.globals[name]; v == nil {
				return nil
			}
			continue
		}
		x, ok := v.(starlark.HasAttrs)
		if !ok {
			return nil
		}
		next, err := x.Attr(name)
		if err != nil || next == nil {
			return nil
		}
		v = next
	}
	return v
}
