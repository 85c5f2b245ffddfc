package rpc

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const allRights = 7 // r, w and x as a token stores them

func TestATokenIsWorthNothingToOthersOrChanged(t *testing.T) {
	v, other := newVictim(t), newVictim(t)
	p, q := intrude(v, 7, takes), intrude(v, 8, takes)
	token, weak := p.opens(v.save()), p.opens(v.save().Attenuate(caps.Read|caps.Shallow))
	foreign := intrude(other, 7, takes).opens(other.save())
	v.must(p.adds(homeOf(allRights, token)))
	v.holds(1)
	refused := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, caps.ErrNoRight) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("replayed by another host", q.adds(homeOf(allRights, token)))
	refused("as it was handed out", p.adds(token))
	refused("twice on the way home", p.adds(homeOf(allRights, homeOf(allRights, token))))
	refused("of another world", p.adds(homeOf(allRights, foreign)))
	refused("with rights that it never had", p.adds(homeOf(255, weak)))
	refused("with rights given up", p.adds(homeOf(1, token)))
	refused("nothing", p.adds(nil))
	refused("a kind of token", p.adds([]byte{2}))
	refused("as long as may be", p.adds(bytes.Repeat([]byte{2}, maxToken)))
	v.holds(1)
	kind := len("test.example/cup") // for people, and not under the tag
	for i := range token {
		for bit := range 8 {
			bad := bytes.Clone(token)
			bad[i] ^= 1 << bit
			if err := p.adds(homeOf(allRights, bad)); err == nil && (i < len(token)-20-kind || i >= len(token)-20) {
				t.Errorf("byte %d of %d, bit %d is not looked at", i, len(token), bit)
			}
		}
	}
	for n := range uint64(100) { // the root, the activity and what else there is
		forged := append(append([]byte{1}, uvarints(n, 1)...), allRights, 0, 0)
		refused("forged", p.adds(homeOf(allRights, append(forged, token[len(token)-20:]...))))
	}
}

func TestAnArgumentThatProvesNothingIsNoArgument(t *testing.T) {
	v := newVictim(t)
	p, q := intrude(v, 7, takes), intrude(v, 8, takes)
	mine, theirs := p.opens(v.save()), q.opens(v.save())
	hold := func(slots ...[]byte) error {
		_, err := p.ask(request{op: opCall, target: homeOf(allRights, mine), method: "hold", body: []byte{0xc7, 0, 1}, slots: slots})
		return err
	}
	for name, slot := range map[string][]byte{
		"another's": homeOf(allRights, theirs), "garbage": []byte("garbage"), "of no kind": {9, 9, 9},
	} {
		if err := hold(slot); !errors.Is(err, caps.ErrNoRight) {
			t.Errorf("%s: %v", name, err)
		}
	}
	v.holds(0)
}

