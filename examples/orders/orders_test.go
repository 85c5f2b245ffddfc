package orders_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/examples/orders"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// course is what happens to an order for two tea. It is written so that it can be run again
// in a world where it was broken off, as people do who got no answer.
type course struct {
	run                  func(*shop) error
	decline              bool
	canceledWhileCharged bool
	end                  orders.State
	why                  string // the order's Why has it
	charged              int    // how often the bank charged in the end; -1: once or not at all
}

func courses() map[string]course {
	return map[string]course{
		"approved": {end: orders.Shipped, charged: 1, run: func(s *shop) error {
			err := errors.Join(s.place("o", 2), s.decide("o", true))
			s.Advance(25 * time.Hour)
			return err
		}},
		"rejected": {end: orders.Failed, why: "rejected", run: func(s *shop) error {
			return errors.Join(s.place("o", 2), s.decide("o", false))
		}},
		"timed out": {end: orders.Failed, why: "nobody approved", run: func(s *shop) error {
			err := s.place("o", 2)
			s.Advance(49 * time.Hour)
			return err
		}},
		"declined": {end: orders.Failed, why: "declined", decline: true, run: func(s *shop) error {
			return errors.Join(s.place("o", 2), s.decide("o", true))
		}},
		"out of stock": {end: orders.Failed, why: "out of stock", run: func(s *shop) error {
			err := s.place("o", stock+1)
			s.Settle()
			return err
		}},
		"canceled before it is approved": {end: orders.Failed, why: "never mind", run: func(s *shop) error {
			return errors.Join(s.place("o", 2), s.cancel("o"))
		}},
		"canceled while it is charged": {end: orders.Failed, why: "never mind", charged: -1, canceledWhileCharged: true, run: func(s *shop) error {
			err := errors.Join(s.place("o", 2), s.decide("o", true))
			if err == nil {
				err = s.cancel("o") // again, in case the charge was broken off
			}
			s.Advance(time.Hour)
			return err
		}},
		"canceled when it is paid": {end: orders.Failed, why: "never mind", charged: 1, run: func(s *shop) error {
			err := errors.Join(s.place("o", 2), s.decide("o", true))
			s.Advance(time.Hour)
			return errors.Join(err, s.cancel("o"))
		}},
		"parked and resumed": {end: orders.Shipped, charged: 1, run: func(s *shop) error {
			s.bank.setDown(true)
			err := errors.Join(s.place("o", 2), s.decide("o", true))
			s.bank.setDown(false)
			err = errors.Join(err, s.resume("o"))
			s.Advance(25 * time.Hour)
			return err
		}},
		"parked and canceled": {end: orders.Failed, why: "never mind", charged: -1, run: func(s *shop) error {
			s.bank.setDown(true)
			err := errors.Join(s.place("o", 2), s.decide("o", true), s.cancel("o"))
			s.Advance(time.Hour)
			s.bank.setDown(false)
			s.Advance(time.Hour)
			return err
		}},
	}
}

func (s *shop) ended(t *testing.T, c course) {
	t.Helper()
	p := s.status(t, "o")
	if p.State != c.end || !strings.Contains(p.Why, c.why) || (p.Why == "") != (c.why == "") {
		t.Errorf("the order is %+v; it should be %s because of %q", p, c.end, c.why)
	}
	gone := int64(0)
	if c.end == orders.Shipped {
		gone = 2
	}
	s.balanced(t, gone)
	if n, _ := s.bank.account(); n != c.charged && (c.charged >= 0 || n > 1) {
		t.Errorf("charged %d times", n)
	}
	for info, err := range s.Activity().Threads(t.Context()) {
		t.Errorf("a thread has not ended: %+v, %v", info, err)
	}
	for l, err := range s.Activity().Letters(t.Context()) {
		t.Errorf("a message is left: %+v, %v", l, err)
	}
}

// TestChargedOnceWhereverItCrashes lets the power fail at each operation on the disk, in each
// course of things. Then everybody tries again what he was about, and things must end as if
// nothing had happened.
func TestChargedOnceWhereverItCrashes(t *testing.T) {
	rounds := 3 // chance says what is left of sectors that were not synced
	if raceEnabled || testing.Short() {
		rounds = 1
	}
	var points, repeated atomic.Int64
	t.Run("courses", func(t *testing.T) {
		for name, c := range courses() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for range rounds {
					p, r := c.crashEverywhere(t)
					points.Add(p)
					repeated.Add(r)
				}
			})
		}
	})
	t.Logf("%d crashes, %d of them between a charge and the record of it", points.Load(), repeated.Load())
	if points.Load() < 200*int64(rounds) || repeated.Load() == 0 {
		t.Error("that is too few")
	}
}

// crashEverywhere counts the crashes, and after how many the bank was asked again for what it
// had charged.
func (c course) crashEverywhere(t *testing.T) (points, repeated int64) {
	b := newBank()
	s := &shop{bank: b, gateway: orders.GatewayKind(b)}
	b.decline = c.decline
	if c.canceledWhileCharged {
		b.during = s.cancelNow
	}
	runtimetest.EachCrash(t, sturdy.Kinds(orders.Kind, orders.StockKind, s.gateway),
		func(w *runtimetest.World) error {
			b.reset()
			s.World = w
			if err := s.build(); err != nil {
				return err
			}
			return c.run(s)
		},
		func(t *testing.T, w *runtimetest.World) {
			if s.World != w { // it failed before there was a world
				b.reset()
				s.World = w
			}
			s.must(t, s.build())
			s.must(t, c.run(s))
			s.ended(t, c)
			points++
			if n, _ := b.account(); n == 1 && b.asks() > 1 {
				repeated++
			}
		})
	return points, repeated
}

func (s *shop) cancelNow() {
	if o, _, err := s.order("o"); err == nil {
		_ = o.Cancel(context.Background(), "never mind") // a crash may keep it from being recorded
	}
}
