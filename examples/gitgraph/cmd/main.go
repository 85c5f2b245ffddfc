// Command gitgraph turns the history of a git repository into a graph of objects, and asks
// it. See package gitgraph.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sturdyrt/sturdy/examples/gitgraph"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(gitgraph.Command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
