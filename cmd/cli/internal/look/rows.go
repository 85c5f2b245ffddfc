package look

import (
	"context"
	"iter"
	"math"

	"github.com/sturdyrt/sturdy/caps"
)

// pageSize is how many rows one call asks for. Each page is a turn of its own, unless ctx is
// a turn.
const pageSize = 1000

// Name is one entry of a directory.
type Name struct {
	Name string
	Ref  caps.Ref
}

// The methods of directories and collections that reading takes.
const (
	list  caps.Method[listPage, []Name]      = "list"
	rows  caps.Method[rowPage, []caps.Entry] = "range"
	get   caps.Method[string, caps.Ref]      = "get"
	count caps.Query[int64]                  = "len"
)

type listPage struct {
	From  string
	Limit int64
}

type rowPage struct {
	From, To caps.Value
	Limit    int64
}

// Get returns what stands under name in the directory dir.
func Get(ctx context.Context, dir caps.Ref, name string) (caps.Ref, error) {
	return get.Call(ctx, dir, name)
}

// Len is the number of entries of a directory or a collection.
func Len(ctx context.Context, ref caps.Ref) (int64, error) { return count.Call(ctx, ref) }

// NameCursor goes through a directory page by page. Set Dir, and From to start later.
type NameCursor struct {
	Dir  caps.Ref
	From string
	done bool
}

// Next returns the next entries in order, none at the end.
func (c *NameCursor) Next(ctx context.Context) ([]Name, error) {
	if c.done {
		return nil, nil
	}
	page, err := list.Call(ctx, c.Dir, listPage{c.From, pageSize})
	if c.done = len(page) < pageSize; !c.done {
		c.From = page[len(page)-1].Name + "\x00"
	}
	return page, err
}

// RowCursor goes through a collection page by page, in order of key. Set Coll, and the rest
// to see a part only.
type RowCursor struct {
	Coll caps.Ref
	// From and To are bounds: keys from From, before To; nil is no bound.
	From, To caps.Value
	// Limit is how many rows at most; 0: all.
	Limit int64

	seen int64
	done bool
}

// Next returns the next rows, none at the end.
func (c *RowCursor) Next(ctx context.Context) ([]caps.Entry, error) {
	ask := int64(pageSize)
	if c.Limit > 0 {
		ask = min(ask, c.Limit-c.seen)
	}
	if c.done || ask == 0 {
		return nil, nil
	}
	page, err := rows.Call(ctx, c.Coll, rowPage{c.From, c.To, ask})
	if err != nil {
		return nil, err
	}
	c.seen += int64(len(page))
	more := int64(len(page)) == ask
	if more {
		c.From, more = after(page[len(page)-1].Key)
	}
	c.done = !more
	return page, nil
}

// Names yields the entries of the directory dir in order. An error ends it.
func Names(ctx context.Context, dir caps.Ref) iter.Seq2[Name, error] {
	c := NameCursor{Dir: dir}
	return all(func() ([]Name, error) { return c.Next(ctx) })
}

// Rows yields the rows of a collection in order of key. An error ends it.
func Rows(ctx context.Context, coll caps.Ref) iter.Seq2[caps.Entry, error] {
	c := RowCursor{Coll: coll}
	return all(func() ([]caps.Entry, error) { return c.Next(ctx) })
}

// all yields what the pages of a cursor hold.
func all[T any](next func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			page, err := next()
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

// after returns the smallest key above k; ok is false if there is none.
func after(k caps.Value) (next caps.Value, ok bool) {
	switch k := k.Any().(type) {
	case string:
		return value(k + "\x00"), true
	case int64:
		// Keys above this one exist only if they are unsigned, which is not known here. A
		// page that ends exactly there is taken for the last one.
		return value(k + 1), k < math.MaxInt64
	case uint64:
		return value(k + 1), k < math.MaxUint64
	case float64:
		return value(math.Nextafter(k, math.Inf(1))), !math.IsInf(k, 1)
	}
	return caps.Value{}, false
}

// value is v, of a type that is always a Value.
func value(v any) caps.Value {
	x, _ := caps.ValueOf(v)
	return x
}
