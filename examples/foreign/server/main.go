// Command server is a host with a branch of the bank, for the clients in the folders cpp and
// js. Programs on this machine find it at the socket in the world's directory, others at the
// address; those need a sturdy ref.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/sturdyrt/sturdy/examples/foreign"
	"github.com/sturdyrt/sturdy/examples/internal/program"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// config is what the flags say.
type config struct{ addr, public, world string }

func main() { program.Main(parse, run, log.New(os.Stderr, "", 0)) }

// parse reads the flags. What is wrong with them it has printed to out.
func parse(args []string, out io.Writer) (c config, err error) {
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&c.addr, "addr", "localhost:7070", "`address` to listen on")
	fs.StringVar(&c.public, "public", "", "`address` that others find it at, if that is another one")
	fs.StringVar(&c.world, "world", "world", "`directory` of the world; created if absent")
	if err = fs.Parse(args); err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
		fmt.Fprintln(out, "server:", err)
	}
	return c, err
}

func run(ctx context.Context, c config, l *log.Logger) error {
	rt, err := sturdy.Open(c.world, foreign.Kinds()...)
	if err != nil {
		return err
	}
	_, err = rt.Root().Ensure(ctx, "branch", foreign.NewBranch)
	if err != nil {
		return errors.Join(err, rt.Close())
	}
	node, err := rpc.Attach(rt, rpc.Options{Listen: c.addr, Public: c.public})
	if err != nil {
		return errors.Join(err, rt.Close())
	}
	l.Printf("listening on %s", node.Address())
	<-ctx.Done()
	return errors.Join(node.Close(), rt.Close())
}
