package console

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// word is the end of a line that is being typed: what there is to complete.
type word struct {
	text   string   // as it is typed: root["x"].acc
	path   []string // root, x: what stands before the last dot; nil: there is no dot
	last   string   // acc
	callee []string // the path before the bracket that is open last, if it is a call
	open   bool     // it ends inside a string or a comment
}

// wordAt finds the last word of line. It knows as much of the language as that takes:
// strings, comments, brackets, names, dots, and entries in brackets with a plain string.
func wordAt(line string) (w word) {
	var calls [][]string // for each open bracket the path before it
	var path []string    // the path that ends here; nil: none does
	start, dot, last := 0, false, ""
	reset := func(i int) { path, dot, last, start = nil, false, "", i }
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRuneInString(line[i:])
		switch {
		case r == '#':
			end := strings.IndexByte(line[i:], '\n')
			if end < 0 {
				return word{open: true}
			}
			i += end
			size = 0
			reset(i)
		case r == '"' || r == '\'':
			_, end, ok := stringAt(line[i:])
			if !ok {
				return word{open: true}
			}
			i, size = i+end, 0
			reset(i)
		case isNameRune(r):
			name := nameAt(line[i:])
			if path == nil || !dot {
				reset(i)
			}
			path, dot, last, size = append(path, name), false, name, len(name)
		case r == '.' && path != nil && !dot:
			dot, last = true, ""
		case r == '[' && path != nil && !dot:
			if name, end, ok := entryAt(line[i:]); ok {
				path, last, size = append(path, name), "", end
				break
			}
			calls = append(calls, nil)
			reset(i + size)
		case r == '(' || r == '[' || r == '{':
			var callee []string
			if r == '(' && !dot {
				callee = path
			}
			calls = append(calls, callee)
			reset(i + size)
		case r == ')' || r == ']' || r == '}':
			if len(calls) > 0 {
				calls = calls[:len(calls)-1]
			}
			reset(i + size)
		default:
			reset(i + size)
		}
		i += size
	}
	w.text, w.last = line[start:], last
	if len(calls) > 0 {
		w.callee = calls[len(calls)-1]
	}
	switch {
	case dot:
		w.path = path
	case len(path) > 1 && last != "":
		w.path = path[:len(path)-1]
	}
	return w
}

func isNameRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func nameAt(s string) string {
	if end := strings.IndexFunc(s, func(r rune) bool { return !isNameRune(r) }); end >= 0 {
		return s[:end]
	}
	return s
}

func isIdentifier(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	return s != "" && !unicode.IsDigit(first) && nameAt(s) == s
}

// stringAt reads the string literal that s begins with. ok is false if it does not end.
// Escapes are skipped and not interpreted.
func stringAt(s string) (content string, size int, ok bool) {
	quote := s[:1]
	if strings.HasPrefix(s, strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	for i := len(quote); i < len(s); i++ {
		if s[i] == '\\' {
			i++
			continue
		}
		if strings.HasPrefix(s[i:], quote) {
			return s[len(quote):i], i + len(quote), true
		}
	}
	return "", 0, false
}

// entryAt reads an entry in brackets, ["name"], with a string that holds no escapes.
func entryAt(s string) (name string, size int, ok bool) {
	if len(s) < 2 || s[1] != '"' && s[1] != '\'' {
		return "", 0, false
	}
	name, size, ok = stringAt(s[1:])
	end := 1 + size
	if !ok || end >= len(s) || s[end] != ']' || strings.ContainsRune(name, '\\') {
		return "", 0, false
	}
	return name, end + 1, true
}
