package look

import (
	"cmp"
	"context"
	"slices"

	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Awaited are the hosts that something waits for, by name, in a world that reaches none.
func Awaited(ctx context.Context, rt *sturdy.Runtime) (list []rpc.HostInfo, err error) {
	waiting, err := rt.Waiting(ctx)
	for host, n := range waiting {
		list = append(list, rpc.HostInfo{Host: host, Waiting: n})
	}
	slices.SortFunc(list, func(a, b rpc.HostInfo) int { return cmp.Compare(a.Host, b.Host) })
	return list, err
}

// HostState is how it stands with another host.
func HostState(h rpc.HostInfo) string {
	switch {
	case h.Connected:
		return "connected"
	case !h.Since.IsZero():
		return "lost"
	case h.Error != "":
		return "not reached"
	}
	return "not connected"
}
