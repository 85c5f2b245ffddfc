package cli

import "strings"

// secretive reports whether an input may hold a sturdy ref, which is a secret, or the part of
// one that is: 32 characters of base32. A host's name looks like that, too; an input with one
// is forgotten for nothing.
func secretive(input string) bool {
	const scheme = "sturdy:"
	run := 0
	for i := range len(input) {
		if len(input)-i >= len(scheme) && strings.EqualFold(input[i:i+len(scheme)], scheme) {
			return true
		}
		c := input[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '2' <= c && c <= '7' {
			if run++; run == 32 {
				return true
			}
			continue
		}
		run = 0
	}
	return false
}
