// Command web serves a document to browsers. Who may do what is not looked up anywhere: the
// cookie is a capability, as text.
//
// At first start it makes a world with a document, and writes a key that allows everything
// to a file. Paste its line into the form on the page.
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
	"path/filepath"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/examples/internal/program"
	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// config is what the flags say.
type config struct {
	addr, world, owner string
	cert, key          string
	plain, insecure    bool
}

func main() { program.Main(parse, run, log.New(os.Stderr, "", log.LstdFlags)) }

// parse reads the flags. What is wrong with them it has printed to out.
func parse(args []string, out io.Writer) (c config, err error) {
	fs := flag.NewFlagSet("web", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&c.addr, "addr", "localhost:8080", "`address` to listen on")
	fs.StringVar(&c.world, "world", "world", "`directory` of the world; created if absent")
	fs.StringVar(&c.owner, "owner", "", "`file` for the owner's key; if there is none, a new key is written to it, and the one before is revoked (default: that of the world, and .owner.key)")
	fs.StringVar(&c.cert, "cert", "", "`file` of the TLS certificate (PEM); with -key")
	fs.StringVar(&c.key, "key", "", "`file` of the certificate's private key (PEM)")
	fs.BoolVar(&c.plain, "plain", false, "browsers come by http://localhost, not through TLS: the cookie does without Secure")
	fs.BoolVar(&c.insecure, "insecure", false, "listen on other than loopback without TLS; for a network that only a TLS proxy is on")
	if err = fs.Parse(args); err != nil {
		return c, err
	}
	if c.owner == "" {
		c.owner = filepath.Clean(c.world) + ".owner.key"
	}
	if err = c.check(fs.Args()); err != nil {
		fmt.Fprintln(out, "web:", err)
	}
	return c, err
}

// check refuses what would send keys over a network for everybody on it to read.
func (c config) check(rest []string) error {
	host, _, err := net.SplitHostPort(c.addr)
	switch tls := c.cert != ""; {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case err != nil:
		return fmt.Errorf("-addr: %w", err)
	case tls != (c.key != ""):
		return errors.New("-cert and -key belong together")
	case c.plain && (tls || !program.Loopback(host)):
		return errors.New("-plain is for http on a loopback address: a cookie without Secure would travel in the open")
	case !tls && !program.Loopback(host) && !c.insecure:
		return fmt.Errorf("%s is not a loopback address: give -cert and -key, or -insecure if a TLS proxy stands in front", c.addr)
	}
	return nil
}

func run(ctx context.Context, c config, l *log.Logger) error {
	rt, err := sturdy.Open(c.world, share.Kind)
	if err != nil {
		return err
	}
	made, err := prepare(ctx, rt, c.owner)
	if err == nil {
		if made {
			l.Printf("the owner's key is in %s", c.owner)
		}
		err = serve(ctx, c, newSite(rt, c.plain, time.Now, l).handler(), l)
	}
	return errors.Join(err, rt.Close())
}

// prepare makes the document and the owner's key, unless they are there.
func prepare(ctx context.Context, rt *sturdy.Runtime, file string) (made bool, err error) {
	doc, err := rt.Root().Ensure(ctx, "document", func(t *sturdy.WriteTurn) caps.Ref {
		d, err := share.New(t, "Untitled", "Nothing yet.")
		if err != nil {
			panic(err)
		}
		return d.Ref
	})
	if err != nil {
		return false, err
	}
	grants, err := rt.Root().Ensure(ctx, "grants", func(t *sturdy.WriteTurn) caps.Ref { return sturdy.NewDirectory(t).Ref })
	if err != nil {
		return false, err
	}
	return share.Issue(ctx, rt, sturdy.Directory{Ref: grants}, "owner", file, doc, caps.Terms{For: "owner"})
}
