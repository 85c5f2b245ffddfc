package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Authority between hosts: what is judged where, and what is left of it on the way home.

// given is r through a grant of h.
func (h *host) given(r caps.Ref, terms caps.Terms) (through caps.Ref, g sturdy.Grant) {
	h.t.Helper()
	terms.For = "somebody"
	must(h.t, h.rt.Update(h.ctx(), func(t *sturdy.WriteTurn) error {
		through, g = t.Grant(r, terms)
		return nil
	}))
	return through, g
}

// held is what stands in h's own desk.
func (h *host) held() caps.Ref {
	h.t.Helper()
	r, err := deskGet.Call(h.ctx(), h.desk)
	must(h.t, err)
	return r
}

// standIns is how many objects of h stand for some of another host.
func (h *host) standIns() (n int64) {
	h.t.Helper()
	must(h.t, h.rt.Sync(h.ctx()))
	ks, err := h.rt.Kinds(h.ctx())
	must(h.t, err)
	for _, k := range ks {
		if k.Name == "sturdy/remote" {
			n += k.Objects
		}
	}
	return n
}

// three are hosts that listen: the first's desk as the second holds it, the second's as the third
// does, and the first's as the third does, through the second.
func three(t *testing.T) (a, b, c *host, r, seconds, viaB caps.Ref) {
	a, b, r = two(t)
	c = newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	seconds = c.opens(b.save(caps.Terms{For: "c"}))
	must(t, deskPut.Call(b.ctx(), b.desk, r))
	viaB, err := deskGet.Call(c.ctx(), seconds)
	must(t, err)
	return a, b, c, r, seconds, viaB
}

// wayHome has ref, of who holds it, come to a's own hands.
type wayHome struct {
	name string
	come func(ref caps.Ref) caps.Ref
}

// waysHome are those from h, that holds a's desk as seat and whose own is held as its at a.
func waysHome(t *testing.T, a, h *host, seat, its caps.Ref) []wayHome {
	got := func(r caps.Ref, err error) caps.Ref {
		t.Helper()
		must(t, err)
		return r
	}
	lies := func(ref caps.Ref) { must(t, deskPut.Call(h.ctx(), h.desk, ref)) }
	return []wayHome{
		{"as an argument", func(ref caps.Ref) caps.Ref {
			must(t, deskPut.Call(h.ctx(), seat, ref))
			return a.held()
		}},
		{"as a letter's argument", func(ref caps.Ref) caps.Ref {
			_, err := deskPut.Send(h.ctx(), seat, ref).Await(h.ctx())
			must(t, err)
			return a.held()
		}},
		{"as a result", func(ref caps.Ref) caps.Ref { lies(ref); return got(deskGet.Call(a.ctx(), its)) }},
		{"as a letter's outcome", func(ref caps.Ref) caps.Ref { lies(ref); return got(deskGet.Send(a.ctx(), its).Await(a.ctx())) }},
		{"as what was begun", func(ref caps.Ref) caps.Ref { lies(ref); return got(deskGet.Begin(a.ctx(), its).Await(a.ctx())) }},
	}
}

// weakenings are the rights that are left of a Ref, and whether what it gives out is weaker, too.
var weakenings = []caps.Rights{
	caps.Read | caps.Write | caps.Run | caps.Shallow, caps.Read | caps.Write | caps.Shallow, caps.Read | caps.Shallow,
	caps.Write | caps.Shallow, caps.Run | caps.Shallow, caps.Read,
}

