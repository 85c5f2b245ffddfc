package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// A gateway asks somebody outside.
type gateway struct {
	N    int64
	Tags []string
	Seen map[string]int64
	To   caps.Ref
}

type gwQuestion struct {
	Words []string
	About caps.Ref
}

type gwReply struct {
	N     int64
	Words []string
	Ref   caps.Ref
	Kids  []gwReply
}

const (
	gwAsk  caps.Method[gwQuestion, gwReply] = "ask"
	gwN    caps.Query[int64]                = "n"
	gwTags caps.Query[[]string]             = "tags"
	gwTag  caps.Command[string]             = "tag"
	gwTry  caps.Command[caps.Ref]           = "try"
	gwPeek caps.Command[caps.Ref]           = "peek"

	errBusy caps.Code = "the other side is busy"
)

func (g *gateway) n(*sturdy.ReadTurn) (int64, error)         { return g.N, nil }
func (g *gateway) tags(*sturdy.ReadTurn) ([]string, error)   { return g.Tags, nil }
func (g *gateway) tag(_ *sturdy.WriteTurn, tag string) error { g.add(tag); return nil }

func (g *gateway) add(tag string) {
	g.N++
	g.Tags = append(g.Tags, tag)
	if g.Seen == nil {
		g.Seen = map[string]int64{}
	}
	g.Seen[tag] = g.N
}

func (g *gateway) try(t *sturdy.WriteTurn, r caps.Ref) error {
	_, err := gwAsk.Call(t, r, gwQuestion{})
	return err
}

func (g *gateway) peek(t *sturdy.ReadTurn, r caps.Ref) error {
	_, err := gwAsk.Call(t, r, gwQuestion{})
	return err
}

// asker is the body of ask.
type asker = func(context.Context, gateway, gwQuestion) (gwReply, error)

func gatewayKind(ask asker) *sturdy.KindOf[gateway] {
	return sturdy.Define("proof/gateway",
		sturdy.Outside(gwAsk, ask),
		sturdy.Query(gwN, (*gateway).n),
		sturdy.Query(gwTags, (*gateway).tags),
		sturdy.Command(gwTag, (*gateway).tag),
		sturdy.Command(gwTry, (*gateway).try),
		sturdy.Command(gwPeek, (*gateway).peek),
	)
}

// newGateway is a Checked world with one gateway in it, which has one tag.
func newGateway(t *testing.T, ask asker) (*shelf, caps.Ref) {
	t.Helper()
	kind := gatewayKind(ask)
	s := &shelf{World: runtimetest.Open(t, kind, accountKind, folderKind), t: t}
	ref, err := s.Root().Ensure(t.Context(), "gateway", func(tn *sturdy.WriteTurn) caps.Ref {
		s.account = accountKind.New(tn, account{N: 5})
		g := gateway{To: s.account}
		g.add("first")
		return kind.New(tn, g)
	})
	must(t, err)
	return s, ref
}

// never is the body of what must not run.
func never(t *testing.T) asker {
	return func(context.Context, gateway, gwQuestion) (gwReply, error) {
		t.Error("the body ran")
		return gwReply{}, nil
	}
}

func TestWhatIsOutsideIsCalledByWhoMayRun(t *testing.T) {
	type key struct{}
	s, ref := newGateway(t, func(ctx context.Context, g gateway, q gwQuestion) (gwReply, error) {
		return gwReply{N: g.N, Words: append(q.Words, fmt.Sprint(ctx.Value(key{})))}, nil
	})
	ctx := context.WithValue(t.Context(), key{}, "ctx")
	for _, rights := range []caps.Rights{caps.Read | caps.Write | caps.Run, caps.Run} {
		a, err := gwAsk.Call(ctx, ref.Attenuate(rights), gwQuestion{Words: []string{"a"}})
		if err != nil || a.N != 1 || !slices.Equal(a.Words, []string{"a", "ctx"}) {
			t.Errorf("with %v: %+v, %v", rights, a, err)
		}
	}
	for _, rights := range []caps.Rights{0, caps.Read, caps.Read | caps.Write} {
		_, err := gwAsk.Call(ctx, ref.Attenuate(rights), gwQuestion{})
		wants(t, err, caps.ErrNoRight)
		if err == nil || !strings.Contains(err.Error(), "needs x") {
			t.Errorf("with %v: %v", rights, err)
		}
	}
	info, err := s.Describe(ctx, ref.Attenuate(caps.Run))
	must(t, err)
	if m := info.Kind.Methods[0]; m.Name != "ask" || m.Needs != caps.Run || !slices.Equal(info.Allows, []string{"ask"}) {
		t.Errorf("%+v, which allows %v", m, info.Allows)
	}
}

