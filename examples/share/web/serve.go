package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"time"
)

// drain is how long requests under way have to end when the server stops.
const drain = 10 * time.Second

func serve(ctx context.Context, c config, h http.Handler, l *log.Logger) error {
	ln, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	l.Printf("listening on %s", ln.Addr())
	return serveOn(ctx, ln, c, h, l)
}

// serveOn serves until ctx ends, and lets requests under way finish.
func serveOn(ctx context.Context, ln net.Listener, c config, h http.Handler, l *log.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ErrorLog:          l,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan error, 1)
	go func() {
		if c.cert != "" {
			ended <- srv.ServeTLS(ln, c.cert, c.key)
		} else {
			ended <- srv.Serve(ln)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := srv.Shutdown(late)
	if serr := <-ended; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
