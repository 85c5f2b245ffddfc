package caps

import (
	"fmt"
	"strconv"
	"strings"
)

// fault is what is wrong with an encoding. Its path grows from the inside out, while the
// passes return, so that what is right pays nothing for it.
type fault struct{ path, text string }

func faultf(format string, args ...any) *fault { return &fault{text: fmt.Sprintf(format, args...)} }

// in adds the field in which f stands.
func (f *fault) in(field string) *fault {
	f.path = join(field, f.path)
	return f
}

// index adds the index at which f stands.
func (f *fault) index(i int) *fault { return f.in("[" + strconv.Itoa(i) + "]") }

// key adds the map key at which f stands.
func (f *fault) key(v Value) *fault { return f.in("[" + v.String() + "]") }

// join is the path of what stands at inner, in outer.
func join(outer, inner string) string {
	if outer == "" || inner == "" || inner[0] == '[' {
		return outer + inner
	}
	return outer + "." + inner
}

// err is f as the codec's callers get it; the path is bounded, as who sent the encoding
// decides how long it is.
func (f *fault) err() error {
	switch {
	case f == nil:
		return nil
	case f.path == "":
		return badArgument("%s", f.text)
	default:
		return badArgument("%s: %s", shortened(f.path, 200), f.text)
	}
}

// shortened is s, or its beginning and "…" if it has more than limit bytes.
func shortened(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// near returns the name among names that name is most likely meant to be, or "".
func near(name string, names []string) string {
	best, least := "", 3
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return n
		}
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least && d < len(n) {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove, replace or swap with the next to
// make b of a; some large number for long names, on which nobody wants to spend time.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, prev, row = prev, row, before
		row[0] = i + 1
		for j := range len(b) {
			if a[i] == b[j] {
				row[j+1] = prev[j]
			} else {
				row[j+1] = 1 + min(prev[j], prev[j+1], row[j])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], 1+before[j-1])
			}
		}
	}
	return row[len(b)]
}
