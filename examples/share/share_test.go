package share_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// desk is a world with one document in its root.
type desk struct {
	*runtimetest.World
	t *testing.T
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	return furnish(t, runtimetest.Open(t, share.Kind))
}

func furnish(t *testing.T, w *runtimetest.World) *desk {
	t.Helper()
	d := &desk{w, t}
	d.must(d.Update(t.Context(), func(turn *sturdy.WriteTurn) error {
		doc, err := share.New(turn, "Minutes", "We met.", "We agreed on nothing.")
		return errors.Join(err, d.Root().Put(turn, "minutes", doc.Ref))
	}))
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) doc() share.Document {
	d.t.Helper()
	ref, err := d.Root().Get(d.t.Context(), "minutes")
	d.must(err)
	return share.Document{Ref: ref}
}

// grant gives a role of the document, as a Ref.
func (d *desk) grant(role share.Role, until time.Time) (to share.Document, g sturdy.Grant) {
	d.t.Helper()
	ref, terms, err := role.Of(d.doc(), string(role), until)
	d.must(err)
	d.must(d.Update(d.t.Context(), func(turn *sturdy.WriteTurn) error {
		to.Ref, g = turn.Grant(ref, terms)
		return nil
	}))
	return to, g
}

// calls tries everything that can be asked.
func calls(t *testing.T, d share.Document) map[string]error {
	t.Helper()
	_, read := d.Read(t.Context())
	_, edit := d.Edit(t.Context(), share.Change{Title: "Minutes!"})
	_, comments := d.Comments(t.Context())
	_, history := d.History(t.Context())
	return map[string]error{
		"read": read, "edit": edit, "comments": comments, "history": history,
		"comment": d.Comment(t.Context(), share.Remark{By: "x", Text: "y"}),
	}
}

func TestWhatEachRoleMayDo(t *testing.T) {
	d := newDesk(t)
	for role, may := range map[share.Role][]string{
		share.Editor:    {"read", "edit", "comment"},
		share.Commenter: {"read", "comment"},
		share.Reader:    {"read"},
		share.Auditor:   {"read", "comments", "history"},
	} {
		to, g := d.grant(role, time.Time{})
		for method, err := range calls(t, to) {
			allowed := slices.Contains(may, method)
			refused := errors.Is(err, caps.ErrNoRight) || errors.Is(err, caps.ErrNoMethod)
			if allowed && err != nil || !allowed && !refused {
				t.Errorf("%s: %s: %v", role, method, err)
			}
		}
		d.must(g.Revoke(t.Context()))
		for method, err := range calls(t, to) {
			if !errors.Is(err, caps.ErrRevoked) {
				t.Errorf("%s was revoked: %s: %v", role, method, err)
			}
		}
	}
}

