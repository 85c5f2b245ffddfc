package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/chat"
	"github.com/sturdyrt/sturdy/examples/internal/programtest"
	"github.com/sturdyrt/sturdy/examples/share"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestFlags(t *testing.T) {
	for line, ok := range map[string]bool{
		"":                                  true,
		"-addr 127.0.0.1:80":                true,
		"-addr :80 -public chat.example:80": true,
		"-knock 5s":                         true,
		"-knock 0s":                         false,
		"-addr localhost":                   false,
		"-addr=":                            false,
		"-public chat.example":              false,
		"-no-such":                          false,
		"localhost:80":                      false,
	} {
		var out bytes.Buffer
		_, err := parse(strings.Fields(line), &out)
		if (err == nil) != ok || ok == (out.Len() > 0) {
			t.Errorf("server %s: %v: %s", line, err, &out)
		}
	}
	if _, err := parse([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
}

func configIn(dir string) config {
	return config{addr: "127.0.0.1:0", world: filepath.Join(dir, "world"), invitation: filepath.Join(dir, "invitation"), knock: time.Minute}
}

func start(t *testing.T, c config) (addr string, stop func() string) {
	t.Helper()
	return programtest.Start(t, func(ctx context.Context, l *log.Logger) error { return run(ctx, c, l) })
}

func read(t *testing.T, file string) caps.SturdyRef {
	t.Helper()
	s, err := share.ReadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// guest opens an invitation from a world of its own.
func guest(t *testing.T, s caps.SturdyRef) (*sturdy.Runtime, chat.Room) {
	t.Helper()
	rt, err := sturdy.Options{}.Open()
	if err != nil {
		t.Fatal(err)
	}
	node, err := rpc.Attach(rt, rpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(node.Close(), rt.Close()); err != nil {
			t.Error(err)
		}
	})
	ref, err := rt.Restore(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return rt, chat.Room{Ref: ref}
}

func TestAnInvitationStaysAsItIs(t *testing.T) {
	c := configIn(t.TempDir())
	addr, stop := start(t, c)
	first := read(t, c.invitation)
	if got := first.Addresses(); !slices.Equal(got, []string{addr}) {
		t.Error(got)
	}
	if info, err := os.Stat(c.invitation); err != nil || info.Mode() != 0o600 {
		t.Error("who may read it:", info.Mode(), err)
	}
	if logged := stop(); strings.Contains(logged, first.Reveal()) {
		t.Error("it is in the log")
	}
	c.addr = addr
	_, stop = start(t, c)
	if read(t, c.invitation).Reveal() != first.Reveal() {
		t.Error("another one after a restart")
	}
	stop()
	c.public = "127.0.0.1:1"
	start(t, c)
	moved := read(t, c.invitation)
	if got := moved.Addresses(); !slices.Equal(got, []string{c.public, addr}) || moved.Grant() != first.Grant() {
		t.Error("after a move:", got)
	}
	if _, room := guest(t, first); room.IsNull() {
		t.Error("copies of it open nothing")
	}
}

func TestAnInvitationIsForGuests(t *testing.T) {
	c := configIn(t.TempDir())
	start(t, c)
	_, room := guest(t, read(t, c.invitation))
	if _, err := room.Who(t.Context()); err != nil {
		t.Error(err)
	}
	for _, err := range []error{room.Kick(t.Context(), "ann"), room.Knock(t.Context()), room.Mute(t.Context(), chat.Silence{Nick: "ann"})} {
		if !errors.Is(err, caps.ErrNoMethod) {
			t.Error(err)
		}
	}
}

func TestWhatStandsWhereTheInvitationShouldIsKept(t *testing.T) {
	dir := t.TempDir()
	c := configIn(dir)
	_, stop := start(t, c)
	stop()
	other := configIn(t.TempDir())
	other.invitation = c.invitation
	was := read(t, c.invitation)
	if err := run(t.Context(), other, log.New(io.Discard, "", 0)); err == nil || !strings.Contains(err.Error(), "another world") {
		t.Error(err)
	}
	if read(t, c.invitation).Reveal() != was.Reveal() {
		t.Error("it was overwritten")
	}
	if err := os.WriteFile(c.invitation, []byte("my notes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), c, log.New(io.Discard, "", 0)); err == nil {
		t.Error("notes are no invitation")
	}
	c.addr = ":0"
	if err := run(t.Context(), c, log.New(io.Discard, "", 0)); err == nil || !strings.Contains(err.Error(), "-public") {
		t.Error(err)
	}
}

// A guest whose host is not there any more is out after four knocks.
func TestTheServerKnocks(t *testing.T) {
	c := configIn(t.TempDir())
	c.knock = 10 * time.Millisecond
	start(t, c)
	s := read(t, c.invitation)
	rt, room := guest(t, s)
	screen, _ := chat.Screen(t.Context(), rt) // nobody looks at it, as if its host were off
	if _, err := room.Join(t.Context(), chat.Request{Nick: "ann", Screen: screen}); err != nil {
		t.Fatal(err)
	}
	for here := 1; here > 0; {
		who, err := room.Who(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		here = len(who)
	}
}
