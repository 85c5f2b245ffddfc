package sturdy

import (
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// domains is how many domains a world has.
func (c *cables) domains(rt *Runtime) (n int64) {
	c.t.Helper()
	c.must(rt.Sync(c.t.Context()))
	ks, err := rt.Kinds(c.t.Context())
	c.must(err)
	for _, k := range ks {
		if k.Name == "sturdy/domain" {
			n = k.Objects
		}
	}
	return n
}

// TestCeilingsOfOthersLeaveOneDomainEach has many hosts send under ceilings, and calls under them
// send, over and over: a stranger cannot fill the disk with them, and can be forgotten.
func TestCeilingsOfOthersLeaveOneDomainEach(t *testing.T) {
	c := newCables(t)
	a, r := c.open("")
	before := c.domains(a)
	ceilings := []caps.Rights{0, caps.Write, caps.Read | caps.Write, caps.Write | caps.Run}
	const guests = 5
	for range guests {
		b, _ := c.open("")
		at := c.give(a, r, b)
		for range 3 {
			for _, most := range ceilings {
				_, _ = tallyAdd.Send(b.Under(t.Context(), most), at, 1).Await(t.Context())
				_, _ = tallyAdd.Send(a.Under(t.Context(), most), r, 1).Await(t.Context())
			}
		}
		c.must(b.Close())
	}
	c.settled(a)
	if n := c.domains(a) - before; n == 0 || n > int64(len(ceilings)) {
		t.Errorf("%d domains for %d ceilings", n, len(ceilings))
	}
	c.must(a.Check(t.Context()))
	c.pass(forgetAfter + time.Minute)
	c.forgets(a, guests)
}
