package sturdy_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A box holds capabilities in every form that a state has for them, hands them out, takes
// them in, and calls those that it is handed.
type box struct {
	N    int64
	One  caps.Ref
	Many []caps.Ref
	Tied ties
	Any  caps.Value
}

// ties hold one Ref in three places.
type ties struct {
	A link
	B [2]caps.Ref
	P *link
}

const (
	boxOne   caps.Query[caps.Ref]            = "one"
	boxMany  caps.Query[[]caps.Ref]          = "many"
	boxTied  caps.Query[ties]                = "tied"
	boxAny   caps.Query[caps.Value]          = "any"
	boxEcho  caps.Method[caps.Ref, caps.Ref] = "echo"
	boxAsk   caps.Method[caps.Ref, caps.Ref] = "ask" // what the argument's one is
	boxPoke  caps.Action                     = "poke"
	boxSet   caps.Command[caps.Ref]          = "set"
	boxAdd   caps.Command[caps.Ref]          = "add"
	boxTie   caps.Command[ties]              = "tie"
	boxWrap  caps.Command[caps.Value]        = "wrap"
	boxSwap  caps.Method[caps.Ref, caps.Ref] = "swap"
	boxHand  caps.Command[caps.Ref]          = "hand"  // sets the argument's one
	boxTrade caps.Command[caps.Ref]          = "trade" // swaps that, and keeps what comes back
	boxKeep  caps.Command[[]caps.Ref]        = "keep"  // many, as they are

)

func boxKind() *sturdy.KindOf[box] {
	return sturdy.Define("proof/box",
		sturdy.Query(boxOne, func(b *box, _ *sturdy.ReadTurn) (caps.Ref, error) { return b.One, nil }),
		sturdy.Query(boxMany, func(b *box, _ *sturdy.ReadTurn) ([]caps.Ref, error) { return b.Many, nil }),
		sturdy.Query(boxTied, func(b *box, _ *sturdy.ReadTurn) (ties, error) { return b.Tied, nil }),
		sturdy.Query(boxAny, func(b *box, _ *sturdy.ReadTurn) (caps.Value, error) { return b.Any, nil }),
		sturdy.Method(boxEcho, func(_ *box, _ *sturdy.ReadTurn, r caps.Ref) (caps.Ref, error) { return r, nil }),
		sturdy.Method(boxAsk, func(_ *box, t *sturdy.ReadTurn, r caps.Ref) (caps.Ref, error) { return boxOne.Call(t, r) }),
		sturdy.Action(boxPoke, func(b *box, _ *sturdy.WriteTurn) error { b.N++; return nil }),
		sturdy.Command(boxSet, func(b *box, _ *sturdy.WriteTurn, r caps.Ref) error { b.One = r; return nil }),
		sturdy.Command(boxAdd, func(b *box, _ *sturdy.WriteTurn, r caps.Ref) error { b.Many = lastFew(append(b.Many, r)); return nil }),
		sturdy.Command(boxTie, func(b *box, _ *sturdy.WriteTurn, l ties) error { b.Tied = l; return nil }),
		sturdy.Command(boxWrap, func(b *box, _ *sturdy.WriteTurn, v caps.Value) error { b.Any = v; return nil }),
		sturdy.Method(boxSwap, func(b *box, _ *sturdy.WriteTurn, r caps.Ref) (was caps.Ref, _ error) {
			was, b.One = b.One, r
			return was, nil
		}),
		sturdy.Command(boxHand, func(b *box, t *sturdy.WriteTurn, to caps.Ref) error { return boxSet.Call(t, to, b.One) }),
		sturdy.Command(boxTrade, func(b *box, t *sturdy.WriteTurn, to caps.Ref) error {
			got, err := boxSwap.Call(t, to, b.One)
			if err == nil {
				b.Many = lastFew(append(b.Many, got))
			}
			return err
		}),
		sturdy.Command(boxKeep, func(b *box, _ *sturdy.WriteTurn, rs []caps.Ref) error { b.Many = rs; return nil }),
	)
}

// verb is one thing that can be done with an object, in the world and in the model.
type verb struct {
	kind, method string
	need         caps.Rights
	real         func(c calling) (got []caps.Ref, text string, err error)
	model        func(a asked, n *node) (got []slot, text string, code caps.Code)
	// typed: an operation of a collection, which is done in a turn and ends it if it fails.
	typed bool
	arg   string // what it takes: "", "ref", "key" or another
}

// calling is one call in the world.
type calling struct {
	ctx     context.Context
	w       *sturdy.WriteTurn // ctx, if it is one
	to, arg caps.Ref
	i       int // of the key
}

func (c calling) key() string { return keyOf("map", c.i) }

