package look

import (
	"context"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Describe is Runtime.Describe that asks no other host. Of an object on another host it tells
// what is known here: its kind there without whose it is, its number and host as one ID, like
// "14 at 6mgcfjxm", and the rights.
func Describe(ctx context.Context, rt *sturdy.Runtime, ref caps.Ref) (info sturdy.ObjectInfo, err error) {
	err = rt.View(ctx, func(t *sturdy.ReadTurn) error { // in which nobody waits for another host
		info, err = rt.Describe(t, ref)
		return err
	})
	kind, id, host, away := Elsewhere(ref)
	if !away {
		return info, err
	}
	may := ref.Rights()
	a := caps.Authority{Rights: may &^ caps.Shallow, Deep: may&(caps.Write|caps.Run|caps.Shallow) == 0}
	return sturdy.ObjectInfo{ID: id + " at " + host, Kind: sturdy.KindInfo{Name: kind}, Rights: a}, nil
}

// Elsewhere is what is known here of an object on another host that has been described, or
// failed to be: its kind and number there, and the first characters of the host's name. away
// is false for objects of this world.
func Elsewhere(ref caps.Ref) (kind, id, host string, away bool) {
	words := strings.Fields(ref.String()) // that of an object here has its rights in the third place
	if len(words) < 4 || words[2] != "at" {
		return "", "", "", false
	}
	return words[0], words[1], words[3], true
}
