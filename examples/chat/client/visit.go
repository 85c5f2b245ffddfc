package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/chat"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const (
	back     = 5                // posts that a newcomer sees
	callTime = 10 * time.Second // for the server to answer
	lookTime = time.Second      // between two looks whether the server is there
)

// visit is a seat in a room of another host, and a screen that is out.
type visit struct {
	rt   *sturdy.Runtime
	room chat.Room
	seat chat.Seat
	lost bool // the server could not be reached when it was tried last
	mu   sync.Mutex
	out  io.Writer // guarded by mu
}

// visit joins, and talks until in or ctx ends, or the seat is taken away.
func (v *visit) visit(ctx context.Context, invitation caps.SturdyRef, nick string, in io.Reader) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if v.room.Ref, err = v.rt.Restore(ctx, invitation); err != nil {
		return err
	}
	screen, posts := chat.Screen(ctx, v.rt)
	if v.seat, err = v.room.Join(ctx, chat.Request{Nick: nick, Screen: screen, Back: back}); err != nil {
		return err
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		for p := range posts {
			v.tell("%s: %s", p.Nick, p.Text)
		}
	}()
	err = v.talk(ctx, v.lines(ctx, in))
	v.leave(context.WithoutCancel(ctx))
	cancel()
	<-shown
	return err
}

// lines yields what is typed, until in ends or ctx.
func (v *visit) lines(ctx context.Context, in io.Reader) <-chan string {
	typed := make(chan string)
	go func() {
		defer close(typed)
		s := bufio.NewScanner(in)
		for s.Scan() {
			select {
			case typed <- s.Text():
			case <-ctx.Done():
				return
			}
		}
		if err := s.Err(); err != nil {
			v.tell("! %v", err)
		}
	}()
	return typed
}

// talk does what is typed. Meanwhile it looks after the connection: the server calls back over
// the one that this host has made, so who only listens has to make it again too.
func (v *visit) talk(ctx context.Context, typed <-chan string) error {
	look := time.NewTicker(lookTime)
	defer look.Stop()
	for {
		var err error
		select {
		case line, ok := <-typed:
			if !ok {
				return nil
			}
			if err = v.try(ctx, line); err != nil {
				v.tell("! %s", plain(err))
			}
		case <-look.C:
			if err = v.try(ctx, "/history 0"); unreachable(err) != v.lost {
				v.lost = !v.lost
				v.tell("* %s", map[bool]string{true: "the server cannot be reached; your seat is kept", false: "the server is there again"}[v.lost])
			}
		case <-ctx.Done():
			return nil
		}
		if errors.Is(err, chat.ErrNoSeat) {
			return errors.New("your seat is gone")
		}
	}
}

// try does what one line says.
func (v *visit) try(ctx context.Context, line string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	verb, arg, _ := strings.Cut(line, " ")
	switch {
	case verb == "":
		return nil
	case verb == "/who":
		return v.who(ctx)
	case verb == "/history":
		return v.history(ctx, arg)
	case strings.HasPrefix(verb, "/"):
		return errors.New("there is /who and /history N; ctrl-d leaves")
	}
	return v.seat.Say(ctx, line)
}

func (v *visit) who(ctx context.Context) error {
	members, err := v.room.Who(ctx)
	var names []string
	for _, m := range members {
		names = append(names, m.Nick)
	}
	if err == nil {
		v.tell("* here: %s", strings.Join(names, ", "))
	}
	return err
}

func (v *visit) history(ctx context.Context, arg string) error {
	n, err := strconv.Atoi(strings.TrimSpace(arg))
	if err != nil {
		return errors.New("how many lines?")
	}
	posts, err := v.seat.History(ctx, n)
	for _, p := range posts {
		v.tell("* %s %s: %s", p.At.Format(time.TimeOnly), p.Nick, p.Text)
	}
	return err
}

// leave gives the seat up. A server that does not hear of it finds out, see chat.Knock.
func (v *visit) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if err := v.seat.Leave(ctx); err != nil {
		v.tell("! %s", plain(err))
		return
	}
	v.tell("* goodbye")
}

func unreachable(err error) bool {
	return errors.Is(err, caps.ErrNotDelivered) || errors.Is(err, caps.ErrMaybeExecuted)
}

// plain is err for who has typed the line that it comes from.
func plain(err error) string {
	switch {
	case errors.Is(err, caps.ErrNotDelivered):
		return "nothing happened: the server cannot be reached"
	case errors.Is(err, caps.ErrMaybeExecuted):
		return "it may have happened or not: the server went away before it answered"
	}
	return err.Error()
}

// tell writes one line. It is safe for concurrent use. What the server sends could make a
// terminal do something, and is written without that.
func (v *visit) tell(format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, fmt.Sprintf(format, args...))
	v.mu.Lock()
	defer v.mu.Unlock()
	_, _ = fmt.Fprintln(v.out, text)
}