// untyped makes the call without the types of the method.
func (c calling) untyped(v *verb) ([]caps.Ref, string, error) {
	var arg any
	switch v.arg {
	case "ref":
		arg = c.arg
	case "key":
		arg = c.key()
	}
	value, err := caps.ValueOf(arg)
	if err != nil {
		return nil, "", err
	}
	res, err := caps.Method[caps.Value, caps.Value](v.method).Call(c.ctx, c.to, value)
	if n, ok := res.Any().(int64); ok {
		return nil, fmt.Sprint(n), err
	}
	return refsIn(res, err), "", err
}

// of is the result of a call in the form that verbs have.
func of[T any](v T, err error) ([]caps.Ref, string, error) { return refsIn(v, err), "", err }

func none(err error) ([]caps.Ref, string, error) { return nil, "", err }

func verbNamed(kind, method string) *verb {
	vs := verbs()
	return &vs[slices.IndexFunc(vs, func(v verb) bool { return v.kind == kind && v.method == method })]
}

func verbs() []verb {
	return slices.Concat(boxVerbs(), mapVerbs(), listVerbs(), brandVerbs(), []verb{
		{kind: "cell", method: "get", need: caps.Read, model: modelGet, typed: true, real: func(c calling) ([]caps.Ref, string, error) {
			return of(sturdy.Cell[caps.Ref]{Ref: c.to}.Get(c.ctx.(sturdy.Turn)), nil)
		}},
		{kind: "cell", method: "set", need: caps.Write, model: modelPut, typed: true, arg: "ref", real: func(c calling) ([]caps.Ref, string, error) {
			sturdy.Cell[caps.Ref]{Ref: c.to}.Set(c.w, c.arg)
			return none(nil)
		}},
		{kind: "directory", method: "get", need: caps.Read, model: modelGet, arg: "key", real: func(c calling) ([]caps.Ref, string, error) {
			return of(sturdy.Directory{Ref: c.to}.Get(c.ctx, c.key()))
		}},
		{kind: "directory", method: "put", need: caps.Write, model: modelPut, arg: "entry", real: func(c calling) ([]caps.Ref, string, error) {
			return none(sturdy.Directory{Ref: c.to}.Put(c.ctx, c.key(), c.arg))
		}},
		{kind: "directory", method: "delete", need: caps.Write, model: modelDelete, arg: "key", real: func(c calling) ([]caps.Ref, string, error) {
			return none(sturdy.Directory{Ref: c.to}.Delete(c.ctx, c.key()))
		}},
		{kind: "directory", method: "list", need: caps.Read, model: modelRows, typed: true, arg: "page", real: func(c calling) (got []caps.Ref, _ string, _ error) {
			for _, r := range (sturdy.Directory{Ref: c.to}).All(c.ctx.(sturdy.Turn)) {
				got = append(got, r)
			}
			return got, "", nil
		}},
		lenVerb("directory"), lenVerb("map"), lenVerb("list"),
		{kind: "grant", method: "info", need: caps.Read, model: modelInfo, arg: "typed", real: func(c calling) ([]caps.Ref, string, error) {
			i, err := sturdy.Grant{Ref: c.to}.Info(c.ctx)
			return nil, infoText(i.Alive, !i.Revoked.IsZero(), i.Deep, len(i.Only), i.Until), err
		}},
		{kind: "grant", method: "revoke", need: caps.Write, model: modelRevoke, real: func(c calling) ([]caps.Ref, string, error) {
			return none(sturdy.Grant{Ref: c.to}.Revoke(c.ctx))
		}},
	})
}

func lenVerb(kind string) verb {
	return verb{kind: kind, method: "len", need: caps.Read, model: modelLen, real: func(c calling) ([]caps.Ref, string, error) {
		n, err := caps.Query[int64]("len").Call(c.ctx, c.to)
		return nil, fmt.Sprint(n), err
	}}
}