func TestAnUntypedCallGoesOutside(t *testing.T) {
	_, ref := newGateway(t, func(_ context.Context, g gateway, q gwQuestion) (gwReply, error) {
		return gwReply{N: g.N, Words: q.Words, Ref: g.To}, nil
	})
	type other struct {
		Words []string
		About caps.Ref
	}
	got, err := caps.Method[other, caps.Value]("ask").Call(t.Context(), ref, other{Words: []string{"w"}})
	must(t, err)
	if text := got.String(); !strings.Contains(text, `"w"`) {
		t.Errorf("%s", text)
	}
	if _, err := ref.Deliver(t.Context(), caps.Message{Method: "ask", Body: []byte{0xc1}}); !errors.Is(err, caps.ErrBadArgument) {
		t.Errorf("garbage: %v", err)
	}
	err = caps.Action("ask").Call(t.Context(), ref)
	wants(t, err, caps.ErrBadArgument)
}

func TestATurnCannotWaitForWhatIsOutside(t *testing.T) {
	s, ref := newGateway(t, never(t))
	ctx := t.Context()
	refused := func(err error) {
		t.Helper()
		wants(t, err, caps.ErrWouldBlock)
		if err == nil || !strings.Contains(err.Error(), "thread's Step, or outside of turns") || !strings.Contains(err.Error(), "proof/gateway.ask") {
			t.Errorf("it does not say what to do: %v", err)
		}
	}
	ask := func(ctx context.Context) error {
		_, err := gwAsk.Call(ctx, ref, gwQuestion{})
		return err
	}
	must(t, s.Update(ctx, func(tn *sturdy.WriteTurn) error {
		refused(ask(tn))
		type key struct{}
		refused(ask(context.WithValue(tn, key{}, 1)))
		_, err := caps.Method[gwQuestion, caps.Value]("ask").Call(tn, ref, gwQuestion{})
		refused(err)
		_, err = gwAsk.Call(tn, ref.Attenuate(caps.Write), gwQuestion{})
		wants(t, err, caps.ErrNoRight)
		return gwTag.Call(tn, ref, "second") // the turn goes on
	}))
	must(t, s.View(ctx, func(tn *sturdy.ReadTurn) error { refused(ask(tn)); return nil }))
	refused(gwTry.Call(ctx, ref, ref))
	refused(gwPeek.Call(ctx, ref, ref))
	if n, err := gwN.Call(ctx, ref); n != 2 || err != nil {
		t.Errorf("%d tags, %v", n, err)
	}
}

func TestABodyOutsideHasAStateAndAnArgumentOfItsOwn(t *testing.T) {
	var kept []string
	_, ref := newGateway(t, func(_ context.Context, g gateway, q gwQuestion) (gwReply, error) {
		g.N, g.Tags[0], g.Seen["first"], g.Seen["new"] = 99, "changed", 99, 1
		q.Words[0] = "changed"
		kept = g.Tags
		return gwReply{N: g.Seen["first"], Words: g.Tags}, nil
	})
	words := []string{"mine"}
	a, err := gwAsk.Call(t.Context(), ref, gwQuestion{Words: words})
	must(t, err)
	kept[0] = "later"
	if words[0] != "mine" || a.Words[0] != "changed" {
		t.Errorf("the caller's argument is %v, his result %v", words, a.Words)
	}
	tags, err := gwTags.Call(t.Context(), ref)
	must(t, err)
	if n, err := gwN.Call(t.Context(), ref); n != 1 || err != nil || tags[0] != "first" {
		t.Errorf("%d, %v, %v", n, tags, err)
	}
	again, err := gwAsk.Call(t.Context(), ref, gwQuestion{Words: words})
	if err != nil || again.N != 99 || len(again.Words) != 1 {
		t.Errorf("the second call: %+v, %v", again, err)
	}
}

