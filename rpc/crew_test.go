package rpc

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestServersStayForAsLongAsTheyAreNeeded has ten requests at once, then one at a time, then none.
func TestServersStayForAsLongAsTheyAreNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		a, z := pair(t, echo, func(context.Context, *link, request) (response, error) {
			<-done
			return response{}, nil
		}, Limits{})
		idle := func(want int) {
			t.Helper()
			synctest.Wait()
			z.mu.Lock()
			defer z.mu.Unlock()
			if got := len(z.load.crew.idle); got != want {
				t.Errorf("%d servers are idle, want %d", got, want)
			}
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { call(t, a, "m", "x") })
		}
		idle(0)
		close(done)
		all.Wait()
		idle(10)
		for range 8 {
			time.Sleep(rests / 4)
			call(t, a, "m", "x")
		}
		idle(1)
		time.Sleep(3 * rests)
		idle(0)
		call(t, a, "m", "x")
		idle(1)
		z.close(nil)
		<-a.done()
		idle(0)
	})
}
