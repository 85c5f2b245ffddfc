package orders

import (
	"context"
	"fmt"
	"math"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// ErrOutOfStock is returned by Reserve when fewer are free than asked for.
const ErrOutOfStock caps.Code = "shop.example/out of stock"

// What a holder of the stock may ask.
const (
	Restock caps.Command[Item]         = "restock"
	Reserve caps.Command[Item]         = "reserve"
	Release caps.Command[Item]         = "release" // of what was reserved
	Ship    caps.Command[Item]         = "ship"    // of what was reserved
	Look    caps.Method[string, Shelf] = "look"    // at the shelf of a product
)

// Item is some number of a product.
type Item struct {
	SKU string
	N   int64
}

// Shelf is how many of a product there are. Goods only move from one number to another; what
// Restock brings is the only change of their sum.
type Shelf struct{ Free, Reserved, Gone int64 }

// Stock is a capability to a stock: its calls, as methods. Each of the commands refuses what
// cannot be with caps.ErrBadArgument.
type Stock struct{ caps.Ref }

// Restock adds to what is free.
func (s Stock) Restock(ctx context.Context, i Item) error { return Restock.Call(ctx, s.Ref, i) }

// Reserve takes from what is free; ErrOutOfStock if that is not enough.
func (s Stock) Reserve(ctx context.Context, i Item) error { return Reserve.Call(ctx, s.Ref, i) }

// Release puts back what was reserved.
func (s Stock) Release(ctx context.Context, i Item) error { return Release.Call(ctx, s.Ref, i) }

// Ship takes away what was reserved.
func (s Stock) Ship(ctx context.Context, i Item) error { return Ship.Call(ctx, s.Ref, i) }

// Look returns how many there are; none of a product that there never was.
func (s Stock) Look(ctx context.Context, sku string) (Shelf, error) {
	return Look.Call(ctx, s.Ref, sku)
}

// stock is the state. The shelves are records of their own: a large stock is not copied for
// each order.
type stock struct{ Shelves sturdy.Map[string, Shelf] }

func (s *stock) look(t *sturdy.ReadTurn, sku string) (Shelf, error) {
	shelf, _ := s.Shelves.Get(t, sku)
	return shelf, nil
}

func (s *stock) restock(t *sturdy.WriteTurn, i Item) error {
	return s.change(t, i, func(shelf *Shelf) error {
		if i.N > math.MaxInt64-shelf.Free-shelf.Reserved-shelf.Gone {
			return fmt.Errorf("%w: more %s than can be counted", caps.ErrBadArgument, i.SKU)
		}
		shelf.Free += i.N
		return nil
	})
}

func (s *stock) reserve(t *sturdy.WriteTurn, i Item) error {
	return s.change(t, i, func(shelf *Shelf) error {
		if i.N > shelf.Free {
			return fmt.Errorf("%w: %d %s are free, asked for are %d", ErrOutOfStock, shelf.Free, i.SKU, i.N)
		}
		shelf.Free, shelf.Reserved = shelf.Free-i.N, shelf.Reserved+i.N
		return nil
	})
}

func (s *stock) release(t *sturdy.WriteTurn, i Item) error {
	return s.reserved(t, i, func(shelf *Shelf) { shelf.Free += i.N })
}

func (s *stock) ship(t *sturdy.WriteTurn, i Item) error {
	return s.reserved(t, i, func(shelf *Shelf) { shelf.Gone += i.N })
}

// reserved moves what is reserved to somewhere else.
func (s *stock) reserved(t *sturdy.WriteTurn, i Item, to func(*Shelf)) error {
	return s.change(t, i, func(shelf *Shelf) error {
		if i.N > shelf.Reserved {
			return fmt.Errorf("%w: %d %s are reserved, not %d", caps.ErrBadArgument, shelf.Reserved, i.SKU, i.N)
		}
		shelf.Reserved -= i.N
		to(shelf)
		return nil
	})
}

func (s *stock) change(t *sturdy.WriteTurn, i Item, fn func(*Shelf) error) error {
	if i.SKU == "" || i.N <= 0 {
		return fmt.Errorf("%w: %d of %q", caps.ErrBadArgument, i.N, i.SKU)
	}
	shelf, _ := s.Shelves.Get(t, i.SKU)
	if err := fn(&shelf); err != nil {
		return err
	}
	s.Shelves.Put(t, i.SKU, shelf)
	return nil
}

// StockKind is the kind of stocks.
var StockKind = sturdy.Define("shop.example/stock",
	sturdy.Command(Restock, (*stock).restock),
	sturdy.Command(Reserve, (*stock).reserve),
	sturdy.Command(Release, (*stock).release),
	sturdy.Command(Ship, (*stock).ship),
	sturdy.Method(Look, (*stock).look),
)

// NewStock makes an empty stock.
func NewStock(t *sturdy.WriteTurn) Stock {
	return Stock{StockKind.New(t, stock{sturdy.NewMap[string, Shelf](t)})}
}
