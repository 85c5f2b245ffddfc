package foreign

import (
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/bank"
	"github.com/sturdyrt/sturdy/examples/chat"
	"github.com/sturdyrt/sturdy/examples/counter"
	"github.com/sturdyrt/sturdy/examples/gitgraph"
	"github.com/sturdyrt/sturdy/examples/orders"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// shown are kinds as a new world remembers them, with those that come with every world.
func shown(t testing.TB, ks ...sturdy.Kind) []sturdy.KindInfo {
	t.Helper()
	w := runtimetest.Open(t, ks...)
	infos, err := w.Kinds(t.Context())
	check(t, err)
	return infos
}

func TestTheLayoutIsTheCompilers(t *testing.T) {
	agree(t, shown(t, counter.Kind, bank.Kind, chat.Kinds, orders.Kind, orders.StockKind, share.Kind, gitgraph.Kinds))
}

func TestTheBaseIsWhatItsSchemaSays(t *testing.T) {
	c := compiled(t, Base("sturdy"))
	host, ref, grant := baseTypes()
	for _, i := range []*iface{host, ref, grant} {
		c.same(i)
	}
}

var _ caps.Ref
