package sturdy

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
)

// TestATokenThatWasProvenOnceIsAskedAgain presents a right token until it is remembered, and then
// what is nearly it.
func TestATokenThatWasProvenOnceIsAskedAgain(t *testing.T) {
	c := newCables(t)
	a, own := c.open("")
	var r caps.Ref
	var g Grant
	c.must(a.Update(t.Context(), func(t *WriteTurn) error {
		r, g = t.Grant(own, caps.Terms{For: "x"})
		return nil
	}))
	made, err := a.Export(t.Context(), r, "guest")
	c.must(err)
	for _, other := range []struct {
		r    caps.Ref
		host string
	}{{r, "other"}, {r.Attenuate(caps.Read), "guest"}, {r.Attenuate(caps.Read | caps.Shallow), "guest"}, {own, "guest"}} {
		if again, err := a.Export(t.Context(), other.r, other.host); err != nil || bytes.Equal(again, made) {
			t.Errorf("%v for %s has the same token, %v", other.r, other.host, err)
		}
		if again, err := a.Export(t.Context(), r, "guest"); err != nil || !bytes.Equal(again, made) {
			t.Error("another token for the same:", err)
		}
	}
	home := homeToken(made, caps.Full())
	refused := func(what string, text []byte, host string) {
		t.Helper()
		if ref, err := a.ImportOwn(text, host); !errors.Is(err, caps.ErrNoRight) || !ref.IsNull() {
			t.Errorf("%s: %v, %v", what, ref, err)
		}
	}
	for range 3 {
		ref, err := a.ImportOwn(home, "guest")
		c.must(err)
		if ref != r {
			t.Error(ref, "is not", r)
		}
		if _, err := tallyAdd.Call(t.Context(), ref, 1); err != nil {
			t.Error(err)
		}
		refused("another host's", home, "other")
		refused("longer", append(bytes.Clone(home), 0), "guest")
		refused("shorter", home[:len(home)-1], "guest")
		for i := 2; i < len(home); i++ {
			if kind := bytes.Index(home, []byte("test.example/tally")); i >= kind-1 && i < kind+len("test.example/tally") {
				continue // it is for people, and not under the tag
			}
			bent := bytes.Clone(home)
			bent[i] ^= 1
			refused("bent", bent, "guest")
		}
	}
	was := a.lineages.Load()
	a.lineages.Store(&lineages{Current: was.Current + 1})
	refused("of a lineage that is not honoured", home, "guest")
	a.lineages.Store(was)
	c.must(g.Revoke(t.Context()))
	ref, err := a.ImportOwn(home, "guest")
	c.must(err)
	if _, err := tallyAdd.Call(t.Context(), ref, 1); !errors.Is(err, caps.ErrRevoked) {
		t.Error("through a grant that was revoked:", err)
	}
}

func TestTokensThatDifferInAnythingAreNotTheSame(t *testing.T) {
	is := token{object: 1, lineage: 2, rights: 3, path: "4", kind: "5"}
	if same := is; !same.sameAs(&is) {
		t.Error("not the same as itself")
	}
	for _, change := range []func(*token){
		func(o *token) { o.object++ },
		func(o *token) { o.lineage++ },
		func(o *token) { o.rights++ },
		func(o *token) { o.path += "x" },
		func(o *token) { o.kind += "x" },
	} {
		other := is
		if change(&other); other.sameAs(&is) {
			t.Errorf("%+v is the same as %+v", other, is)
		}
	}
}
