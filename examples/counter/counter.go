// Package counter is a persistent counter: the smallest kind there is.
package counter

import (
	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// What a holder of a counter may ask.
const (
	Get caps.Query[int64]         = "get"
	Add caps.Method[int64, int64] = "add"
)

// The exported fields are the persistent state.
type counter struct{ N int64 }

func (c *counter) get(*sturdy.ReadTurn) (int64, error)              { return c.N, nil }
func (c *counter) add(_ *sturdy.WriteTurn, by int64) (int64, error) { c.N += by; return c.N, nil }

// Kind is the kind of counters.
var Kind = sturdy.Define("example.org/counter",
	sturdy.Query(Get, (*counter).get),
	sturdy.Method(Add, (*counter).add),
)

// New makes a counter that stands at zero.
func New(t *sturdy.WriteTurn) caps.Ref { return Kind.New(t, counter{}) }
