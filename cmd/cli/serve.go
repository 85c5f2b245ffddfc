package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type serveCmd struct {
	world
	Listen string `placeholder:"ADDR" help:"Let other hosts in at this TCP address, localhost:7070. Without it, only the socket in DIR is there."`
	Public string `placeholder:"ADDR" help:"Where other hosts find this one, if that is not where it listens. It stands in the sturdy refs that are saved."`
	Peer   peers  `placeholder:"HOST=ADDR" help:"Where another host is; may be repeated."`
}

// Help is what serve --help says below the usage.
func (serveCmd) Help() string {
	return `The world is open until Ctrl-C or SIGTERM: messages that wait are delivered, threads run, and timers go off. Objects whose kinds this command does not have can be held and passed on; calls of them are refused.

Whoever comes over TCP has to prove which host he is, and opens what a sturdy ref gives him, nothing else. The socket DIR/sock is for the owner of DIR, who is handed the root: repl DIR attaches there.

It prints the host's name, and where it listens, a line each.`
}

func (c *serveCmd) run(ctx context.Context, a *app) (err error) {
	if err := c.sensible(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	rt, err := c.openAs(sturdy.Options{Kinds: a.kinds, Log: log}, true)
	if err != nil {
		return err
	}
	defer closing(rt, &err)
	node, err := rpc.Attach(rt, rpc.Options{Listen: c.Listen, Public: c.Public, Peers: c.Peer})
	if err != nil {
		return explained(err, c.Dir)
	}
	defer closing(node, &err)
	if err := c.announce(a, rt, node); err != nil {
		return err
	}
	<-ctx.Done()
	stop() // what waits too long to end, a second signal ends
	return nil
}

// sensible reports what of the flags makes no sense.
func (c *serveCmd) sensible() error {
	if c.Listen == "" {
		if c.Public != "" {
			return errors.New("--public says where others find what --listen opens: give --listen, too")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "" {
		return fmt.Errorf("--listen wants an address like localhost:7070, or :7070 for every address of the machine; not %q", c.Listen)
	}
	ip := net.ParseIP(host)
	everywhere := host == "" || ip != nil && ip.IsUnspecified()
	if port == "0" && (everywhere || c.Public != "") {
		return fmt.Errorf("--listen %s: with a port that is chosen, nobody would learn which; name one", c.Listen)
	}
	return nil
}

// announce prints who this is and where. Kinds that are not known are in the log.
func (c *serveCmd) announce(a *app, rt *sturdy.Runtime, node *rpc.Node) error {
	said := fmt.Sprintf("host     %s\n", rt.Host())
	switch at := node.Address(); {
	case c.Listen == "":
	case at == "":
		said += fmt.Sprintf("address  %s\n", c.Listen)
		fmt.Fprintln(a.err, "Sturdy refs that are saved here do not say where this host is; --public ADDR makes them.")
	case c.Public != "":
		said += fmt.Sprintf("address  %s, found at %s\n", c.Listen, at)
	default:
		said += fmt.Sprintf("address  %s\n", at)
	}
	said += fmt.Sprintf("socket   %s\n", socketPath(c.Dir))
	_, err := fmt.Fprint(a.out, text.Clean(said))
	return err
}

// socketPath is where the socket of a world is.
func socketPath(dir string) string { return strings.TrimPrefix(rpc.SocketOf(dir), unixScheme) }

// maxSocketPath is how many bytes the path of a socket may have on every system, with one more
// for the name under which it is made. Some allow a few more, so it is not asked beforehand.
const maxSocketPath = 102

// explained is err of the socket of the world in dir for people. Of a path that is too long
// systems say that an argument is invalid, and not which.
func explained(err error, dir string) error {
	path := socketPath(dir)
	if len(path) <= maxSocketPath || !strings.Contains(err.Error(), "invalid argument") {
		return err
	}
	return fmt.Errorf("the path of the socket, %s, has %d bytes, and no more than about 100 are possible; a relative path to the world may be shorter, as . is in its directory", path, len(path))
}