func boxVerbs() []verb {
	read := func(m string, model func(asked, *node) ([]slot, string, caps.Code), real func(calling) ([]caps.Ref, string, error), arg string) verb {
		return verb{kind: "box", method: m, need: caps.Read, model: model, real: real, arg: arg}
	}
	write := func(m string, model func(asked, *node) ([]slot, string, caps.Code), real func(calling) error, arg string) verb {
		return verb{kind: "box", method: m, need: caps.Write, model: model, arg: arg, real: func(c calling) ([]caps.Ref, string, error) { return none(real(c)) }}
	}
	return []verb{
		read("one", modelOne, func(c calling) ([]caps.Ref, string, error) { return of(boxOne.Call(c.ctx, c.to)) }, ""),
		read("many", modelMany, func(c calling) ([]caps.Ref, string, error) { return of(boxMany.Call(c.ctx, c.to)) }, ""),
		read("tied", modelTied, func(c calling) ([]caps.Ref, string, error) { return of(boxTied.Call(c.ctx, c.to)) }, ""),
		read("any", modelAny, func(c calling) ([]caps.Ref, string, error) { return of(boxAny.Call(c.ctx, c.to)) }, ""),
		read("echo", modelEcho, func(c calling) ([]caps.Ref, string, error) { return of(boxEcho.Call(c.ctx, c.to, c.arg)) }, "ref"),
		read("ask", modelAsk, func(c calling) ([]caps.Ref, string, error) { return of(boxAsk.Call(c.ctx, c.to, c.arg)) }, "ref"),
		write("poke", modelPoke, func(c calling) error { return boxPoke.Call(c.ctx, c.to) }, ""),
		write("set", modelSet, func(c calling) error { return boxSet.Call(c.ctx, c.to, c.arg) }, "ref"),
		write("add", modelAdd, func(c calling) error { return boxAdd.Call(c.ctx, c.to, c.arg) }, "ref"),
		write("tie", modelTie, func(c calling) error {
			return boxTie.Call(c.ctx, c.to, ties{A: link{c.arg}, B: [2]caps.Ref{1: c.arg}, P: &link{c.arg}})
		}, "ties"),
		write("wrap", modelWrap, func(c calling) error {
			v, err := caps.ValueOf([]any{c.arg, map[string]any{"x": c.arg}})
			if err != nil {
				return err
			}
			return boxWrap.Call(c.ctx, c.to, v)
		}, "value"),
		write("hand", modelHand, func(c calling) error { return boxHand.Call(c.ctx, c.to, c.arg) }, "ref"),
		write("trade", modelTrade, func(c calling) error { return boxTrade.Call(c.ctx, c.to, c.arg) }, "ref"),
		{
			kind: "box", method: "swap", need: caps.Write, model: modelSwap, arg: "ref",
			real: func(c calling) ([]caps.Ref, string, error) { return of(boxSwap.Call(c.ctx, c.to, c.arg)) },
		},
	}
}

func mapVerbs() []verb {
	m := func(c calling) sturdy.Map[string, caps.Ref] { return sturdy.Map[string, caps.Ref]{Ref: c.to} }
	return []verb{
		{kind: "map", method: "get", need: caps.Read, model: modelGet, typed: true, arg: "key", real: func(c calling) ([]caps.Ref, string, error) {
			r, _ := m(c).Get(c.ctx.(sturdy.Turn), c.key())
			return of(r, nil)
		}},
		{kind: "map", method: "range", need: caps.Read, model: modelRows, typed: true, real: func(c calling) (got []caps.Ref, _ string, _ error) {
			for _, r := range m(c).All(c.ctx.(sturdy.Turn)) {
				got = append(got, r)
			}
			return got, "", nil
		}},
		{kind: "map", method: "put", need: caps.Write, model: modelPut, typed: true, arg: "ref", real: func(c calling) ([]caps.Ref, string, error) {
			m(c).Put(c.w, c.key(), c.arg)
			return none(nil)
		}},
		{kind: "map", method: "delete", need: caps.Write, model: modelDelete, typed: true, real: func(c calling) ([]caps.Ref, string, error) {
			m(c).Delete(c.w, c.key())
			return none(nil)
		}},
		{kind: "map", method: "range", need: caps.Read, model: modelRows, arg: "rows", real: func(c calling) ([]caps.Ref, string, error) {
			return of(untypedRange.Call(c.ctx, c.to, rangeQuery{}))
		}},
	}
}

func listVerbs() []verb {
	l := func(c calling) sturdy.List[caps.Ref] { return sturdy.List[caps.Ref]{Ref: c.to} }
	return []verb{
		{kind: "list", method: "get", need: caps.Read, model: modelGet, typed: true, real: func(c calling) ([]caps.Ref, string, error) {
			r, _ := l(c).At(c.ctx.(sturdy.Turn), c.i)
			return of(r, nil)
		}},
		{kind: "list", method: "range", need: caps.Read, model: modelRows, typed: true, real: func(c calling) (got []caps.Ref, _ string, _ error) {
			for _, r := range l(c).Range(c.ctx.(sturdy.Turn), 0, 1000) {
				got = append(got, r)
			}
			return got, "", nil
		}},
		{kind: "list", method: "append", need: caps.Write, model: modelAppend, typed: true, arg: "ref", real: func(c calling) ([]caps.Ref, string, error) {
			l(c).Append(c.w, c.arg)
			return none(nil)
		}},
		{kind: "list", method: "set", need: caps.Write, model: modelSetRow, typed: true, arg: "ref", real: func(c calling) ([]caps.Ref, string, error) {
			l(c).Set(c.w, c.i, c.arg)
			return none(nil)
		}},
	}
}
