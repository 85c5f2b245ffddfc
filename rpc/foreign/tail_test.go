package foreign

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// staying has the results of a call stay at the host.
func staying(c rpccp.Call) error { c.SendResultsTo().SetYourself(); return nil }

// lends answers question id of the host with the answer to question from of its own.
func (v *villain) lends(id, from uint32) {
	v.t.Helper()
	v.send(func(m rpccp.Message) error {
		ret, err := m.NewReturn()
		if err != nil {
			return err
		}
		ret.SetAnswerId(id)
		ret.SetReleaseParamCaps(false)
		ret.SetTakeFromOtherQuestion(from)
		return nil
	})
}

// says are the next n messages of the host, as text.
func (v *villain) says(n int) (all []string) {
	v.t.Helper()
	for range n {
		m := v.next()
		text := m.Which().String()
		switch m.Which() {
		case rpccp.Message_Which_finish:
			f, err := m.Finish()
			must(v.t, err)
			text = fmt.Sprint("finish ", f.QuestionId())
		case rpccp.Message_Which_return:
			r, err := m.Return()
			must(v.t, err)
			text = fmt.Sprint("return ", r.AnswerId(), " ", r.Which(), " ", r.ReleaseParamCaps())
		}
		all = append(all, text)
	}
	return all
}

func (v *villain) hears(want ...string) {
	v.t.Helper()
	if got := v.says(len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
		v.t.Errorf("%q; %q is wanted", got, want)
	}
}

// TestAnAnswerThatIsMadeHereNeedNotBeCarriedThereAndBack: as C++ answers what turns out to be for
// an object of this host.
func TestAnAnswerThatIsMadeHereNeedNotBeCarriedThereAndBack(t *testing.T) {
	w := newWorld(t, Limits{})
	v, far := w.dialed("test.example/desk")
	d := v.restored(w.desk)
	type result struct {
		n   int64
		err error
	}
	came := make(chan result, 1)
	add := func() uint32 {
		go func() {
			n, err := deskAdd.Call(minute(t), far, 1)
			came <- result{n, err}
		}()
		return v.asked()
	}
	gets := func(n int64, code caps.Code) {
		t.Helper()
		if r := <-came; r.n != n || code == "" && r.err != nil || code != "" && !errors.Is(r.err, code) {
			t.Error(r)
		}
	}
	q := add()
	v.call(1, d, "desk.add", 3, staying)
	v.lends(q, 1)
	if got := v.says(2); got[0] != "return 1 resultsSentElsewhere false" || got[1] != fmt.Sprint("finish ", q) {
		t.Errorf("%q", got)
	}
	gets(3, "")
	v.finish(1, true)
	q = add()
	v.call(1, d, "desk.fail", nil, staying)
	v.call(2, d, "desk.total", nil) // after which the first has ended
	v.answer(2)
	v.finish(2, true)
	v.lends(q, 1)
	v.hears("return 1 resultsSentElsewhere false", fmt.Sprint("finish ", q))
	gets(0, errCross)
	v.finish(1, true)
	// It is a promise like others, and can be let go of before anybody has taken it.
	v.call(1, d, "desk.make", struct1(t, "N", 5, "By", "me"), staying)
	v.call(2, d, "drawer.add", 2, promise(1, 0))
	if _, fault := v.answer(2); fault != "" {
		t.Error(fault)
	}
	v.finish(2, true)
	v.finish(1, true)
	v.hears("return 1 resultsSentElsewhere false")
	is, _ := w.h.target(far)
	is.c.mu.Lock()
	defer is.c.mu.Unlock()
	if n := len(is.c.questions) + len(is.c.answers) + is.c.held + is.c.running; n != 0 {
		t.Errorf("%d are left of %s", n, is.c.name)
	}
}

// TestWhatStaysGoesOnForWhoWaitsForIt, and for nobody else.
func TestWhatStaysGoesOnForWhoWaitsForIt(t *testing.T) {
	w := newWorld(t, Limits{})
	v, far := w.dialed("test.example/desk")
	d := v.restored(w.desk)
	is, _ := w.h.target(far)
	ctx, cancel := context.WithCancel(minute(t))
	came := make(chan error, 1)
	go func() {
		_, err := deskAdd.Call(ctx, far, 1)
		came <- err
	}()
	q := v.asked()
	v.call(1, d, "desk.ask", nil, staying, with(1, hosted(6)))
	back := v.asked() // it asks 6
	v.lends(q, 1)
	v.hears("return 1 resultsSentElsewhere false")
	v.finish(1, true) // which is no reason to end it
	v.returns(back, 1)
	v.hears(fmt.Sprint("finish ", back), fmt.Sprint("finish ", q))
	must(t, <-came)

	go func() {
		_, err := deskAdd.Call(ctx, far, 1)
		came <- err
	}()
	q = v.asked()
	v.call(1, d, "desk.wait", nil, staying)
	v.lends(q, 1)
	v.hears("return 1 resultsSentElsewhere false")
	v.finish(1, true)
	v.call(2, d, "desk.echo", "hi")
	v.answer(2)
	cancel()
	if err := <-came; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	v.hears(fmt.Sprint("finish ", q))
	for running := 1; running > 0; {
		is.c.mu.Lock()
		running = is.c.running
		is.c.mu.Unlock()
		<-time.After(time.Millisecond)
	}

	go func() {
		_, err := deskAdd.Call(minute(t), far, 1)
		came <- err
	}()
	q = v.asked()
	v.call(1, d, "desk.wait", nil, staying)
	v.lends(q, 1)
	v.hears("return 1 resultsSentElsewhere false")
	must(t, v.conn.Close())
	if err := <-came; !errors.Is(err, caps.ErrMaybeExecuted) {
		t.Error(err)
	}
}

