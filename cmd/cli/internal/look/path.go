package look

import (
	"errors"
	"strings"
)

// ParsePath splits a path into the names of directory entries: "accounts/alice". A backslash
// takes the character behind it as it is, for names that hold a slash. Slashes at the ends
// and doubled ones mean nothing. The empty path is the root itself.
func ParsePath(path string) (names []string, err error) {
	var name strings.Builder
	add := func() {
		if name.Len() > 0 {
			names = append(names, name.String())
			name.Reset()
		}
	}
	for i := 0; i < len(path); i++ {
		switch c := path[i]; c {
		case '/':
			add()
		case '\\':
			if i++; i == len(path) {
				return nil, errors.New(`the path ends with a backslash; a backslash that is part of a name is written \\`)
			}
			name.WriteByte(path[i])
		default:
			name.WriteByte(c)
		}
	}
	add()
	return names, nil
}

// JoinPath is the path that ParsePath splits into names, none of which may be empty.
func JoinPath(names ...string) string {
	escaped := make([]string, len(names))
	for i, n := range names {
		escaped[i] = strings.NewReplacer(`\`, `\\`, `/`, `\/`).Replace(n)
	}
	return strings.Join(escaped, "/")
}
