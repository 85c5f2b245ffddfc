package foreign

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

func TestCallsTakeEffectInTheOrderInWhichTheyCame(t *testing.T) {
	w := newWorld(t, Limits{})
	p := w.program(false)
	d := p.desk()
	weak := p.client(p.call(d, "Ref.attenuate", struct1(t, "rights", "rw")).get("ref"))
	const n = 60
	var sums, totals []*pending
	for i := range n {
		to := d
		if i%3 == 0 {
			to = weak // the same object
		}
		if i%2 == 0 {
			sums = append(sums, p.call(to, "desk.add", i))
		} else {
			sums = append(sums, p.call(to, "Ref.call", struct1(t, "method", "add", "argument", i)))
		}
		if i%10 == 9 {
			totals = append(totals, p.call(d, "desk.total", nil))
		}
	}
	for _, s := range sums {
		s.must()
	}
	for i, s := range totals {
		k := int64(10*i + 10)
		if got := s.must(); got != k*(k-1)/2 {
			t.Errorf("after %d calls the total was %v", k, got)
		}
	}
	list, _ := p.call(d, "desk.log", nil).must().([]caps.Value)
	for i, v := range list {
		if v.Any() != int64(i) {
			t.Fatalf("call %d came as number %d", v.Any(), i)
		}
	}
	if len(list) != n {
		t.Errorf("%d calls were made", len(list))
	}
}

func TestALongCallOutsideHoldsUpNoOther(t *testing.T) {
	w := newWorld(t, Limits{})
	p := w.program(false)
	d := p.desk()
	for _, untyped := range []bool{false, true} {
		ctx, cancel := context.WithCancel(context.Background())
		long := p.send(ctx, d, "desk.wait", nil)
		if untyped {
			long = p.send(ctx, d, "Ref.call", struct1(t, "method", "wait", "argument", p.ref(d)))
		}
		p.call(d, "desk.total", nil).must()
		p.call(d, "desk.add", 1).must()
		cancel()
		long.fails("canceled")
	}
	// It calls back whoever called, who asks the same object before answering.
	bell, _ := p.bell(func(_ context.Context, times int64, _ any) (int64, any, error) {
		total, err := p.call(d, "desk.total", nil).result()
		n, _ := total.(int64)
		return n, nil, err
	})
	if got := p.call(d, "desk.ask", bell).must(); got != int64(2) {
		t.Errorf("ask returned %v", got)
	}
}

func TestWhatEveryRefCanDo(t *testing.T) {
	w := newWorld(t, Limits{})
	p := w.program(false)
	d := p.desk()
	list, _ := p.call(d, "Ref.describe", nil).get("description").([]caps.Entry)
	v, err := caps.ValueOf(list)
	must(t, err)
	e := entriesOf(v)
	if e["kind"] != "test.example/desk" || e["rights"] != "rwx" || e["version"] != int64(1) || e["id"] == "" {
		t.Error(v)
	}
	weak := p.client(p.call(d, "Ref.attenuate", struct1(t, "rights", "r")).get("ref"))
	p.call(weak, "desk.add", 1).fails("no right: ")
	p.call(weak, "Ref.call", struct1(t, "method", "add", "argument", 1)).fails("no right: ")
	p.call(d, "Ref.attenuate", struct1(t, "rights", "rq")).fails("bad argument: ")
	if p.call(weak, "Ref.same", struct1(t, "other", p.ref(d))).get("same") != true {
		t.Error("attenuated, it is another object")
	}
	p.call(d, "Ref.call", struct1(t, "method", "none")).fails("no such method: ")
	p.call(d, "Grant.revoke", nil).fails("no such method: ")

	granted := p.call(d, "Ref.grant", struct1(t, "terms", struct1(t, "purpose", "a test", "only", []any{"total"}, "until", time.Now().Add(time.Hour))))
	shared, grant := p.client(granted.get("ref")), p.client(granted.get("grant"))
	p.call(shared, "desk.total", nil).must()
	p.call(shared, "desk.add", 1).fails("no such method: ")
	p.call(grant, "Grant.revoke", nil).must()
	p.call(shared, "desk.total", nil).fails("revoked: ")
	p.call(d, "Ref.grant", struct1(t, "terms", struct1(t, "only", []any{}))).fails("bad argument: ")

	saved := p.call(d, "Ref.save", struct1(t, "terms", struct1(t, "purpose", "later")))
	text, _ := saved.get("sturdyRef").(string)
	again := w.program(false)
	back := again.client(again.call(again.host, "Host.restore", struct1(t, "sturdyRef", text)).get("ref"))
	again.call(back, "desk.add", 1).must()
	p.call(p.client(saved.get("grant")), "Grant.revoke", nil).must()
	again.call(back, "desk.add", 1).fails("revoked: ")
	again.call(again.host, "Host.restore", struct1(t, "sturdyRef", text)).fails("revoked: ")
	again.call(again.host, "Host.restore", struct1(t, "sturdyRef", "sturdy://nonsense")).fails("bad argument: ")
}

// TestNothingIsLeft has programs come, use everything, and leave in the middle of it.
func TestNothingIsLeft(t *testing.T) {
	w := newWorld(t, Limits{})
	use := func() {
		p := w.program(false)
		d := p.desk()
		bell, _ := p.bell(func(ctx context.Context, _ int64, _ any) (int64, any, error) { <-ctx.Done(); return 0, nil, ctx.Err() })
		for range 20 {
			p.call(d, "desk.make", struct1(t, "N", 5, "By", "me")).then(context.Background(), 0, "drawer.add", 1)
		}
		p.call(d, "desk.wait", nil)
		p.call(d, "desk.ask", bell)
		p.call(d, "desk.total", nil).must()
		p.close()
	}
	use()
	settle := func(want int) (n int) {
		for late := time.Now().Add(20 * time.Second); time.Now().Before(late); <-time.After(20 * time.Millisecond) {
			runtime.GC()
			if n = runtime.NumGoroutine(); n <= want {
				return n
			}
		}
		return n
	}
	<-time.After(500 * time.Millisecond) // go-capnp finishes its calls a quarter of a second late
	before := settle(runtime.NumGoroutine())
	for range 5 {
		use()
	}
	if after := settle(before); after > before {
		b := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", after, before, b[:runtime.Stack(b, true)])
	}
}

func TestReasonsBeginWithTheCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&caps.Error{Op: "desk.add", Code: caps.ErrNoRight, Text: "needs w"}, "no right: desk.add: needs w"},
		{caps.ErrGone, "object is gone"},
		{context.Canceled, "canceled: context canceled"},
		{&caps.Error{Code: "a.example/b", Text: "line\nline\x00\xff"}, "a.example/b: line line\uFFFD\uFFFD"},
		{&caps.Error{Code: caps.ErrFailed, Text: strings.Repeat("é", maxReason)}, ""},
	} {
		kind, got := thrown(c.err)
		if c.want != "" && got != c.want || len(got) > maxReason+10 {
			t.Errorf("%q", got)
		}
		if back := caught("", "", kind, got); caps.CauseOf(c.err) != "canceled" && !strings.HasPrefix(got, string(back.Code)) {
			t.Errorf("%q came back as %q", got, back.Code)
		}
	}
}
