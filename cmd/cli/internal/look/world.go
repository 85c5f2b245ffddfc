package look

import (
	"context"
	"fmt"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// World is what is looked into: a *sturdy.Runtime, or the *rpc.Operator of a running host that has
// the world open.
type World interface {
	Host() string
	Root() sturdy.Directory
	Activity() sturdy.Activity
	Describe(ctx context.Context, ref caps.Ref) (sturdy.ObjectInfo, error)
	Object(ctx context.Context, id string) (caps.Ref, error)
	State(ctx context.Context, ref caps.Ref) (caps.Value, error)
}

// LookWithin is how long looking at one object takes at most, where another host is asked; what is
// done with it may take longer.
const LookWithin = 5 * time.Second

// NoAnswer is the error of looking at an object in vain, for so long.
func NoAnswer(op string, ref caps.Ref, within time.Duration) error {
	_, _, host, _ := Elsewhere(ref)
	return &caps.Error{
		Op: op, Object: ref.String(), Code: caps.ErrNotDelivered, Cause: caps.CauseOf(context.DeadlineExceeded),
		Text: fmt.Sprintf("no answer within %s, from host %s or from one behind it", within, host),
	}
}

// SturdyName is what a sturdy ref is called in a listing: the host and the grant, like
// "6mgcfjxm/1c".
func SturdyName(u caps.SturdyRef) string { return fmt.Sprintf("%s/%x", ShortHost(u.Host()), u.Grant()) }

// ShortHost is as much of a host's name as people compare. What is no such name, as where a
// foreign program is, stays whole.
func ShortHost(host string) string {
	const whole, short = 32, 8
	if len(host) != whole {
		return host
	}
	return host[:short]
}
