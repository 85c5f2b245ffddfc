package rpc

import (
	"context"
	"strings"
	"sync/atomic"
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
			p.l.mu.Lock()
			p.l.begins()
			p.l.mu.Unlock()
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
		var served atomic.Int64
		p := play(t, func(context.Context, *link, request) (response, error) {
			served.Add(1)
			return response{body: []byte(strings.Repeat("x", leastMessage-64))}, nil
		}, Limits{MessageBytes: leastMessage, BytesInFlight: 4 * leastMessage})
		p.greet()
		synctest.Wait()
		p.deaf <- struct{}{}
		for id := range uint64(30) {
			p.send(plainCall(id + 1))
			synctest.Wait()
		}
		if served.Load() > 6 {
			t.Errorf("served %d times, and there is room for 4", served.Load())
		}
		<-p.deaf
		for range 30 {
			p.expect(kindResponse)
		}
	})
}

// TestResultsForWhomDoesNotReadAreDropped has methods that began while there was room, and end
// when there is none: their results are kept up to a limit.
func TestResultsForWhomDoesNotReadAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan struct{})
		p := play(t, func(context.Context, *link, request) (response, error) {
			<-ends
			return response{body: []byte(strings.Repeat("x", leastMessage-64))}, nil
		}, Limits{MessageBytes: leastMessage, BytesInFlight: 4 * leastMessage})
		p.greet()
		synctest.Wait()
		p.deaf <- struct{}{}
		for id := range uint64(30) {
			p.send(plainCall(id + 1))
		}
		synctest.Wait()
		close(ends)
		synctest.Wait()
		p.l.mu.Lock()
		if done, most := p.l.load.done, 4*leastMessage; done > most {
			t.Errorf("%d bytes of results are kept, where %d may be", done, most)
		}
		p.l.mu.Unlock()
		<-p.deaf
		results, dropped := 0, 0
		for results+dropped < 30 {
			switch f := <-p.frames; {
			case f.kind == kindHello:
			case f.kind == kindResponse:
				results++
			case f.kind == kindError && f.err().Code == caps.ErrBadResult && strings.Contains(f.err().Text, "it happened"):
				dropped++
			default:
				t.Fatal(f.kind, f.err())
			}
		}
		if results < 6 || results > 12 {
			t.Errorf("%d results, %d were dropped", results, dropped)
		}
	})
}

// TestLargeResultsHoldUpTheNextForAMomentOnly has a peer of large results, whose calls wait for
// something for as long as they like.
func TestLargeResultsHoldUpTheNextForAMomentOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("x", leastMessage-64)
		var begun atomic.Int64
		p := play(t, func(ctx context.Context, _ *link, q request) (response, error) {
			if begun.Add(1); q.method == "m" {
				return response{body: []byte(large)}, nil
			}
			<-ctx.Done()
			return response{}, ctx.Err()
		}, Limits{MessageBytes: leastMessage, BytesInFlight: 4 * leastMessage})
		p.greet()
		p.send(plainCall(1))
		p.expect(kindResponse)
		began := time.Now()
		for id := range uint64(10) {
			p.send(appendRequest(nil, id+2, &request{op: opCall, method: "waits"}, 0))
		}
		synctest.Wait()
		if n := begun.Load() - 1; n < 3 || n > 6 {
			t.Errorf("%d have begun, and there is room for the results of 4", n)
		}
		p.send(plainCall(12))
		p.expect(kindResponse)
		if d := time.Since(began); d > 12*crowdedFor {
			t.Errorf("answered after %v", d)
		}
	})
}