// TestWhatStaysIsBounded: what is refused is refused to who waits for it.
func TestWhatStaysIsBounded(t *testing.T) {
	w := newWorld(t, Limits{Slots: 2})
	v, far := w.dialed("test.example/desk")
	d := v.restored(w.desk)
	came := make(chan error, 1)
	go func() {
		_, err := deskAdd.Call(minute(t), far, 1)
		came <- err
	}()
	q := v.asked()
	v.call(1, d, "desk.put", nil, staying, with(3, hosted(6)))
	v.lends(q, 1)
	v.hears("return 1 resultsSentElsewhere true", fmt.Sprint("finish ", q))
	if err := <-came; !errors.Is(err, caps.ErrOverloaded) {
		t.Error(err)
	}
}

// TestWhoAnswersWithWhatIsNotThereIsThrownOut.
func TestWhoAnswersWithWhatIsNotThereIsThrownOut(t *testing.T) {
	w := newWorld(t, Limits{})
	for name, do := range map[string]func(v *villain, d, q uint32){
		"never_asked":     func(v *villain, _, q uint32) { v.lends(q, 7) },
		"does_not_stay":   func(v *villain, d, q uint32) { v.call(1, d, "desk.wait", nil); v.lends(q, 1) },
		"answered_twice":  func(v *villain, d, q uint32) { v.call(1, d, "desk.wait", nil, staying); v.lends(q, 1); v.returns(q, 1) },
		"lent_twice":      func(v *villain, d, q uint32) { v.call(1, d, "desk.wait", nil, staying); v.lends(q, 1); v.lends(q, 1) },
		"lent_to_another": func(v *villain, d, q uint32) { v.call(1, d, "desk.wait", nil, staying); v.lends(q, 1); v.lends(q+1, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			v, far := w.dialed("test.example/desk")
			d := v.restored(w.desk)
			came := make(chan error, 2)
			for range 2 {
				go func() {
					_, err := deskAdd.Call(minute(t), far, 1)
					came <- err
				}()
			}
			q := min(v.asked(), v.asked())
			do(v, d, q)
			for v.conn != nil {
				m, _, err := v.in.next()
				if err != nil {
					t.Fatal("it was not told")
				}
				if m.Which() == rpccp.Message_Which_abort {
					break
				}
			}
			for range 2 {
				if err := <-came; err == nil {
					t.Error("it was answered")
				}
			}
		})
	}
	w.honest()
}

// TestACallThatIsPassedOnIsAnsweredFromHere: a asks b by way of this host, and b answers with what an
// object of this host answers.
func TestACallThatIsPassedOnIsAnsweredFromHere(t *testing.T) {
	w := newWorld(t, Limits{})
	v, _ := w.dialed("test.example/desk")
	d := v.restored(w.desk)
	v.leave("own", 5)
	a := w.program(false)
	made := a.call(a.take("own"), "desk.make", struct1(t, "N", 1, "By", "a"))
	q := v.asked()
	v.call(2, d, "desk.make", struct1(t, "N", 7, "By", "b"), staying)
	v.lends(q, 2)
	if made.get("Note") != "for b" {
		t.Error("another answer")
	}
	if got := a.call(a.client(made.get("Drawer")), "drawer.add", 1).must(); got != int64(8) {
		t.Error(got)
	}
}

// TestResultsThatStayAreCounted when they are there, and not only when the next call comes.
func TestResultsThatStayAreCounted(t *testing.T) {
	w := newWorld(t, small())
	v, far := w.dialed("test.example/desk")
	d := v.restored(w.desk)
	came := make(chan error, 1)
	for id := range uint32(3) {
		go func() {
			_, err := deskBig.Call(minute(t), far, 1)
			came <- err
		}()
		q := v.asked()
		v.call(10+id, d, "desk.big", 7000, staying)
		v.lends(q, 10+id)
		if err := <-came; (err != nil) != (id == 2) || err != nil && !strings.Contains(err.Error(), "Limits.BytesInFlight") {
			t.Error(id, err)
		}
	}
}
