package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/examples/orders"
)

// entry is one line of the ledger.
type entry struct {
	What  string // asked, charged, declined or refunded
	Key   string
	Cents int64
}

// ledger stands for a payment provider somewhere else: it has a file of its own, knows
// nothing of the world, and goes by the keys of the requests. It is slow, so that a kill
// often comes between a charge and its answer. Safe for concurrent use.
type ledger struct {
	mu      sync.Mutex // guards what follows
	file    *os.File
	entries []entry
}

func openLedger(name string) (*ledger, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	l := &ledger{file: f}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// load reads the file. A last line that was broken off is cut away.
func (l *ledger) load() error {
	text, err := io.ReadAll(l.file)
	if err != nil {
		return err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	for line := range bytes.Lines(whole) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%s: %w", l.file.Name(), err)
		}
		l.entries = append(l.entries, e)
	}
	return l.file.Truncate(int64(len(whole)))
}

func (l *ledger) close() error { return l.file.Close() }

func (l *ledger) write(e entry) error {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err == nil {
		err = l.file.Sync()
	}
	if err == nil {
		l.entries = append(l.entries, e)
	}
	return err
}

// count says how many entries there are; an empty key is every key.
func (l *ledger) count(what, key string) (n int, cents int64) {
	for _, e := range l.entries {
		if e.What == what && (key == "" || e.Key == key) {
			n, cents = n+1, cents+e.Cents
		}
	}
	return n, cents
}

func (l *ledger) has(what, key string) bool { n, _ := l.count(what, key); return n > 0 }

// What the provider makes of an amount: above limit it declines, and one that ends in odd it
// does not answer the first time.
const (
	limit = 500_00
	odd   = 7
)

// Charge is orders.Payments'.
func (l *ledger) Charge(ctx context.Context, merchant string, r orders.ChargeRequest) (string, error) {
	if err := l.charge(r); err != nil {
		return "", err
	}
	select { // the money is gone by now, whether anybody waits for the receipt or not
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return fmt.Sprintf("%s/%d.%02d", merchant, r.Cents/100, r.Cents%100), nil
}

func (l *ledger) charge(r orders.ChargeRequest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(entry{"asked", r.Key, r.Cents}); err != nil {
		return err
	}
	asked, _ := l.count("asked", r.Key)
	switch {
	case l.has("refunded", r.Key):
		return fmt.Errorf("%w: it was taken back before it was charged", orders.ErrDeclined)
	case l.has("charged", r.Key):
		return nil
	case r.Cents > limit:
		return fmt.Errorf("%w: no card is good for so much", orders.ErrDeclined)
	case r.Cents%10 == odd && asked == 1:
		return errors.New("the line is dead")
	}
	return l.write(entry{"charged", r.Key, r.Cents})
}

// Refund is orders.Payments'.
func (l *ledger) Refund(_ context.Context, _ string, r orders.RefundRequest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.has("refunded", r.Key) {
		return nil
	}
	_, cents := l.count("charged", r.Key)
	return l.write(entry{"refunded", r.Key, cents})
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked, _ := l.count("asked", "")
	charges, charged := l.count("charged", "")
	_, refunded := l.count("refunded", "")
	return fmt.Sprintf("asked %d times, charged %d times %d cents in all, gave back %d", asked, charges, charged, refunded)
}
