package gitgraph

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// question is one command in its turn, and what it has printed.
type question struct {
	Parts
	t   *sturdy.ReadTurn
	out bytes.Buffer
}

func (q *question) log(rev string, n int) error {
	if rev == "" {
		rev = "HEAD"
	}
	from, err := q.Commit(q.t, rev)
	if err != nil {
		return err
	}
	for c, err := range Reachable(q.t, []Commit{from}, nil) {
		if err != nil {
			return err
		}
		if err := q.line(c); err != nil {
			return err
		}
		if n--; n == 0 {
			break
		}
	}
	return nil
}

func (q *question) diff(a, b string) error {
	from, err := q.Commit(q.t, a)
	if err != nil {
		return err
	}
	without, err := q.Commit(q.t, b)
	if err != nil {
		return err
	}
	for c, err := range Reachable(q.t, []Commit{from}, []Commit{without}) {
		if err != nil {
			return err
		}
		if err := q.line(c); err != nil {
			return err
		}
	}
	return nil
}

// line prints a commit.
func (q *question) line(c Commit) error {
	hash, err := c.Hash(q.t)
	if err != nil {
		return err
	}
	when, err := c.When(q.t)
	if err != nil {
		return err
	}
	by, err := c.Author(q.t)
	if err != nil {
		return err
	}
	ident, err := by.Ident(q.t)
	if err != nil {
		return err
	}
	message, err := c.Message(q.t)
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(ident, " <")
	subject, _, _ := strings.Cut(message, "\n")
	fmt.Fprintf(&q.out, "%s  %s  %s: %s\n", hash[:12], when.Format("2006-01-02"), printable(name), printable(subject))
	return nil
}

func (q *question) who(path string) error {
	f, err := q.File(q.t, path)
	if err != nil {
		return err
	}
	shares, err := f.Authors(q.t)
	if err != nil {
		return err
	}
	for _, s := range shares {
		fmt.Fprintf(&q.out, "%6d  %7s %7s  %s\n", s.Commits, fmt.Sprintf("+%d", s.Added), fmt.Sprintf("-%d", s.Removed), printable(s.Ident))
	}
	return nil
}

func (q *question) stats() error {
	refs, err := q.Refs.Len(q.t)
	if err != nil {
		return err
	}
	fmt.Fprintf(&q.out, "commits %d\nauthors %d\nfiles   %d\nrefs    %d\n", q.Log.Len(q.t), q.Authors.Len(q.t), q.Files.Len(q.t), refs)
	return nil
}

// printable is s as it can stand on a line of a terminal: what could move the cursor, or is
// no text, is quoted.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}