func TestABodyOutsideHoldsUpNobody(t *testing.T) {
	inside, goOn := make(chan string), make(chan bool)
	var self caps.Ref
	s, ref := newGateway(t, func(ctx context.Context, g gateway, q gwQuestion) (gwReply, error) {
		inside <- q.Words[0]
		<-goOn
		return gwReply{N: g.N}, gwTag.Call(ctx, self, "by "+q.Words[0]) // a turn of its own
	})
	self = ref
	var calls sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		calls.Go(func() {
			a, err := gwAsk.Call(t.Context(), ref, gwQuestion{Words: []string{name}})
			if a.N != 1 || err != nil {
				t.Errorf("it saw %d, %v", a.N, err)
			}
		})
	}
	<-inside
	<-inside
	must(t, gwTag.Call(t.Context(), ref, "meanwhile"))
	must(t, s.Sync(t.Context()))
	if n, err := gwN.Call(t.Context(), ref); n != 2 || err != nil {
		t.Errorf("meanwhile %d, %v", n, err)
	}
	close(goOn)
	calls.Wait()
	if n, err := gwN.Call(t.Context(), ref); n != 4 || err != nil {
		t.Errorf("in the end %d, %v", n, err)
	}
}

func TestARelaxedCallOutsideSeesWhatIsCommitted(t *testing.T) {
	_, ref := newGateway(t, func(_ context.Context, g gateway, _ gwQuestion) (gwReply, error) { return gwReply{N: g.N}, nil })
	ctx := sturdy.Relaxed(t.Context())
	for want := int64(2); want < 20; want++ {
		must(t, gwTag.Call(ctx, ref, "more"))
		if a, err := gwAsk.Call(ctx, ref, gwQuestion{}); a.N != want || err != nil {
			t.Fatalf("%d, %v; want %d", a.N, err, want)
		}
	}
}

func TestAPanicOutsideIsAnError(t *testing.T) {
	var kept *sturdy.WriteTurn
	s, ref := newGateway(t, func(_ context.Context, g gateway, q gwQuestion) (gwReply, error) {
		if kept != nil {
			accountKind.New(kept, account{})
		}
		panic(fmt.Sprint("boom ", q.Words[0]))
	})
	_, err := gwAsk.Call(t.Context(), ref, gwQuestion{Words: []string{"now"}})
	wants(t, err, caps.ErrPanicked)
	if err == nil || !strings.Contains(err.Error(), "boom now") || !strings.Contains(err.Error(), "stays done") {
		t.Errorf("%v", err)
	}
	if n := s.Counters().Get("panics").String(); n != "1" {
		t.Errorf("%s panics were reported", n)
	}
	must(t, s.Update(t.Context(), func(tn *sturdy.WriteTurn) error { kept = tn; return nil }))
	_, err = gwAsk.Call(t.Context(), ref, gwQuestion{})
	wants(t, err, sturdy.ErrTurnOver)
	must(t, gwTag.Call(t.Context(), ref, "it goes on"))
}

func TestAnErrorFromOutsideKeepsItsCodeAndNoRef(t *testing.T) {
	var fail error
	_, ref := newGateway(t, func(_ context.Context, g gateway, _ gwQuestion) (gwReply, error) {
		return gwReply{N: 7, Ref: g.To}, fail
	})
	for _, one := range []struct{ fails, want error }{
		{fmt.Errorf("%w: try later", errBusy), errBusy},
		{errors.New("no code"), caps.ErrFailed},
		{fmt.Errorf("asking: %w", context.DeadlineExceeded), context.DeadlineExceeded},
		{refError{ref}, caps.ErrFailed},
		{caps.ErrNotDelivered, caps.ErrNotDelivered}, // the body says so
		{fmt.Errorf("after a part: %w", &caps.Error{Code: caps.ErrNotDelivered}), caps.ErrMaybeExecuted},
		{&caps.Error{Code: caps.ErrNotDelivered, Cause: "canceled"}, context.Canceled},
	} {
		fail = one.fails
		a, err := gwAsk.Call(t.Context(), ref, gwQuestion{})
		wants(t, err, one.want)
		if leak := (refError{}); errors.As(err, &leak) || a.N != 0 || !a.Ref.IsNull() {
			t.Errorf("with %v came out %+v", err, a)
		}
		if e, ok := err.(*caps.Error); !ok || e.Op != "proof/gateway.ask" || e.Object == "" {
			t.Errorf("%#v", err)
		}
	}
}

