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

// TestWhoWaitsForLittleDoesNotWriteMuch has a peer that reads nothing, and something large behind
// what is waited for: to write that, too, would take no heed of the deadline.
func TestWhoWaitsForLittleDoesNotWriteMuch(t *testing.T) {
	near, far := ends(t, "unix")
	l := newLink(near, "z", echo, Limits{}, quiet())
	lim := Limits{}.withDefaults()
	if _, err := far.Write(appendHello([]byte(preface), &lim)); err != nil {
		t.Fatal(err)
	}
	<-l.greeted
	_, little, err := l.put(t.Context(), &request{op: opBegin, method: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = l.put(t.Context(), &request{op: opBegin, method: "m", body: make([]byte, 3<<20)}); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		l.prompt(little)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it waits for a peer that does not read")
	}
	_ = far.Close()
	<-l.done()
}

// TestAnswersThatWillNotComeAreToldSideBySide: what is told of one may make the call again.
func TestAnswersThatWillNotComeAreToldSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t, echo, echo, Limits{})
		call(t, a, "m", "x")
		stop, told := make(chan bool), make(chan bool)
		for _, fn := range []func(){func() { <-stop }, func() { close(told) }} {
			id, p, err := a.put(t.Context(), &request{op: opBegin, method: "m"})
			if err != nil {
				t.Fatal(err)
			}
			road{nil, a, id, "z", p.goal}.Ended(fn)
		}
		a.close(nil)
		<-told
		id, p, err := a.put(t.Context(), &request{op: opBegin, method: "m"})
		if err == nil {
			t.Error("begun over a link that has ended", id, p)
		}
		close(stop)
	})
}
