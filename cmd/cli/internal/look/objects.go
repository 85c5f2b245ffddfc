package look

import (
	"context"
	"errors"
	"iter"
	"strconv"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Objects yields every object of the world, in the order in which they were made. What is
// damaged is yielded as an error, and the others follow.
func Objects(ctx context.Context, rt *sturdy.Runtime) iter.Seq2[caps.Ref, error] {
	return func(yield func(caps.Ref, error) bool) {
		var last caps.Ref
		for ref, err := range rt.Objects(ctx) {
			if errors.Is(err, objstore.ErrDamaged) {
				byNumber(ctx, rt, numberOf(ctx, rt, last)+1, yield)
				return
			}
			if !yield(ref, err) {
				return
			}
			last = ref
		}
	}
}

// numberOf is the number of an object, 0 if there is none.
func numberOf(ctx context.Context, rt *sturdy.Runtime, ref caps.Ref) uint64 {
	if ref.IsNull() {
		return 0
	}
	info, err := rt.Describe(ctx, ref)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(info.ID, 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// gap is how many numbers in a row have to lead nowhere before they are at their end.
const gap = 10_000

// byNumber yields the objects from a number on by trying one number after the other: a
// listing ends at, or before, a row that cannot be read.
func byNumber(ctx context.Context, rt *sturdy.Runtime, n uint64, yield func(caps.Ref, error) bool) {
	for misses := 0; misses < gap && ctx.Err() == nil; n++ {
		ref, err := rt.Object(ctx, strconv.FormatUint(n, 16))
		if errors.Is(err, caps.ErrGone) {
			misses++
			continue
		}
		misses = 0
		if !yield(ref, err) {
			return
		}
	}
}
