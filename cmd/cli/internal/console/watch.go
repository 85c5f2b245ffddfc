package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

const (
	watchEvery = 2 * time.Second
	watchLeast = 10 * time.Millisecond
	watchMost  = 24 * time.Hour
	// maxFrame is how many lines of a terminal one picture takes, so that the next can be
	// drawn over it also in a small one.
	maxFrame = 22
)

// watch calls f again and again. Where somebody looks on, each result is drawn over the one
// before, and Ctrl-C is the way to end it; a script says how often.
func (s *Session) watch(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var f starlark.Callable
	var every starlark.Value
	times := 0
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "f", &f, "every??", &every, "times?", &times); err != nil {
		return nil, err
	}
	interval, err := interval(every)
	switch {
	case err != nil:
		return nil, fmt.Errorf("watch: every: %w", err)
	case times < 0:
		return nil, fmt.Errorf("watch: times is %d", times)
	case times == 0 && !s.Screen:
		return nil, errors.New("watch: nobody looks on who could end it; times=10 says how often")
	case s.inTurn:
		return nil, &caps.Error{Op: b.Name(), Code: caps.ErrWouldBlock, Text: "a turn cannot wait; call it before or after atomically"}
	}
	p := film{s: s}
	for n := 1; ; n++ {
		shown, err := s.frame(thread, f)
		if err != nil {
			return nil, s.watched(err)
		}
		p.draw(shown)
		if n == times {
			return starlark.None, nil
		}
		if err := s.pause(s.ctx, interval); err != nil {
			return nil, s.watched(err)
		}
	}
}

// interval reads how long to wait: a number of seconds, a text like "5s", or a duration.
func interval(x starlark.Value) (d time.Duration, err error) {
	wrong := func() error {
		return fmt.Errorf(`it wants a number of seconds or a text like "5s", not the %s %s`, x.Type(), repr(x, 40))
	}
	switch x := x.(type) {
	case nil:
		return watchEvery, nil
	case starlarktime.Duration:
		d = time.Duration(x)
	case starlark.String:
		if d, err = text.Span(string(x)); err != nil {
			return 0, err
		}
	default:
		seconds, ok := starlark.AsFloat(x)
		if !ok {
			return 0, wrong()
		}
		// Out of range, also what is no number, it is left to be refused below.
		if seconds >= watchLeast.Seconds() && seconds <= watchMost.Seconds() {
			d = time.Duration(seconds * float64(time.Second))
		}
	}
	if d < watchLeast || d > watchMost {
		return 0, errors.New("it wants from 0.01 seconds to a day")
	}
	return d, nil
}

// watched ends a watch. That somebody has seen enough is no failure of the input.
func (s *Session) watched(err error) error {
	s.seenEnough = s.Screen && s.ctx.Err() != nil
	return err
}

// frame is what f prints and returns, as it would be shown.
func (s *Session) frame(thread *starlark.Thread, f starlark.Callable) (string, error) {
	out := s.Out
	defer func() { s.Out = out }()
	var printed bytes.Buffer
	s.Out = &printed
	v, err := starlark.Call(thread, f, nil, nil)
	if err == nil {
		err = s.stopped
	}
	if err != nil {
		return "", err
	}
	shown := ""
	if v != starlark.None {
		if shown, err = s.show(v); err != nil {
			return "", err
		}
		if list, ok := v.(*starlark.List); ok && list.Len() == 0 {
			shown = "nothing"
		}
	}
	return strings.TrimRight(printed.String()+shown, "\n"), nil
}

// film is what a watch has drawn.
type film struct {
	s     *Session
	lines int // of the terminal, that the last one takes
}

// draw shows what there is now: on a screen over what was shown before, else below it.
func (p *film) draw(shown string) {
	if !p.s.Screen {
		fmt.Fprintln(p.s.Out, shown)
		return
	}
	var b strings.Builder
	if p.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", p.lines)
	}
	p.lines = 0
	for line := range strings.SplitSeq(shown, "\n") {
		if p.lines++; p.lines == maxFrame {
			line = "…"
		}
		b.WriteString(text.Cut(line, p.s.Width) + "\n")
		if p.lines == maxFrame {
			break
		}
	}
	fmt.Fprint(p.s.Out, b.String())
}

// pause waits, as long as nobody interrupts.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
