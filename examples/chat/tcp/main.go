// Command tcp is a chat for telnet and nc: whoever connects says NICK and a name, and then
// talks. Nobody is asked who he is and nothing is encrypted, so it listens on this machine
// only.
//
//	/who         who is here
//	/history N   the last N lines
//	/quit        leave; so does closing the connection
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/chat"
	"github.com/sturdyrt/sturdy/examples/internal/program"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// config is what the flags say.
type config struct{ addr, world string }

func main() { program.Main(parse, run, log.New(os.Stderr, "", 0)) }

// parse reads the flags. What is wrong with them it has printed to out.
func parse(args []string, out io.Writer) (c config, err error) {
	fs := flag.NewFlagSet("tcp", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&c.addr, "addr", "localhost:7070", "`address` to listen on, of this machine only")
	fs.StringVar(&c.world, "world", "world", "`directory` of the world; created if absent")
	if err = fs.Parse(args); err != nil {
		return c, err
	}
	host, _, err := net.SplitHostPort(c.addr)
	if err == nil && !program.Loopback(host) {
		err = fmt.Errorf("-addr: %q is not a loopback address, and what is said here travels in the open", host)
	} else if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(out, "tcp:", err)
	}
	return c, err
}

func run(ctx context.Context, c config, l *log.Logger) error {
	rt, err := sturdy.Open(c.world, chat.Kinds)
	if err != nil {
		return err
	}
	lobby, err := prepare(ctx, rt, l)
	if err == nil {
		err = serve(ctx, c.addr, &site{rt: rt, room: lobby, log: l})
	}
	return errors.Join(err, rt.Close())
}

// prepare makes the room, or finds it and vacates the seats of those who were there when the
// program ended: their screens went with it.
func prepare(ctx context.Context, rt *sturdy.Runtime, l *log.Logger) (chat.Room, error) {
	ref, err := rt.Root().Ensure(ctx, "lobby", func(t *sturdy.WriteTurn) caps.Ref { return chat.NewRoom(t).Ref })
	lobby := chat.Room{Ref: ref}
	if err != nil {
		return lobby, err
	}
	before, err := lobby.Who(ctx)
	if err != nil {
		return lobby, err
	}
	if err := lobby.Knock(ctx); err != nil {
		return lobby, err
	}
	if _, err := rt.Settle(ctx); err != nil {
		return lobby, err
	}
	for _, m := range before {
		l.Printf("%s is gone, who was here when the program ended", m.Nick)
	}
	return lobby, nil
}
