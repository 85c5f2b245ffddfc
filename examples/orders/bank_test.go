package orders_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/sturdyrt/sturdy/examples/orders"
)

// bank is a payment provider that our crashes do not reach. Safe for concurrent use.
type bank struct {
	decline bool
	during  func() // runs in each charge, before its answer

	mu       sync.Mutex // guards what follows
	down     bool
	refuse   bool             // it refunds nothing
	asked    int              // charges that were asked for and heard
	charged  map[string]int64 // cents by key
	refunded map[string]bool  // charged or not
}

func newBank() *bank {
	return &bank{charged: map[string]int64{}, refunded: map[string]bool{}}
}

// reset forgets everything, for the next world.
func (b *bank) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down, b.asked = false, 0
	clear(b.charged)
	clear(b.refunded)
}

const errDown = failure("the line is dead")

type failure string

func (f failure) Error() string { return string(f) }

func (b *bank) setDown(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

func (b *bank) Charge(_ context.Context, merchant string, r orders.ChargeRequest) (string, error) {
	receipt, err := b.charge(merchant, r)
	if err == nil && b.during != nil {
		b.during()
	}
	return receipt, err
}

func (b *bank) charge(merchant string, r orders.ChargeRequest) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return "", errDown
	}
	b.asked++
	switch {
	case b.decline, b.refunded[r.Key]:
		return "", orders.ErrDeclined
	}
	b.charged[r.Key] = r.Cents
	return fmt.Sprintf("%s-%d", merchant, r.Cents), nil
}

func (b *bank) Refund(_ context.Context, _ string, r orders.RefundRequest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down || b.refuse {
		return errDown
	}
	b.refunded[r.Key] = true
	return nil
}

// account is how often was charged, and how much of it was kept.
func (b *bank) account() (charges int, kept int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, cents := range b.charged {
		charges++
		if !b.refunded[key] {
			kept += cents
		}
	}
	return charges, kept
}

func (b *bank) asks() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}
