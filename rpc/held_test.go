package rpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// came is how many frames of a kind came, and how long that took from began.
func (p *puppet) came(n int, k kind, began time.Time) time.Duration {
	p.t.Helper()
	for range n {
		p.expect(k)
	}
	return time.Since(began)
}

// TestWhatIsBegunLeavesWithWhatFollows begins calls, of which the last is waited for or none is.
func TestWhatIsBegunLeavesWithWhatFollows(t *testing.T) {
	for _, waits := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p := play(t, echo, Limits{})
			p.greet()
			synctest.Wait()
			began := time.Now()
			var last road
			for range 3 {
				id, pending, err := p.l.put(t.Context(), &request{op: opBegin, keep: true, method: "m"})
				if err != nil {
					t.Fatal(err)
				}
				last = road{nil, p.l, id, "host", pending.goal}
				if waits {
					p.l.prompt(pending) // as who waits for it does
				}
			}
			want := lateness
			if waits {
				want = 0
			}
			if d := p.came(3, kindRequest, began); d != want {
				t.Errorf("waited for: %v: it took %v", waits, d)
			}
			told := make(chan bool, 1)
			last.Ended(func() { told <- true })
			p.send(appendResponse(nil, last.id, &response{}))
			<-told
			last.Ended(func() { told <- true }) // it is here
			<-told
		})
	}
}

// TestAnswersOfAChainLeaveTogether has a peer begin three calls, each of the result of the one
// before. The last takes long: the answers to the others do not wait for it.
func TestAnswersOfAChainLeaveTogether(t *testing.T) {
	for _, method := range []string{"c", "long"} {
		synctest.Test(t, func(t *testing.T) {
			p := play(t, func(ctx context.Context, l *link, q request) (response, error) {
				if q.method == "long" {
					time.Sleep(time.Second)
				}
				return keeper(ctx, l, q)
			}, Limits{})
			p.greet()
			synctest.Wait()
			began := time.Now()
			p.send(append(append(begins(1, 0, true, "a"), begins(2, 1, true, "b")...), begins(3, 2, false, method)...))
			d := p.came(2, kindResponse, began)
			switch {
			case method == "c" && d != 0:
				t.Errorf("what was done at once took %v", d)
			case method == "long" && d > lateness:
				t.Errorf("what was done at once waited %v for what was not", d)
			}
			p.came(1, kindResponse, began)
		})
	}
}
