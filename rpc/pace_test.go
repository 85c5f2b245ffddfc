package rpc

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// plainCall is the frame of a call.
func plainCall(id uint64) []byte {
	return appendRequest(nil, id, &request{op: opCall, method: "m"}, 0)
}

// TestRequestsOfOnePeerDoNotStandBeforeThoseOfOthers has as many that have not begun as may be.
func TestRequestsOfOnePeerDoNotStandBeforeThoseOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := 0
		p := play(t, func(context.Context, *link, request) (response, error) {
			served++
			return response{}, nil
		}, Limits{})
		p.greet()
		synctest.Wait()
		p.l.mu.Lock()
		p.l.load.ready = maxReady
		p.l.mu.Unlock()
		p.send(plainCall(1))
		synctest.Wait()
		if served != 0 {
			t.Error("served, though", maxReady, "have not begun")
		}
		for range maxReady / 2 {
			p.l.begins()
		}
		p.expect(kindResponse)
	})
}

// TestWhoIsRefusedOftenIsReadSlowly has a peer that asks for more than it may, again and again.
func TestWhoIsRefusedOftenIsReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, keeper, Limits{Calls: 1})
		p.greet()
		synctest.Wait()
		p.send(appendRequest(nil, 1, &request{op: opCall, method: "wait"}, 0))
		began := time.Now()
		const many = 10 * maxRefused
		var b []byte
		for id := range uint64(many) {
			b = append(b, plainCall(id+2)...)
		}
		go p.send(b)
		for range many {
			if f := p.expect(kindError); f.err().Code != caps.ErrOverloaded {
				t.Error(f.err())
			}
		}
		if d := time.Since(began); d < 9*refusalPause {
			t.Errorf("%d refusals took %v", many, d)
		}
	})
}

// TestWhoDoesNotReadIsNotServedOn: what was served for it would wait here until it reads.
func TestWhoDoesNotReadIsNotServedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := 0
		p := play(t, func(context.Context, *link, request) (response, error) {
			served++
			return response{body: []byte(strings.Repeat("x", leastMessage-64))}, nil
		}, Limits{MessageBytes: leastMessage, BytesInFlight: 4 * leastMessage})
		p.greet()
		synctest.Wait()
		p.deaf <- struct{}{}
		for id := range uint64(30) {
			p.send(plainCall(id + 1))
			synctest.Wait()
		}
		if served > 6 {
			t.Errorf("served %d times, and there is room for 4", served)
		}
		<-p.deaf
		overloaded := 0
		for range 30 - served {
			if f := p.expect(kindError); f.err().Code == caps.ErrOverloaded {
				overloaded++
			}
		}
		if overloaded == 0 {
			t.Error("told nothing")
		}
	})
}
