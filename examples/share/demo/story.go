package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type story struct {
	ctx  context.Context
	rt   *sturdy.Runtime
	keys string // the directory of everybody's keys; each knows his own file only
	out  io.Writer
}

func (s story) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s story) tell() error {
	doc, grants, err := s.owner()
	if err != nil {
		return err
	}
	if err := errors.Join(s.ed(), s.ian(), s.carl(), s.ada(), s.tree(doc)); err != nil {
		return err
	}
	ed, err := s.granted(grants, "ed")
	if err != nil || !ed.Alive {
		return err // an earlier run came as far as this
	}
	if err := s.takeBack(grants); err != nil {
		return err
	}
	return errors.Join(s.ed(), s.ian(), s.carl(), s.tree(doc))
}

// owner makes the document and the keys, as far as they are not there from the last time.
func (s story) owner() (doc share.Document, grants sturdy.Directory, err error) {
	root := s.rt.Root()
	doc.Ref, err = root.Ensure(s.ctx, "minutes", func(t *sturdy.WriteTurn) caps.Ref {
		d, err := share.New(t, "Minutes", "We met.", "We agreed on nothing.")
		if err != nil {
			panic(err)
		}
		return d.Ref
	})
	if err != nil {
		return doc, grants, err
	}
	grants.Ref, err = root.Ensure(s.ctx, "grants", func(t *sturdy.WriteTurn) caps.Ref { return sturdy.NewDirectory(t).Ref })
	if err != nil {
		return doc, grants, err
	}
	for _, to := range []struct {
		who  string
		role share.Role
	}{{"ed", share.Editor}, {"carl", share.Commenter}, {"ada", share.Auditor}} {
		if err := s.issue(doc, grants, to.who, to.role); err != nil {
			return doc, grants, err
		}
	}
	return doc, grants, nil
}

func (s story) issue(doc share.Document, grants sturdy.Directory, who string, role share.Role) error {
	ref, terms, err := role.Of(doc, who, time.Time{})
	if err != nil {
		return err
	}
	made, err := share.Issue(s.ctx, s.rt, grants, who, s.file(who), ref, terms)
	if err != nil || !made {
		return err
	}
	key, err := share.ReadKey(s.file(who))
	s.say("the owner gives %s the key of the %s: %s", who, role, key)
	return err
}

func (s story) file(who string) string { return filepath.Join(s.keys, who+".key") }

// opens is what somebody does who has a key and nothing else.
func (s story) opens(who string) (share.Document, error) {
	key, err := share.ReadKey(s.file(who))
	if err != nil {
		return share.Document{}, err
	}
	ref, err := s.rt.Restore(s.ctx, key)
	return share.Document{Ref: ref}, err
}

// does lets somebody open the document and do something with it. Being refused is part of
// the story; any other error ends it.
func (s story) does(who, what string, do func(share.Document) error) error {
	doc, err := s.opens(who)
	if err == nil {
		err = do(doc)
	}
	switch {
	case err == nil:
		s.say("%s %s", who, what)
	case errors.Is(err, caps.ErrRevoked):
		s.say("%s %s: NO, the key opens nothing", who, what)
	case errors.Is(err, caps.ErrNoRight), errors.Is(err, caps.ErrNoMethod):
		s.say("%s %s: NO, %s", who, what, reason(err))
	default:
		return fmt.Errorf("%s %s: %w", who, what, err)
	}
	return nil
}

// reason is the text of an error, without the method's long name before it.
func reason(err error) string {
	if e := (*caps.Error)(nil); errors.As(err, &e) && e.Text != "" {
		return e.Text
	}
	return err.Error()
}

// ed edits. Once, he makes a weaker key of his own for the intern; for that he asks nobody,
// it works on the text alone.
func (s story) ed() error {
	err := s.does("ed", "edits the second paragraph", func(d share.Document) error {
		_, err := d.Edit(s.ctx, share.Change{From: 1, To: 2, Text: []string{"We agreed on the colour."}})
		return err
	})
	if err != nil {
		return err
	}
	if _, err := os.Lstat(s.file("ian")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	own, err := share.ReadKey(s.file("ed"))
	if err != nil {
		return err
	}
	s.say("ed makes ian a key that reads and comments, for a week")
	return share.WriteKey(s.file("ian"), own.For("ian").Only(share.Read, share.Comment).Until(time.Now().AddDate(0, 0, 7)))
}

func (s story) ian() error {
	return errors.Join(
		s.does("ian", "comments", s.remark("ian", "Which colour?")),
		s.does("ian", "edits", func(d share.Document) error {
			_, err := d.Edit(s.ctx, share.Change{Title: "Minuets"})
			return err
		}),
	)
}

func (s story) carl() error { return s.does("carl", "comments", s.remark("carl", "Blue.")) }

func (s story) remark(by, text string) func(share.Document) error {
	return func(d share.Document) error { return d.Comment(s.ctx, share.Remark{By: by, Text: text}) }
}

// ada reads what there is to read. The list comes to her through the membrane of her grant.
func (s story) ada() error {
	return errors.Join(
		s.does("ada", "reads every comment", func(d share.Document) error {
			notes, err := d.Comments(s.ctx)
			if err != nil {
				return err
			}
			_, err = share.Newest(s.ctx, s.rt, notes, 10_000)
			return err
		}),
		s.does("ada", "comments", s.remark("ada", "Tsk.")),
	)
}

func (s story) granted(grants sturdy.Directory, who string) (sturdy.GrantInfo, error) {
	ref, err := grants.Get(s.ctx, who)
	if err != nil {
		return sturdy.GrantInfo{}, err
	}
	return sturdy.Grant{Ref: ref}.Info(s.ctx)
}

// takeBack revokes what the owner gave Ed, after a look at what else that stops.
func (s story) takeBack(grants sturdy.Directory) error {
	ref, err := grants.Get(s.ctx, "ed")
	if err != nil {
		return err
	}
	ed := sturdy.Grant{Ref: ref}
	s.say("the owner takes back what ed was given; with it ends:")
	for h, err := range s.rt.Breaks(s.ctx, ed) {
		if err != nil {
			return err
		}
		if h.Grant != nil {
			s.say("    %s for %q, made on the way of %q", h.Name, h.Grant.For, h.Grant.By)
		}
	}
	return ed.Revoke(s.ctx)
}
