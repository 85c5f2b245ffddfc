package peers

import (
	"context"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// What a holder of an account may ask.
const (
	add      caps.Method[int64, int64] = "add"
	number64 caps.Query[int64]         = "number"
)

// account is an object of 100 bytes: flat, as most states are.
type account struct {
	N   int64
	Pad [ObjectSize - 8]byte
}

func (a *account) add(_ *sturdy.WriteTurn, by int64) (int64, error) { a.N += by; return a.N, nil }
func (a *account) number(*sturdy.ReadTurn) (int64, error)           { return a.N, nil }

var accountKind = sturdy.Define("peers.example/account",
	sturdy.Method(add, (*account).add),
	sturdy.Query(number64, (*account).number),
)

// sturdyPeer is Sturdy itself: an object per object.
type sturdyPeer struct {
	rt   *sturdy.Runtime
	ctx  context.Context
	refs []caps.Ref
}

func openSturdy(dir string, objects int) (Peer, error) {
	rt, err := sturdy.Open(dir, accountKind)
	if err != nil {
		return nil, err
	}
	p := &sturdyPeer{rt: rt, ctx: context.Background(), refs: make([]caps.Ref, objects)}
	list, err := rt.Root().Ensure(p.ctx, "accounts", func(t *sturdy.WriteTurn) caps.Ref {
		l := sturdy.NewList[caps.Ref](t)
		for i := range objects {
			a := account{}
			o := fresh(i)
			copy(a.Pad[:], o[8:])
			l.Append(t, accountKind.New(t, a))
		}
		return l.Ref
	})
	if err != nil {
		return nil, err
	}
	return p, rt.View(p.ctx, func(t *sturdy.ReadTurn) error {
		for i, r := range (sturdy.List[caps.Ref]{Ref: list}).Range(t, 0, objects) {
			p.refs[i] = r
		}
		return nil
	})
}

func (p *sturdyPeer) Add(key int, by int64) error {
	_, err := add.Call(p.ctx, p.refs[key], by)
	return err
}

func (p *sturdyPeer) Transfer(from, to int, amount int64) error {
	return p.rt.Update(p.ctx, func(t *sturdy.WriteTurn) error {
		if _, err := add.Call(t, p.refs[from], -amount); err != nil {
			return err
		}
		_, err := add.Call(t, p.refs[to], amount)
		return err
	})
}

func (p *sturdyPeer) Sum() (sum int64, err error) {
	return sum, p.rt.View(p.ctx, func(t *sturdy.ReadTurn) error {
		sum = 0
		for _, r := range p.refs {
			n, err := number64.Call(t, r)
			if err != nil {
				return err
			}
			sum += n
		}
		return nil
	})
}

func (p *sturdyPeer) Close() error { return p.rt.Close() }
