// Package program is what the examples that serve have in common: how they begin and end.
package program

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a program until it ends, or is interrupted or told to terminate: then ctx ends. What
// parse finds wrong with the flags it has printed to out; that is exit code 2. An error of run
// is printed, and is exit code 1.
func Main[C any](parse func(args []string, out io.Writer) (C, error), run func(ctx context.Context, c C, l *log.Logger) error, l *log.Logger) {
	c, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c, l); err != nil {
		log.Fatal(err)
	}
}

// Loopback reports whether only this machine can connect to host. Of names only localhost is
// known to be so.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
