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
// when there is none: after a while their results are kept up to a limit.
func TestResultsForWhomDoesNotReadAreDropped(t *testing.T) {
	for _, reads := range []bool{false, true} {
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
			if time.Sleep(stuckFor / 2); !reads {
				time.Sleep(stuckFor)
				p.l.mu.Lock()
				if done, most := p.l.load.done, 4*leastMessage; done > most {
					t.Errorf("%d bytes of results are kept, where %d may be", done, most)
				}
				p.l.mu.Unlock()
			}
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
			if reads != (dropped == 0) || !reads && (results < 6 || results > 12) {
				t.Errorf("%d results, %d were dropped; it reads: %v", results, dropped, reads)
			}
		})
	}
}

// TestNothingBeginsWhoseResultWouldBeDropped has results that are large for a peer, one by one.
func TestNothingBeginsWhoseResultWouldBeDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Int64
		const size, flight, many = 52 << 10, 256 << 10, 30
		p := play(t, func(context.Context, *link, request) (response, error) {
			served.Add(1)
			return response{body: make([]byte, size)}, nil
		}, Limits{MessageBytes: 64 << 10, BytesInFlight: flight})
		p.greet()
		synctest.Wait()
		p.deaf <- struct{}{}
		for id := range uint64(many) {
			p.send(plainCall(id + 1))
			synctest.Wait()
		}
		time.Sleep(2 * stuckFor)
		if n := served.Load(); n > 2*flight/size {
			t.Errorf("%d were served, where results of %d can be kept", n, 2*flight/size)
		}
		<-p.deaf
		for range many {
			p.expect(kindResponse)
		}
	})
}

// TestWhatHasBegunNeverKeepsOutWhatItWaitsFor has calls that wait for others of the same peer, which
// has had a large result before.
func TestWhatHasBegunNeverKeepsOutWhatItWaitsFor(t *testing.T) {
	deep := func(ctx context.Context, l *link, q request) (response, error) {
		if q.method == "large" {
			return response{body: make([]byte, Limits{}.withDefaults().MessageBytes-64)}, nil
		}
		if len(q.body) == 0 {
			return response{}, nil
		}
		return l.call(ctx, request{op: opCall, method: "deep", body: q.body[1:]})
	}
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t, deep, deep, Limits{})
		call(t, a, "large", "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := a.call(ctx, request{op: opCall, method: "deep", body: make([]byte, 100)}); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatIsNotAnsweredAnyMoreMakesRoom has one that waits for the room of a result nobody asks for.
func TestWhatIsNotAnsweredAnyMoreMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := play(t, echo, Limits{}).l
		waits, canceled := &incoming{l: l, id: 1}, &incoming{l: l, id: 2}
		l.mu.Lock()
		l.load.serving[waits.id] = waits
		l.load.begun, l.load.done, l.load.large = 1, l.lim.BytesInFlight, 1
		l.mu.Unlock()
		begun := false
		go func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.space(waits)
			begun = true
		}()
		synctest.Wait()
		if begun {
			t.Error("begun without room")
		}
		l.mu.Lock()
		l.load.done = 0
		l.mu.Unlock()
		l.answer(canceled, &response{}, nil)
		synctest.Wait()
		if !begun {
			t.Error("not begun, and there is room")
		}
	})
}