func TestWhatComesHomeIsTheLocalObjectAndNoStronger(t *testing.T) {
	a, b, c, r, _, viaB := three(t)
	must(t, deskPut.Call(b.ctx(), b.desk, b.opens(c.save(caps.Terms{For: "b"}))))
	seconds := a.opens(b.save(caps.Terms{For: "a"}))
	thirds, err := deskGet.Call(a.ctx(), seconds) // c's desk, through b
	must(t, err)
	for from, ways := range map[string][]wayHome{
		"from the second": waysHome(t, a, b, r, seconds), "from the third": waysHome(t, a, c, viaB, thirds),
	} {
		for _, way := range ways {
			for _, w := range weakenings {
				seat := map[string]caps.Ref{"from the second": r, "from the third": viaB}[from]
				home := way.come(seat.Attenuate(w))
				if !home.Same(a.desk) || home.Rights() != a.desk.Attenuate(w).Rights() {
					t.Errorf("%s, %s: %v is %v with rights %v", from, way.name, w, home, home.Rights())
				}
				// What it gives out: the desk has itself.
				must(t, deskPut.Call(a.ctx(), a.desk, a.desk))
				if out, err := deskGet.Call(a.ctx(), home); home.Rights()&caps.Read != 0 && (err != nil || out.Rights() != a.desk.Attenuate(w).Rights() && w == caps.Read) {
					t.Errorf("%s, %s: %v gives out %v, %v", from, way.name, w, out.Rights(), err)
				}
			}
		}
	}
	if n := a.standIns(); n != 2 { // for the two that letters were sent to
		t.Errorf("%d objects at home stand for what is elsewhere", n)
	}
}

// What was weakened at its host is no stronger elsewhere, nor when it is back, whatever the others
// say of it.
func TestWhatWasGivenAwayWeakenedStaysSo(t *testing.T) {
	a, b, _ := two(t)
	its := a.opens(b.save(caps.Terms{For: "a"}))
	for _, w := range weakenings {
		must(t, deskPut.Call(a.ctx(), its, a.desk.Attenuate(w)))
		must(t, deskPut.Call(a.ctx(), a.desk, a.desk))
		away, want := b.held(), a.desk.Attenuate(w).Rights()
		if away.Rights() != want {
			t.Errorf("%v is shown as %v", want, away.Rights())
		}
		if _, err := deskAdd.Call(b.ctx(), away, 1); errors.Is(err, caps.ErrNoRight) != (want&caps.Write == 0) {
			t.Errorf("%v: %v", want, err)
		}
		if want&caps.Read == 0 {
			continue
		}
		out, err := deskGet.Call(b.ctx(), away)
		must(t, err)
		if _, err := deskAdd.Call(b.ctx(), out, 1); errors.Is(err, caps.ErrNoRight) != (w == caps.Read) {
			t.Errorf("what comes out of %v: %v", want, err)
		}
	}
}

// To bring a Ref home costs the one who has it no object.
func TestARefThatOnlyPassesLeavesNoObject(t *testing.T) {
	a, b, r := two(t)
	must(t, deskPut.Call(b.ctx(), r, r))
	if !a.held().Same(a.desk) {
		t.Error("another object")
	}
	if n := b.standIns(); n != 0 {
		t.Errorf("%d objects were made of it", n)
	}
}

// A Ref to a's desk that goes through b's grant is b's to judge, also when a has it: else a would
// hold what b can take back from all others.
func TestWhatIsThroughAGrantComesHomeByWayOfWhoGrantedIt(t *testing.T) {
	a, b, r := two(t)
	for _, way := range waysHome(t, a, b, r, a.opens(b.save(caps.Terms{For: "a"}))) {
		through, g := b.given(r, caps.Terms{Only: []caps.Named{deskAdd}})
		was := tallyOf(t, a.desk)
		home := way.come(through)
		adds(t, home, 1, was+1)
		if err := deskFail.Call(a.ctx(), home); !errors.Is(err, caps.ErrNoMethod) {
			t.Errorf("%s: what was not granted: %v", way.name, err)
		}
		must(t, g.Revoke(b.ctx()))
		refused(t, a, way.name, home)
		adds(t, a.desk, 0, was+1)
	}
}

