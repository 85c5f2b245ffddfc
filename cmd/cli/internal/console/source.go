package console

import (
	"errors"
	"strings"

	"go.starlark.net/syntax"
)

// options is the dialect: what a prompt needs, loops and reassignment at the top, and what
// an operator misses otherwise. Recursion stays off: nothing bounds its depth, and a Go stack
// that overflows ends the process.
func options() *syntax.FileOptions {
	return &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true}
}

// errMore ends the parsing of an input that goes on.
var errMore = errors.New("more input is needed")

// Incomplete reports whether src, typed so far, waits for another line: a bracket or a
// string is open, or a block has not been closed by an empty line.
func Incomplete(src string) bool {
	if strings.HasSuffix(src, "\\") {
		return true
	}
	lines := strings.SplitAfter(src+"\n", "\n")
	asked := false
	next := func() ([]byte, error) {
		if lines[0] == "" {
			asked = true
			return nil, errMore
		}
		line := lines[0]
		lines = lines[1:]
		return []byte(line), nil
	}
	_, err := options().ParseCompoundStmt("input", next)
	return asked && err != nil
}
