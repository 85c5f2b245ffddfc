package console

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// What the tests of this package talk to: a shelf takes an argument with fields and one
// without, and returns what it was given.

type shelf struct{ Things int64 }

// Parcel is an argument with fields.
type Parcel struct {
	To    caps.Ref
	Grams int64
	Note  string
	Notes []string
}

const (
	weigh caps.Query[int64]           = "weigh"
	store caps.Method[Parcel, Parcel] = "store"
	clear caps.Action                 = "clear"
	keep  caps.Command[caps.Value]    = "keep"
)

func (s *shelf) weigh(*sturdy.ReadTurn) (int64, error) { return s.Things, nil }

func (s *shelf) store(_ *sturdy.WriteTurn, p Parcel) (Parcel, error) { s.Things++; return p, nil }

func (s *shelf) clear(*sturdy.WriteTurn) error { s.Things = 0; return nil }

func (s *shelf) keep(_ *sturdy.WriteTurn, v caps.Value) error { return fmt.Errorf("no room for %s", v) }

var shelfKind = sturdy.Define("test.example/shelf",
	sturdy.Query(weigh, (*shelf).weigh),
	sturdy.Method(store, (*shelf).store),
	sturdy.Action(clear, (*shelf).clear),
	sturdy.Command(keep, (*shelf).keep),
)

// bell acts outside.
type bell struct{}

const ring caps.Method[bool, string] = "ring"

func ringing(_ context.Context, _ bell, loud bool) (string, error) {
	if !loud {
		return "", fmt.Errorf("nobody has heard it")
	}
	return "ding", nil
}

var bellKind = sturdy.Define("test.example/bell", sturdy.Outside(ring, ringing))

// hang puts a bell into the root.
func hang(t testing.TB, s *Session) {
	err := s.Runtime.Update(context.Background(), func(turn *sturdy.WriteTurn) error {
		return s.Runtime.Root().Put(turn, "bell", bellKind.New(turn, bell{}))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// begin opens a world in memory with a shelf, a directory and a map, and a session in it.
func begin(t testing.TB, o Options) (*Session, *bytes.Buffer) {
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{shelfKind, bellKind, robotKind}, Log: slog.New(slog.DiscardHandler)}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	err = rt.Update(context.Background(), func(turn *sturdy.WriteTurn) error {
		m := sturdy.NewMap[string, int64](turn)
		for i := range int64(2500) {
			m.Put(turn, fmt.Sprintf("%04d", i), i)
		}
		d := sturdy.NewDirectory(turn)
		for name, ref := range map[string]caps.Ref{"shelf": shelfKind.New(turn, shelf{}), "rows": m.Ref, "inner": d.Ref} {
			if err := rt.Root().Put(turn, name, ref); err != nil {
				return err
			}
		}
		return d.Put(turn, "not a name", d.Ref)
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o.Runtime, o.Out = rt, &out
	return New(o), &out
}

// run runs src and returns what it printed.
func run(t testing.TB, s *Session, out *bytes.Buffer, src string) string {
	t.Helper()
	out.Reset()
	if err := s.Run(context.Background(), "test", src); err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return out.String()
}