func TestAResultFromOutsideThatCannotBeEncodedIsSaidToHaveHappened(t *testing.T) {
	_, ref := newGateway(t, func(context.Context, gateway, gwQuestion) (gwReply, error) {
		loop := []gwReply{{}}
		loop[0].Kids = loop
		return gwReply{Kids: loop}, nil
	})
	_, err := gwAsk.Call(t.Context(), ref, gwQuestion{})
	wants(t, err, caps.ErrBadResult)
}

func TestAGrantRevokedWhileABodyOutsideRan(t *testing.T) {
	ran := 0
	var meanwhile func()
	s, ref := newGateway(t, func(_ context.Context, g gateway, _ gwQuestion) (gwReply, error) {
		ran++
		meanwhile()
		return gwReply{Ref: g.To}, errBusy
	})
	shared, g := s.grant(ref, caps.Terms{For: "somebody"})
	meanwhile = func() {}
	_, err := gwAsk.Call(t.Context(), shared, gwQuestion{})
	wants(t, err, errBusy)
	meanwhile = func() { s.revoke(g) }
	_, err = gwAsk.Call(t.Context(), shared, gwQuestion{})
	wants(t, err, caps.ErrRevoked)
	if err == nil || errors.Is(err, errBusy) || !strings.Contains(err.Error(), "stays done") {
		t.Errorf("%v", err)
	}
	_, err = gwAsk.Call(t.Context(), shared, gwQuestion{})
	wants(t, err, caps.ErrRevoked)
	if err == nil || strings.Contains(err.Error(), "stays done") || ran != 2 {
		t.Errorf("it ran %d times: %v", ran, err)
	}
	info, err := g.Info(t.Context())
	if info.Uses != 2 || err != nil {
		t.Errorf("%d uses, %v", info.Uses, err)
	}
}

func TestAGrantThatRanOutWhileABodyOutsideRan(t *testing.T) {
	var s *shelf
	ctx, cancel := context.WithCancel(t.Context())
	stop := func() {}
	s, ref := newGateway(t, func(context.Context, gateway, gwQuestion) (gwReply, error) {
		s.Pass(time.Hour)
		stop()
		return gwReply{}, nil
	})
	hour := func() caps.Ref {
		shared, _ := s.grant(ref, caps.Terms{For: "an hour", Until: s.Now().Add(time.Hour)})
		return shared
	}
	_, err := gwAsk.Call(ctx, hour(), gwQuestion{})
	wants(t, err, caps.ErrRevoked)
	stop = cancel // that it ran out cannot be waited for, and is told only if it is on disk by then
	_, err = gwAsk.Call(ctx, hour(), gwQuestion{})
	if !errors.Is(err, caps.ErrRevoked) || !strings.Contains(err.Error(), "stays done") {
		wants(t, err, caps.ErrMaybeExecuted)
	}
	if errors.Is(err, caps.ErrNotDelivered) {
		t.Errorf("it ran, and says: %v", err)
	}
}

func TestWhatComesFromOutsideThroughAMembraneIsUnderIt(t *testing.T) {
	var got caps.Ref
	s, ref := newGateway(t, func(_ context.Context, g gateway, q gwQuestion) (gwReply, error) {
		got = q.About
		return gwReply{Ref: g.To}, nil
	})
	mine := accounts(t, s.World, 1, 3)[0]
	shared, g := s.grant(ref, caps.Terms{For: "guest", Deep: true})
	a, err := gwAsk.Call(t.Context(), shared, gwQuestion{About: mine})
	must(t, err)
	s.open(a.Ref, "")
	s.open(got, "")
	if got == mine || a.Ref == s.account {
		t.Error("a Ref crossed the membrane unmarked")
	}
	s.revoke(g)
	s.open(a.Ref, caps.ErrRevoked)
	s.open(s.account, "")
}

