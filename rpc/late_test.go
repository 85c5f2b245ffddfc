package rpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// TestWhatComesTooLateIsNotBegun has a call wait for the result of another for longer than its caller
// does. Nothing happened, and it is told so.
func TestWhatComesTooLateIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan string, 10)
		p := play(t, func(_ context.Context, _ *link, q request) (response, error) {
			begun <- q.method
			if q.method == "first" {
				time.Sleep(2 * time.Second)
			}
			return response{}, nil
		}, Limits{})
		p.greet()
		p.send(appendRequest(nil, 1, &request{op: opBegin, method: "first", keep: true}, 0))
		p.send(appendRequest(nil, 2, &request{op: opBegin, method: "late", on: 1, has: 7}, 1000))
		p.expect(kindResponse)
		f := p.expect(kindError)
		is(t, f.err(), caps.ErrNotDelivered, "deadline")
		if close(begun); len(begun) != 1 {
			t.Errorf("%d methods have begun", len(begun))
		}
	})
}
