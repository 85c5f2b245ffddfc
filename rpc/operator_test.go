package rpc_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// operate is h as the owner of its directory has it from another process.
func operate(t testing.TB, h *host) (*rpc.Operator, *sturdy.Runtime) {
	t.Helper()
	rt, err := sturdy.Options{Log: slog.New(slog.DiscardHandler)}.Open()
	must(t, err)
	node, err := rpc.Attach(rt, rpc.Options{Peers: map[string]string{h.rt.Host(): rpc.SocketOf(h.dir)}})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(node.Close(), rt.Close())) })
	o, err := node.Operate(h.ctx(), rpc.SocketOf(h.dir))
	must(t, err)
	return o, rt
}

func TestWhoOperatesAHostLooksIntoIt(t *testing.T) {
	h := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	o, rt := operate(t, h)
	if o.Host() != h.rt.Host() {
		t.Errorf("it is %s", o.Host())
	}
	r, err := o.Root().Get(t.Context(), "desk")
	must(t, err)
	adds(t, r, 2, 2)
	info, err := o.Describe(t.Context(), r)
	must(t, err)
	again, err := o.Object(t.Context(), info.ID)
	if err != nil || !again.Same(r) || info.Host != h.rt.Host() {
		t.Errorf("%v, %v, at %s", again, err, info.Host)
	}
	must(t, deskPut.Call(t.Context(), r, r))
	state, err := o.State(t.Context(), r)
	must(t, err)
	fields, _ := state.Any().([]caps.Entry)
	if len(fields) != 2 || fields[0].Val.Any() != any(int64(2)) {
		t.Errorf("the state is %v", state)
	} else if held, ok := fields[1].Val.Any().(caps.Ref); !ok || !held.Same(r) {
		t.Errorf("it holds %v", fields[1].Val)
	}
	for _, err := range o.Activity().Letters(t.Context()) {
		t.Errorf("there is a letter, %v", err)
	}
	if _, err := o.Object(t.Context(), "ffff"); !errors.Is(err, caps.ErrGone) {
		t.Error(err)
	}
	if state, err := o.State(t.Context(), rt.Root().Ref); err == nil {
		t.Errorf("it tells what another world holds: %v", state)
	}
}

func TestWhoOperatesAHostHasItSaveAndRestore(t *testing.T) {
	a, b, _ := two(t)
	o, _ := operate(t, a)
	r, err := o.Root().Get(t.Context(), "desk")
	must(t, err)
	only := []caps.Named{deskGet, caps.Action("add")}
	s, err := o.Save(t.Context(), r.Attenuate(caps.Read|caps.Write), caps.Terms{For: "b", Until: time.Now().Add(time.Hour), Only: only})
	must(t, err)
	if s.Host() != a.rt.Host() || !slices.Equal(s.Addresses(), []string{a.node.Address()}) {
		t.Errorf("it is of %s at %v", s.Host(), s.Addresses())
	}
	adds(t, b.opens(s), 3, 3)
	if err := deskFail.Call(t.Context(), b.opens(s)); err == nil || !strings.Contains(err.Error(), "not among what grant") {
		t.Error(err)
	}
	for g, err := range a.rt.Grants(t.Context(), a.desk) {
		if err == nil && g.For == "b" && len(g.Only) == 2 && (g.Until.IsZero() || g.Rights != "rw") {
			t.Errorf("it was granted as %+v", g)
		}
	}
	far, err := o.Restore(t.Context(), b.save(caps.Terms{}))
	must(t, err)
	adds(t, far, 4, 4)
	adds(t, b.desk, 1, 5)
	info, err := o.Describe(t.Context(), far)
	if err != nil || info.Host != b.rt.Host() || info.Kind.Name != "test.example/desk" || !strings.HasPrefix(far.String(), "desk ") {
		t.Errorf("%s is of %s, %v", far, info.Host, err)
	}
}