func TestACallOutsideThatIsCanceled(t *testing.T) {
	inside := make(chan bool)
	ran := 0
	_, ref := newGateway(t, func(ctx context.Context, _ gateway, _ gwQuestion) (gwReply, error) {
		ran++
		inside <- true
		<-ctx.Done()
		return gwReply{}, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-inside; cancel() }()
	_, err := gwAsk.Call(ctx, ref, gwQuestion{})
	wants(t, err, context.Canceled)
	if errors.Is(err, caps.ErrNotDelivered) {
		t.Errorf("it ran, and says: %v", err)
	}
	_, err = gwAsk.Call(ctx, ref, gwQuestion{})
	wants(t, err, caps.ErrNotDelivered)
	if ran != 1 {
		t.Errorf("it ran %d times", ran)
	}
}

func TestAWorldThatClosesWhileABodyOutsideRuns(t *testing.T) {
	ctx := t.Context()
	var rt *sturdy.Runtime
	kind := gatewayKind(func(_ context.Context, g gateway, _ gwQuestion) (gwReply, error) {
		return gwReply{N: g.N}, rt.Close()
	})
	rt, err := sturdy.Options{Kinds: []sturdy.Kind{kind}}.Open()
	must(t, err)
	ref, err := rt.Root().Ensure(ctx, "g", func(tn *sturdy.WriteTurn) caps.Ref { return kind.New(tn, gateway{N: 3}) })
	must(t, err)
	a, err := gwAsk.Call(ctx, ref, gwQuestion{})
	if a.N != 3 || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	_, err = gwAsk.Call(ctx, ref, gwQuestion{})
	wants(t, err, sturdy.ErrClosed)
}

func TestCallsOutsideAmongWritersSeeWholeStates(t *testing.T) {
	var torn atomic.Int64
	kind := gatewayKind(func(_ context.Context, g gateway, _ gwQuestion) (gwReply, error) {
		if int(g.N) != len(g.Tags) || len(g.Seen) != len(g.Tags) {
			torn.Add(1)
		}
		g.add("outside")
		return gwReply{Words: g.Tags}, nil
	})
	w := runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{kind}, Cache: 1})
	ref, err := w.Root().Ensure(t.Context(), "g", func(tn *sturdy.WriteTurn) caps.Ref { return kind.New(tn, gateway{}) })
	must(t, err)
	var busy sync.WaitGroup
	for i := range 4 {
		ctx := t.Context()
		if i%2 == 1 {
			ctx = sturdy.Relaxed(ctx)
		}
		busy.Go(func() {
			for j := range 50 {
				if err := gwTag.Call(ctx, ref, fmt.Sprint(i, ".", j)); err != nil {
					t.Error(err)
				}
			}
		})
		busy.Go(func() {
			for range 100 {
				if _, err := gwAsk.Call(ctx, ref, gwQuestion{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	busy.Wait()
	if n, err := gwN.Call(t.Context(), ref); n != 200 || err != nil || torn.Load() != 0 {
		t.Errorf("%d tags, %d torn states, %v", n, torn.Load(), err)
	}
}

func TestACallOutsideOfAnObjectThatIsNotYetOnDisk(t *testing.T) {
	kind := gatewayKind(func(_ context.Context, g gateway, _ gwQuestion) (gwReply, error) { return gwReply{N: g.N}, nil })
	w := runtimetest.Open(t, kind)
	for n := range int64(20) {
		var ref caps.Ref
		must(t, w.Update(sturdy.Relaxed(t.Context()), func(tn *sturdy.WriteTurn) error {
			ref = kind.New(tn, gateway{N: n})
			return nil
		}))
		if a, err := gwAsk.Call(t.Context(), ref, gwQuestion{}); a.N != n || err != nil {
			t.Fatalf("%d, %v; want %d", a.N, err, n)
		}
	}
}

func TestAGrantRevokedBeforeABodyOutsideBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, kind := t.Context(), gatewayKind(never(t))
		rt, err := sturdy.Options{Kinds: []sturdy.Kind{kind}}.Open()
		must(t, err)
		defer rt.Close()
		var shared caps.Ref
		var g sturdy.Grant
		must(t, rt.Update(ctx, func(tn *sturdy.WriteTurn) error {
			shared, g = tn.Grant(kind.New(tn, gateway{}), caps.Terms{For: "somebody"})
			return nil
		}))
		ended := make(chan error, 1)
		must(t, rt.Update(ctx, func(tn *sturdy.WriteTurn) error {
			go func() {
				_, err := gwAsk.Call(sturdy.Relaxed(ctx), shared, gwQuestion{})
				ended <- err
			}()
			synctest.Wait() // it was let in, and waits for this turn
			return g.Revoke(tn)
		}))
		wants(t, <-ended, caps.ErrRevoked)
	})
}
