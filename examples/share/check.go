package share

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sturdyrt/sturdy/caps"
)

// Arguments come from whoever holds the capability: they are hostile until checked. The
// limits keep a state small enough to be copied by each turn that writes it.
const (
	maxTitle      = 200      // bytes
	maxParagraphs = 500      // of a document
	maxText       = 48 << 10 // bytes of all paragraphs
	maxName       = 64       // bytes of Remark.By
	maxRemark     = 4 << 10  // bytes of Remark.Text
	maxNotes      = 10_000   // of a document
	maxEditions   = 10_000   // of a document
	shown         = 100      // of the comments in a Page
)

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", caps.ErrBadArgument, fmt.Sprintf(format, args...))
}

// check reports why c cannot be made to d. c.To is a number.
func (c Change) check(d *document) error {
	switch {
	case c.Version != 0 && c.Version != d.Version:
		return fmt.Errorf("%w: the edit is to version %d, and there is version %d", ErrChanged, c.Version, d.Version)
	case c.From < 0 || c.To < c.From || c.To > len(d.Text):
		return bad("paragraphs %d to %d of %d", c.From, c.To, len(d.Text))
	case c.Title == "" && c.From == c.To && len(c.Text) == 0:
		return bad("an edit that changes nothing")
	case d.Version > maxEditions:
		return fmt.Errorf("%w: there were %d edits already", caps.ErrOverloaded, maxEditions)
	}
	if c.Title != "" {
		if err := checkTitle(c.Title); err != nil {
			return err
		}
	}
	if err := checkText(c.Text); err != nil {
		return err
	}
	return checkText(slices.Replace(slices.Clone(d.Text), c.From, c.To, c.Text...))
}

func (r Remark) check() error {
	if err := checkLine("the name", r.By, maxName); err != nil {
		return err
	}
	if r.Text == "" || len(r.Text) > maxRemark {
		return bad("a comment of %d bytes; it is 1 to %d long", len(r.Text), maxRemark)
	}
	return checkPlain("the comment", r.Text, false)
}

func checkTitle(title string) error { return checkLine("the title", title, maxTitle) }

func checkLine(what, s string, limit int) error {
	if strings.TrimSpace(s) == "" || len(s) > limit {
		return bad("%s is %d bytes long; it is 1 to %d and no blank", what, len(s), limit)
	}
	return checkPlain(what, s, true)
}

func checkText(text []string) error {
	if len(text) > maxParagraphs {
		return bad("%d paragraphs; the limit is %d", len(text), maxParagraphs)
	}
	size := 0
	for _, p := range text {
		if size += len(p); size > maxText {
			return bad("a text of more than %d bytes", maxText)
		}
		if err := checkPlain("a paragraph", p, false); err != nil {
			return err
		}
	}
	return nil
}

// checkPlain refuses what could make a terminal, a log or a page show something else than
// what was said: control characters, and those that reverse the direction of what follows.
func checkPlain(what, s string, oneLine bool) error {
	if !utf8.ValidString(s) {
		return bad("%s is no UTF-8", what)
	}
	for _, r := range s {
		if r == '\n' && !oneLine || r == '\t' {
			continue
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return bad("%s holds the character %U", what, r)
		}
	}
	return nil
}
