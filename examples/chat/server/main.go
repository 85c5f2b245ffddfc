// Command server is a host with one room, the lobby. Who has the invitation, a sturdy ref that
// it writes to a file, may take part from another host: see the command client. Connections
// are encrypted, and the sturdy ref says who has to answer them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/chat"
	"github.com/sturdyrt/sturdy/examples/internal/program"
	"github.com/sturdyrt/sturdy/examples/share"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// config is what the flags say.
type config struct {
	addr, public, world, invitation string
	knock                           time.Duration
}

func main() { program.Main(parse, run, log.New(os.Stderr, "", 0)) }

// parse reads the flags. What is wrong with them it has printed to out.
func parse(args []string, out io.Writer) (c config, err error) {
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&c.addr, "addr", "localhost:7070", "`address` to listen on")
	fs.StringVar(&c.public, "public", "", "`address` that others find it at, if that is another one")
	fs.StringVar(&c.world, "world", "world", "`directory` of the world; created if absent")
	fs.StringVar(&c.invitation, "invitation", "", "`file` for what guests need; created if absent (default: that of the world, and .invitation)")
	fs.DurationVar(&c.knock, "knock", 30*time.Second, "how often to ask whether guests are still there; who does not answer four times has left")
	if err = fs.Parse(args); err != nil {
		return c, err
	}
	if c.invitation == "" {
		c.invitation = filepath.Clean(c.world) + ".invitation"
	}
	if err = c.check(fs.Args()); err != nil {
		fmt.Fprintln(out, "server:", err)
	}
	return c, err
}

func (c config) check(rest []string) error {
	for _, a := range []string{c.addr, c.public} {
		if _, _, err := net.SplitHostPort(a); err != nil && a != "" {
			return err
		}
	}
	switch {
	case c.addr == "":
		return errors.New("-addr: a server has to listen")
	case c.knock <= 0:
		return fmt.Errorf("-knock: %v; it is more than 0", c.knock)
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	}
	return nil
}

func run(ctx context.Context, c config, l *log.Logger) error {
	rt, err := sturdy.Open(c.world, chat.Kinds)
	if err != nil {
		return err
	}
	node, err := rpc.Attach(rt, rpc.Options{Listen: c.addr, Public: c.public})
	if err != nil {
		return errors.Join(err, rt.Close())
	}
	err = serve(ctx, rt, node.Address(), c, l)
	return errors.Join(err, node.Close(), rt.Close())
}

// serve knocks until ctx ends. Everything else the room does by itself.
func serve(ctx context.Context, rt *sturdy.Runtime, addr string, c config, l *log.Logger) error {
	ref, err := rt.Root().Ensure(ctx, "lobby", func(t *sturdy.WriteTurn) caps.Ref { return chat.NewRoom(t).Ref })
	if err != nil {
		return err
	}
	lobby := chat.Room{Ref: ref}
	if err := invite(ctx, rt, lobby, addr, c.invitation); err != nil {
		return err
	}
	l.Printf("listening on %s", addr)
	l.Printf("who has the file %s may come in", c.invitation)
	tick := time.NewTicker(c.knock)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := lobby.Knock(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// invite makes sure that file holds an invitation which names addr. One that is there is kept,
// as others have copies of it: at most it learns a new address.
func invite(ctx context.Context, rt *sturdy.Runtime, lobby chat.Room, addr, file string) error {
	if addr == "" {
		return errors.New("it is not known where others find this host; say so with -public")
	}
	text, err := share.ReadKey(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if text, _, err = rt.Save(ctx, lobby.Ref, caps.Terms{For: "guests", Only: chat.Guest()}); err != nil {
			return err
		}
	case err != nil:
		return err
	case text.Host() != rt.Host():
		return fmt.Errorf("%s: an invitation to another world; move it away, or name another file with -invitation", file)
	case slices.Contains(text.Addresses(), addr):
		return nil
	}
	if !slices.Contains(text.Addresses(), addr) {
		text = text.At(addr)
	}
	return share.WriteKey(file, text)
}
