package look

import (
	"context"
	"time"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Patience is how long a listing waits for other hosts: for all that do not answer together, so
// that it is there soon however many are away. The zero Patience is that of a new listing.
type Patience struct{ lost time.Duration }

const (
	askWithin = 2 * time.Second        // all that do not answer
	askAtOnce = 100 * time.Millisecond // one more, when that is over
)

// Ask describes one object of the listing.
func (p *Patience) Ask(ctx context.Context, describe func(context.Context) (sturdy.ObjectInfo, error)) (sturdy.ObjectInfo, error) {
	ctx, done := context.WithTimeout(ctx, max(askWithin-p.lost, askAtOnce))
	defer done()
	began := time.Now()
	info, err := describe(ctx)
	if err != nil {
		p.lost += time.Since(began)
	}
	return info, err
}
