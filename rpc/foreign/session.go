package foreign

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Visitor is who is at the other end of a connection. The zero Visitor is a stranger.
type Visitor struct {
	// Owner can open the world's files, and is handed the root of the world.
	Owner bool
	// From is where it comes from, as far as it has no choice about that. What Limits says of those
	// who come from one place counts for all who have the same.
	From netip.Prefix
	// Known, if not nil, is called when it has opened a sturdy ref, so it is no stranger.
	Known func()
}

// Session is a connection to a program that has come. Safe for concurrent use.
type Session struct{ c *conn }

// Accept is for the Cap'n Proto program at the other end of nc, which Serve of the Session then
// serves until ctx ends.
func (h *Host) Accept(ctx context.Context, nc net.Conn, v Visitor) *Session {
	return &Session{h.connect(ctx, nc, v)}
}

// Serve serves the program until the connection ends or the program breaks the rules, which the
// error says. What has begun to run is waited for. It has to be called, and once.
func (s *Session) Serve() error { return s.c.serve() }

// Busy reports whether a call is under way, either way, or this host holds a capability of the
// program, so that one could come.
func (s *Session) Busy() bool { return s.c.busy() }

// LastHeard is when a message came last, or when the program did.
func (s *Session) LastHeard() time.Time { return s.c.start.Add(time.Duration(s.c.heard.Load())) }

// Close tells the program why it has to go, if it listens, and ends the connection.
func (s *Session) Close(why error) {
	kind, reason := thrown(why)
	s.c.goodbye(kind, reason, errEnded)
	s.c.end(errEnded)
}
