package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/chat"
	"github.com/sturdyrt/sturdy/examples/share"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func TestFlags(t *testing.T) {
	for line, ok := range map[string]bool{
		"ann":               true,
		"-invitation i ann": true,
		"":                  false,
		"ann bob":           false,
		"-no-such ann":      false,
	} {
		var out bytes.Buffer
		_, err := parse(strings.Fields(line), &out)
		if (err == nil) != ok || ok == (out.Len() > 0) {
			t.Errorf("client %s: %v: %s", line, err, &out)
		}
	}
	if _, err := parse([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
}

// host has the room.
type host struct {
	t          *testing.T
	dir, addr  string
	invitation string // a file
	rt         *sturdy.Runtime
	node       *rpc.Node
	room       chat.Room
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{t: t, dir: filepath.Join(dir, "world"), addr: "127.0.0.1:0", invitation: filepath.Join(dir, "invitation")}
	h.start()
	t.Cleanup(h.stop)
	s, _, err := h.rt.Save(t.Context(), h.room.Ref, caps.Terms{For: "guests", Only: chat.Guest()})
	h.must(err)
	h.must(share.WriteKey(h.invitation, s))
	return h
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) start() {
	h.t.Helper()
	var err error
	h.rt, err = sturdy.Open(h.dir, chat.Kinds)
	h.must(err)
	h.node, err = rpc.Attach(h.rt, rpc.Options{Listen: h.addr})
	h.must(err)
	h.addr = h.node.Address()
	h.room.Ref, err = h.rt.Root().Ensure(h.t.Context(), "lobby", func(t *sturdy.WriteTurn) caps.Ref { return chat.NewRoom(t).Ref })
	h.must(err)
}

func (h *host) stop() {
	h.t.Helper()
	if h.rt != nil {
		h.must(errors.Join(h.node.Close(), h.rt.Close()))
	}
	h.rt = nil
}

// terminal is somebody at the program.
type terminal struct {
	t     *testing.T
	keys  *io.PipeWriter
	lines chan string
	ended chan error
}

// opens runs the program.
func (h *host) opens(ctx context.Context, nick string) *terminal {
	in, keys := io.Pipe()
	screen, out := io.Pipe()
	c := &terminal{h.t, keys, make(chan string, 1000), make(chan error, 1)}
	go func() {
		c.ended <- run(ctx, config{nick, h.invitation}, in, out)
		_ = out.Close()
		_ = in.Close()
	}()
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(screen); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	h.t.Cleanup(func() { _ = keys.Close() })
	return c
}

func (c *terminal) types(lines ...string) {
	c.t.Helper()
	for _, l := range lines {
		if _, err := io.WriteString(c.keys, l+"\n"); err != nil {
			c.t.Fatal(err)
		}
	}
}

// sees waits for each line in turn. # stands for a time.
func (c *terminal) sees(lines ...string) {
	c.t.Helper()
	clock := regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`)
	for _, want := range lines {
		select {
		case line := <-c.lines:
			if got := clock.ReplaceAllString(line, "#"); got != want {
				c.t.Fatalf("%q instead of %q", got, want)
			}
		case <-time.After(30 * time.Second):
			c.t.Fatalf("nothing instead of %q", want)
		}
	}
}

// ends waits for the end of the program, after those lines.
func (c *terminal) ends(lines ...string) error {
	c.t.Helper()
	c.sees(lines...)
	err := <-c.ended
	for line := range c.lines {
		c.t.Errorf("and then %q", line)
	}
	return err
}

func (c *terminal) quits() {
	c.t.Helper()
	_ = c.keys.Close()
	if err := c.ends("* goodbye"); err != nil {
		c.t.Error(err)
	}
}

func TestTwoTalk(t *testing.T) {
	h := newHost(t)
	ann := h.opens(t.Context(), "ann")
	ann.types("hello")
	ann.sees("ann: hello")
	bob := h.opens(t.Context(), "bob")
	bob.sees("ann: hello")
	bob.types("hello, ann")
	for _, c := range []*terminal{ann, bob} {
		c.sees("bob: hello, ann")
	}
	ann.types("/who", "/history 1")
	ann.sees("* here: ann, bob", "* # bob: hello, ann")
	bob.quits()
	ann.types("/who")
	ann.sees("* here: ann")
	ann.quits()
	if who, err := h.room.Who(t.Context()); err != nil || len(who) > 0 {
		t.Error(who, err)
	}
}

// Who says nothing is told what happens as well, and sees what is said when the server is back.
func TestTheServerIsRestarted(t *testing.T) {
	h := newHost(t)
	ann, bob := h.opens(t.Context(), "ann"), h.opens(t.Context(), "bob")
	ann.types("one")
	ann.sees("ann: one")
	bob.sees("ann: one")
	h.stop()
	for _, c := range []*terminal{ann, bob} {
		c.sees("* the server cannot be reached; your seat is kept")
	}
	ann.types("two", "/who")
	ann.sees("! nothing happened: the server cannot be reached", "! nothing happened: the server cannot be reached")
	h.start()
	for _, c := range []*terminal{ann, bob} {
		c.sees("* the server is there again")
	}
	ann.types("three")
	for _, c := range []*terminal{ann, bob} {
		c.sees("ann: three")
	}
	ann.types("/history 5", "/who")
	ann.sees("* # ann: one", "* # ann: three", "* here: ann, bob")
	ann.quits()
	h.stop()
	bob.sees("* the server cannot be reached; your seat is kept")
	_ = bob.keys.Close()
	if err := bob.ends("! nothing happened: the server cannot be reached"); err != nil {
		t.Error(err)
	}
}

func TestWhatALineMayBe(t *testing.T) {
	h := newHost(t)
	ann := h.opens(t.Context(), "ann")
	for _, c := range []struct{ typed, seen string }{
		{"/history", "! how many lines?"},
		{"/history -1", "! chat.example/seat.history: bad argument: the last -1 posts"},
		{"/kick bob", "! there is /who and /history N; ctrl-d leaves"},
		{strings.Repeat("x", 1001), "! chat.example/seat.say: bad argument: a line of 1001 bytes; it is 1 to 1000 and no blank"},
		{"\xff", "! chat.example/seat.say: bad argument: the line is no UTF-8"},
		{"buy\x07", "! chat.example/seat.say: bad argument: the line holds the character U+0007"},
	} {
		ann.types(c.typed)
		ann.sees(c.seen)
	}
	go func() { _, _ = io.WriteString(ann.keys, strings.Repeat("x", 70_000)) }()
	if err := ann.ends("! bufio.Scanner: token too long", "* goodbye"); err != nil {
		t.Error(err)
	}
}

func TestWhoCannotComeInIsToldWhy(t *testing.T) {
	h := newHost(t)
	ann := h.opens(t.Context(), "ann")
	ann.types("hello")
	ann.sees("ann: hello")
	for nick, want := range map[string]error{"Ann": chat.ErrTaken, "": caps.ErrBadArgument} {
		if err := h.opens(t.Context(), nick).ends(); !errors.Is(err, want) {
			t.Errorf("%q: %v", nick, err)
		}
	}
	h.stop()
	if err := h.opens(t.Context(), "bob").ends(); !errors.Is(err, caps.ErrNotDelivered) {
		t.Error(err)
	}
	h.invitation += "s"
	if err := h.opens(t.Context(), "bob").ends(); err == nil {
		t.Error("came in without an invitation")
	}
}

func TestWhoIsKickedIsTold(t *testing.T) {
	h := newHost(t)
	ann := h.opens(t.Context(), "ann")
	ann.types("hello")
	ann.sees("ann: hello")
	h.must(h.room.Kick(t.Context(), "ann"))
	if err := ann.ends("* goodbye"); err == nil || err.Error() != "your seat is gone" {
		t.Error(err)
	}
}

func TestAnInterruptLeavesToo(t *testing.T) {
	h := newHost(t)
	ctx, interrupt := context.WithCancel(t.Context())
	ann := h.opens(ctx, "ann")
	ann.types("hello")
	ann.sees("ann: hello")
	interrupt()
	if err := ann.ends("* goodbye"); err != nil {
		t.Error(err)
	}
	if who, err := h.room.Who(t.Context()); err != nil || len(who) > 0 {
		t.Error(who, err)
	}
}

// A server that means harm cannot make the terminal do anything.
func TestWhatIsShownIsHarmless(t *testing.T) {
	var out bytes.Buffer
	(&visit{out: &out}).tell("%s: %s", "a\x1b[2J", "b\r\n\u202ec")
	if got := out.String(); got != "a\ufffd[2J: b\ufffd\ufffd\ufffdc\n" {
		t.Errorf("%q", got)
	}
}
