package sturdy

import (
	"context"
	"crypto"
	"log/slog"

	"github.com/sturdyrt/sturdy/caps"
)

// Wire is how a world reaches objects on other hosts; package rpc has one. It is called
// outside of turns, from many goroutines. A host is named as in sturdy refs; a token is what
// the Export of that host has made for this one, as Import has seen it.
type Wire interface {
	// Deliver calls what to designates on host, at most once: its error says whether it can
	// have happened. at is where host was found when to came from there, as
	// Import was told; empty: not known.
	Deliver(ctx context.Context, host, at string, to []byte, m caps.Message) (caps.Reply, error)
	// Describe asks host what to designates and allows; see [ObjectInfo.Encode].
	Describe(ctx context.Context, host, at string, to []byte) (ObjectInfo, error)
	// Send brings host letters, and returns its answer: what [Runtime.Accept] there returned.
	Send(ctx context.Context, host, at string, letters []byte) ([]byte, error)
	// Restore asks the host that s names.
	Restore(ctx context.Context, s caps.SturdyRef) (caps.Ref, error)
	// Address is where others find this host, which Save writes into sturdy refs; empty:
	// they do not.
	Address() string
}

// Connect has the world reach other hosts through w, until disconnect is called. A world that
// is connected already is not connected again: ErrOverloaded.
func (rt *Runtime) Connect(w Wire) (disconnect func(), err error) {
	if !rt.wire.CompareAndSwap(nil, &w) {
		return nil, &caps.Error{Op: "connect", Code: caps.ErrOverloaded, Text: "the world is connected already"}
	}
	rt.couriers.kick("")
	return func() { rt.wire.CompareAndSwap(&w, nil) }, nil
}

// notWired is the error where there is no Wire.
func notWired(op, object string) error {
	return &caps.Error{Op: op, Object: object, Code: caps.ErrNotDelivered, Text: "it is on another host, and this world is not connected to any; see rpc.Attach"}
}

// Signer proves that this is the host that Host names: it signs with the host's Ed25519 key.
// It prints nothing of it. ErrStopped in a world that was opened read-only and has no key.
func (rt *Runtime) Signer() (crypto.Signer, error) {
	if rt.key == nil {
		return nil, noKey("sign")
	}
	return rt.key.signer, nil
}

// Dir is the world's directory; empty for one in memory.
func (rt *Runtime) Dir() string { return rt.dir }

// Log is where the world logs to.
func (rt *Runtime) Log() *slog.Logger { return rt.log }
