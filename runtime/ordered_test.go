package sturdy_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// pass makes calls through Deliver as somebody does who passes on a stream of them.
func pass(rt *sturdy.Runtime, to caps.Ref, messages []caps.Message) (errs []error, begun []int) {
	errs, begun = make([]error, len(messages)), make([]int, len(messages))
	var all sync.WaitGroup
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	for i, m := range messages {
		<-turn
		all.Go(func() {
			_, errs[i] = rt.Deliver(context.Background(), to, m, func() {
				begun[i]++
				turn <- struct{}{}
			})
		})
	}
	all.Wait()
	return errs, begun
}

func TestCallsThatArePassedOnTakeEffectInOrder(t *testing.T) {
	kind := gatewayKind(nil)
	rt, err := sturdy.Options{Files: objstore.NewMemory(), Kinds: []sturdy.Kind{kind}}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	ctx := context.Background()
	to, err := rt.Root().Ensure(ctx, "gateway", func(t *sturdy.WriteTurn) caps.Ref { return kind.New(t, gateway{}) })
	if err != nil {
		t.Fatal(err)
	}
	var messages []caps.Message
	var want []string
	for i := range 300 {
		tag := string(rune('a' + i%26))
		want = append(want, tag)
		messages = append(messages, gwTag.To(to, tag))
	}
	errs, begun := pass(rt, to, messages)
	for i := range messages {
		if errs[i] != nil || begun[i] != 1 {
			t.Errorf("call %d: %v; begun %d times, want once", i, errs[i], begun[i])
		}
	}
	got, err := gwTags.Call(ctx, to)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d tags, %v; want %d", len(got), err, len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("tag %d is %q, want %q: the calls overtook each other", i, got[i], want[i])
		}
	}
}

// heldFS is a disk whose syncs wait while it is held.
type heldFS struct {
	objstore.FS
	held sync.RWMutex
}

type heldFile struct {
	objstore.File
	of *heldFS
}

func (d *heldFS) OpenFile(name string, flag int, perm fs.FileMode) (objstore.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	return &heldFile{f, d}, err
}

func (f *heldFile) Sync() error {
	f.of.held.RLock()
	defer f.of.held.RUnlock()
	return f.File.Sync()
}

// If it waited for the disk, this test would not end.
func TestTheNextCallBeginsBeforeTheOneInFrontIsDurable(t *testing.T) {
	disk := &heldFS{FS: objstore.NewMemory()}
	rt, err := sturdy.Options{Files: disk, Kinds: []sturdy.Kind{counterKind}}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	ctx := context.Background()
	hits, err := rt.Root().Ensure(ctx, "hits", newCounter)
	if err != nil {
		t.Fatal(err)
	}
	disk.held.Lock()
	var all sync.WaitGroup
	begun := make(chan struct{})
	for range 5 {
		all.Go(func() {
			if _, err := rt.Deliver(ctx, hits, counterAdd.To(hits, 1), func() { begun <- struct{}{} }); err != nil {
				t.Error(err)
			}
		})
		<-begun
	}
	if n, err := counterGet.Call(ctx, hits); err != nil || n != 0 {
		t.Errorf("get = %d, %v; want 0: nothing is durable yet", n, err)
	}
	disk.held.Unlock()
	all.Wait()
	if n, err := counterGet.Call(ctx, hits); err != nil || n != 5 {
		t.Errorf("get = %d, %v; want 5", n, err)
	}
}

func TestACallThatFailsHasBegun(t *testing.T) {
	rt, err := sturdy.Options{Files: objstore.NewMemory(), Kinds: []sturdy.Kind{counterKind}}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	hits, err := rt.Root().Ensure(context.Background(), "hits", newCounter)
	if err != nil {
		t.Fatal(err)
	}
	errs, begun := pass(rt, hits.Attenuate(caps.Read), []caps.Message{
		counterAdd.To(hits, 1), {Method: "nothing"}, {Method: "add", Body: []byte{0xc1}}, counterGet.To(hits),
	})
	for i, want := range []error{caps.ErrNoRight, caps.ErrNoMethod, caps.ErrNoRight, nil} {
		if !errors.Is(errs[i], want) || begun[i] != 1 {
			t.Errorf("call %d: %v, begun %d times; want %v, once", i, errs[i], begun[i], want)
		}
	}
	errs, begun = pass(rt, caps.Ref{}, []caps.Message{counterGet.To(hits)})
	if errs[0] == nil || begun[0] != 1 {
		t.Errorf("a call of the null Ref: %v, begun %d times", errs[0], begun[0])
	}
}
