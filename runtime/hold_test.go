package sturdy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

func TestBatchesThatBelongNowhereAreNotAllLetWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := correspond(t), context.Background()
		defer p.close()
		b := binary.AppendUvarint(binary.AppendUvarint([]byte{batchBehind}, 77), 0)
		b = binary.AppendUvarint(b, 1<<60)
		var back atomic.Int64
		for range 500 {
			go func() {
				_, err := p.a.Accept(ctx, p.b.Host(), "", b)
				p.must(err)
				back.Add(1)
			}()
		}
		synctest.Wait()
		if n := 500 - back.Load(); n < maxUnderWay || n > maxEarly {
			t.Errorf("%d of them wait", n)
		}
		time.Sleep(2 * early)
		if n := back.Load(); n != 500 {
			t.Errorf("%d were answered", n)
		}
	})
}

func TestAHostWithoutRoomIsNotAskedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := correspond(t), context.Background()
		defer p.close()
		var asked atomic.Int64
		p.connect(p.a, p.toB)
		p.connect(p.b, func(ctx context.Context, x []byte) ([]byte, error) {
			asked.Add(1)
			<-time.After(time.Millisecond)
			return p.toA(ctx, x)
		})
		_, err := diaryWrite.Send(ctx, p.ours, 1).Await(ctx)
		p.must(err)
		charge := func(n int) {
			p.a.vat.w.lockInternal()
			for _, h := range p.peersOfA() {
				p.a.vat.mail.charge(h, n*maxLetters, 0)
			}
			p.a.vat.w.unlock()
		}
		charge(1)
		next := diaryWrite.Send(ctx, p.ours, 2)
		asked.Store(0)
		time.Sleep(time.Minute)
		if n := asked.Load(); n < 5 || n > 40 {
			t.Errorf("asked %d times in a minute", n)
		}
		charge(-1)
		if n, err := next.Await(ctx); n != 2 || err != nil {
			t.Error(n, err)
		}
	})
}

// peersOfA is the numbers of the peers of a.
func (p *pen) peersOfA() (all []uint64) {
	p.must(p.a.View(context.Background(), func(t *ReadTurn) error {
		all = nil
		for _, elem := range t.elems("h", "i") {
			rec, _ := t.element(p.a.activity, elem)
			n, _ := binary.Uvarint(rec.Body)
			all = append(all, n)
		}
		return nil
	}))
	return all
}

func TestATurnDiscardsWhatWaitsForAHostOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := correspond(t), context.Background()
		defer p.close()
		p.connect(p.b, gone)
		const letters = discardPage + 50
		for i := range int64(letters) {
			_ = diaryWrite.Send(Relaxed(ctx), p.ours, i)
		}
		p.must(p.b.Update(ctx, func(t *WriteTurn) error {
			if err := p.b.Activity().Discard(t, fmt.Sprintf("%x", p.firstWaiting())); err != nil {
				return err
			}
			n, err := p.b.Activity().DiscardHost(t, p.a.Host())
			if n != letters-1 {
				p.Errorf("%d letters were discarded, %v", n, err)
			}
			return err
		}))
		if w, d := len(p.waiting()), len(p.dead()); w != 0 || d != letters {
			t.Errorf("%d wait, %d are dead", w, d)
		}
		if left := p.b.vat.mail.accounts; len(left) != 0 {
			t.Error("somebody is charged for what has gone:", left)
		}
	})
}

// firstWaiting is the number of some letter of b's.
func (p *pen) firstWaiting() uint64 {
	for _, b := range p.b.vat.mail.boxes {
		return b.mails[0].number
	}
	return 0
}