func TestWhatIsMountedIsWalkedThroughTheHost(t *testing.T) {
	a, b, _ := two(t)
	o, _ := operate(t, a)
	root, _, err := b.rt.Save(t.Context(), b.rt.Root().Ref, caps.Terms{})
	must(t, err)
	far, err := o.Restore(t.Context(), root)
	must(t, err)
	must(t, o.Mount(t.Context(), []string{"peers", "b"}, far))
	for _, path := range [][]string{nil, {}, {"desk"}, {"peers", "b"}, {"peers", "b", "x"}, {"desk", "x"}, {"peers", ""}, make([]string, 100)} {
		if err := o.Mount(t.Context(), path, far); err == nil {
			t.Errorf("%q was mounted", path)
		}
	}
	must(t, rpc.Mount(t.Context(), a.rt, []string{"again"}, a.desk))
	walk := func() {
		t.Helper()
		at := o.Root().Ref
		for _, name := range []string{"peers", "b", "desk"} {
			if at, err = (sturdy.Directory{Ref: at}).Get(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		_, err := deskAdd.Call(t.Context(), at, 1)
		must(t, err)
	}
	walk()
	a.restart()
	walk()
	b.restart()
	walk()
	if err := o.Mount(t.Context(), []string{"null"}, caps.Ref{}); err == nil {
		t.Error("nothing was mounted")
	}
	b.stop()
	if n, err := o.Root().Len(t.Context()); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	names, err := caps.Method[struct {
		From  string
		Limit int64
	}, []struct {
		Name string
		Ref  caps.Ref
	}]("list").Call(t.Context(), o.Root().Ref, struct {
		From  string
		Limit int64
	}{})
	if err != nil || len(names) != 3 {
		t.Errorf("a host that is away hides the others: %v, %v", names, err)
	}
	must(t, o.Root().Delete(t.Context(), "again"))
}

func TestNobodyOperatesAHostOverTheNetwork(t *testing.T) {
	a, b, _ := two(t)
	if _, err := b.node.Operate(t.Context(), a.node.Address()); !errors.Is(err, caps.ErrNoRight) {
		t.Error(err)
	}
	a.stop()
	if _, err := b.node.Operate(t.Context(), rpc.SocketOf(a.dir)); !errors.Is(err, caps.ErrNotDelivered) {
		t.Error(err)
	}
}

func TestAThreadOnAnotherHostIsWaitedFor(t *testing.T) {
	const (
		work  caps.Action        = "work"
		word  caps.Command[bool] = "go"
		spent caps.Code          = "test.example/spent"
	)
	kind := sturdy.Define("test.example/job", sturdy.Runs(work, func(th *sturdy.Thread[drawer]) error {
		ok, err := sturdy.Receive(th, "word", word, 0)
		if err == nil && !ok {
			err = &caps.Error{Code: spent, Text: "no more"}
		}
		return err
	}))
	a := &host{t: t, dir: t.TempDir()}
	rt, err := sturdy.Open(a.dir, kind)
	must(t, err)
	a.rt = rt
	a.node, err = rpc.Attach(rt, rpc.Options{})
	must(t, err)
	t.Cleanup(a.stop)
	job, err := rt.Root().Ensure(t.Context(), "job", func(turn *sturdy.WriteTurn) caps.Ref { return kind.New(turn, drawer{}) })
	must(t, err)
	o, _ := operate(t, a)
	threads := func() (list []sturdy.ThreadRef) {
		for range 3 {
			must(t, work.Call(t.Context(), job))
		}
		for i, err := range o.Activity().Threads(t.Context()) {
			must(t, err)
			ref, err := o.Object(t.Context(), i.ID)
			must(t, err)
			list = append(list, sturdy.ThreadRef{Ref: ref})
		}
		return list
	}()
	if len(threads) != 3 {
		t.Fatalf("there are %d threads", len(threads))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := threads[0].Wait(ctx); !errors.Is(err, sturdy.ErrTimeout) {
		t.Error(err)
	}
	waits := make([]chan error, 3)
	for i, th := range threads {
		waits[i] = make(chan error, 1)
		go func() { waits[i] <- th.Wait(a.ctx()) }()
	}
	_, err = word.Send(t.Context(), threads[0].Ref, true).Await(a.ctx())
	must(t, err)
	_, err = word.Send(t.Context(), threads[1].Ref, false).Await(a.ctx())
	must(t, err)
	must(t, threads[2].Cancel(t.Context(), "enough"))
	for i, want := range []error{nil, spent, sturdy.ErrCanceled} {
		if err := <-waits[i]; !errors.Is(err, want) {
			t.Errorf("thread %d ended with %v, want %v", i, err, want)
		}
	}
	a.stop()
	if err := threads[1].Wait(t.Context()); !errors.Is(err, caps.ErrNotDelivered) {
		t.Errorf("of a host that is away: %v", err)
	}
}

// The race detector looks on: whoever finds that the link is broken makes another, for all.
func TestWhoOperatesAHostThatIsRestartedAsksForSeveralThings(t *testing.T) {
	h := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	o, _ := operate(t, h)
	for range 10 {
		must(t, h.node.Close())
		n, err := rpc.Attach(h.rt, rpc.Options{})
		must(t, err)
		h.node = n
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { _, _ = o.State(t.Context(), o.Root().Ref) }) // the one that finds the link broken may fail
		}
		all.Wait()
	}
	_, err := o.State(t.Context(), o.Root().Ref)
	must(t, err)
}