func TestNoRoleMakesMoreOfLess(t *testing.T) {
	d := newDesk(t)
	commenter, _ := d.grant(share.Commenter, time.Time{})
	for _, role := range []share.Role{share.Editor, share.Auditor, share.Commenter, share.Reader} {
		ref, terms, err := role.Of(commenter, "next", time.Time{})
		d.must(err)
		var to share.Document
		d.must(d.Update(t.Context(), func(turn *sturdy.WriteTurn) error {
			to.Ref, _ = turn.Grant(ref, terms)
			return nil
		}))
		for method, err := range calls(t, to) {
			if err == nil && method != "read" && method != "comment" {
				t.Errorf("as %s below a commenter: %s went through", role, method)
			}
		}
	}
	for _, bad := range [][2]string{{"owner", "x"}, {"", "x"}, {"editor", ""}, {"editor", "\x1b[2J"}, {"editor", strings.Repeat("x", 65)}} {
		if _, _, err := share.Role(bad[0]).Of(commenter, bad[1], time.Time{}); !errors.Is(err, caps.ErrBadArgument) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestARoleRunsOut(t *testing.T) {
	d := newDesk(t)
	reader, _ := d.grant(share.Reader, d.Now().Add(time.Hour))
	_, err := reader.Read(t.Context())
	d.must(err)
	d.Pass(time.Hour)
	if _, err := reader.Read(t.Context()); !errors.Is(err, caps.ErrRevoked) {
		t.Error(err)
	}
}

// What an auditor got hold of dies with his grant. It would not without the membrane, which
// the second half shows.
func TestAListObtainedThroughAnAuditorsGrant(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	d.must(d.doc().Comment(ctx, share.Remark{By: "carl", Text: "Blue."}))

	auditor, g := d.grant(share.Auditor, time.Time{})
	covered, err := auditor.Comments(ctx)
	d.must(err)
	doc := d.doc()
	var plain share.Document
	var h sturdy.Grant
	d.must(d.Update(ctx, func(turn *sturdy.WriteTurn) error {
		plain.Ref, h = turn.Grant(doc.Ref, caps.Terms{For: "no membrane"})
		return nil
	}))
	loose, err := plain.Comments(ctx)
	d.must(err)

	for _, list := range []sturdy.List[share.Note]{covered, loose} {
		notes, err := share.Newest(ctx, d.Runtime, list, 10)
		if len(notes) != 1 || err != nil {
			t.Fatal(notes, err)
		}
		err = d.Update(ctx, func(turn *sturdy.WriteTurn) error {
			list.Set(turn, 0, share.Note{By: "carl", Text: "Red."})
			return nil
		})
		if !errors.Is(err, caps.ErrNoRight) {
			t.Errorf("rewriting a comment through %v: %v", list, err)
		}
	}
	d.must(g.Revoke(ctx))
	d.must(h.Revoke(ctx))
	if _, err := share.Newest(ctx, d.Runtime, covered, 10); !errors.Is(err, caps.ErrRevoked) {
		t.Error("the list of a revoked auditor:", err)
	}
	if _, err := share.Newest(ctx, d.Runtime, loose, 10); err != nil {
		t.Error("a list that was obtained through a grant that is no membrane:", err)
	}
}

func TestEditsAreKept(t *testing.T) {
	d := newDesk(t)
	ctx, doc := t.Context(), d.doc()
	version, err := doc.Edit(ctx, share.Change{Version: 1, From: 1, To: 2, Text: []string{"a", "b"}})
	if version != 2 || err != nil {
		t.Fatal(version, err)
	}
	if _, err := doc.Edit(ctx, share.Change{Version: 1, Title: "late"}); !errors.Is(err, share.ErrChanged) {
		t.Error("an edit to a version that is no more:", err)
	}
	_, err = doc.Edit(ctx, share.Change{Title: "New", To: share.End, Text: []string{"c"}})
	d.must(err)
	d.Crash()

	page, err := d.doc().Read(ctx)
	if page.Title != "New" || !slices.Equal(page.Text, []string{"c"}) || page.Version != 3 || err != nil {
		t.Errorf("%+v, %v", page, err)
	}
	list, err := d.doc().History(ctx)
	d.must(err)
	es, err := share.Newest(ctx, d.Runtime, list, 10)
	d.must(err)
	if len(es) != 2 || !slices.Equal(es[0].Was, []string{"We agreed on nothing."}) || !slices.Equal(es[1].Was, []string{"We met.", "a", "b"}) || es[1].WasTitle != "Minutes" {
		t.Errorf("%+v", es)
	}
}

func TestAPageShowsTheNewestComments(t *testing.T) {
	d := newDesk(t)
	for range 101 {
		d.must(d.doc().Comment(sturdy.Relaxed(t.Context()), share.Remark{By: "x", Text: strings.Repeat("y", 10)}))
	}
	d.must(d.doc().Comment(t.Context(), share.Remark{By: "last", Text: "z"}))
	page, err := d.doc().Read(t.Context())
	if len(page.Notes) != 100 || page.Notes[99].By != "last" || err != nil {
		t.Error(len(page.Notes), err)
	}
}

func TestArgumentsThatMakeNoSense(t *testing.T) {
	d := newDesk(t)
	ctx, doc := t.Context(), d.doc()
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []share.Change{
		{},
		{From: -1, To: 1, Text: []string{"x"}},
		{From: 0, To: 3},
		{From: 0, To: -2},
		{From: 2, To: 1, Text: []string{"x"}},
		{From: 3, To: share.End, Text: []string{"x"}},
		{From: 1 << 62, To: 1 << 62, Text: []string{"x"}},
		{Title: " "},
		{Title: x(201)},
		{Title: "two\nlines"},
		{Title: "\xff"},
		{Title: "\u202ereversed"},
		{Text: []string{"\x00"}},
		{Text: []string{"\xc3\x28"}},
		{Text: []string{x(48<<10 + 1)}},
		{Text: []string{x(48 << 10)}}, // more than there is room for beside the rest
		{Text: make([]string, 501)},
		{Text: make([]string, 499)},
	} {
		if _, err := doc.Edit(ctx, c); !errors.Is(err, caps.ErrBadArgument) {
			t.Errorf("%.80v: %v", c, err)
		}
	}
	for _, r := range []share.Remark{
		{},
		{By: "x"},
		{Text: "x"},
		{By: "\t", Text: "x"},
		{By: x(65), Text: "x"},
		{By: "x", Text: x(4<<10 + 1)},
		{By: "x\ny", Text: "x"},
		{By: "x", Text: "\x1b[2J"},
		{By: "x", Text: "\xff"},
		{By: "x\u2066", Text: "x"},
	} {
		if err := doc.Comment(ctx, r); !errors.Is(err, caps.ErrBadArgument) {
			t.Errorf("%.80q: %v", r, err)
		}
	}
	page, err := doc.Read(ctx)
	if page.Version != 1 || len(page.Notes) != 0 || err != nil {
		t.Errorf("something of it happened: %+v, %v", page, err)
	}
	_, err = doc.Edit(ctx, share.Change{To: share.End, Text: []string{x(48 << 10)}})
	d.must(err)
}

func TestADocumentThatCannotBeMade(t *testing.T) {
	d := newDesk(t)
	for _, made := range []func(*sturdy.WriteTurn) (share.Document, error){
		func(t *sturdy.WriteTurn) (share.Document, error) { return share.New(t, "") },
		func(t *sturdy.WriteTurn) (share.Document, error) { return share.New(t, "x", "\x00") },
	} {
		err := d.Update(t.Context(), func(turn *sturdy.WriteTurn) error {
			_, err := made(turn)
			return err
		})
		if !errors.Is(err, caps.ErrBadArgument) {
			t.Error(err)
		}
	}
}

func TestADocumentDoesNotGrowForEver(t *testing.T) {
	d := furnish(t, runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{share.Kind}}))
	doc := d.doc()
	const most = 10_000
	for what, add := range map[string]func() error{
		"comments": func() error { return doc.Comment(sturdy.Relaxed(t.Context()), share.Remark{By: "x", Text: "y"}) },
		"edits": func() error {
			_, err := doc.Edit(sturdy.Relaxed(t.Context()), share.Change{Title: "z"})
			return err
		},
	} {
		for range most {
			d.must(add())
		}
		if err := add(); !errors.Is(err, caps.ErrOverloaded) {
			t.Errorf("more than %d %s: %v", most, what, err)
		}
	}
}
