package text

import (
	"strings"
)

// Near returns the first of names that could be meant by typed: the same in other letters,
// or one slip of the pen away (a letter more, less, other, or two swapped); "" if none is.
func Near(typed string, names []string) string {
	for _, n := range names {
		if strings.EqualFold(n, typed) {
			return n
		}
	}
	for _, n := range names {
		if len(n) > 2 && slip(n, typed) {
			return n
		}
	}
	return ""
}

// slip reports whether a and b differ in one place.
func slip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 0:
		swapped := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		return i == len(a) || a[i+1:] == b[i+1:] || swapped
	case 1:
		return a[i:] == b[i+1:]
	}
	return false
}