func TestARevokedLetterThatWasForgottenHasPerhapsRun(t *testing.T) {
	c := newCables(t)
	a, r := c.open("")
	b, _ := c.open("")
	at := c.give(a, r, b)
	var through caps.Ref
	var g Grant
	c.must(b.Update(t.Context(), func(t *WriteTurn) error { through, g = t.Grant(at, caps.Terms{For: "x"}); return nil }))
	c.mu.Lock()
	delete(c.by, b.Host())
	c.mu.Unlock()
	p := tallyAdd.Send(t.Context(), through, 1)
	for late := time.Now().Add(30 * time.Second); len(waitingAt(c, a)) == 0; <-time.After(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("nothing came")
		}
	}
	c.reach(b, false)
	for day := range leaseDays {
		c.pass(oneDay)
		c.forgets(a, day/(leaseDays-1))
	}
	c.must(g.Revoke(t.Context()))
	c.back(b)
	if _, err := p.Await(t.Context()); !errors.Is(err, caps.ErrMaybeExecuted) {
		t.Error("what had run, and was forgotten:", err)
	}
	c.holds(r, 1)
}

func TestALetterThatWasNeverBroughtRunsHoweverOldItIs(t *testing.T) {
	c := newCables(t)
	a, r := c.open("")
	b, _ := c.open("")
	at := c.give(a, r, b)
	c.reach(a, false)
	p := tallyAdd.Send(t.Context(), at, 1)
	c.pass(100 * oneDay)
	c.reach(a, true)
	if n, err := p.Await(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func TestAHostThatIsHeardOfKeepsItsLease(t *testing.T) {
	c, a, b, r, _, p := owed(t)
	empty := (&load{}).header(b.lineages.Load().Current)
	for range 3 {
		for range leaseDays - 1 {
			c.pass(oneDay)
			c.forgets(a, 0)
		}
		_, err := a.Accept(t.Context(), b.Host(), "", empty)
		c.must(err)
	}
	c.back(b)
	if n, err := p.Await(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
	c.holds(r, 1)
}

func TestAnAnswerThatStandsTwiceInABatchIsTakenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := correspond(t), context.Background()
		defer p.close()
		p.connect(p.b, p.toA)
		p.connect(p.a, func(ctx context.Context, x []byte) ([]byte, error) {
			head := letterParser{rest: x}
			for range 3 {
				head.uvarint()
			}
			got, err := p.toB(ctx, append(x[:len(x):len(x)], head.rest...))
			if n := len(got); err == nil && len(head.rest) > 0 {
				got = got[:n-1]
			}
			return got, err
		})
		for i := range int64(3) {
			if n, err := diaryWrite.Send(ctx, p.ours, i).Await(ctx); n != i || err != nil {
				t.Error(n, err)
			}
		}
		synctest.Wait()
		if left := p.b.vat.mail.accounts; len(left) != 0 {
			t.Error("somebody is charged for what has gone:", left)
		}
	})
}

func TestALetterUnderWayIsDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := correspond(t), context.Background()
		defer p.close()
		p.connect(p.b, func(ctx context.Context, x []byte) ([]byte, error) {
			<-time.After(time.Minute)
			return nil, caps.ErrNotDelivered
		})
		promise := diaryWrite.Send(ctx, p.ours, 1)
		time.Sleep(time.Second)
		p.must(p.b.Activity().Discard(ctx, p.waiting()[0].ID))
		_, err := promise.Await(ctx)
		p.breaks(err, caps.ErrMaybeExecuted)
	})
}

func TestNothingLeavesBeforeItIsDurable(t *testing.T) {
	r := &route{}
	for i, lsn := range []uint64{5, 7, 6} {
		r.add(&mail{seq: uint64(i + 1), boxed: true, row: &element{lsn: lsn}})
	}
	for _, want := range []struct {
		durable uint64
		letters int
	}{{4, 0}, {6, 1}, {6, 0}, {7, 2}} {
		if all, blocked := r.take(10, want.durable); len(all) != want.letters || blocked != (want.durable < 7) {
			t.Errorf("as far as %d: %d letters, blocked is %v", want.durable, len(all), blocked)
		}
	}
}
