// Command client takes part in a chat on another host. Its world is in memory: all it needs is
// the invitation, the file that the server has written.
//
//	/who         who is here
//	/history N   the last N lines
//
// The end of the input, ctrl-d, is how to leave.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/sturdyrt/sturdy/examples/internal/program"
	"github.com/sturdyrt/sturdy/examples/share"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// config is what the command line says.
type config struct{ nick, invitation string }

func main() {
	program.Main(parse, func(ctx context.Context, c config, _ *log.Logger) error {
		return run(ctx, c, os.Stdin, os.Stdout)
	}, log.New(os.Stderr, "", 0))
}

// parse reads the command line. What is wrong with it it has printed to out.
func parse(args []string, out io.Writer) (c config, err error) {
	fs := flag.NewFlagSet("client", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.Usage = func() {
		fmt.Fprintln(out, "usage: client [-invitation file] nickname")
		fs.PrintDefaults()
	}
	fs.StringVar(&c.invitation, "invitation", "world.invitation", "`file` that the server has written")
	if err = fs.Parse(args); err != nil {
		return c, err
	}
	if c.nick = fs.Arg(0); fs.NArg() != 1 {
		err = errors.New("a nickname is needed, and nothing else")
		fmt.Fprintln(out, "client:", err)
	}
	return c, err
}

func run(ctx context.Context, c config, in io.Reader, out io.Writer) error {
	invitation, err := share.ReadKey(c.invitation)
	if err != nil {
		return err
	}
	rt, err := sturdy.Options{}.Open() // a world in memory
	if err != nil {
		return err
	}
	node, err := rpc.Attach(rt, rpc.Options{}) // which calls others, and is called back
	if err != nil {
		return errors.Join(err, rt.Close())
	}
	v := &visit{rt: rt, out: out}
	err = v.visit(ctx, invitation, c.nick, in)
	return errors.Join(err, node.Close(), rt.Close())
}
