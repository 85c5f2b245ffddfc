package orders

import (
	"context"
	"fmt"
	"io"
	"time"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Stuck prints and pauses the threads that have waited for somebody for a day, so that they
// do nothing before they were looked at. ThreadRef.Resume lets one go on. What waits for a
// time that will come is not stuck. now is the world's time.
func Stuck(ctx context.Context, rt *sturdy.Runtime, out io.Writer, now time.Time) error {
	for info, err := range rt.Activity().Threads(ctx) {
		if err != nil {
			return err
		}
		if stuck(info, now) {
			if err := stop(ctx, rt, out, info); err != nil {
				return err
			}
		}
	}
	return nil
}

func stuck(info sturdy.ThreadInfo, now time.Time) bool {
	somebody := info.State == sturdy.ThreadParked || info.State == sturdy.ThreadWaiting && info.Waits != "time"
	return somebody && !info.Paused && now.Sub(info.Since) >= 24*time.Hour
}

func stop(ctx context.Context, rt *sturdy.Runtime, out io.Writer, info sturdy.ThreadInfo) error {
	ref, err := rt.Object(ctx, info.ID)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s of %s is %s since %s, at %s %s\n", info.Program, info.Object, info.State, info.Since.Format(time.DateTime), info.Step, info.Waits)
	if info.Error != nil {
		fmt.Fprintf(out, "    %v\n", info.Error)
	}
	th := sturdy.ThreadRef{Ref: ref}
	for s, err := range th.Steps(ctx) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "    %s %-8s %s %s\n", s.At.Format(time.DateTime), s.Name, s.State, s.Result)
	}
	return th.Pause(ctx)
}
