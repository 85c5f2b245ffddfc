package programtest_test

import (
	"context"
	"errors"
	"log"
	"testing"

	"github.com/sturdyrt/sturdy/examples/internal/programtest"
)

func TestWhatServesRunsUntilItIsStopped(t *testing.T) {
	addr, stop := programtest.Start(t, func(ctx context.Context, l *log.Logger) error {
		l.Print("hello")
		l.Print("listening on here:1")
		l.Print("listening on there:2")
		<-ctx.Done()
		l.Print("over")
		return nil
	})
	const logged = "hello\nlistening on here:1\nlistening on there:2\nover\n"
	if addr != "here:1" || stop() != logged || stop() != logged {
		t.Errorf("at %s: %q", addr, stop())
	}
}

// failing notes what a test would have failed with.
type failing struct {
	*testing.T
	failed error
}

func (f *failing) Error(args ...any) { f.failed, _ = args[0].(error) }

func TestWhatFailsFailsTheTest(t *testing.T) {
	f, no := &failing{T: t}, errors.New("no")
	_, stop := programtest.Start(f, func(ctx context.Context, l *log.Logger) error {
		l.Print("listening on here:1")
		<-ctx.Done()
		return no
	})
	if stop(); !errors.Is(f.failed, no) {
		t.Error(f.failed)
	}
}
