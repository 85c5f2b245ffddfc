package sturdy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// BenchmarkGrantCheck is a call inside a turn through a bare Ref and through granted ones;
// what the grant costs is the difference.
func BenchmarkGrantCheck(b *testing.B) {
	rt, refs := openFlat(b, b.TempDir(), 1)
	defer rt.Close()
	grant := func(ref caps.Ref, terms caps.Terms) (shared caps.Ref) {
		err := rt.Update(b.Context(), func(t *sturdy.WriteTurn) error {
			shared, _ = t.Grant(ref, terms)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		return shared
	}
	deep := refs[0]
	for range 20 {
		deep = grant(deep, caps.Terms{})
	}
	for _, c := range []struct {
		name string
		ref  caps.Ref
	}{
		{"bare", refs[0]},
		{"granted", grant(refs[0], caps.Terms{})},
		{"granted below 20", deep},
		{"granted with methods", grant(refs[0], caps.Terms{Only: []caps.Named{counterGet, counterAdd}})},
		{"granted until", grant(refs[0], caps.Terms{Until: time.Now().Add(time.Hour)})},
	} {
		b.Run("write/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			err := rt.Update(b.Context(), func(t *sturdy.WriteTurn) error {
				for b.Loop() {
					if _, err := counterAdd.Call(t, c.ref, 1); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
		b.Run("read/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			err := rt.View(b.Context(), func(t *sturdy.ReadTurn) error {
				for b.Loop() {
					if _, err := counterGet.Call(t, c.ref); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRestore is a sturdy ref that was restored lately, parsed anew each time as a web
// server does, and one that was not.
func BenchmarkRestore(b *testing.B) {
	rt, refs := openFlat(b, b.TempDir(), 1)
	defer rt.Close()
	text, _, err := rt.Save(b.Context(), refs[0], caps.Terms{For: "a browser"})
	if err != nil {
		b.Fatal(err)
	}
	weaker := text.Attenuate(caps.Read).Only(counterGet)
	for _, c := range []struct {
		name string
		text string
	}{{"as saved", text.Reveal()}, {"weaker", weaker.Reveal()}} {
		b.Run("cached/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := caps.ParseSturdyRef(c.text)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := rt.Restore(b.Context(), s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAMillionGrants makes them, a thousand a turn, and then opens the world, and
// revokes one after the other, each durable.
func BenchmarkAMillionGrants(b *testing.B) {
	const all = 1_000_000
	dir := b.TempDir()
	rt, refs := openFlat(b, dir, 1000)
	grants := make([]sturdy.Grant, all)
	var parent, shared caps.Ref
	began := time.Now()
	for lo := 0; lo < all; lo += 1000 {
		err := rt.Update(b.Context(), func(t *sturdy.WriteTurn) error {
			for i := range 1000 {
				if i == 0 {
					parent, grants[lo] = t.Grant(refs[lo/1000], caps.Terms{For: "a thousand"})
					continue
				}
				shared, grants[lo+i] = t.Grant(parent, caps.Terms{For: fmt.Sprintf("party %d", i)})
			}
			return rt.Root().Put(t, fmt.Sprintf("shared%d", lo), shared)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%.0f grants/s", all/time.Since(began).Seconds())
	b.Run("revoke", func(b *testing.B) {
		for i := range b.N {
			if err := grants[(i*7919)%all].Revoke(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("update", func(b *testing.B) { // beside it: any durable turn of one caller
		for b.Loop() {
			if _, err := counterAdd.Call(b.Context(), refs[0], 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := rt.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			rt, err := sturdy.Open(dir, flatKind)
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := rt.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// BenchmarkMembrane is a call that returns a Ref, bare and out of a membrane.
func BenchmarkMembrane(b *testing.B) {
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{accountKind, folderKind}}.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer rt.Close()
	var bare, shared caps.Ref
	err = rt.Update(b.Context(), func(t *sturdy.WriteTurn) error {
		bare = folderKind.New(t, folder{Items: []caps.Ref{accountKind.New(t, account{N: 5})}})
		shared, _ = t.Grant(bare, caps.Terms{Deep: true})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for name, ref := range map[string]caps.Ref{"bare": bare, "membrane": shared} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			err := rt.View(b.Context(), func(t *sturdy.ReadTurn) error {
				for b.Loop() {
					if _, err := foAt.Call(t, ref, 0); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}
