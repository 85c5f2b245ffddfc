package sturdy_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// mode is how somebody holds one of the three parts, or what is sealed.
type mode int

const (
	plain   mode = iota
	granted      // under a grant
	inMembrane
	deep         // attenuated to read
	deepMembrane // both
)

func (m mode) membrane() bool { return m == inMembrane || m == deepMembrane }
func (m mode) deep() bool     { return m == deep || m == deepMembrane }
func (m mode) grants() bool   { return m != plain && m != deep }

func (m mode) hold(tn *sturdy.WriteTurn, ref caps.Ref) (caps.Ref, caps.Ref) {
	if m.deep() {
		ref = ref.Attenuate(caps.Read)
	}
	if !m.grants() {
		return ref, caps.Ref{}
	}
	shared, g := tn.Grant(ref, caps.Terms{For: "a party", Deep: m.membrane()})
	return shared, g.Ref
}

// positions are the parts of one case, in this order.
const (
	ofContent = iota
	ofSealer
	ofBox
	ofUnsealer
	positions
)

// unsealCase is one way to hold everything, and what is then taken back.
type unsealCase struct {
	modes   [positions]mode
	revoked int // position; positions: none
}

// kills is the oracle: whether taking it back keeps the box shut, and whether it ends what has
// come out. A membrane covers whatever crosses it, either way: around the sealer what goes
// into its boxes, and the boxes; around a box or the unsealer what comes out.
func (c unsealCase) kills() (opening, content bool) {
	switch c.revoked {
	case ofContent:
		return false, true
	case ofSealer:
		return c.modes[ofSealer].membrane(), c.modes[ofSealer].membrane()
	case ofBox, ofUnsealer:
		return true, c.modes[c.revoked].membrane()
	}
	return false, false
}

// deep: what comes out is.
func (c unsealCase) deep() bool {
	return c.modes[ofContent].deep() || c.modes[ofBox].deep() || c.modes[ofUnsealer].deep()
}

// writes: what comes out does. A membrane gives no more than it was granted, and a box
// carries r.
func (c unsealCase) writes() bool { return !c.deep() && !c.modes[ofBox].membrane() }

// same: what comes out is the very Ref that went in.
func (c unsealCase) same() bool {
	m := c.modes
	return m[ofContent].deep() == c.deep() && !m[ofSealer].membrane() && !m[ofBox].membrane() && !m[ofUnsealer].membrane()
}

func unsealCases() (cs []unsealCase) {
	all := []mode{plain, granted, inMembrane, deep, deepMembrane}
	for _, content := range all[:4] {
		for _, sealer := range all[:3] {
			for _, box := range all {
				for _, unsealer := range all {
					c := unsealCase{modes: [positions]mode{content, sealer, box, unsealer}}
					for ; c.revoked <= positions; c.revoked++ {
						if c.revoked == positions || c.modes[c.revoked].grants() {
							cs = append(cs, c)
						}
					}
				}
			}
		}
	}
	return cs
}

// build makes everything that c says and stores it under names that begin with i.
func (c unsealCase) build(o *office, tn *sturdy.WriteTurn, i int) error {
	var grants [positions]caps.Ref
	var seal sturdy.Sealer
	var unseal sturdy.Unsealer
	s, u := sturdy.NewBrand(tn, "case")
	content, g := c.modes[ofContent].hold(tn, o.account)
	grants[ofContent] = g
	seal.Ref, grants[ofSealer] = c.modes[ofSealer].hold(tn, s.Ref)
	unseal.Ref, grants[ofUnsealer] = c.modes[ofUnsealer].hold(tn, u.Ref)
	v, err := caps.ValueOf(content)
	if err != nil {
		return err
	}
	box, err := seal.Seal(tn, v)
	if err != nil {
		return err
	}
	box, grants[ofBox] = c.modes[ofBox].hold(tn, box)
	put := func(what string, ref caps.Ref) {
		err = errors.Join(err, o.Root().Put(tn, fmt.Sprintf("%d %s", i, what), ref))
	}
	put("content", content)
	put("box", box)
	put("unseal", unseal.Ref)
	if c.revoked < positions {
		put("grant", grants[c.revoked])
	}
	return err
}

// check unseals, takes back, and unseals again.
func (c unsealCase) check(o *office, i int) {
	o.t.Helper()
	ctx := o.t.Context()
	get := func(what string) caps.Ref { return o.get(fmt.Sprintf("%d %s", i, what)) }
	unseal := sturdy.Unsealer{Ref: get("unseal")}
	v, err := unseal.Unseal(ctx, get("box"))
	if err != nil {
		o.t.Errorf("%v: %v", c, err)
		return
	}
	out := v.Any().(caps.Ref)
	if c.same() && out != get("content") {
		o.t.Errorf("%v: %v went in, %v came out", c, get("content"), out)
	}
	o.open(out, "")
	_, err = acAdd.Call(ctx, out, 1)
	if writes := err == nil; writes != c.writes() || !writes && !errors.Is(err, caps.ErrNoRight) {
		o.t.Errorf("%v: to write through what came out: %v", c, err)
	}
	if c.revoked == positions {
		return
	}
	o.revoke(sturdy.Grant{Ref: get("grant")})
	opening, content := c.kills()
	if _, err := unseal.Unseal(ctx, get("box")); opening != errors.Is(err, caps.ErrRevoked) || !opening && err != nil {
		o.t.Errorf("%v: to unseal once more: %v", c, err)
	}
	if _, err := acGet.Call(ctx, out); content != errors.Is(err, caps.ErrRevoked) || !content && err != nil {
		o.t.Errorf("%v: to use what has come out: %v", c, err)
	}
}

func TestWhatComesOutIsWhatAnOracleSays(t *testing.T) {
	o, cases := newOffice(t), unsealCases()
	must(t, o.Update(t.Context(), func(tn *sturdy.WriteTurn) error {
		for i, c := range cases {
			if err := c.build(o, tn, i); err != nil {
				return fmt.Errorf("%v: %w", c, err)
			}
		}
		return nil
	}))
	for i, c := range cases {
		if i == len(cases)/2 {
			o.Crash()
			o.again()
		}
		c.check(o, i)
	}
}
