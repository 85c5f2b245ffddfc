package gitgraph

import (
	"errors"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// within runs fn in a write turn over the parts of an empty graph.
func within(t *testing.T, fn func(*sturdy.WriteTurn, Graph, Parts) error) {
	t.Helper()
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{Kinds}, Checked: true}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	ref, err := rt.Root().Ensure(t.Context(), name, newGraph)
	if err != nil {
		t.Fatal(err)
	}
	err = rt.Update(t.Context(), func(turn *sturdy.WriteTurn) error {
		p, err := contents.Call(turn, ref)
		if err != nil {
			return err
		}
		return fn(turn, Graph{ref}, p)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestACommitIsCountedOnce(t *testing.T) {
	e := &entry{hash: hashA, author: "Ann <>", changes: []line{{"path", 1, 2}}}
	within(t, func(turn *sturdy.WriteTurn, _ Graph, p Parts) error {
		if err := errors.Join(p.add(turn, e), p.add(turn, e)); err != nil {
			return err
		}
		f, err := p.File(turn, "path")
		if err != nil {
			return err
		}
		shares, err := f.Authors(turn)
		if p.Log.Len(turn) != 1 || len(shares) != 1 || shares[0].Commits != 1 {
			t.Errorf("%d commits, %+v", p.Log.Len(turn), shares)
		}
		return err
	})
}

func TestACommitWhoseParentIsMissingIsRefused(t *testing.T) {
	within(t, func(turn *sturdy.WriteTurn, _ Graph, p Parts) error {
		if err := p.add(turn, &entry{hash: hashA, parents: []string{hashB}}); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		return nil
	})
}

// TestWhatIsHandedOutIsForReading asks with every right, and may change nothing by what it
// gets.
func TestWhatIsHandedOutIsForReading(t *testing.T) {
	within(t, func(turn *sturdy.WriteTurn, g Graph, p Parts) error {
		if err := p.add(turn, &entry{hash: hashA, author: "Ann <>", changes: []line{{"path", 1, 2}}}); err != nil {
			return err
		}
		commits, err := p.author(turn, "Ann <>").Commits(turn)
		touches, err2 := p.file(turn, "path").Commits(turn)
		parts, err3 := g.Contents(turn)
		for i, ref := range []caps.Ref{commits.Ref, touches.Ref, parts.Commits.Ref, parts.Authors.Ref, parts.Files.Ref, parts.Refs.Ref, parts.Log.Ref} {
			if ref.Rights() != caps.Read {
				t.Errorf("%d: %v", i, ref)
			}
		}
		return errors.Join(err, err2, err3)
	})
}
