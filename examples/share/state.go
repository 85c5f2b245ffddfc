package share

import (
	"fmt"
	"slices"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// document is the state. What grows stands in lists: their elements are records of their
// own, so a long discussion does not make an edit slow.
type document struct {
	Title   string
	Text    []string // Invariant: checkText lets it pass
	Version int64    // Invariant: 1 more than History is long
	Notes   sturdy.List[Note]
	History sturdy.List[Edition]
}

func (d *document) read(t *sturdy.ReadTurn) (Page, error) {
	return Page{d.Title, d.Text, d.Version, newest(t, d.Notes, shown)}, nil
}

func (d *document) edit(t *sturdy.WriteTurn, c Change) (int64, error) {
	if c.To == End {
		c.To = len(d.Text)
	}
	if err := c.check(d); err != nil {
		return 0, err
	}
	now := Edition{At: t.Now(), Title: c.Title, WasTitle: d.Title, From: c.From, Was: slices.Clone(d.Text[c.From:c.To]), Now: c.Text}
	if c.Title == "" {
		now.Title = d.Title
	}
	d.Title = now.Title
	d.Text = slices.Replace(slices.Clone(d.Text), c.From, c.To, c.Text...)
	d.Version++
	now.Version = d.Version
	d.History.Append(t, now)
	return d.Version, nil
}

func (d *document) comment(t *sturdy.WriteTurn, r Remark) error {
	if err := r.check(); err != nil {
		return err
	}
	if d.Notes.Len(t) >= maxNotes {
		return fmt.Errorf("%w: there are %d comments already", caps.ErrOverloaded, maxNotes)
	}
	d.Notes.Append(t, Note{t.Now(), r.By, r.Text})
	return nil
}

// The lists leave the document for reading only. Handing them out as they are would let
// everybody who may see comments rewrite those of others: a state's Refs are the
// document's, with every right.

func (d *document) comments(*sturdy.ReadTurn) (sturdy.List[Note], error) {
	return sturdy.List[Note]{Ref: d.Notes.Attenuate(caps.Read)}, nil
}

func (d *document) history(*sturdy.ReadTurn) (sturdy.List[Edition], error) {
	return sturdy.List[Edition]{Ref: d.History.Attenuate(caps.Read)}, nil
}

// Kind is the kind of documents.
var Kind = sturdy.Define("share.example/document",
	sturdy.Query(Read, (*document).read),
	sturdy.Method(Edit, (*document).edit),
	sturdy.Command(Comment, (*document).comment),
	sturdy.Query(Comments, (*document).comments),
	sturdy.Query(History, (*document).history),
)

// New makes a document. Title and text are as for Edit; what that refuses fails here, too.
func New(t *sturdy.WriteTurn, title string, text ...string) (Document, error) {
	d := document{Title: title, Text: text, Version: 1}
	if err := checkTitle(title); err != nil {
		return Document{}, err
	}
	if err := checkText(text); err != nil {
		return Document{}, err
	}
	d.Notes, d.History = sturdy.NewList[Note](t), sturdy.NewList[Edition](t)
	return Document{Kind.New(t, d)}, nil
}
