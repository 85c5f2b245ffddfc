package share_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func Example() {
	ctx := context.Background()
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{share.Kind}}.Open() // a world in memory
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close()

	// The owner makes a document, and a key for an editor.
	var doc share.Document
	var key caps.SturdyRef
	var grant sturdy.Grant
	err = rt.Update(ctx, func(t *sturdy.WriteTurn) (err error) {
		if doc, err = share.New(t, "Minutes", "We met."); err != nil {
			return err
		}
		ref, terms, err := share.Editor.Of(doc, "ed", time.Time{})
		if err != nil {
			return err
		}
		key, grant, err = rt.Save(t, ref, terms)
		return errors.Join(err, rt.Root().Put(t, "minutes", doc.Ref), rt.Root().Put(t, "ed's grant", grant.Ref))
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// The editor makes a weaker key of it for an intern, and asks nobody.
	weaker := key.Only(share.Read, share.Comment)

	// All that the intern has is the text.
	ref, err := rt.Restore(ctx, weaker)
	intern := share.Document{Ref: ref}
	fmt.Println("the intern opens it:", err)
	fmt.Println("and comments:", intern.Comment(ctx, share.Remark{By: "ian", Text: "Where?"}))
	_, err = intern.Edit(ctx, share.Change{Title: "Minuets"})
	fmt.Println("and edits:", errors.Is(err, caps.ErrNoMethod))

	// The owner takes back what the editor was given.
	fmt.Println("revoked:", grant.Revoke(ctx))
	_, err = rt.Restore(ctx, weaker)
	fmt.Println(err)
	fmt.Println(errors.Is(intern.Comment(ctx, share.Remark{By: "ian", Text: "Hello?"}), caps.ErrRevoked))
	// Output:
	// the intern opens it: <nil>
	// and comments: <nil>
	// and edits: true
	// revoked: <nil>
	// restore: this sturdy ref opens nothing here: it is wrong, was revoked or has run out
	// true
}
