package look_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestAPathNamesEntries(t *testing.T) {
	for path, want := range map[string][]string{
		"": nil, "/": nil, "a": {"a"}, "/a//b/": {"a", "b"}, `a\/b/c`: {"a/b", "c"}, `a\\/b`: {`a\`, "b"}, `\a`: {"a"},
	} {
		got, err := look.ParsePath(path)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q = %q, %v; want %q", path, got, err, want)
		}
	}
	if _, err := look.ParsePath(`a\`); err == nil {
		t.Error("a backslash at the end was accepted")
	}
}

// FuzzParsePath: what is parsed prints as a path that parses to the same names.
func FuzzParsePath(f *testing.F) {
	for _, path := range []string{"accounts/alice", `a\/b`, `\\`, "//", `x\`} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		names, err := look.ParsePath(path)
		if err != nil {
			return
		}
		if slices.Contains(names, "") {
			t.Fatalf("%q has an empty name: %q", path, names)
		}
		again, err := look.ParsePath(look.JoinPath(names...))
		if err != nil || !slices.Equal(again, names) {
			t.Fatalf("%q is %q; printed and parsed again %q, %v", path, names, again, err)
		}
	})
}

func TestAFieldIsTypedInLowerCase(t *testing.T) {
	for name, want := range map[string]string{
		"To": "to", "UserID": "userID", "URL": "url", "URLPath": "urlPath", "X": "x", "already": "already", "": "", "Ölstand": "ölstand",
	} {
		if got := look.Lower(name); got != want {
			t.Errorf("Lower(%q) = %q, want %q", name, got, want)
		}
	}
}

// world opens a world in memory.
func world(t *testing.T) *sturdy.Runtime {
	rt, err := sturdy.Options{}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	return rt
}

// update runs fn as a write turn.
func update(t *testing.T, rt *sturdy.Runtime, fn func(*sturdy.WriteTurn) error) {
	t.Helper()
	if err := rt.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestALargeDirectoryIsReadPageByPage(t *testing.T) {
	rt, ctx, want := world(t), context.Background(), 2500
	update(t, rt, func(turn *sturdy.WriteTurn) error {
		for i := range want {
			if err := rt.Root().Put(turn, fmt.Sprintf("name %04d", i), rt.Root().Ref); err != nil {
				return err
			}
		}
		return nil
	})
	var names []string
	for n, err := range look.Names(ctx, rt.Root().Ref) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, n.Name)
	}
	if len(names) != want || !slices.IsSorted(names) || len(slices.Compact(names)) != want {
		t.Errorf("%d names, sorted %v", len(names), slices.IsSorted(names))
	}
}

func TestRowsOfEverySortOfKeyAreReadPageByPage(t *testing.T) {
	rt, want := world(t), 2100
	var ints, floats, strs, uints caps.Ref
	update(t, rt, func(turn *sturdy.WriteTurn) error {
		i, f := sturdy.NewMap[int64, int64](turn), sturdy.NewMap[float64, int64](turn)
		s, u := sturdy.NewMap[string, int64](turn), sturdy.NewMap[uint64, int64](turn)
		for n := range int64(want) {
			i.Put(turn, math.MaxInt64-n, n)
			f.Put(turn, -float64(n)/4, n)
			s.Put(turn, strings.Repeat("x", int(n)), n)
			u.Put(turn, math.MaxUint64-uint64(n), n)
		}
		ints, floats, strs, uints = i.Ref, f.Ref, s.Ref, u.Ref
		return rt.Root().Put(turn, "keep", i.Ref)
	})
	for name, ref := range map[string]caps.Ref{"int": ints, "float": floats, "string": strs, "uint": uints} {
		seen := map[string]bool{}
		for e, err := range look.Rows(context.Background(), ref) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			seen[look.Literal(e.Key, 0)] = true
		}
		if len(seen) != want {
			t.Errorf("%s: %d rows, want %d", name, len(seen), want)
		}
	}
	c := look.RowCursor{Coll: ints, Limit: 1500}
	n := 0
	for page, err := c.Next(context.Background()); len(page) > 0; page, err = c.Next(context.Background()) {
		if n += len(page); err != nil {
			t.Fatal(err)
		}
	}
	if n != 1500 {
		t.Errorf("with a limit of 1500: %d rows", n)
	}
}

func TestACheckOfASoundWorldFindsNothing(t *testing.T) {
	rt := world(t)
	update(t, rt, func(turn *sturdy.WriteTurn) error {
		m := sturdy.NewMap[string, caps.Ref](turn)
		m.Put(turn, "root", rt.Root().Ref)
		m.Put(turn, "nobody", caps.Ref{})
		return rt.Root().Put(turn, "m", m.Ref)
	})
	found, err := look.Check(context.Background(), rt, func(int64) {})
	if err != nil || len(found) > 0 {
		t.Errorf("found %v, %v", found, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := look.Check(ctx, rt, func(int64) {}); err == nil {
		t.Error("a check that was cancelled says nothing")
	}
}

func TestALiteralIsWhole(t *testing.T) {
	long := strings.Repeat("é", 5000)
	v, err := caps.ValueOf(map[string]any{
		"a": []any{nil, true, int64(-1), 1.5, long}, "b": []byte{0}, "t": time.Unix(0, 0), "z": []any{},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"a": [nil, true, -1, 1.5, "` + long + `"], "b": b"\x00", "t": 1970-01-01T00:00:00Z, "z": []}`
	if got := look.Literal(v, 0); got != want {
		t.Errorf("got %.100q…, %d bytes; want %d", got, len(got), len(want))
	}
	if got := look.Literal(v, 100); len(got) > 1000 {
		t.Errorf("cut at 100 it has %d bytes", len(got))
	}
}