// What crosses b's membrane around a's desk, in either direction and by a call or a letter, ends
// with it.
func TestWhatCrossedAMembraneOnItsWayToAnotherHostEndsWithIt(t *testing.T) {
	a, b, r := two(t)
	for _, sent := range []bool{false, true} {
		through, g := b.given(r, caps.Terms{Deep: true})
		var made caps.Ref
		var err error
		if sent {
			made, err = deskMake.Send(b.ctx(), through, 10).Await(b.ctx())
			must(t, err)
			_, err = deskPut.Send(b.ctx(), through, b.desk).Await(b.ctx())
		} else {
			made, err = deskMake.Call(b.ctx(), through, 10)
			must(t, err)
			err = deskPut.Call(b.ctx(), through, b.desk)
		}
		must(t, err)
		in, was := a.held(), tallyOf(t, b.desk)
		adds(t, made, 1, 11)
		adds(t, in, 1, was+1)
		must(t, g.Revoke(b.ctx()))
		refused(t, b, fmt.Sprint("what came out, by a letter ", sent), made)
		refused(t, a, fmt.Sprint("what went in, by a letter ", sent), in)
		adds(t, b.desk, 0, was+1)
	}
}

// A grant of b's is judged at b: nobody has to be asked, and nobody is.
func TestWhatIsRevokedHereIsRefusedWhileItsHostIsGone(t *testing.T) {
	a, b, c, r, seconds, _ := three(t)
	through, g := b.given(r, caps.Terms{})
	must(t, deskPut.Call(b.ctx(), b.desk, through))
	third, err := deskGet.Call(c.ctx(), seconds)
	must(t, err)
	adds(t, third, 1, 1)
	a.stop()
	waits := deskAdd.Send(b.ctx(), through, 100)
	passed := deskAdd.Send(c.ctx(), third, 1000)
	until(t, "both letters are at b", func() bool { return b.health(a.name).Waiting == 2 })
	must(t, g.Revoke(b.ctx()))
	refused(t, b, "at b", through)
	refused(t, c, "at c", third)
	for what, p := range map[string]caps.Promise[int64]{"b's letter": waits, "c's letter": passed} {
		if n, err := p.Await(b.ctx()); !errors.Is(err, caps.ErrRevoked) {
			t.Errorf("%s, which was under way: %d, %v", what, n, err)
		}
	}
	b.restart()
	refused(t, b, "at b, after a restart", b.held())
	refused(t, c, "at c, after it", third)
	a.start()
	adds(t, a.desk, 0, 1)
	nothingWaits(t, a)
	for _, h := range []*host{b, c} { // dead ones are kept where they were sent
		allAnswered(t, h)
	}
}

const (
	ferryHold caps.Query[int64] = "hold"
	ferryEnds                   = 10 * time.Second
)

// ferry is an object whose method says when it has begun, waits, and says how its context ended.
type ferry struct{}

type crossing struct {
	*host
	object caps.Ref
	in     chan time.Duration // what its deadline leaves it; 0: it has none
	let    chan struct{}
	out    chan error // why its context ended
}

func newCrossing(t *testing.T) *crossing {
	f := &crossing{in: make(chan time.Duration, 10), let: make(chan struct{}), out: make(chan error, 10)}
	kind := sturdy.Define("test.example/ferry", sturdy.Outside(caps.Method[caps.Done, int64](ferryHold), func(ctx context.Context, _ ferry, _ caps.Done) (int64, error) {
		due, ok := ctx.Deadline()
		left := time.Until(due)
		if !ok {
			left = 0
		}
		f.in <- left
		select {
		case <-f.let:
			return 7, nil
		case <-ctx.Done():
			f.out <- ctx.Err()
			return 0, ctx.Err()
		}
	}))
	rt, err := sturdy.Open(t.TempDir()+"/w", kind)
	must(t, err)
	node, err := rpc.Attach(rt, rpc.Options{Listen: "127.0.0.1:0"})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(node.Close(), rt.Close())) })
	f.host = &host{t: t, rt: rt, node: node, name: rt.Host()}
	f.object, err = rt.Root().Ensure(t.Context(), "ferry", func(t *sturdy.WriteTurn) caps.Ref { return kind.New(t, ferry{}) })
	must(t, err)
	return f
}

// reach is the ferry as a second and a third host hold it, and the grant of its host.
func (f *crossing) reach() (b, c *host, one, two caps.Ref, g sturdy.Grant) {
	s, g, err := f.rt.Save(f.ctx(), f.object, caps.Terms{For: "b"})
	must(f.t, err)
	b, c = newHost(f.t, rpc.Options{Listen: "127.0.0.1:0"}), newHost(f.t, rpc.Options{})
	one = b.opens(s)
	s, _, err = b.rt.Save(b.ctx(), one, caps.Terms{For: "c"})
	must(f.t, err)
	return b, c, one, c.opens(s), g
}

