package sturdy_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// safeBuffer is a bytes.Buffer that a logger and a test share.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestATurnThatDoesNotEndIsNamedAndReadsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged safeBuffer
		rt, err := sturdy.Options{Kinds: []sturdy.Kind{counterKind}, Log: slog.New(slog.NewTextHandler(&logged, nil))}.Open()
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		hits, err := rt.Root().Ensure(ctx, "hits", newCounter)
		if err != nil {
			t.Fatal(err)
		}
		release, stuck := make(chan struct{}), make(chan error)
		go func() {
			stuck <- rt.Update(ctx, func(*sturdy.WriteTurn) error { return waitForeverInATurn(release) })
		}()
		synctest.Wait()
		waits := make(chan error)
		go func() {
			_, err := counterAdd.Call(ctx, hits, 1)
			waits <- err
		}()
		time.Sleep(3 * time.Second)
		for _, want := range []string{"a write turn does not end", "turn=update", "waitForeverInATurn", "add has waited"} {
			if !strings.Contains(logged.String(), want) {
				t.Errorf("after 3 s the log lacks %q:\n%s", want, logged.String())
			}
		}
		if n, err := counterGet.Call(ctx, hits); n != 0 || err != nil {
			t.Errorf("a read beside the stuck turn: %d, %v", n, err)
		}
		err = <-waits
		if !errors.Is(err, caps.ErrNotDelivered) || !strings.Contains(err.Error(), "turn update holds") {
			t.Errorf("who waited behind it: %v", err)
		}
		close(release)
		if err := <-stuck; err != nil {
			t.Errorf("the stuck turn, once it went on: %v", err)
		}
		if _, err := counterAdd.Call(ctx, hits, 1); err != nil {
			t.Errorf("a write afterwards: %v", err)
		}
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
}

//go:noinline
func waitForeverInATurn(release chan struct{}) error {
	<-release
	return nil
}
