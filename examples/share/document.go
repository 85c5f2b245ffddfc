package share

import (
	"context"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// ErrChanged is returned by edit when somebody else was faster: read the document again.
const ErrChanged caps.Code = "share.example/changed"

// What a holder of a document may ask.
const (
	Read     caps.Query[Page]                 = "read"
	Edit     caps.Method[Change, int64]       = "edit" // returns the new version
	Comment  caps.Command[Remark]             = "comment"
	Comments caps.Query[sturdy.List[Note]]    = "comments" // all there are, and those to come
	History  caps.Query[sturdy.List[Edition]] = "history"  // likewise
)

// Page is what a document says at one moment.
type Page struct {
	Title   string
	Text    []string // paragraphs
	Version int64    // begins at 1; each edit adds 1
	Notes   []Note   // the newest 100 comments, oldest first
}

// Change is the argument of Edit: the paragraphs from From up to and without To make place
// for Text.
type Change struct {
	Version  int64  // the edit was made to this version; 0: to whatever is there
	Title    string // empty: as it was
	From, To int    // To may be End
	Text     []string
}

// End as Change.To is the end of the text, however long it is.
const End = -1

// Remark is the argument of Comment.
type Remark struct{ By, Text string }

// Note is a comment. By is what its author said of himself, which anybody can say; what can
// be relied on is through which grants there were how many calls.
type Note struct {
	At       time.Time
	By, Text string
}

// Edition is one edit, with what it replaced.
type Edition struct {
	At       time.Time
	Version  int64 // that the edit made
	Title    string
	WasTitle string
	From     int
	Was, Now []string
}

// Document is a capability to a document: the same calls, as methods.
type Document struct{ caps.Ref }

// Read returns what the document says.
func (d Document) Read(ctx context.Context) (Page, error) { return Read.Call(ctx, d.Ref) }

// Edit changes title and text, and returns the version that this makes. ErrChanged if c is
// for another version than there is, caps.ErrBadArgument if it makes no sense or too long a
// document, see check.go.
func (d Document) Edit(ctx context.Context, c Change) (int64, error) { return Edit.Call(ctx, d.Ref, c) }

// Comment adds a comment. caps.ErrBadArgument if it is empty or too long, see check.go;
// caps.ErrOverloaded if there are too many.
func (d Document) Comment(ctx context.Context, r Remark) error { return Comment.Call(ctx, d.Ref, r) }

// Comments returns the list of comments, for reading. The list is an object of its own:
// who has got it reads on without asking the document, and if he is to lose it together
// with the document, then the grant he got it through has to be a membrane, as an Auditor's
// is.
func (d Document) Comments(ctx context.Context) (sturdy.List[Note], error) {
	return Comments.Call(ctx, d.Ref)
}

// History returns the list of edits, for reading; see Comments.
func (d Document) History(ctx context.Context) (sturdy.List[Edition], error) {
	return History.Call(ctx, d.Ref)
}

// Newest returns the last n elements of a list that a document gave, oldest first; all if
// there are fewer. rt is the world that the list is in.
func Newest[V any](ctx context.Context, rt *sturdy.Runtime, list sturdy.List[V], n int) (vs []V, err error) {
	err = rt.View(ctx, func(t *sturdy.ReadTurn) error {
		vs = newest(t, list, n)
		return nil
	})
	return vs, err
}

func newest[V any](t sturdy.Turn, list sturdy.List[V], n int) []V {
	var vs []V
	size := list.Len(t)
	for _, v := range list.Range(t, size-n, size) {
		vs = append(vs, v)
	}
	return vs
}