func TestTheRootIsNotHandedOutOverTheNetwork(t *testing.T) {
	v := newVictim(t)
	p := intrude(v, 7, takes)
	for name, q := range map[string]request{
		"root":            {op: opRoot},
		"with a target":   {op: opRoot, target: []byte("root"), method: "root"},
		"described":       {op: opDescribe, target: []byte{2, allRights, 1, 1, 1, 7, 0, 0}},
		"described, long": {op: opDescribe, target: bytes.Repeat([]byte{1}, maxToken)},
	} {
		if r, err := p.ask(q); !errors.Is(err, caps.ErrNoRight) || len(r.slots) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := v.save().Reveal()
	for _, text := range []string{"", "sturdy://", good[:len(good)-1], good + "x", strings.Replace(good, v.rt.Host(), p.id.host, 1), strings.Repeat("a", 1<<20)} {
		if r, err := p.ask(request{op: opRestore, body: []byte(text)}); err == nil || len(r.slots) > 0 {
			t.Errorf("%.60q was restored", text)
		}
	}
	if r, err := p.ask(request{op: opRestore, body: []byte(good)}); err != nil || len(r.slots) != 1 {
		t.Error(err)
	}
}

func TestABatchThatLiesIsRefusedOrCountsOnce(t *testing.T) {
	v := newVictim(t)
	p, q := intrude(v, 7, takes), intrude(v, 8, takes)
	home := homeOf(allRights, p.opens(v.save()))
	add := func(seq uint64) note {
		return note{seq: seq, number: seq + 100, box: 9, target: home, method: "add", body: "\x01"}
	}
	many := make([]note, 513)
	for i := range many {
		many[i] = add(uint64(i + 1))
	}
	head, tail := uvarints(1, 1, 0, 1, 101, 9), append(text(text([]byte{0}, string(home)), "add"), 1, 1)
	for name, b := range map[string][]byte{
		"nothing": nil, "another version": uvarints(2, 1), "no lineage": {1}, "a long lineage": append([]byte{1}, bytes.Repeat([]byte{255}, 11)...),
		"too many":            batch(1, many...),
		"a kind that is none": append(bytes.Clone(head), 7),
		"cut short":           append(bytes.Clone(head), tail[:20]...),
		"many references":     append(append(bytes.Clone(head), tail...), uvarints(math.MaxUint64)...),
		"some references":     append(append(bytes.Clone(head), tail...), uvarints(1<<16)...),
		"a long text":         append(append(bytes.Clone(head), 0), uvarints(1<<62)...),
	} {
		if n, err := p.brings(b); !errors.Is(err, caps.ErrBadArgument) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	v.holds(0)
	bring := func(s *stranger, want int64, ns ...note) {
		t.Helper()
		if n, err := s.brings(batch(1, ns...)); n != uint64(len(ns)) || err != nil {
			t.Errorf("%d of %d, %v", n, len(ns), err)
		}
		settles(v, want)
	}
	bring(p, 2, add(1), add(2))
	bring(p, 2, add(1), add(2), add(2), add(1))  // again
	bring(p, 4, add(9), add(5), add(9), add(10)) // what falls behind has come already
	bring(p, 4, note{seq: 3}, note{seq: 4})      // given up before they left, and behind
	bring(q, 4, add(1))                          // with the token of another
	if !slices.Equal(q.notes, uvarints(2)) {
		t.Errorf("the answer says %x of it", q.notes)
	}
	bring(p, 5, add(math.MaxUint64)) // its own channel ends here
	bring(p, 5, add(math.MaxUint64), add(13))
	for lineage := range uint64(40) { // other channels, of which few are remembered
		if _, err := p.brings(batch(lineage+2, note{seq: 1})); err != nil {
			t.Error(err)
		}
	}
	settles(v, 5)
}

// settles waits until the letters have been delivered, and looks into the cup.
func settles(v *victim, want int64) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := v.rt.Settle(ctx); err != nil {
		v.t.Error(err)
	}
	v.holds(want)
}

// far is a Ref of the victim to an object that the stranger says it has.
func (s *stranger) far(object byte) caps.Ref {
	s.v.t.Helper()
	r, err := s.v.rt.Import(append([]byte{1, object, 1, allRights, 0, 0}, make([]byte, 20)...), s.id.host, "")
	s.v.must(err)
	return r
}

func TestAnAnswerCountsOnceAndFromWhoWasAsked(t *testing.T) {
	v := newVictim(t)
	p, q := intrude(v, 7, takes), intrude(v, 8, takes)
	promise := cupAdd.Send(context.Background(), p.far(5), 1)
	asked := p.told()
	yes := func(seq uint64, n string) note {
		return note{seq: seq, number: asked.number, box: asked.box, channel: asked.channel, verdict: "ran", body: "\x81\xa5Value" + n}
	}
	wrong := yes(2, "\x03")
	wrong.number++
	elsewhere := yes(3, "\x04")
	elsewhere.box = 3 // the activity
	huge := yes(4, "\x05")
	huge.box = math.MaxUint64
	for s, ns := range map[*stranger][]note{q: {yes(1, "\x02")}, p: {wrong, elsewhere, huge}} {
		if n, err := s.brings(batch(1, ns...)); n != uint64(len(ns)) || err != nil {
			t.Error(n, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if n, err := promise.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("it came to %d, %v by what did not answer it", n, err)
	}
	if _, err := p.brings(batch(1, yes(5, "\x07"))); err != nil {
		t.Error(err)
	}
	if _, err := p.brings(batch(1, yes(6, "\x08"), yes(7, "\x09"))); err != nil {
		t.Error(err)
	}
	if n, err := promise.Await(within(t)); n != 7 || err != nil {
		t.Errorf("%d, %v; the first answer says 7", n, err)
	}
	for l, err := range v.rt.Activity().Letters(t.Context()) {
		t.Errorf("left: %+v, %v", l, err)
	}
}

func TestAnAnswerThatMakesNoSenseBreaksThePromise(t *testing.T) {
	v := newVictim(t)
	p := intrude(v, 7, takes)
	seq := uint64(0)
	for _, body := range []string{
		"", "\x80", "\x81\xa5Value", "\x81\xa5Value\xff\xff", "\x81\xa5Value\xc7\x00\x01", "\x81\xa3Err", "\x81\xa3Err\xc0", "\x81\xa3Err\x80", "garbage",
		"\x81\xa3Err\x81\xa4Code\xa1x", "\x81\xa5Value" + strings.Repeat("\x91", 10_000),
	} {
		promise := cupAdd.Send(context.Background(), p.far(5), 1)
		asked := p.told()
		seq++
		n := note{seq: seq, number: asked.number, box: asked.box, channel: asked.channel, verdict: "ran", body: body, args: [][]byte{homeOf(allRights, []byte("forged"))}}
		if seq%2 == 0 {
			n.args = nil
		}
		if _, err := p.brings(batch(1, n)); err != nil {
			t.Errorf("%.20q: %v", body, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if got, err := promise.Await(ctx); ctx.Err() != nil || err == nil && got != 0 {
			t.Errorf("%.20q came to %d, %v", body, got, err)
		}
		cancel()
	}
	settles(v, 0)
}

// FuzzAccept brings hostile letters. Nothing of them may reach the cup, unless it is what a
// token that is right asks.
func FuzzAccept(f *testing.F) {
	w := fuzzed(f)
	token, err := w.rt.Export(context.Background(), w.cup, w.host)
	w.v.must(err)
	good := note{seq: 1, number: 4, box: 5, target: homeOf(1, token), method: "add", body: "\x01"} // may only read
	f.Add(batch(1, good))
	f.Add(batch(2, note{seq: 1}, good, note{seq: 2, number: 4, box: 20, verdict: "ran", body: "\x81\xa5Value\x01"}))
	f.Add(batch(3, note{seq: 9, number: 4, box: 5, target: homeOf(7, token[:len(token)-1]), method: "hold", body: "\xc7\x00\x01", args: [][]byte{token, nil, homeOf(1, token)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, err := w.rt.Accept(context.Background(), w.host, "", b)
		if (err == nil) == (len(answer) == 0) {
			t.Fatalf("%x, %v", answer, err)
		}
		if n, err := cupAdd.Call(context.Background(), w.cup, 0); n != 0 || err != nil {
			t.Fatalf("the cup holds %d, %v", n, err)
		}
	})
}

// FuzzImport makes Refs of hostile tokens, and uses them.
func FuzzImport(f *testing.F) {
	w := fuzzed(f)
	token, err := w.rt.Export(context.Background(), w.cup, w.host)
	w.v.must(err)
	for _, b := range [][]byte{token, homeOf(7, token), homeOf(7, homeOf(7, token)), nil, {1}, {2, 7}, {1, 1, 1, 7, 0, 0}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ref, err := w.rt.Import(b, w.host, "")
		if err != nil || ref.IsNull() {
			return
		}
		own := bytes.HasPrefix(b, []byte{2}) && len(b) > 2 && len(b) >= len(token)
		if ref.Same(w.cup) && !own {
			t.Fatalf("%x is the cup", b)
		}
		if back, err := w.rt.Export(context.Background(), ref, w.host); err != nil || !own && !bytes.Equal(back[2:], b) {
			t.Fatalf("%x went back as %x, %v", b, back, err)
		}
		_ = ref.String()
	})
}

// fuzzedWorld is a world in memory, with a cup and a host that is not there.
type fuzzedWorld struct {
	v    *victim
	rt   *sturdy.Runtime
	cup  caps.Ref
	host string
}

func fuzzed(f *testing.F) fuzzedWorld {
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{cupKind}, Log: quiet()}.Open()
	w := fuzzedWorld{v: &victim{t: f}, rt: rt, host: newIdentity(f, 7).host}
	w.v.must(err)
	f.Cleanup(func() { w.v.must(rt.Close()) })
	w.cup, err = rt.Root().Ensure(context.Background(), "cup", func(t *sturdy.WriteTurn) caps.Ref { return cupKind.New(t, cup{}) })
	w.v.must(err)
	return w
}

// within is a context that ends, so that a test which waits in vain says where.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