// TestAReplyThatIsUnderWayWhenItsGrantIsRevokedIsKeptBack has the method run, revokes, and lets the
// method end.
func TestAReplyThatIsUnderWayWhenItsGrantIsRevokedIsKeptBack(t *testing.T) {
	for _, begun := range []bool{false, true} {
		call := func(ctx context.Context, r caps.Ref) (int64, error) { return ferryHold.Call(ctx, r) }
		if begun {
			call = func(ctx context.Context, r caps.Ref) (int64, error) { return ferryHold.Begin(ctx, r).Await(ctx) }
		}
		f := newCrossing(t)
		b, c, one, two, g := f.reach()
		atB, gB := b.given(one, caps.Terms{})
		atC, gC := c.given(two, caps.Terms{})
		for _, x := range []struct {
			name  string
			h     *host
			r     caps.Ref
			ends  sturdy.Grant
			where *host
		}{
			{"the caller's grant, behind one hop", b, atB, gB, b},
			{"the caller's grant, behind two", c, atC, gC, c},
			{"the host's, behind two", c, two, g, f.host}, // and last, as nothing is left after it
		} {
			came := make(chan error, 1)
			go func() { _, err := call(x.h.ctx(), x.r); came <- err }()
			<-f.in
			must(t, x.ends.Revoke(x.where.ctx()))
			f.let <- struct{}{}
			if err := <-came; !errors.Is(err, caps.ErrRevoked) && !errors.Is(err, caps.ErrMaybeExecuted) {
				t.Errorf("%s, begun %v: %v", x.name, begun, err)
			}
		}
		if _, err := call(b.ctx(), one); !errors.Is(err, caps.ErrRevoked) {
			t.Error("after it:", err)
		}
	}
}

func TestDeadlinesAndCancellationCrossEveryHop(t *testing.T) {
	f := newCrossing(t)
	b, c, one, two, _ := f.reach()
	for name, x := range map[string]struct {
		h *host
		r caps.Ref
	}{"one hop": {b, one}, "two hops": {c, two}} {
		ctx, cancel := context.WithCancel(context.Background())
		came := make(chan error, 1)
		go func() { _, err := ferryHold.Call(ctx, x.r); came <- err }()
		if left := <-f.in; left != 0 {
			t.Error(name, "a deadline that nobody set:", left)
		}
		cancel()
		if err := <-came; !errors.Is(err, caps.ErrMaybeExecuted) || !errors.Is(err, context.Canceled) {
			t.Error(name, "canceled when it had left:", err)
		}
		if err := <-f.out; !errors.Is(err, context.Canceled) {
			t.Error(name, "the method's context ended by", err)
		}
		if _, err := ferryHold.Call(ctx, x.r); !errors.Is(err, caps.ErrNotDelivered) && !errors.Is(err, context.Canceled) || errors.Is(err, caps.ErrMaybeExecuted) {
			t.Error(name, "canceled before:", err)
		}
		ctx, cancel = context.WithTimeout(context.Background(), ferryEnds)
		go func() { _, err := ferryHold.Call(ctx, x.r); came <- err }()
		if left := <-f.in; left <= 0 || left > ferryEnds {
			t.Error(name, "of ten seconds the method has", left)
		}
		f.let <- struct{}{}
		must(t, <-came)
		cancel()
		if len(f.in)+len(f.out) != 0 {
			t.Error(name, "what was canceled before it left has begun")
		}
	}
}

// A letter has no deadline: who stops waiting for it has not canceled it.
func TestWhoStopsWaitingForALetterHasNotCanceledIt(t *testing.T) {
	a, b, r := two(t)
	a.stop()
	ctx, cancel := context.WithCancel(b.ctx())
	p := deskAdd.Send(ctx, r, 1)
	cancel()
	if _, err := p.Await(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	a.start()
	if n, err := p.Await(b.ctx()); n != 1 || err != nil {
		t.Error(n, err)
	}
}
