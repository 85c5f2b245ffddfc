package main

import (
	"context"
	"errors"
	"log"
	"net"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/examples/chat"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const (
	maxConns = 64                     // at once, those included who have no name yet
	again    = 100 * time.Millisecond // after a connection could not be accepted
)

// site is what every connection is served with.
type site struct {
	rt   *sturdy.Runtime
	room chat.Room
	log  *log.Logger
}

func serve(ctx context.Context, addr string, s *site) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.log.Printf("listening on %s", ln.Addr())
	return s.serveOn(ctx, ln)
}

// serveOn serves until ctx ends. Then everybody leaves, and it returns when the last has.
func (s *site) serveOn(ctx context.Context, ln net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	free := make(chan struct{}, maxConns)
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // of one connection, or there are too many open files: some will be closed
			s.log.Print(err)
			select {
			case <-ctx.Done():
			case <-time.After(again):
			}
			continue
		}
		select {
		case free <- struct{}{}:
			all.Go(func() {
				defer func() { <-free }()
				s.visit(ctx, conn)
			})
		default:
			v := &visit{site: s, conn: conn}
			v.tell("! %d are connected, which is all that there is room for", maxConns)
			_ = conn.Close()
		}
	}
}
